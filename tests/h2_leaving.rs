//! Servers that leave an HTTP/2 connection, reset its streams, or stop reading: no request is lost, and none is served
//! twice.

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Code, Engine, Limits};
use h2_peer::Peer;
use millstream::sim::{Network, RawListener};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;

const POLICY: &str = r#"{"retry": [{"table": {"backoff": [1000], "conceal": 3, "jitterpc": 0}}],
    "s": [{"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "${path}",
        "opportunistic": true, "retry": "table", "metadata": [{"path": ""}]}},
    {"post": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "x",
        "opportunistic": true, "retry": "table"}},
    {"generous": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true, "retry": "table", "h2q_oflow_txcr": true}}]}"#;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    payload: Vec<u8>,
    cause: Option<String>,
    sent: usize,
    id: Option<StreamId>,
}

/// Takes nothing of the answer for `later` before it is told to.
struct Client(Rc<RefCell<Told>>);

impl StreamHandler for Client {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.0.borrow_mut().payload.extend_from_slice(payload);
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.0.borrow_mut().sent += tx.fill(|room| room.len());
        cx.request_tx(me).unwrap();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut told = self.0.borrow_mut();
        told.states.push(state);
        told.id = Some(me);
        if state == StreamState::Connected && cx.metadata(me, "path") == Some(b"later") {
            cx.rx_flow(me, false).unwrap();
        }
        if let Some(cause) = cx.cause(me) {
            told.cause = Some(Cause::to_string(cause));
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    context: Context,
    listener: RawListener,
    now: u64,
}

impl World {
    fn new() -> Self {
        let network = Network::new(1);
        let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
        let listener = network.listen(&far, 80).unwrap();
        let context = Context::builder().policy(POLICY).unwrap().sim(near).build().unwrap();
        Self { network, context, listener, now: 0 }
    }

    fn ask(&mut self, path: &str) -> Rc<RefCell<Told>> {
        self.ask_as("get", path)
    }

    fn ask_as(&mut self, streamtype: &str, path: &str) -> Rc<RefCell<Told>> {
        let told = Rc::<RefCell<Told>>::default();
        self.context.with(|cx| {
            let id = cx.create(streamtype, Client(Rc::clone(&told))).unwrap();
            if !path.is_empty() {
                cx.set_metadata(id, "path", path).unwrap();
            }
            cx.client_connect(id).unwrap();
        });
        told
    }

    fn run(&mut self, millis: u64) {
        self.now += millis * 1000;
        self.network.run(&mut [&mut self.context], Us::from_us(self.now)).unwrap();
    }

    /// Lets the connection that the client has made speak until nothing more is said.
    fn peer(&mut self, limits: Limits) -> Peer {
        self.run(10);
        let mut peer = Peer::new(self.listener.accept().expect("a connection"), Engine::server(limits));
        self.exchange(&mut peer);
        peer
    }

