//! One question of one family, whom it was put to, and whom it is put to next.

use super::{SocketId, Transport};
use crate::cache::Known;
use crate::message::{Answer, AnswerError, Question};
use crate::{Failure, Family, Limits, Name, special};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Whom to ask, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) servers: u16,
    /// How often each.
    pub(super) attempts: u16,
}

/// A query under way.
#[derive(Debug)]
pub(super) struct Query {
    /// The lookups that want to know.
    pub(super) waiting: Vec<u64>,
    /// What is asked for: at first the query's name, then what that is an alias of.
    name: Name,
    family: Family,
    aliases: u8,
    /// Seconds that the aliases so far hold.
    ttl: u32,
    plan: Plan,
    /// The server that is asked first.
    first: u16,
    /// Servers that were asked in vain, each as often as it was.
    tried: u16,
    /// RFC 6891.
    edns: bool,
    pub(super) attempt: Option<Attempt>,
}

/// One question to one server through one socket.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) socket: SocketId,
    /// When it will have been in vain, in microseconds.
    pub(super) due: u64,
    pub(super) question: Question,
    pub(super) channel: Channel,
}

#[derive(Debug)]
pub(super) enum Channel {
    Datagrams {
        /// How many were no answers to the question.
        foreign: u8,
    },
    Connecting,
    /// Connected, and asked; what has arrived of the answer, and of the length in front of it.
    Stream(Vec<u8>),
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing.
    Wait,
    /// Ask, through a new socket.
    Ask(Transport),
    /// Tell those who wait, and keep it for so many seconds; a failure of servers for none.
    Done(Known, u32),
}

/// Bytes of the length in front of a message over TCP (RFC 1035 4.2.2).
const PREFIX: usize = 2;

impl Query {
    pub(super) fn new(name: Name, family: Family, plan: Plan, first: u16) -> Self {
        Self {
            waiting: Vec::new(),
            name,
            family,
            aliases: 0,
            ttl: u32::MAX,
            plan,
            first,
            tried: 0,
            edns: true,
            attempt: None,
        }
    }

    /// Whose turn it is: an index of the servers.
    pub(super) fn server(&self) -> u16 {
        self.first.wrapping_add(self.tried).checked_rem(self.plan.servers).unwrap_or_default()
    }

    pub(super) fn question(&self, id: u16) -> Question {
        Question { id, name: self.name.clone(), family: self.family }
    }

    pub(super) const fn edns(&self) -> bool {
        self.edns
    }

    /// A datagram for the attempt under way.
    pub(super) fn datagram(&mut self, bytes: &[u8], limits: &Limits) -> Step {
        let Some(Attempt { question, channel: Channel::Datagrams { foreign }, .. }) = &mut self.attempt
        else {
            return Step::Wait;
        };
        match question.parse_answer(bytes, limits) {
            Err(AnswerError::Foreign) if *foreign < limits.foreign => {
                *foreign += 1;
                Step::Wait
            }
            // Who sends so much that is foreign guesses, and might get it right: there is no guessing in a connection
            // (RFC 5452 7.2, 9.3).
            Err(AnswerError::Foreign) | Ok(Answer::Truncated) => Step::Ask(Transport::Tcp),
            other => self.judge(other, limits),
        }
    }

    /// Bytes of the attempt's connection.
    pub(super) fn stream(&mut self, bytes: &[u8], limits: &Limits) -> Step {
        let Some(Attempt { question, channel: Channel::Stream(buffer), .. }) = &mut self.attempt else {
            return Step::Wait;
        };
        match message(buffer, bytes) {
            None => Step::Wait,
            Some(message) => {
                let parsed = question.parse_answer(message, limits);
                self.judge(parsed, limits)
            }
        }
    }

