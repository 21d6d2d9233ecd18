//! Control packets of 3.1.1 by `mqttbytes`, behind a gate: it takes what the standard forbids, so that nothing gets to it
//! that was not checked, and nothing is believed that it could have got wrong. PUBLISH and its acknowledgements do not
//! come here: those are streamed, and written without an allocation.

use crate::wire::Reader;
use crate::{EncodeError, Error, PacketId, Reason, Subscription};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use mqttbytes::v4::{
    ConnAck, ConnectReturnCode, SubAck, Subscribe, SubscribeFilter, SubscribeReasonCode, UnsubAck,
    Unsubscribe,
};
use mqttbytes::{FixedHeader, QoS};

/// A whole packet as `mqttbytes` wants it: the fixed header counted, not there.
fn parts(first: u8, body: &[u8]) -> (FixedHeader, Bytes) {
    let mut packet = BytesMut::with_capacity(body.len() + 2);
    packet.extend_from_slice(&[first, 0]);
    packet.extend_from_slice(body);
    (FixedHeader::new(first, 1, body.len()), packet.freeze())
}

/// CONNACK: whether there is a session, and the return code.
pub(crate) fn connack(body: &[u8]) -> Result<(bool, Reason), Error> {
    // [MQTT-3.2.2-4]: bits 7 to 1 of the flags are 0. Return codes from 6 are reserved.
    match body {
        // What a server says in MQTT 5 that does not speak 3.1.1 (MQTT 5, 3.1.2.2).
        [0, 0x84, _, ..] => return Ok((false, Reason::UNSUPPORTED_VERSION)),
        [0 | 1, 0..=5] => {}
        [0 | 1, _] => return Err(Error::ReasonCode),
        [_, _] => return Err(Error::Connack),
        _ => return Err(Error::Length),
    }
    let (header, packet) = parts(0x20, body);
    let connack = ConnAck::read(header, packet).map_err(|_| Error::Length)?;
    let reason = match connack.code {
        ConnectReturnCode::Success => Reason::SUCCESS,
        ConnectReturnCode::RefusedProtocolVersion => Reason::UNSUPPORTED_VERSION,
        ConnectReturnCode::BadClientId => Reason::CLIENT_ID,
        ConnectReturnCode::ServiceUnavailable => Reason::SERVER_UNAVAILABLE,
        ConnectReturnCode::BadUserNamePassword => Reason::CREDENTIALS,
        ConnectReturnCode::NotAuthorized => Reason::NOT_AUTHORIZED,
    };
    Ok((connack.session_present, reason))
}

/// SUBACK: its id, and the answers, appended to `codes`.
pub(crate) fn suback(body: &[u8], codes: &mut Vec<Reason>) -> Result<PacketId, Error> {
    let id = Reader(body).packet_id()?;
    if body.len() < 3 {
        return Err(Error::Length);
    }
    let (header, packet) = parts(0x90, body);
    // [MQTT-3.9.3-2]: other codes than 0, 1, 2 and 0x80 are what can fail here.
    let suback = SubAck::read(header, packet).map_err(|_| Error::ReasonCode)?;
    codes.extend(suback.return_codes.iter().map(|code| match code {
        SubscribeReasonCode::Success(QoS::AtMostOnce) => Reason::SUCCESS,
        SubscribeReasonCode::Success(QoS::AtLeastOnce) => Reason::GRANTED_QOS_1,
        SubscribeReasonCode::Success(QoS::ExactlyOnce) => Reason::GRANTED_QOS_2,
        SubscribeReasonCode::Failure => Reason::UNSPECIFIED,
    }));
    Ok(id)
}

/// UNSUBACK: its id.
pub(crate) fn unsuback(body: &[u8]) -> Result<PacketId, Error> {
    let (header, packet) = parts(0xb0, body);
    let unsuback = UnsubAck::read(header, packet).map_err(|_| Error::Length)?;
    PacketId::new(unsuback.pkid).ok_or(Error::PacketId)
}

/// Appends a SUBSCRIBE. The filters were checked, their lengths above all: `mqttbytes` cuts off what is too long.
pub(crate) fn subscribe(
    id: PacketId,
    filters: &[Subscription<'_>],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let filters = filters.iter().map(|subscription| {
        let qos = match subscription.qos {
            crate::QoS::AtMostOnce => QoS::AtMostOnce,
            crate::QoS::AtLeastOnce => QoS::AtLeastOnce,
            crate::QoS::ExactlyOnce => QoS::ExactlyOnce,
        };
        SubscribeFilter::new(subscription.filter.into(), qos)
    });
    let mut packet = Subscribe::new_many(filters);
    packet.pkid = id.get();
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes).map_err(|_| EncodeError::TooLarge)?;
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Appends an UNSUBSCRIBE, of filters that were checked.
pub(crate) fn unsubscribe(id: PacketId, filters: &[&str], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let topics = filters.iter().map(|filter| (*filter).into()).collect();
    let mut bytes = BytesMut::new();
    Unsubscribe { pkid: id.get(), topics }.write(&mut bytes).map_err(|_| EncodeError::TooLarge)?;
    out.extend_from_slice(&bytes);
    Ok(())
}
