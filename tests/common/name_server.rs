//! A name server that behaves as it is told to, over datagrams and connections.
#![allow(dead_code, reason = "each test uses its part")]

use millstream::*;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

pub(crate) const A: u16 = 1;
pub(crate) const AAAA: u16 = 28;

/// How a name server behaves when it is asked.
#[derive(Clone)]
pub(crate) enum Says {
    Addresses(&'static [&'static str]),
    Alias(&'static str),
    NoSuchName,
    Refuses,
    Nothing,
    Garbage,
    SomebodyElses,
    /// Only over TCP, and only in pieces.
    TooLong(&'static [&'static str]),
}

/// What is said of a name and a record type, and after how many milliseconds.
pub(crate) type Zone = HashMap<(&'static str, u16), (u64, Says)>;
type Outbox = Rc<RefCell<VecDeque<(Option<SocketAddr>, Vec<u8>)>>>;

#[derive(Clone)]
struct NameServer {
    zone: Rc<Zone>,
    asked: Rc<Cell<usize>>,
    outbox: Outbox,
    is_tcp: bool,
}

fn read_name(query: &[u8]) -> (String, usize) {
    let (mut at, mut name) = (12, String::new());
    while query[at] != 0 {
        let len = usize::from(query[at]);
        name += std::str::from_utf8(&query[at + 1..=at + len]).unwrap();
        name.push('.');
        at += len + 1;
    }
    (name.trim_end_matches('.').to_owned(), at + 1)
}

fn write_name(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A reply to `query` with these records in its answer: type and data.
fn reply(query: &[u8], flags: u16, records: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let (_, end) = read_name(query);
    let mut reply = query[..end + 4].to_vec();
    reply[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    reply[6..12].copy_from_slice(&[0, records.len() as u8, 0, 0, 0, 0]);
    for (record_type, data) in records {
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&record_type.to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        reply.extend_from_slice(data);
    }
    reply
}

fn addresses(query: &[u8], record_type: u16, ips: &[&str]) -> Vec<u8> {
    let data = |ip: &&str| match ip.parse().unwrap() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    reply(query, 0, &ips.iter().map(|ip| (record_type, data(ip))).collect::<Vec<_>>())
}

impl NameServer {
    fn answer(&self, cx: &mut Cx<'_>, me: WsiId, to: Option<SocketAddr>, query: &[u8]) {
        self.asked.set(self.asked.get() + 1);
        let (name, end) = read_name(query);
        let record_type = u16::from_be_bytes([query[end], query[end + 1]]);
        let known = self.zone.iter().find(|((known, of), _)| *known == name && *of == record_type);
        let (delay, says) = known.map_or((0, Says::NoSuchName), |(_, (delay, says))| (*delay, says.clone()));
        let bytes = match says {
            Says::Addresses(ips) => addresses(query, record_type, ips),
            Says::TooLong(ips) if self.is_tcp => addresses(query, record_type, ips),
            Says::TooLong(_) => reply(query, 0x0200, &[]),
            Says::Alias(target) => reply(query, 0, &[(5, write_name(target))]),
            Says::NoSuchName => reply(query, 3, &[]),
            Says::Refuses => reply(query, 5, &[]),
            Says::Nothing => return,
            Says::Garbage => b"\xff\xff\xff".repeat(20),
            Says::SomebodyElses => {
                let mut reply = addresses(query, record_type, &["10.6.6.6"]);
                reply[0] ^= 1;
                reply
            }
        };
        let outbox = Rc::clone(&self.outbox);
        cx.sul_schedule(Duration::from_millis(delay), move |cx| {
            outbox.borrow_mut().push_back((to, bytes));
            let _ = cx.wsi_request_tx(me);
        });
    }
}

impl Protocol for NameServer {
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.answer(cx, me, None, &payload[2..]);
        Flow::Ok
    }

    fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, payload: &[u8]) -> Flow {
        self.answer(cx, me, Some(from), payload);
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((to, bytes)) = self.outbox.borrow_mut().pop_front() else { return TxFlow::DontSend };
        match to {
            Some(to) => tx.to(to),
            None => drop(tx.write(&(bytes.len() as u16).to_be_bytes())),
        }
        tx.write(&bytes);
        cx.wsi_request_tx(me).unwrap();
        TxFlow::Send
    }
}

/// Serves a zone at an address; counts the questions.
pub(crate) fn serve(server: &mut Context, at: SocketAddr, zone: Zone) -> Rc<Cell<usize>> {
    let asked = Rc::<Cell<usize>>::default();
    let protocol =
        NameServer { zone: Rc::new(zone), asked: Rc::clone(&asked), outbox: Rc::default(), is_tcp: false };
    server.with(|cx| {
        cx.udp_bind(UdpInfo::new(at), protocol.clone()).unwrap();
        let accept = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| {
            let outbox = Rc::default();
            let over_tcp = NameServer { is_tcp: true, outbox, ..protocol.clone() };
            Some(Box::new(over_tcp) as Box<dyn Protocol>)
        };
        cx.listen(ListenInfo::new(Address::Ip(at), ServerRole::Raw), accept).unwrap();
    });
    asked
}
