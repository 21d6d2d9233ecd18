//! Streams over MQTT (`"protocol": "mqtt"`): a transaction is a message and its acknowledgement. Streams that are the same
//! client to the same server share a connection.
//!
//! A message's length stands before it. Where the application has declared it (`request_tx_len`) the message is that long,
//! in as many pieces as it takes; otherwise what one tx callback gives is a message. Metadata that the policy maps to
//! `topic` and `retained` (`{"from": "topic"}`) are set while a message arrives; `properties` has what MQTT 5 adds.

mod properties;

use crate::cause::Cause;
use crate::context::{Context, Core, Effect, WsiEvent};
#[cfg(feature = "ws")]
use crate::http::{Head, Method};
use crate::policy::{Lookup, Mqtt, MqttNotice as Notice, StreamType, Template};
use crate::role::{MqttEvent, MqttInfo, MqttNotice, Turn};
#[cfg(feature = "ws")]
use crate::secure_stream::endpoint::expand;
use crate::secure_stream::endpoint::{EXPANDED, Endpoint};
use crate::secure_stream::metadata::{DEFAULT_VALUE_LIMIT, Key, Metadata};
use crate::secure_stream::stream::Doing;
use crate::secure_stream::{RxFlags, StreamId, StreamState, Tx, TxFlow};
use crate::system::Blob;
#[cfg(feature = "ws")]
use crate::wsi::OverWs;
use crate::wsi::WsiId;
use ::mqtt::{EncodeError, PacketId, Properties, Publish, QoS, Refusal, Version, is_filter, is_topic};
use properties::Said;
use std::rc::Rc;

/// Bytes of a packet behind its fixed header, without the lengths that stand there too (MQTT 3.1.1, 2.2.3).
const LARGEST: u64 = 268_435_455 - 4;

/// What AWS IoT allows a topic to be: bytes, and slashes in it.
const AWS_TOPIC: usize = 256;
const AWS_SLASHES: usize = 7;

/// Says no to what no server will have, before a stream of it exists.
pub(super) fn check(stream_type: &StreamType) -> Result<(), &'static str> {
    match &stream_type.mqtt {
        _ if stream_type.ws.subprotocol.is_some() && cfg!(not(feature = "ws")) => {
            Err("ws_subprotocol: it needs the feature \"ws\", which is not in this build")
        }
        _ if stream_type.server => Err("there is no mqtt server: a broker is a program of its own"),
        Mqtt { session_expiry: Some(_), version: None | Some(4), .. } => {
            Err("mqtt_session_expiry: only MQTT 5 has it (mqtt_version)")
        }
        Mqtt { aws_iot: true, qos: 2, .. } => Err("mqtt_qos: AWS IoT has no QoS 2"),
        _ => Ok(()),
    }
}

/// Fills what the application has set into a template: what a message brought is not meant.
fn text<'b>(
    template: &Template,
    what: &str,
    stream_type: &StreamType,
    metadata: &Metadata,
    out: &'b mut Vec<u8>,
) -> Result<&'b str, Cause> {
    let lookup = |name: &str| match stream_type.metadata.iter().position(|def| def.name == name) {
        Some(index) => metadata.own(Key::Declared(index)).map_or(Lookup::Unset, Lookup::Value),
        None => Lookup::Unknown,
    };
    out.clear();
    template.expand(lookup, out, EXPANDED).map_err(|error| Cause::policy(&format!("{what}: {error}")))?;
    std::str::from_utf8(out)
        .map_err(|_| Cause::policy(&format!("{what}: the metadata makes it no valid text")))
}

/// The same, for what has to be a topic, or a filter of topics.
fn topic<'b>(
    template: &Template,
    what: &str,
    stream_type: &StreamType,
    metadata: &Metadata,
    out: &'b mut Vec<u8>,
) -> Result<&'b str, Cause> {
    let topic = text(template, what, stream_type, metadata, out)?;
    let is_valid = if what == "mqtt_subscribe" { is_filter(topic) } else { is_topic(topic) };
    if !is_valid {
        return Err(Cause::policy(&format!("{what}: \"{topic}\" is none")));
    }
    let is_long = topic.len() > AWS_TOPIC || topic.matches('/').count() > AWS_SLASHES;
    if stream_type.mqtt.aws_iot && is_long {
        return Err(Cause::policy(&format!("{what}: more than AWS IoT takes")));
    }
    Ok(topic)
}

