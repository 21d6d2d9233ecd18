//! Streams that end at another stream of the same context: `local_sink`.

use millstream::sim::Network;
use millstream::{
    Cause, Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"twice": {"backoff": [100], "conceal": 2, "jitterpc": 0}}],
    "s": [
        {"log": {"local_sink": true, "opportunistic": true, "retry": "twice"}},
        {"held": {"local_sink": true, "nailed_up": true, "retry": "twice"}},
        {"plain": {"endpoint": "10.0.0.1", "port": 1, "protocol": "raw"}}
    ]}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Sink,
    Source,
    Accepted,
}

#[derive(Clone, Debug, PartialEq)]
enum Heard {
    State(Who, StreamState),
    Rx(Who, Vec<u8>, RxFlags),
}

#[derive(Default)]
struct World {
    heard: Vec<(u64, Heard)>,
    ids: Vec<(Who, StreamId)>,
    cause: Option<String>,
}

type Shared = Rc<RefCell<World>>;

/// Sends its messages when it may, each in pieces of three bytes; gives back what it hears, in capitals, if it echoes.
struct Actor {
    who: Who,
    world: Shared,
    messages: Vec<Vec<u8>>,
    echoes: bool,
    turns_away: bool,
    parts_at_once: bool,
    /// Stops listening after each piece, for this long.
    pause: Option<Duration>,
}

impl Actor {
    fn new(who: Who, world: &Shared) -> Self {
        let world = Rc::clone(world);
        Self {
            who,
            world,
            messages: Vec::new(),
            echoes: false,
            turns_away: false,
            parts_at_once: false,
            pause: None,
        }
    }
}

impl StreamHandler for Actor {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let at = cx.now().as_us() / 1000;
        self.world.borrow_mut().heard.push((at, Heard::Rx(self.who, payload.to_vec(), flags)));
        if self.echoes && !payload.is_empty() {
            self.messages.push(payload.to_ascii_uppercase());
            cx.request_tx(me).unwrap();
        }
        if let Some(pause) = self.pause {
            cx.rx_flow(me, false).unwrap();
            cx.sul_schedule(pause, move |cx| drop(cx.rx_flow(me, true)));
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(message) = self.messages.first_mut() else { return TxFlow::DontSend };
        let piece = message.len().min(3);
        let sent = tx.write(&message[..piece]);
        message.drain(..sent);
        if message.is_empty() {
            self.messages.remove(0);
            tx.end_message();
        }
        if !self.messages.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut world = self.world.borrow_mut();
        world.heard.push((cx.now().as_us() / 1000, Heard::State(self.who, state)));
        match state {
            StreamState::Creating => world.ids.push((self.who, me)),
            StreamState::Connected if !self.messages.is_empty() => cx.request_tx(me).unwrap(),
            _ => {}
        }
        if let Some(cause) = cx.cause(me) {
            world.cause = Some(Cause::to_string(cause));
        }
        let parts = self.who == Who::Accepted && self.parts_at_once && state == StreamState::Connected;
        if parts { Flow::DisconnectMe } else { Flow::Ok }
    }

    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        if self.turns_away {
            return None;
        }
        let mut accepted = Self::new(Who::Accepted, &self.world);
        (accepted.echoes, accepted.pause) = (self.echoes, self.pause);
        accepted.parts_at_once = self.parts_at_once;
        Some(Box::new(accepted))
    }
}

struct Stage {
    network: Network,
    context: Context,
    world: Shared,
}

impl Stage {
    fn new() -> Self {
        let network = Network::new(1);
        let context =
            Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
        Self { network, context, world: Shared::default() }
    }

    fn sink(&mut self, streamtype: &str, change: impl FnOnce(&mut Actor)) -> StreamId {
        let mut sink = Actor::new(Who::Sink, &self.world);
        change(&mut sink);
        self.context.with(|cx| cx.register_sink(streamtype, sink)).unwrap()
    }

    fn source(&mut self, streamtype: &str, messages: &[&str]) -> StreamId {
        let mut source = Actor::new(Who::Source, &self.world);
        source.messages = messages.iter().map(|message| message.as_bytes().to_vec()).collect();
        self.context.with(|cx| cx.create(streamtype, source)).unwrap()
    }

    fn run(&mut self, millis: u64) {
        self.network.run(&mut [&mut self.context], Us::from_us(millis * 1000)).unwrap();
    }

    fn states(&self, who: Who) -> Vec<StreamState> {
        let world = self.world.borrow();
        let states = world.heard.iter().filter_map(|(_, heard)| match heard {
            Heard::State(whose, state) if *whose == who => Some(*state),
            _ => None,
        });
        states.collect()
    }

    /// Each message that came, its pieces between bars; a message that has not ended has no full stop.
    fn received(&self, who: Who) -> String {
        let mut text = String::new();
        for (_, heard) in &self.world.borrow().heard {
            if let Heard::Rx(whose, payload, flags) = heard
                && *whose == who
            {
                text += if flags.is_som() { "" } else { "|" };
                text += std::str::from_utf8(payload).unwrap();
                text += if flags.is_eom() { "." } else { "" };
            }
        }
        text
    }

