//! From CONNECT to the end of a connection, and what of it the next one goes on with.

use super::super::Role;
use super::{Mqtt, MqttInfo};
use crate::cause::{Cause, Words};
use crate::context::{Core, Effect};
use crate::secure_stream::StreamId;
use crate::wsi::{Binding, PoolKey, Wait, WsiId, WsiState};
use ::mqtt::{
    Connect, EncodeError, Engine, Limits, PacketId, Property, Publish, QoS, Reason, Session, Version, Will,
};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// Sessions that are kept for connections to come.
const SESSIONS: usize = 256;

/// Whose a message is. Streams outlive connections, user code does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Stream(StreamId),
    User(WsiId),
    /// It is the birth message.
    Nobody,
}

impl Owner {
    pub(super) fn stream(self) -> Option<StreamId> {
        if let Self::Stream(id) = self { Some(id) } else { None }
    }
}

/// A message that is not acknowledged: whose, which, and how long it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    pub(super) owner: Owner,
    pub(super) ordinal: u32,
    pub(super) len: u32,
}

/// What came of a message whose user had no connection then.
#[derive(Debug, Clone)]
pub(super) struct Late {
    pub(super) owner: Owner,
    pub(super) ordinal: u32,
    /// Why the server does not have it, where it does not.
    pub(super) cause: Cause,
}

/// What a lost connection leaves to the next.
#[derive(Debug, Default)]
struct Kept {
    session: Session,
    in_flight: HashMap<PacketId, InFlight>,
    late: VecDeque<Late>,
    granted: Vec<(Rc<str>, QoS)>,
    users: Vec<StreamId>,
    begun: Begun,
}

/// What servers have said of a client once and for all.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// There was a CONNACK: what was to be forgotten is forgotten.
    pub(super) is_begun: bool,
    /// The name that the server gave to a client without one.
    pub(super) client_id: Option<String>,
}

/// What clients without a connection go on with when they have one again.
#[derive(Debug, Default)]
pub(crate) struct MqttSessions {
    kept: HashMap<PoolKey, Kept>,
    /// Where topics are put together.
    pub(crate) topic: Vec<u8>,
    /// Who this context is, where nobody says.
    client_id: Option<String>,
}

impl Mqtt {
    /// What CONNACK says of the client. True: the server wants signs of life at other times than we do
    /// ([MQTT-3.2.2-21]).
    fn take_connack(&mut self) -> bool {
        self.begun.is_begun = true;
        let keep_alive = self.keep_alive;
        for property in self.engine.properties() {
            match property {
                Property::AssignedClientId(name) => {
                    log::info!(target: "millstream::mqtt", "the server calls this client {}", Words::from(name));
                    self.begun.client_id = Some(name.to_owned());
                }
                Property::ServerKeepAlive(seconds) => self.keep_alive = seconds,
                _ => {}
            }
        }
        self.keep_alive != keep_alive
    }

    pub(super) fn tell_late(&mut self, answer: Late) {
        if answer.owner.stream().is_none() {
            return;
        }
        // Of those that never come back the oldest goes.
        if self.late.len() >= usize::from(Limits::default().in_flight) {
            self.late.pop_front();
        }
        self.late.push_back(answer);
    }

    pub(super) fn take_late(&mut self, owner: Owner) -> VecDeque<Late> {
        if !self.late.iter().any(|answer| answer.owner == owner) {
            return VecDeque::new();
        }
        let (mine, others) = std::mem::take(&mut self.late).into_iter().partition(|it| it.owner == owner);
        self.late = others;
        mine
    }

    /// Says that we are there, once messages of an earlier connection do not have to go before.
    pub(super) fn push_birth(&mut self, out: &mut Vec<u8>) {
        if !self.birth_due || !self.is_connected() {
            return;
        }
        let Some(key) = self.key.clone() else { return };
        let Some(birth) = key.mqtt.as_ref().and_then(|info| info.birth.as_ref()) else { return };
        let publish =
            Publish { topic: &birth.topic, qos: birth.qos, retain: birth.retain, ..Publish::default() };
        let len = u32::try_from(birth.message.len()).unwrap_or(u32::MAX);
        match self.engine.publish(&publish, len, out) {
            Ok(id) => {
                out.extend_from_slice(&birth.message);
                self.written(birth.message.len());
                if let Some(id) = id {
                    self.in_flight.insert(id, InFlight { owner: Owner::Nobody, ordinal: 0, len });
                }
                self.birth_due = false;
            }
            Err(EncodeError::Resend | EncodeError::Window | EncodeError::Turn) => {}
            Err(error) => {
                log::warn!(target: "millstream::mqtt", "the birth message is not sent: {error}");
                self.birth_due = false;
            }
        }
    }
}

impl Core {
    /// Who this context is to servers that know nothing better. The same all its life, so that sessions go on.
    pub(crate) fn mqtt_client_id(&mut self) -> String {
        // 23 characters of this kind are what every server takes (MQTT 3.1.1, 3.1.3.1).
        let random = self.plat.random() >> 12;
        self.mqtt.client_id.get_or_insert_with(|| format!("millstream{random:013x}")).clone()
    }