fn notice(
    notice: &Notice,
    what: [&str; 2],
    stream_type: &StreamType,
    metadata: &Metadata,
) -> Result<Option<MqttNotice>, Cause> {
    let Some(template) = &notice.topic else { return Ok(None) };
    let mut buffer = Vec::new();
    let message = match &notice.message {
        Some(message) => text(message, what[1], stream_type, metadata, &mut buffer)?.as_bytes().to_vec(),
        None => Vec::new(),
    };
    let topic = topic(template, what[0], stream_type, metadata, &mut buffer)?.to_owned();
    let qos = QoS::new(notice.qos).unwrap_or_default();
    Ok(Some(MqttNotice { topic, message, qos, retain: notice.retain }))
}

/// With `ws_subprotocol`, the connection is a websocket to `http_url`.
#[cfg(feature = "ws")]
fn over_ws(
    endpoint: &Endpoint,
    stream_type: &StreamType,
    metadata: &Metadata,
) -> Result<Option<OverWs>, Cause> {
    let Some(protocols) = &stream_type.ws.subprotocol else { return Ok(None) };
    let mut head = Head::default();
    head.set_request(Method::Get, b"");
    head.write_target(|target| match (&endpoint.path, &stream_type.http.url) {
        (Some(path), _) => {
            target.extend_from_slice(path);
            Ok(())
        }
        (None, Some(url)) => expand(url, "http_url", stream_type, metadata, target),
        (None, None) => Ok(()),
    })?;
    let target = String::from_utf8(head.target().to_vec());
    let target = target.map_err(|_| Cause::policy("http_url: the metadata makes it no valid text"))?;
    Ok(Some(OverWs { target, host: endpoint.authority.clone(), protocols: protocols.clone() }))
}

fn qos(stream_type: &StreamType) -> QoS {
    QoS::new(stream_type.mqtt.qos).unwrap_or_default()
}

impl Context {
    pub(super) fn mqtt_stream_event(&mut self, id: StreamId, wsi: WsiId, event: WsiEvent<'_>) {
        match event {
            WsiEvent::Established => self.mqtt_established(id, wsi),
            WsiEvent::Mqtt(MqttEvent::Subscribed(Ok(()))) => self.mqtt_ready(id, wsi),
            WsiEvent::Mqtt(MqttEvent::Subscribed(Err(cause))) => {
                self.core.mqtt_refused(id, wsi, cause.clone(), false);
            }
            WsiEvent::Mqtt(MqttEvent::Refused(reason, cause)) => {
                // Brokers of 3.1.1 say "not authorized" to a bad password as well.
                let is_auth = matches!(Refusal::from(reason), Refusal::Credentials | Refusal::NotAuthorized);
                self.core.mqtt_refused(id, wsi, cause.clone(), is_auth);
            }
            WsiEvent::Mqtt(MqttEvent::Message { topic, is_retained, properties }) => {
                // What was published before may come before SUBACK (MQTT 3.1.1, 3.8.4).
                self.mqtt_ready(id, wsi);
                self.core.mqtt_begin_rx(id, topic, is_retained, properties);
            }
            WsiEvent::Message(piece, flags) => self.mqtt_rx(id, piece, flags),
            WsiEvent::Mqtt(MqttEvent::Acknowledged { ordinal, result }) => {
                self.core.mqtt_tell(id, ordinal, result);
            }
            _ => {}
        }
    }

