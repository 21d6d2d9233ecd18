//! Packets and payload on their way in.
//!
//! Every check is made as soon as the bytes it is about are there, and checks are made in the order of the bytes: so
//! that the same is found however the input is cut.

use crate::flow::{Packet, Reply, State, Step, Tell};
use crate::property::Place;
use crate::reason::Carrier;
use crate::wire::{self, Reader, kind};
use crate::{Engine, Error, Event, Message, PacketId, Phase, QoS, Reason, Request, RequestKind, Version};
use crate::{property, v4, v5};

/// The message that arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    /// Bytes of its payload that are to come.
    pub(crate) remaining: u32,
    /// Nobody has seen it yet.
    is_new: bool,
    /// What its end leads to, above QoS 0.
    exchange: Option<(PacketId, Step)>,
}

/// A packet's first byte and remaining length.
#[derive(Clone, Copy, Debug)]
struct FixedHeader {
    first: u8,
    /// Bytes of this header.
    len: usize,
    /// Bytes behind it.
    rest: usize,
}

impl FixedHeader {
    fn kind(&self) -> u8 {
        self.first >> 4
    }
}

impl Engine {
    /// Looks at `input`: how much of it is done with, and what it was. `(0, None)` asks for more; the next call begins
    /// with the same bytes. At most one event a call, because what it leads to may end the connection.
    ///
    /// # Errors
    /// The server has broken a rule. The connection is of no use after that: the same error again and again.
    /// [`Engine::poll_output`] has what MQTT 5 says to the server then.
    pub fn input(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Error> {
        let result = self.step(input);
        match result {
            Ok((1.., _)) => self.keep_alive.heard(),
            Ok(_) => {}
            Err(error) => self.fail(error),
        }
        result
    }

    fn step(&mut self, input: &[u8]) -> Result<(usize, Option<Event>), Error> {
        match self.phase {
            Phase::Failed(error) => return Err(error),
            // What a server says after the last word is nothing.
            Phase::Over => return Ok((input.len(), None)),
            Phase::New if !input.is_empty() => return Err(Error::Order),
            Phase::New | Phase::Connecting | Phase::Connected => {}
        }
        if let Some(incoming) = self.incoming {
            return Ok(self.piece(incoming, input));
        }
        if self.phase == Phase::Connected
            && let Some(id) = self.session.next_forgotten()
        {
            return Ok((0, Some(Event::Forgotten(id))));
        }
        if self.is_paused() {
            return Ok((0, None));
        }
        let Some(header) = self.fixed_header(input)? else { return Ok((0, None)) };
        let body = input.get(header.len..).unwrap_or_default();
        let body = body.get(..header.rest).unwrap_or(body);
        if header.kind() == kind::PUBLISH {
            let Some(head) = self.message_head(&header, body)? else { return Ok((0, None)) };
            let event = self.message(&header, head)?;
            return Ok((header.len.saturating_add(head.len()), event));
        }
        if body.len() < header.rest {
            return Ok((0, None));
        }
        let event = self.control(header.kind(), body)?;
        Ok((header.len.saturating_add(header.rest), event))
    }

    /// A fixed header, if it is there as a whole, of a packet that may come now (MQTT 5, 2.1).
    fn fixed_header(&self, input: &[u8]) -> Result<Option<FixedHeader>, Error> {
        let Some((&first, behind)) = input.split_first() else { return Ok(None) };
        self.check_first(first)?;
        let Some((rest, len)) = wire::variable(behind)? else { return Ok(None) };
        let header = FixedHeader { first, len: len.saturating_add(1), rest: rest as usize };
        if header.len.saturating_add(header.rest) > self.limits.packet as usize {
            return Err(Error::TooLarge);
        }
        let kind = header.kind();
        if kind != kind::PUBLISH && rest > self.limits.head {
            return Err(Error::TooLarge);
        }
        let fits = match (self.version, kind) {
            (_, kind::PINGRESP) => rest == 0,
            // A refusal in MQTT 5 is longer.
            (Version::V4, kind) => rest == 2 || matches!(kind, kind::CONNACK | kind::PUBLISH | kind::SUBACK),
            _ => true,
        };
        if fits { Ok(Some(header)) } else { Err(Error::Length) }
    }

    /// Type and flags (MQTT 5, 2.1.2 and 2.1.3), and whether it is the packet's turn (3.1.4, 3.2).
    fn check_first(&self, first: u8) -> Result<(), Error> {
        let (kind, flags) = (first >> 4, first & 0x0f);
        match kind {
            kind::PUBLISH if flags & 0x06 == 0x06 || flags & 0x0e == 0x08 => return Err(Error::Qos),
            kind::PUBLISH => {}
            kind::CONNACK
            | kind::PUBACK
            | kind::PUBREC
            | kind::PUBREL
            | kind::PUBCOMP
            | kind::SUBACK
            | kind::UNSUBACK
            | kind::PINGRESP
            | kind::DISCONNECT
                if kind != kind::DISCONNECT || self.version == Version::V5 =>
            {
                if flags != if kind == kind::PUBREL { 2 } else { 0 } {
                    return Err(Error::Flags);
                }
            }
            kind::AUTH if self.version == Version::V5 => return Err(Error::Auth),
            _ => return Err(Error::PacketType),
        }
        let in_turn = (self.phase == Phase::Connecting) == (kind == kind::CONNACK);
        if in_turn { Ok(()) } else { Err(Error::Order) }
    }

    /// What stands before a message's payload, if it is there as a whole.
    fn message_head<'a>(&self, header: &FixedHeader, body: &'a [u8]) -> Result<Option<&'a [u8]>, Error> {
        let more = |have: usize| if have >= header.rest { Err(Error::Length) } else { Ok(None) };
        let Some((topic, _)) = body.split_first_chunk() else { return more(body.len()) };
        let id = if header.first & 0x06 == 0 { 0 } else { 2 };
        let mut len = usize::from(u16::from_be_bytes(*topic)).saturating_add(2 + id);
        self.check_head(len, header)?;
        if self.version == Version::V5 {
            let Some(behind) = body.get(len..) else { return more(body.len()) };
            let Some((properties, taken)) = wire::variable(behind)? else { return more(body.len()) };
            len = len.saturating_add(taken).saturating_add(properties as usize);
            self.check_head(len, header)?;
        }
        Ok(body.get(..len))
    }

    fn check_head(&self, len: usize, header: &FixedHeader) -> Result<(), Error> {
        match len {
            _ if len > header.rest => Err(Error::Length),
            _ if len > self.limits.head as usize => Err(Error::TooLarge),
            _ => Ok(()),
        }
    }

    /// A message begins (MQTT 5, 3.3). `head` is all that stands before its payload.
    fn message(&mut self, header: &FixedHeader, head: &[u8]) -> Result<Option<Event>, Error> {
        let qos = QoS::new(header.first >> 1 & 3).ok_or(Error::Qos)?;
        let mut reader = Reader(head);
        let topic = reader.string()?;
        // [MQTT-3.3.2-2]. An empty one is for those that an alias stands for.
        if !(crate::is_topic(topic) || (topic.is_empty() && self.version == Version::V5)) {
            return Err(Error::Topic);
        }
        let id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        self.properties.clear();
        let mut alias = None;
        if self.version == Version::V5 {
            let properties = property::take(&mut reader, Place::Message, |property| {
                if let crate::Property::TopicAlias(number) = property {
                    alias = Some(number);
                }
            })?;
            self.properties.extend_from_slice(properties);
        }
        let topic = match alias {
            Some(alias) => self.aliases.resolve(alias, topic, self.limits.aliases)?,
            None if topic.is_empty() => return Err(Error::Topic),
            None => topic,
        };
        self.topic.clear();
        self.topic.push_str(topic);
        let len = header.rest.saturating_sub(head.len()) as u32;
        let incoming = self.exchange(len, qos, id)?;
        if !incoming.is_new && len == 0 {
            self.message_end(incoming);
            return Ok(None);
        }
        self.incoming = Some(incoming);
        let (retain, dup) = (header.first & 1 != 0, header.first & 8 != 0);
        Ok(incoming.is_new.then_some(Event::Message(Message { qos, retain, dup, len })))
    }

    /// What a message's QoS and id come to. They count when it is complete: one that breaks off with the connection comes
    /// again.
    fn exchange(&self, remaining: u32, qos: QoS, id: Option<PacketId>) -> Result<Incoming, Error> {
        let Some(id) = id else { return Ok(Incoming { remaining, is_new: true, exchange: None }) };
        let packet = if qos == QoS::ExactlyOnce { Packet::Publish2 } else { Packet::Publish1 };
        let step = self.session.arriving(id, packet)?;
        let is_new = step.tell == Tell::Deliver;
        // [MQTT-3.3.4-9]. 3.1.1 has no word for it.
        if is_new && self.version == Version::V5 && self.open >= self.limits.receive.max(1) {
            return Err(Error::ReceiveMaximum);
        }
        Ok(Incoming { remaining, is_new, exchange: Some((id, step)) })
    }

    /// A piece of the message's payload.
    fn piece(&mut self, mut incoming: Incoming, input: &[u8]) -> (usize, Option<Event>) {
        let taken = input.len().min(incoming.remaining as usize);
        if taken == 0 && incoming.remaining > 0 {
            return (0, None);
        }
        incoming.remaining = incoming.remaining.saturating_sub(taken as u32);
        let is_last = incoming.remaining == 0;
        if is_last {
            self.message_end(incoming);
        } else {
            self.incoming = Some(incoming);
        }
        (taken, incoming.is_new.then_some(Event::Payload { range: 0..taken, is_last }))
    }

    fn message_end(&mut self, incoming: Incoming) {
        self.incoming = None;
        let Some((id, step)) = incoming.exchange else { return };
        if incoming.is_new && step.next == State::Pubrel {
            self.open = self.open.saturating_add(1);
        }
        self.session.arrived(id, step);
        self.reply(step.reply, id);
    }

    /// What the engine itself answers (MQTT 5, 3.4 to 3.7): in order of what it answers to ([MQTT-4.6.0-2]).
    fn reply(&mut self, reply: Option<Reply>, id: PacketId) {
        let (kind, flags, is_unknown) = match reply {
            None => return,
            Some(Reply::Puback) => (kind::PUBACK, 0, false),
            Some(Reply::Pubrec) => (kind::PUBREC, 0, false),
            Some(Reply::Pubrel) => (kind::PUBREL, 2, false),
            Some(Reply::PubrelUnknown) => (kind::PUBREL, 2, true),
            Some(Reply::Pubcomp) => (kind::PUBCOMP, 0, false),
            Some(Reply::PubcompUnknown) => (kind::PUBCOMP, 0, true),
        };
        let [high, low] = id.get().to_be_bytes();
        let first = kind << 4 | flags;
        if is_unknown && self.version == Version::V5 {
            self.replies.extend_from_slice(&[first, 3, high, low, Reason::PACKET_ID_NOT_FOUND.code()]);
        } else {
            self.replies.extend_from_slice(&[first, 2, high, low]);
        }
    }

    /// A packet without payload, whole.
    fn control(&mut self, kind: u8, body: &[u8]) -> Result<Option<Event>, Error> {
        self.properties.clear();
        match kind {
            kind::CONNACK => self.connack(body).map(Some),
            kind::PUBACK => self.answer(Packet::Puback, body),
            kind::PUBREC => self.answer(Packet::Pubrec, body),
            kind::PUBCOMP => self.answer(Packet::Pubcomp, body),
            kind::PUBREL => self.release(body),
            kind::SUBACK => self.suback(body).map(Some),
            kind::UNSUBACK => self.unsuback(body).map(Some),
            kind::PINGRESP => self.keep_alive.pong().map(|()| Some(Event::Pong)),
            kind::DISCONNECT => {
                let reason = v5::disconnect(body, &mut self.properties)?;
                self.end();
                Ok(Some(Event::Disconnected(reason)))
            }
            _ => Err(Error::PacketType),
        }
    }

    fn connack(&mut self, body: &[u8]) -> Result<Event, Error> {
        let (session_present, reason) = match self.version {
            Version::V4 => v4::connack(body)?,
            Version::V5 => v5::connack(body, &mut self.server, &mut self.properties)?,
        };
        // [MQTT-3.2.2-2], [MQTT-3.2.2-6]; and of MQTT 5, [MQTT-3.2.2-4].
        let unknown = self.version == Version::V5 && !self.asked.had_session;
        if session_present && (self.asked.clean_start || reason != Reason::SUCCESS || unknown) {
            return Err(Error::Connack);
        }
        if reason != Reason::SUCCESS {
            self.end();
            return Ok(Event::Refused(reason));
        }
        self.phase = Phase::Connected;
        if let Some(seconds) = self.server.keep_alive {
            self.keep_alive.set_interval(seconds);
        }
        self.quota = self.server.receive_maximum.min(self.limits.in_flight);
        self.resume(session_present);
        Ok(Event::Connected { session_present })
    }

    /// The exchanges of earlier connections go on, or are no more.
    fn resume(&mut self, session_present: bool) {
        self.session_present = session_present;
        if session_present {
            // [MQTT-4.4.0-1]: what was released is released again; messages are their callers' to send.
            for id in self.session.releases() {
                self.reply(Some(Reply::Pubrel), id);
            }
        } else {
            self.session.forget();
        }
        self.session.rewind();
        let expiry = self.server.session_expiry.unwrap_or(self.asked.session_expiry);
        self.session.set_exists(expiry > 0);
    }

    /// PUBACK, PUBREC or PUBCOMP.
    fn answer(&mut self, packet: Packet, body: &[u8]) -> Result<Option<Event>, Error> {
        let carrier = if packet == Packet::Pubcomp { Carrier::Released } else { Carrier::Received };
        let (id, reason) = self.acknowledgement(carrier, body)?;
        // What is not there as a whole can be refused, but not taken.
        if !reason.is_failure() && self.outgoing.is_some_and(|outgoing| outgoing.id == Some(id)) {
            return Err(Error::Order);
        }
        let packet =
            if packet == Packet::Pubrec && reason.is_failure() { Packet::PubrecFailed } else { packet };
        let step = self.session.answered(id, packet)?;
        self.reply(step.reply, id);
        Ok(match step.tell {
            Tell::Over => {
                // MQTT 5, 4.9: as far as the server's maximum, and not beyond.
                let most = self.server.receive_maximum.min(self.limits.in_flight);
                self.quota = self.quota.saturating_add(1).min(most);
                Some(Event::Acknowledged { id, reason })
            }
            Tell::Received => Some(Event::Received(id)),
            Tell::Nothing | Tell::Deliver => None,
        })
    }

    fn release(&mut self, body: &[u8]) -> Result<Option<Event>, Error> {
        let (id, _) = self.acknowledgement(Carrier::Released, body)?;
        let step = self.session.arriving(id, Packet::Pubrel)?;
        if step.reply == Some(Reply::Pubcomp) {
            self.open = self.open.saturating_sub(1);
        }
        self.session.arrived(id, step);
        self.reply(step.reply, id);
        Ok(None)
    }

    /// The place of properties in what acknowledges something.
    fn ack_place(&self) -> Place {
        if self.asked.no_problem_information { Place::BareAck } else { Place::Ack }
    }

    fn acknowledgement(&mut self, carrier: Carrier, body: &[u8]) -> Result<(PacketId, Reason), Error> {
        let place = self.ack_place();
        match self.version {
            Version::V4 => Ok((Reader(body).packet_id()?, Reason::SUCCESS)),
            Version::V5 => v5::acknowledgement(body, carrier, place, &mut self.properties),
        }
    }

    fn suback(&mut self, body: &[u8]) -> Result<Event, Error> {
        self.reasons.clear();
        let place = self.ack_place();
        let id = match self.version {
            Version::V4 => v4::suback(body, &mut self.reasons)?,
            Version::V5 => {
                v5::answers(body, Carrier::Suback, place, &mut self.properties, &mut self.reasons)?
            }
        };
        let request = self.requested(id, RequestKind::Subscribe)?;
        // [MQTT-3.8.4-5]: an answer for each.
        if self.reasons.len() == request.filters { Ok(Event::Subscribed(id)) } else { Err(Error::Answers) }
    }

    fn unsuback(&mut self, body: &[u8]) -> Result<Event, Error> {
        self.reasons.clear();
        let place = self.ack_place();
        let id = match self.version {
            Version::V4 => v4::unsuback(body)?,
            Version::V5 => {
                v5::answers(body, Carrier::Unsuback, place, &mut self.properties, &mut self.reasons)?
            }
        };
        let request = self.requested(id, RequestKind::Unsubscribe)?;
        let answered = self.version == Version::V4 || self.reasons.len() == request.filters;
        if answered { Ok(Event::Unsubscribed(id)) } else { Err(Error::Answers) }
    }

    /// Takes what is answered from those that wait.
    fn requested(&mut self, id: PacketId, kind: RequestKind) -> Result<Request, Error> {
        let at = self.requests.iter().position(|request| request.id == id && request.kind == kind);
        at.map(|at| self.requests.remove(at)).ok_or(Error::Order)
    }
}
