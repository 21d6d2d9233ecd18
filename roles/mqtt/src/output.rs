//! Packets and payload on their way out.

use crate::alias::Out;
use crate::property::{self, Place};
use crate::reason::Carrier;
use crate::topic::{has_wildcard, is_filter, is_shared, is_topic};
use crate::wire::{self, kind};
use crate::{
    Connect, EncodeError, Engine, PacketId, Phase, Property, Publish, QoS, Reason, Request, RequestKind,
    RetainHandling, Subscription, Version, Will, v4,
};
use alloc::vec::Vec;

/// The message that goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    /// Bytes of its payload that are to come.
    pub(crate) remaining: u32,
    /// Above QoS 0.
    pub(crate) id: Option<PacketId>,
}

impl Engine {
    /// Appends CONNECT, the first packet of a connection, at `now`, in microseconds.
    ///
    /// # Errors
    /// It was sent already, or something in it is malformed: nothing was appended.
    pub fn connect(&mut self, connect: &Connect<'_>, now: u64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.phase != Phase::New {
            return Err(EncodeError::Turn);
        }
        self.check_properties(connect.properties)?;
        if self.version == Version::V4 {
            // [MQTT-3.1.3-7], [MQTT-3.1.2-22] of 3.1.1.
            if connect.client_id.is_empty() && !connect.clean_start {
                return Err(EncodeError::ClientId);
            }
            if connect.password.is_some() && connect.user_name.is_none() {
                return Err(EncodeError::Password);
            }
        }
        let largest = wire::LARGEST;
        wire::packet(out, kind::CONNECT << 4, 0, largest, |out| self.push_connect(connect, out))?;
        self.asked = crate::Asked {
            clean_start: connect.clean_start,
            session_expiry: if self.version == Version::V4 && !connect.clean_start { u32::MAX } else { 0 },
            no_problem_information: false,
            had_session: self.session.exists(),
        };
        for property in connect.properties {
            match property {
                Property::SessionExpiry(seconds) => self.asked.session_expiry = *seconds,
                Property::RequestProblemInformation(flag) => self.asked.no_problem_information = !flag,
                _ => {}
            }
        }
        // The server has a session from here on, even if its CONNACK gets lost.
        self.session.set_exists(self.asked.had_session || self.asked.session_expiry > 0);
        self.phase = Phase::Connecting;
        self.keep_alive.start(connect.keep_alive, now);
        Ok(())
    }

    fn push_connect(&self, connect: &Connect<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let level = if self.version == Version::V4 { 4 } else { 5 };
        let will = connect.will.as_ref();
        let will_flags = will.map_or(0, |will| 0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5);
        let flags = u8::from(connect.clean_start) << 1
            | will_flags
            | u8::from(connect.password.is_some()) << 6
            | u8::from(connect.user_name.is_some()) << 7;
        out.extend_from_slice(b"\0\x04MQTT");
        out.extend_from_slice(&[level, flags]);
        out.extend_from_slice(&connect.keep_alive.to_be_bytes());
        if self.version == Version::V5 {
            self.push_connect_properties(connect.properties, out)?;
        }
        wire::push_string(connect.client_id, out)?;
        if let Some(will) = will {
            self.push_will(will, out)?;
        }
        if let Some(name) = connect.user_name {
            wire::push_string(name, out)?;
        }
        connect.password.map_or(Ok(()), |password| wire::push_binary(password, out))
    }

    /// The caller's, and what of the limits is not as it is anyway.
    fn push_connect_properties(
        &self,
        callers: &[Property<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let limits = &self.limits;
        let all = [
            Property::ReceiveMaximum(limits.receive.max(1)),
            Property::TopicAliasMaximum(limits.aliases),
            Property::MaximumPacketSize(limits.packet.max(1)),
        ];
        let own = if limits.packet < wire::LARGEST { &all[..] } else { all.get(..2).unwrap_or_default() };
        property::push(callers, Place::Connect, own, Place::ConnectLimits, out)
    }

    fn push_will(&self, will: &Will<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !is_topic(will.topic) {
            return Err(EncodeError::Topic);
        }
        self.check_properties(will.properties)?;
        if self.version == Version::V5 {
            property::push(will.properties, Place::Will, &[], Place::Will, out)?;
        }
        wire::push_string(will.topic, out)?;
        wire::push_binary(will.message, out)
    }

    /// A message of this QoS can go out now: the connection is there, no other message is under way, and the in-flight
    /// window has room.
    pub fn can_publish(&self, qos: QoS) -> bool {
        self.check_turn().is_ok() && (qos == QoS::AtMostOnce || self.check_window().is_ok())
    }

    /// Appends what stands before the `len` bytes of a message's payload. The payload itself goes out right behind it,
    /// by the caller, who tells each piece of it by [`Self::payload`]; nothing else can go out before its end. Gives the
    /// id by which the message is acknowledged, above QoS 0.
    ///
    /// # Errors
    /// See [`EncodeError`]: nothing was appended.
    pub fn publish(
        &mut self,
        publish: &Publish<'_>,
        len: u32,
        out: &mut Vec<u8>,
    ) -> Result<Option<PacketId>, EncodeError> {
        self.check_turn()?;
        self.check_publish(publish)?;
        if publish.qos == QoS::AtMostOnce {
            self.push_publish(publish, None, false, len, out)?;
            return Ok(None);
        }
        self.check_window()?;
        let id = self.free_id()?;
        self.push_publish(publish, Some(id), false, len, out)?;
        self.session.send(id, publish.qos);
        self.quota = self.quota.saturating_sub(1);
        Ok(Some(id))
    }

    /// The message of an earlier connection that is to be sent again next, by [`Self::resend`], or given up
    /// ([`Self::give_up`]): messages go out again in the order in which they went out first, and before any new one of
    /// QoS 1 or 2 ([MQTT-4.6.0-1]). None: there is none, or there is no room for it at present.
    ///
    /// Where the server had no session any more ([`Event::Connected`](crate::Event::Connected)) such a message is sent
    /// anew. It may have been delivered before then, even one of QoS 2: that is the price of the server's loss, and for the
    /// caller to judge.
    pub fn next_resend(&self) -> Option<(PacketId, QoS)> {
        if self.check_turn().is_err() || self.quota == 0 { None } else { self.session.next_unsent() }
    }

    /// As [`Self::publish`], with the message that [`Self::next_resend`] gave.
    ///
    /// # Errors
    /// [`EncodeError::Resend`]: another message's turn, or QoS. Others as with [`Self::publish`]; where the server takes
    /// less than the last one did, the message has to be given up.
    pub fn resend(
        &mut self,
        id: PacketId,
        publish: &Publish<'_>,
        len: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.check_turn()?;
        self.check_publish(publish)?;
        if self.next_resend() != Some((id, publish.qos)) {
            return Err(EncodeError::Resend);
        }
        // [MQTT-3.3.1-1]. To a server without a session it is new.
        self.push_publish(publish, Some(id), self.session_present, len, out)?;
        self.session.set_sent(id);
        self.quota = self.quota.saturating_sub(1);
        Ok(())
    }

    /// The message that was to be sent again will not be: nobody has it any more, say, or wants it to be delivered. The
    /// server may have it nevertheless; at QoS 2 it then goes its way, and [`Event::Acknowledged`] comes all the same.
    /// Nothing, with an id that does not wait to be sent again.
    ///
    /// [`Event::Acknowledged`]: crate::Event::Acknowledged
    pub fn give_up(&mut self, id: PacketId) {
        if self.phase == Phase::Connected {
            self.session.give_up(id, self.session_present);
        }
    }

    /// `len` bytes of the payload have been written. True: the message is complete.
    ///
    /// # Errors
    /// [`EncodeError::TooMuch`]: there are not as many to come. Nothing has changed.
    pub fn payload(&mut self, len: usize) -> Result<bool, EncodeError> {
        let due = self.payload_due();
        let len = u32::try_from(len).ok().filter(|len| *len <= due).ok_or(EncodeError::TooMuch)?;
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.remaining = outgoing.remaining.saturating_sub(len);
        }
        if len == due {
            self.outgoing = None;
        }
        Ok(len == due)
    }

    /// Bytes of payload that were announced and are to come.
    pub fn payload_due(&self) -> u32 {
        self.outgoing.map_or(0, |outgoing| outgoing.remaining)
    }

    fn push_publish(
        &mut self,
        publish: &Publish<'_>,
        id: Option<PacketId>,
        dup: bool,
        len: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let first =
            kind::PUBLISH << 4 | u8::from(dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain);
        let most = self.server.aliases.min(self.limits.own_aliases);
        let alias = self.own_aliases.find(publish.topic, most);
        let (topic, number) = match alias {
            Out::Plain => (publish.topic, None),
            Out::Define(number) => (publish.topic, Some(Property::TopicAlias(number))),
            Out::Known(number) => ("", Some(Property::TopicAlias(number))),
        };
        wire::packet(out, first, len, self.server.maximum_packet, |out| {
            wire::push_string(topic, out)?;
            if let Some(id) = id {
                out.extend_from_slice(&id.get().to_be_bytes());
            }
            if self.version == Version::V4 {
                return Ok(());
            }
            property::push(publish.properties, Place::Publish, number.as_slice(), Place::PublishAlias, out)
        })?;
        if let Out::Define(_) = alias {
            self.own_aliases.define(publish.topic);
        }
        self.outgoing = (len > 0).then_some(Outgoing { remaining: len, id });
        Ok(())
    }

    /// Appends SUBSCRIBE. Gives the id of its answer.
    ///
    /// # Errors
    /// See [`EncodeError`]: nothing was appended.
    pub fn subscribe(
        &mut self,
        subscriptions: &[Subscription<'_>],
        properties: &[Property<'_>],
        out: &mut Vec<u8>,
    ) -> Result<PacketId, EncodeError> {
        self.check_request(properties)?;
        if subscriptions.is_empty() {
            return Err(EncodeError::Filter);
        }
        subscriptions.iter().try_for_each(|subscription| self.check_subscription(subscription))?;
        let has_id = properties.iter().any(|property| matches!(property, Property::SubscriptionId(_)));
        if has_id && !self.server.has_subscription_ids {
            return Err(EncodeError::Unsupported);
        }
        let id = self.free_id()?;
        match self.version {
            Version::V4 => v4::subscribe(id, subscriptions, out)?,
            Version::V5 => self.push_subscribe(id, subscriptions, properties, out)?,
        }
        self.requests.push(Request { id, kind: RequestKind::Subscribe, filters: subscriptions.len() });
        Ok(id)
    }

    /// Whether [`Self::subscribe`] can have this filter at all, on the connection that there is: alone, if not with others.
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn check_subscribe(&self, subscription: &Subscription<'_>) -> Result<(), EncodeError> {
        self.check_subscription(subscription)?;
        // Fixed header at its longest, id, no properties, length of the filter, options.
        let len = subscription.filter.len().saturating_add(5 + 2 + 1 + 2 + 1);
        let fits = self.version == Version::V4 || len as u64 <= u64::from(self.server.maximum_packet);
        if fits { Ok(()) } else { Err(EncodeError::TooLarge) }
    }

    fn push_subscribe(
        &self,
        id: PacketId,
        subscriptions: &[Subscription<'_>],
        properties: &[Property<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        wire::packet(out, kind::SUBSCRIBE << 4 | 2, 0, self.server.maximum_packet, |out| {
            out.extend_from_slice(&id.get().to_be_bytes());
            property::push(properties, Place::Subscribe, &[], Place::Subscribe, out)?;
            subscriptions.iter().try_for_each(|subscription| {
                wire::push_string(subscription.filter, out)?;
                let options = subscription.qos as u8
                    | u8::from(subscription.no_local) << 2
                    | u8::from(subscription.retain_as_published) << 3
                    | (subscription.retain_handling as u8) << 4;
                out.push(options);
                Ok(())
            })
        })
    }

    /// Appends UNSUBSCRIBE. Gives the id of its answer.
    ///
    /// # Errors
    /// See [`EncodeError`]: nothing was appended.
    pub fn unsubscribe(
        &mut self,
        filters: &[&str],
        properties: &[Property<'_>],
        out: &mut Vec<u8>,
    ) -> Result<PacketId, EncodeError> {
        self.check_request(properties)?;
        if filters.is_empty() || !filters.iter().all(|filter| is_filter(filter)) {
            return Err(EncodeError::Filter);
        }
        let id = self.free_id()?;
        match self.version {
            Version::V4 => v4::unsubscribe(id, filters, out)?,
            Version::V5 => {
                wire::packet(out, kind::UNSUBSCRIBE << 4 | 2, 0, self.server.maximum_packet, |out| {
                    out.extend_from_slice(&id.get().to_be_bytes());
                    property::push(properties, Place::Unsubscribe, &[], Place::Unsubscribe, out)?;
                    filters.iter().try_for_each(|filter| wire::push_string(filter, out))
                })?;
            }
        }
        self.requests.push(Request { id, kind: RequestKind::Unsubscribe, filters: filters.len() });
        Ok(id)
    }

    /// Appends what the engine itself has to send, and DISCONNECT: the connection is over. 3.1.1 knows
    /// [`Reason::SUCCESS`] alone; with that, the server drops the will.
    ///
    /// # Errors
    /// There is no connection, or a message is under way, or the reason or a property is none for a DISCONNECT: nothing
    /// was appended.
    pub fn disconnect(
        &mut self,
        reason: Reason,
        properties: &[Property<'_>],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let has_begun = matches!(self.phase, Phase::Connecting | Phase::Connected);
        if !has_begun || self.outgoing.is_some() {
            return Err(EncodeError::Turn);
        }
        self.check_properties(properties)?;
        let is_known = match self.version {
            Version::V4 => reason == Reason::SUCCESS,
            Version::V5 => Reason::from_wire(reason.code(), Carrier::Disconnect).is_some(),
        };
        if !is_known {
            return Err(EncodeError::Reason);
        }
        // MQTT 5, 3.14.2.2.2: what was to end with the connection cannot be made to outlive it.
        let prolongs = properties.iter().any(|property| matches!(property, Property::SessionExpiry(1..)));
        if prolongs && self.asked.session_expiry == 0 {
            return Err(EncodeError::Property);
        }
        let mut packet = Vec::new();
        wire::packet(&mut packet, kind::DISCONNECT << 4, 0, self.server.maximum_packet, |out| {
            if reason == Reason::SUCCESS && properties.is_empty() {
                return Ok(());
            }
            out.push(reason.code());
            property::push(properties, Place::Disconnect, &[], Place::Disconnect, out)
        })?;
        out.append(&mut self.replies);
        out.append(&mut packet);
        self.end();
        Ok(())
    }

    fn check_turn(&self) -> Result<(), EncodeError> {
        let free = self.phase == Phase::Connected && self.outgoing.is_none();
        if free { Ok(()) } else { Err(EncodeError::Turn) }
    }

    /// 3.1.1 has no properties.
    fn check_properties(&self, properties: &[Property<'_>]) -> Result<(), EncodeError> {
        let fits = self.version == Version::V5 || properties.is_empty();
        if fits { Ok(()) } else { Err(EncodeError::Property) }
    }

    fn check_publish(&self, publish: &Publish<'_>) -> Result<(), EncodeError> {
        self.check_properties(publish.properties)?;
        if !is_topic(publish.topic) {
            return Err(EncodeError::Topic);
        }
        // [MQTT-3.2.2-11], [MQTT-3.2.2-14].
        let does = publish.qos <= self.server.maximum_qos && (self.server.retains || !publish.retain);
        if does { Ok(()) } else { Err(EncodeError::Unsupported) }
    }

    fn check_window(&self) -> Result<(), EncodeError> {
        if self.session.has_unsent() {
            return Err(EncodeError::Resend);
        }
        let has_room = self.quota > 0 && self.session.in_flight() < usize::from(self.limits.in_flight);
        if has_room { Ok(()) } else { Err(EncodeError::Window) }
    }

    fn check_request(&self, properties: &[Property<'_>]) -> Result<(), EncodeError> {
        self.check_turn()?;
        self.check_properties(properties)?;
        let has_room = self.requests.len() < usize::from(self.limits.requests);
        if has_room { Ok(()) } else { Err(EncodeError::Requests) }
    }

    fn check_subscription(&self, subscription: &Subscription<'_>) -> Result<(), EncodeError> {
        let filter = subscription.filter;
        if !is_filter(filter) {
            return Err(EncodeError::Filter);
        }
        let has_options = subscription.no_local
            || subscription.retain_as_published
            || subscription.retain_handling != RetainHandling::Send;
        // [MQTT-3.8.3-4].
        let fits = match self.version {
            Version::V4 => !has_options,
            Version::V5 => !(subscription.no_local && is_shared(filter)),
        };
        if !fits {
            return Err(EncodeError::Filter);
        }
        let does = (self.server.has_wildcards || !has_wildcard(filter))
            && (self.server.has_shared || !is_shared(filter));
        if does { Ok(()) } else { Err(EncodeError::Unsupported) }
    }

    /// An id that no exchange and no request has.
    fn free_id(&mut self) -> Result<PacketId, EncodeError> {
        let requests = &self.requests;
        let id = self.session.free_id(|id| requests.iter().any(|request| request.id == id));
        id.ok_or(EncodeError::Window)
    }
}
