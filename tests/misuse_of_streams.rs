//! Requests of a stream's user that make no sense for the stream that it has, as `misuse` has them for connections: each is
//! refused in its own words, in each state, and nothing has changed by it.

#![cfg(all(feature = "h1", feature = "h2", feature = "ws"))]

use millstream::sim::Network;
use millstream::{
    Census, Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"few": {"backoff": [1000], "conceal": 1, "jitterpc": 0}}], "s": [
    {"server": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "ws_subprotocol": "chat"}},
    {"get1": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "page",
        "opportunistic": true, "retry": "few"}},
    {"get2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "page",
        "opportunistic": true, "retry": "few"}},
    {"ws1": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_subprotocol": "chat", "http_url": "socket",
        "opportunistic": true, "retry": "few"}},
    {"ws2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_subprotocol": "chat", "http_url": "socket",
        "ws_over_h2": true, "opportunistic": true, "retry": "few"}}]}"#;

/// What a call came to.
fn word(result: &Result<(), Error>) -> &'static str {
    match result {
        Ok(()) => "ok",
        Err(Error::Stale) => "stale",
        Err(Error::WrongKind(_)) => "kind",
        Err(Error::NotConnected) => "down",
        Err(Error::Metadata(_)) => "metadata",
        Err(Error::Policy(_)) => "policy",
        Err(_) => "other",
    }
}

type Call = fn(&mut Cx<'_>, StreamId) -> Result<(), Error>;

const CALLS: [(&str, Call); 12] = [
    ("connect", |cx, id| cx.client_connect(id)),
    ("tx", |cx, id| cx.request_tx(id)),
    ("metadata", |cx, id| cx.set_metadata(id, "nothing of the kind", "")),
    ("timeout", |cx, id| cx.start_timeout(id, None)),
    ("no_timeout", |cx, id| cx.cancel_timeout(id)),
    ("ack", |cx, id| cx.server_ack(id, 0)),
    ("each", |cx, id| cx.server_foreach_client(id, |_, _| {})),
    ("rx_flow", |cx, id| cx.rx_flow(id, false).and_then(|()| cx.rx_flow(id, true))),
    ("valid", |cx, id| cx.validity_confirm(id)),
    ("grant", |cx, id| cx.add_peer_tx_credit(id, 10)),
    ("granted", |cx, id| cx.get_est_peer_tx_credit(id).map(drop)),
    ("shutdown", |cx, id| cx.server_shutdown(id)),
];

/// What a user is in when the call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    State(StreamState),
    Rx,
    Tx,
    /// Some time after its end.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Client,
    Server,
    Accepted,
}

#[derive(Clone, Copy)]
struct Plan {
    streamtype: &'static str,
    part: Part,
    at: At,
    call: Call,
}

struct Stage {
    plan: Plan,
    came_to: RefCell<Option<&'static str>>,
    /// What each has heard.
    heard: RefCell<Vec<(StreamId, At)>>,
}

struct User {
    part: Part,
    stage: Rc<Stage>,
}

impl User {
    fn at(&self, cx: &mut Cx<'_>, me: StreamId, at: At) {
        self.stage.heard.borrow_mut().push((me, at));
        let Plan { part, at: wanted, call, .. } = self.stage.plan;
        if (part, wanted) == (self.part, at) && self.stage.came_to.borrow().is_none() {
            *self.stage.came_to.borrow_mut() = Some(word(&call(cx, me)));
        }
        let stage = Rc::clone(&self.stage);
        if (part, wanted) == (self.part, At::Gone) && at == At::State(StreamState::Destroying) {
            let call = move |cx: &mut Cx<'_>| *stage.came_to.borrow_mut() = Some(word(&call(cx, me)));
            cx.sul_schedule(Duration::from_secs(1), call);
        }
    }
}

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { part: Part::Accepted, stage: Rc::clone(&self.stage) }))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], _: RxFlags) -> Flow {
        self.at(cx, me, At::Rx);
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.at(cx, me, At::Tx);
        tx.write(b"piece");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let is_ws = self.stage.plan.streamtype.starts_with("ws");
        match (self.part, state) {
            (Part::Client, StreamState::Creating) => cx.client_connect(me).unwrap(),
            (Part::Client, StreamState::Connected) if is_ws => cx.request_tx(me).unwrap(),
            (Part::Accepted, StreamState::ServerTxn) if !is_ws => {
                cx.server_ack(me, 0).unwrap();
                cx.request_tx(me).unwrap();
            }
            (Part::Accepted, StreamState::ServerUpgrade) => cx.request_tx(me).unwrap(),
            _ => {}
        }
        self.at(cx, me, At::State(state));
        Flow::Ok
    }
}

