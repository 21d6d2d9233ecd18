//! MQTT streams against mosquitto, with mosquitto's own clients on the other side.

use millstream::{Blob, StreamState};
use millstream_peers::certificates::Certificates;
use millstream_peers::mosquitto::{Listener, Mosquitto, Way, lines};
use millstream_peers::mqtt::Side;
use std::time::Duration;

/// `mqtt_version`.
const VERSIONS: [u8; 2] = [4, 5];

#[test]
fn messages_of_every_qos_go_both_ways_in_every_way_and_version() {
    let Some(broker) = Mosquitto::start("both-ways") else { return };
    let long = "x".repeat(1_000_000);
    for (way, version) in Way::ALL.iter().flat_map(|way| VERSIONS.map(|version| (*way, version))) {
        // On websockets mosquitto 2.0 writes 4 kB each 100 ms.
        let len = if matches!(way, Way::Ws | Way::Wss) { 10_000 } else { 100_000 };
        for qos in 0..3u8 {
            let keys = format!(
                r#""mqtt_qos": {qos}, "mqtt_topic": "up", "mqtt_subscribe": "down/#", "mqtt_clean_start": true,
                "mqtt_version": {version}"#
            );
            let mut side = broker.side(way, &keys);
            let subscriber = side.stream(&[]);
            side.connected(&subscriber);
            broker.publish("down/a", qos, "one", &[]);
            broker.publish("down/b", qos, &long[..len], &[]);
            side.until(&subscriber, |heard| heard.messages.len() == 2 && heard.messages[1].len() == len);
            assert_eq!(subscriber.heard.borrow().topics, ["down/a", "down/b"]);

            let number = qos.to_string();
            let listener = Listener::start(broker.port, "up", 3, &["-q", &number, "-F", "%q %p"]);
            let publisher = side.stream(&["19", &long, "20"]);
            side.until(&publisher, |heard| heard.count(StreamState::QosAckRemote) == 3);
            let printed = ["19", &long, "20"].map(|message| format!("{qos} {message}"));
            assert!(listener.printed() == printed, "{way:?} {version} {qos}");
            assert_eq!(publisher.heard.borrow().count(StreamState::QosNackRemote), 0);
        }
    }
}

#[test]
fn retained_messages_are_reported_and_left_behind() {
    let Some(broker) = Mosquitto::start("retained") else { return };
    for version in VERSIONS {
        broker.publish("state", 1, "on", &["-r"]);
        let keys = format!(
            r#""mqtt_qos": 1, "mqtt_retain": true, "mqtt_topic": "left/{version}", "mqtt_subscribe": "state",
            "mqtt_clean_start": true, "mqtt_version": {version}"#
        );
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&["behind"]);
        side.until(&stream, |heard| heard.messages.len() == 1);
        broker.publish("state", 1, "off", &[]);
        side.until(&stream, |heard| heard.messages.len() == 2 && heard.count(StreamState::QosAckRemote) == 1);
        assert_eq!(stream.heard.borrow().retained, ["1", "0"]);
        drop(side);
        let left = format!("left/{version}");
        let got = broker.client("mosquitto_sub", &["-t", &left, "-C", "1"]).wait_with_output().unwrap();
        assert_eq!(lines(got), ["behind"]);
    }
}

#[test]
fn a_will_is_published_when_the_client_is_lost_and_not_when_it_says_goodbye() {
    for version in VERSIONS {
        let Some(broker) = Mosquitto::start(&format!("will-{version}")) else { return };
        let keys = format!(
            r#""mqtt_topic": "t", "mqtt_clean_start": true, "mqtt_will_topic": "will", "mqtt_will_message": "lost",
            "mqtt_will_qos": 1, "mqtt_will_retain": true, "mqtt_birth_topic": "birth", "mqtt_birth_message": "here",
            "mqtt_birth_qos": 1, "mqtt_birth_retain": true, "mqtt_version": {version}"#
        );
        // What was retained comes in the order that it is asked for, so that what would come before the end is not there.
        broker.publish("end", 1, "end", &["-r"]);
        let retained = |count: &str| {
            let args = ["-t", "birth", "-t", "will", "-t", "end", "-C", count];
            lines(broker.client("mosquitto_sub", &args).wait_with_output().unwrap())
        };
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        drop(side);
        assert_eq!(retained("2"), ["here", "end"]);

        // Who takes over the client id has the broker drop the other.
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        broker.publish("anything", 0, "x", &["-i", "peer"]);
        side.until(&stream, |heard| heard.count(StreamState::Connected) == 2);
        assert_eq!(retained("3"), ["here", "lost", "end"]);
    }
}

