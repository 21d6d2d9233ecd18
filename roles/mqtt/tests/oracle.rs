//! What is written is read by a codec of others, and what that writes is read here.

mod common;

use bytes::{Bytes, BytesMut};
use common::{Told, connecting, feed_cut_anyhow, v4, v5};
use millstream_mqtt::{
    Connect, Engine, Event, Limits, Property, Publish, QoS, Reason, RetainHandling, Session, Subscription,
    Version, Will,
};
use mqttbytes_ng::v5::{self as other, Packet};
use mqttbytes_ng::{QoS as OtherQoS, v4 as other4};

const USER: Property<'_> = Property::User("name", "value");

fn user() -> Vec<(String, String)> {
    vec![("name".into(), "value".into())]
}

/// The only packet in `bytes`.
fn read(bytes: &[u8]) -> Packet {
    let mut stream = BytesMut::from(bytes);
    let packet = Packet::read(&mut stream, None).unwrap();
    assert!(stream.is_empty());
    packet
}

fn read4(bytes: &[u8]) -> other4::Packet {
    let mut stream = BytesMut::from(bytes);
    let packet = other4::Packet::read(&mut stream, 1000).unwrap();
    assert!(stream.is_empty());
    packet
}

fn written(packet: &Packet) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    bytes.to_vec()
}

#[test]
fn connect_is_read_as_it_was_meant() {
    let will_properties = [
        Property::WillDelay(7),
        Property::PayloadIsUtf8(true),
        Property::MessageExpiry(8),
        Property::ContentType("text"),
        Property::ResponseTopic("answer"),
        Property::CorrelationData(b"\0\x01"),
        USER,
    ];
    let properties = [
        Property::SessionExpiry(9),
        Property::RequestProblemInformation(true),
        Property::RequestResponseInformation(true),
        USER,
    ];
    let will = Will {
        topic: "will",
        message: b"gone",
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: &will_properties,
    };
    let connect = Connect {
        client_id: "client",
        clean_start: true,
        keep_alive: 77,
        user_name: Some("user"),
        password: Some(b"secret"),
        will: Some(will),
        properties: &properties,
    };
    let mut out = Vec::new();
    let limits = Limits { packet: 9999, receive: 11, aliases: 12, ..Limits::default() };
    Engine::new(Version::V5, limits, Session::new()).connect(&connect, 0, &mut out).unwrap();
    let Packet::Connect(read, will, login) = read(&out) else { panic!() };
    assert_eq!((&*read.client_id, read.clean_start, read.keep_alive), ("client", true, 77));
    let properties = read.properties.unwrap();
    assert_eq!(properties.session_expiry_interval, Some(9));
    assert_eq!(properties.receive_maximum, Some(11));
    assert_eq!(properties.topic_alias_max, Some(12));
    assert_eq!(properties.max_packet_size, Some(9999));
    assert_eq!((properties.request_problem_info, properties.request_response_info), (Some(1), Some(1)));
    assert_eq!(properties.user_properties, user());
    let will = will.unwrap();
    assert_eq!((&*will.topic, &*will.message), (&b"will"[..], &b"gone"[..]));
    assert_eq!((will.qos, will.retain), (OtherQoS::ExactlyOnce, true));
    let properties = will.properties.unwrap();
    assert_eq!((properties.delay_interval, properties.message_expiry_interval), (Some(7), Some(8)));
    assert_eq!(properties.payload_format_indicator, Some(1));
    assert_eq!(properties.content_type.as_deref(), Some("text"));
    assert_eq!(properties.response_topic.as_deref(), Some("answer"));
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"\0\x01"[..]));
    assert_eq!(properties.user_properties, user());
    let login = login.unwrap();
    assert_eq!((&*login.username, &*login.password), ("user", "secret"));
}

#[test]
fn connect_of_3_1_1_is_read_as_it_was_meant() {
    let will = Will { topic: "will", message: b"\xff", qos: QoS::AtLeastOnce, ..Will::default() };
    let connect = Connect {
        client_id: "client",
        clean_start: false,
        keep_alive: 77,
        user_name: Some("user"),
        password: Some(b"secret"),
        will: Some(will),
        properties: &[],
    };
    let mut out = Vec::new();
    Engine::new(Version::V4, Limits::default(), Session::new()).connect(&connect, 0, &mut out).unwrap();
    let other4::Packet::Connect(read) = read4(&out) else { panic!() };
    assert_eq!((&*read.client_id, read.clean_session, read.keep_alive), ("client", false, 77));
    let (will, login) = (read.last_will.unwrap(), read.login.unwrap());
    assert_eq!((&*will.topic, &*will.message), ("will", &b"\xff"[..]));
    assert_eq!((will.qos, will.retain), (OtherQoS::AtLeastOnce, false));
    assert_eq!((&*login.username, &*login.password), ("user", "secret"));
}

