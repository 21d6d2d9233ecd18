//! MQTT: one connection for all streams that are the same client to the same server. Each of them is a child; here is what
//! they share: the engine, whose turn it is to send, who is acknowledged, who hears what.

mod connection;
mod info;
mod sending;
mod subscriptions;
mod user;

pub(crate) use connection::MqttSessions;
pub use info::{MqttInfo, MqttNotice};
pub(crate) use sending::Turn;

use super::Role;
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::secure_stream::{RxFlags, StreamId};
use crate::wsi::{Flags, PoolKey, Validity, Wait, WsiId, WsiState};
use ::mqtt::{Engine, Event, Limits, Message, PacketId, Properties, Reason, Session, Version};
use connection::{Begun, InFlight};
use info::refusal;
use sending::Sending;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use subscriptions::Subscription;

/// Bytes that may wait in front before no more is put there: a peer that does not read is not answered.
const FRONT_MOST: usize = 64 * 1024;

/// How long the answer to a ping may take where the policy does not say: what the context's own limits leave for it.
const PONG: Duration = Duration::from_secs(10);

/// What an MQTT connection has to tell to one of those that share it, beside payload.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum MqttEvent<'a> {
    /// CONNACK refuses: the connection is over.
    Refused(Reason, &'a Cause),
    /// SUBACK: there is a subscription, or why there is none.
    Subscribed(Result<(), &'a Cause>),
    /// A message begins. Its payload comes by [`Protocol::message`](crate::Protocol::message), at least one piece of it.
    Message {
        /// What it was published under.
        topic: &'a str,
        /// The server had kept it.
        is_retained: bool,
        /// What MQTT 5 says of it beside that.
        properties: &'a Properties<'a>,
    },
    /// What has become of a message: the server has it (at QoS 0: it was written), or will never have it.
    Acknowledged {
        /// What [`Cx::mqtt_publish`](crate::Cx::mqtt_publish) gave.
        ordinal: u32,
        /// Why the server does not have it.
        result: Result<(), &'a Cause>,
    },
}

/// What the users of a connection share.
#[derive(Debug)]
pub(crate) struct Mqtt {
    engine: Engine,
    /// What it was made with; nothing before CONNECT is sent.
    key: Option<PoolKey>,
    subscriptions: BTreeMap<Rc<str>, Subscription>,
    /// What each user has asked for.
    filters: BTreeSet<(WsiId, Rc<str>)>,
    /// Those of the filters that are not topics themselves.
    wildcards: BTreeSet<Rc<str>>,
    /// Filters of which the server has to be told something.
    unsaid: VecDeque<Rc<str>>,
    /// What was asked by each SUBSCRIBE that has no answer.
    asked: HashMap<PacketId, Vec<Rc<str>>>,
    in_flight: HashMap<PacketId, InFlight>,
    /// Answers for users that cannot hear them yet.
    late: VecDeque<connection::Late>,
    sending: Option<Sending>,
    /// What the user whose turn it is is asked for.
    turn: Turn,
    /// Who is asked for a message, and is not in line.
    asking: Option<WsiId>,
    /// Counts the messages of user code.
    ordinal: u32,
    /// Those that want to send, each once, and those of them for which the in-flight window is full.
    queue: VecDeque<WsiId>,
    blocked: VecDeque<WsiId>,
    /// For whom the message is that arrives.
    receivers: Vec<WsiId>,
    /// None of its payload has come.
    is_first: bool,
    topic: String,
    properties: Vec<u8>,
    /// Seconds: ours, or the server's.
    keep_alive: u16,
    begun: Begun,
    birth_due: bool,
    /// Who had the connection before this one; until CONNACK.
    owners: Vec<StreamId>,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            engine: Engine::new(Version::V4, Limits::default(), Session::new()),
            key: None,
            subscriptions: BTreeMap::new(),
            filters: BTreeSet::new(),
            wildcards: BTreeSet::new(),
            unsaid: VecDeque::new(),
            asked: HashMap::new(),
            in_flight: HashMap::new(),
            late: VecDeque::new(),
            sending: None,
            turn: Turn::default(),
            asking: None,
            ordinal: 0,
            queue: VecDeque::new(),
            blocked: VecDeque::new(),
            receivers: Vec::new(),
            is_first: false,
            topic: String::new(),
            properties: Vec::new(),
            keep_alive: 0,
            begun: Begun::default(),
            birth_due: false,
            owners: Vec::new(),
        }
    }
}

impl Mqtt {
    pub(super) fn is_paused(&self) -> bool {
        self.engine.is_paused()
    }

    pub(super) fn has_event(&self) -> bool {
        self.engine.has_event()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.engine.is_connected()
    }

    fn connect_info(&self) -> Option<&MqttInfo> {
        self.key.as_ref()?.mqtt.as_deref()
    }

