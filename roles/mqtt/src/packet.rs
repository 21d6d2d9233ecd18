//! What callers want written.

use crate::{Property, QoS};

/// What a client says first (MQTT 5, 3.1). All of it can be left out.
///
/// ```
/// use millstream_mqtt::{Connect, Will};
///
/// let will = Will { topic: "attic/state", message: b"lost", ..Will::default() };
/// let connect = Connect { client_id: "attic", will: Some(will), keep_alive: 60, ..Connect::default() };
/// assert!(connect.clean_start);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// Who it is. Empty: the server is to give a name ([`Property::AssignedClientId`]); 3.1.1 has this with a clean
    /// start only.
    pub client_id: &'a str,
    /// Both sides forget what was before. In 3.1.1 they also forget this connection when it is over.
    pub clean_start: bool,
    /// Seconds after which a silent client pings. 0: it does not.
    pub keep_alive: u16,
    /// Whose client it is.
    pub user_name: Option<&'a str>,
    /// Any bytes. 3.1.1 has this with a user name only.
    pub password: Option<&'a [u8]>,
    /// What the server publishes if the client goes without a word.
    pub will: Option<Will<'a>>,
    /// [`Property::SessionExpiry`], [`Property::RequestProblemInformation`],
    /// [`Property::RequestResponseInformation`], [`Property::User`]. The engine adds its limits.
    pub properties: &'a [Property<'a>],
}

impl Default for Connect<'_> {
    fn default() -> Self {
        Self {
            client_id: "",
            clean_start: true,
            keep_alive: 0,
            user_name: None,
            password: None,
            will: None,
            properties: &[],
        }
    }
}

/// A message that the server publishes if the client goes without a word (MQTT 5, 3.1.2.5).
#[derive(Clone, Copy, Debug, Default)]
pub struct Will<'a> {
    /// Where it is published.
    pub topic: &'a str,
    /// Its payload, at most 65,535 bytes.
    pub message: &'a [u8],
    /// How it is published.
    pub qos: QoS,
    /// It is kept for later subscribers.
    pub retain: bool,
    /// [`Property::WillDelay`], [`Property::PayloadIsUtf8`], [`Property::MessageExpiry`], [`Property::ContentType`],
    /// [`Property::ResponseTopic`], [`Property::CorrelationData`], [`Property::User`].
    pub properties: &'a [Property<'a>],
}

/// What stands before the payload of a message that goes out (MQTT 5, 3.3).
#[derive(Clone, Copy, Debug, Default)]
pub struct Publish<'a> {
    /// What it is about. MQTT 5's aliases are the engine's affair.
    pub topic: &'a str,
    /// How sure its delivery has to be.
    pub qos: QoS,
    /// The server keeps it for later subscribers.
    pub retain: bool,
    /// [`Property::PayloadIsUtf8`], [`Property::MessageExpiry`], [`Property::ContentType`],
    /// [`Property::ResponseTopic`], [`Property::CorrelationData`], [`Property::User`].
    pub properties: &'a [Property<'a>],
}

/// A topic filter, and how its messages are wanted (MQTT 5, 3.8.3.1). 3.1.1 has `filter` and `qos`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscription<'a> {
    /// See [`is_filter`](crate::is_filter).
    pub filter: &'a str,
    /// No message comes with more than this.
    pub qos: QoS,
    /// Not what this client publishes itself. Not for shared subscriptions.
    pub no_local: bool,
    /// Messages have the retain flag that their publishers gave them.
    pub retain_as_published: bool,
    /// Whether messages that the server kept are wanted.
    pub retain_handling: RetainHandling,
}

/// Which messages that the server kept come with a subscription (MQTT 5, 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetainHandling {
    /// All that match.
    #[default]
    Send,
    /// All, if there was no such subscription.
    SendIfNew,
    /// None.
    Skip,
}