/// What the call comes to, if its moment does, and what was heard. Everything is over and gone behind it.
fn play(plan: Plan) -> (Option<&'static str>, Vec<(StreamId, At)>) {
    let network = Network::new(5);
    let mut context =
        Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    let stage = Rc::new(Stage { plan, came_to: RefCell::default(), heard: RefCell::default() });
    let run = |context: &mut Context, secs| {
        let until = network.now().saturating_add(Duration::from_secs(secs));
        network.run(&mut [context], until).unwrap();
    };
    let user = |part| User { part, stage: Rc::clone(&stage) };
    let (server, client) = context.with(|cx| {
        let server = cx.create("server", user(Part::Server)).unwrap();
        (server, cx.create(plan.streamtype, user(Part::Client)).unwrap())
    });
    run(&mut context, 5);
    for id in [client, server] {
        context.with(|cx| drop(cx.destroy(id)));
        run(&mut context, 5);
    }
    run(&mut context, 400);
    assert_eq!(context.census(), Census::default());
    let came_to = stage.came_to.borrow_mut().take();
    (came_to, stage.heard.take())
}

/// Each call in this state, which has to come. One that is refused leaves everything as it was.
fn check(streamtype: &'static str, part: Part, expected: &[(At, &str)]) {
    let (_, undisturbed) = play(Plan { streamtype, part, at: At::Gone, call: |_, _| Ok(()) });
    for (at, expected) in expected {
        let words = CALLS.map(|(name, call)| {
            let (came_to, heard) = play(Plan { streamtype, part, at: *at, call });
            let came_to = came_to.unwrap_or_else(|| panic!("{streamtype}, {part:?}: {at:?} never came"));
            assert!(
                came_to == "ok" || heard == undisturbed,
                "{streamtype}, {at:?}: {name} changes something"
            );
            came_to
        });
        assert_eq!(words.join(" "), *expected, "{streamtype}, {part:?}, {at:?}");
    }
}

const CREATING: At = At::State(StreamState::Creating);
const CONNECTING: At = At::State(StreamState::Connecting);
const CONNECTED: At = At::State(StreamState::Connected);
const DISCONNECTED: At = At::State(StreamState::Disconnected);
const DESTROYING: At = At::State(StreamState::Destroying);

const STALE: &str = "stale stale stale stale stale stale stale stale stale stale stale stale";

// The columns: connect, tx, metadata, timeout, no_timeout, ack, each, rx_flow, valid, grant, granted, shutdown.

#[test]
fn a_client_is_no_server_and_has_no_flow_without_a_connection() {
    let idle = "ok ok metadata policy ok kind kind down down down down kind";
    // A stream of HTTP/2 that has no request under way has no window.
    let unasked = "ok ok metadata policy ok kind kind ok ok down down kind";
    let connected = "ok ok metadata policy ok kind kind ok ok ok ok kind";
    for (streamtype, connecting) in
        [("get1", connected), ("ws1", connected), ("get2", unasked), ("ws2", unasked)]
    {
        check(streamtype, Part::Client, &[(CREATING, idle), (CONNECTING, connecting)]);
        check(streamtype, Part::Client, &[(CONNECTED, connected), (At::Rx, connected)]);
        check(streamtype, Part::Client, &[(DESTROYING, STALE), (At::Gone, STALE)]);
    }
    let is_over = At::State(StreamState::QosAckRemote);
    for streamtype in ["get1", "get2"] {
        check(streamtype, Part::Client, &[(is_over, idle), (DISCONNECTED, idle)]);
    }
    for streamtype in ["ws1", "ws2"] {
        check(streamtype, Part::Client, &[(At::Tx, connected)]);
    }
}

#[test]
fn a_server_that_listens_neither_connects_nor_sends() {
    let listens = "kind kind metadata policy ok kind ok down down down down ok";
    check("get2", Part::Server, &[(CREATING, listens), (DESTROYING, STALE), (At::Gone, STALE)]);
}

#[test]
fn what_a_server_has_accepted_answers_when_it_is_asked_and_never_connects() {
    let connected = "kind ok metadata policy ok kind kind ok ok ok ok kind";
    let to_answer = "kind ok metadata policy ok ok kind ok ok ok ok kind";
    for (streamtype, asked, to_answer) in [
        ("get1", StreamState::ServerTxn, to_answer),
        ("get2", StreamState::ServerTxn, to_answer),
        ("ws1", StreamState::ServerUpgrade, connected),
        ("ws2", StreamState::ServerUpgrade, connected),
    ] {
        check(streamtype, Part::Accepted, &[(CREATING, connected), (CONNECTING, connected)]);
        check(streamtype, Part::Accepted, &[(CONNECTED, connected), (At::State(asked), to_answer)]);
        check(streamtype, Part::Accepted, &[(At::Tx, to_answer), (DESTROYING, STALE), (At::Gone, STALE)]);
    }
}
