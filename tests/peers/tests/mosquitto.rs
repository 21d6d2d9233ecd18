//! MQTT streams against mosquitto, with mosquitto's own clients on the other side.

use millstream::{Blob, StreamState};
use millstream_peers::certificates::Certificates;
use millstream_peers::mosquitto::{Mosquitto, lines};
use millstream_peers::mqtt::Side;
use std::io::{BufRead, BufReader};
use std::time::Duration;

#[test]
fn messages_of_every_qos_go_both_ways_plain_and_with_client_certificates() {
    let Some(broker) = Mosquitto::start("both-ways") else { return };
    let long = "x".repeat(1_000_000);
    for is_tls in [false, true] {
        for qos in 0..3u8 {
            let keys = format!(
                r#""mqtt_qos": {qos}, "mqtt_topic": "up", "mqtt_subscribe": "down/#", "mqtt_clean_start": true"#
            );
            let mut side = if is_tls {
                Side::tls(&broker.certificates, broker.tls_port, &keys)
            } else {
                Side::new(broker.port, &keys)
            };
            let subscriber = side.stream(&[]);
            side.connected(&subscriber);
            broker.publish("down/a", qos, "one", &[]);
            broker.publish("down/b", qos, &long[..100_000], &[]);
            side.until(&subscriber, |heard| heard.messages.len() == 2 && heard.messages[1].len() == 100_000);
            assert_eq!(subscriber.heard.borrow().topics, ["down/a", "down/b"]);

            let qos = qos.to_string();
            broker.publish("ready", 1, "go", &["-r"]);
            let mut listener =
                broker.client("mosquitto_sub", &["-t", "up", "-t", "ready", "-q", &qos, "-C", "4", "-v"]);
            let mut printed = BufReader::new(listener.stdout.take().unwrap()).lines().map(Result::unwrap);
            // What was retained comes first: now it is there.
            assert_eq!(printed.next().as_deref(), Some("ready go"));
            let publisher = side.stream(&["19", &long, "20"]);
            side.until(&publisher, |heard| heard.count(StreamState::QosAckRemote) == 3);
            assert_eq!(printed.next().as_deref(), Some("up 19"));
            assert_eq!(printed.next().map(|line| line.len()), Some(1_000_003));
            assert_eq!(printed.next().as_deref(), Some("up 20"));
            assert!(listener.wait().unwrap().success());
            assert_eq!(publisher.heard.borrow().count(StreamState::QosNackRemote), 0);
        }
    }
}

#[test]
fn retained_messages_are_reported_and_left_behind() {
    let Some(broker) = Mosquitto::start("retained") else { return };
    broker.publish("state", 1, "on", &["-r"]);
    let keys = r#""mqtt_qos": 1, "mqtt_retain": true, "mqtt_topic": "left", "mqtt_subscribe": "state", "mqtt_clean_start": true"#;
    let mut side = Side::new(broker.port, keys);
    let stream = side.stream(&["behind"]);
    side.until(&stream, |heard| heard.messages.len() == 1);
    broker.publish("state", 1, "off", &[]);
    side.until(&stream, |heard| heard.messages.len() == 2 && heard.count(StreamState::QosAckRemote) == 1);
    assert_eq!(stream.heard.borrow().retained, ["1", "0"]);
    drop(side);
    let got = broker.client("mosquitto_sub", &["-t", "left", "-C", "1", "-v"]).wait_with_output().unwrap();
    assert_eq!(lines(got), ["left behind"]);
}

