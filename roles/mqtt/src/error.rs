//! What servers do wrong, with the reason code that says so; and what callers may not ask for.

use crate::Reason;
use core::fmt;

/// How the server broke the rules. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Flags in the fixed header other than the packet's own (3.1.1, 2.2.2; MQTT 5, 2.1.3).
    Flags,
    /// A remaining length, or another number of variable length, of more than four bytes or with needless ones
    /// (MQTT 5, 1.5.5).
    VariableLength,
    /// A packet that a server does not send, or that nobody knows.
    PacketType,
    /// AUTH, to a client that did not ask for it.
    Auth,
    /// A packet whose parts do not fill it, or do not fit.
    Length,
    /// A string that is not UTF-8, or has U+0000 in it (MQTT 5, 1.5.4).
    Utf8,
    /// A topic that is empty or has wildcards in it (MQTT 5, 3.3.2.1).
    Topic,
    /// A topic alias of 0, above the maximum, or never defined (MQTT 5, 3.3.2.3.4).
    TopicAlias,
    /// QoS 3, or DUP with QoS 0 (MQTT 5, 3.3.1).
    Qos,
    /// A packet id of 0, or one that the packet may not have.
    PacketId,
    /// A packet that may not come now: before CONNACK, a second CONNACK, an answer to what was not asked.
    Order,
    /// CONNACK's flags are not those that can be: reserved bits, or a session where there is none.
    Connack,
    /// A reason code that the packet cannot have.
    ReasonCode,
    /// SUBACK or UNSUBACK with more answers, or fewer, than filters were asked.
    Answers,
    /// A property that is unknown, malformed, or may not be in this packet (MQTT 5, 2.2.2.2).
    Property,
    /// A property twice that may be there once, or with a value that it cannot have.
    PropertyValue,
    /// More QoS 1 and 2 messages than announced are open (MQTT 5, 3.3.4).
    ReceiveMaximum,
    /// A packet that is larger than the limit.
    TooLarge,
    /// PINGREQ was not answered in time.
    PingTimeout,
}

impl Error {
    /// What the DISCONNECT of a MQTT 5 client says.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Flags
            | Self::VariableLength
            | Self::Length
            | Self::Utf8
            | Self::Qos
            | Self::ReasonCode
            | Self::Property => Reason::MALFORMED_PACKET,
            Self::Topic => Reason::TOPIC_NAME,
            Self::TopicAlias => Reason::TOPIC_ALIAS,
            Self::ReceiveMaximum => Reason::RECEIVE_MAXIMUM,
            Self::TooLarge => Reason::PACKET_TOO_LARGE,
            Self::PingTimeout => Reason::UNSPECIFIED,
            Self::PacketType
            | Self::Auth
            | Self::PacketId
            | Self::Order
            | Self::Connack
            | Self::Answers
            | Self::PropertyValue => Reason::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flags => "fixed header flags that the packet does not have",
            Self::VariableLength => "a malformed variable length number",
            Self::PacketType => "a packet that servers do not send",
            Self::Auth => "AUTH without having been asked for it",
            Self::Length => "a packet whose parts do not fill it",
            Self::Utf8 => "a malformed string",
            Self::Topic => "a malformed topic",
            Self::TopicAlias => "an invalid topic alias",
            Self::Qos => "an invalid QoS",
            Self::PacketId => "an invalid packet id",
            Self::Order => "a packet out of its order",
            Self::Connack => "a CONNACK with flags that cannot be",
            Self::ReasonCode => "a reason code that the packet does not have",
            Self::Answers => "not one answer for each filter",
            Self::Property => "a property that the packet does not have",
            Self::PropertyValue => "a property twice, or with an invalid value",
            Self::ReceiveMaximum => "more open messages than the receive maximum",
            Self::TooLarge => "a packet that is too large",
            Self::PingTimeout => "no answer to a ping",
        })
    }
}

impl core::error::Error for Error {}

/// Why a packet was not written; nothing of it was, and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// Not now: the connection is not accepted yet, or is over, or the payload of a message is to be sent first.
    Turn,
    /// The in-flight window is full: an acknowledgement has to come first. See [`Engine::can_publish`].
    ///
    /// [`Engine::can_publish`]: crate::Engine::can_publish
    Window,
    /// Messages of the last connection are to be sent again first. See [`Engine::next_resend`].
    ///
    /// [`Engine::next_resend`]: crate::Engine::next_resend
    Resend,
    /// Too many SUBSCRIBE and UNSUBSCRIBE wait for their answers.
    Requests,
    /// A topic that is empty, has wildcards or U+0000 in it, or is longer than 65,535 bytes.
    Topic,
    /// A topic filter that is none, or that does not go with its options; or none at all.
    Filter,
    /// A string with U+0000 in it, or a string or binary longer than 65,535 bytes.
    Text,
    /// An empty client id without a clean start, in 3.1.1 (3.1.3.1).
    ClientId,
    /// A password without a user name, in 3.1.1 (3.1.2.9).
    Password,
    /// A property that this packet, or this version, does not have, or an invalid one, or one twice.
    Property,
    /// A reason that a client does not give.
    Reason,
    /// The server has said that it does not do this: QoS, retained messages, wildcards, shared subscriptions,
    /// subscription ids.
    Unsupported,
    /// The packet is larger than the server takes, or than a packet can be.
    TooLarge,
    /// More payload than was announced.
    TooMuch,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn => "nothing of the kind can be sent now",
            Self::Window => "the in-flight window is full",
            Self::Resend => "messages of the last connection are to be sent again first",
            Self::Requests => "too many subscriptions wait for their answers",
            Self::Topic => "a malformed topic",
            Self::Filter => "a malformed topic filter",
            Self::Text => "a string that is too long or has U+0000 in it",
            Self::ClientId => "an empty client id without a clean start",
            Self::Password => "a password without a user name",
            Self::Property => "a property that cannot stand here",
            Self::Reason => "a reason that a client does not give",
            Self::Unsupported => "something that the server has said it does not do",
            Self::TooLarge => "a packet that is too large",
            Self::TooMuch => "more payload than was announced",
        })
    }
}

impl core::error::Error for EncodeError {}