    /// The keep alive is a promise to the server that it hears something that often (MQTT 3.1.1, 3.1.2.10).
    pub(super) fn limit_validity(&self, limits: Validity, is_said: bool) -> Validity {
        if self.keep_alive == 0 {
            return limits;
        }
        let promised = Duration::from_secs(self.keep_alive.into());
        let least = |limit: Option<Duration>, other: Duration| Some(limit.unwrap_or(other).min(other));
        let hangup = if is_said { limits.hangup } else { least(limits.hangup, promised + PONG) };
        Validity { ping: least(limits.ping, promised), hangup }
    }
}

impl Core {
    pub(super) fn mqtt_is(&self, id: WsiId) -> bool {
        matches!(self.wsis.get(id).map(|wsi| &wsi.role), Some(Role::Mqtt(_)))
    }

    /// The role of a connection that has users; none while it is on its way out.
    fn mqtt_mut(&mut self, id: WsiId) -> Option<&mut Mqtt> {
        let wsi = self.wsis.get_mut(id).filter(|wsi| wsi.state() == WsiState::Open)?;
        match &mut wsi.role {
            Role::Mqtt(mqtt) => Some(mqtt),
            _ => None,
        }
    }

    /// Puts what is to be said besides messages in front of the next. In the midst of one nothing can be said.
    pub(super) fn mqtt_flush(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id).filter(|wsi| wsi.state() == WsiState::Open) else { return };
        let Role::Mqtt(mqtt) = &mut wsi.role else { return };
        if mqtt.engine.payload_due() > 0 || wsi.front.len() > FRONT_MOST {
            return;
        }
        let was_paused = mqtt.engine.is_paused();
        if mqtt.engine.has_output() || !mqtt.unsaid.is_empty() || mqtt.birth_due {
            self.spares.lend(&mut wsi.front);
            mqtt.engine.poll_output(&mut wsi.front);
            mqtt.push_requests(&mut wsi.front);
            mqtt.push_birth(&mut wsi.front);
        }
        if was_paused {
            self.schedule(id);
        }
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        if wsi.front.is_empty() {
            self.spares.take_back(&mut wsi.front);
        } else {
            self.wsi_request_flush(id);
        }
    }

    /// A peer that held up our sending has taken all that there was.
    pub(super) fn mqtt_drained(&mut self, id: WsiId) {
        let Some(mqtt) = self.mqtt_mut(id) else { return };
        let (begun, connected) = (mqtt.engine.payload_due() > 0, mqtt.is_connected());
        let is_lonely = self.families.is_lonely(id);
        match (begun, connected) {
            (true, _) => self.role_wait(id, Wait::Request, self.timeouts.request),
            (false, false) => self.role_wait(id, Wait::Response, self.timeouts.response),
            (false, true) if is_lonely => self.role_wait(id, Wait::Pooled, self.timeouts.pool_idle),
            (false, true) => {}
        }
    }

    /// The server has broken a rule, and MQTT 5 tells it (4.13.1).
    fn mqtt_failed(&mut self, id: WsiId, error: ::mqtt::Error) {
        if let Some(wsi) = self.wsis.get_mut(id).filter(|wsi| wsi.state() == WsiState::Open)
            && let Role::Mqtt(mqtt) = &mut wsi.role
        {
            self.spares.lend(&mut wsi.front);
            mqtt.engine.poll_output(&mut wsi.front);
        }
        self.close_flushed(id, Some(Cause::protocol(&error.to_string())));
    }

    /// What the event at hand refuses, or ends the connection with.
    fn mqtt_refusal(&self, id: WsiId, packet: &str, reason: Reason) -> Cause {
        let nothing = Properties::new(&[]);
        let properties = match self.wsis.get(id).map(|wsi| &wsi.role) {
            Some(Role::Mqtt(mqtt)) => mqtt.engine.properties(),
            _ => nothing,
        };
        refusal(packet, reason, properties)
    }

    /// Asks the server for a sign of life.
    pub(super) fn mqtt_ping(&mut self, id: WsiId) {
        let now = self.now.as_us();
        if let Some(mqtt) = self.mqtt_mut(id) {
            mqtt.engine.ping(now);
            self.mqtt_flush(id);
        }
    }

    /// While one of those for whom a message is takes nothing, the rest of it waits, and all behind it.
    pub(super) fn mqtt_rx_flow(&mut self, id: WsiId) {
        let Some(mqtt) = self.mqtt_mut(id) else { return };
        let receivers = std::mem::take(&mut mqtt.receivers);
        let is_off =
            |child: &WsiId| self.wsis.get(*child).is_some_and(|wsi| wsi.flags.has(Flags::RX_FLOW_OFF));
        let is_held = receivers.iter().any(is_off);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        if let Role::Mqtt(mqtt) = &mut wsi.role {
            mqtt.receivers = receivers;
        }
        if is_held {
            wsi.flags.set(Flags::RX_FLOW_OFF);
        } else if wsi.flags.has(Flags::RX_FLOW_OFF) {
            wsi.flags.clear(Flags::RX_FLOW_OFF);
            self.schedule(id);
        }
    }
}

