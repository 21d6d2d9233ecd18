//! What the standards forbid a server, and what becomes of the connection.

mod common;

use common::{Told, connected, connecting, feed, feed_cut_anyhow, v4, v5};
use millstream_mqtt::{
    Connect, Engine, Error, Limits, Property, Publish, QoS, Session, Subscription, Version,
};

/// The error that `input` ends in, and nothing is told before it.
#[track_caller]
fn refused(make: impl Fn() -> Engine, input: &[u8], error: Error) {
    let (told, out) = feed_cut_anyhow(&make, input);
    assert_eq!(told, [Told::Error(error)], "{input:02x?}");
    // MQTT 5, 4.13.1: the server is told.
    let farewell = [0xe0, 1, error.reason().code()];
    assert_eq!(out, if make().version() == Version::V5 { &farewell[..] } else { &[] });
}

#[track_caller]
fn taken(make: impl Fn() -> Engine, input: &[u8]) {
    let (told, _) = feed_cut_anyhow(make, input);
    assert!(!told.iter().any(|told| matches!(told, Told::Error(_))), "{input:02x?}: {told:?}");
}

fn fresh4() -> Engine {
    connecting(Version::V4, Limits::default(), Session::new())
}

fn fresh5() -> Engine {
    connecting(Version::V5, Limits::default(), Session::new())
}

/// One that waits for the answers to a SUBSCRIBE of two filters (id 1), an UNSUBSCRIBE (2), and messages of QoS 1 (3)
/// and 2 (4).
fn waiting(version: Version) -> Engine {
    let (mut engine, mut out) = (connected(version, Limits::default()), Vec::new());
    let filters = [
        Subscription { filter: "a", ..Subscription::default() },
        Subscription { filter: "b", ..Subscription::default() },
    ];
    engine.subscribe(&filters, &[], &mut out).unwrap();
    engine.unsubscribe(&["c"], &[], &mut out).unwrap();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        engine.publish(&Publish { topic: "a", qos, ..Publish::default() }, 0, &mut out).unwrap();
    }
    engine
}

#[test]
fn mqtt_2_1_3_each_packet_has_its_flags() {
    for version in [Version::V4, Version::V5] {
        for (packet, its_flags) in [
            (&[0x40, 2, 0, 3][..], 0),
            (&[0x50, 2, 0, 4], 0),
            (&[0x62, 2, 0, 9], 2),
            (&[0x70, 2, 0, 9], 0),
            (&[0x90, 4, 0, 1, 0, 0], 0),
            (&[0xb0, 2, 0, 2], 0),
            (&[0xd0, 0], 0),
        ] {
            for flags in (0..16).filter(|flags| *flags != its_flags) {
                let mut packet = packet.to_vec();
                packet[0] = packet[0] & 0xf0 | flags;
                refused(|| waiting(version), &packet, Error::Flags);
            }
        }
        refused(|| connecting(version, Limits::default(), Session::new()), &[0x21, 2, 0, 0], Error::Flags);
    }
    refused(v5, &[0xe1, 0], Error::Flags);
}

#[test]
fn packets_that_servers_do_not_send_are_refused() {
    for version in [Version::V4, Version::V5] {
        for kind in [0x00, 0x10, 0x82, 0xa2, 0xc0] {
            refused(|| connected(version, Limits::default()), &[kind, 0], Error::PacketType);
        }
    }
    refused(v4, &[0xe0, 0], Error::PacketType);
    refused(v4, &[0xf0, 0], Error::PacketType);
    refused(v5, &[0xf0, 2, 0x18, 0], Error::Auth);
}

#[test]
fn mqtt_1_5_5_remaining_lengths_have_four_bytes_and_none_too_many() {
    refused(v4, &[0x30, 0x80, 0x80, 0x80, 0x80], Error::VariableLength);
    refused(v4, &[0x30, 0xff, 0xff, 0xff, 0xff], Error::VariableLength);
    refused(v4, &[0xd0, 0x80, 0], Error::VariableLength);
    refused(v4, &[0x30, 0x84, 0x80, 0], Error::VariableLength);
}

