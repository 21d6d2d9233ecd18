//! Messages as a server would write them, and as none should.
#![allow(dead_code)]

use millstream_dns::message::{Answer, AnswerError, Question};
use millstream_dns::{Family, Limits, Name};
use std::net::IpAddr;

pub(crate) const A: u16 = 1;
pub(crate) const NS: u16 = 2;
pub(crate) const CNAME: u16 = 5;
pub(crate) const SOA: u16 = 6;
pub(crate) const AAAA: u16 = 28;
pub(crate) const OPT: u16 = 41;

/// The sections of a message.
#[derive(Clone, Copy)]
pub(crate) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

pub(crate) use Section::{Additional, Answer as InAnswer, Authority};

pub(crate) fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Labels behind their lengths, as written, case and all.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// The id, name (dotted) and type of a query.
pub(crate) fn read_query(query: &[u8]) -> (u16, String, u16) {
    let mut labels = Vec::new();
    let mut rest = &query[12..];
    while rest[0] != 0 {
        let (label, tail) = rest[1..].split_at(usize::from(rest[0]));
        labels.push(String::from_utf8(label.to_vec()).unwrap());
        rest = tail;
    }
    (u16::from_be_bytes([query[0], query[1]]), labels.join("."), u16::from_be_bytes([rest[1], rest[2]]))
}

/// An answer in the making.
#[derive(Clone)]
pub(crate) struct Reply(pub(crate) Vec<u8>);

impl Reply {
    /// To this question, with nothing in it: recursion desired and available.
    pub(crate) fn to(id: u16, question: &str, record_type: u16) -> Self {
        let mut bytes = Vec::new();
        for word in [id, 0x8180, 1, 0, 0, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend(wire(question));
        bytes.extend_from_slice(&record_type.to_be_bytes());
        bytes.extend_from_slice(&1u16.to_be_bytes());
        Self(bytes)
    }

    /// To the query as it was sent.
    pub(crate) fn to_query(query: &[u8]) -> Self {
        let (id, question, record_type) = read_query(query);
        Self::to(id, &question, record_type)
    }

    pub(crate) fn rcode(mut self, rcode: u8) -> Self {
        self.0[3] = self.0[3] & 0xf0 | rcode;
        self
    }

    /// Sets bits of the header's second word.
    pub(crate) fn flags(mut self, flags: u16) -> Self {
        self.0[2] |= (flags >> 8) as u8;
        self.0[3] |= flags as u8;
        self
    }

    pub(crate) fn record(
        mut self,
        section: Section,
        owner: &[u8],
        record_type: u16,
        ttl: u32,
        data: &[u8],
    ) -> Self {
        let at = 6 + 2 * section as usize;
        let count = u16::from_be_bytes([self.0[at], self.0[at + 1]]) + 1;
        self.0[at..at + 2].copy_from_slice(&count.to_be_bytes());
        self.0.extend_from_slice(owner);
        self.0.extend_from_slice(&record_type.to_be_bytes());
        let class = if record_type == OPT { 1232u16 } else { 1 };
        self.0.extend_from_slice(&class.to_be_bytes());
        self.0.extend_from_slice(&ttl.to_be_bytes());
        self.0.extend_from_slice(&(data.len() as u16).to_be_bytes());
        self.0.extend_from_slice(data);
        self
    }

    pub(crate) fn address(self, owner: &str, address: &str, ttl: u32) -> Self {
        match ip(address) {
            IpAddr::V4(address) => self.record(InAnswer, &wire(owner), A, ttl, &address.octets()),
            IpAddr::V6(address) => self.record(InAnswer, &wire(owner), AAAA, ttl, &address.octets()),
        }
    }

    pub(crate) fn alias(self, owner: &str, target: &str, ttl: u32) -> Self {
        self.record(InAnswer, &wire(owner), CNAME, ttl, &wire(target))
    }

    pub(crate) fn soa(self, zone: &str, ttl: u32, minimum: u32) -> Self {
        let mut data = [wire("ns.example"), wire("mail.example")].concat();
        for number in [1, 7200, 3600, 86_400, minimum] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        self.record(Authority, &wire(zone), SOA, ttl, &data)
    }

    /// The EDNS record that servers add, with the upper bits of an RCODE.
    pub(crate) fn opt(self, extended_rcode: u8) -> Self {
        self.record(Additional, &[0], OPT, u32::from(extended_rcode) << 24, &[])
    }
}

pub(crate) fn question(text: &str, family: Family) -> Question {
    Question { id: 0x1234, name: name(text), family }
}

/// What an answer to "a.example, A" means.
pub(crate) fn parse(reply: &Reply) -> Result<Answer, AnswerError> {
    question("a.example", Family::V4).parse_answer(&reply.0, &Limits::default())
}

/// An empty answer to "a.example, A".
pub(crate) fn reply() -> Reply {
    Reply::to(0x1234, "a.example", A)
}
