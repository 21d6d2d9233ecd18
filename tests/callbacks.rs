//! The order contract of `manual::callbacks`, a test per line.
#![cfg(feature = "h1")]

use millstream::sim::Network;
use millstream::{
    Cause, Census, ClientInfo, ClientRole, Context, Cx, Error, Flow, Protocol, RxFlags, StreamHandler,
    StreamId, StreamState, Target, Tx, TxFlow, Us, WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{
  "release": "1", "product": "callbacks", "schema-version": 1,
  "retry": [ { "slow": { "backoff": [60000], "conceal": 9, "jitterpc": 0 } } ],
  "s": [
    { "server": { "server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h1",
                  "metadata": [ { "path": "" } ] } },
    { "get": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/",
               "opportunistic": true, "metadata": [ { "word": "x-word:" } ] } },
    { "post": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "POST", "http_url": "/",
                "opportunistic": true, "metadata": [ { "word": "x-word:" } ] } },
    { "nowhere": { "endpoint": "10.0.0.1", "port": 9, "protocol": "h1", "http_method": "GET", "http_url": "/",
                   "retry": "slow", "metadata": [ { "word": "x-word:" } ] } } ] }"#;

type Log = Rc<RefCell<Vec<String>>>;
type Body = Box<dyn FnMut(&mut Cx<'_>, StreamId, &str) -> Flow>;

/// Writes down what it hears, then does as it is told.
struct Scribe {
    name: &'static str,
    log: Log,
    body: Body,
}

impl Scribe {
    fn hear(&mut self, cx: &mut Cx<'_>, me: StreamId, what: &str) -> Flow {
        self.log.borrow_mut().push(format!("{} {what}", self.name));
        (self.body)(cx, me, what)
    }
}

impl StreamHandler for Scribe {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], flags: RxFlags) -> Flow {
        self.hear(cx, me, &format!("rx {flags:?}"))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let flow = self.hear(cx, me, "tx");
        tx.write(b"payload");
        tx.end_message();
        match flow {
            Flow::Ok => TxFlow::Send,
            Flow::DisconnectMe => TxFlow::DisconnectMe,
            Flow::DestroyMe => TxFlow::DestroyMe,
        }
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.hear(cx, me, &state.to_string())
    }

    fn accept(&mut self, cx: &mut Cx<'_>, me: StreamId) -> Option<Box<dyn StreamHandler>> {
        let _ = self.hear(cx, me, "accept");
        let log = Rc::clone(&self.log);
        Some(Box::new(Self { name: "accepted", log, body: Box::new(answer) }))
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.log.borrow_mut().push(format!("{} dropped", self.name));
    }
}

/// What an accepted stream does: 200 and a payload.
fn answer(cx: &mut Cx<'_>, me: StreamId, what: &str) -> Flow {
    if what == "SERVER_TXN" {
        cx.server_ack(me, 0).unwrap();
        cx.request_tx(me).unwrap();
    }
    Flow::Ok
}

fn quiet(_: &mut Cx<'_>, _: StreamId, _: &str) -> Flow {
    Flow::Ok
}

struct World {
    network: Network,
    context: Context,
    log: Log,
}

impl World {
    fn new() -> Self {
        let network = Network::new(3);
        let host = network.host("10.0.0.1");
        let context = Context::builder().policy(POLICY).unwrap().sim(host).build().unwrap();
        Self { network, context, log: Log::default() }
    }

    fn scribe(
        &self,
        name: &'static str,
        body: impl FnMut(&mut Cx<'_>, StreamId, &str) -> Flow + 'static,
    ) -> Scribe {
        Scribe { name, log: Rc::clone(&self.log), body: Box::new(body) }
    }

    fn create(
        &mut self,
        streamtype: &str,
        name: &'static str,
        body: impl FnMut(&mut Cx<'_>, StreamId, &str) -> Flow + 'static,
    ) -> StreamId {
        let scribe = self.scribe(name, body);
        self.context.with(|cx| cx.create(streamtype, scribe).unwrap())
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.context], until).unwrap();
    }

