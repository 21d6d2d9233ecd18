//! Reason codes (MQTT 5, 2.4), which also say what the return codes of 3.1.1 mean.

use core::fmt;

/// Why, in the numbers of MQTT 5. What a 3.1.1 server says is translated into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(u8);

/// Which packet a code stands in: each allows its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    Connack,
    /// PUBACK and PUBREC.
    Received,
    /// PUBREL and PUBCOMP.
    Released,
    Suback,
    Unsuback,
    /// DISCONNECT from a server.
    Disconnected,
    /// DISCONNECT from a client.
    Disconnect,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal [$($carrier:ident)*],)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            fn text(self) -> &'static str {
                match self {
                    Self::SUCCESS => "success",
                    $(Self::$name => $text,)*
                    _ => "unknown",
                }
            }

            /// The code as it stands in this packet, if it may stand there.
            pub(crate) fn from_wire(code: u8, carrier: Carrier) -> Option<Self> {
                let allowed: &[Carrier] = match Self(code) {
                    Self::SUCCESS => return Some(Self::SUCCESS),
                    $(Self::$name => &[$(Carrier::$carrier),*],)*
                    _ => return None,
                };
                allowed.contains(&carrier).then_some(Self(code))
            }
        }
    };
}

reasons! {
    /// QoS 1 is granted, or the first code of what is.
    GRANTED_QOS_1 = 0x01 "QoS 1 granted" [Suback],
    /// QoS 2 is granted.
    GRANTED_QOS_2 = 0x02 "QoS 2 granted" [Suback],
    /// The client leaves and wants its will to be published all the same.
    DISCONNECT_WITH_WILL = 0x04 "disconnect with will message" [Disconnect],
    /// The message was taken; nobody has subscribed to its topic.
    NO_MATCHING_SUBSCRIBERS = 0x10 "no matching subscribers" [Received],
    /// There was no such subscription.
    NO_SUBSCRIPTION_EXISTED = 0x11 "no subscription existed" [Unsuback],
    /// Whoever refuses does not say why.
    UNSPECIFIED = 0x80 "unspecified error" [Connack Received Suback Unsuback Disconnected Disconnect],
    /// Bytes that are no packet.
    MALFORMED_PACKET = 0x81 "malformed packet" [Connack Disconnected Disconnect],
    /// A packet, or something in it, that may not be there.
    PROTOCOL_ERROR = 0x82 "protocol error" [Connack Disconnected Disconnect],
    /// Valid, and not taken here.
    IMPLEMENTATION_SPECIFIC = 0x83 "implementation specific error"
        [Connack Received Suback Unsuback Disconnected Disconnect],
    /// The server does not speak this version.
    UNSUPPORTED_VERSION = 0x84 "unsupported protocol version" [Connack],
    /// The client id is not allowed.
    CLIENT_ID = 0x85 "client identifier not valid" [Connack],
    /// User name or password are wrong.
    CREDENTIALS = 0x86 "bad user name or password" [Connack],
    /// Not allowed to do this.
    NOT_AUTHORIZED = 0x87 "not authorized" [Connack Received Suback Unsuback Disconnected],
    /// The server is not there for anybody.
    SERVER_UNAVAILABLE = 0x88 "server unavailable" [Connack],
    /// Later, perhaps.
    SERVER_BUSY = 0x89 "server busy" [Connack Disconnected],
    /// An administrator has banned this client.
    BANNED = 0x8a "banned" [Connack],
    /// The server goes down.
    SERVER_SHUTTING_DOWN = 0x8b "server shutting down" [Disconnected],
    /// An authentication method that the server does not know.
    AUTHENTICATION_METHOD = 0x8c "bad authentication method" [Connack],
    /// Nothing was heard for one and a half times the keep alive.
    KEEP_ALIVE_TIMEOUT = 0x8d "keep alive timeout" [Disconnected],
    /// Another connection has the client id now.
    SESSION_TAKEN_OVER = 0x8e "session taken over" [Disconnected],
    /// A topic filter that is not allowed.
    TOPIC_FILTER = 0x8f "topic filter invalid" [Suback Unsuback Disconnected],
    /// A topic that is not allowed.
    TOPIC_NAME = 0x90 "topic name invalid" [Connack Received Disconnected Disconnect],
    /// The packet id is in use.
    PACKET_ID_IN_USE = 0x91 "packet identifier in use" [Received Suback Unsuback],
    /// No message is known under this packet id.
    PACKET_ID_NOT_FOUND = 0x92 "packet identifier not found" [Released],
    /// More QoS 1 and 2 messages than announced are open.
    RECEIVE_MAXIMUM = 0x93 "receive maximum exceeded" [Disconnected Disconnect],
    /// A topic alias that is none.
    TOPIC_ALIAS = 0x94 "topic alias invalid" [Disconnected Disconnect],
    /// A packet larger than announced.
    PACKET_TOO_LARGE = 0x95 "packet too large" [Connack Disconnected Disconnect],
    /// Messages come too fast.
    MESSAGE_RATE = 0x96 "message rate too high" [Disconnected Disconnect],
    /// A quota is used up.
    QUOTA_EXCEEDED = 0x97 "quota exceeded" [Connack Received Suback Disconnected Disconnect],
    /// Somebody decided it.
    ADMINISTRATIVE_ACTION = 0x98 "administrative action" [Disconnected Disconnect],
    /// The payload is not in the format that was announced.
    PAYLOAD_FORMAT = 0x99 "payload format invalid" [Connack Received Disconnected Disconnect],
    /// The server retains nothing.
    RETAIN_NOT_SUPPORTED = 0x9a "retain not supported" [Connack Disconnected],
    /// The server does not go so far in QoS.
    QOS_NOT_SUPPORTED = 0x9b "QoS not supported" [Connack Disconnected],
    /// For now, another server is to be asked.
    USE_ANOTHER_SERVER = 0x9c "use another server" [Connack Disconnected],
    /// For ever, another server is to be asked.
    SERVER_MOVED = 0x9d "server moved" [Connack Disconnected],
    /// The server has no shared subscriptions.
    SHARED_SUBSCRIPTIONS = 0x9e "shared subscriptions not supported" [Suback Disconnected],
    /// Connections come too fast.
    CONNECTION_RATE = 0x9f "connection rate exceeded" [Connack Disconnected],
    /// The connection was granted for so long.
    MAXIMUM_CONNECT_TIME = 0xa0 "maximum connect time" [Disconnected],
    /// The server has no subscription ids.
    SUBSCRIPTION_IDS = 0xa1 "subscription identifiers not supported" [Suback Disconnected],
    /// The server has no wildcards in subscriptions.
    WILDCARD_SUBSCRIPTIONS = 0xa2 "wildcard subscriptions not supported" [Suback Disconnected],
}