#[test]
fn messages_are_read_as_they_were_meant() {
    let every = [
        Property::PayloadIsUtf8(true),
        Property::MessageExpiry(8),
        Property::ContentType("text"),
        Property::ResponseTopic("answer"),
        Property::CorrelationData(b"\0\x01"),
        USER,
    ];
    for count in 0..=every.len() {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let (mut engine, mut out) = (v5(), Vec::new());
            let publish = Publish { topic: "a/b", qos, retain: true, properties: &every[..count] };
            let id = engine.publish(&publish, 200, &mut out).unwrap();
            out.extend_from_slice(&[b'x'; 200]);
            let Packet::Publish(read) = read(&out) else { panic!() };
            assert_eq!((&*read.topic, &*read.payload), (&b"a/b"[..], &[b'x'; 200][..]));
            assert_eq!((read.qos as u8, read.retain, read.dup), (qos as u8, true, false));
            assert_eq!(read.pkid, id.map_or(0, |id| id.get()));
            let properties = read.properties.as_ref().map_or_else(Vec::new, told);
            assert_eq!(properties, every[..count]);

            let (mut engine, mut out) = (v4(), Vec::new());
            engine.publish(&Publish { properties: &[], ..publish }, 3, &mut out).unwrap();
            out.extend_from_slice(b"xyz");
            let other4::Packet::Publish(read) = read4(&out) else { panic!() };
            assert_eq!((&*read.topic, &*read.payload, read.qos as u8), ("a/b", &b"xyz"[..], qos as u8));
        }
    }
}

/// The properties of the other codec as ours.
fn told(properties: &other::PublishProperties) -> Vec<Property<'_>> {
    let mut told = Vec::new();
    told.extend(properties.payload_format_indicator.map(|flag| Property::PayloadIsUtf8(flag == 1)));
    told.extend(properties.message_expiry_interval.map(Property::MessageExpiry));
    told.extend(properties.content_type.as_deref().map(Property::ContentType));
    told.extend(properties.response_topic.as_deref().map(Property::ResponseTopic));
    told.extend(properties.correlation_data.as_deref().map(Property::CorrelationData));
    told.extend(properties.subscription_identifiers.iter().map(|id| Property::SubscriptionId(*id as u32)));
    told.extend(properties.user_properties.iter().map(|(name, value)| Property::User(name, value)));
    told.extend(properties.topic_alias.map(Property::TopicAlias));
    told
}

#[test]
fn messages_of_others_are_read_with_every_set_of_properties() {
    for set in 0..256_u32 {
        let has = |bit: u32| set >> bit & 1 == 1;
        let properties = other::PublishProperties {
            payload_format_indicator: has(0).then_some(1),
            message_expiry_interval: has(1).then_some(70_000),
            content_type: has(2).then(|| "text".into()),
            response_topic: has(3).then(|| "answer".into()),
            correlation_data: has(4).then(|| Bytes::from_static(b"\0\xff")),
            subscription_identifiers: if has(5) { vec![1, 128, 70_000] } else { Vec::new() },
            user_properties: if has(6) { [user(), user()].concat() } else { Vec::new() },
            topic_alias: has(7).then_some(3),
        };
        let mut publish = other::Publish::new("a/b", OtherQoS::AtLeastOnce, "xyz", Some(properties.clone()));
        publish.pkid = 9;
        let mut engine = v5();
        let bytes = written(&Packet::Publish(publish));
        let (_, event) = engine.input(&bytes).unwrap();
        assert!(matches!(event, Some(Event::Message(message)) if message.len == 3));
        let mut read: Vec<_> = engine.properties().map(|property| format!("{property:?}")).collect();
        let mut meant: Vec<_> = told(&properties).iter().map(|property| format!("{property:?}")).collect();
        read.sort_unstable();
        meant.sort_unstable();
        assert_eq!(read, meant);
        feed_cut_anyhow(v5, &bytes);
    }
}

