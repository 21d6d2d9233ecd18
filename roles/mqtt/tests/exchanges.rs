//! What goes over the wire, both ways, when all keep to the rules.

mod common;

use common::{Told, connected, connecting, feed, feed_cut_anyhow, v4, v5};
use millstream_mqtt::{
    Connect, EncodeError, Engine, Error, Event, Limits, Message, PacketId, Property, Publish, QoS, Reason,
    Refusal, RetainHandling, Session, Subscription, Version, Will,
};

fn connect(version: Version, connect: &Connect<'_>) -> Result<Vec<u8>, EncodeError> {
    let mut out = b"before".to_vec();
    let limits = Limits { receive: 20, aliases: 4, packet: 1000, ..Limits::default() };
    let result = Engine::new(version, limits, Session::new()).connect(connect, 0, &mut out);
    if result.is_err() {
        assert_eq!(out, b"before");
    }
    result.map(|()| out.split_off(6))
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// A MQTT 5 engine whose server has said `properties` about itself.
fn limited(properties: &[u8]) -> Engine {
    let mut engine = connecting(Version::V5, Limits::default(), Session::new());
    let len = properties.len() as u8;
    let mut connack = vec![0x20, len + 3, 0, 0, len];
    connack.extend_from_slice(properties);
    assert!(matches!(engine.input(&connack), Ok((_, Some(Event::Connected { .. })))));
    engine
}

#[test]
fn connect_says_who_it_is_and_what_is_to_be_published_after_it() {
    let will = Will { topic: "w", message: b"\xff\0", qos: QoS::AtLeastOnce, retain: true, properties: &[] };
    let full = Connect {
        client_id: "id",
        clean_start: false,
        keep_alive: 300,
        user_name: Some("u"),
        password: Some(b"\xfe\xff"),
        will: Some(will),
        properties: &[],
    };
    let expected = b"\x10\x1c\0\x04MQTT\x04\xec\x01\x2c\0\x02id\0\x01w\0\x02\xff\0\0\x01u\0\x02\xfe\xff";
    assert_eq!(connect(Version::V4, &full).unwrap(), expected);
    let properties = [Property::SessionExpiry(9), Property::User("n", "v")];
    let will = Will { properties: &[Property::WillDelay(1)], ..will };
    let full = Connect { properties: &properties, will: Some(will), ..full };
    let expected =
        b"\x10\x3a\0\x04MQTT\x05\xec\x01\x2c\x17\x11\0\0\0\x09\x26\0\x01n\0\x01v\x21\0\x14\x22\0\x04\
        \x27\0\0\x03\xe8\0\x02id\x05\x18\0\0\0\x01\0\x01w\0\x02\xff\0\0\x01u\0\x02\xfe\xff";
    assert_eq!(connect(Version::V5, &full).unwrap(), expected);
    let empty = Connect { user_name: Some(""), password: Some(b""), ..Connect::default() };
    assert_eq!(connect(Version::V4, &empty).unwrap(), b"\x10\x10\0\x04MQTT\x04\xc2\0\0\0\0\0\0\0\0");
}

#[test]
fn connect_takes_nothing_that_cannot_be_said() {
    let long = "a".repeat(65_536);
    let base = Connect::default();
    for (wrong, error) in [
        (Connect { clean_start: false, ..base }, EncodeError::ClientId),
        (Connect { password: Some(b"p"), ..base }, EncodeError::Password),
        (Connect { properties: &[Property::SessionExpiry(1)], ..base }, EncodeError::Property),
        (Connect { client_id: "a\0", ..base }, EncodeError::Text),
        (Connect { client_id: &long, ..base }, EncodeError::Text),
        (Connect { will: Some(Will::default()), ..base }, EncodeError::Topic),
        (Connect { will: Some(Will { topic: "#", ..Will::default() }), ..base }, EncodeError::Topic),
        (
            Connect { will: Some(Will { topic: "a", message: long.as_bytes(), ..Will::default() }), ..base },
            EncodeError::Text,
        ),
    ] {
        assert_eq!(connect(Version::V4, &wrong), Err(error));
    }
    assert!(connect(Version::V5, &Connect { clean_start: false, password: Some(b"p"), ..base }).is_ok());
    for property in [Property::ReceiveMaximum(1), Property::TopicAlias(1), Property::WillDelay(1)] {
        let wrong = Connect { properties: &[property], ..base };
        assert_eq!(connect(Version::V5, &wrong), Err(EncodeError::Property));
    }
    let mut engine = v4();
    assert_eq!(engine.connect(&base, 0, &mut Vec::new()), Err(EncodeError::Turn));
}

#[test]
fn connack_codes_are_causes() {
    for (code, reason, refusal) in [
        (1, Reason::UNSUPPORTED_VERSION, Refusal::Version),
        (2, Reason::CLIENT_ID, Refusal::ClientId),
        (3, Reason::SERVER_UNAVAILABLE, Refusal::Unavailable),
        (4, Reason::CREDENTIALS, Refusal::Credentials),
        (5, Reason::NOT_AUTHORIZED, Refusal::NotAuthorized),
    ] {
        let make = || connecting(Version::V4, Limits::default(), Session::new());
        let (told, out) = feed_cut_anyhow(make, &[0x20, 2, 0, code, 1, 2, 3]);
        assert_eq!(told, [Told::Event(Event::Refused(reason), String::new())]);
        assert_eq!(Refusal::from(reason), refusal);
        assert!(out.is_empty());
    }
    let make = || connecting(Version::V5, Limits::default(), Session::new());
    let (told, _) = feed_cut_anyhow(make, b"\x20\x08\0\x9d\x05\x1c\0\x02ab");
    let server = " ServerReference(\"ab\")".to_owned();
    assert_eq!(told, [Told::Event(Event::Refused(Reason::SERVER_MOVED), server)]);
    assert_eq!(Refusal::from(Reason::SERVER_MOVED), Refusal::Elsewhere);
}

#[test]
fn a_server_of_the_other_version_may_say_in_its_own_that_it_does_not_speak_ours() {
    for (version, connack) in [
        (Version::V5, &[0x20, 2, 0, 1][..]),
        (Version::V4, &[0x20, 3, 0, 0x84, 0]),
        (Version::V4, b"\x20\x08\0\x84\x05\x1f\0\x02no"),
    ] {
        let make = || connecting(version, Limits::default(), Session::new());
        let (told, _) = feed_cut_anyhow(make, connack);
        assert_eq!(told, [Told::Event(Event::Refused(Reason::UNSUPPORTED_VERSION), String::new())]);
    }
    assert_eq!(Refusal::from(Reason::UNSUPPORTED_VERSION), Refusal::Version);
}

#[test]
fn messages_come_in_at_each_qos_and_are_acknowledged_when_they_are_complete() {
    let input = b"\x31\x05\0\x01apq\x32\x06\0\x01b\0\x07x\x3c\x05\0\x01c\0\x08\x62\x02\0\x08";
    let (told, out) = feed_cut_anyhow(v4, input);
    let message = |qos, retain, dup, len| Event::Message(Message { qos, retain, dup, len });
    let expected = [
        Told::Event(message(QoS::AtMostOnce, true, false, 2), "a".into()),
        Told::Payload(b"pq".to_vec()),
        Told::End,
        Told::Event(message(QoS::AtLeastOnce, false, false, 1), "b".into()),
        Told::Payload(b"x".to_vec()),
        Told::End,
        Told::Event(message(QoS::ExactlyOnce, false, true, 0), "c".into()),
        Told::End,
    ];
    assert_eq!(told, expected);
    assert_eq!(out, [0x40, 2, 0, 7, 0x50, 2, 0, 8, 0x70, 2, 0, 8]);
    let mut engine = v4();
    let (_, out) = feed(&mut engine, &[b"\x32\x06\0\x01b\0\x07"]);
    assert!(out.is_empty(), "a message without its payload is not acknowledged");
    let (_, out) = feed(&mut engine, &[b"x"]);
    assert_eq!(out, [0x40, 2, 0, 7]);
}

#[test]
fn a_message_of_qos_2_that_comes_again_is_not_delivered_again() {
    let input =
        b"\x34\x06\0\x01a\0\x08x\x3c\x06\0\x01a\0\x08x\x3c\x05\0\x01a\0\x08\x62\x02\0\x08\x62\x02\0\x08";
    let (told, out) = feed_cut_anyhow(v4, input);
    assert_eq!(told.len(), 3);
    let twice = [0x50, 2, 0, 8, 0x50, 2, 0, 8, 0x50, 2, 0, 8, 0x70, 2, 0, 8, 0x70, 2, 0, 8];
    assert_eq!(out, twice);
    let (_, out) = feed_cut_anyhow(v5, b"\x62\x02\0\x08");
    assert_eq!(out, [0x70, 3, 0, 8, 0x92], "MQTT 5 says when it does not know what is released");
}

#[test]
fn a_server_that_uses_the_id_of_an_unfinished_exchange_anew_is_not_kept_out() {
    // QoS 1 under the id of a message of QoS 2 that was not released, which then is as good as released.
    let input = b"\x34\x06\0\x01a\0\x08x\x32\x06\0\x01b\0\x08y\x34\x06\0\x01c\0\x08z";
    let (told, out) = feed_cut_anyhow(v4, input);
    assert_eq!(told.iter().filter(|told| **told == Told::End).count(), 3);
    assert_eq!(out, [0x50, 2, 0, 8, 0x40, 2, 0, 8, 0x50, 2, 0, 8]);
}

#[test]
fn properties_and_aliases_of_messages_are_told() {
    let input =
        b"\x30\x14\0\x01a\x0f\x23\0\x02\x0b\x07\x0b\x80\x01\x26\0\x01n\0\x01v!\x30\x06\0\0\x03\x23\0\x02";
    let (told, _) = feed_cut_anyhow(v5, input);
    let message = |len| Event::Message(Message { qos: QoS::AtMostOnce, retain: false, dup: false, len });
    let expected = [
        Told::Event(
            message(1),
            "a TopicAlias(2) SubscriptionId(7) SubscriptionId(128) User(\"n\", \"v\")".to_owned(),
        ),
        Told::Payload(b"!".to_vec()),
        Told::End,
        Told::Event(message(0), "a TopicAlias(2)".to_owned()),
        Told::End,
    ];
    assert_eq!(told, expected);
}

#[test]
fn messages_go_out_at_each_qos() {
    let (mut engine, mut out) = (v4(), Vec::new());
    let publish = Publish { topic: "a", retain: true, ..Publish::default() };
    assert_eq!(engine.publish(&publish, 300, &mut out), Ok(None));
    assert_eq!(out, [0x31, 0xaf, 2, 0, 1, b'a']);
    assert_eq!(engine.payload_due(), 300);
    assert_eq!(engine.publish(&publish, 0, &mut out), Err(EncodeError::Turn));
    assert_eq!(engine.payload(301), Err(EncodeError::TooMuch));
    assert_eq!(engine.payload(299), Ok(false));
    assert!(!engine.can_publish(QoS::AtMostOnce));
    engine.ping(0);
    assert!(!engine.has_output(), "nothing stands in the midst of a message");
    assert_eq!(engine.payload(1), Ok(true));
    assert_eq!(engine.payload(1), Err(EncodeError::TooMuch));
    assert!(engine.has_output());

    out.clear();
    let publish = Publish { topic: "a", qos: QoS::ExactlyOnce, ..Publish::default() };
    assert_eq!(engine.publish(&publish, 0, &mut out), Ok(Some(id(1))));
    assert_eq!(out, [0x34, 5, 0, 1, b'a', 0, 1]);
    let (told, out) = feed(&mut engine, &[&[0x50, 2, 0, 1, 0x70, 2, 0, 1]]);
    assert_eq!(out, [0x62, 2, 0, 1, 0xc0, 0]);
    let acknowledged = Event::Acknowledged { id: id(1), reason: Reason::SUCCESS };
    let expected = [Event::Received(id(1)), acknowledged].map(|event| Told::Event(event, String::new()));
    assert_eq!(told, expected);
    assert_eq!(engine.session().in_flight(), 0);
}

#[test]
fn a_server_may_refuse_a_message_and_say_why() {
    let (mut engine, mut out) = (v5(), Vec::new());
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        engine.publish(&Publish { topic: "a", qos, ..Publish::default() }, 0, &mut out).unwrap();
    }
    let (told, out) = feed(&mut engine, &[b"\x50\x03\0\x02\x97\x40\x08\0\x01\x87\x04\x1f\0\x01n"]);
    let refused = |number, reason| Event::Acknowledged { id: id(number), reason };
    let expected = [
        Told::Event(refused(2, Reason::QUOTA_EXCEEDED), String::new()),
        Told::Event(refused(1, Reason::NOT_AUTHORIZED), " ReasonString(\"n\")".into()),
    ];
    assert_eq!(told, expected);
    assert!(out.is_empty());
    assert_eq!(engine.session().in_flight(), 0);
}