    /// What was heard since the last time.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.borrow_mut())
    }
}

/// 1. No handler is entered while any handler runs. (That a handler is lent the library without its like is checked by
///    the compiler: `Cx` holds no handler. What is left to see is that whatever is asked for comes after the return.)
#[test]
fn no_handler_is_entered_while_any_handler_runs() {
    let mut world = World::new();
    world.create("server", "server", quiet);
    let other = world.create("get", "other", quiet);
    world.heard();
    let log = Rc::clone(&world.log);
    let another = world.scribe("another", quiet);
    let mut another = Some(another);
    world.create("get", "main", move |cx, me, what| {
        if what == "CREATING" {
            cx.client_connect(me).unwrap();
            cx.destroy(other).unwrap();
            cx.create("get", another.take().unwrap()).unwrap();
            log.borrow_mut().push("main returns".into());
        }
        Flow::Ok
    });
    let expected = [
        "main CREATING",
        "main returns",
        "main CONNECTING",
        "other DESTROYING",
        "other dropped",
        "another CREATING",
    ];
    // CONNECTING is told by the effect of `client_connect`, which queues it behind what was asked in the same callback.
    let mut heard = world.heard();
    assert_eq!(heard.drain(..2).collect::<Vec<_>>(), expected[..2]);
    heard.sort();
    let mut rest = expected[2..].to_vec();
    rest.sort_unstable();
    assert_eq!(heard, rest);
}

/// 2. Data requests act at once and can be read back.
#[test]
fn data_is_there_at_once() {
    let mut world = World::new();
    world.create("get", "s", |cx, me, what| {
        if what == "CREATING" {
            cx.set_metadata(me, "word", "here").unwrap();
            assert_eq!(cx.metadata(me, "word"), Some(&b"here"[..]));
            let sul = cx.sul_schedule(Duration::from_secs(1), |_| unreachable!("it was cancelled"));
            cx.sul_cancel(sul).unwrap();
            assert!(matches!(cx.sul_cancel(sul), Err(Error::Stale)));
        }
        Flow::Ok
    });
    world.run(2000);
    assert_eq!(world.heard(), ["s CREATING"]);
}

/// 2. What ends in user code is first asked, first done; a returned `DestroyMe` counts as asked last.
#[test]
fn what_ends_in_user_code_comes_in_the_order_in_which_it_was_asked_for() {
    let mut world = World::new();
    let a = world.create("get", "a", quiet);
    let b = world.create("get", "b", quiet);
    let c = world.create("get", "c", quiet);
    world.heard();
    world.create("get", "main", move |cx, _, what| {
        if what == "CREATING" {
            for id in [c, a, b] {
                cx.destroy(id).unwrap();
            }
            return Flow::DestroyMe;
        }
        Flow::Ok
    });
    let goodbyes = ["c", "a", "b", "main"].map(|n| [format!("{n} DESTROYING"), format!("{n} dropped")]);
    let mut expected = vec!["main CREATING".to_owned()];
    expected.extend(goodbyes.into_iter().flatten());
    assert_eq!(world.heard(), expected);
}

/// 2. `change_handlers`: the last one given hears what comes next, the others are dropped unheard.
#[test]
fn of_two_new_handlers_the_last_given_stays() {
    let mut world = World::new();
    let (first, second) = (world.scribe("first", quiet), world.scribe("second", quiet));
    let mut handlers = Some((first, second));
    let id = world.create("get", "old", move |cx, me, _| {
        if let Some((first, second)) = handlers.take() {
            cx.change_handlers(me, first).unwrap();
            cx.change_handlers(me, second).unwrap();
        }
        Flow::Ok
    });
    world.context.with(|cx| cx.destroy(id).unwrap());
    assert_eq!(
        world.heard(),
        ["old CREATING", "old dropped", "first dropped", "second DESTROYING", "second dropped"]
    );
}

