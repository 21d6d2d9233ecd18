//! Messages (RFC 1035 4): questions for addresses out, answers in.
//!
//! An answer is looked at in the order in which doubt is cheapest: is it one at all, is it one to this question, is
//! each of its records where it says to be. Only then is it asked what it means.

mod wire;

use crate::name::Name;
use crate::{Family, Limits};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use wire::{Reader, Record};

/// Bytes of an answer in a datagram: such datagrams are not fragmented (RFC 9715 3.1).
pub const UDP_PAYLOAD: u16 = 1232;

const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;

const HEADER: usize = 12;
/// The shortest record: the root's name, type, class, TTL, length.
const SHORTEST_RECORD: usize = 11;

// Bits of the header's second word.
const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;
const RCODE: u16 = 0x000f;

const NO_ERROR: u16 = 0;
const FORMAT_ERROR: u16 = 1;
const NAME_ERROR: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;

impl Family {
    const fn record_type(self) -> u16 {
        match self {
            Self::V4 => TYPE_A,
            Self::V6 => TYPE_AAAA,
        }
    }
}

/// What a server is asked: a name's addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What tells this question from others on its way (RFC 5452 9.2); random.
    pub id: u16,
    /// The name, sent as it is spelled.
    pub name: Name,
    /// A or AAAA.
    pub family: Family,
}

impl Question {
    /// Appends the query to `out`. With `edns` it says that an answer may have [`UDP_PAYLOAD`] bytes (RFC 6891);
    /// without, for servers that stumble over that, an answer has 512.
    pub fn encode(&self, edns: bool, out: &mut Vec<u8>) {
        for word in [self.id, RD, 1, 0, 0, u16::from(edns)] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(self.name.wire());
        out.extend_from_slice(&self.family.record_type().to_be_bytes());
        out.extend_from_slice(&CLASS_IN.to_be_bytes());
        if edns {
            out.push(0);
            out.extend_from_slice(&TYPE_OPT.to_be_bytes());
            out.extend_from_slice(&UDP_PAYLOAD.to_be_bytes());
            // Extended RCODE, version and flags, and the length of no options.
            out.extend_from_slice(&[0; 6]);
        }
    }

    /// Reads the answer to this question.
    ///
    /// ```
    /// use millstream_dns::message::{Answer, Question};
    /// use millstream_dns::{Family, Limits, Name};
    ///
    /// let question = Question { id: 7, name: Name::from_text("a.example").unwrap(), family: Family::V4 };
    /// let mut message = Vec::new();
    /// question.encode(false, &mut message);
    /// message[2] |= 0x80; // a response
    /// message[7] = 1; // with one answer
    /// message.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
    /// let answer = question.parse_answer(&message, &Limits::default()).unwrap();
    /// assert_eq!(answer, Answer::Addresses { addresses: vec![[192, 0, 2, 1].into()], ttl: 60 });
    /// ```
    ///
    /// # Errors
    /// [`AnswerError::Foreign`]: it is not from whom was asked, or not for this. [`AnswerError::Malformed`]: it is, and
    /// makes no sense.
    pub fn parse_answer(&self, message: &[u8], limits: &Limits) -> Result<Answer, AnswerError> {
        let mut reader = Reader::new(message);
        let header = self.header(&mut reader)?;
        if header.is_truncated {
            return Ok(Answer::Truncated);
        }
        let sections = Sections::read(reader, &header, limits)?;
        sections.meaning(self, &header, limits)
    }

    /// The header and the question: that they are ours.
    fn header(&self, reader: &mut Reader<'_>) -> Result<Header, AnswerError> {
        let header = Header::read(reader).ok_or(AnswerError::Foreign)?;
        if header.id != self.id || header.flags & (QR | OPCODE) != QR {
            return Err(AnswerError::Foreign);
        }
        match header.questions {
            // A server that could not read the question cannot repeat it.
            0 if matches!(header.flags & RCODE, FORMAT_ERROR | NOT_IMPLEMENTED) => Ok(header),
            1 => {
                // The first name of a message has nothing to point back to: it is there in full, letter by letter.
                let is_ours = reader.take(self.name.wire().len()) == Some(self.name.wire())
                    && reader.u16() == Some(self.family.record_type())
                    && reader.u16() == Some(CLASS_IN);
                if is_ours { Ok(header) } else { Err(AnswerError::Foreign) }
            }
            _ => Err(AnswerError::Foreign),
        }
    }
}

