//! MQTT 3.1.1 and 5 as a sans-IO engine for clients: bytes in, events out; packets into buffers of the caller's. Payload
//! goes through in pieces both ways and is never collected. No socket, no clock.
//!
//! An [`Engine`] is one connection. What outlives it is in its [`Session`], which goes from one engine to the next:
//! packet ids and how far each exchange is, but **no payload**. A message of QoS 1 or 2 that a lost connection left open
//! is asked for again ([`Engine::next_resend`]): its caller has it at hand, can make it again, or gives it up. So a
//! session is bounded by the in-flight window, however large the messages are.
//!
//! Extended authentication (AUTH) is not spoken: a client that does not ask for it gets none (MQTT 5, 4.12).
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | the engine: what it knows, what it can be asked |
//! | `input.rs` | packets and payload on their way in |
//! | `output.rs` | packets and payload on their way out |
//! | `packet.rs` | what callers want written |
//! | `flow.rs`, `session.rs` | the exchanges of QoS 1 and 2; what of them outlives a connection |
//! | `keep_alive.rs` | when to ping, and for how long to wait |
//! | `alias.rs` | topic aliases, both ways |
//! | `v4.rs`, `v5.rs` | control packets of each version |
//! | `property.rs`, `reason.rs` | properties and reason codes of MQTT 5 |
//! | `topic.rs` | topics and filters |
//! | `wire.rs` | numbers, strings, fixed headers |
//! | `error.rs` | what servers do wrong, and what callers may not ask for |
#![no_std]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

mod alias;
mod error;
mod flow;
mod input;
mod keep_alive;
mod output;
mod packet;
mod property;
mod reason;
mod session;
mod topic;
mod v4;
mod v5;
mod wire;

pub use error::{EncodeError, Error};
pub use packet::{Connect, Publish, RetainHandling, Subscription, Will};
pub use property::{Properties, Property};
pub use reason::{Reason, Refusal};
pub use session::Session;
pub use topic::{is_filter, is_topic, matches};

use alloc::string::String;
use alloc::vec::Vec;
use core::num::NonZeroU16;
use core::ops::Range;
use keep_alive::KeepAlive;

/// What tells one exchange from the others that are open.
pub type PacketId = NonZeroU16;

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.1.1, protocol level 4.
    #[default]
    V4,
    /// 5, protocol level 5.
    V5,
}

/// How sure the delivery of a message is (MQTT 5, 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// 0.
    #[default]
    AtMostOnce,
    /// 1.
    AtLeastOnce,
    /// 2.
    ExactlyOnce,
}

impl QoS {
    /// The QoS that a number stands for.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// How much a server may send of what, how much of it is remembered, and for how long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a packet from the server, payload included. MQTT 5 announces it. What the standard allows: 268,435,460.
    pub packet: u32,
    /// Bytes of a packet from the server without the payload: what has to be in the input at once. 16,384.
    pub head: u32,
    /// Messages of QoS 1 and 2 that may be in flight to the server; it may allow fewer. 256.
    pub in_flight: u16,
    /// Messages of QoS 1 and 2 that a MQTT 5 server may have open. At least 1. 256.
    pub receive: u16,
    /// Topic aliases that the server may define; each may keep `head` bytes. 16.
    pub aliases: u16,
    /// Topic aliases that are defined towards the server, which may allow fewer. 16.
    pub own_aliases: u16,
    /// SUBSCRIBE and UNSUBSCRIBE that may wait for their answers. 64.
    pub requests: u16,
    /// Bytes of the engine's own answers that may wait for [`Engine::poll_output`] before no more is read. 4,096.
    pub replies: u32,
    /// Microseconds that the answer to a ping may take when nothing else is heard. 10,000,000.
    pub pong: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet: wire::LARGEST,
            head: 16_384,
            in_flight: 256,
            receive: 256,
            aliases: 16,
            own_aliases: 16,
            requests: 64,
            replies: 4096,
            pong: 10_000_000,
        }
    }
}

