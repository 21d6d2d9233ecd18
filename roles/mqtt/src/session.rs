//! What outlives a connection: messages in flight, and the ids of those that were received (MQTT 5, 4.1).

use crate::flow::{self, Packet, State, Step};
use crate::{Error, PacketId, QoS};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// An outgoing message that the server has not acknowledged for good.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    id: PacketId,
    state: State,
    /// It has gone out on the connection that there is.
    is_sent: bool,
    /// When its PUBREC came, counted in PUBRECs.
    released: u64,
}

/// A client's side of a session: what is in flight, both ways. It goes into an [`Engine`] with each connection and
/// comes out of it again ([`Engine::into_session`]). It holds packet ids, never payload.
///
/// ```
/// use millstream_mqtt::{Connect, Engine, Limits, Publish, QoS, Session, Version};
///
/// let connect = Connect { client_id: "thermometer", clean_start: false, ..Connect::default() };
/// let publish = Publish { topic: "attic", qos: QoS::ExactlyOnce, ..Publish::default() };
/// let mut out = Vec::new();
/// let mut engine = Engine::new(Version::V4, Limits::default(), Session::new());
/// engine.connect(&connect, 0, &mut out).unwrap();
/// engine.input(&[0x20, 2, 0, 0]).unwrap();
/// let id = engine.publish(&publish, 2, &mut out).unwrap().unwrap();
///
/// // The connection breaks, and so does the message.
/// let mut engine = Engine::new(Version::V4, Limits::default(), engine.into_session());
/// engine.connect(&connect, 0, &mut out).unwrap();
/// engine.input(&[0x20, 2, 1, 0]).unwrap();
/// assert_eq!(engine.next_resend(), Some((id, QoS::ExactlyOnce)));
/// out.clear();
/// engine.resend(id, &publish, 2, &mut out).unwrap();
/// assert_eq!(out, b"\x3c\x0b\0\x05attic\0\x01");
/// ```
///
/// [`Engine`]: crate::Engine
/// [`Engine::into_session`]: crate::Engine::into_session
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// In the order in which they were first sent.
    outgoing: VecDeque<Outgoing>,
    /// Sorted.
    received: Vec<PacketId>,
    /// Those of messages that were given up while the server might have had them. Sorted.
    resting: Vec<PacketId>,
    last_id: u16,
    releases: u64,
    /// Of `outgoing`: those to be sent again, and those to be told as forgotten.
    unsent: usize,
    forgotten: usize,
    exists: bool,
}

impl Session {
    /// That of a client which has not been connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// That of a client which has been connected in an earlier life of the process and had nothing in flight: MQTT 5
    /// lets only a client with a session accept the server's ([MQTT-3.2.2-4]), others have to begin with a clean start.
    pub fn resumed() -> Self {
        Self { exists: true, ..Self::default() }
    }

    /// Outgoing messages that are not acknowledged for good.
    pub fn in_flight(&self) -> usize {
        self.outgoing.len()
    }

    /// The server may have a session too.
    pub(crate) fn exists(&self) -> bool {
        self.exists
    }

    pub(crate) fn set_exists(&mut self, exists: bool) {
        self.exists = exists;
    }

    /// A connection begins: nothing has gone out on it.
    pub(crate) fn rewind(&mut self) {
        self.unsent = 0;
        for message in &mut self.outgoing {
            message.is_sent = false;
            self.unsent += usize::from(matches!(message.state, State::Puback | State::Pubrec));
        }
    }