#[test]
fn a_will_is_published_when_the_client_is_lost_and_not_when_it_says_goodbye() {
    let Some(broker) = Mosquitto::start("will") else { return };
    let keys = r#""mqtt_topic": "t", "mqtt_clean_start": true, "mqtt_will_topic": "will", "mqtt_will_message": "lost",
        "mqtt_will_qos": 1, "mqtt_will_retain": true, "mqtt_birth_topic": "birth", "mqtt_birth_message": "here",
        "mqtt_birth_qos": 1, "mqtt_birth_retain": true"#;
    let retained = |topic: &str| {
        let got =
            broker.client("mosquitto_sub", &["-t", topic, "-C", "1", "-W", "1"]).wait_with_output().unwrap();
        String::from_utf8(got.stdout).unwrap().trim().to_owned()
    };
    let mut side = Side::new(broker.port, keys);
    let stream = side.stream(&[]);
    side.connected(&stream);
    drop(side);
    assert_eq!((retained("birth").as_str(), retained("will").as_str()), ("here", ""));

    // Who takes over the client id has the broker drop the other.
    let mut side = Side::new(broker.port, keys);
    let stream = side.stream(&[]);
    side.connected(&stream);
    broker.publish("anything", 0, "x", &["-i", "peer"]);
    side.until(&stream, |heard| heard.count(StreamState::Connected) == 2);
    assert_eq!(retained("will"), "lost");
}

#[test]
fn a_session_keeps_messages_for_a_client_that_is_away() {
    let Some(broker) = Mosquitto::start("session") else { return };
    for qos in 1..3 {
        let keys = format!(r#""mqtt_qos": {qos}, "mqtt_subscribe": "news/{qos}""#);
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        // The broker breaks the connection; the stream comes back to the same session.
        broker.publish(&format!("news/{qos}"), 1, "before", &[]);
        side.until(&stream, |heard| heard.messages.len() == 1);
        drop(side);
        for nth in 0..10 {
            broker.publish(&format!("news/{qos}"), qos, &nth.to_string(), &[]);
        }
        let mut side = Side::new(broker.port, &keys);
        let stream = side.stream(&[]);
        side.until(&stream, |heard| heard.messages.len() == 10);
        assert_eq!(stream.heard.borrow().messages, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[test]
fn a_silent_stream_outlives_its_keep_alive_and_one_that_stalls_is_lost_and_comes_back() {
    let Some(broker) = Mosquitto::start("keep-alive") else { return };
    let keys = r#""mqtt_topic": "t", "mqtt_subscribe": "news", "mqtt_keep_alive": 1, "mqtt_will_topic": "will",
        "mqtt_will_message": "lost", "mqtt_will_qos": 1"#;
    let mut side = Side::new(broker.port, keys);
    let stream = side.stream(&[]);
    side.connected(&stream);
    let witness = broker.client("mosquitto_sub", &["-t", "will", "-C", "1"]);
    // mosquitto drops a client after one and a half times its keep alive, and looks every few seconds.
    side.serve_for(Duration::from_secs(8));
    assert_eq!(stream.heard.borrow().count(StreamState::Disconnected), 0);
    // Nobody serves the loop, until the will is there.
    assert_eq!(lines(witness.wait_with_output().unwrap()), ["lost"]);
    side.until(&stream, |heard| heard.count(StreamState::Connected) == 2);
    broker.publish("news", 0, "again", &[]);
    side.until(&stream, |heard| heard.messages == ["again"]);
}

#[test]
fn who_has_no_certificate_that_the_broker_takes_is_refused_and_who_is_no_broker_is_not_trusted() {
    let Some(broker) = Mosquitto::start("refused") else { return };
    let (ours, port) = (&broker.certificates, broker.tls_port);
    let others = Certificates::default();
    let refused = |mut side: Side, client: Option<&Certificates>| {
        if let Some(client) = client {
            side.context.with(|cx| {
                cx.set_blob(Blob::ClientCert(0), client.client.clone());
                cx.set_blob(Blob::ClientKey(0), client.client_key.clone());
            });
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
    let mut side = Side::new(broker.port, r#""mqtt_topic": "t", "mqtt_qos": 1"#);
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

#[test]
fn a_session_outlives_the_broker_that_writes_it_down() {
    let Some(mut broker) = Mosquitto::persistent("restart") else { return };
    let keys = r#""mqtt_qos": 2, "mqtt_topic": "up", "mqtt_subscribe": "down""#;
    let mut side = Side::new(broker.port, keys);
    let stream = side.stream(&["before"]);
    side.until(&stream, |heard| heard.count(StreamState::QosAckRemote) == 1);
    drop(side);
    broker.publish("down", 2, "kept", &[]);
    broker.restart();
    let mut side = Side::new(broker.port, keys);
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