impl Context {
    pub(super) fn mqtt_input(&mut self, id: WsiId, bytes: &[u8]) -> usize {
        let mut done = 0;
        loop {
            // What an event leads to comes before the next event.
            if !self.settle() {
                self.core.schedule(id);
                break;
            }
            let Some(wsi) = self.core.wsis.get_mut(id) else { return bytes.len() };
            if wsi.state() != WsiState::Open || wsi.flags.has(Flags::RX_FLOW_OFF) {
                break;
            }
            let Role::Mqtt(mqtt) = &mut wsi.role else { return bytes.len() };
            let left = bytes.get(done..).unwrap_or_default();
            match mqtt.engine.input(left) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    done += used;
                    if let Some(event) = event {
                        self.mqtt_event(id, event, left.get(..used).unwrap_or_default());
                    }
                }
                Err(error) => {
                    self.core.mqtt_failed(id, error);
                    return bytes.len();
                }
            }
        }
        self.core.mqtt_flush(id);
        done
    }

    fn mqtt_event(&mut self, id: WsiId, event: Event, bytes: &[u8]) {
        // Whatever answers something is a proof that it has arrived.
        if !matches!(event, Event::Message(_) | Event::Payload { .. }) {
            self.core.validity_confirmed(id);
        }
        match event {
            Event::Connected { session_present } => self.core.mqtt_connected(id, session_present),
            Event::Refused(reason) => {
                let cause = self.core.mqtt_refusal(id, "CONNACK", reason);
                for child in self.core.families.members(id) {
                    self.wsi_event(child, WsiEvent::Mqtt(MqttEvent::Refused(reason, &cause)));
                }
                self.core.close(id, Some(cause));
            }
            Event::Message(message) => self.mqtt_message(id, message),
            Event::Payload { range, is_last } => {
                self.mqtt_payload(id, bytes.get(range).unwrap_or_default(), is_last);
            }
            Event::Acknowledged { id: packet, reason } => {
                let cause = if reason.is_failure() {
                    self.core.mqtt_refusal(id, "PUBLISH", reason)
                } else {
                    Cause::default()
                };
                self.mqtt_acknowledged(id, packet, cause);
            }
            Event::Forgotten(packet) => {
                let why = "the server has lost its session: whether it delivered the message is not known";
                self.mqtt_acknowledged(id, packet, Cause::protocol(why));
            }
            Event::Subscribed(packet) => self.mqtt_subscribed(id, packet),
            Event::Received(_) | Event::Unsubscribed(_) | Event::Pong => {}
            Event::Disconnected(reason) => {
                let cause = self.core.mqtt_refusal(id, "DISCONNECT", reason);
                self.core.close(id, Some(cause));
            }
        }
    }

    /// A message begins: who is connected now and has asked for it gets all of it.
    fn mqtt_message(&mut self, id: WsiId, message: Message) {
        let Some(mqtt) = self.core.mqtt_mut(id) else { return };
        let (mut topic, mut properties) =
            (std::mem::take(&mut mqtt.topic), std::mem::take(&mut mqtt.properties));
        topic.clear();
        topic.push_str(mqtt.engine.topic());
        properties.clear();
        properties.extend_from_slice(mqtt.engine.properties().as_bytes());
        let mut receivers = std::mem::take(&mut mqtt.receivers);
        receivers.clear();
        mqtt.find_receivers(&topic, &mut receivers);
        for child in &receivers {
            let properties = &Properties::new(&properties);
            let event = MqttEvent::Message { topic: &topic, is_retained: message.retain, properties };
            self.wsi_event(*child, WsiEvent::Mqtt(event));
        }
        if let Some(mqtt) = self.core.mqtt_mut(id) {
            (mqtt.topic, mqtt.properties) = (topic, properties);
            mqtt.is_first = true;
            mqtt.receivers = receivers;
        }
        self.core.mqtt_rx_flow(id);
    }

    /// A piece for each of them, in the order of their ids. One of them may end any other, or itself, or the connection:
    /// the ids of those that are gone name nobody.
    fn mqtt_payload(&mut self, id: WsiId, piece: &[u8], is_last: bool) {
        let Some(mqtt) = self.core.mqtt_mut(id) else { return };
        let mut receivers = std::mem::take(&mut mqtt.receivers);
        let flags = RxFlags::new(std::mem::replace(&mut mqtt.is_first, false), is_last);
        for child in &receivers {
            self.wsi_event(*child, WsiEvent::Message(piece, flags));
        }
        if is_last {
            receivers.clear();
        }
        if let Some(mqtt) = self.core.mqtt_mut(id) {
            mqtt.receivers = receivers;
        }
        self.core.mqtt_rx_flow(id);
    }
}