/// 3. `destroy` makes the id stale at once for every request.
#[test]
fn a_destroyed_id_is_stale_at_once() {
    let mut world = World::new();
    world.create("get", "s", |cx, me, what| {
        if what == "CREATING" {
            cx.destroy(me).unwrap();
            assert!(matches!(cx.destroy(me), Err(Error::Stale)));
            assert!(matches!(cx.client_connect(me), Err(Error::Stale)));
            assert!(matches!(cx.request_tx(me), Err(Error::Stale)));
            assert!(matches!(cx.request_tx_len(me, 1), Err(Error::Stale)));
            assert!(matches!(cx.set_metadata(me, "word", "x"), Err(Error::Stale)));
            assert!(matches!(cx.start_timeout(me, Some(Duration::ZERO)), Err(Error::Stale)));
            assert!(matches!(cx.cancel_timeout(me), Err(Error::Stale)));
            assert!(matches!(cx.rx_flow(me, true), Err(Error::Stale)));
            assert!(matches!(cx.server_ack(me, 0), Err(Error::Stale)));
            assert!(matches!(cx.server_foreach_client(me, |_, _| {}), Err(Error::Stale)));
            assert_eq!((cx.metadata(me, "word"), cx.streamtype(me), cx.state(me)), (None, None, None));
        }
        Flow::Ok
    });
    assert_eq!(world.heard(), ["s CREATING", "s DESTROYING", "s dropped"]);
    assert_eq!(world.context.census(), Census::default());
}

/// 3. Then DISCONNECTED if it had CONNECTED, DESTROYING, its timers, its connection, its handler.
#[test]
fn a_connected_stream_that_is_destroyed_hears_disconnected_then_destroying() {
    let mut world = World::new();
    let server = world.create("server", "server", quiet);
    world.create("post", "post", |cx, me, what| {
        match what {
            "CREATING" => cx.client_connect(me).unwrap(),
            "CONNECTED" => {
                cx.start_timeout(me, Some(Duration::from_millis(1))).unwrap();
                cx.destroy(me).unwrap();
            }
            _ => {}
        }
        Flow::Ok
    });
    world.run(1000);
    let heard: Vec<_> = world.heard().into_iter().filter(|line| line.starts_with("post")).collect();
    assert_eq!(
        heard,
        [
            "post CREATING",
            "post CONNECTING",
            "post CONNECTED",
            "post DISCONNECTED",
            "post DESTROYING",
            "post dropped"
        ]
    );
    world.context.with(|cx| cx.destroy(server).unwrap());
    world.run(100_000);
    assert_eq!(world.context.census(), Census::default());
}

/// 3. A server takes what it has accepted with it, before it goes itself.
#[test]
fn a_server_goes_after_the_streams_that_it_accepted() {
    let mut world = World::new();
    let server = world.create("server", "server", quiet);
    // The connection is kept for the client's next request.
    world.create("get", "get", |cx, me, what| {
        if what == "CREATING" {
            cx.client_connect(me).unwrap();
        }
        Flow::Ok
    });
    world.run(10);
    world.heard();
    world.context.with(|cx| cx.destroy(server).unwrap());
    assert_eq!(
        world.heard(),
        [
            "accepted DISCONNECTED",
            "accepted DESTROYING",
            "accepted dropped",
            "server DESTROYING",
            "server dropped"
        ]
    );
}