#[test]
fn subscriptions_are_granted_or_refused_one_by_one() {
    let filters = [
        Subscription { filter: "a/#", qos: QoS::ExactlyOnce, ..Subscription::default() },
        Subscription { filter: "b", ..Subscription::default() },
    ];
    for version in [Version::V4, Version::V5] {
        let (mut engine, mut out) = (connected(version, Limits::default()), Vec::new());
        assert_eq!(engine.subscribe(&filters, &[], &mut out), Ok(id(1)));
        assert_eq!(engine.unsubscribe(&["b", "c"], &[], &mut out), Ok(id(2)));
        let (packets, answers): (&[u8], &[u8]) = match version {
            Version::V4 => (
                b"\x82\x0c\0\x01\0\x03a/#\x02\0\x01b\0\xa2\x08\0\x02\0\x01b\0\x01c",
                &[0x90, 4, 0, 1, 1, 0x80, 0xb0, 2, 0, 2],
            ),
            Version::V5 => (
                b"\x82\x0d\0\x01\0\0\x03a/#\x02\0\x01b\0\xa2\x09\0\x02\0\0\x01b\0\x01c",
                &[0x90, 5, 0, 1, 0, 1, 0x80, 0xb0, 5, 0, 2, 0, 0, 0x11],
            ),
        };
        assert_eq!(out, packets);
        let (told, _) = feed_cut_anyhow(|| engine.clone(), answers);
        let removed: &[Reason] = match version {
            Version::V4 => &[],
            Version::V5 => &[Reason::SUCCESS, Reason::NO_SUBSCRIPTION_EXISTED],
        };
        let expected = [
            Told::Event(
                Event::Subscribed(id(1)),
                format!("{:?}", [Reason::GRANTED_QOS_1, Reason::UNSPECIFIED]),
            ),
            Told::Event(Event::Unsubscribed(id(2)), format!("{removed:?}")),
        ];
        assert_eq!(told, expected);
    }
}