#[test]
fn subscriptions_are_read_as_they_were_meant() {
    let subscription = Subscription {
        filter: "a/+",
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::SendIfNew,
    };
    let plain = Subscription { filter: "b/#", qos: QoS::AtLeastOnce, ..Subscription::default() };
    let (mut engine, mut out) = (v5(), Vec::new());
    engine.subscribe(&[subscription, plain], &[Property::SubscriptionId(70_000), USER], &mut out).unwrap();
    let Packet::Subscribe(subscribe) = read(&out) else { panic!() };
    let [first, second] = &subscribe.filters[..] else { panic!() };
    assert_eq!(
        (&*first.path, first.qos, first.nolocal, first.preserve_retain),
        ("a/+", OtherQoS::ExactlyOnce, true, true)
    );
    assert_eq!(first.retain_forward_rule, other::RetainForwardRule::OnNewSubscribe);
    assert_eq!((&*second.path, second.qos, second.nolocal), ("b/#", OtherQoS::AtLeastOnce, false));
    let properties = subscribe.properties.unwrap();
    assert_eq!((properties.id, properties.user_properties), (Some(70_000), user()));

    out.clear();
    engine.unsubscribe(&["a/+", "c"], &[USER], &mut out).unwrap();
    let Packet::Unsubscribe(unsubscribe) = read(&out) else { panic!() };
    assert_eq!(unsubscribe.filters, ["a/+", "c"]);
    assert_eq!(unsubscribe.pkid, 2);

    out.clear();
    let mut engine = v4();
    engine.subscribe(&[plain], &[], &mut out).unwrap();
    let other4::Packet::Subscribe(subscribe) = read4(&out) else { panic!() };
    assert_eq!((&*subscribe.filters[0].path, subscribe.filters[0].qos), ("b/#", OtherQoS::AtLeastOnce));
    out.clear();
    engine.unsubscribe(&["b/#", "c"], &[], &mut out).unwrap();
    let other4::Packet::Unsubscribe(unsubscribe) = read4(&out) else { panic!() };
    assert_eq!(unsubscribe.topics, ["b/#", "c"]);
}

#[test]
fn disconnect_is_read_as_it_was_meant() {
    let mut out = Vec::new();
    v5().disconnect(Reason::DISCONNECT_WITH_WILL, &[Property::ReasonString("why"), USER], &mut out).unwrap();
    let Packet::Disconnect(disconnect) = read(&out) else { panic!() };
    assert_eq!(disconnect.reason_code, other::DisconnectReasonCode::DisconnectWithWillMessage);
    let properties = disconnect.properties.unwrap();
    assert_eq!((properties.reason_string.as_deref(), properties.user_properties), (Some("why"), user()));
}

#[test]
fn connack_of_others_is_read_whole() {
    let properties = other::ConnAckProperties {
        session_expiry_interval: Some(1),
        receive_max: Some(2),
        max_qos: Some(1),
        retain_available: Some(0),
        max_packet_size: Some(3000),
        assigned_client_identifier: Some("given".into()),
        topic_alias_max: Some(4),
        reason_string: Some("why".into()),
        user_properties: user(),
        wildcard_subscription_available: Some(0),
        subscription_identifiers_available: Some(0),
        shared_subscription_available: Some(1),
        server_keep_alive: Some(5),
        response_information: Some("info".into()),
        server_reference: Some("other".into()),
        authentication_method: None,
        authentication_data: None,
    };
    let connack = Packet::ConnAck(other::ConnAck {
        session_present: false,
        code: other::ConnectReturnCode::Success,
        properties: Some(properties),
    });
    let make = || connecting(Version::V5, Limits::default(), Session::new());
    let (told, _) = feed_cut_anyhow(make, &written(&connack));
    let [Told::Event(Event::Connected { session_present: false }, properties)] = &told[..] else {
        panic!("{told:?}")
    };
    for property in [
        "SessionExpiry(1)",
        "ReceiveMaximum(2)",
        "MaximumQos(1)",
        "RetainAvailable(false)",
        "MaximumPacketSize(3000)",
        "AssignedClientId(\"given\")",
        "TopicAliasMaximum(4)",
        "ReasonString(\"why\")",
        "User(\"name\", \"value\")",
        "WildcardsAvailable(false)",
        "SubscriptionIdsAvailable(false)",
        "SharedAvailable(true)",
        "ServerKeepAlive(5)",
        "ResponseInformation(\"info\")",
        "ServerReference(\"other\")",
    ] {
        assert!(properties.contains(property), "{property} in {properties}");
    }
}
