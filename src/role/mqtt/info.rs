//! Who a client is, what its server says instead of us, and what a server's words are as a cause.

use crate::cause::{Cause, Failure, Phase, Reason as Why, Words};
use ::mqtt::{Properties, Property, QoS, Reason, Version};

/// What a client tells an MQTT server first. Connections to one server for which all of it is the same are one connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MqttInfo {
    /// Which MQTT is spoken. A server that does not speak it refuses: there is no falling back.
    pub version: Version,
    /// Who the client is. Empty: the server gives it a name, which is used for as long as the session lives; 3.1.1 has this
    /// with a clean start only.
    pub client_id: String,
    /// Whose client it is.
    pub user_name: Option<String>,
    /// Any bytes. 3.1.1 has this with a user name only.
    pub password: Option<Vec<u8>>,
    /// Seconds after which a silent client asks for a sign of life; 0: when the connection's validity wants one. A MQTT 5
    /// server may say otherwise.
    pub keep_alive: u16,
    /// The server forgets what it knows of this client. Where the session outlives the connection (`session_expiry`) that is
    /// so with the first connection that comes to be; those after it go on with the session.
    pub clean_start: bool,
    /// Seconds that the session outlives the connection, in MQTT 5; `u32::MAX`: for ever. Where it is not said, that is as in
    /// 3.1.1: not at all after a clean start, else for ever.
    pub session_expiry: Option<u32>,
    /// What the server publishes when the client is lost.
    pub will: Option<MqttNotice>,
    /// What the client publishes before anything else, each time it is connected.
    pub birth: Option<MqttNotice>,
    /// It keeps to what Amazon's broker allows: eight filters in a packet.
    pub aws_iot: bool,
}

/// 3.1.1, a clean start, a name that the server gives, and nothing else.
impl Default for MqttInfo {
    fn default() -> Self {
        Self {
            version: Version::V4,
            client_id: String::new(),
            user_name: None,
            password: None,
            keep_alive: 0,
            clean_start: true,
            session_expiry: None,
            will: None,
            birth: None,
            aws_iot: false,
        }
    }
}

impl MqttInfo {
    /// Seconds that the session outlives the connection (MQTT 5, 3.1.2.11.2, has what 3.1.1's come to).
    pub(super) fn expiry(&self) -> u32 {
        match (self.version, self.session_expiry) {
            (Version::V5, Some(seconds)) => seconds,
            _ if self.clean_start => 0,
            _ => u32::MAX,
        }
    }
}

/// No log has a use for a password.
impl std::fmt::Debug for MqttInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MqttInfo").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// What the server says when we are lost, or we when we are there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MqttNotice {
    /// Where it is published.
    pub topic: String,
    /// Its payload: of a will, at most 65,535 bytes.
    pub message: Vec<u8>,
    /// How sure its delivery has to be.
    pub qos: QoS,
    /// It is kept for later subscribers.
    pub retain: bool,
}

/// What a server refuses by a packet, or leaves with, and what it says for people.
pub(super) fn refusal(packet: &str, reason: Reason, properties: Properties<'_>) -> Cause {
    let mut words = format!("{packet}: {reason}");
    for property in properties {
        match property {
            Property::ReasonString(text) => words.extend([": ", text]),
            Property::ServerReference(name) => words.extend(["; the server names ", name]),
            _ => {}
        }
    }
    let phase = if packet == "DISCONNECT" { Phase::Established } else { Phase::Answering };
    Failure::new(phase, Why::Mqtt(reason.code(), Words::from(words.as_str()))).into()
}