    fn times(&self, what: &Heard) -> Vec<u64> {
        self.world.borrow().heard.iter().filter(|(_, heard)| heard == what).map(|(at, _)| *at).collect()
    }

    fn id(&self, who: Who) -> StreamId {
        self.world.borrow().ids.iter().rev().find(|(whose, _)| *whose == who).unwrap().1
    }
}

use StreamState as S;

#[test]
fn a_source_joins_its_sink_and_messages_go_both_ways() {
    let mut stage = Stage::new();
    stage.sink("log", |sink| sink.echoes = true);
    stage.source("log", &["hello", "you"]);
    stage.run(10);
    assert_eq!(stage.states(Who::Sink), [S::Creating, S::SinkJoin]);
    assert_eq!(stage.states(Who::Source), [S::Creating, S::Connecting, S::Connected]);
    assert_eq!(stage.states(Who::Accepted), [S::Creating, S::Connecting, S::Connected]);
    assert_eq!(stage.received(Who::Accepted), "hel|lo.you.");
    assert_eq!(stage.received(Who::Source), "HEL.LO.YOU.");
    let mut stages = 0;
    let sink = stage.id(Who::Sink);
    stage.context.with(|cx| cx.server_foreach_client(sink, |_, _| stages += 1)).unwrap();
    assert_eq!(stages, 1);
}

#[test]
fn a_declared_length_ends_its_message() {
    let mut stage = Stage::new();
    stage.sink("log", |_| {});
    let source = stage.source("log", &["abcdefgh"]);
    stage.run(1);
    stage.context.with(|cx| cx.request_tx_len(source, 8)).unwrap();
    for _ in 0..3 {
        stage.context.with(|cx| cx.request_tx(source)).unwrap();
    }
    stage.run(10);
    assert_eq!(stage.received(Who::Accepted), "abc|def|gh.");
}

#[test]
fn the_end_of_either_is_told_to_the_other_and_to_the_sink() {
    for ends in [Who::Source, Who::Accepted, Who::Sink] {
        let mut stage = Stage::new();
        stage.sink("log", |_| {});
        stage.source("log", &[]);
        stage.run(10);
        let id = stage.id(ends);
        stage.context.with(|cx| cx.destroy(id)).unwrap();
        stage.run(20);
        let accepted = [S::Creating, S::Connecting, S::Connected, S::Disconnected, S::Destroying];
        assert_eq!(stage.states(Who::Accepted), accepted, "{ends:?}");
        let mut source = vec![S::Creating, S::Connecting, S::Connected, S::Disconnected];
        let mut sink = vec![S::Creating, S::SinkJoin];
        match ends {
            Who::Source => {
                source.push(S::Destroying);
                sink.push(S::SinkPart);
            }
            Who::Accepted => sink.push(S::SinkPart),
            // What is destroyed hears no more than that.
            Who::Sink => sink.push(S::Destroying),
        }
        assert_eq!(stage.states(Who::Sink), sink, "{ends:?}");
        assert_eq!(stage.states(Who::Source), source, "{ends:?}");
    }
}

#[test]
fn a_source_without_a_sink_tries_again_by_its_policy() {
    let mut stage = Stage::new();
    stage.source("held", &[]);
    stage.run(150);
    assert_eq!(
        stage.states(Who::Source),
        [S::Creating, S::Connecting, S::Unreachable, S::Poll, S::Connecting, S::Unreachable]
    );
    assert!(stage.world.borrow().cause.as_ref().is_some_and(|why| why.contains("no sink is registered")));
    stage.sink("held", |_| {});
    stage.run(250);
    assert_eq!(stage.states(Who::Source).last(), Some(&S::Connected));
}

#[test]
fn a_sink_may_turn_sources_away() {
    let mut stage = Stage::new();
    stage.sink("log", |sink| sink.turns_away = true);
    stage.source("log", &[]);
    stage.run(1000);
    assert_eq!(stage.states(Who::Sink), [S::Creating]);
    assert_eq!(stage.states(Who::Source).last(), Some(&S::AllRetriesFailed));
    assert!(stage.world.borrow().cause.as_ref().is_some_and(|why| why.contains("turns it away")));
}

#[test]
fn a_sink_that_parts_at_once_is_asked_again_by_the_policy_and_not_without_end() {
    let mut stage = Stage::new();
    stage.sink("log", |sink| sink.parts_at_once = true);
    stage.source("log", &["never said"]);
    stage.run(10_000);
    // One piece in each connection, as long as there is one.
    assert_eq!(stage.times(&Heard::State(Who::Sink, S::SinkJoin)), [0, 100, 200, 300, 400]);
}