/// What a server says to a question. TTLs are in seconds, the smallest on the way, within [`Limits::ttl`] and
/// [`Limits::negative_ttl`]; 0: not to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The addresses of the name, or of what it is an alias of.
    Addresses {
        /// At least one, at most [`Limits::addresses`].
        addresses: Vec<IpAddr>,
        /// How long they hold.
        ttl: u32,
    },
    /// The name is an alias of another, about which the server says no more: that is to be asked next.
    Alias {
        /// The end of the aliases.
        name: Name,
        /// Aliases passed on the way.
        aliases: u8,
        /// How long they hold.
        ttl: u32,
    },
    /// The name does not exist.
    NoSuchName {
        /// How long that holds (RFC 2308).
        ttl: u32,
    },
    /// The name exists, without addresses of this family.
    NoAddress {
        /// How long that holds (RFC 2308).
        ttl: u32,
    },
    /// Too much for a datagram: to be asked again over TCP (RFC 7766 5).
    Truncated,
    /// The server did not understand, as some do not understand EDNS (RFC 6891 7): to be asked without.
    NotUnderstood,
    /// The server would not, or could not, answer: SERVFAIL, REFUSED, a referral to other servers. The code is the
    /// RCODE, 0 for a referral.
    Failed(u16),
}

/// Why bytes are not the answer that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// No response, or to another question, or with another id: somebody guesses (RFC 5452), or it came too late.
    Foreign,
    /// It ends before what it announces, or announces more records than the limit.
    Malformed,
    /// The aliases go round, or there are too many.
    Aliases,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not an answer to this question",
            Self::Malformed => "a malformed answer",
            Self::Aliases => "aliases without end",
        })
    }
}

impl core::error::Error for AnswerError {}

struct Header {
    id: u16,
    flags: u16,
    is_truncated: bool,
    questions: u16,
    /// Answer, authority, additional.
    counts: [u16; 3],
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (id, flags, questions) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?];
        Some(Self { id, flags, is_truncated: flags & TC != 0, questions, counts })
    }
}

/// The records, each of which has been seen to be whole.
struct Sections<'a> {
    answer: Vec<Record<'a>>,
    authority: Vec<Record<'a>>,
    /// The upper bits of the RCODE (RFC 6891 6.1.3).
    extended_rcode: u16,
}

impl<'a> Sections<'a> {
    fn read(mut reader: Reader<'a>, header: &Header, limits: &Limits) -> Result<Self, AnswerError> {
        let total: usize = header.counts.iter().map(|&count| usize::from(count)).sum();
        if total > usize::from(limits.records) || total * SHORTEST_RECORD > reader.rest() {
            return Err(AnswerError::Malformed);
        }
        let [answers, authorities, additionals] = header.counts;
        let mut section = |count: u16| {
            (0..count)
                .map(|_| Record::read(&mut reader))
                .collect::<Option<Vec<_>>>()
                .ok_or(AnswerError::Malformed)
        };
        let (answer, authority, additional) =
            (section(answers)?, section(authorities)?, section(additionals)?);
        let mut options = additional.iter().filter(|record| record.kind == TYPE_OPT);
        let extended_rcode = options.next().map_or(0, |opt| (opt.ttl >> 24) as u16);
        // RFC 6891 6.1.1: one at most, and nowhere else.
        let elsewhere = answer.iter().chain(&authority).any(|record| record.kind == TYPE_OPT);
        if elsewhere || options.next().is_some() {
            return Err(AnswerError::Malformed);
        }
        Ok(Self { answer, authority, extended_rcode })
    }

