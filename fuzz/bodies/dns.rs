//! What must hold for any bytes given to a resolver, as answers or as its files: no panic, results within their limits,
//! and an end to every lookup, with all sockets closed.

use millstream_dns::message::{Answer, Question};
use millstream_dns::{Event, Family, Hosts, Limits, Name, Output, ResolvConf, Resolver, SocketId, Transport};
use std::collections::BTreeSet;

/// Small limits, so that short inputs reach them.
const LIMITS: Limits = Limits {
    lookups: 4,
    queries: 4,
    cache: 4,
    addresses: 3,
    records: 8,
    aliases: 3,
    ttl: 600,
    negative_ttl: 60,
    foreign: 2,
    host_names: 6,
    servers: 3,
    search: 2,
};

const HEADER: usize = 12;

/// A server's answer to one question, as it is or made to fit; then the same to all that a resolver asks.
pub(crate) fn dns_answer(data: &[u8]) {
    let Some((&[how, cut], message)) = data.split_first_chunk() else { return };
    let family = if how & 1 == 1 { Family::V4 } else { Family::V6 };
    let question = Question { id: 0, name: Name::from_text("a.example").unwrap(), family };
    let mut query = Vec::new();
    question.encode(false, &mut query);
    judge(&question, message);
    judge(&question, &fit(&query, message));
    let transport = if how & 2 == 2 { Transport::Tcp } else { Transport::Udp };
    let whole = Server { transport, cut: usize::MAX, message }.serve();
    assert_eq!(Server { transport, cut: cut.into(), message }.serve(), whole);
}

fn judge(question: &Question, message: &[u8]) {
    match question.parse_answer(message, &LIMITS) {
        Ok(Answer::Addresses { addresses, ttl }) => {
            assert!((1..=usize::from(LIMITS.addresses)).contains(&addresses.len()) && ttl <= LIMITS.ttl);
            assert!(addresses.iter().all(|&address| Family::of(address) == question.family));
        }
        Ok(Answer::Alias { aliases, ttl, .. }) => assert!(aliases <= LIMITS.aliases && ttl <= LIMITS.ttl),
        Ok(Answer::NoAddress { ttl } | Answer::NoSuchName { ttl }) => assert!(ttl <= LIMITS.negative_ttl),
        Ok(Answer::Truncated | Answer::NotUnderstood | Answer::Failed(_)) | Err(_) => {}
    }
}

/// Gives a message the id and the question of a query, so that it is looked at further.
fn fit(query: &[u8], message: &[u8]) -> Vec<u8> {
    let Some((&[flags, rcode, counts @ ..], records)) = message.split_first_chunk::<8>() else {
        return message.to_vec();
    };
    let mut end = HEADER;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    let mut fitted = vec![query[0], query[1], flags & 0x07 | 0x80, rcode, 0, 1];
    fitted.extend_from_slice(&counts);
    fitted.extend_from_slice(&query[HEADER..end + 5]);
    fitted.extend_from_slice(records);
    fitted
}

/// Answers everything with one message.
struct Server<'a> {
    transport: Transport,
    cut: usize,
    message: &'a [u8],
}

impl Server<'_> {
    fn serve(&self) -> Vec<Event> {
        let conf = ResolvConf::parse(b"nameserver 192.0.2.1\nnameserver ::1\nsearch test\n", &LIMITS);
        let mut resolver = Resolver::new(Hosts::default(), conf, LIMITS, [1, 2]);
        settle(&mut resolver, "a", |resolver, socket, transport, bytes| match transport {
            Transport::Udp if self.transport == Transport::Tcp => {
                resolver.datagram(socket, &fit(bytes, &[2, 0, 0, 0, 0, 0, 0, 0]), 0);
            }
            Transport::Udp => {
                for _ in 0..=LIMITS.foreign {
                    resolver.datagram(socket, &fit(bytes, self.message), 0);
                }
            }
            Transport::Tcp => {
                let message = fit(&bytes[2..], self.message);
                let mut framed = (message.len() as u16).to_be_bytes().to_vec();
                framed.extend_from_slice(&message);
                let (first, second) = framed.split_at(self.cut.min(framed.len()));
                resolver.stream(socket, first, 0);
                resolver.stream(socket, second, 0);
            }
        })
    }
}

/// Looks up a name, lets `answer` answer each query, and waits until both families are told.
fn settle(
    resolver: &mut Resolver,
    name: &str,
    answer: impl Fn(&mut Resolver, SocketId, Transport, &[u8]),
) -> Vec<Event> {
    let (mut open, mut udp, mut told) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    resolver.lookup(1, name, 0).unwrap();
    for _ in 0..10_000 {
        while let Some(output) = resolver.poll_output() {
            match output {
                Output::Open { socket, transport: Transport::Udp, .. } => {
                    assert!(open.insert(socket) && udp.insert(socket));
                }
                Output::Open { socket, transport: Transport::Tcp, .. } => {
                    assert!(open.insert(socket));
                    resolver.connected(socket);
                }
                Output::Send { socket, bytes } => {
                    assert!(open.contains(&socket));
                    let transport = if udp.contains(&socket) { Transport::Udp } else { Transport::Tcp };
                    answer(resolver, socket, transport, &bytes);
                }
                Output::Close { socket } => assert!(open.remove(&socket)),
            }
        }
        while let Some(event) = resolver.poll_event() {
            assert!(event.result.as_ref().map_or(true, |addresses| !addresses.is_empty()));
            told.push(event);
        }
        let Some(due) = resolver.next_due() else {
            assert!(open.is_empty() && told.len() == 2 && told[0].family != told[1].family);
            return told;
        };
        resolver.handle_due(due);
    }
    panic!("a lookup without end");
}

/// `/etc/hosts`.
pub(crate) fn hosts(data: &[u8]) {
    let parsed = Hosts::parse(data, &LIMITS);
    assert!(parsed.len() <= LIMITS.host_names as usize);
    assert_eq!(Hosts::parse(&[data, b"\n# nothing\n\n"].concat(), &LIMITS), parsed);
    // Whatever a word of the file is: if it is a name, it has at most so many addresses.
    for word in data.split(u8::is_ascii_whitespace).filter_map(|word| std::str::from_utf8(word).ok()) {
        let Ok(name) = Name::from_text(word) else { continue };
        assert!(parsed.addresses(&name).len() <= usize::from(LIMITS.addresses));
    }
}

/// `/etc/resolv.conf`.
pub(crate) fn resolv_conf(data: &[u8]) {
    let conf = ResolvConf::parse(data, &LIMITS);
    assert!((1..=usize::from(LIMITS.servers)).contains(&conf.servers.len()));
    assert!(conf.search.len() <= usize::from(LIMITS.search));
    assert!(conf.ndots <= 15 && (1..=30).contains(&conf.timeout) && (1..=5).contains(&conf.attempts));
    let servers: Vec<_> =
        conf.servers.iter().filter_map(|server| server.socket_addr(53, |_| Some(1))).collect();
    assert_eq!(servers.len(), conf.servers.len());
    let mut resolver = Resolver::new(Hosts::default(), conf, LIMITS, [1, 2]);
    resolver.set_servers(servers);
    // Nobody answers.
    let told = settle(&mut resolver, "a.b", |_, _, _, _| {});
    assert!(told.iter().all(|event| event.result.is_err()));
}
