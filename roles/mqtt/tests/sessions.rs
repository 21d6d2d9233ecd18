//! What outlives a connection, and what does not.

mod common;

use common::{Told, connected, connecting, feed};
use millstream_mqtt::{
    Connect, EncodeError, Engine, Event, Limits, PacketId, Property, Publish, QoS, Reason, Session, Version,
};
use std::collections::BTreeSet;

const ONE: Publish<'_> = Publish { topic: "a", qos: QoS::AtLeastOnce, retain: false, properties: &[] };
const TWO: Publish<'_> = Publish { qos: QoS::ExactlyOnce, ..ONE };

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// What a connection leaves that sent messages of QoS 1 (id 1), 2 (2), and 2 (3), of which the last was received.
fn left(version: Version) -> Session {
    let (mut engine, mut out) = (connecting(version, Limits::default(), Session::resumed()), Vec::new());
    accept(&mut engine, false);
    engine.publish(&ONE, 0, &mut out).unwrap();
    engine.publish(&TWO, 0, &mut out).unwrap();
    engine.publish(&TWO, 0, &mut out).unwrap();
    feed(&mut engine, &[&[0x50, 2, 0, 3]]);
    engine.into_session()
}

fn accept(engine: &mut Engine, session_present: bool) -> Vec<Told> {
    let flag = u8::from(session_present);
    let connack: &[u8] = if engine.version() == Version::V4 {
        &[0x20, 2, flag, 0]
    } else {
        &[0x20, 8, flag, 0, 5, 0x11, 0, 0, 0, 9]
    };
    let (used, event) = engine.input(connack).unwrap();
    assert_eq!((used, event), (connack.len(), Some(Event::Connected { session_present })));
    feed(engine, &[b""]).0
}

fn again(session: Session, version: Version, session_present: bool) -> Engine {
    let mut engine = connecting(version, Limits::default(), session);
    accept(&mut engine, session_present);
    engine
}

#[test]
fn mqtt_4_4_what_is_in_flight_goes_out_again_in_order_with_dup() {
    for version in [Version::V4, Version::V5] {
        let mut engine = connecting(version, Limits::default(), left(version));
        assert_eq!(engine.next_resend(), None, "not before CONNACK");
        let connack: &[u8] = if version == Version::V4 { &[0x20, 2, 1, 0] } else { &[0x20, 3, 1, 0, 0] };
        engine.input(connack).unwrap();
        let mut out = Vec::new();
        engine.poll_output(&mut out);
        assert_eq!(out, [0x62, 2, 0, 3], "what was received is released");
        out.clear();
        assert_eq!(engine.publish(&ONE, 0, &mut out), Err(EncodeError::Resend));
        assert!(!engine.can_publish(QoS::AtLeastOnce) && engine.can_publish(QoS::AtMostOnce));
        assert_eq!(engine.next_resend(), Some((id(1), QoS::AtLeastOnce)));
        assert_eq!(engine.resend(id(1), &TWO, 0, &mut out), Err(EncodeError::Resend));
        assert_eq!(engine.resend(id(2), &TWO, 0, &mut out), Err(EncodeError::Resend));
        engine.resend(id(1), &ONE, 0, &mut out).unwrap();
        engine.resend(id(2), &TWO, 0, &mut out).unwrap();
        assert_eq!(engine.next_resend(), None);
        assert_eq!(engine.publish(&ONE, 0, &mut out), Ok(Some(id(4))));
        let firsts: Vec<u8> = out.iter().copied().filter(|byte| byte & 0xf0 == 0x30).collect();
        assert_eq!(firsts, [0x3a, 0x3c, 0x32]);
    }
}

#[test]
fn without_a_session_there_what_is_in_flight_is_new_and_what_was_received_is_forgotten() {
    for version in [Version::V4, Version::V5] {
        let mut engine = connecting(version, Limits::default(), left(version));
        let told = accept(&mut engine, false);
        assert_eq!(told, [Told::Event(Event::Forgotten(id(3)), told_properties(version))]);
        let mut out = Vec::new();
        engine.poll_output(&mut out);
        assert_eq!(out, []);
        engine.resend(id(1), &ONE, 0, &mut out).unwrap();
        engine.resend(id(2), &TWO, 0, &mut out).unwrap();
        let firsts: Vec<u8> = out.iter().copied().filter(|byte| byte & 0xf0 == 0x30).collect();
        assert_eq!(firsts, [0x32, 0x34]);
        assert_eq!(engine.session().in_flight(), 2);
    }
}