    /// CONNACK has come: CONNECTED follows, at once or when the subscription is there.
    fn mqtt_established(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.core.live(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        let Some(template) = &stream_type.mqtt.subscribe else { return self.mqtt_ready(id, wsi) };
        let mut buffer = Vec::new();
        let asked = topic(template, "mqtt_subscribe", &stream_type, &stream.metadata, &mut buffer);
        let asked = asked.and_then(|filter| {
            let asked = self.core.mqtt_subscribe(wsi, filter, qos(&stream_type));
            asked.map_err(|error| Cause::policy(&format!("mqtt_subscribe: {error}")))
        });
        match asked {
            Ok(true) => self.mqtt_ready(id, wsi),
            Ok(false) => {}
            Err(cause) => self.core.mqtt_refused(id, wsi, cause, false),
        }
    }

    fn mqtt_ready(&mut self, id: StreamId, wsi: WsiId) {
        let Ok(stream) = self.core.live(id) else { return };
        if stream.doing != Doing::Attempting {
            return;
        }
        let wants_tx = stream.wants_tx;
        self.core.stream_connected(id);
        self.mqtt_user_connected(wsi);
        if wants_tx {
            self.core.wsi_request_tx(wsi);
        }
    }

    fn mqtt_rx(&mut self, id: StreamId, piece: &[u8], flags: RxFlags) {
        self.call_rx(id, piece, flags);
        if flags.is_eom()
            && let Ok(stream) = self.core.live_mut(id)
        {
            stream.metadata.clear_from_peer();
        }
    }

    /// The stream has its turn on the connection.
    pub(super) fn mqtt_tx(&mut self, id: StreamId, wsi: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        match self.core.mqtt_turn(wsi) {
            None => TxFlow::DontSend,
            Some(Turn::Begin) => self.mqtt_begin(id, wsi, tx),
            Some(Turn::Resend { packet, qos, ordinal, len }) => {
                self.mqtt_send_again(id, wsi, (packet, qos), (ordinal, len), tx)
            }
            Some(Turn::Continue { left, ordinal, is_resend }) => {
                self.mqtt_continue(id, wsi, left, (ordinal, is_resend), tx)
            }
        }
    }

    /// A message begins, if the server can have one now.
    fn mqtt_begin(&mut self, id: StreamId, wsi: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        let stream_type = Rc::clone(&stream.stream_type);
        let Some(template) = &stream_type.mqtt.topic else {
            stream.wants_tx = false;
            log::warn!(target: "millstream::stream", "{id} {}: no mqtt_topic to publish to", stream_type.name);
            return TxFlow::DontSend;
        };
        if !self.core.mqtt_can_publish(wsi, qos(&stream_type)) {
            return TxFlow::DontSend;
        }
        let mut buffer = std::mem::take(&mut self.core.mqtt.topic);
        let Ok(stream) = self.core.live(id) else { return TxFlow::DontSend };
        let flow = match topic(template, "mqtt_topic", &stream_type, &stream.metadata, &mut buffer) {
            Ok(topic) => self.mqtt_ask(id, wsi, &stream_type, topic, tx),
            Err(cause) => {
                self.core.close(wsi, Some(cause));
                TxFlow::DontSend
            }
        };
        self.core.mqtt.topic = buffer;
        flow
    }

    /// Asks for a message, or for its beginning. Its length stands before it: as declared, or else this piece is all of it.
    fn mqtt_ask(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        stream_type: &StreamType,
        topic: &str,
        tx: &mut Tx<'_>,
    ) -> TxFlow {
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        stream.wants_tx = false;
        let declared = stream.txn.tx_len.take();
        let ordinal = stream.ordinal;
        if declared.is_some_and(|len| len > LARGEST.saturating_sub(topic.len() as u64)) {
            stream.ordinal = ordinal.wrapping_add(1);
            let cause = Cause::policy("the message is larger than a packet can be");
            self.core.mqtt_tell(id, ordinal, Err(&cause));
            return TxFlow::DontSend;
        }
        tx.describe(declared.unwrap_or(u64::MAX), true, ordinal);
        let flow = self.call_tx(id, tx);
        let Ok(stream) = self.core.live_mut(id) else { return TxFlow::DontSend };
        let piece = tx.so_far();
        let is_nothing = tx.is_empty() && !piece.is_eom && declared != Some(0);
        if flow != TxFlow::Send || is_nothing {
            stream.txn.tx_len = stream.txn.tx_len.or(declared);
            return if flow == TxFlow::Send { TxFlow::DontSend } else { flow };
        }
        stream.ordinal = ordinal.wrapping_add(1);
        let len = declared.filter(|_| !piece.is_eom).unwrap_or(piece.len as u64);
        // What is more than a packet can hold is refused as such.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let publish =
            Publish { topic, qos: qos(stream_type), retain: stream_type.mqtt.retain, ..Publish::default() };
        let published = self.core.mqtt_say(id, stream_type, &publish, |core, publish| {
            core.mqtt_publish(wsi, publish, len, ordinal)
        });
        if let Err(cause) = published {
            self.core.mqtt_tell(id, ordinal, Err(&cause));
            return TxFlow::DontSend;
        }
        TxFlow::Send
    }

    fn mqtt_continue(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        left: u32,
        (ordinal, is_resend): (u32, bool),
        tx: &mut Tx<'_>,
    ) -> TxFlow {
        tx.describe(left.into(), false, ordinal);
        let flow = if is_resend {
            self.call_resend(id, tx)
        } else {
            if let Ok(stream) = self.core.live_mut(id) {
                stream.wants_tx = false;
            }
            self.call_tx(id, tx)
        };
        let piece = tx.so_far();
        if self.core.live(id).is_err() {
            return TxFlow::DontSend;
        }
        match flow {
            TxFlow::Send if piece.is_eom && piece.len < left as usize => {
                self.core.mqtt_broke_off(wsi);
                TxFlow::DontSend
            }
            TxFlow::Send if !tx.is_empty() => TxFlow::Send,
            flow => {
                if is_resend {
                    self.core.mqtt_broke_off(wsi);
                }
                if flow == TxFlow::Send { TxFlow::DontSend } else { flow }
            }
        }
    }

    /// A message that a lost connection has left without its acknowledgement. Who does not have it any more gives it up.
    fn mqtt_send_again(
        &mut self,
        id: StreamId,
        wsi: WsiId,
        (packet, qos): (PacketId, QoS),
        (ordinal, was): (u32, u32),
        tx: &mut Tx<'_>,
    ) -> TxFlow {
        tx.describe(was.into(), true, ordinal);
        let flow = self.call_resend(id, tx);
        let Ok(stream) = self.core.live(id) else { return TxFlow::DontSend };
        let stream_type = Rc::clone(&stream.stream_type);
        let piece = tx.so_far();
        let mut buffer = Vec::new();
        let template = stream_type.mqtt.topic.as_ref();
        let topic = template.and_then(|template| {
            topic(template, "mqtt_topic", &stream_type, &stream.metadata, &mut buffer).ok()
        });
        let again = flow == TxFlow::Send && (piece.len > 0 || piece.is_eom || was == 0);
        let len = if piece.is_eom { piece.len as u32 } else { was };
        if let Some(topic) = topic.filter(|_| again) {
            let publish = Publish { topic, qos, retain: stream_type.mqtt.retain, ..Publish::default() };
            let sent = self.core.mqtt_say(id, &stream_type, &publish, |core, publish| {
                core.mqtt_resend(wsi, packet, publish, len)
            });
            if sent.is_ok() {
                return TxFlow::Send;
            }
        }
        if let Some(carrier) = self.core.parent(wsi) {
            self.core.mqtt_give_up(carrier, packet);
            self.mqtt_user_connected(wsi);
        }
        if flow == TxFlow::Send { TxFlow::DontSend } else { flow }
    }
}

impl Core {
    /// Who the client of a stream is, beside where it connects to.
    pub(super) fn mqtt_client(
        &mut self,
        mut endpoint: Endpoint,
        stream_type: &StreamType,
        metadata: &Metadata,
    ) -> Result<Endpoint, Cause> {
        let mqtt = &stream_type.mqtt;
        let blob = |blob: Blob| -> Result<Option<String>, Cause> {
            let value = self.blobs.get(blob).map(|value| String::from_utf8(value.to_vec()));
            value.transpose().map_err(|_| Cause::policy(&format!("the blob {blob:?} is no valid text")))
        };
        let (client_id, user_name) = (blob(Blob::MqttClientId)?, blob(Blob::MqttUserName)?);
        let password = self.blobs.get(Blob::MqttPassword).map(<[u8]>::to_vec);
        let will = notice(&mqtt.will, ["mqtt_will_topic", "mqtt_will_message"], stream_type, metadata)?;
        let birth = notice(&mqtt.birth, ["mqtt_birth_topic", "mqtt_birth_message"], stream_type, metadata)?;
        let info = MqttInfo {
            version: if mqtt.version == Some(5) { Version::V5 } else { Version::V4 },
            client_id: client_id.unwrap_or_else(|| self.mqtt_client_id()),
            user_name,
            password,
            keep_alive: mqtt.keep_alive.unwrap_or(0),
            clean_start: mqtt.clean_start,
            session_expiry: mqtt.session_expiry,
            will,
            birth,
            aws_iot: mqtt.aws_iot,
        };
        #[cfg(feature = "ws")]
        let over_ws = over_ws(&endpoint, stream_type, metadata)?;
        if let Some(client) = Rc::get_mut(&mut endpoint.info) {
            client.mqtt = Some(Box::new(info));
            #[cfg(feature = "ws")]
            {
                client.over_ws = over_ws.map(Box::new);
            }
        }
        Ok(endpoint)
    }

