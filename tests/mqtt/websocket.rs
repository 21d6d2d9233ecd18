//! MQTT over websockets: the same streams, on a connection that goes through another.

use super::broker::{Break, CONNECT, DISCONNECT, PUBLISH, PUBREL, SUBSCRIBE, publish};
use super::web::{Manner, Seen, Web};
use super::world::{App, Log, World, stream_type};
use millstream::StreamState as S;
use std::cell::RefCell;
use std::rc::Rc;

fn over_ws(name: &str, more: &str) -> String {
    stream_type(name, &format!(r#", "ws_subprotocol": "mqtt", "http_url": "mqtt/${{who}}" {more}"#))
}

fn world(types: &str, manner: Manner) -> World {
    world_and_seen(types, manner).0
}

fn world_and_seen(types: &str, manner: Manner) -> (World, Rc<RefCell<Seen>>) {
    let mut world = World::new(types);
    let seen = Rc::<RefCell<Seen>>::default();
    let sees = Rc::clone(&seen);
    world.broker.wires = Some(Box::new(move || Box::new(Web::new(manner, &sees))));
    (world, seen)
}

const BOTH: &str = r#", "mqtt_topic": "t", "mqtt_subscribe": "t", "mqtt_qos": 2"#;

#[test]
fn packets_straddle_messages_wherever_the_server_cuts_them() {
    for version in [4, 5] {
        for size in [1, 2, 3, 7, 1000, usize::MAX] {
            let types = over_ws("both", &format!(r#"{BOTH}, "mqtt_version": {version}"#));
            let mut world = world(&types, Manner { size, ..Manner::default() });
            world.broker.routes = true;
            let told = Log::default();
            let long = vec![b'x'; 70_000];
            let mut app = App::sending(&told, &[b"1", b"", &long]);
            app.declares = true;
            world.create("both", app);
            world.run(60);
            let told = told.borrow();
            assert_eq!(told.acks(), [(true, 0), (true, 1), (true, 2)], "{version} {size}");
            assert_eq!(told.messages, [b"1".to_vec(), b"".to_vec(), long], "{version} {size}");
            world.legal();
        }
    }
}

#[test]
fn the_websocket_is_asked_for_as_the_policy_says_and_shared_as_a_plain_connection_is() {
    let types = [over_ws("a", BOTH), over_ws("b", r#", "mqtt_subscribe": "x""#), stream_type("plain", "")];
    let (mut world, seen) = world_and_seen(&types.join(","), Manner::default());
    let logs = ["a", "b", "a"].map(|name| {
        let told = Log::default();
        let mut app = App::new(&told);
        app.metadata = vec![("who", "me")];
        (world.create(name, app), told)
    });
    world.run(20);
    assert!(logs.iter().all(|(_, told)| told.borrow().count(S::Connected) == 1));
    // The websocket, what goes through it, and three users.
    assert_eq!((world.broker.connections, world.context.census().wsis), (1, 5));
    assert_eq!((world.broker.count(CONNECT), world.broker.count(SUBSCRIBE)), (1, 1));
    let request = seen.borrow().request.to_ascii_lowercase();
    assert!(request.starts_with("get /mqtt/me http/1.1\r\nhost: 10.0.0.1:1883\r\n"), "{request}");
    assert!(request.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{request}");
    for (stream, _) in logs {
        world.context.with(|cx| cx.destroy(stream)).unwrap();
    }
    world.run_secs(3);
    assert_eq!(world.broker.count(DISCONNECT), 0);
    world.run_secs(10);
    // MQTT's goodbye, then the websocket's.
    assert_eq!(world.broker.count(DISCONNECT), 1);
    assert!(seen.borrow().goodbye.is_some());
    assert_eq!(world.context.census(), millstream::Census::default());
}

#[test]
fn a_message_is_a_websocket_message_with_its_head() {
    let types = over_ws("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#);
    let (mut world, seen) = world_and_seen(&types, Manner::default());
    let told = Log::default();
    world.create("out", App::sending(&told, &[b"12345"]));
    world.run(20);
    let messages = seen.borrow().messages.clone();
    assert_eq!((messages.len(), messages[1]), (2, 2 + 2 + 1 + 2 + 5));
}

#[test]
fn a_topic_of_any_length_goes_before_its_payload() {
    for len in [900, 1000, 1023, 1030, 5000, 30_000, 60_000] {
        let more = format!(r#", "mqtt_topic": "{}", "mqtt_qos": 1"#, "t".repeat(len));
        let mut world = world(&over_ws("out", &more), Manner::default());
        let told = Log::default();
        world.create("out", App::sending(&told, &[&[b'x'; 14_000], b"2"]));
        world.run(40);
        let taken: Vec<_> = world.broker.taken.iter().map(|(topic, it)| (topic.len(), it.len())).collect();
        let acks = told.borrow().acks();
        // What a template may grow to is bounded.
        let fits = len <= 8192;
        assert_eq!(taken, if fits { vec![(len, 14_000), (len, 1)] } else { vec![] }, "{len}");
        assert_eq!(acks.len(), if fits { 2 } else { 0 }, "{len}");
    }
}

#[test]
fn a_link_that_breaks_at_any_step_costs_no_message() {
    for (kind, how) in [CONNECT, SUBSCRIBE, PUBLISH, PUBREL]
        .iter()
        .flat_map(|kind| [Break::Before, Break::Taken, Break::After].map(|how| (*kind, how)))
    {
        for version in [4, 5] {
            let types = over_ws("both", &format!(r#"{BOTH}, "mqtt_version": {version}"#));
            let mut world = world(&types, Manner { size: 3, ..Manner::default() });
            world.broker.break_at = Some((kind, how));
            let told = Log::default();
            world.create("both", App::sending(&told, &[b"1", b"2", b"3"]));
            world.run(400);
            let taken: Vec<_> = world.broker.taken.iter().map(|(_, it)| it.clone()).collect();
            assert_eq!(taken, [b"1", b"2", b"3"], "{kind} {how:?} {version}");
            assert_eq!(told.borrow().acks().len(), 3, "{kind} {how:?} {version}");
            assert_eq!(world.broker.connections, 2);
            world.legal();
        }
    }
}

#[test]
fn a_server_that_does_not_grant_the_websocket_is_a_cause() {
    for (manner, why) in [
        (
            Manner { refusal: Some("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n"), ..Manner::default() },
            "http status 403",
        ),
        (Manner { protocols: "other", ..Manner::default() }, "none of the subprotocols"),
        (Manner { is_text: true, ..Manner::default() }, "has to be binary"),
        (
            Manner {
                refusal: Some("HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
                ..Manner::default()
            },
            "handshake",
        ),
    ] {
        let mut world = world(&over_ws("both", BOTH), manner);
        let (_, told) = world.stream("both");
        world.run(20);
        assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, S::Unreachable], "{why}");
        assert!(told.borrow().cause.as_ref().unwrap().contains(why), "{:?}", told.borrow().cause);
        world.legal();
    }
}

#[test]
fn who_takes_nothing_holds_up_the_websocket_and_nothing_is_lost() {
    let mut world =
        world(&over_ws("in", r#", "mqtt_subscribe": "x""#), Manner { size: 500, ..Manner::default() });
    let (stream, told) = world.stream("in");
    world.run(10);
    world.context.with(|cx| cx.rx_flow(stream, false)).unwrap();
    for nth in 0..100u8 {
        world.broker.send(&publish(0, "x", None, &[nth; 5000]));
    }
    world.run(100);
    assert_eq!(told.borrow().messages.len(), 0);
    assert!(world.context.counters().rx_bytes < 300_000);
    world.context.with(|cx| cx.rx_flow(stream, true)).unwrap();
    world.run(100);
    let told = told.borrow();
    assert!((0..100u8).map(|nth| vec![nth; 5000]).eq(told.messages.iter().cloned()));
}

#[test]
fn signs_of_life_are_those_of_mqtt() {
    let mut world = world(&over_ws("out", r#", "mqtt_keep_alive": 30"#), Manner::default());
    let (_, told) = world.stream("out");
    world.run_secs(100);
    assert_eq!(world.broker.count(super::broker::PINGREQ), 3);
    world.broker.mute.insert(super::broker::PINGREQ);
    world.run_secs(45);
    assert_eq!((world.broker.connections, told.borrow().count(S::Connected)), (2, 2));
}

#[test]
fn a_context_that_ends_says_goodbye_through_the_websocket() {
    let mut world = world(&over_ws("out", ""), Manner::default());
    world.stream("out");
    world.run(10);
    world.context.shutdown();
    world.run(5);
    assert_eq!(world.broker.count(DISCONNECT), 1);
    assert_eq!(world.context.census(), millstream::Census::default());
}
