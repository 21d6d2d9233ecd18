//! What streams and messages go through while the connection holds.

use super::broker::{CONNECT, DISCONNECT, PINGREQ, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, publish};
use super::world::{App, Log, World, stream_type};
use millstream::{Flow, StreamState as S, Validity};

#[test]
fn a_stream_is_connected_by_connack_and_its_messages_are_acknowledged() {
    for qos in 0..3u32 {
        let mut world = World::new(&stream_type(
            "out",
            &format!(r#", "mqtt_topic": "attic/${{who}}", "mqtt_qos": {qos}"#),
        ));
        let told = Log::default();
        let mut app = App::sending(&told, &[b"19", b"", b"20"]);
        app.metadata = vec![("who", "left")];
        world.create("out", app);
        world.run(20);
        assert_eq!(told.borrow().acks(), [(true, 0), (true, 1), (true, 2)], "QoS {qos}");
        assert_eq!(told.borrow().states()[..3], [S::Creating, S::Connecting, S::Connected]);
        let taken: Vec<_> =
            world.broker.taken.iter().map(|(topic, it)| (topic.as_str(), it.as_slice())).collect();
        assert_eq!(taken, [("attic/left", &b"19"[..]), ("attic/left", b""), ("attic/left", b"20")]);
        world.legal();
    }
}

#[test]
fn a_subscriber_is_connected_by_suback_and_hears_what_is_published() {
    let types = stream_type("in", r#", "mqtt_subscribe": "attic/+", "mqtt_qos": 1"#);
    let mut world = World::new(&types);
    world.broker.mute.insert(SUBSCRIBE);
    let (_, told) = world.stream("in");
    world.run(10);
    assert_eq!(told.borrow().states(), [S::Creating, S::Connecting]);
    world.broker.send(&[0x90, 3, 0, 1, 1]);
    world.run(5);
    assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, S::Connected]);
    world.broker.send(&publish(0, "attic/left", None, b"19"));
    world.broker.send(&publish(1, "attic/right", None, b""));
    world.broker.send(&publish(2, "attic/right", Some(5), &vec![b'x'; 150_000]));
    world.run(10);
    let told = told.borrow();
    assert_eq!(told.topics, ["attic/left", "attic/right", "attic/right"]);
    assert_eq!(told.retained, ["0", "1", "0"]);
    assert_eq!(told.messages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 150_000]);
    assert!(told.flags[0].is_som() && told.flags[0].is_eom());
    assert!(told.pieces > 4 && !told.flags[2].is_eom() && told.flags.last().unwrap().is_eom());
    assert!(world.broker.packets.iter().any(|packet| packet.first == 0x40 && packet.body == [0, 5]));
    world.legal();
}

#[test]
fn a_message_before_suback_is_not_lost() {
    let mut world = World::new(&stream_type("in", r#", "mqtt_subscribe": "attic""#));
    world.broker.mute.insert(SUBSCRIBE);
    let (_, told) = world.stream("in");
    world.run(10);
    world.broker.send(&publish(1, "attic", None, b"kept"));
    world.run(2);
    world.broker.send(&[0x90, 3, 0, 1, 0]);
    world.run(2);
    assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, S::Connected]);
    assert_eq!(told.borrow().messages, [b"kept".to_vec()]);
}

#[test]
fn a_long_message_goes_out_in_pieces_behind_its_declared_length_and_others_wait() {
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#));
    let (long, short) = (Log::default(), Log::default());
    let payload: Vec<u8> = (0..200_000u32).map(|byte| byte as u8).collect();
    let mut app = App::sending(&long, &[&payload]);
    app.declares = true;
    world.create("out", app);
    world.create("out", App::sending(&short, &[b"short"]));
    world.run(50);
    assert_eq!(world.broker.taken.len(), 2);
    assert!(world.broker.taken.iter().any(|(_, taken)| *taken == payload));
    assert_eq!((long.borrow().acks(), short.borrow().acks()), (vec![(true, 0)], vec![(true, 0)]));
    assert_eq!(world.broker.connections, 1);
}