    /// The server does not want the stream, or the stream asks for what cannot be: its siblings are not concerned.
    fn mqtt_refused(&mut self, id: StreamId, wsi: WsiId, cause: Cause, is_auth: bool) {
        let Ok(stream) = self.live_mut(id) else { return };
        if stream.doing != Doing::Attempting {
            return self.close(wsi, Some(cause));
        }
        stream.wsi = None;
        self.unbind_stream(wsi);
        if is_auth {
            self.auth_failed(id, cause);
        } else {
            self.attempt_failed(id, cause, None);
        }
    }

    /// A message begins to arrive: what stands before its payload goes where the policy maps it.
    fn mqtt_begin_rx(&mut self, id: StreamId, topic: &str, is_retained: bool, properties: &Properties<'_>) {
        let Ok(stream) = self.live_mut(id) else { return };
        stream.metadata.clear_from_peer();
        let stream_type = Rc::clone(&stream.stream_type);
        for (index, def) in stream_type.metadata.iter().enumerate() {
            let value: &[u8] = match def.header.as_deref() {
                Some("topic") => topic.as_bytes(),
                Some("retained") if is_retained => b"1",
                Some("retained") => b"0",
                _ => continue,
            };
            // What is too long to keep is as if it had not been said.
            let _ = stream.metadata.set_from_peer(Key::Declared(index), value, DEFAULT_VALUE_LIMIT);
        }
        properties::take(properties, &stream_type, &mut stream.metadata);
    }