#[test]
fn mqtt_5_subscriptions_have_options_and_an_id() {
    let (mut engine, mut out) = (v5(), Vec::new());
    let subscription = Subscription {
        filter: "a",
        qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::Skip,
    };
    engine.subscribe(&[subscription], &[Property::SubscriptionId(200)], &mut out).unwrap();
    assert_eq!(out, b"\x82\x0a\0\x01\x03\x0b\xc8\x01\0\x01a\x2d");
    assert_eq!(v4().subscribe(&[subscription], &[], &mut out), Err(EncodeError::Filter));
    let shared = Subscription { filter: "$share/g/a", no_local: true, ..Subscription::default() };
    assert_eq!(engine.subscribe(&[shared], &[], &mut out), Err(EncodeError::Filter));
    assert_eq!(engine.subscribe(&[], &[], &mut out), Err(EncodeError::Filter));
    assert_eq!(engine.unsubscribe(&[], &[], &mut out), Err(EncodeError::Filter));
    assert_eq!(engine.unsubscribe(&["a#"], &[], &mut out), Err(EncodeError::Filter));
}

#[test]
fn what_the_server_does_not_do_is_not_asked() {
    let plain = Publish { topic: "a", ..Publish::default() };
    let filter = |filter| [Subscription { filter, ..Subscription::default() }];
    let mut out = Vec::new();
    // Maximum QoS 0, nothing retained, no wildcards, no subscription ids, nothing shared.
    let mut engine = limited(&[0x24, 0, 0x25, 0, 0x28, 0, 0x29, 0, 0x2a, 0]);
    for publish in [Publish { qos: QoS::AtLeastOnce, ..plain }, Publish { retain: true, ..plain }] {
        assert_eq!(engine.publish(&publish, 0, &mut out), Err(EncodeError::Unsupported));
    }
    assert_eq!(engine.subscribe(&filter("a/+"), &[], &mut out), Err(EncodeError::Unsupported));
    assert_eq!(engine.subscribe(&filter("$share/g/a"), &[], &mut out), Err(EncodeError::Unsupported));
    let properties = [Property::SubscriptionId(1)];
    assert_eq!(engine.subscribe(&filter("a"), &properties, &mut out), Err(EncodeError::Unsupported));
    assert!(out.is_empty());
    engine.publish(&plain, 0, &mut out).unwrap();
    // Packets of at most 20 bytes.
    let mut engine = limited(&[0x27, 0, 0, 0, 20]);
    assert_eq!(engine.publish(&plain, 15, &mut out), Err(EncodeError::TooLarge));
    engine.publish(&plain, 14, &mut out).unwrap();
}