#[test]
fn nothing_comes_before_connect_and_connack_comes_first_and_once() {
    let idle = || Engine::new(Version::V4, Limits::default(), Session::new());
    assert_eq!(idle().input(&[0x20, 2, 0, 0]), Err(Error::Order));
    assert_eq!(idle().input(&[]), Ok((0, None)));
    refused(fresh4, &[0x30, 3, 0, 1, b'a'], Error::Order);
    refused(fresh4, &[0xd0, 0], Error::Order);
    refused(fresh5, &[0xe0, 0], Error::Order);
    refused(v4, &[0x20, 2, 0, 0], Error::Order);
    refused(v5, &[0x20, 3, 0, 0, 0], Error::Order);
}

#[test]
fn mqtt_3_2_connack_has_the_flags_codes_and_lengths_that_there_are() {
    for (input, error) in [
        (&[0x20, 2, 2, 0][..], Error::Connack),
        (&[0x20, 2, 0xfe, 0], Error::Connack),
        (&[0x20, 2, 1, 5], Error::Connack),
        (&[0x20, 2, 0, 6], Error::ReasonCode),
        (&[0x20, 1, 0], Error::Length),
        (&[0x20, 3, 0, 0, 0], Error::Length),
    ] {
        refused(fresh4, input, error);
    }
    for (input, error) in [
        (&[0x20, 3, 2, 0, 0][..], Error::Connack),
        // [MQTT-3.2.2-4]: there was no session here.
        (&[0x20, 3, 1, 0, 0], Error::Connack),
        (&[0x20, 3, 0, 1, 0], Error::ReasonCode),
        (&[0x20, 3, 0, 0x92, 0], Error::ReasonCode),
        (&[0x20, 2, 0, 0], Error::Length),
        (&[0x20, 4, 0, 0, 0, 0], Error::Length),
        (&[0x20, 6, 0, 0, 3, 0x21, 0, 0], Error::PropertyValue),
        (&[0x20, 5, 0, 0, 2, 0x24, 2], Error::PropertyValue),
        (&[0x20, 7, 0, 0, 4, 0x24, 0, 0x24, 0], Error::PropertyValue),
        (&[0x20, 5, 0, 0, 2, 0x01, 0], Error::Property),
        (&[0x20, 5, 0, 0, 2, 0x7f, 0], Error::Property),
        (&[0x20, 8, 0, 0, 5, 0x15, 0, 2, b'a', b'b'], Error::Property),
        (&[0x20, 5, 0, 0, 3, 0x21, 0], Error::Length),
    ] {
        refused(fresh5, input, error);
    }
    let clean = || {
        let mut engine = Engine::new(Version::V4, Limits::default(), Session::resumed());
        engine.connect(&Connect { client_id: "a", ..Connect::default() }, 0, &mut Vec::new()).unwrap();
        engine
    };
    refused(clean, &[0x20, 2, 1, 0], Error::Connack);
}

#[test]
fn mqtt_3_3_publish_has_a_topic_an_id_and_a_qos_that_can_be() {
    for (input, error) in [
        (&[0x36, 5, 0, 1, b'a', 0, 1][..], Error::Qos),
        (&[0x38, 3, 0, 1, b'a'], Error::Qos),
        (&[0x30, 2, 0, 0], Error::Topic),
        (&[0x30, 3, 0, 1, b'#'], Error::Topic),
        (&[0x30, 5, 0, 3, b'a', b'/', b'+'], Error::Topic),
        (&[0x30, 3, 0, 1, 0], Error::Utf8),
        (&[0x30, 3, 0, 1, 0xff], Error::Utf8),
        (&[0x30, 5, 0, 3, 0xed, 0xa0, 0x80], Error::Utf8),
        (&[0x32, 5, 0, 1, b'a', 0, 0], Error::PacketId),
        (&[0x30, 1, 0], Error::Length),
        (&[0x30, 0], Error::Length),
        (&[0x30, 3, 0, 2, b'a'], Error::Length),
        (&[0x32, 4, 0, 1, b'a', 0], Error::Length),
    ] {
        refused(v4, input, error);
    }
    for (input, error) in [
        (&[0x30, 3, 0, 1, b'a'][..], Error::Length),
        (&[0x30, 4, 0, 1, b'a', 1], Error::Length),
        (&[0x30, 4, 0, 1, b'a', 0x80], Error::Length),
        (&[0x30, 3, 0, 0, 0], Error::Topic),
        (&[0x30, 6, 0, 0, 3, 0x23, 0, 1], Error::TopicAlias),
        (&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0], Error::TopicAlias),
        (&[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 17], Error::TopicAlias),
        (&[0x30, 6, 0, 1, b'a', 2, 0x0b, 0], Error::PropertyValue),
        (&[0x30, 7, 0, 1, b'a', 3, 0x08, 0, 0], Error::PropertyValue),
        (&[0x30, 6, 0, 1, b'a', 2, 0x01, 2], Error::PropertyValue),
        (&[0x30, 7, 0, 1, b'a', 3, 0x21, 0, 1], Error::Property),
        (&[0x30, 8, 0, 1, b'a', 0x80, 0x80, 0x80, 0x80], Error::VariableLength),
    ] {
        refused(v5, input, error);
    }
}