/// What has arrived. Payload is named by its place in the input that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// CONNACK: the server lets the client in. Its properties may give the client id ([`Engine::properties`]).
    Connected {
        /// The server goes on with an earlier session. If not, its subscriptions are gone; what was in flight and is not
        /// acknowledged is sent anew, and what the server had taken is told by [`Self::Forgotten`].
        session_present: bool,
    },
    /// CONNACK: it does not. The connection is over; [`Refusal::from`] says what that means for the next.
    Refused(Reason),
    /// A message begins: its topic and properties are [`Engine::topic`] and [`Engine::properties`]. Its payload follows.
    Message(Message),
    /// A piece of the message's payload. Each message has at least one, if an empty one.
    Payload {
        /// These bytes of the input.
        range: Range<usize>,
        /// The message is complete.
        is_last: bool,
    },
    /// PUBREC: the server has this message of QoS 2, its payload is not needed any more.
    Received(PacketId),
    /// PUBACK, PUBCOMP, or a PUBREC that refuses: the exchange is over, the id is free.
    Acknowledged {
        /// What [`Engine::publish`] gave.
        id: PacketId,
        /// If it [is a failure](Reason::is_failure), the server has not taken the message.
        reason: Reason,
    },
    /// The server had this message of QoS 2, and lost its session before it said that it was done. Whether it delivered
    /// the message is not known; to publish it again could deliver it twice.
    Forgotten(PacketId),
    /// SUBACK: [`Engine::reasons`] has an answer for each filter, in their order.
    Subscribed(PacketId),
    /// UNSUBACK: likewise, in MQTT 5.
    Unsubscribed(PacketId),
    /// PINGRESP: both directions work.
    Pong,
    /// DISCONNECT, in MQTT 5: the server ends the connection.
    Disconnected(Reason),
}

/// What stands before a message's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// How it was sent to us.
    pub qos: QoS,
    /// The server kept it: it was not published just now. (With
    /// [`retain_as_published`](Subscription::retain_as_published): its publisher asked for that.)
    pub retain: bool,
    /// The server has tried to send it before; it may have been delivered then, at QoS 1.
    pub dup: bool,
    /// Bytes of its payload.
    pub len: u32,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// CONNECT was not sent.
    New,
    /// CONNACK has not come.
    Connecting,
    Connected,
    /// Refused, or one side has said DISCONNECT.
    Over,
    Failed(Error),
}

/// A SUBSCRIBE or UNSUBSCRIBE without its answer.
#[derive(Clone, Copy, Debug)]
struct Request {
    id: PacketId,
    kind: RequestKind,
    filters: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestKind {
    Subscribe,
    Unsubscribe,
}

/// What the server has said it does (MQTT 5, 3.2.2.3); as good as everything, in 3.1.1.
#[derive(Clone, Copy, Debug)]
struct Server {
    receive_maximum: u16,
    maximum_qos: QoS,
    maximum_packet: u32,
    aliases: u16,
    keep_alive: Option<u16>,
    session_expiry: Option<u32>,
    retains: bool,
    has_wildcards: bool,
    has_subscription_ids: bool,
    has_shared: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            receive_maximum: u16::MAX,
            maximum_qos: QoS::ExactlyOnce,
            maximum_packet: u32::MAX,
            aliases: 0,
            keep_alive: None,
            session_expiry: None,
            retains: true,
            has_wildcards: true,
            has_subscription_ids: true,
            has_shared: true,
        }
    }
}

/// What CONNECT said that counts later.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    clean_start: bool,
    /// Seconds. In 3.1.1: none, or for ever.
    session_expiry: u32,
    /// Reason strings and user properties are not welcome everywhere ([MQTT-3.1.2-29]).
    no_problem_information: bool,
    /// There was a session before.
    had_session: bool,
}

/// A client's side of one connection.
///
/// ```
/// use millstream_mqtt::{Connect, Engine, Event, Limits, Publish, QoS, Session, Version};
///
/// let mut engine = Engine::new(Version::V4, Limits::default(), Session::new());
/// let mut out = Vec::new();
/// engine.connect(&Connect { client_id: "thermometer", ..Connect::default() }, 0, &mut out).unwrap();
/// assert_eq!(engine.input(&[0x20, 2, 0, 0]), Ok((4, Some(Event::Connected { session_present: false }))));
///
/// out.clear();
/// let publish = Publish { topic: "attic", qos: QoS::AtLeastOnce, ..Publish::default() };
/// let id = engine.publish(&publish, 2, &mut out).unwrap();
/// out.extend_from_slice(b"19");
/// engine.payload(2).unwrap();
/// assert_eq!(out, b"\x32\x0b\0\x05attic\0\x0119");
///
/// let (_, event) = engine.input(&[0x40, 2, 0, 1]).unwrap();
/// assert!(matches!(event, Some(Event::Acknowledged { id: acknowledged, .. }) if Some(acknowledged) == id));
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    version: Version,
    limits: Limits,
    phase: Phase,
    session: Session,
    session_present: bool,
    asked: Asked,
    server: Server,
    keep_alive: KeepAlive,
    /// The message that arrives.
    incoming: Option<input::Incoming>,
    /// Messages of QoS 2 that came on this connection and are not released.
    open: u16,
    /// The message that goes out.
    outgoing: Option<output::Outgoing>,
    /// Messages of QoS 1 and 2 that the server takes before it acknowledges one (MQTT 5, 4.9).
    quota: u16,
    requests: Vec<Request>,
    aliases: alias::Theirs,
    own_aliases: alias::Ours,
    /// Packets of the engine's own.
    replies: Vec<u8>,
    topic: String,
    properties: Vec<u8>,
    reasons: Vec<Reason>,
}