#[test]
fn a_message_that_is_declared_to_be_empty_is_sent_and_sent_again() {
    struct Empty(Log);
    impl millstream::StreamHandler for Empty {
        fn tx(
            &mut self,
            _: &mut millstream::Cx<'_>,
            _: millstream::StreamId,
            _: &mut millstream::Tx<'_>,
        ) -> millstream::TxFlow {
            millstream::TxFlow::Send
        }

        fn resend(
            &mut self,
            cx: &mut millstream::Cx<'_>,
            me: millstream::StreamId,
            tx: &mut millstream::Tx<'_>,
        ) -> millstream::TxFlow {
            self.tx(cx, me, tx)
        }

        fn state(
            &mut self,
            cx: &mut millstream::Cx<'_>,
            me: millstream::StreamId,
            state: S,
            ack: u32,
        ) -> Flow {
            self.0.borrow_mut().states.push((state, ack));
            if state == S::Connected && self.0.borrow().count(S::Connected) == 1 {
                cx.request_tx_len(me, 0).unwrap();
            }
            Flow::Ok
        }
    }
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#));
    world.broker.break_at = Some((PUBLISH, super::broker::Break::Before));
    let told = Log::default();
    world.context.with(|cx| cx.create("out", Empty(std::rc::Rc::clone(&told)))).unwrap();
    world.run(300);
    assert_eq!(world.broker.taken, [("t".to_owned(), Vec::new())]);
    assert!(world.broker.of_kind(PUBLISH)[0].is_dup());
    assert_eq!(told.borrow().acks(), [(true, 0)]);
}