#[test]
fn mqtt_2_2_1_an_id_stands_for_one_exchange_at_a_time() {
    for version in [Version::V4, Version::V5] {
        // PUBACK to QoS 2, PUBREC and PUBCOMP to QoS 1, PUBCOMP before PUBREC.
        for wrong in [[0x40, 2, 0, 4], [0x50, 2, 0, 3], [0x70, 2, 0, 3], [0x70, 2, 0, 4]] {
            refused(|| waiting(version), &wrong, Error::Order);
        }
        refused(|| waiting(version), &[0x40, 2, 0, 0], Error::PacketId);
    }
}

#[test]
fn what_is_not_there_as_a_whole_can_be_refused_but_not_taken() {
    let sending = |version| {
        let mut engine = connected(version, Limits::default());
        let publish = Publish { topic: "a", qos: QoS::AtLeastOnce, ..Publish::default() };
        engine.publish(&publish, 10, &mut Vec::new()).unwrap();
        engine
    };
    assert_eq!(feed(&mut sending(Version::V4), &[&[0x40, 2, 0, 1]]).0, [Told::Error(Error::Order)]);
    let (told, _) = feed(&mut sending(Version::V5), &[&[0x40, 3, 0, 1, 0x97]]);
    assert!(matches!(told[..], [Told::Event(..)]));
}

#[test]
fn mqtt_3_9_subscriptions_are_answered_one_by_one() {
    for (input, error) in [
        (&[0x90, 3, 0, 1, 0][..], Error::Answers),
        (&[0x90, 5, 0, 1, 0, 0, 0], Error::Answers),
        (&[0x90, 4, 0, 1, 0, 3], Error::ReasonCode),
        (&[0x90, 4, 0, 1, 0, 0x81], Error::ReasonCode),
        (&[0x90, 4, 0, 2, 0, 0], Error::Order),
        (&[0x90, 4, 0, 0, 0, 0], Error::PacketId),
        (&[0x90, 2, 0, 1], Error::Length),
        (&[0xb0, 2, 0, 1], Error::Order),
        (&[0xb0, 2, 0, 0], Error::PacketId),
        (&[0xb0, 3, 0, 2, 0], Error::Length),
    ] {
        refused(|| waiting(Version::V4), input, error);
    }
    for (input, error) in [
        (&[0x90, 4, 0, 1, 0, 0][..], Error::Answers),
        (&[0x90, 5, 0, 1, 0, 0, 0x11], Error::ReasonCode),
        (&[0x90, 2, 0, 1], Error::Length),
        (&[0xb0, 3, 0, 2, 0], Error::Answers),
        (&[0xb0, 4, 0, 2, 0, 1], Error::ReasonCode),
        (&[0xb0, 2, 0, 2], Error::Length),
    ] {
        refused(|| waiting(Version::V5), input, error);
    }
    taken(|| waiting(Version::V4), &[0x90, 4, 0, 1, 2, 0x80]);
    taken(|| waiting(Version::V5), &[0x90, 5, 0, 1, 0, 0xa2, 1, 0xb0, 4, 0, 2, 0, 0x11]);
}

