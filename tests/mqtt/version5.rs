//! What MQTT 5 adds: reasons, properties, what the server says of itself, sessions that expire.

use super::broker::{Break, CONNECT, PINGREQ, PUBLISH, SUBSCRIBE, publish5, written};
use super::world::{App, Log, World, stream_type};
use millstream::StreamState as S;
use millstream::cause::Reason;

/// A stream type of MQTT 5.
fn v5(name: &str, more: &str) -> String {
    stream_type(name, &format!(r#", "mqtt_version": 5 {more}"#))
}

/// What a CONNECT says of the session: clean start, seconds that it is to live, and the client id.
fn session(world: &World, nth: usize) -> (bool, u32, String) {
    let packet = world.broker.of_kind(CONNECT)[nth];
    let expiry = match packet.properties() {
        [0x11, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]),
        _ => 0,
    };
    let at = 11 + packet.properties().len();
    let len = usize::from(u16::from_be_bytes([packet.body[at], packet.body[at + 1]]));
    let id = String::from_utf8(packet.body[at + 2..at + 2 + len].to_vec()).unwrap();
    (packet.body[7] & 2 != 0, expiry, id)
}

#[test]
fn the_policy_says_which_version_is_spoken_and_each_has_a_connection_of_its_own() {
    let mut world = World::new(&[v5("new", ""), stream_type("old", "")].join(","));
    for name in ["new", "old", "new", "old"] {
        world.stream(name);
    }
    world.run(10);
    assert_eq!(world.broker.connections, 2);
    let mut levels: Vec<_> = world.broker.of_kind(CONNECT).iter().map(|it| it.level).collect();
    levels.sort_unstable();
    assert_eq!(levels, [4, 5]);
    world.legal();
}

#[test]
fn a_version_that_the_server_does_not_speak_is_a_cause_that_says_so() {
    for (keys, connack) in [
        (v5("it", ""), &[0x20, 2, 0, 1][..]),
        (v5("it", ""), &[0x20, 3, 0, 0x84, 0]),
        (stream_type("it", ""), &[0x20, 2, 0, 1]),
        (stream_type("it", ""), &[0x20, 3, 0, 0x84, 0]),
    ] {
        let mut world = World::new(&keys);
        world.broker.mute.insert(CONNECT);
        let (stream, told) = world.stream("it");
        world.run(5);
        world.broker.send(connack);
        world.run(5);
        assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, S::Unreachable]);
        let cause = world.context.with(|cx| cx.cause(stream).unwrap().last().unwrap().reason.clone());
        assert!(matches!(cause, Reason::Mqtt(0x84, _)), "{cause:?}");
        assert_eq!(told.borrow().cause.as_deref(), Some("CONNACK: unsupported protocol version (0x84)"));
        assert_eq!(world.broker.connections, 1);
    }
}

#[test]
fn what_a_server_refuses_comes_with_its_reason() {
    let types = [v5("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#), v5("in", r#", "mqtt_subscribe": "no""#)];
    let mut world = World::new(&types.join(","));
    world.broker.refuse_filter = Some("no".to_owned());
    let (_, refused) = world.stream("in");
    world.broker.puback = Some((0x97, [&[0x1f][..], &written("no room")].concat()));
    let told = Log::default();
    world.create("out", App::sending(&told, &[b"1", b"2"]));
    world.run(20);
    assert_eq!(refused.borrow().cause.as_deref(), Some("SUBACK: not authorized (0x87)"));
    assert_eq!(told.borrow().acks(), [(false, 0), (true, 1)]);
    assert_eq!(told.borrow().cause.as_deref(), Some("PUBLISH: quota exceeded (0x97): no room"));
    assert_eq!(world.broker.taken, [("t".to_owned(), b"2".to_vec())]);

    for (code, state) in [(0x86, S::AuthFailed), (0x87, S::AuthFailed), (0x89, S::Unreachable)] {
        let mut world = World::new(&types.join(","));
        world.broker.connack = code;
        let (_, told) = world.stream("out");
        world.run(20);
        assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, state], "{code}");
    }
}

