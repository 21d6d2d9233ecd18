//! What must hold for any bytes given to a MQTT engine: no panic, ranges within the input, errors that stay, and the same
//! events and answers however the bytes are cut.

#[path = "../../roles/mqtt/tests/common/mod.rs"]
mod common;

use common::{Told, connected, connecting, feed};
use millstream_mqtt::{Engine, Limits, Publish, QoS, Session, Subscription, Version};

/// Small limits, so that short inputs reach them.
const LIMITS: Limits = Limits {
    packet: 2000,
    head: 200,
    in_flight: 5,
    receive: 3,
    aliases: 3,
    own_aliases: 2,
    requests: 4,
    replies: 12,
    pong: 1_000_000,
};

/// A client with a session, before CONNACK; or one that waits for answers of every kind: to SUBSCRIBE (id 1),
/// UNSUBSCRIBE (2), messages of QoS 1 (3) and 2 (4), a ping.
fn make(version: Version, waits: bool) -> Engine {
    if !waits {
        return connecting(version, LIMITS, Session::resumed());
    }
    let (mut engine, mut out) = (connected(version, LIMITS), Vec::new());
    let filters = ["a", "b"].map(|filter| Subscription { filter, ..Subscription::default() });
    engine.subscribe(&filters, &[], &mut out).unwrap();
    engine.unsubscribe(&["c"], &[], &mut out).unwrap();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        engine.publish(&Publish { topic: "a", qos, ..Publish::default() }, 0, &mut out).unwrap();
    }
    engine.ping(0);
    engine.poll_output(&mut out);
    engine
}

fn cut_anyhow(version: Version, data: &[u8]) {
    let [how, cut, input @ ..] = data else { return };
    let make = || make(version, how & 1 == 0);
    let mut engine = make();
    let whole = feed(&mut engine, &[input]);
    let (first, second) = input.split_at(usize::from(*cut).min(input.len()));
    assert_eq!(feed(&mut make(), &[first, second]), whole);
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(&mut make(), &bytes), whole);
    let errors = whole.0.iter().filter(|told| matches!(told, Told::Error(_))).count();
    assert!(errors <= 1);
    go_on(version, engine.into_session(), how & 2 == 2);
}

/// The next connection gets to the end of what is left.
fn go_on(version: Version, session: Session, session_present: bool) {
    let mut engine = connecting(version, LIMITS, session);
    let flag = u8::from(session_present);
    let connack: &[u8] =
        if version == Version::V4 { &[0x20, 2, flag, 0] } else { &[0x20, 8, flag, 0, 5, 0x11, 0, 0, 0, 9] };
    if !matches!(feed(&mut engine, &[connack]).0[..], [Told::Event(..), ..]) {
        return;
    }
    let mut out = Vec::new();
    while let Some((id, qos)) = engine.next_resend() {
        engine.resend(id, &Publish { topic: "a", qos, ..Publish::default() }, 0, &mut out).unwrap();
        engine.give_up(id);
    }
    while engine
        .publish(&Publish { topic: "a", qos: QoS::AtLeastOnce, ..Publish::default() }, 0, &mut out)
        .is_ok()
    {}
    assert!(engine.session().in_flight() <= usize::from(LIMITS.in_flight));
}

/// Bytes from a 3.1.1 server.
pub(crate) fn mqtt_v4(data: &[u8]) {
    cut_anyhow(Version::V4, data);
}

/// Bytes from a MQTT 5 server.
pub(crate) fn mqtt_v5(data: &[u8]) {
    cut_anyhow(Version::V5, data);
}