/// Those of CONNACK are there until the next packet.
fn told_properties(version: Version) -> String {
    if version == Version::V4 { String::new() } else { " SessionExpiry(9)".to_owned() }
}

#[test]
fn what_is_forgotten_is_told_on_a_later_connection_if_not_on_this() {
    let mut engine = connecting(Version::V4, Limits::default(), left(Version::V4));
    engine.input(&[0x20, 2, 0, 0]).unwrap();
    assert!(engine.has_event());
    let mut engine = connecting(Version::V4, Limits::default(), engine.into_session());
    assert!(!engine.has_event());
    let told = accept(&mut engine, true);
    assert_eq!(told, [Told::Event(Event::Forgotten(id(3)), String::new())]);
    assert!(!engine.has_event());
}

#[test]
fn the_server_may_take_fewer_at_a_time_than_are_to_be_sent_again() {
    let (mut engine, mut out) = (connecting(Version::V5, Limits::default(), left(Version::V5)), Vec::new());
    engine.input(&[0x20, 6, 1, 0, 3, 0x21, 0, 1]).unwrap();
    engine.resend(id(1), &ONE, 0, &mut out).unwrap();
    assert_eq!(engine.next_resend(), None, "no room");
    assert_eq!(engine.publish(&ONE, 0, &mut out), Err(EncodeError::Resend));
    feed(&mut engine, &[&[0x40, 2, 0, 1]]);
    assert_eq!(engine.next_resend(), Some((id(2), QoS::ExactlyOnce)));
}

/// The ids that as many messages get as there are ids, each acknowledged at once.
fn every_id(engine: &mut Engine) -> BTreeSet<PacketId> {
    let mut out = Vec::new();
    let message = |_| {
        let id = engine.publish(&ONE, 0, &mut out).unwrap().unwrap();
        let [high, low] = id.get().to_be_bytes();
        assert!(matches!(engine.input(&[0x40, 2, high, low]), Ok((4, Some(Event::Acknowledged { .. })))));
        id
    };
    (0..65_535).map(message).collect()
}

#[test]
fn a_message_that_was_given_up_goes_its_way_if_the_server_has_it() {
    let mut engine = again(left(Version::V4), Version::V4, true);
    engine.give_up(id(1));
    assert_eq!(engine.next_resend(), Some((id(2), QoS::ExactlyOnce)));
    engine.give_up(id(2));
    engine.give_up(id(9));
    assert_eq!(engine.next_resend(), None);
    assert_eq!(engine.session().in_flight(), 1);
    // The id of QoS 1 is free, that of QoS 2 is not: the server could take a new message for the old one.
    let ids = every_id(&mut engine);
    assert!(ids.contains(&id(1)) && !ids.contains(&id(2)) && !ids.contains(&id(3)));
    let mut engine = again(engine.into_session(), Version::V4, true);
    let (told, out) = feed(&mut engine, &[&[0x50, 2, 0, 2, 0x70, 2, 0, 2]]);
    assert_eq!(out, [0x62, 2, 0, 2]);
    let over = Event::Acknowledged { id: id(2), reason: Reason::SUCCESS };
    assert_eq!(told, [Told::Event(over, String::new())]);
    assert!(every_id(&mut engine).contains(&id(2)), "that is over");
}

#[test]
fn given_up_towards_a_server_without_a_session_is_gone() {
    let mut engine = again(left(Version::V4), Version::V4, false);
    engine.give_up(id(2));
    engine.give_up(id(1));
    assert_eq!(engine.session().in_flight(), 0);
    assert_eq!(every_id(&mut engine).len(), 65_535);
    // As is what was given up before the server lost its session.
    let mut engine = again(left(Version::V4), Version::V4, true);
    engine.give_up(id(2));
    engine.give_up(id(1));
    let mut engine = again(engine.into_session(), Version::V4, false);
    assert_eq!(every_id(&mut engine).len(), 65_535);
}