#[test]
fn mqtt_4_9_no_more_is_in_flight_than_the_server_takes() {
    let mut out = Vec::new();
    let mut engine = limited(&[0x21, 0, 2]);
    let publish = |qos| Publish { topic: "a", qos, ..Publish::default() };
    engine.publish(&publish(QoS::AtLeastOnce), 0, &mut out).unwrap();
    engine.publish(&publish(QoS::ExactlyOnce), 0, &mut out).unwrap();
    assert_eq!(engine.publish(&publish(QoS::AtLeastOnce), 0, &mut out), Err(EncodeError::Window));
    assert!(engine.can_publish(QoS::AtMostOnce) && !engine.can_publish(QoS::AtLeastOnce));
    engine.publish(&publish(QoS::AtMostOnce), 0, &mut out).unwrap();
    feed(&mut engine, &[&[0x50, 2, 0, 2]]);
    assert!(!engine.can_publish(QoS::AtLeastOnce), "PUBREC is half the way");
    feed(&mut engine, &[&[0x70, 2, 0, 2]]);
    assert!(engine.can_publish(QoS::AtLeastOnce));
    // 3.1.1 has our own bound.
    let mut engine = connected(Version::V4, Limits { in_flight: 1, ..Limits::default() });
    engine.publish(&publish(QoS::AtLeastOnce), 0, &mut out).unwrap();
    assert_eq!(engine.publish(&publish(QoS::AtLeastOnce), 0, &mut out), Err(EncodeError::Window));
}