    fn meaning(&self, question: &Question, header: &Header, limits: &Limits) -> Result<Answer, AnswerError> {
        match self.extended_rcode << 4 | header.flags & RCODE {
            NO_ERROR | NAME_ERROR => {}
            FORMAT_ERROR | NOT_IMPLEMENTED => return Ok(Answer::NotUnderstood),
            code => return Ok(Answer::Failed(code)),
        }
        let chain = self.follow(&question.name, limits)?;
        // RFC 6604 3: it is the end of the aliases that does not exist.
        let exists = header.flags & RCODE != NAME_ERROR;
        let (addresses, ttl) = self.addresses(question.family, &chain, limits);
        if exists && !addresses.is_empty() {
            return Ok(Answer::Addresses { addresses, ttl });
        }
        let soa = self.authority.iter().find_map(|record| record.soa_for(&chain.name));
        let ttl = soa.unwrap_or(0).min(chain.ttl).min(limits.negative_ttl);
        Ok(if !exists {
            Answer::NoSuchName { ttl }
        } else if soa.is_some() {
            Answer::NoAddress { ttl }
        } else if chain.aliases > 0 {
            Answer::Alias { name: chain.name, aliases: chain.aliases, ttl: chain.ttl.min(limits.ttl) }
        } else if self.is_referral(header) {
            Answer::Failed(NO_ERROR)
        } else {
            Answer::NoAddress { ttl: 0 }
        })
    }

    /// Name servers instead of an answer (RFC 2308 2.2): a server that was asked to find out for itself, and sends us
    /// elsewhere, is of no use.
    fn is_referral(&self, header: &Header) -> bool {
        header.flags & AA == 0 && self.authority.iter().any(|record| record.is(TYPE_NS))
    }

    /// From a name along its aliases, which may stand in any order.
    fn follow(&self, name: &Name, limits: &Limits) -> Result<Chain, AnswerError> {
        let mut chain = Chain { name: name.clone(), aliases: 0, ttl: u32::MAX };
        while let Some((record, target)) = self.answer.iter().find_map(|record| record.alias_of(&chain.name))
        {
            // What goes round is longer than any limit.
            if chain.aliases >= limits.aliases {
                return Err(AnswerError::Aliases);
            }
            chain = Chain { name: target, aliases: chain.aliases + 1, ttl: chain.ttl.min(record.ttl) };
        }
        Ok(chain)
    }

    fn addresses(&self, family: Family, chain: &Chain, limits: &Limits) -> (Vec<IpAddr>, u32) {
        let mut ttl = chain.ttl.min(limits.ttl);
        let mut addresses = Vec::new();
        for record in self.answer.iter().filter(|record| record.is_of(&chain.name)) {
            match record.address(family) {
                Some(address) if addresses.len() < usize::from(limits.addresses) => {
                    ttl = ttl.min(record.ttl);
                    if !addresses.contains(&address) {
                        addresses.push(address);
                    }
                }
                _ => {}
            }
        }
        (addresses, ttl)
    }
}

/// The way from the name that was asked for.
struct Chain {
    name: Name,
    aliases: u8,
    ttl: u32,
}

impl Record<'_> {
    fn is(&self, record_type: u16) -> bool {
        self.class == CLASS_IN && self.kind == record_type
    }

    fn is_of(&self, name: &Name) -> bool {
        self.owner().is_some_and(|owner| owner.is(name))
    }

    fn alias_of(&self, name: &Name) -> Option<(&Self, Name)> {
        if !self.is(TYPE_CNAME) || !self.is_of(name) {
            return None;
        }
        Some((self, self.data_reader().name()?.to_name()))
    }

    fn address(&self, family: Family) -> Option<IpAddr> {
        if !self.is(family.record_type()) {
            return None;
        }
        match family {
            Family::V4 => <[u8; 4]>::try_from(self.data()).ok().map(|octets| Ipv4Addr::from(octets).into()),
            Family::V6 => <[u8; 16]>::try_from(self.data()).ok().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }

    /// How long a zone's SOA says that the absence of `name` holds: RFC 2308 5.
    fn soa_for(&self, name: &Name) -> Option<u32> {
        if !self.is(TYPE_SOA) || !name.is_within(&self.owner()?.to_name()) {
            return None;
        }
        let mut data = self.data_reader();
        let (_primary, _mailbox) = (data.name()?, data.name()?);
        // Serial, refresh, retry, expire, minimum.
        let mut minimum = 0;
        for _ in 0..5 {
            minimum = data.u32()?;
        }
        Some(self.ttl.min(wire::ttl(minimum)))
    }
}
