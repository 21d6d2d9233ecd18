//! MQTT streams against rumqttd, with mosquitto's clients on the other side. rumqttd takes no client without a keep alive.

use millstream::StreamState;
use millstream_peers::mosquitto::{Listener, client, lines, publish};
use millstream_peers::mqtt::Side;
use millstream_peers::rumqttd;
use std::time::Duration;

#[test]
fn messages_of_every_qos_go_both_ways_in_pieces() {
    let Some(port) = rumqttd::start() else { return };
    let long = "x".repeat(1_000_000);
    for qos in 0..3u8 {
        let keys = format!(
            r#""mqtt_qos": {qos}, "mqtt_topic": "up/{qos}", "mqtt_subscribe": "down/{qos}/#", "mqtt_clean_start": true,
            "mqtt_keep_alive": 60"#
        );
        let mut side = Side::new(port, &keys);
        let subscriber = side.stream(&[]);
        side.connected(&subscriber);
        publish(port, &format!("down/{qos}/a"), qos, "one", &[]);
        publish(port, &format!("down/{qos}/b"), qos, &long[..100_000], &[]);
        side.until(&subscriber, |heard| heard.messages.len() == 2 && heard.messages[1].len() == 100_000);
        assert_eq!(subscriber.heard.borrow().topics, [format!("down/{qos}/a"), format!("down/{qos}/b")]);

        let (topic, number) = (format!("up/{qos}"), qos.to_string());
        let listener = Listener::start(port, &topic, 4, &["-q", &number, "-F", "%l"]);
        let publisher = side.stream(&["19", &long, "20", ""]);
        side.until(&publisher, |heard| heard.count(StreamState::QosAckRemote) == 4);
        assert_eq!(listener.printed(), ["2", "1000000", "2", "0"]);
        assert_eq!(publisher.heard.borrow().count(StreamState::QosNackRemote), 0);
    }
}

#[test]
fn retained_messages_are_reported_and_left_behind() {
    let Some(port) = rumqttd::start() else { return };
    publish(port, "state", 1, "on", &["-r"]);
    let keys = r#""mqtt_qos": 1, "mqtt_retain": true, "mqtt_topic": "left", "mqtt_subscribe": "state",
        "mqtt_clean_start": true, "mqtt_keep_alive": 60"#;
    let mut side = Side::new(port, keys);
    let stream = side.stream(&["behind"]);
    side.until(&stream, |heard| heard.messages.len() == 1);
    publish(port, "state", 1, "off", &[]);
    side.until(&stream, |heard| heard.messages.len() == 2 && heard.count(StreamState::QosAckRemote) == 1);
    assert_eq!(stream.heard.borrow().retained, ["1", "0"]);
    let got = client(port, "mosquitto_sub", &["-t", "left", "-C", "1", "-v"]).wait_with_output().unwrap();
    assert_eq!(lines(got), ["left behind"]);
}

#[test]
fn a_silent_stream_outlives_its_keep_alive() {
    let Some(port) = rumqttd::start() else { return };
    let mut side = Side::new(port, r#""mqtt_topic": "t", "mqtt_clean_start": true, "mqtt_keep_alive": 1"#);
    let stream = side.stream(&[]);
    side.connected(&stream);
    // rumqttd drops a client after one and a half times its keep alive.
    side.lives_for(&stream, Duration::from_secs(4));
}

#[test]
fn a_stream_that_stalls_is_lost_its_will_is_published_and_it_comes_back() {
    let Some(port) = rumqttd::start() else { return };
    let keys = r#""mqtt_topic": "t", "mqtt_subscribe": "news", "mqtt_clean_start": true, "mqtt_keep_alive": 1,
        "mqtt_will_topic": "will", "mqtt_will_message": "lost", "mqtt_will_qos": 1"#;
    let witness = Listener::start(port, "will", 1, &[]);
    let mut side = Side::new(port, keys);
    let stream = side.stream(&[]);
    side.connected(&stream);
    // Nobody serves the loop, until the will is there.
    assert_eq!(witness.printed(), ["lost"]);
    side.until(&stream, |heard| heard.count(StreamState::Connected) > 1);
    // Retained, for one that is lost again.
    publish(port, "news", 1, "again", &["-r"]);
    side.until(&stream, |heard| heard.messages.first().is_some_and(|first| first == "again"));
}

#[test]
fn a_session_keeps_messages_for_a_client_that_is_away() {
    let Some(port) = rumqttd::start() else { return };
    for qos in 1..3 {
        let keys = format!(r#""mqtt_qos": {qos}, "mqtt_subscribe": "news/{qos}", "mqtt_keep_alive": 60"#);
        let mut side = Side::new(port, &keys);
        let stream = side.stream(&[]);
        side.connected(&stream);
        publish(port, &format!("news/{qos}"), 1, "before", &[]);
        side.until(&stream, |heard| heard.messages.len() == 1);
        drop(side);
        for nth in 0..10 {
            publish(port, &format!("news/{qos}"), qos, &nth.to_string(), &[]);
        }
        let mut side = Side::new(port, &keys);
        let stream = side.stream(&[]);
        side.until(&stream, |heard| heard.messages.len() == 10);
        assert_eq!(stream.heard.borrow().messages, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
}

#[test]
fn streams_that_want_the_same_are_all_served() {
    let Some(port) = rumqttd::start() else { return };
    let keys = r#""mqtt_qos": 1, "mqtt_topic": "up", "mqtt_subscribe": "news/+", "mqtt_clean_start": true,
        "mqtt_keep_alive": 60"#;
    let mut side = Side::new(port, keys);
    let streams: Vec<_> = (0..3).map(|_| side.stream(&["mine"])).collect();
    for stream in &streams {
        side.until(stream, |heard| heard.count(StreamState::QosAckRemote) == 1);
    }
    publish(port, "news/1", 1, "to all", &[]);
    for stream in &streams {
        side.until(stream, |heard| heard.messages == ["to all"]);
    }
    assert_eq!(side.context.census().wsis, 4);
}
