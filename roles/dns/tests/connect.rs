//! From a name to a connection, in a network of which some is broken: the time that it takes.

use millstream_dns::message::Question;
use millstream_dns::{
    Event, Family, Hosts, Limits, Name, Output, Race, ResolvConf, Resolver, SocketId, sort,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

const MS: u64 = 1000;

/// How an address takes a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Peer {
    /// After so many milliseconds.
    Accepts(u64),
    Refuses(u64),
    /// Takes the SYN, and says nothing (half-open, or a black hole).
    Silent,
}

use Peer::{Accepts, Refuses, Silent};

/// The addresses of a family, and after how many milliseconds the server tells them.
struct Side {
    told: u64,
    peers: &'static [(&'static str, Peer)],
}

enum Happening {
    Datagram(SocketId, Vec<u8>),
    Connected,
    Refused(IpAddr),
}

struct World {
    v4: Side,
    v6: Side,
    resolver: Resolver,
    race: Race,
    /// By time, and number.
    future: BTreeMap<(u64, u32), Happening>,
    happenings: u32,
}

impl World {
    fn new(v6: Side, v4: Side) -> Self {
        let conf = ResolvConf::parse(b"nameserver 192.0.2.53\n", &Limits::default());
        let resolver = Resolver::new(Hosts::default(), conf, Limits::default(), [1, 2]);
        Self { v4, v6, resolver, race: Race::new(Family::V6), future: BTreeMap::new(), happenings: 0 }
    }

    fn side(&self, family: Family) -> &Side {
        if family == Family::V4 { &self.v4 } else { &self.v6 }
    }

    fn happens(&mut self, when: u64, what: Happening) {
        self.happenings += 1;
        self.future.insert((when, self.happenings), what);
    }

    /// Milliseconds until a connection stands; `None` when all has failed.
    fn connect(&mut self) -> Option<u64> {
        self.resolver.lookup(1, "a.example", 0).unwrap();
        let mut now = 0;
        loop {
            self.settle(now);
            if self.race.exhausted() {
                return None;
            }
            let timers = [self.resolver.next_due(), self.race.next_due()].into_iter().flatten();
            let next = self.future.first_key_value().map(|(&(when, _), _)| when);
            now = timers.chain(next).min()?;
            self.resolver.handle_due(now);
            while let Some(entry) = self.future.first_entry().filter(|entry| entry.key().0 <= now) {
                match entry.remove() {
                    Happening::Datagram(socket, bytes) => self.resolver.datagram(socket, &bytes, now),
                    Happening::Refused(address) => self.race.failed(address, now),
                    Happening::Connected => return Some(now / MS),
                }
            }
        }
    }

    /// Does all that is to be done now.
    fn settle(&mut self, now: u64) {
        while let Some(output) = self.resolver.poll_output() {
            let Output::Send { socket, bytes } = output else { continue };
            let family = if bytes[bytes.len() - 14] == 1 { Family::V4 } else { Family::V6 };
            let reply = self.reply(&bytes, family);
            self.happens(now + self.side(family).told * MS, Happening::Datagram(socket, reply));
        }
        while let Some(Event { family, result, .. }) = self.resolver.poll_event() {
            match result {
                Ok(mut addresses) => {
                    sort(&mut addresses, Some);
                    self.race.addresses(family, addresses, now);
                }
                Err(_) => self.race.no_addresses(family, now),
            }
        }
        while let Some(address) = self.race.poll(now) {
            let peers = self.side(Family::of(address)).peers;
            match peers.iter().find(|(text, _)| *text == address.to_string()).unwrap().1 {
                Accepts(after) => self.happens(now + after * MS, Happening::Connected),
                Refuses(after) => self.happens(now + after * MS, Happening::Refused(address)),
                Silent => {}
            }
        }
    }

    fn reply(&self, query: &[u8], family: Family) -> Vec<u8> {
        let id = u16::from_be_bytes([query[0], query[1]]);
        let mut reply = Vec::new();
        Question { id, name: Name::from_text("a.example").unwrap(), family }.encode(false, &mut reply);
        reply[2] |= 0x80;
        let peers = self.side(family).peers;
        reply[7] = peers.len() as u8;
        for (text, _) in peers {
            let octets = match text.parse().unwrap() {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            reply.extend_from_slice(&[
                0xc0,
                12,
                0,
                if family == Family::V4 { 1 } else { 28 },
                0,
                1,
                0,
                0,
                0,
                60,
            ]);
            reply.extend_from_slice(&[0, octets.len() as u8]);
            reply.extend_from_slice(&octets);
        }
        reply
    }
}

fn side(told: u64, peers: &'static [(&'static str, Peer)]) -> Side {
    Side { told, peers }
}

const V6: &str = "2001:db8::1";
const V4: &str = "192.0.2.1";

#[test]
fn the_time_to_connect_is_at_most_the_best_possible_and_a_quarter_of_a_second() {
    // The answer for each family, and how each address takes a connection; the best, and what it takes.
    let cases: [(&str, Side, Side, u64, u64); 10] = [
        ("all is well", side(10, &[(V6, Accepts(30))]), side(10, &[(V4, Accepts(20))]), 30, 40),
        ("IPv6 is a black hole", side(10, &[(V6, Silent)]), side(10, &[(V4, Accepts(20))]), 30, 280),
        ("IPv6 refuses", side(10, &[(V6, Refuses(5))]), side(10, &[(V4, Accepts(20))]), 30, 35),
        ("AAAA comes first", side(5, &[(V6, Accepts(20))]), side(400, &[(V4, Accepts(20))]), 25, 25),
        ("A comes a little earlier", side(45, &[(V6, Accepts(20))]), side(5, &[(V4, Accepts(20))]), 25, 65),
        ("AAAA is slow", side(3000, &[(V6, Accepts(1))]), side(5, &[(V4, Accepts(20))]), 25, 75),
        ("AAAA is never answered", side(100_000, &[(V6, Accepts(1))]), side(5, &[(V4, Accepts(20))]), 25, 75),
        ("there is no IPv6", side(10, &[]), side(10, &[(V4, Accepts(20))]), 30, 30),
        ("there is no IPv4", side(10, &[(V6, Accepts(20))]), side(10, &[]), 30, 30),
        ("IPv4 is a black hole", side(70, &[(V6, Accepts(20))]), side(10, &[(V4, Silent)]), 90, 330),
    ];
    for (story, v6, v4, best, expected) in cases {
        let took = World::new(v6, v4).connect();
        assert_eq!(took, Some(expected), "{story}");
        assert!(expected <= best + 250, "{story}");
    }
}

#[test]
fn each_address_that_is_silent_costs_a_quarter_of_a_second_and_each_that_refuses_none() {
    let v6 = side(0, &[(V6, Silent), ("2001:db8::2", Silent), ("2001:db8::3", Accepts(10))]);
    let v4 = side(0, &[(V4, Refuses(1)), ("192.0.2.2", Refuses(1))]);
    // v6 at 0, v4 at 250, refused at 251, v6 at 251, v4 at 501, refused at 502, and then the one.
    assert_eq!(World::new(v6, v4).connect(), Some(512));
}

#[test]
fn when_all_refuse_there_is_no_connection() {
    let v6 = side(0, &[(V6, Refuses(3))]);
    let v4 = side(80, &[(V4, Refuses(3))]);
    assert_eq!(World::new(v6, v4).connect(), None);
}