impl Engine {
    /// A connection that is to speak this version, and goes on with this session.
    pub fn new(version: Version, limits: Limits, session: Session) -> Self {
        Self {
            version,
            limits,
            phase: Phase::New,
            session,
            session_present: false,
            asked: Asked::default(),
            server: Server::default(),
            keep_alive: KeepAlive::new(limits.pong),
            incoming: None,
            open: 0,
            outgoing: None,
            quota: 0,
            requests: Vec::new(),
            aliases: alias::Theirs::default(),
            own_aliases: alias::Ours::default(),
            replies: Vec::new(),
            topic: String::new(),
            properties: Vec::new(),
            reasons: Vec::new(),
        }
    }

    /// The connection is gone: what it leaves to the next.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// What is in flight.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Which MQTT it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The topic of the message that arrives, or arrived last: its alias is resolved.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The properties of the packet that the last event was about; with [`Event::Payload`], of its message.
    pub fn properties(&self) -> Properties<'_> {
        Properties::new(&self.properties)
    }

    /// With [`Event::Subscribed`] and [`Event::Unsubscribed`], the answer for each filter, in the order in which they
    /// were asked. A 3.1.1 server does not answer to each of UNSUBSCRIBE.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// CONNACK has come, and nothing has ended the connection since.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// There is an event that needs no bytes: [`Self::input`] gives it, with or without any.
    pub fn has_event(&self) -> bool {
        match self.incoming {
            _ if !matches!(self.phase, Phase::Connected) => false,
            Some(incoming) => incoming.remaining == 0,
            None => self.session.has_forgotten(),
        }
    }

    /// Nothing more is read before [`Self::poll_output`] has taken the answers to what was.
    pub fn is_paused(&self) -> bool {
        self.incoming.is_none() && self.replies.len() >= self.limits.replies.max(1) as usize
    }

    /// There is something for [`Self::poll_output`].
    pub fn has_output(&self) -> bool {
        self.outgoing.is_none() && (!self.replies.is_empty() || self.keep_alive.wants_ping())
    }

    /// Appends the packets that the engine itself has to send: acknowledgements, pings, and what it says to a server that
    /// broke a rule. Nothing, while a message's payload goes out: they would stand in its midst.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if self.outgoing.is_some() {
            return;
        }
        out.append(&mut self.replies);
        if self.keep_alive.take_ping() {
            out.extend_from_slice(&[wire::kind::PINGREQ << 4, 0]);
        }
    }

    /// Bytes have gone out to the server at `now`, in microseconds. The keep alive counts from the last time (MQTT 5,
    /// 3.1.2.10); without this it counts from the last ping.
    pub fn sent(&mut self, now: u64) {
        self.keep_alive.sent(now);
    }

    /// Asks the server for a sign of life: [`Event::Pong`], or [`Error::PingTimeout`]. Nothing, if that is under way
    /// already or there is no connection.
    pub fn ping(&mut self, now: u64) {
        if self.phase == Phase::Connected {
            self.keep_alive.ping(now);
        }
    }

    /// When [`Self::handle_due`] is to be called next, in microseconds.
    pub fn next_due(&self) -> Option<u64> {
        if self.phase == Phase::Connected { self.keep_alive.due() } else { None }
    }

    /// It is `now`: a ping may have to go out, or an answer be overdue. How long CONNACK may take is the caller's affair.
    ///
    /// # Errors
    /// [`Error::PingTimeout`]: the connection is of no use any more.
    pub fn handle_due(&mut self, now: u64) -> Result<(), Error> {
        match self.phase {
            Phase::Failed(error) => Err(error),
            Phase::Connected => self.keep_alive.handle_due(now).inspect_err(|error| self.fail(*error)),
            _ => Ok(()),
        }
    }

    /// The connection is of no use any more; MQTT 5 tells the server why (4.13.1).
    fn fail(&mut self, error: Error) {
        if matches!(self.phase, Phase::Failed(_)) {
            return;
        }
        self.keep_alive.stop();
        if self.version == Version::V5 && matches!(self.phase, Phase::Connecting | Phase::Connected) {
            self.replies.extend_from_slice(&[wire::kind::DISCONNECT << 4, 1, error.reason().code()]);
        }
        self.phase = Phase::Failed(error);
    }

    /// No more comes and goes.
    fn end(&mut self) {
        self.phase = Phase::Over;
        self.keep_alive.stop();
    }
}
