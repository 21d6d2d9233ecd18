//! Streams over HTTP/2 whose server chooses HTTP/1.1 by ALPN.

#![cfg(all(feature = "h2", feature = "tls"))]

use base64::Engine;
use millstream::sim::Network;
use millstream::{
    Address, Cause, ClientInfo, ClientRole, Context, Cx, Flow, Protocol, RxFlags, StreamHandler, StreamId,
    StreamState, Target, Tx, TxFlow, Us, WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    payload: Vec<u8>,
    ends: usize,
    cause: Option<String>,
}

type Log = Rc<RefCell<Told>>;

struct Client {
    log: Log,
    says: Vec<u8>,
}

impl StreamHandler for Client {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        log.payload.extend_from_slice(payload);
        log.ends += usize::from(flags.is_eom());
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.says);
        self.says.drain(..sent);
        if self.says.is_empty() {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push(state);
        log.cause = cx.cause(me).map(Cause::to_string).or_else(|| log.cause.take());
        if state == StreamState::Connected && !self.says.is_empty() {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

/// Answers "hello", or what it was sent.
#[derive(Default)]
struct Server {
    answer: Vec<u8>,
}

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self::default()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.answer.extend_from_slice(payload);
        if flags.is_eom() {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.answer);
        self.answer.drain(..sent);
        if self.answer.is_empty() {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn && cx.metadata(me, "method") == Some(b"GET") {
            self.answer = b"hello".to_vec();
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

fn policy() -> String {
    let made = rcgen::generate_simple_self_signed(["10.0.0.1".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
    let server = r#""server": true, "port": 443, "tls": true, "server_cert": "cert", "server_key": "key",
        "ws_subprotocol": "echo", "metadata": [{"method": ""}]"#;
    let client = r#""endpoint": "10.0.0.1", "port": 443, "tls": true, "tls_trust_store": "ours",
        "opportunistic": true, "retry": "table""#;
    format!(
        r#"{{"retry": [{{"table": {{"backoff": [1000], "conceal": 3, "jitterpc": 0}}}}],
        "certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}], "trust_stores": [{{"name": "ours", "stack": ["cert"]}}],
        "s": [{{"old": {{{server}, "protocol": "h1"}}}}, {{"new": {{{server}, "protocol": "h2"}}}},
            {{"get": {{{client}, "protocol": "h2", "http_method": "GET", "http_url": "x"}}}},
            {{"post": {{{client}, "protocol": "h2", "http_method": "POST", "http_url": "x"}}}},
            {{"socket": {{{client}, "protocol": "ws", "ws_over_h2": true, "ws_subprotocol": "echo", "http_url": "x"}}}}]}}"#
    )
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    now: u64,
}

impl World {
    fn new() -> Self {
        let (network, policy) = (Network::new(1), policy());
        let context =
            |address| Context::builder().policy(&policy).unwrap().sim(network.host(address)).build().unwrap();
        let (server, client) = (context("10.0.0.1"), context("10.0.0.2"));
        Self { network, server, client, now: 0 }
    }

    fn serve(&mut self, streamtype: &str) -> StreamId {
        self.server.with(|cx| cx.create(streamtype, Server::default())).unwrap()
    }

    fn ask(&mut self, streamtype: &str, says: &[u8]) -> (StreamId, Log) {
        let log = Log::default();
        let client = Client { log: Rc::clone(&log), says: says.to_vec() };
        let id = self.client.with(|cx| {
            let id = cx.create(streamtype, client).unwrap();
            cx.client_connect(id).unwrap();
            id
        });
        (id, log)
    }

    fn run(&mut self, millis: u64) {
        self.now += millis * 1000;
        self.network.run(&mut [&mut self.server, &mut self.client], Us::from_us(self.now)).unwrap();
    }
}

const GOOD: [StreamState; 5] = [
    StreamState::Creating,
    StreamState::Connecting,
    StreamState::Connected,
    StreamState::QosAckRemote,
    StreamState::Disconnected,
];

#[test]
fn those_who_waited_for_the_connection_each_get_one() {
    let mut world = World::new();
    world.serve("old");
    let logs: Vec<_> = (0..5).map(|_| world.ask("get", b"").1).collect();
    let body = vec![b'x'; 100_000];
    let (_, post) = world.ask("post", &body);
    world.run(1000);
    for log in &logs {
        assert_eq!((&log.borrow().payload[..], log.borrow().ends), (&b"hello"[..], 1));
        assert_eq!(log.borrow().states, GOOD, "{:?}", log.borrow().cause);
    }
    assert!(post.borrow().payload == body && post.borrow().states == GOOD, "{:?}", post.borrow().cause);
    // The first of them has the connection that all have waited for.
    let counters = (world.client.counters().connected, world.server.counters().accepted);
    assert_eq!((counters, world.client.census().pooled), ((6, 6), 6));
}

#[test]
#[cfg(feature = "ws")]
fn websockets_that_waited_with_others_ask_over_http_1_1_wherever_they_stood_in_line() {
    for first in [true, false] {
        let mut world = World::new();
        world.serve("old");
        let before = first.then(|| world.ask("socket", b"one").1);
        let (_, get) = world.ask("get", b"");
        let (_, socket) = world.ask("socket", b"two");
        let (_, post) = world.ask("post", b"three");
        world.run(1000);
        for (log, said) in [(Some(socket), b"two"), (before, b"one")] {
            let Some(log) = log else { continue };
            let log = log.borrow();
            let states = [StreamState::Creating, StreamState::Connecting, StreamState::Connected];
            assert_eq!((&log.states[..], &log.payload[..]), (&states[..], &said[..]), "{:?}", log.cause);
        }
        assert_eq!((&get.borrow().states[..], &post.borrow().states[..]), (&GOOD[..], &GOOD[..]));
        assert_eq!((&get.borrow().payload[..], &post.borrow().payload[..]), (&b"hello"[..], &b"three"[..]));
        assert_eq!(world.client.counters().failed, 0);
    }
}

#[test]
#[cfg(feature = "ws")]
fn websockets_alone_that_waited_ask_over_http_1_1() {
    let mut world = World::new();
    world.serve("old");
    let logs: Vec<_> = (0..3).map(|_| world.ask("socket", b"hello").1).collect();
    world.run(1000);
    for log in &logs {
        assert_eq!((&log.borrow().payload[..], log.borrow().states.len()), (&b"hello"[..], 3));
    }
    // It is a connection to ask with, and one for each.
    assert_eq!(world.client.counters().connected, 4);
}

#[test]
fn a_kept_connection_is_used_again_and_then_the_server_is_asked_anew() {
    let mut world = World::new();
    let old = world.serve("old");
    for _ in 0..3 {
        let (_, log) = world.ask("get", b"");
        world.run(1000);
        assert_eq!(log.borrow().states, GOOD);
    }
    assert_eq!((world.client.counters().connected, world.client.counters().reused), (1, 2));
    world.server.with(|cx| cx.destroy(old)).unwrap();
    world.run(1000);
    world.serve("new");
    let logs: Vec<_> = (0..3).map(|_| world.ask("get", b"").1).collect();
    world.run(1000);
    assert!(logs.iter().all(|log| log.borrow().states == GOOD));
    assert_eq!(world.client.counters().connected, 2, "streams share again");
}

#[test]
fn a_stream_that_leaves_while_the_server_chooses_is_missed_by_nobody() {
    for steps in 0..20 {
        let mut world = World::new();
        world.serve("old");
        let before = world.client.census();
        let asked: Vec<_> = (0..3).map(|_| world.ask("get", b"")).collect();
        for _ in 0..steps {
            let next = world.network.next_event().unwrap_or_default();
            world.now = next.as_us().max(world.now);
            world.run(0);
        }
        world.client.with(|cx| cx.destroy(asked[0].0)).unwrap();
        world.run(2000);
        for (_, log) in &asked[1..] {
            assert_eq!(log.borrow().states, GOOD, "after {steps} steps: {:?}", log.borrow().cause);
        }
        world.client.with(|cx| asked[1..].iter().for_each(|(id, _)| cx.destroy(*id).unwrap()));
        world.run(120_000);
        assert_eq!(world.client.census(), before);
    }
}

#[test]
fn a_server_that_is_gone_after_its_choice_is_a_failure_like_any_other() {
    let mut world = World::new();
    let old = world.serve("old");
    let (id, log) = world.ask("get", b"");
    world.run(1000);
    world.server.with(|cx| cx.destroy(old)).unwrap();
    world.run(10_000);
    world.client.with(|cx| cx.client_connect(id)).unwrap();
    world.run(10_000);
    assert_eq!(log.borrow().states.last(), Some(&StreamState::AllRetriesFailed));
}

/// User code that has asked for HTTP/2 itself.
struct Newer(Rc<RefCell<Option<String>>>);

impl Protocol for Newer {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        *self.0.borrow_mut() = cause.map(Cause::to_string);
    }
}

#[test]
fn user_code_that_wants_http_2_gets_nothing_else() {
    let mut world = World::new();
    world.serve("old");
    let told = Rc::default();
    world.client.with(|cx| {
        let target = Target::Address(Address::Ip("10.0.0.1:443".parse().unwrap()));
        let mut info = ClientInfo::new(target, ClientRole::H2);
        info.tls = Some(cx.client_tls("10.0.0.1", Some("ours")).unwrap());
        cx.connect(&info, Newer(Rc::clone(&told)));
    });
    world.run(1000);
    assert!(told.borrow().as_ref().is_some_and(|cause| cause.contains("ALPN")), "{told:?}");
}