#[test]
fn a_session_keeps_messages_for_a_client_that_is_away() {
    let Some(broker) = Mosquitto::start("session") else { return };
    let cases = VERSIONS
        .iter()
        .flat_map(|version| [(Way::Tcp, version, 1), (Way::Tcp, version, 2), (Way::Ws, version, 2)]);
    for (way, version, qos) in cases {
        let topic = format!("news/{way:?}/{version}/{qos}");
        let keys = format!(r#""mqtt_qos": {qos}, "mqtt_subscribe": "{topic}", "mqtt_version": {version}"#);
        let mut side = broker.side(way, &keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        broker.publish(&topic, 1, "before", &[]);
        side.until(&stream, |heard| heard.messages.len() == 1);
        drop(side);
        for nth in 0..10 {
            broker.publish(&topic, qos, &nth.to_string(), &[]);
        }
        let mut side = broker.side(way, &keys);
        let stream = side.stream(&[]);
        side.until(&stream, |heard| heard.messages.len() == 10);
        assert_eq!(stream.heard.borrow().messages, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[test]
fn a_silent_stream_outlives_its_keep_alive() {
    let Some(broker) = Mosquitto::start("keep-alive") else { return };
    let mut side = Side::new(broker.port, r#""mqtt_topic": "t", "mqtt_keep_alive": 1"#);
    let stream = side.stream(&[]);
    side.connected(&stream);
    // mosquitto drops a client after one and a half times its keep alive, and looks every few seconds.
    side.lives_for(&stream, Duration::from_secs(8));
}

#[test]
fn a_stream_that_stalls_is_lost_its_will_is_published_and_it_comes_back() {
    for version in VERSIONS {
        let Some(broker) = Mosquitto::start(&format!("stall-{version}")) else { return };
        let keys = format!(
            r#""mqtt_topic": "t", "mqtt_subscribe": "news", "mqtt_qos": 1, "mqtt_keep_alive": 1, "mqtt_will_topic": "will",
            "mqtt_will_message": "lost", "mqtt_will_qos": 1, "mqtt_version": {version}"#
        );
        let witness = Listener::start(broker.port, "will", 1, &[]);
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        // Nobody serves the loop, until the will is there.
        assert_eq!(witness.printed(), ["lost"]);
        side.until(&stream, |heard| heard.count(StreamState::Connected) > 1);
        broker.publish("news", 1, "again", &[]);
        side.until(&stream, |heard| heard.messages == ["again"]);
    }
}

#[test]
fn who_has_no_certificate_that_the_broker_takes_is_refused_and_who_is_no_broker_is_not_trusted() {
    let Some(broker) = Mosquitto::start("refused") else { return };
    let (ours, port) = (&broker.certificates, broker.port(Way::Tls));
    let others = Certificates::default();
    let refused = |mut side: Side, client: Option<&Certificates>| {
        if let Some(client) = client {
            side.certify(client);
        }
        let stream = side.stream(&[]);
        side.until(&stream, |heard| heard.count(StreamState::Unreachable) == 3);
        let heard = stream.heard.borrow();
        assert_eq!(heard.count(StreamState::Connected), 0);
        heard.cause.clone().unwrap()
    };
    let tls = r#""tls": true, "tls_trust_store": "ours","#;
    let certified = r#""tls": true, "tls_trust_store": "ours", "client_cert": 0,"#;
    let keys = r#""mqtt_topic": "t""#;
    let causes = [
        refused(Side::with(ours, port, tls, keys), None),
        refused(Side::with(ours, port, certified, keys), Some(&others)),
        refused(Side::with(&others, port, certified, keys), Some(ours)),
    ];
    // What exactly an authority of the same name and another key is to OpenSSL is its own affair.
    assert_eq!(causes[0], "the peer gave up: it wants a client certificate");
    assert!(causes[1].starts_with("the peer gave up: "), "{}", causes[1]);
    assert_eq!(causes[2], "the peer's certificate is signed by nobody whom the trust store trusts");
}

#[test]
fn a_password_of_any_bytes_lets_in_and_another_does_not() {
    let password = b"any \xff\x01 bytes";
    let Some(broker) = Mosquitto::with_password("password", "me", password) else { return };
    for version in VERSIONS {
        let keys = format!(r#""mqtt_topic": "t", "mqtt_qos": 1, "mqtt_version": {version}"#);
        let mut side = Side::new(broker.port, &keys);
        side.context.with(|cx| {
            cx.set_blob(Blob::MqttUserName, "me");
            cx.set_blob(Blob::MqttPassword, b"any other".to_vec());
        });
        let refused = side.stream(&[]);
        side.until(&refused, |heard| heard.count(StreamState::AuthFailed) == 1);
        side.context.with(|cx| cx.set_blob(Blob::MqttPassword, password.to_vec()));
        let stream = side.stream(&["in"]);
        side.until(&stream, |heard| heard.count(StreamState::QosAckRemote) == 1);
    }
}

#[test]
fn a_session_outlives_the_broker_that_writes_it_down() {
    for version in VERSIONS {
        let Some(mut broker) = Mosquitto::persistent(&format!("restart-{version}")) else { return };
        let keys = format!(
            r#""mqtt_qos": 2, "mqtt_topic": "up", "mqtt_subscribe": "down", "mqtt_version": {version}"#
        );
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&["before"]);
        side.until(&stream, |heard| heard.count(StreamState::QosAckRemote) == 1);
        drop(side);
        broker.publish("down", 2, "kept", &[]);
        broker.restart();
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&[]);
        side.until(&stream, |heard| heard.messages == ["kept"]);

        // And one that is there when the broker goes away: what it asks for meanwhile is sent when it is back.
        broker.stop();
        side.until(&stream, |heard| heard.count(StreamState::Disconnected) == 1);
        side.send(&stream, "meanwhile");
        broker.resume();
        side.until(&stream, |heard| heard.count(StreamState::QosAckRemote) == 1);
        broker.publish("down", 2, "after", &[]);
        side.until(&stream, |heard| heard.messages == ["kept", "after"]);
        // Once in each life of the context.
        assert_eq!(broker.asked_for("down"), 2);
    }
}

#[test]
fn filters_are_asked_for_again_from_a_broker_that_has_forgotten_them() {
    let Some(mut broker) = Mosquitto::start("forgets") else { return };
    let mut side = Side::new(broker.port, r#""mqtt_qos": 1, "mqtt_subscribe": "news""#);
    let stream = side.stream(&[]);
    side.connected(&stream);
    broker.restart();
    side.until(&stream, |heard| heard.count(StreamState::Connected) == 2);
    broker.publish("news", 1, "after", &[]);
    side.until(&stream, |heard| heard.messages == ["after"]);
    assert_eq!(broker.asked_for("news"), 2);
}

#[test]
fn streams_that_want_the_same_have_one_connection_and_one_subscription() {
    let Some(broker) = Mosquitto::start("shared") else { return };
    let mut side = Side::new(broker.port, r#""mqtt_qos": 1, "mqtt_topic": "up", "mqtt_subscribe": "news/+""#);
    let streams: Vec<_> = (0..3).map(|_| side.stream(&["mine"])).collect();
    for stream in &streams {
        side.until(stream, |heard| heard.count(StreamState::QosAckRemote) == 1);
    }
    broker.publish("news/1", 1, "to all", &[]);
    for stream in &streams {
        side.until(stream, |heard| heard.messages == ["to all"]);
    }
    assert_eq!((broker.asked_for("news/+"), side.context.census().wsis), (1, 4));
    // The last one to go takes the subscription along.
    let [first, second, third] = &streams[..] else { unreachable!() };
    for stream in [first, second] {
        side.context.with(|cx| cx.destroy(stream.id)).unwrap();
    }
    broker.publish("news/2", 1, "to one", &[]);
    side.until(third, |heard| heard.messages == ["to all", "to one"]);
    assert_eq!(first.heard.borrow().messages, ["to all"]);
}

#[test]
fn properties_go_both_ways() {
    let Some(broker) = Mosquitto::start("properties") else { return };
    for way in [Way::Tcp, Way::Wss] {
        let keys = r#""mqtt_qos": 1, "mqtt_topic": "up", "mqtt_subscribe": "down", "mqtt_version": 5"#;
        let mut side = broker.side(way, keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        let more = [
            &["-V", "5"][..],
            &["-D", "publish", "content-type", "text/plain"],
            &["-D", "publish", "response-topic", "re/me"],
            &["-D", "publish", "correlation-data", "7"],
            &["-D", "publish", "user-property", "x-origin", "cellar"],
        ];
        broker.publish("down", 1, "19", &more.concat());
        broker.publish("down", 1, "bare", &["-V", "5"]);
        side.until(&stream, |heard| heard.messages == ["19", "bare"]);
        let told = [["text/plain", "re/me", "7", "cellar"], [""; 4]];
        assert_eq!(stream.heard.borrow().properties, told.map(|told| told.map(str::to_owned)), "{way:?}");

        let args = ["-V", "5", "-q", "1", "-F", "%t|%p|%C|%R|%D|%P"];
        let listener = Listener::start(broker.port, "up", 1, &args);
        let metadata = [("type", "text/html"), ("reply", "re/you"), ("ask", "8"), ("origin", "attic")];
        let publisher = side.stream_with(&["20"], &metadata);
        side.until(&publisher, |heard| heard.count(StreamState::QosAckRemote) == 1);
        assert_eq!(listener.printed(), ["up|20|text/html|re/you|8|x-origin:attic"], "{way:?}");
    }
}

#[test]
fn a_message_that_the_broker_does_not_allow_is_refused_with_its_reason_by_the_version_that_has_one() {
    let Some(broker) = Mosquitto::that_denies("denied", "secret/#") else { return };
    for (way, qos) in [(Way::Tcp, 1), (Way::Ws, 1), (Way::Tcp, 2), (Way::Wss, 2)] {
        for (version, state, cause) in [
            // A PUBACK or PUBREC of MQTT 3.1.1 cannot say no.
            (4, StreamState::QosAckRemote, None),
            (5, StreamState::QosNackRemote, Some("PUBLISH: not authorized (0x87)")),
        ] {
            let keys = format!(r#""mqtt_topic": "secret/x", "mqtt_qos": {qos}, "mqtt_version": {version}"#);
            let mut side = broker.side(way, &keys);
            let stream = side.stream(&["19"]);
            let is_answer =
                |state: &StreamState| matches!(state, StreamState::QosAckRemote | StreamState::QosNackRemote);
            side.until(&stream, |heard| heard.states.iter().any(is_answer));
            let heard = stream.heard.borrow();
            assert_eq!((heard.count(state), heard.cause.as_deref()), (1, cause), "{way:?} {version} {qos}");
            assert_eq!(heard.count(StreamState::Disconnected), 0);
        }
    }
}

#[test]
fn a_client_without_a_name_is_given_one() {
    let Some(broker) = Mosquitto::start("nameless") else { return };
    let mut side = Side::new(broker.port, r#""mqtt_subscribe": "news", "mqtt_qos": 1, "mqtt_version": 5"#);
    side.context.with(|cx| cx.set_blob(Blob::MqttClientId, ""));
    let stream = side.stream(&[]);
    side.connected(&stream);
    broker.publish("news", 1, "19", &[]);
    side.until(&stream, |heard| heard.messages == ["19"]);
}