    fn judge(&mut self, answer: Result<Answer, AnswerError>, limits: &Limits) -> Step {
        match answer {
            Ok(Answer::Addresses { addresses, ttl }) => Step::Done(Ok(addresses), ttl.min(self.ttl)),
            Ok(Answer::NoSuchName { ttl }) => Step::Done(Err(Failure::NoSuchName), ttl.min(self.ttl)),
            Ok(Answer::NoAddress { ttl }) => Step::Done(Err(Failure::NoAddress), ttl.min(self.ttl)),
            Ok(Answer::Alias { name, aliases, ttl }) => {
                self.aliases = self.aliases.saturating_add(aliases);
                self.ttl = self.ttl.min(ttl);
                if self.aliases > limits.aliases {
                    return Step::Done(Err(Failure::Malformed), 0);
                }
                self.name = name;
                match special::find(&self.name) {
                    None => Step::Ask(Transport::Udp),
                    Some(known) => Step::Done(known.of(self.family), self.ttl),
                }
            }
            Ok(Answer::NotUnderstood) if self.edns => {
                self.edns = false;
                Step::Ask(Transport::Udp)
            }
            Ok(Answer::NotUnderstood | Answer::Failed(_)) => self.next_server(Failure::ServerFailure),
            // In a connection nobody is asked anything else, and there is no more room elsewhere.
            Ok(Answer::Truncated) | Err(_) => self.next_server(Failure::Malformed),
        }
    }

    /// This server is of no use, for this reason; the last one's is told.
    pub(super) fn next_server(&mut self, failure: Failure) -> Step {
        self.tried = self.tried.saturating_add(1);
        if self.tried >= self.plan.servers.saturating_mul(self.plan.attempts) {
            return Step::Done(Err(failure), 0);
        }
        // Some firewalls drop what they do not know: who was silent once is asked in the oldest way.
        self.edns = self.tried < self.plan.servers;
        Step::Ask(Transport::Udp)
    }
}

impl special::Known {
    /// As an answer for one family.
    pub(super) fn of(&self, family: Family) -> Known {
        match self {
            Self::Here(addresses) => of_family(addresses, family),
            Self::Nowhere(failure) => Err(*failure),
        }
    }
}

/// Those of one family.
pub(super) fn of_family(addresses: &[IpAddr], family: Family) -> Known {
    let addresses: Vec<IpAddr> =
        addresses.iter().copied().filter(|&address| Family::of(address) == family).collect();
    if addresses.is_empty() { Err(Failure::NoAddress) } else { Ok(addresses) }
}

/// Collects the message behind its length; `None` while it is not complete. What is behind it is left.
fn message<'a>(buffer: &'a mut Vec<u8>, mut bytes: &[u8]) -> Option<&'a [u8]> {
    let mut wanted = PREFIX;
    loop {
        let missing = wanted.saturating_sub(buffer.len()).min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(missing)?;
        buffer.extend_from_slice(taken);
        bytes = rest;
        let [high, low] = *buffer.first_chunk::<PREFIX>()?;
        let whole = PREFIX + usize::from(u16::from_be_bytes([high, low]));
        if buffer.len() >= whole {
            return buffer.get(PREFIX..whole);
        }
        if wanted == whole {
            return None;
        }
        wanted = whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_message_is_collected_from_any_pieces() {
        let bytes = [&[1, 0][..], &[7; 256], b"behind"].concat();
        for first in 0..=bytes.len() {
            let mut buffer = vec![];
            let (head, tail) = bytes.split_at(first);
            let whole = match message(&mut buffer, head) {
                Some(whole) => Some(whole.to_vec()),
                None => message(&mut buffer, tail).map(<[u8]>::to_vec),
            };
            assert_eq!(whole, Some(vec![7; 256]));
        }
        let mut buffer = vec![];
        assert_eq!(message(&mut buffer, &[]), None);
        assert_eq!(message(&mut buffer, &[0]), None);
        assert_eq!(message(&mut buffer, &[0, 9]), Some(&[][..]));
    }
}