/// 4. The queue is empty before the next timer.
#[test]
fn what_a_timer_leads_to_comes_before_the_next_timer() {
    let mut world = World::new();
    let [a, b] = [("get", "a"), ("get", "b")].map(|(kind, name)| world.create(kind, name, quiet));
    world.heard();
    let log = Rc::clone(&world.log);
    world.context.with(|cx| {
        for (name, id) in [("first", a), ("second", b)] {
            let log = Rc::clone(&log);
            cx.sul_schedule(Duration::from_millis(1), move |cx| {
                log.borrow_mut().push(name.into());
                cx.destroy(id).unwrap();
            });
        }
    });
    world.run(2);
    assert_eq!(world.heard(), ["first", "a DESTROYING", "a dropped", "second", "b DESTROYING", "b dropped"]);
}

/// 4. A handler that asks for more without end is stopped at the turn's limit, and the loop goes on without waiting.
#[test]
fn a_runaway_handler_is_stopped_at_the_limit_of_the_turn_and_the_wait_is_zero() {
    fn again(log: &Log, cx: &mut Cx<'_>, name: &'static str) {
        let scribe = Scribe {
            name,
            log: Rc::clone(log),
            body: Box::new({
                let log = Rc::clone(log);
                move |cx, _, what| match what {
                    "CREATING" if log.borrow().len() < 40_000 => {
                        again(&log, cx, name);
                        Flow::DestroyMe
                    }
                    _ => Flow::Ok,
                }
            }),
        };
        cx.create("get", scribe).unwrap();
    }
    let mut world = World::new();
    let log = Rc::clone(&world.log);
    world.context.with(|cx| again(&log, cx, "hydra"));
    let created = world.log.borrow().iter().filter(|line| line.ends_with("CREATING")).count();
    // 10,000 effects: CREATING and the goodbye of each, the last goodbyes not yet said.
    assert!((5_000..=5_002).contains(&created), "{created}");
    let due = world.context.next_deadline();
    assert_eq!(due, Some(world.network.now()), "it wants to be served at once");
    let heard = world.log.borrow().len();
    // A turn that may wait for an hour does not.
    world.context.service(Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(world.network.now(), Us::from_us(0));
    assert!(world.log.borrow().len() > heard, "it goes on in the next turn");
}

/// Serves until a timer that is due has run, and says how many turns that took and what was heard meanwhile.
fn turns_until_a_due_timer_has_run(world: &mut World) -> (usize, usize) {
    let is_done = Rc::new(RefCell::new(false));
    let done = Rc::clone(&is_done);
    world.context.with(|cx| {
        cx.sul_schedule(Duration::ZERO, move |_| *done.borrow_mut() = true);
    });
    for turn in 1..10 {
        world.context.service(Some(Duration::ZERO)).unwrap();
        if *is_done.borrow() {
            return (turn, world.log.borrow().len());
        }
    }
    panic!("nobody else is served, {} lines", world.log.borrow().len());
}

/// 4. However it goes on, by whatever it makes anew when the last has ended.
#[test]
fn a_handler_that_makes_another_of_each_that_ends_does_not_keep_the_loop_to_itself() {
    fn heir(log: &Log, cx: &mut Cx<'_>, how: &'static str) {
        let body = Box::new({
            let log = Rc::clone(log);
            move |cx: &mut Cx<'_>, me: StreamId, what: &str| {
                match (how, what) {
                    ("abdicates", "CREATING") => {
                        heir(&log, cx, how);
                        let _ = cx.destroy(me);
                    }
                    ("dies", "DESTROYING") | ("connects", "CONNECTING") => heir(&log, cx, how),
                    // Stale when the context ends.
                    ("connects", "CREATING") => drop(cx.client_connect(me)),
                    _ => return Flow::Ok,
                }
                Flow::Ok
            }
        });
        let id = cx.create("nowhere", Scribe { name: "heir", log: Rc::clone(log), body }).unwrap();
        if how == "dies" {
            cx.destroy(id).unwrap();
        }
    }
    for how in ["abdicates", "dies", "connects"] {
        let mut world = World::new();
        let log = Rc::clone(&world.log);
        world.context.with(|cx| heir(&log, cx, how));
        for _ in 0..3 {
            let before = world.log.borrow().len();
            let (turns, heard) = turns_until_a_due_timer_has_run(&mut world);
            assert!(turns <= 3, "{how}: {turns} turns");
            assert!(heard > before + 5000, "{how}: it goes on all the same");
        }
        assert_eq!(world.context.census().illegal_states, 0);
    }
}