    fn exchange(&mut self, peer: &mut Peer) {
        for _ in 0..4 {
            peer.serve();
            self.run(10);
        }
    }
}

fn paths(peer: &Peer) -> Vec<&str> {
    peer.requests.iter().map(|(_, path)| str::from_utf8(path).unwrap()).collect()
}

#[test]
fn what_a_leaving_server_has_not_looked_at_is_asked_again_elsewhere() {
    let mut world = World::new();
    let told: Vec<_> = ["a", "b", "c"].map(|path| world.ask(path)).into();
    let mut old = world.peer(Limits::default());
    assert_eq!(paths(&old), ["/a", "/b", "/c"]);
    // GOAWAY, by hand: the engine that this server has would go on to serve what it has seen.
    let first = old.requests[0].0.get();
    let mut go_away = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    go_away.extend_from_slice(&first.to_be_bytes());
    go_away.extend_from_slice(&[0; 4]);
    old.socket.write(&go_away).unwrap();
    let mut new = world.peer(Limits::default());
    assert_eq!(paths(&new), ["/b", "/c"]);
    for nth in 0..2 {
        new.answer(nth);
    }
    old.answer(0);
    world.run(10);
    for (told, path) in told.iter().zip(["/a", "/b", "/c"]) {
        let told = told.borrow();
        assert_eq!(told.payload, path.as_bytes());
        assert!(!told.states.contains(&StreamState::Unreachable), "{:?}", told.states);
        assert_eq!(told.states.iter().filter(|state| **state == StreamState::Connected).count(), 1);
    }
    world.run(10);
    old.socket.read();
    assert!(old.socket.is_eof(), "nothing holds the old connection");
    assert!(world.listener.accept().is_none());
}

#[test]
fn who_waits_for_a_place_moves_on_as_well() {
    let mut world = World::new();
    world.ask("first");
    let mut old = world.peer(Limits { streams: 2, ..Limits::default() });
    old.answer(0);
    let told: Vec<_> = (0..5).map(|n| world.ask(&n.to_string())).collect();
    world.exchange(&mut old);
    assert_eq!(old.requests.len(), 3);
    old.say(|engine, _| engine.go_away(Code::NO_ERROR));
    let mut new = world.peer(Limits::default());
    assert_eq!(new.requests.len(), 3);
    for nth in 0..3 {
        new.answer(nth);
    }
    old.answer(1);
    old.answer(2);
    world.run(10);
    for (n, told) in told.iter().enumerate() {
        assert_eq!(told.borrow().payload, format!("/{n}").as_bytes());
    }
}

#[test]
fn a_refused_stream_is_asked_for_once_more_at_once_and_then_after_the_backoff() {
    let mut world = World::new();
    let told = world.ask("a");
    let mut peer = world.peer(Limits::default());
    for nth in 0..2 {
        assert_eq!(peer.requests.len(), nth + 1);
        let stream = peer.requests[nth].0;
        peer.say(|engine, _| engine.reset(stream, Code::REFUSED_STREAM));
        world.exchange(&mut peer);
    }
    assert_eq!(peer.requests.len(), 2);
    assert_eq!(told.borrow().states.last(), Some(&StreamState::Unreachable));
    assert!(told.borrow().cause.as_ref().unwrap().contains("REFUSED_STREAM"), "{:?}", told.borrow().cause);
    world.run(1000);
    world.exchange(&mut peer);
    peer.answer(2);
    world.run(10);
    assert_eq!(told.borrow().payload, b"/a");
}

#[test]
fn a_reset_stream_has_a_cause_and_its_sibling_is_answered() {
    let mut world = World::new();
    let (one, other) = (world.ask("one"), world.ask("other"));
    let mut peer = world.peer(Limits::default());
    let stream = peer.requests[0].0;
    peer.say(|engine, _| engine.reset(stream, Code::INTERNAL_ERROR));
    peer.answer(1);
    world.run(10);
    assert!(one.borrow().cause.as_ref().unwrap().contains("INTERNAL_ERROR"), "{:?}", one.borrow().cause);
    assert_eq!(other.borrow().payload, b"/other");
}

#[test]
fn a_connection_that_breaks_is_told_to_each_of_its_streams() {
    let mut world = World::new();
    let told = [world.ask("a"), world.ask("b")];
    let peer = world.peer(Limits::default());
    peer.socket.reset();
    world.run(10);
    for told in &told {
        assert_eq!(told.borrow().states.last(), Some(&StreamState::Unreachable));
    }
    let mut again = {
        world.run(1000);
        world.peer(Limits::default())
    };
    assert_eq!(paths(&again), ["/a", "/b"]);
    again.answer(0);
    again.answer(1);
    world.run(10);
    assert_eq!((&told[0].borrow().payload[..], &told[1].borrow().payload[..]), (&b"/a"[..], &b"/b"[..]));
}

#[test]
fn an_answer_that_is_there_is_its_users_whatever_becomes_of_the_connection() {
    let ends: [fn(Peer); 3] = [
        |peer| drop(peer),
        |peer| peer.socket.reset(),
        // DATA on stream 0 (RFC 9113 6.1).
        |mut peer| assert!(peer.socket.write(&[0, 0, 1, 0, 0, 0, 0, 0, 0, b'x']).is_ok()),
    ];
    for end in ends {
        let mut world = World::new();
        let (held, open) = (world.ask("later"), world.ask("b"));
        let mut peer = world.peer(Limits::default());
        peer.answer(0);
        world.exchange(&mut peer);
        end(peer);
        world.run(500);
        assert_eq!(held.borrow().states.last(), Some(&StreamState::Connected));
        assert_eq!(open.borrow().states.last(), Some(&StreamState::Unreachable));
        world.run(1000);
        let mut again = world.peer(Limits::default());
        assert_eq!(paths(&again), ["/b"], "who comes now gets another connection");
        again.answer(0);
        world.run(100_000);
        let id = held.borrow().id.unwrap();
        world.context.with(|cx| cx.rx_flow(id, true)).unwrap();
        world.run(10);
        assert_eq!(held.borrow().payload, b"/later");
        assert_eq!(held.borrow().states[3..], [StreamState::QosAckRemote, StreamState::Disconnected]);
        world.run(100_000);
        assert_eq!(world.context.census().wsis, 0);
    }
}

#[test]
fn an_error_of_the_protocol_is_told_to_the_peer_and_is_a_cause() {
    let mut world = World::new();
    let told = world.ask("a");
    let mut peer = world.peer(Limits::default());
    // DATA on stream 0 (RFC 9113 6.1).
    peer.socket.write(&[0, 0, 1, 0, 0, 0, 0, 0, 0, b'x']).unwrap();
    world.run(10);
    let said = peer.socket.read();
    assert!(said.windows(9).any(|head| head == [0, 0, 8, 7, 0, 0, 0, 0, 0]), "GOAWAY: {said:?}");
    assert!(told.borrow().cause.is_some());
}

#[test]
fn a_window_beyond_all_measure_is_an_error_unless_the_policy_knows_of_it() {
    // WINDOW_UPDATE of the connection by 2^31-1 (RFC 9113 6.9.1).
    let update = [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
    for (streamtype, path) in [("get", "x"), ("generous", "")] {
        let mut world = World::new();
        let told = world.ask_as(streamtype, path);
        let mut peer = world.peer(Limits::default());
        peer.socket.write(&update).unwrap();
        if streamtype == "generous" {
            peer.answer(0);
        }
        world.run(10);
        let is_answered = told.borrow().payload == b"/x";
        assert_eq!(is_answered, streamtype == "generous", "{:?}", told.borrow().cause);
    }
}

#[test]
fn a_window_that_never_opens_ends_the_stream_and_not_the_connection() {
    let mut world = World::new();
    let told = Rc::<RefCell<Told>>::default();
    world.context.with(|cx| {
        let id = cx.create("post", Client(Rc::clone(&told))).unwrap();
        cx.request_tx(id).unwrap();
    });
    world.run(10);
    let mut peer = Peer::new(world.listener.accept().unwrap(), Engine::server(Limits::default()));
    // It reads, and grants nothing: nobody serves its engine. That it knows the client's settings, it says (RFC 9113 6.5.3).
    peer.socket.write(&[[0, 0, 0, 4, 0, 0, 0, 0, 0], [0, 0, 0, 4, 1, 0, 0, 0, 0]].concat()).unwrap();
    let mut before = 0;
    for _ in 0..3 {
        before += peer.socket.read().len();
        world.run(10);
    }
    assert_eq!(told.borrow().sent, 65_535, "as much as every stream begins with (RFC 9113 6.9.2)");
    world.run(120_000);
    let after = peer.socket.read();
    assert!(before > 65_535 && after.windows(4).any(|head| head == [0, 0, 4, 3]), "RST_STREAM: {after:?}");
    assert!(told.borrow().states.contains(&StreamState::Disconnected));
    drop(peer);
}

#[test]
fn a_post_without_a_body_that_may_have_been_served_is_not_repeated_silently() {
    let mut world = World::new();
    let first = world.ask("first");
    let mut old = world.peer(Limits::default());
    old.answer(0);
    world.run(10);
    assert_eq!(first.borrow().payload, b"/first");
    let (safe, told) = (world.ask("again"), Rc::<RefCell<Told>>::default());
    world.context.with(|cx| {
        let id = cx.create("post", Client(Rc::clone(&told))).unwrap();
        cx.request_tx_len(id, 0).unwrap();
    });
    world.exchange(&mut old);
    assert_eq!(paths(&old), ["/first", "/again", "/x"]);
    old.socket.reset();
    let mut new = world.peer(Limits::default());
    assert_eq!(paths(&new), ["/again"]);
    assert_eq!(told.borrow().states.last(), Some(&StreamState::Disconnected), "and does not ask by itself");
    new.answer(0);
    world.run(10);
    assert_eq!(safe.borrow().payload, b"/again");
}