    /// The connection is there for CONNECT.
    pub(in crate::role) fn mqtt_start(&mut self, id: WsiId) {
        let (now, limit) = (self.now.as_us(), self.timeouts.response);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let key = wsi.rare.as_ref().and_then(|rare| rare.pool_key.clone());
        let (Role::Mqtt(mqtt), Some(key)) = (&mut wsi.role, key) else { return };
        let default = MqttInfo::default();
        let info = key.mqtt.as_deref().unwrap_or(&default);
        let kept = self.mqtt.kept.remove(&key);
        let expiry = info.expiry();
        let clean_start = match &kept {
            Some(kept) if kept.begun.is_begun => info.clean_start && expiry == 0,
            _ => info.clean_start,
        };
        // What the server has kept of an earlier life of this process is accepted by who says so.
        let kept = kept.unwrap_or_else(|| Kept {
            session: if clean_start { Session::new() } else { Session::resumed() },
            ..Kept::default()
        });
        mqtt.engine = Engine::new(info.version, Limits::default(), kept.session);
        (mqtt.in_flight, mqtt.late, mqtt.begun) = (kept.in_flight, kept.late, kept.begun);
        for (filter, qos) in kept.granted {
            mqtt.restore_filter(filter, qos);
        }
        mqtt.key = Some(Rc::clone(&key));
        mqtt.keep_alive = info.keep_alive;
        mqtt.birth_due = info.birth.is_some();
        mqtt.owners = kept.users;
        mqtt.owners.extend(mqtt.in_flight.values().filter_map(|message| message.owner.stream()));
        let will = info.will.as_ref().map(|will| Will {
            topic: &will.topic,
            message: &will.message,
            qos: will.qos,
            retain: will.retain,
            properties: &[],
        });
        let given = mqtt.begun.client_id.as_deref().filter(|_| info.client_id.is_empty());
        let lasts = [Property::SessionExpiry(expiry)];
        let is_said = info.version == Version::V5 && expiry > 0;
        let connect = Connect {
            client_id: given.unwrap_or(&info.client_id),
            clean_start,
            keep_alive: info.keep_alive,
            user_name: info.user_name.as_deref(),
            password: info.password.as_deref(),
            will,
            properties: if is_said { &lasts } else { &[] },
        };
        self.spares.lend(&mut wsi.front);
        if let Err(error) = mqtt.engine.connect(&connect, now, &mut wsi.front) {
            return self.close(id, Some(Cause::policy(&format!("CONNECT: {error}"))));
        }
        // Nothing about the promised signs of life was known when the socket opened.
        self.validity_start(id);
        self.role_wait(id, Wait::Response, limit);
        self.wsi_request_flush(id);
    }

    /// CONNACK: the users that are there have their connection, and those of the last one that wait to try again need not
    /// wait any longer.
    pub(super) fn mqtt_connected(&mut self, id: WsiId, session_present: bool) {
        self.role_wait(id, Wait::Nothing, Duration::ZERO);
        let Some(mqtt) = self.mqtt_mut(id) else { return };
        if !session_present {
            mqtt.forget_filters();
        }
        let is_overruled = mqtt.take_connack();
        if is_overruled {
            self.validity_start(id);
        }
        let Some(mqtt) = self.mqtt_mut(id) else { return };
        let owners = std::mem::take(&mut mqtt.owners);
        self.mqtt_flush(id);
        for child in self.families.members(id) {
            self.child_open(child);
        }
        for stream in owners {
            self.stream_hurry(stream);
        }
        // Behind all that those lead to.
        self.effects.push_back(Effect::Call(Box::new(move |cx| cx.core.mqtt_sweep(id))));
    }

    /// A connection loses its users: what the next one needs is kept.
    pub(in crate::role) fn mqtt_keep(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Role::Mqtt(mqtt) = &mut wsi.role else { return };
        let Some(key) = mqtt.key.take() else { return };
        let granted = mqtt.granted().collect();
        let mqtt = std::mem::take(&mut **mqtt);
        let mut users = mqtt.owners;
        let family = self.families.members(id).into_iter();
        users.extend(family.filter_map(|child| match self.wsis.get(child)?.binding {
            Binding::Stream(id) => Some(id),
            _ => None,
        }));
        let kept = Kept {
            session: mqtt.engine.into_session(),
            in_flight: mqtt.in_flight,
            late: mqtt.late,
            granted,
            users,
            begun: mqtt.begun,
        };
        let is_over = key.mqtt.as_ref().is_none_or(|info| info.expiry() == 0);
        if is_over && kept.in_flight.is_empty() && kept.late.is_empty() {
            return;
        }
        if self.mqtt.kept.len() >= SESSIONS {
            let is_alive = |id: &StreamId| self.streams.get(*id).is_some();
            self.mqtt.kept.retain(|_, kept| kept.users.iter().any(is_alive));
        }
        if self.mqtt.kept.len() < SESSIONS {
            self.mqtt.kept.insert(key, kept);
        }
    }

    pub(in crate::role) fn mqtt_child_left(&mut self, carrier: WsiId, child: WsiId) {
        let ending = self.ending;
        let Some(mqtt) = self.mqtt_mut(carrier) else { return };
        if !ending {
            mqtt.leave_filters(child);
        }
        if mqtt.is_sending(child) {
            let why = "mqtt: a stream left in the midst of its message";
            return self.close(carrier, Some(Cause::policy(why)));
        }
        self.wsi_request_flush(carrier);
        self.mqtt_rx_flow(carrier);
        self.mqtt_more_tx(carrier);
    }

    /// DISCONNECT: the server drops the will.
    pub(in crate::role) fn mqtt_goodbye(&mut self, id: WsiId) {
        self.mqtt_flush(id);
        let Some(wsi) = self.wsis.get_mut(id).filter(|wsi| wsi.state() == WsiState::Open) else { return };
        let Role::Mqtt(mqtt) = &mut wsi.role else { return };
        self.spares.lend(&mut wsi.front);
        if mqtt.engine.disconnect(Reason::SUCCESS, &[], &mut wsi.front).is_ok() {
            self.wsi_request_flush(id);
        }
    }
}