/// 4. Those that have to wait hear of themselves first, and then of what they were asked for.
#[test]
fn a_stream_that_has_to_wait_for_the_next_turn_hears_nothing_before_its_creation() {
    let mut world = World::new();
    let [late, gone, asked] = ["late", "gone", "asked"].map(|name| world.scribe(name, quiet));
    let (server, log) = (world.scribe("server", quiet), Rc::clone(&world.log));
    world.context.with(|cx| {
        for _ in 0..5000 {
            cx.create("nowhere", Scribe { name: "crowd", log: Log::default(), body: Box::new(quiet) })
                .unwrap();
        }
        let late = cx.create("get", late).unwrap();
        cx.start_timeout(late, Some(Duration::ZERO)).unwrap();
        cx.client_connect(late).unwrap();
        let asked = cx.create("post", asked).unwrap();
        cx.request_tx(asked).unwrap();
        let gone = cx.create("get", gone).unwrap();
        cx.destroy(gone).unwrap();
        // It listens from now on.
        cx.create("server", server).unwrap();
    });
    assert_eq!(*log.borrow(), [""; 0], "it waits until all others have been served");
    world.run(100);
    let heard = world.heard();
    let of = |name: &str| {
        let prefix = format!("{name} ");
        heard.iter().filter_map(|line| line.strip_prefix(&prefix)).take(3).collect::<Vec<_>>()
    };
    assert_eq!(of("late")[..2], ["CREATING", "CONNECTING"]);
    assert!(heard.contains(&"late TIMEOUT".into()));
    assert_eq!(of("asked"), ["CREATING", "POLL", "CONNECTING"]);
    assert_eq!(of("gone"), ["CREATING", "DESTROYING", "dropped"]);
    assert_eq!(of("server")[..2], ["CREATING", "accept"]);
    assert_eq!(world.context.census().illegal_states, 0);
}

/// 4. The same without a stream: who connects again each time, and fails in no time.
#[test]
fn a_protocol_that_connects_again_in_closed_does_not_keep_the_loop_to_itself() {
    struct Stubborn(Log, ClientInfo);

    impl Protocol for Stubborn {
        fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, _: Option<&Cause>) {
            self.0.borrow_mut().push("closed".into());
            let id = cx.connect(&self.1, Self(Rc::clone(&self.0), self.1.clone()));
            cx.wsi_close(id).unwrap();
        }

        fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
            Flow::Ok
        }

        fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
            TxFlow::DontSend
        }
    }

    let mut world = World::new();
    let info = ClientInfo::new(Target::Host("10.0.0.9".into(), 9), ClientRole::Raw);
    let stubborn = Stubborn(Rc::clone(&world.log), info.clone());
    world.context.with(|cx| {
        let id = cx.connect(&info, stubborn);
        cx.wsi_close(id).unwrap();
    });
    let (turns, heard) = turns_until_a_due_timer_has_run(&mut world);
    assert!(turns <= 3 && heard > 1000, "{turns} turns, {heard} ends");
}

/// 5. Timers that are due run by time, and those of one time in the order in which they were scheduled.
#[test]
fn due_timers_run_by_time_and_then_in_the_order_of_scheduling() {
    let mut world = World::new();
    let log = Rc::clone(&world.log);
    world.context.with(|cx| {
        for (name, millis) in [("c", 5), ("a", 1), ("d", 5), ("b", 3), ("e", 5)] {
            let log = Rc::clone(&log);
            cx.sul_schedule(Duration::from_millis(millis), move |_| log.borrow_mut().push(name.into()));
        }
    });
    world.network.advance_to(Us::from_us(10_000));
    world.context.service(Some(Duration::ZERO)).unwrap();
    assert_eq!(world.heard(), ["a", "b", "c", "d", "e"]);
}