#[test]
fn topics_go_out_as_aliases_from_the_second_time_on() {
    let (mut engine, mut out) = (limited(&[0x22, 0, 1]), Vec::new());
    for topic in ["abc", "abc", "def"] {
        engine.publish(&Publish { topic, ..Publish::default() }, 0, &mut out).unwrap();
    }
    assert_eq!(out, b"\x30\x09\0\x03abc\x03\x23\0\x01\x30\x06\0\0\x03\x23\0\x01\x30\x06\0\x03def\0");
    // A packet that was not written defines nothing.
    let mut engine = limited(&[0x22, 0, 1, 0x27, 0, 0, 0, 12]);
    out.clear();
    let publish = Publish { topic: "abc", ..Publish::default() };
    assert_eq!(engine.publish(&publish, 9, &mut out), Err(EncodeError::TooLarge));
    engine.publish(&publish, 0, &mut out).unwrap();
    assert_eq!(out, b"\x30\x09\0\x03abc\x03\x23\0\x01");
}

#[test]
fn messages_take_the_properties_of_messages_alone() {
    let (mut engine, mut out) = (v5(), Vec::new());
    let properties = [Property::MessageExpiry(5), Property::CorrelationData(b"\0")];
    let publish = Publish { topic: "a", properties: &properties, ..Publish::default() };
    engine.publish(&publish, 0, &mut out).unwrap();
    assert_eq!(out, b"\x30\x0d\0\x01a\x09\x02\0\0\0\x05\x09\0\x01\0");
    out.clear();
    let twice = [Property::ContentType("a"), Property::ContentType("b")];
    for properties in [&twice[..], &[Property::TopicAlias(1)], &[Property::SubscriptionId(1)]] {
        let publish = Publish { topic: "a", properties, ..Publish::default() };
        assert_eq!(engine.publish(&publish, 0, &mut out), Err(EncodeError::Property));
        assert_eq!(v4().publish(&publish, 0, &mut out), Err(EncodeError::Property));
    }
    assert!(out.is_empty());
}