#[test]
fn what_is_not_acknowledged_has_a_bound_and_the_rest_stays_with_its_application() {
    const WINDOW: usize = 256;
    for qos in 1..3 {
        let mut world =
            World::new(&stream_type("out", &format!(r#", "mqtt_topic": "t", "mqtt_qos": {qos}"#)));
        world.broker.mute.insert(PUBLISH);
        let told = Log::default();
        let app = App::sending(&told, &[&b"19"[..]; 2 * WINDOW + 1]);
        let to_send = std::rc::Rc::clone(&app.to_send);
        world.create("out", app);
        world.run(200);
        assert_eq!((world.broker.count(PUBLISH), to_send.borrow().len()), (WINDOW, WINDOW + 1));
        // On a connection whose broker answers all of them arrive, the first ones once more.
        world.broker.mute.clear();
        world.broker.break_all();
        world.run(600);
        let acks = told.borrow().acks();
        assert_eq!(acks.len(), 2 * WINDOW + 1);
        assert!(acks.iter().zip(0..).all(|(ack, nth)| *ack == (true, nth)));
        assert!(to_send.borrow().is_empty());
    }
}

#[test]
fn aws_iot_is_asked_for_no_more_filters_at_a_time_than_it_takes() {
    let more = r#", "mqtt_subscribe": "in/${who}", "aws_iot": true"#;
    let mut world = World::new(&stream_type("in", more));
    let names = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17"];
    let logs = names.map(|name| {
        let told = Log::default();
        let mut app = App::new(&told);
        app.metadata = vec![("who", name)];
        world.create("in", app);
        told
    });
    world.run(20);
    let asked: Vec<_> = world.broker.of_kind(SUBSCRIBE).iter().map(|packet| packet.filters().len()).collect();
    assert_eq!(asked, [8, 8, 1]);
    assert!(logs.iter().all(|told| told.borrow().count(S::Connected) == 1));
}

#[test]
fn streams_that_are_the_same_client_share_a_connection_and_a_subscription() {
    let types = [
        stream_type("a", r#", "mqtt_subscribe": "x""#),
        stream_type("b", r#", "mqtt_subscribe": "x/#", "mqtt_topic": "x""#),
        stream_type(
            "will",
            r#", "mqtt_subscribe": "x", "mqtt_will_topic": "w", "mqtt_will_message": "${who}""#,
        ),
    ];
    let mut world = World::new(&types.join(","));
    let one = world.stream("a");
    let two = world.stream("a");
    let other = world.stream("b");
    world.run(20);
    assert_eq!((world.broker.connections, world.context.census().wsis), (1, 4));
    let filters: Vec<_> = world.broker.of_kind(SUBSCRIBE).iter().flat_map(|it| it.filters()).collect();
    assert_eq!(filters, ["x", "x/#"]);
    world.broker.send(&publish(0, "x", None, b"1"));
    world.run(5);
    for (_, told) in [&one, &two, &other] {
        assert_eq!(told.borrow().messages, [b"1".to_vec()]);
    }
    world.context.with(|cx| cx.destroy(one.0)).unwrap();
    world.run(5);
    assert_eq!(world.broker.count(UNSUBSCRIBE), 0);
    world.context.with(|cx| cx.destroy(two.0)).unwrap();
    world.run(5);
    assert_eq!(world.broker.of_kind(UNSUBSCRIBE)[0].filters(), ["x"]);
    world.stream("will");
    world.run(10);
    assert_eq!(world.broker.connections, 2);
    world.legal();
}

#[test]
fn a_connection_says_goodbye_some_time_after_its_last_user() {
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t""#));
    let (stream, _) = world.stream("out");
    world.run(10);
    world.context.with(|cx| cx.destroy(stream)).unwrap();
    world.run_secs(2);
    assert_eq!((world.broker.links(), world.broker.count(DISCONNECT)), (1, 0));
    let (stream, told) = world.stream("out");
    world.run(10);
    assert_eq!((world.broker.connections, told.borrow().count(S::Connected)), (1, 1));
    world.context.with(|cx| cx.destroy(stream)).unwrap();
    world.run_secs(10);
    assert_eq!((world.broker.links(), world.broker.count(DISCONNECT)), (0, 1));
    let census = world.context.census();
    assert_eq!((census.wsis, census.streams, census.suls), (0, 0, 0));
}

#[test]
fn a_context_that_ends_says_goodbye_so_that_no_will_is_published() {
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t""#));
    world.stream("out");
    world.run(10);
    world.context.shutdown();
    world.run(5);
    assert_eq!(world.broker.count(DISCONNECT), 1);
}

#[test]
fn a_context_that_ends_leaves_its_subscriptions_to_the_session() {
    let mut world = World::new(&stream_type("in", r#", "mqtt_subscribe": "x""#));
    world.stream("in");
    world.run(10);
    world.context.shutdown();
    world.run(5);
    assert_eq!((world.broker.count(DISCONNECT), world.broker.count(UNSUBSCRIBE)), (1, 0));
}

#[test]
fn more_than_a_packet_holds_is_refused_and_does_no_harm() {
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#));
    let told = Log::default();
    let app = App::sending(&told, &[]);
    let to_send = std::rc::Rc::clone(&app.to_send);
    let stream = world.create("out", app);
    world.run(10);
    to_send.borrow_mut().push_back(vec![b'x'; 20_000]);
    world.context.with(|cx| cx.request_tx_len(stream, 300_000_000)).unwrap();
    world.run(10);
    assert_eq!(told.borrow().acks(), [(false, 0)]);
    to_send.borrow_mut().clear();
    to_send.borrow_mut().push_back(b"short".to_vec());
    world.context.with(|cx| cx.request_tx(stream)).unwrap();
    world.run(10);
    assert_eq!(told.borrow().acks(), [(false, 0), (true, 1)]);
    assert_eq!(world.broker.taken, [("t".to_owned(), b"short".to_vec())]);
}

#[test]
fn will_and_birth_are_said_with_metadata_and_birth_goes_before_any_message() {
    let more = r#", "mqtt_topic": "t", "mqtt_keep_alive": 60, "mqtt_clean_start": true, "mqtt_will_topic": "w/${who}",
        "mqtt_will_message": "${who} is lost", "mqtt_will_qos": 1, "mqtt_will_retain": true,
        "mqtt_birth_topic": "b/${who}", "mqtt_birth_message": "here", "mqtt_birth_qos": 1, "mqtt_birth_retain": true"#;
    let mut world = World::new(&stream_type("out", more));
    world.context.with(|cx| {
        cx.set_blob(millstream::Blob::MqttClientId, "attic");
        cx.set_blob(millstream::Blob::MqttUserName, "me");
        cx.set_blob(millstream::Blob::MqttPassword, [0u8, 255]);
    });
    let told = Log::default();
    let mut app = App::sending(&told, &[b"19"]);
    app.metadata = vec![("who", "left")];
    world.create("out", app);
    world.run(20);
    let mut expected = b"\0\x04MQTT\x04\xee\0\x3c".to_vec();
    for text in [&b"attic"[..], b"w/left", b"left is lost", b"me", b"\0\xff"] {
        expected.extend_from_slice(&(text.len() as u16).to_be_bytes());
        expected.extend_from_slice(text);
    }
    assert_eq!(world.broker.of_kind(CONNECT)[0].body, expected);
    let messages = world.broker.of_kind(PUBLISH);
    assert_eq!(messages[0].first, 0x33);
    assert_eq!(messages[0].message(), ("b/left".to_owned(), 1, b"here".to_vec()));
    assert_eq!(messages[1].message().2, b"19");
    assert_eq!(told.borrow().acks(), [(true, 0)]);
}

#[test]
fn what_the_server_refuses_is_told_by_its_kind() {
    let types = [
        stream_type("in", r#", "mqtt_subscribe": "no""#),
        stream_type("good", r#", "mqtt_subscribe": "yes""#),
    ];
    let mut world = World::new(&types.join(","));
    world.broker.refuse_filter = Some("no".to_owned());
    let (_, refused) = world.stream("in");
    let (_, good) = world.stream("good");
    world.run(20);
    assert_eq!(refused.borrow().states(), [S::Creating, S::Connecting, S::Unreachable]);
    assert_eq!(refused.borrow().cause.as_deref(), Some("SUBACK: unspecified error (0x80)"));
    assert_eq!(good.borrow().states(), [S::Creating, S::Connecting, S::Connected]);

    for (code, state) in [(3, S::Unreachable), (4, S::AuthFailed), (5, S::AuthFailed)] {
        let mut world = World::new(&types.join(","));
        world.broker.connack = code;
        let (_, told) = world.stream("good");
        world.run(20);
        assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, state], "{code}");
        world.legal();
    }
}

#[test]
fn pings_go_out_by_the_keep_alive_and_silence_ends_the_connection() {
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t", "mqtt_keep_alive": 30"#));
    let (_, told) = world.stream("out");
    world.run_secs(100);
    assert_eq!(world.broker.count(PINGREQ), 3);
    world.broker.mute.insert(PINGREQ);
    world.run_secs(45);
    assert!(told.borrow().states().contains(&S::Disconnected));
    assert_eq!((world.broker.connections, told.borrow().count(S::Connected)), (2, 2));
}

#[test]
fn the_policy_says_how_long_a_connection_may_go_without_a_sign_of_life() {
    let types = stream_type("out", r#", "mqtt_topic": "t""#).replace("often", "valid");
    let mut world = World::new(&types);
    let (_, told) = world.stream("out");
    world.run_secs(65);
    assert_eq!(world.broker.count(PINGREQ), 3);
    world.broker.mute.insert(PINGREQ);
    world.run_secs(26);
    assert_eq!(told.borrow().count(S::Disconnected), 1);
    assert_eq!(Validity::default().hangup, Some(std::time::Duration::from_secs(310)));
}

#[test]
fn streams_that_doubt_their_connection_at_different_times_are_one_client_to_the_server_and_the_first_to_doubt_asks()
 {
    let strict = stream_type("strict", r#", "mqtt_subscribe": "y""#).replace("often", "valid");
    let mut world = World::new(&[stream_type("out", r#", "mqtt_subscribe": "x""#), strict].join(","));
    let streams = [world.stream("out"), world.stream("strict")];
    world.run_secs(65);
    assert_eq!((world.broker.connections, world.broker.count(PINGREQ)), (1, 3));
    assert!(streams.iter().all(|(_, told)| told.borrow().count(S::Connected) == 1));
    world.legal();
}

#[test]
fn who_holds_up_its_messages_holds_up_what_is_behind_them_and_nothing_is_lost() {
    let types =
        [stream_type("a", r#", "mqtt_subscribe": "a""#), stream_type("b", r#", "mqtt_subscribe": "b""#)];
    let mut world = World::new(&types.join(","));
    let ((a, told_a), (_, told_b)) = (world.stream("a"), world.stream("b"));
    world.run(10);
    world.context.with(|cx| cx.rx_flow(a, false)).unwrap();
    world.broker.send(&publish(0, "b", None, b"1"));
    world.broker.send(&publish(0, "a", None, b"2"));
    world.broker.send(&publish(0, "b", None, b"3"));
    world.run(10);
    assert_eq!((told_a.borrow().messages.len(), told_b.borrow().messages.len()), (0, 1));
    world.context.with(|cx| cx.rx_flow(a, true)).unwrap();
    world.run(10);
    assert_eq!((told_a.borrow().messages.len(), told_b.borrow().messages.len()), (1, 2));
}

#[test]
fn a_stream_may_end_itself_or_a_sibling_or_make_another_while_a_message_is_dealt_out() {
    let types = stream_type("in", r#", "mqtt_subscribe": "x""#);
    for victim in 0..5usize {
        for how in 0..3 {
            let mut world = World::new(&types);
            let logs: Vec<Log> = (0..5).map(|_| Log::default()).collect();
            let ids = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            for (nth, told) in logs.iter().enumerate() {
                let mut app = App::new(told);
                let others = std::rc::Rc::clone(&ids);
                let mut done = false;
                app.on_rx = Some(Box::new(move |cx, me| {
                    if nth != 2 || std::mem::replace(&mut done, true) {
                        return Flow::Ok;
                    }
                    let other = others.borrow()[victim];
                    match how {
                        0 => cx.destroy(other).unwrap(),
                        1 if other == me => return Flow::DestroyMe,
                        1 => cx.change_handlers(other, App::default()).unwrap(),
                        _ => return Flow::DisconnectMe,
                    }
                    cx.create("in", App::default()).unwrap();
                    Flow::Ok
                }));
                let id = world.create("in", app);
                ids.borrow_mut().push(id);
            }
            world.run(10);
            for _ in 0..2 {
                world.broker.send(&publish(0, "x", None, &vec![7; 40_000]));
                world.run(10);
            }
            world.run(300);
            world.broker.send(&publish(0, "x", None, b"end"));
            world.run(10);
            assert_eq!(world.broker.connections, 1);
            for (nth, told) in logs.iter().enumerate() {
                let unharmed = nth != victim && (how != 2 || nth != 2);
                let told = told.borrow();
                if unharmed {
                    let lens: Vec<_> = told.messages.iter().map(Vec::len).collect();
                    assert_eq!(lens, [40_000, 40_000, 3], "{victim} {how} {nth}");
                }
            }
            world.legal();
        }
    }
}

#[test]
fn who_stops_in_the_midst_of_a_message_holds_up_the_others_for_some_time_and_no_longer() {
    struct Stalls;
    impl millstream::StreamHandler for Stalls {
        fn tx(
            &mut self,
            _: &mut millstream::Cx<'_>,
            _: millstream::StreamId,
            tx: &mut millstream::Tx<'_>,
        ) -> millstream::TxFlow {
            tx.write(b"some");
            millstream::TxFlow::Send
        }
    }
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t", "mqtt_qos": 1"#));
    let stalls = world.context.with(|cx| cx.create("out", Stalls)).unwrap();
    world.run(10);
    world.context.with(|cx| cx.request_tx_len(stalls, 100)).unwrap();
    world.run(5);
    let told = Log::default();
    world.create("out", App::sending(&told, &[b"19"]));
    world.run_secs(9);
    assert!(told.borrow().acks().is_empty());
    world.run_secs(3);
    assert_eq!(world.broker.connections, 2);
    assert_eq!(told.borrow().acks(), [(true, 0)]);
    assert_eq!(world.broker.taken, [("t".to_owned(), b"19".to_vec())]);
}

#[test]
fn a_message_that_comes_to_be_shorter_than_declared_costs_the_connection_and_no_more() {
    struct Short(Log);
    impl millstream::StreamHandler for Short {
        fn tx(
            &mut self,
            cx: &mut millstream::Cx<'_>,
            me: millstream::StreamId,
            tx: &mut millstream::Tx<'_>,
        ) -> millstream::TxFlow {
            if self.0.borrow().count(S::Connected) > 1 {
                return millstream::TxFlow::DontSend;
            }
            tx.write(b"some");
            if !tx.is_som() {
                tx.end_message();
            }
            cx.request_tx(me).unwrap();
            millstream::TxFlow::Send
        }

        fn state(
            &mut self,
            cx: &mut millstream::Cx<'_>,
            me: millstream::StreamId,
            state: S,
            ack: u32,
        ) -> Flow {
            self.0.borrow_mut().states.push((state, ack));
            if state == S::Connected && self.0.borrow().count(S::Connected) == 1 {
                cx.request_tx_len(me, 100).unwrap();
            }
            Flow::Ok
        }
    }
    let mut world = World::new(&stream_type("out", r#", "mqtt_topic": "t""#));
    let told = Log::default();
    let (_, other) = world.stream("out");
    world.context.with(|cx| cx.create("out", Short(std::rc::Rc::clone(&told)))).unwrap();
    world.run(300);
    for told in [&told, &other] {
        let connected =
            [S::Creating, S::Connecting, S::Connected, S::Disconnected, S::Poll, S::Connecting, S::Connected];
        assert_eq!(told.borrow().states(), connected);
    }
    assert!(world.broker.taken.is_empty());
    world.legal();
}

#[test]
fn what_no_broker_will_have_is_refused_before_there_is_a_stream() {
    let types = [
        stream_type("aws", r#", "mqtt_topic": "t", "mqtt_qos": 2, "aws_iot": true"#),
        r#"{"server": {"server": true, "port": 1883, "protocol": "mqtt"}}"#.to_owned(),
        stream_type("deep", r#", "mqtt_subscribe": "1/2/3/4/5/6/7/8/9", "aws_iot": true"#),
        stream_type("bad", r#", "mqtt_subscribe": "a#""#),
    ];
    let mut world = World::new(&types.join(","));
    for name in ["aws", "server"] {
        assert!(world.context.with(|cx| cx.create(name, App::default())).is_err(), "{name}");
    }
    for (name, why) in [("deep", "more than AWS IoT takes"), ("bad", "is none")] {
        let (_, told) = world.stream(name);
        world.run(20);
        assert_eq!(told.borrow().states(), [S::Creating, S::Connecting, S::Unreachable]);
        assert!(told.borrow().cause.as_ref().unwrap().contains(why));
    }
}
