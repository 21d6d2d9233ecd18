//! Connections that break, and what the next one makes good.

use super::broker::{Break, CONNECT, PUBLISH, PUBREC, PUBREL, SUBSCRIBE, publish};
use super::world::{App, Log, World, stream_type};
use millstream::StreamState as S;

fn out(qos: u32, more: &str) -> String {
    stream_type("out", &format!(r#", "mqtt_topic": "t", "mqtt_qos": {qos}{more}"#))
}

#[test]
fn a_link_that_breaks_at_any_step_of_a_message_costs_none_and_doubles_none_of_qos_2() {
    for (version, qos) in [(4, 1), (4, 2), (5, 1), (5, 2)] {
        for (kind, how) in [CONNECT, PUBLISH, PUBREL]
            .iter()
            .flat_map(|kind| [Break::Before, Break::Taken, Break::After].map(|how| (*kind, how)))
        {
            for keeps_sessions in [true, false] {
                let mut world = World::new(&out(qos, &format!(r#", "mqtt_version": {version}"#)));
                world.broker.keeps_sessions = keeps_sessions;
                world.broker.break_at = Some((kind, how));
                let told = Log::default();
                world.create("out", App::sending(&told, &[b"1", b"2", b"3"]));
                world.run(400);
                let case =
                    format!("version {version}, QoS {qos}, {kind} {how:?}, sessions kept: {keeps_sessions}");
                let mut taken: Vec<_> = world.broker.taken.iter().map(|(_, it)| it.clone()).collect();
                if qos == 2 && keeps_sessions {
                    assert_eq!(taken, [b"1", b"2", b"3"], "{case}");
                }
                taken.sort_unstable();
                taken.dedup();
                assert_eq!(taken, [b"1", b"2", b"3"], "{case}");
                let mut acks = told.borrow().acks();
                acks.sort_unstable_by_key(|(_, ordinal)| *ordinal);
                assert_eq!(acks.iter().map(|(_, ordinal)| *ordinal).collect::<Vec<_>>(), [0, 1, 2], "{case}");
                world.legal();
            }
        }
    }
}

#[test]
fn who_does_not_have_a_message_any_more_hears_that_it_failed() {
    let mut world = World::new(&out(1, ""));
    world.broker.break_at = Some((PUBLISH, Break::Before));
    let told = Log::default();
    let mut app = App::sending(&told, &[b"1", b"2"]);
    app.forgets = true;
    world.create("out", app);
    world.run(400);
    let told = told.borrow();
    assert_eq!(told.acks().first(), Some(&(false, 0)));
    assert!(told.resends > 0);
}

#[test]
fn a_message_in_pieces_is_sent_again_as_a_whole() {
    let payload: Vec<u8> = (0..100_000u32).map(|byte| (byte / 3) as u8).collect();
    let mut world = World::new(&out(2, ""));
    world.broker.break_at = Some((PUBLISH, Break::Before));
    let told = Log::default();
    let mut app = App::sending(&told, &[&payload]);
    app.declares = true;
    world.create("out", app);
    world.run(400);
    assert_eq!(world.broker.taken, [("t".to_owned(), payload)]);
    assert!(world.broker.of_kind(PUBLISH)[0].is_dup());
    assert_eq!(told.borrow().acks(), [(true, 0)]);
}

#[test]
fn filters_are_asked_for_again_when_the_session_is_gone_and_only_then() {
    for keeps_sessions in [true, false] {
        let mut world = World::new(&stream_type("in", r#", "mqtt_subscribe": "x", "mqtt_qos": 1"#));
        world.broker.keeps_sessions = keeps_sessions;
        let (_, told) = world.stream("in");
        world.run(10);
        world.broker.break_all();
        world.run(300);
        assert_eq!(world.broker.count(SUBSCRIBE), if keeps_sessions { 1 } else { 2 });
        assert_eq!(told.borrow().count(S::Connected), 2);
        world.broker.send(&publish(0, "x", None, b"1"));
        world.run(5);
        assert_eq!(told.borrow().messages.len(), 1);
    }
}

#[test]
fn what_a_session_has_kept_is_heard_by_all_who_share_the_connection_whoever_comes_first() {
    let mut world = World::new(&stream_type("in", r#", "mqtt_subscribe": "x", "mqtt_qos": 1"#));
    let told: Vec<_> = (0..20).map(|_| world.stream("in").1).collect();
    world.run(10);
    // CONNACK and a message in one segment: whose backoff is longest has a chance to hear it only if it need not wait.
    world.broker.after_connack = publish(2, "x", Some(9), b"kept");
    world.broker.break_all();
    world.run(300);
    for told in &told {
        assert_eq!(told.borrow().messages, [b"kept".to_vec()]);
    }
    assert_eq!(world.broker.connections, 2);
    world.legal();
}

#[test]
fn an_outage_of_a_thousand_streams_is_one_connection_lost_and_one_made() {
    const STREAMS: usize = 1000;
    let types =
        stream_type("both", r#", "mqtt_topic": "out/${who}", "mqtt_subscribe": "in/${who}", "mqtt_qos": 1"#);
    let mut world = World::new(&types);
    let mut logs = Vec::new();
    for nth in 0..STREAMS {
        let told = Log::default();
        let mut app = App::sending(&told, &[b"before"]);
        app.metadata = vec![("who", Box::leak(nth.to_string().into_boxed_str()))];
        let to_send = std::rc::Rc::clone(&app.to_send);
        let id = world.create("both", app);
        logs.push((id, told, to_send));
    }
    world.run(200);
    assert!(logs.iter().all(|(_, told, _)| told.borrow().acks() == [(true, 0)]));
    assert_eq!(world.broker.connections, 1);
    assert_eq!(world.broker.count(SUBSCRIBE), STREAMS.div_ceil(64));

    // All have a message on its way when the link goes down.
    world.broker.mute.insert(PUBLISH);
    for (id, _, to_send) in &logs {
        to_send.borrow_mut().push_back(b"during".to_vec());
        world.context.with(|cx| cx.request_tx(*id)).unwrap();
    }
    world.run(50);
    world.network.link_down(&world.near.clone(), &world.far.clone());
    world.broker.break_all();
    world.run_secs(120);
    world.network.link_up(&world.near.clone(), &world.far.clone());
    world.broker.mute.clear();
    world.run_secs(60);

    assert_eq!(world.broker.links(), 1);
    for (nth, (_, told, _)) in logs.iter().enumerate() {
        let told = told.borrow();
        assert_eq!(told.acks(), [(true, 0), (true, 1)], "{nth}");
        assert_eq!(told.states.last().map(|(state, _)| *state), Some(S::QosAckRemote), "{nth}");
        let sent =
            world.broker.taken.iter().filter(|(topic, it)| *topic == format!("out/{nth}") && it == b"during");
        assert!(sent.count() >= 1);
    }
    for nth in 0..STREAMS {
        world.broker.send(&publish(0, &format!("in/{nth}"), None, b"hello"));
        world.run(1);
    }
    world.run(10);
    assert!(logs.iter().all(|(_, told, _)| told.borrow().messages == [b"hello".to_vec()]));
    assert_eq!(world.context.census().wsis, STREAMS + 1);
    world.legal();
}

#[test]
fn whatever_operation_fails_all_streams_come_to_what_they_want() {
    for version in [4, 5] {
        whatever_operation_fails(version);
    }
}

fn whatever_operation_fails(version: u8) {
    let more = r#", "mqtt_topic": "x", "mqtt_subscribe": "x", "mqtt_qos": 1, "mqtt_birth_topic": "b""#;
    let types = stream_type("both", &format!(r#"{more}, "mqtt_version": {version}"#));
    let play = |fails: Option<u64>| {
        let mut world = World::new(&types);
        let begun = world.network.fallible_ops();
        if let Some(nth) = fails {
            world.network.fail_nth(begun + nth);
        }
        let logs: Vec<_> = (0..3)
            .map(|_| {
                let told = Log::default();
                let id = world.create("both", App::sending(&told, &[b"1", b"2"]));
                (id, told)
            })
            .collect();
        world.run(400);
        for (id, told) in logs {
            let told = told.borrow();
            assert_eq!(told.acks().iter().filter(|(is_good, _)| *is_good).count(), 2, "{fails:?}");
            assert_eq!(told.states.last(), Some(&(S::QosAckRemote, 1)), "{fails:?}");
            drop(told);
            world.context.with(|cx| cx.destroy(id)).unwrap();
        }
        world.run_secs(10);
        assert_eq!(world.context.census(), millstream::Census::default(), "{fails:?}");
        world.network.fallible_ops() - begun
    };
    let operations = play(None);
    assert!(operations > 6, "{operations}");
    for nth in 0..operations {
        play(Some(nth));
    }
}

#[test]
fn a_message_of_qos_2_that_comes_again_on_the_next_connection_is_heard_once() {
    let mut world = World::new(&stream_type("in", r#", "mqtt_subscribe": "x", "mqtt_qos": 2"#));
    let (_, told) = world.stream("in");
    world.run(10);
    world.broker.mute.insert(PUBREC);
    world.broker.send(&publish(4, "x", Some(9), b"once"));
    world.run(3);
    assert_eq!(told.borrow().messages.len(), 1);
    world.broker.after_connack = [publish(4 | 8, "x", Some(9), b"once"), vec![0x62, 2, 0, 9]].concat();
    world.broker.break_all();
    world.run(300);
    assert_eq!((world.broker.connections, told.borrow().messages.len()), (2, 1));
    assert!(world.broker.packets.iter().any(|packet| packet.first == 0x70 && packet.body == [0, 9]));
    // The id is free again.
    world.broker.send(&publish(4, "x", Some(9), b"another"));
    world.run(3);
    assert_eq!(told.borrow().messages.len(), 2);
}