/// 5. A timer that sets itself again for now has the next turn, so that it does not hold the loop.
#[test]
fn a_timer_that_sets_itself_again_runs_once_in_a_turn() {
    fn again(log: &Log, cx: &mut Cx<'_>) {
        let log = Rc::clone(log);
        cx.sul_schedule(Duration::ZERO, move |cx| {
            log.borrow_mut().push("tick".into());
            again(&log, cx);
        });
    }
    let mut world = World::new();
    let log = Rc::clone(&world.log);
    world.context.with(|cx| again(&log, cx));
    for _ in 0..3 {
        world.context.service(Some(Duration::ZERO)).unwrap();
        assert_eq!(world.heard(), ["tick"]);
    }
}

/// 5. On a connection that is both, writeable comes before readable.
#[test]
fn writeable_comes_before_readable() {
    use millstream::{Address, ClientInfo, ClientRole, Protocol, Target, WsiId};
    struct Both(Log);
    impl Protocol for Both {
        fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
            self.0.borrow_mut().push("readable".into());
            Flow::Ok
        }
        fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
            self.0.borrow_mut().push("writeable".into());
            tx.write(b"x");
            TxFlow::Send
        }
    }
    let mut world = World::new();
    let far = world.network.host("10.0.0.2");
    let listener = world.network.listen(&far, 7).unwrap();
    let log = Rc::clone(&world.log);
    let wsi = world.context.with(|cx| {
        let address = Address::Ip("10.0.0.2:7".parse().unwrap());
        cx.connect(&ClientInfo::new(Target::Address(address), ClientRole::Raw), Both(log))
    });
    world.run(10);
    let mut peer = listener.accept().unwrap();
    peer.write(b"hello").unwrap();
    let later = world.network.now().saturating_add(Duration::from_millis(5));
    world.network.advance_to(later);
    world.context.with(|cx| cx.wsi_request_tx(wsi).unwrap());
    world.run(10);
    assert_eq!(world.heard(), ["writeable", "readable"]);
}

/// 6. One request per visit from outside gives the order of lws: its callbacks come before the visit returns.
#[test]
fn asked_from_outside_one_by_one_the_callbacks_come_before_the_next_request() {
    let mut world = World::new();
    let id = world.create("nowhere", "s", quiet);
    assert_eq!(world.heard(), ["s CREATING"]);
    world.context.with(|cx| cx.request_tx(id).unwrap());
    assert_eq!(world.heard(), ["s POLL", "s CONNECTING"]);
    world.run(10);
    assert_eq!(world.heard(), ["s UNREACHABLE"]);
    world.context.with(|cx| cx.destroy(id).unwrap());
    assert_eq!(world.heard(), ["s DESTROYING", "s dropped"]);
    // Several in one visit run their callbacks after it.
    let (a, b) = (world.scribe("a", quiet), world.scribe("b", quiet));
    let log = Rc::clone(&world.log);
    world.context.with(|cx| {
        cx.create("get", a).unwrap();
        cx.create("get", b).unwrap();
        log.borrow_mut().push("asked".into());
    });
    assert_eq!(world.heard(), ["asked", "a CREATING", "b CREATING"]);
}

/// A stream that was asked once to get something gets it once.
#[test]
fn a_get_that_was_asked_for_by_request_tx_is_made_once() {
    let mut world = World::new();
    world.create("server", "server", quiet);
    let id = world.create("get", "get", quiet);
    world.context.with(|cx| cx.request_tx(id).unwrap());
    world.run(100);
    let heard = world.heard();
    let attempts = heard.iter().filter(|line| *line == "get CONNECTING").count();
    assert_eq!(attempts, 1, "{heard:#?}");
}