#[test]
fn a_message_of_qos_2_that_pubrec_refuses_is_over() {
    let mut world = World::new(&v5("out", r#", "mqtt_topic": "t", "mqtt_qos": 2"#));
    world.broker.puback = Some((0x87, Vec::new()));
    let told = Log::default();
    world.create("out", App::sending(&told, &[b"1", b"2"]));
    world.run(20);
    assert_eq!(told.borrow().acks(), [(false, 0), (true, 1)]);
    assert_eq!(told.borrow().cause.as_deref(), Some("PUBLISH: not authorized (0x87)"));
}

#[test]
fn a_server_that_leaves_says_why_and_where_to_go() {
    let mut world = World::new(&v5("out", ""));
    let (_, told) = world.stream("out");
    world.run(10);
    let properties = [&[0x1c][..], &written("other.example")].concat();
    world
        .broker
        .send(&[&[0xe0, 2 + properties.len() as u8, 0x9d, properties.len() as u8][..], &properties].concat());
    world.run(5);
    assert_eq!(
        told.borrow().cause.as_deref(),
        Some("DISCONNECT: server moved (0x9d); the server names other.example")
    );
    assert!(told.borrow().states().contains(&S::Disconnected));
    world.run(300);
    assert_eq!(told.borrow().count(S::Connected), 2);
    world.legal();
}

#[test]
fn a_server_that_breaks_a_rule_is_told_which_before_the_connection_ends() {
    let mut world = World::new(&v5("in", r#", "mqtt_subscribe": "x""#));
    let (_, told) = world.stream("in");
    world.run(10);
    // An alias that was never defined.
    world.broker.send(&publish5(0, "", None, &[0x23, 0, 1], b"1"));
    world.run(5);
    assert!(told.borrow().states().contains(&S::Disconnected));
    let last = world.broker.packets.iter().rev().find(|it| it.kind() == 14).unwrap();
    assert_eq!(last.body, [0x94]);
}

#[test]
fn metadata_goes_with_messages_both_ways_as_properties() {
    let more = r#", "mqtt_topic": "t", "mqtt_subscribe": "x" "#;
    let types = v5("both", more).replace(
        r#"{"who": ""}"#,
        r#"{"who": "origin"}, {"type": "content-type"}, {"reply": "response-topic"}, {"ask": "correlation-data"}"#,
    );
    let mut world = World::new(&types);
    let told = Log::default();
    let mut app = App::sending(&told, &[b"19"]);
    app.metadata = vec![("who", "attic"), ("type", "text/plain"), ("reply", "re/me"), ("ask", "7")];
    app.reads = vec!["who", "type", "reply", "ask"];
    world.create("both", app);
    world.run(10);
    let expected = [
        &[0x26][..],
        &written("origin"),
        &written("attic"),
        &[3],
        &written("text/plain"),
        &[8],
        &written("re/me"),
        &[9],
        &written("7"),
    ];
    assert_eq!(world.broker.of_kind(PUBLISH)[0].properties(), expected.concat());
    let coming = [
        &[0x26][..],
        &written("origin"),
        &written("cellar"),
        &[0x26],
        &written("topic"),
        &written("not this"),
        &[9],
        &written("8"),
    ];
    world.broker.send(&publish5(0, "x", None, &coming.concat(), b"20"));
    world.run(5);
    // What the peer does not say is what the application has said.
    assert_eq!(told.borrow().read, ["cellar", "text/plain", "re/me", "8"]);
    assert_eq!(told.borrow().topics, ["x"]);
    world.legal();
}

#[test]
fn topics_have_aliases_as_far_as_the_server_allows_both_ways() {
    let types = [v5("out", r#", "mqtt_topic": "${who}""#), v5("in", r#", "mqtt_subscribe": "x/#""#)];
    let mut world = World::new(&types.join(","));
    world.broker.connack_properties = vec![0x22, 0, 1];
    let (_, heard) = world.stream("in");
    let logs: Vec<_> = ["a", "b"]
        .map(|topic| {
            let told = Log::default();
            let mut app = App::sending(&told, &[b"1", b"2", b"3"]);
            app.metadata = vec![("who", topic)];
            world.create("out", app);
            world.run(10);
            told
        })
        .into();
    assert!(logs.iter().all(|told| told.borrow().acks().len() == 3));
    let sent: Vec<_> = world.broker.of_kind(PUBLISH).iter().map(|it| it.message().0).collect();
    assert_eq!(sent, ["a", "", "", "b", "b", "b"]);
    assert!(world.broker.taken.iter().map(|(topic, _)| topic.as_str()).eq(["a", "a", "a", "b", "b", "b"]));

    world.broker.send(&publish5(0, "x/1", None, &[0x23, 0, 16], b"1"));
    world.broker.send(&publish5(0, "", None, &[0x23, 0, 16], b"2"));
    world.run(5);
    assert_eq!(heard.borrow().topics, ["x/1", "x/1"]);
    // One more than was announced.
    world.broker.send(&publish5(0, "x/1", None, &[0x23, 0, 17], b"3"));
    world.run(5);
    assert!(heard.borrow().states().contains(&S::Disconnected));
}

#[test]
fn no_more_messages_are_open_than_the_server_takes_and_none_is_larger() {
    let mut world = World::new(&v5("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#));
    world.broker.connack_properties = vec![0x21, 0, 2, 0x27, 0, 0, 0, 100];
    world.broker.mute.insert(PUBLISH);
    let told = Log::default();
    world.create("out", App::sending(&told, &[&[b'x'; 200], b"1", b"2", b"3"]));
    world.run(20);
    assert_eq!(told.borrow().acks(), [(false, 0)]);
    assert_eq!(told.borrow().cause.as_deref(), Some("not published: a packet that is too large"));
    assert_eq!(world.broker.count(PUBLISH), 2);
    let [high, low] = world.broker.of_kind(PUBLISH)[0].message().1.to_be_bytes();
    world.broker.send(&[0x40, 2, high, low]);
    world.run(5);
    assert_eq!(world.broker.count(PUBLISH), 3);
}

#[test]
fn filters_are_asked_for_in_packets_that_the_server_takes_and_those_it_does_not_are_refused() {
    let mut world = World::new(&v5("in", r#", "mqtt_subscribe": "topic/${who}""#));
    // 40 bytes a packet, and no wildcards.
    world.broker.connack_properties = vec![0x27, 0, 0, 0, 40, 0x28, 0];
    let filters = ["1", "22", "333", "4444", "55555", "+", "a topic that is longer than a packet may be"];
    let logs = filters.map(|who| {
        let told = Log::default();
        let mut app = App::new(&told);
        app.metadata = vec![("who", who)];
        world.create("in", app);
        told
    });
    world.run(20);
    let connected = logs.each_ref().map(|told| told.borrow().count(S::Connected));
    assert_eq!(connected, [1, 1, 1, 1, 1, 0, 0]);
    assert!(logs[5].borrow().cause.as_ref().unwrap().contains("has said it does not do"));
    assert!(logs[6].borrow().cause.as_ref().unwrap().contains("too large"));
    assert!(world.broker.of_kind(SUBSCRIBE).iter().all(|packet| packet.body.len() + 2 <= 40));
}

#[test]
fn the_servers_keep_alive_counts_and_not_ours() {
    for (ours, servers, pings) in [(0, 10, 9), (60, 10, 9), (10, 0, 0)] {
        let mut world = World::new(&v5("out", &format!(r#", "mqtt_keep_alive": {ours}"#)));
        world.broker.connack_properties = vec![0x13, 0, servers];
        let (_, told) = world.stream("out");
        world.run_secs(95);
        assert_eq!(world.broker.count(PINGREQ), pings, "{ours} {servers}");
        assert_eq!(told.borrow().count(S::Disconnected), 0);
    }
}

#[test]
fn a_session_lives_as_the_policy_says_and_starts_clean_once() {
    for (keys, first, second) in [
        ("", (false, u32::MAX), (false, u32::MAX)),
        (r#", "mqtt_clean_start": true"#, (true, 0), (true, 0)),
        (r#", "mqtt_session_expiry": 0"#, (false, 0), (false, 0)),
        (r#", "mqtt_clean_start": true, "mqtt_session_expiry": 60"#, (true, 60), (false, 60)),
    ] {
        let mut world = World::new(&v5("out", &format!(r#", "mqtt_topic": "t" {keys}"#)));
        // A connection that comes to nothing does not count.
        world.broker.break_at = Some((CONNECT, Break::Taken));
        let (_, told) = world.stream("out");
        world.run(300);
        world.broker.break_all();
        world.run(300);
        assert_eq!(told.borrow().count(S::Connected), 2, "{keys}");
        let said = [0, 1, 2].map(|nth| {
            let (is_clean, expiry, _) = session(&world, nth);
            (is_clean, expiry)
        });
        assert_eq!(said, [first, first, second], "{keys}");
    }
}

#[test]
fn a_server_that_has_a_session_of_an_earlier_life_is_believed() {
    let mut world = World::new(&v5("in", r#", "mqtt_subscribe": "x", "mqtt_qos": 1"#));
    world.broker.mute.insert(CONNECT);
    let (_, told) = world.stream("in");
    world.run(5);
    world.broker.send(&[&[0x20, 3, 1, 0, 0][..], &publish5(2, "x", Some(3), &[], b"kept")].concat());
    world.run(10);
    assert_eq!(told.borrow().count(S::Connected), 1);
}

#[test]
fn a_client_without_a_name_gets_one_and_keeps_it_as_long_as_its_session() {
    for (more, again) in [(r#", "mqtt_session_expiry": 60"#, "given"), (r#", "mqtt_session_expiry": 0"#, "")]
    {
        let mut world = World::new(&v5("out", &format!(r#", "mqtt_topic": "t" {more}"#)));
        world.context.with(|cx| cx.set_blob(millstream::Blob::MqttClientId, ""));
        world.broker.connack_properties = [&[0x12][..], &written("given")].concat();
        let (_, told) = world.stream("out");
        world.run(10);
        world.broker.break_all();
        world.run(300);
        assert_eq!(told.borrow().count(S::Connected), 2);
        assert_eq!([0, 1].map(|nth| session(&world, nth).2), ["", again]);
    }
}

#[test]
fn what_only_mqtt_5_has_is_refused_of_the_other() {
    let mut world = World::new(&stream_type("old", r#", "mqtt_session_expiry": 60"#));
    let error = world.context.with(|cx| cx.create("old", App::default())).unwrap_err();
    assert!(error.to_string().contains("mqtt_version"), "{error}");
}
