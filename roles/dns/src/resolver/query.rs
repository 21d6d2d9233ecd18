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
    /// Servers that were asked, each as often as it was.
    begun: u16,
    /// Those that have not answered, the oldest first.
    pub(super) attempts: Vec<Attempt>,
}

/// One question to one server through one socket.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) socket: SocketId,
    /// Whom: an index of the servers, and how: RFC 6891.
    pub(super) whom: Whom,
    /// When the next server is asked beside this one, in microseconds; `None` once that was so.
    pub(super) hedge: Option<u64>,
    /// When it will have been in vain.
    pub(super) due: u64,
    pub(super) question: Question,
    pub(super) channel: Channel,
}

/// A server, and how it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whom {
    pub(super) server: u16,
    pub(super) edns: bool,
}

impl Attempt {
    /// When it is to be looked at next.
    pub(super) fn timer(&self) -> u64 {
        self.hedge.map_or(self.due, |hedge| hedge.min(self.due))
    }
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
    /// Ask the same server through a new socket, in place of the one at hand.
    Again(Whom, Transport),
    /// Ask this one for what the name is an alias of, and nobody any more for the name.
    Alias(Whom),
    /// The server is of no use, for this reason: ask the next one.
    Next(Failure),
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
            begun: 0,
            attempts: Vec::new(),
        }
    }

    /// Whose turn it is; `None` when all were asked as often as they may be.
    pub(super) fn next(&mut self) -> Option<Whom> {
        if self.begun >= self.plan.servers.saturating_mul(self.plan.attempts) {
            return None;
        }
        let server = self.first.wrapping_add(self.begun).checked_rem(self.plan.servers)?;
        // Some firewalls drop what they do not know: who was silent once is asked in the oldest way.
        let edns = self.begun < self.plan.servers;
        self.begun = self.begun.saturating_add(1);
        Some(Whom { server, edns })
    }

    /// There is somebody who was not asked yet.
    pub(super) const fn has_others(&self) -> bool {
        self.begun < self.plan.servers
    }

    pub(super) fn attempt(&mut self, socket: SocketId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.socket == socket)
    }

    pub(super) fn take_attempt(&mut self, socket: SocketId) -> Option<Attempt> {
        let at = self.attempts.iter().position(|attempt| attempt.socket == socket)?;
        Some(self.attempts.remove(at))
    }

    pub(super) fn question(&self, id: u16) -> Question {
        Question { id, name: self.name.clone(), family: self.family }
    }

    /// A datagram for an attempt.
    pub(super) fn datagram(&mut self, socket: SocketId, bytes: &[u8], limits: &Limits) -> Step {
        let Some(attempt) = self.attempt(socket) else { return Step::Wait };
        let whom = attempt.whom;
        let Attempt { question, channel: Channel::Datagrams { foreign }, .. } = attempt else {
            return Step::Wait;
        };
        match question.parse_answer(bytes, limits) {
            Err(AnswerError::Foreign) if *foreign < limits.foreign => {
                *foreign += 1;
                Step::Wait
            }
            // Who sends so much that is foreign guesses, and might get it right: there is no guessing in a connection
            // (RFC 5452 7.2, 9.3).
            Err(AnswerError::Foreign) | Ok(Answer::Truncated) => Step::Again(whom, Transport::Tcp),
            other => self.judge(whom, other, limits),
        }
    }

    /// Bytes of an attempt's connection.
    pub(super) fn stream(&mut self, socket: SocketId, bytes: &[u8], limits: &Limits) -> Step {
        let Some(attempt) = self.attempt(socket) else { return Step::Wait };
        let whom = attempt.whom;
        let Attempt { question, channel: Channel::Stream(buffer), .. } = attempt else { return Step::Wait };
        match message(buffer, bytes) {
            None => Step::Wait,
            Some(message) => {
                let parsed = question.parse_answer(message, limits);
                self.judge(whom, parsed, limits)
            }
        }
    }

    fn judge(&mut self, whom: Whom, answer: Result<Answer, AnswerError>, limits: &Limits) -> Step {
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
                    None => Step::Alias(whom),
                    Some(known) => Step::Done(known.of(self.family), self.ttl),
                }
            }
            Ok(Answer::NotUnderstood) if whom.edns => {
                Step::Again(Whom { edns: false, ..whom }, Transport::Udp)
            }
            Ok(Answer::NotUnderstood | Answer::Failed(_)) => Step::Next(Failure::ServerFailure),
            // In a connection nobody is asked anything else, and there is no more room elsewhere.
            Ok(Answer::Truncated) | Err(_) => Step::Next(Failure::Malformed),
        }
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