#[test]
fn what_is_released_again_neither_widens_the_window_nor_gets_around_the_bound() {
    let mut engine = connecting(Version::V5, Limits::default(), left(Version::V5));
    engine.input(&[0x20, 6, 1, 0, 3, 0x21, 0, 1]).unwrap();
    engine.give_up(id(1));
    engine.give_up(id(2));
    feed(&mut engine, &[&[0x70, 2, 0, 3]]);
    let mut out = Vec::new();
    engine.publish(&ONE, 0, &mut out).unwrap();
    assert_eq!(engine.publish(&ONE, 0, &mut out), Err(EncodeError::Window), "one at a time, as before");

    let mut engine = connecting(Version::V4, Limits { in_flight: 1, ..Limits::default() }, left(Version::V4));
    engine.input(&[0x20, 2, 1, 0]).unwrap();
    engine.give_up(id(1));
    engine.give_up(id(2));
    assert_eq!(engine.session().in_flight(), 1);
    assert_eq!(engine.publish(&ONE, 0, &mut out), Err(EncodeError::Window));
}

#[test]
fn a_message_that_breaks_off_is_taken_when_it_comes_again() {
    let mut engine = connected(Version::V4, Limits::default());
    let (told, _) = feed(&mut engine, &[b"\x34\x08\0\x01a\0\x07x"]);
    assert_eq!(told.len(), 2);
    let mut engine = again(engine.into_session(), Version::V4, true);
    let (told, out) = feed(&mut engine, &[b"\x3c\x08\0\x01a\0\x07xyz"]);
    assert_eq!(told.len(), 3);
    assert_eq!(out, [0x50, 2, 0, 7]);
    let mut engine = again(engine.into_session(), Version::V4, true);
    let (told, out) = feed(&mut engine, &[b"\x3c\x08\0\x01a\0\x07xyz"]);
    assert_eq!(told, []);
    assert_eq!(out, [0x50, 2, 0, 7]);
    let mut engine = again(engine.into_session(), Version::V4, false);
    let (told, _) = feed(&mut engine, &[b"\x34\x08\0\x01a\0\x07xyz"]);
    assert_eq!(told.len(), 3, "a new session has new ids");
}

#[test]
fn ids_and_aliases_of_one_connection_mean_nothing_on_the_next() {
    let mut engine = connected(Version::V5, Limits::default());
    engine.unsubscribe(&["a"], &[], &mut Vec::new()).unwrap();
    feed(&mut engine, &[b"\x30\x07\0\x01a\x03\x23\0\x01"]);
    let session = engine.into_session();
    let mut engine = again(session.clone(), Version::V5, false);
    assert!(engine.input(&[0xb0, 4, 0, 1, 0, 0]).is_err());
    let mut engine = again(session, Version::V5, false);
    assert!(engine.input(b"\x30\x06\0\0\x03\x23\0\x01").is_err());
}

#[test]
fn mqtt_3_2_2_4_a_server_with_a_session_that_a_client_does_not_know_is_refused() {
    let connack = [0x20, 3, 1, 0, 0];
    assert!(connecting(Version::V5, Limits::default(), Session::new()).input(&connack).is_err());
    assert!(connecting(Version::V5, Limits::default(), Session::resumed()).input(&connack).is_ok());
    // A session that the server made for a CONNECT whose CONNACK was lost is no stranger.
    let mut engine = Engine::new(Version::V5, Limits::default(), Session::new());
    let properties = [Property::SessionExpiry(10)];
    let connect =
        Connect { client_id: "a", clean_start: false, properties: &properties, ..Connect::default() };
    engine.connect(&connect, 0, &mut Vec::new()).unwrap();
    assert!(connecting(Version::V5, Limits::default(), engine.into_session()).input(&connack).is_ok());
    // One that was to end with its connection is.
    let ended = connected(Version::V5, Limits::default()).into_session();
    assert!(connecting(Version::V5, Limits::default(), ended).input(&connack).is_err());
    // For how long it lives is the server's to say.
    for (expiry, is_there) in [(0, false), (9, true)] {
        let mut engine = Engine::new(Version::V5, Limits::default(), Session::new());
        engine.connect(&connect, 0, &mut Vec::new()).unwrap();
        engine.input(&[0x20, 8, 0, 0, 5, 0x11, 0, 0, 0, expiry]).unwrap();
        let mut next = connecting(Version::V5, Limits::default(), engine.into_session());
        assert_eq!(next.input(&connack).is_ok(), is_there);
    }
}