#[test]
fn disconnect_is_the_last_word() {
    let mut out = Vec::new();
    let mut engine = v4();
    assert_eq!(engine.disconnect(Reason::DISCONNECT_WITH_WILL, &[], &mut out), Err(EncodeError::Reason));
    engine.input(b"\x32\x05\0\x01a\0\x07").unwrap();
    engine.input(b"").unwrap();
    engine.disconnect(Reason::SUCCESS, &[], &mut out).unwrap();
    assert_eq!(out, [0x40, 2, 0, 7, 0xe0, 0], "what was to be acknowledged is");
    assert_eq!(engine.input(b"\x30\0"), Ok((2, None)));
    assert_eq!(engine.disconnect(Reason::SUCCESS, &[], &mut out), Err(EncodeError::Turn));
    let publish = Publish { topic: "a", ..Publish::default() };
    assert_eq!(engine.publish(&publish, 0, &mut out), Err(EncodeError::Turn));
    out.clear();
    let properties = [Property::ReasonString("x")];
    v5().disconnect(Reason::DISCONNECT_WITH_WILL, &properties, &mut out).unwrap();
    assert_eq!(out, b"\xe0\x06\x04\x04\x1f\0\x01x");
    let prolonged = v5().disconnect(Reason::SUCCESS, &[Property::SessionExpiry(1)], &mut out);
    assert_eq!(prolonged, Err(EncodeError::Property));
    let (told, _) = feed_cut_anyhow(v5, b"\xe0\x07\x8e\x05\x1f\0\x02xy\x30\0");
    let expected =
        Told::Event(Event::Disconnected(Reason::SESSION_TAKEN_OVER), " ReasonString(\"xy\")".into());
    assert_eq!(told, [expected]);
}

#[test]
fn a_server_keeps_its_own_time() {
    let mut engine = v4();
    assert_eq!(engine.next_due(), Some(60_000_000));
    engine.handle_due(60_000_000).unwrap();
    let mut out = Vec::new();
    engine.poll_output(&mut out);
    assert_eq!(out, [0xc0, 0]);
    engine.sent(60_000_001);
    assert_eq!(feed(&mut engine, &[&[0xd0, 0]]).0, [Told::Event(Event::Pong, String::new())]);
    assert_eq!(engine.next_due(), Some(120_000_001));
    // [MQTT-3.2.2-21]: the server's keep alive counts.
    let mut engine = limited(&[0x13, 0, 5]);
    assert_eq!(engine.next_due(), Some(5_000_000));
    engine.handle_due(5_000_000).unwrap();
    assert_eq!(engine.handle_due(15_000_000), Err(Error::PingTimeout));
    assert_eq!(engine.input(&[]), Err(Error::PingTimeout));
    assert_eq!(engine.next_due(), None);
    out.clear();
    engine.poll_output(&mut out);
    assert_eq!(out, [0xe0, 1, 0x80]);
}

#[test]
fn who_does_not_take_the_answers_gets_nothing_more_to_answer() {
    let mut engine = connected(Version::V4, Limits { replies: 8, ..Limits::default() });
    let packet = b"\x62\x02\0\x01";
    for _ in 0..2 {
        assert_eq!(engine.input(packet), Ok((4, None)));
    }
    assert!(engine.is_paused());
    assert_eq!(engine.input(packet), Ok((0, None)));
    engine.poll_output(&mut Vec::new());
    assert_eq!(engine.input(packet), Ok((4, None)));
}

#[test]
fn subscriptions_that_wait_for_answers_have_a_bound() {
    let (mut engine, mut out) =
        (connected(Version::V4, Limits { requests: 1, ..Limits::default() }), Vec::new());
    engine.unsubscribe(&["a"], &[], &mut out).unwrap();
    assert_eq!(engine.unsubscribe(&["b"], &[], &mut out), Err(EncodeError::Requests));
    feed(&mut engine, &[&[0xb0, 2, 0, 1]]);
    engine.unsubscribe(&["b"], &[], &mut out).unwrap();
}