    /// The server goes on with its session: the ids to release again, in order of their PUBRECs ([MQTT-4.6.0-4]).
    pub(crate) fn releases(&self) -> Vec<PacketId> {
        let waiting = self.outgoing.iter().filter(|message| message.state == State::Pubcomp);
        let mut ids: Vec<_> = waiting.map(|message| (message.released, message.id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// The server has none. What it did not say it has is sent anew; what it said it has, it has forgotten, and to send
    /// that again could deliver it twice.
    pub(crate) fn forget(&mut self) {
        self.received.clear();
        self.resting.clear();
        for message in &mut self.outgoing {
            if message.state == State::Pubcomp {
                message.state = State::Forgotten;
                self.forgotten += 1;
            }
        }
    }

    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgotten > 0
    }

    pub(crate) fn next_forgotten(&mut self) -> Option<PacketId> {
        if self.forgotten == 0 {
            return None;
        }
        let at = self.outgoing.iter().position(|message| message.state == State::Forgotten)?;
        self.forgotten -= 1;
        self.outgoing.remove(at).map(|message| message.id)
    }

    /// The next message to be sent again ([MQTT-4.6.0-1]: in the order in which they were sent first).
    pub(crate) fn next_unsent(&self) -> Option<(PacketId, QoS)> {
        if self.unsent == 0 {
            return None;
        }
        self.outgoing.iter().find_map(|message| match message.state {
            State::Puback if !message.is_sent => Some((message.id, QoS::AtLeastOnce)),
            State::Pubrec if !message.is_sent => Some((message.id, QoS::ExactlyOnce)),
            _ => None,
        })
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    pub(crate) fn set_sent(&mut self, id: PacketId) {
        if let Some(at) = self.find(id)
            && let Some(message) = self.outgoing.get_mut(at)
            && !message.is_sent
        {
            message.is_sent = true;
            self.unsent = self.unsent.saturating_sub(1);
        }
    }

    /// The message that was to be sent again will not be. At QoS 2 its id `rests` if the server may know it: a new message
    /// under it would be taken for the old one.
    pub(crate) fn give_up(&mut self, id: PacketId, rests: bool) {
        let Some(at) = self.find(id) else { return };
        self.set_sent(id);
        let Some(message) = self.outgoing.remove(at) else { return };
        if let (true, State::Pubrec, Err(place)) = (rests, message.state, self.resting.binary_search(&id)) {
            self.resting.insert(place, id);
        }
    }

    /// An id that no exchange has, neither here nor by what `is_taken` says.
    pub(crate) fn free_id(&mut self, is_taken: impl Fn(PacketId) -> bool) -> Option<PacketId> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = PacketId::new(self.last_id)
                && self.find(id).is_none()
                && self.resting.binary_search(&id).is_err()
                && !is_taken(id)
            {
                return Some(id);
            }
        }
        None
    }

    /// A new message goes out.
    pub(crate) fn send(&mut self, id: PacketId, qos: QoS) {
        let state = if qos == QoS::ExactlyOnce { State::Pubrec } else { State::Puback };
        self.outgoing.push_back(Outgoing { id, state, is_sent: true, released: 0 });
    }

    /// Acknowledgements come in the order of the messages: the search ends at the front as a rule.
    fn find(&self, id: PacketId) -> Option<usize> {
        self.outgoing.iter().position(|message| message.id == id)
    }

    /// The server's answer to an outgoing message.
    pub(crate) fn answered(&mut self, id: PacketId, packet: Packet) -> Result<Step, Error> {
        let Some(at) = self.find(id) else { return self.answered_late(id, packet) };
        let Some(message) = self.outgoing.get_mut(at) else { return Err(Error::Order) };
        let step = flow::step(message.state, packet)?;
        if !message.is_sent && matches!(message.state, State::Puback | State::Pubrec) {
            self.unsent = self.unsent.saturating_sub(1);
        }
        if step.next == State::Idle {
            self.outgoing.remove(at);
        } else {
            if message.state != step.next {
                self.releases += 1;
                message.released = self.releases;
            }
            message.state = step.next;
        }
        Ok(step)
    }

    /// The server's answer to a message that was given up, or to none.
    fn answered_late(&mut self, id: PacketId, packet: Packet) -> Result<Step, Error> {
        let Ok(place) = self.resting.binary_search(&id) else { return flow::step(State::Idle, packet) };
        let step = flow::step(State::GivenUp, packet)?;
        self.resting.remove(place);
        if step.next == State::Pubcomp {
            self.releases += 1;
            let released = self.releases;
            self.outgoing.push_back(Outgoing { id, state: State::Pubcomp, is_sent: true, released });
        }
        Ok(step)
    }

    /// What an incoming message, or its release, leads to; `arrived` takes that step.
    pub(crate) fn arriving(&self, id: PacketId, packet: Packet) -> Result<Step, Error> {
        let state = if self.received.binary_search(&id).is_ok() { State::Pubrel } else { State::Idle };
        flow::step(state, packet)
    }

    pub(crate) fn arrived(&mut self, id: PacketId, step: Step) {
        match (self.received.binary_search(&id), step.next) {
            (Err(at), State::Pubrel) => self.received.insert(at, id),
            (Ok(at), State::Idle) => drop(self.received.remove(at)),
            _ => {}
        }
    }
}