#[test]
fn who_does_not_listen_is_not_sent_to() {
    let mut stage = Stage::new();
    stage.sink("log", |sink| sink.pause = Some(Duration::from_millis(100)));
    let source = stage.source("log", &["a", "b", "c"]);
    stage.run(1000);
    stage.context.with(|cx| cx.request_tx(source)).unwrap();
    stage.run(2000);
    let times: Vec<u64> = stage
        .world
        .borrow()
        .heard
        .iter()
        .filter_map(|(at, heard)| match heard {
            Heard::Rx(Who::Accepted, ..) => Some(*at),
            _ => None,
        })
        .collect();
    assert_eq!(times, [0, 100, 200]);
    assert_eq!(stage.received(Who::Accepted), "a.b.c.");
}

#[test]
fn a_type_has_one_sink_and_only_a_sink_s_type_has_any() {
    let mut stage = Stage::new();
    let first = stage.sink("log", |_| {});
    let world = Rc::clone(&stage.world);
    let refused = |stage: &mut Stage, streamtype: &str| {
        stage.context.with(|cx| cx.register_sink(streamtype, Actor::new(Who::Sink, &world))).err()
    };
    assert!(matches!(refused(&mut stage, "log"), Some(Error::WrongKind(_))));
    assert!(matches!(refused(&mut stage, "plain"), Some(Error::WrongKind(_))));
    assert!(matches!(refused(&mut stage, "logs"), Some(Error::UnknownStreamType { nearest: Some(_), .. })));
    assert!(matches!(stage.context.with(|cx| cx.request_tx(first)), Err(Error::WrongKind(_))));
    stage.context.with(|cx| cx.destroy(first)).unwrap();
    assert!(refused(&mut stage, "log").is_none(), "the next may come when the first is gone");
}

#[test]
fn many_sources_of_one_sink_are_told_apart_and_leave_nothing() {
    let mut stage = Stage::new();
    stage.sink("log", |sink| sink.echoes = true);
    for _ in 0..1000 {
        stage.source("log", &["me"]);
    }
    stage.run(10);
    assert_eq!(stage.received(Who::Accepted), "me.".repeat(1000));
    assert_eq!(stage.received(Who::Source), "ME.".repeat(1000));
    let sink = stage.id(Who::Sink);
    stage.context.with(|cx| cx.destroy(sink)).unwrap();
    stage.run(20);
    assert_eq!(stage.context.census().streams, 1000, "the sources live on");
    assert_eq!(stage.context.census().illegal_states, 0);
    stage.context.shutdown();
    assert_eq!(stage.context.census(), millstream::Census::default());
}

/// Sends for ever.
struct Endless(Rc<RefCell<usize>>);

impl StreamHandler for Endless {
    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        *self.0.borrow_mut() += 1;
        tx.write(b"more");
        tx.end_message();
        cx.request_tx(me).unwrap();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == S::Creating {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn a_source_that_sends_without_end_leaves_the_others_their_turns() {
    let mut stage = Stage::new();
    stage.sink("log", |_| {});
    let (sent, sent_before) = (Rc::new(RefCell::new(0)), Rc::new(RefCell::new(0)));
    let (counted, noted) = (Rc::clone(&sent), Rc::clone(&sent_before));
    stage.context.with(|cx| {
        cx.create("log", Endless(Rc::clone(&sent))).unwrap();
        cx.sul_schedule(Duration::ZERO, move |_| *noted.borrow_mut() = *counted.borrow());
    });
    for _ in 0..3 {
        assert_eq!(stage.context.next_deadline(), Some(Us::from_us(0)));
        stage.context.service(Some(Duration::ZERO)).unwrap();
    }
    let (sent, before) = (*sent.borrow(), *sent_before.borrow());
    assert!(0 < before && before < sent, "{before} pieces before the timer, {sent} in all");
}

/// Registers a sink when it is on its way to one.
struct Founder {
    founded: bool,
    world: Shared,
}

impl StreamHandler for Founder {
    fn state(&mut self, cx: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        let mut world = self.world.borrow_mut();
        world.heard.push((0, Heard::State(Who::Source, state)));
        if state == StreamState::Connecting && !std::mem::replace(&mut self.founded, true) {
            struct Sink(Shared);
            impl StreamHandler for Sink {
                fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
                    let heard = &self.0.borrow().heard;
                    let is_created = heard
                        .iter()
                        .any(|(_, heard)| *heard == Heard::State(Who::Sink, StreamState::Creating));
                    assert!(is_created, "nothing comes before CREATING");
                    Some(Box::new(Actor::new(Who::Accepted, &self.0)))
                }

                fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
                    self.0.borrow_mut().heard.push((0, Heard::State(Who::Sink, state)));
                    Flow::Ok
                }
            }
            cx.register_sink("log", Sink(Rc::clone(&self.world))).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn a_sink_that_was_registered_after_it_was_asked_for_hears_of_itself_first() {
    use StreamState as S;
    let mut stage = Stage::new();
    let founder = Founder { founded: false, world: Rc::clone(&stage.world) };
    stage.context.with(|cx| cx.create("log", founder)).unwrap();
    stage.run(10);
    assert_eq!(stage.states(Who::Sink), [S::Creating, S::SinkJoin]);
    assert_eq!(stage.states(Who::Source), [S::Creating, S::Connecting, S::Connected]);
    assert_eq!(stage.context.census().illegal_states, 0);
}