#[test]
fn mqtt_3_4_acknowledgements_have_the_reasons_and_lengths_that_there_are() {
    let wait = || waiting(Version::V5);
    for (input, error) in [
        (&[0x40, 1, 0][..], Error::Length),
        (&[0x40, 3, 0, 3, 0x92], Error::ReasonCode),
        (&[0x40, 3, 0, 3, 0x01], Error::ReasonCode),
        (&[0x40, 5, 0, 3, 0, 0, 0], Error::Length),
        (&[0x40, 6, 0, 3, 0, 2, 0x01, 1], Error::Property),
        (&[0x62, 3, 0, 9, 0x10], Error::ReasonCode),
        (&[0xe0, 1, 0x04], Error::ReasonCode),
        (&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 1], Error::Property),
        (&[0xd0, 1, 0], Error::Length),
    ] {
        refused(wait, input, error);
    }
    for input in [
        &[0x40, 2, 0, 3][..],
        &[0x40, 3, 0, 3, 0x10],
        &[0x40, 4, 0, 3, 0x97, 0],
        &[0x40, 8, 0, 3, 0, 4, 0x1f, 0, 1, b'x'],
        &[0x50, 3, 0, 4, 0x99],
        &[0x62, 3, 0, 9, 0x92],
        &[0xe0, 0],
        &[0xe0, 1, 0x8b],
        &[0xe0, 6, 0x9c, 4, 0x1c, 0, 1, b's'],
    ] {
        taken(wait, input);
    }
    refused(v4, &[0x40, 3, 0, 3, 0], Error::Length);
    refused(v4, &[0x62, 0], Error::Length);
}

#[test]
fn mqtt_3_1_2_29_who_wants_no_problem_information_gets_none() {
    let quiet = || {
        let mut engine = Engine::new(Version::V5, Limits::default(), Session::new());
        let properties = &[Property::RequestProblemInformation(false)];
        engine.connect(&Connect { properties, ..Connect::default() }, 0, &mut Vec::new()).unwrap();
        engine.input(&[0x20, 3, 0, 0, 0]).unwrap();
        engine
    };
    refused(quiet, &[0x40, 8, 0, 3, 0, 4, 0x1f, 0, 1, b'x'], Error::Property);
    taken(quiet, &[0xe0, 6, 0x8b, 4, 0x1f, 0, 1, b'x']);
}

#[test]
fn a_pong_answers_a_ping() {
    refused(v4, &[0xd0, 0], Error::Order);
    let pinged = || {
        let mut engine = v4();
        engine.ping(0);
        engine.poll_output(&mut Vec::new());
        engine
    };
    taken(pinged, &[0xd0, 0]);
    let (told, _) = feed(&mut pinged(), &[&[0xd0, 0, 0xd0, 0]]);
    assert_eq!(told.last(), Some(&Told::Error(Error::Order)));
}

#[test]
fn limits_are_met_by_what_announces_too_much() {
    let limits = Limits { packet: 1000, head: 40, ..Limits::default() };
    for version in [Version::V4, Version::V5] {
        let make = || connected(version, limits);
        refused(make, &[0x30, 0xe6, 0x07], Error::TooLarge);
        refused(make, &[0x30, 0xe0, 0x07, 0, 50], Error::TooLarge);
        refused(make, &[0x90, 41], Error::TooLarge);
    }
    refused(|| connected(Version::V5, limits), &[0x30, 100, 0, 1, b'a', 60], Error::TooLarge);
}

#[test]
fn mqtt_3_3_4_9_a_server_keeps_to_the_receive_maximum() {
    let make = || connected(Version::V5, Limits { receive: 2, ..Limits::default() });
    let publish = |id| [0x34, 6, 0, 1, b'a', 0, id, 0];
    let (told, _) = feed(&mut make(), &[&publish(1), &publish(2), &[0x62, 2, 0, 1], &publish(3)]);
    assert_eq!(told.len(), 6);
    let (told, _) = feed(&mut make(), &[&publish(1), &publish(2), &publish(3)]);
    assert_eq!(told.last(), Some(&Told::Error(Error::ReceiveMaximum)));
    // What comes again is not more.
    let (told, _) = feed(&mut make(), &[&publish(1), &publish(2), &publish(2)]);
    assert_eq!(told.len(), 4);
}