    /// Sends the head of a message, with what the metadata has to say in it.
    fn mqtt_say(
        &mut self,
        id: StreamId,
        stream_type: &StreamType,
        publish: &Publish<'_>,
        say: impl FnOnce(&mut Self, &Publish<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), Cause> {
        let wrong = |error| Cause::policy(&format!("not published: {error}"));
        if stream_type.mqtt.version != Some(5) {
            return say(self, publish).map_err(wrong);
        }
        let metadata = self.live_mut(id).map(|stream| std::mem::take(&mut stream.metadata));
        let metadata = metadata.unwrap_or_default();
        let said = Said::collect(stream_type, &metadata)
            .and_then(|said| say(self, &Publish { properties: said.as_slice(), ..*publish }).map_err(wrong));
        if let Ok(stream) = self.live_mut(id) {
            stream.metadata = metadata;
        }
        said
    }

    /// What has become of a message.
    fn mqtt_tell(&mut self, id: StreamId, ordinal: u32, result: Result<(), &Cause>) {
        let Some(stream) = self.live_mut(id).ok().filter(|stream| stream.doing == Doing::Connected) else {
            return;
        };
        // Of QoS 0 nobody but our own socket knows.
        stream.txn.heard |= result.is_ok() && qos(&stream.stream_type) != QoS::AtMostOnce;
        let effect = match result {
            Ok(()) => Effect::State(id, StreamState::QosAckRemote, ordinal),
            Err(cause) => {
                let name = &stream.stream_type.name;
                log::info!(target: "millstream::stream", "{id} {name}: message {ordinal}: {cause}");
                Effect::Nack(id, ordinal, cause.clone())
            }
        };
        self.effects.push_back(effect);
    }

    /// The connection of a stream that can hear of messages.
    pub(crate) fn connected_user(&self, id: StreamId) -> Option<WsiId> {
        let stream = self.live(id).ok()?;
        if stream.doing == Doing::Connected { stream.wsi } else { None }
    }

    /// The connection of a stream that is about to hear.
    pub(crate) fn coming_user(&self, id: StreamId) -> Option<WsiId> {
        let stream = self.live(id).ok()?;
        if stream.doing == Doing::Attempting { stream.wsi } else { None }
    }

    /// The connection that a stream waits to try for again is there.
    pub(crate) fn stream_hurry(&mut self, id: StreamId) {
        if self.live(id).is_ok_and(|stream| stream.doing == Doing::BackingOff) {
            self.tell(id, StreamState::Poll);
            self.attempt(id);
        }
    }
}