impl Reason {
    /// All is well; a normal disconnection; QoS 0 is granted.
    pub const SUCCESS: Self = Self(0);

    /// The number on the wire.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Something was refused, or went wrong (MQTT 5, 2.4: codes from 0x80).
    pub const fn is_failure(self) -> bool {
        self.0 >= 0x80
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02x})", self.text(), self.0)
    }
}

/// Why a server did not let the client in: what whoever retries has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It does not speak this version of MQTT.
    Version,
    /// It does not take the client id.
    ClientId,
    /// User name or password are wrong, or the way to say who one is.
    Credentials,
    /// This client may not connect, or is banned.
    NotAuthorized,
    /// Out of service, busy, or asked too often: later, perhaps.
    Unavailable,
    /// Another server is to be asked; its name may be in [`Property::ServerReference`](crate::Property).
    Elsewhere,
    /// It took offence at something in CONNECT: its size, its will, its form.
    Connect,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::UNSUPPORTED_VERSION => Self::Version,
            Reason::CLIENT_ID => Self::ClientId,
            Reason::CREDENTIALS | Reason::AUTHENTICATION_METHOD => Self::Credentials,
            Reason::NOT_AUTHORIZED | Reason::BANNED => Self::NotAuthorized,
            Reason::SERVER_UNAVAILABLE
            | Reason::SERVER_BUSY
            | Reason::CONNECTION_RATE
            | Reason::QUOTA_EXCEEDED
            | Reason::UNSPECIFIED
            | Reason::IMPLEMENTATION_SPECIFIC => Self::Unavailable,
            Reason::USE_ANOTHER_SERVER | Reason::SERVER_MOVED => Self::Elsewhere,
            _ => Self::Connect,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "the server does not speak this version of MQTT",
            Self::ClientId => "the server does not take the client id",
            Self::Credentials => "the server does not take user name or password",
            Self::NotAuthorized => "the server does not allow this client",
            Self::Unavailable => "the server is unavailable",
            Self::Elsewhere => "the server names another server",
            Self::Connect => "the server does not take something in CONNECT",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn each_packet_has_the_codes_of_its_table() {
        let received: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
        for (carrier, table) in [
            (
                Carrier::Connack,
                &[
                    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95,
                    0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
                ][..],
            ),
            (Carrier::Received, received),
            (Carrier::Released, &[0x00, 0x92]),
            (Carrier::Suback, &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]),
            (Carrier::Unsuback, &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]),
            (
                Carrier::Disconnected,
                &[
                    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
                    0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
                ],
            ),
            (
                Carrier::Disconnect,
                &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99],
            ),
        ] {
            let codes: Vec<u8> =
                (0..=255).filter(|code| Reason::from_wire(*code, carrier).is_some()).collect();
            assert_eq!(codes, table, "{carrier:?}");
        }
    }

    #[test]
    fn every_reason_a_server_may_give_is_said_in_words() {
        for code in 0..=255 {
            for carrier in [Carrier::Connack, Carrier::Received, Carrier::Suback, Carrier::Disconnected] {
                let said = Reason::from_wire(code, carrier).map(|reason| reason.to_string());
                assert!(said.is_none_or(|said| !said.starts_with("unknown")));
            }
        }
        assert_eq!(Reason::SERVER_BUSY.to_string(), "server busy (0x89)");
    }
}
