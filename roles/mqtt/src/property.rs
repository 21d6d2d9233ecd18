//! Properties (MQTT 5, 2.2.2): what each is, where each may stand.

use crate::wire::{self, Reader};
use crate::{EncodeError, Error};
use alloc::vec::Vec;

/// Something that a packet says beside what every such packet says. MQTT 5 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Property<'a> {
    /// The payload is UTF-8, or (false) just bytes.
    PayloadIsUtf8(bool),
    /// Seconds that the message is of use.
    MessageExpiry(u32),
    /// What the payload is: a MIME type, or what both ends agreed on.
    ContentType(&'a str),
    /// The topic to which the answer is to go.
    ResponseTopic(&'a str),
    /// What tells the asker which question an answer belongs to.
    CorrelationData(&'a [u8]),
    /// A number that the client gave to a subscription: in SUBSCRIBE, and in each message that comes by it. Not 0.
    SubscriptionId(u32),
    /// Seconds that the session outlives the connection; `u32::MAX`: for ever.
    SessionExpiry(u32),
    /// The client id that the server gave.
    AssignedClientId(&'a str),
    /// Seconds: the server's choice instead of the client's.
    ServerKeepAlive(u16),
    /// A kind of extended authentication.
    AuthenticationMethod(&'a str),
    /// What the extended authentication says.
    AuthenticationData(&'a [u8]),
    /// Whether reason strings and user properties are welcome in packets that acknowledge something.
    RequestProblemInformation(bool),
    /// Seconds from the loss of the connection to the will.
    WillDelay(u32),
    /// Whether [`Self::ResponseInformation`] is wanted.
    RequestResponseInformation(bool),
    /// What response topics may be made from.
    ResponseInformation(&'a str),
    /// Another server, to be used instead.
    ServerReference(&'a str),
    /// For people, in logs.
    ReasonString(&'a str),
    /// QoS 1 and 2 messages that may be open at a time. Not 0.
    ReceiveMaximum(u16),
    /// The highest topic alias that is accepted.
    TopicAliasMaximum(u16),
    /// A number that stands for the topic.
    TopicAlias(u16),
    /// The highest QoS that the server takes: 0 or 1.
    MaximumQos(u8),
    /// The server retains messages.
    RetainAvailable(bool),
    /// A name and a value, of the application's choice. May stand more than once.
    User(&'a str, &'a str),
    /// Bytes of the largest packet that is accepted. Not 0.
    MaximumPacketSize(u32),
    /// The server takes wildcards in subscriptions.
    WildcardsAvailable(bool),
    /// The server takes [`Self::SubscriptionId`].
    SubscriptionIdsAvailable(bool),
    /// The server has shared subscriptions.
    SharedAvailable(bool),
}

/// Where properties stand, and who wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Callers' share of CONNECT; limits are the engine's to say.
    Connect,
    /// The engine's.
    ConnectLimits,
    Will,
    /// Callers' share of PUBLISH; the topic alias is the engine's.
    Publish,
    /// The engine's.
    PublishAlias,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Connack,
    /// PUBLISH from the server.
    Message,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
    Ack,
    /// The same, for a client that has asked for no problem information ([MQTT-3.1.2-29]).
    BareAck,
    /// DISCONNECT from the server.
    Disconnected,
}

impl Place {
    fn takes(self, id: u8) -> bool {
        let ids: &[u8] = match self {
            Self::Connect => &[0x11, 0x17, 0x19, 0x26],
            Self::ConnectLimits => &[0x21, 0x22, 0x27],
            Self::Will => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26],
            // [MQTT-3.3.4-6]: no subscription id from a client.
            Self::Publish => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x26],
            Self::PublishAlias => &[0x23],
            Self::Subscribe => &[0x0b, 0x26],
            Self::Unsubscribe => &[0x26],
            Self::Disconnect => &[0x11, 0x1f, 0x26],
            // 0x15 and 0x16 are for those who asked for extended authentication, which this client does not.
            Self::Connack => {
                &[0x11, 0x12, 0x13, 0x1a, 0x1c, 0x1f, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a]
            }
            Self::Message => &[0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26],
            Self::Ack => &[0x1f, 0x26],
            Self::BareAck => &[],
            // [MQTT-3.14.2-2]: no session expiry from a server.
            Self::Disconnected => &[0x1c, 0x1f, 0x26],
        };
        ids.contains(&id)
    }

    /// Beside user properties, only a message that belongs to several subscriptions says something twice.
    fn repeats(self, id: u8) -> bool {
        id == 0x26 || (id == 0x0b && self == Self::Message)
    }
}

impl<'a> Property<'a> {
    const fn id(&self) -> u8 {
        match self {
            Self::PayloadIsUtf8(_) => 0x01,
            Self::MessageExpiry(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionId(_) => 0x0b,
            Self::SessionExpiry(_) => 0x11,
            Self::AssignedClientId(_) => 0x12,
            Self::ServerKeepAlive(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelay(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1a,
            Self::ServerReference(_) => 0x1c,
            Self::ReasonString(_) => 0x1f,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQos(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::User(..) => 0x26,
            Self::MaximumPacketSize(_) => 0x27,
            Self::WildcardsAvailable(_) => 0x28,
            Self::SubscriptionIdsAvailable(_) => 0x29,
            Self::SharedAvailable(_) => 0x2a,
        }
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        // An identifier is a number of variable length; those that there are take one byte.
        Ok(match reader.variable()? {
            0x01 => Self::PayloadIsUtf8(flag(reader)?),
            0x02 => Self::MessageExpiry(reader.long()?),
            0x03 => Self::ContentType(reader.string()?),
            0x08 => Self::ResponseTopic(reader.string()?),
            0x09 => Self::CorrelationData(reader.binary()?),
            0x0b => Self::SubscriptionId(reader.variable()?),
            0x11 => Self::SessionExpiry(reader.long()?),
            0x12 => Self::AssignedClientId(reader.string()?),
            0x13 => Self::ServerKeepAlive(reader.short()?),
            0x15 => Self::AuthenticationMethod(reader.string()?),
            0x16 => Self::AuthenticationData(reader.binary()?),
            0x17 => Self::RequestProblemInformation(flag(reader)?),
            0x18 => Self::WillDelay(reader.long()?),
            0x19 => Self::RequestResponseInformation(flag(reader)?),
            0x1a => Self::ResponseInformation(reader.string()?),
            0x1c => Self::ServerReference(reader.string()?),
            0x1f => Self::ReasonString(reader.string()?),
            0x21 => Self::ReceiveMaximum(reader.short()?),
            0x22 => Self::TopicAliasMaximum(reader.short()?),
            0x23 => Self::TopicAlias(reader.short()?),
            0x24 => Self::MaximumQos(reader.byte()?),
            0x25 => Self::RetainAvailable(flag(reader)?),
            0x26 => Self::User(reader.string()?, reader.string()?),
            0x27 => Self::MaximumPacketSize(reader.long()?),
            0x28 => Self::WildcardsAvailable(flag(reader)?),
            0x29 => Self::SubscriptionIdsAvailable(flag(reader)?),
            0x2a => Self::SharedAvailable(flag(reader)?),
            _ => return Err(Error::Property),
        })
    }

    /// A value that such a property can have.
    fn is_valid(&self) -> bool {
        match *self {
            // [MQTT-3.3.2-14].
            Self::ResponseTopic(topic) => crate::is_topic(topic),
            Self::SubscriptionId(id) => (1..=wire::LONGEST).contains(&id),
            Self::ReceiveMaximum(most) => most > 0,
            Self::MaximumPacketSize(most) => most > 0,
            Self::MaximumQos(qos) => qos < 2,
            _ => true,
        }
    }

    fn push(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.push(self.id());
        match *self {
            Self::PayloadIsUtf8(flag)
            | Self::RequestProblemInformation(flag)
            | Self::RequestResponseInformation(flag)
            | Self::RetainAvailable(flag)
            | Self::WildcardsAvailable(flag)
            | Self::SubscriptionIdsAvailable(flag)
            | Self::SharedAvailable(flag) => out.push(u8::from(flag)),
            Self::MaximumQos(qos) => out.push(qos),
            Self::ServerKeepAlive(value)
            | Self::ReceiveMaximum(value)
            | Self::TopicAliasMaximum(value)
            | Self::TopicAlias(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::MessageExpiry(value)
            | Self::SessionExpiry(value)
            | Self::WillDelay(value)
            | Self::MaximumPacketSize(value) => out.extend_from_slice(&value.to_be_bytes()),
            Self::SubscriptionId(id) => wire::push_variable(id, out),
            Self::ContentType(text)
            | Self::ResponseTopic(text)
            | Self::AssignedClientId(text)
            | Self::AuthenticationMethod(text)
            | Self::ResponseInformation(text)
            | Self::ServerReference(text)
            | Self::ReasonString(text) => wire::push_string(text, out)?,
            Self::CorrelationData(bytes) | Self::AuthenticationData(bytes) => wire::push_binary(bytes, out)?,
            Self::User(name, value) => {
                wire::push_string(name, out)?;
                wire::push_string(value, out)?;
            }
        }
        Ok(())
    }
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, Error> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::PropertyValue),
    }
}

/// The properties of a packet that has come, checked before. See [`Engine::properties`](crate::Engine::properties).
#[derive(Clone, Debug)]
pub struct Properties<'a>(Reader<'a>);

impl<'a> Properties<'a> {
    /// Those that stand in these bytes one behind the other; from what is no property on, there are none.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader(bytes))
    }

    /// The bytes in which they stand: for who has to keep them longer than the engine does.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0.0
    }
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        if self.0.0.is_empty() { None } else { Property::read(&mut self.0).ok() }
    }
}

/// Ids that were seen: all of them are below 64.
#[derive(Default)]
struct Seen(u64);

impl Seen {
    fn is_new(&mut self, id: u8) -> bool {
        let bit = 1 << (id & 63);
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

/// Takes the properties off the front of a packet and checks them: `each` sees every one.
pub(crate) fn take<'a>(
    reader: &mut Reader<'a>,
    place: Place,
    mut each: impl FnMut(Property<'a>),
) -> Result<&'a [u8], Error> {
    let len = reader.variable()?;
    let bytes = reader.bytes(len as usize)?;
    let (mut rest, mut seen) = (Reader(bytes), Seen::default());
    while !rest.0.is_empty() {
        let property = Property::read(&mut rest)?;
        let id = property.id();
        if !place.takes(id) {
            return Err(Error::Property);
        }
        if !property.is_valid() || !(seen.is_new(id) || place.repeats(id)) {
            return Err(Error::PropertyValue);
        }
        each(property);
    }
    Ok(bytes)
}

/// Appends the properties with their length before them. `own` are the engine's.
pub(crate) fn push(
    callers: &[Property<'_>],
    place: Place,
    own: &[Property<'_>],
    own_place: Place,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let (start, mut seen) = (out.len(), Seen::default());
    let places = [(callers, place), (own, own_place)];
    for (property, place) in
        places.iter().flat_map(|(properties, place)| properties.iter().map(move |p| (p, *place)))
    {
        let id = property.id();
        if !place.takes(id) || !property.is_valid() || !(seen.is_new(id) || place.repeats(id)) {
            return Err(EncodeError::Property);
        }
        property.push(out)?;
    }
    let body = out.len().saturating_sub(start);
    let len = u32::try_from(body).ok().filter(|len| *len <= wire::LONGEST).ok_or(EncodeError::TooLarge)?;
    wire::push_variable(len, out);
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(wire::variable_len(len));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: [Property<'_>; 27] = [
        Property::PayloadIsUtf8(true),
        Property::MessageExpiry(70_000),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("a/b"),
        Property::CorrelationData(b"\0\xff"),
        Property::SubscriptionId(300),
        Property::SessionExpiry(u32::MAX),
        Property::AssignedClientId("x"),
        Property::ServerKeepAlive(9),
        Property::AuthenticationMethod("m"),
        Property::AuthenticationData(b"d"),
        Property::RequestProblemInformation(false),
        Property::WillDelay(1),
        Property::RequestResponseInformation(true),
        Property::ResponseInformation("r"),
        Property::ServerReference("s"),
        Property::ReasonString("t"),
        Property::ReceiveMaximum(1),
        Property::TopicAliasMaximum(2),
        Property::TopicAlias(3),
        Property::MaximumQos(1),
        Property::RetainAvailable(false),
        Property::User("n", "v"),
        Property::MaximumPacketSize(1000),
        Property::WildcardsAvailable(false),
        Property::SubscriptionIdsAvailable(true),
        Property::SharedAvailable(false),
    ];

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        for property in &EVERY {
            property.push(&mut bytes).unwrap();
        }
        assert!(Properties::new(&bytes).eq(EVERY));
    }

    fn packet(properties: &[Property<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for property in properties {
            property.push(&mut bytes).unwrap();
        }
        bytes.insert(0, bytes.len() as u8);
        bytes
    }

    fn taken(properties: &[Property<'_>], place: Place) -> Result<(), Error> {
        take(&mut Reader(&packet(properties)), place, |_| {}).map(|_| ())
    }

    #[test]
    fn each_packet_has_its_own_properties_and_each_once() {
        for place in [Place::Connack, Place::Message, Place::Ack, Place::BareAck, Place::Disconnected] {
            for property in EVERY {
                let allowed = place.takes(property.id());
                assert_eq!(taken(&[property], place), if allowed { Ok(()) } else { Err(Error::Property) });
                if allowed {
                    let twice = if place.repeats(property.id()) { Ok(()) } else { Err(Error::PropertyValue) };
                    assert_eq!(taken(&[property, property], place), twice);
                }
            }
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        for (property, place) in [
            (Property::ReceiveMaximum(0), Place::Connack),
            (Property::MaximumPacketSize(0), Place::Connack),
            (Property::MaximumQos(2), Place::Connack),
            (Property::SubscriptionId(0), Place::Message),
            (Property::ResponseTopic("a/#"), Place::Message),
        ] {
            assert_eq!(taken(&[property], place), Err(Error::PropertyValue));
        }
        let not_a_flag = [2, 0x25, 2];
        assert_eq!(take(&mut Reader(&not_a_flag), Place::Connack, |_| {}).err(), Some(Error::PropertyValue));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for bytes in [&[5, 0x1f, 0, 9, b'a', b'b'][..], &[9, 0x1f], &[1, 0x21], &[2, 0x80, 0]] {
            assert!(take(&mut Reader(bytes), Place::Connack, |_| {}).is_err());
        }
    }
}
