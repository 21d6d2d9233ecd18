//! Control packets of MQTT 5 that servers send. What is read from them is appended to `properties` as it stood there.

use crate::property::{self, Place};
use crate::reason::Carrier;
use crate::wire::Reader;
use crate::{Error, PacketId, Property, QoS, Reason, Server};
use alloc::vec::Vec;

fn reason(reader: &mut Reader<'_>, carrier: Carrier) -> Result<Reason, Error> {
    Reason::from_wire(reader.byte()?, carrier).ok_or(Error::ReasonCode)
}

/// CONNACK (3.2): whether there is a session, the reason; `server` is told what it says.
pub(crate) fn connack(
    body: &[u8],
    server: &mut Server,
    properties: &mut Vec<u8>,
) -> Result<(bool, Reason), Error> {
    // What a server says in 3.1.1 that does not speak 5 (3.1.2.2).
    if body == [0, 1] {
        return Ok((false, Reason::UNSUPPORTED_VERSION));
    }
    let mut reader = Reader(body);
    // [MQTT-3.2.2-1]: bits 7 to 1 are 0.
    let flags @ 0..=1 = reader.byte()? else { return Err(Error::Connack) };
    let reason = reason(&mut reader, Carrier::Connack)?;
    let bytes = property::take(&mut reader, Place::Connack, |property| match property {
        Property::SessionExpiry(seconds) => server.session_expiry = Some(seconds),
        Property::ServerKeepAlive(seconds) => server.keep_alive = Some(seconds),
        Property::ReceiveMaximum(most) => server.receive_maximum = most,
        Property::MaximumQos(most) => server.maximum_qos = QoS::new(most).unwrap_or(QoS::ExactlyOnce),
        Property::MaximumPacketSize(most) => server.maximum_packet = most,
        Property::TopicAliasMaximum(most) => server.aliases = most,
        Property::RetainAvailable(flag) => server.retains = flag,
        Property::WildcardsAvailable(flag) => server.has_wildcards = flag,
        Property::SubscriptionIdsAvailable(flag) => server.has_subscription_ids = flag,
        Property::SharedAvailable(flag) => server.has_shared = flag,
        _ => {}
    })?;
    reader.end()?;
    properties.extend_from_slice(bytes);
    Ok((flags == 1, reason))
}

/// The properties that end a packet, which may be left out with their length.
fn last_properties(mut reader: Reader<'_>, place: Place, properties: &mut Vec<u8>) -> Result<(), Error> {
    if !reader.0.is_empty() {
        properties.extend_from_slice(property::take(&mut reader, place, |_| {})?);
    }
    reader.end()
}

/// PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7): what is missing is success.
pub(crate) fn acknowledgement(
    body: &[u8],
    carrier: Carrier,
    place: Place,
    properties: &mut Vec<u8>,
) -> Result<(PacketId, Reason), Error> {
    let mut reader = Reader(body);
    let id = reader.packet_id()?;
    if reader.0.is_empty() {
        return Ok((id, Reason::SUCCESS));
    }
    let reason = reason(&mut reader, carrier)?;
    last_properties(reader, place, properties)?;
    Ok((id, reason))
}

/// SUBACK and UNSUBACK (3.9, 3.11): the id, and the answers, appended to `reasons`.
pub(crate) fn answers(
    body: &[u8],
    carrier: Carrier,
    place: Place,
    properties: &mut Vec<u8>,
    reasons: &mut Vec<Reason>,
) -> Result<PacketId, Error> {
    let mut reader = Reader(body);
    let id = reader.packet_id()?;
    properties.extend_from_slice(property::take(&mut reader, place, |_| {})?);
    while !reader.0.is_empty() {
        reasons.push(reason(&mut reader, carrier)?);
    }
    Ok(id)
}

/// DISCONNECT (3.14).
pub(crate) fn disconnect(body: &[u8], properties: &mut Vec<u8>) -> Result<Reason, Error> {
    let mut reader = Reader(body);
    if reader.0.is_empty() {
        return Ok(Reason::SUCCESS);
    }
    let reason = reason(&mut reader, Carrier::Disconnected)?;
    last_properties(reader, Place::Disconnected, properties)?;
    Ok(reason)
}
