//! How HTTP/2 connections end: servers that go in grace (RFC 9113 6.8), and peers that do not follow settings (RFC 9113
//! 6.5.3).

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Code, Engine, Limits, Request, StreamId as H2Stream};
use h2_peer::Peer;
use millstream::http::{BodyLength, Method};
use millstream::sim::{Host, Network, RawSocket};
use millstream::{
    Cause, Context, Cx, Error, Flow, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow, Us,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"server": {"server": true, "port": 80, "protocol": "h2", "metadata": [{"path": ""}]}},
    {"terms": {"server": true, "port": 80, "protocol": "h2", "ws_subprotocol": "chat", "metadata": [{"path": ""}]}},
    {"other": {"server": true, "port": 80, "protocol": "h2", "metadata": [{"path": ""}]}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true}}]}"#;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    cause: Option<String>,
}

type Log = Rc<RefCell<Told>>;

/// As a server, answers "done": at once, or for `/slow` after 5 seconds. Of accepted streams, it tells nothing.
struct User(Option<Log>);

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(None)))
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"done");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            let secs = if cx.metadata(me, "path") == Some(b"/slow") { 5 } else { 0 };
            cx.sul_schedule(Duration::from_secs(secs), move |cx| drop(cx.request_tx(me)));
        }
        if let Some(log) = &self.0 {
            let mut log = log.borrow_mut();
            log.states.push(state);
            log.cause = cx.cause(me).map(Cause::to_string).or_else(|| log.cause.take());
        }
        Flow::Ok
    }
}

fn context(host: Host) -> Context {
    Context::builder().policy(POLICY).unwrap().sim(host).build().unwrap()
}

/// A server stream, and clients that a test makes.
struct World {
    network: Network,
    near: Host,
    server: Context,
    stream: StreamId,
    told: Log,
    now: u64,
}

impl World {
    fn new() -> Self {
        Self::with_server(StreamInfo::from("server"))
    }

    fn with_server(info: StreamInfo<'_>) -> Self {
        let network = Network::new(1);
        let near = network.host("10.0.0.2");
        let mut server = context(network.host("10.0.0.1"));
        let told = Log::default();
        let stream = server.with(|cx| cx.create(info, User(Some(Rc::clone(&told))))).unwrap();
        Self { network, near, server, stream, told, now: 0 }
    }

    fn run(&mut self, millis: u64) {
        self.now += millis * 1000;
        self.network.run(&mut [&mut self.server], Us::from_us(self.now)).unwrap();
    }

    fn connect(&mut self) -> RawSocket {
        let socket = self.network.connect(&self.near, "10.0.0.1:80").unwrap();
        self.run(10);
        socket
    }

    fn client(&mut self) -> Peer {
        let socket = self.connect();
        let mut peer = Peer::new(socket, Engine::client(Limits::default()));
        self.exchange(&mut peer);
        peer
    }

    fn exchange(&mut self, peer: &mut Peer) {
        for _ in 0..3 {
            peer.serve();
            self.run(10);
        }
    }

    fn shut_down(&mut self) {
        self.server.with(|cx| cx.server_shutdown(self.stream)).unwrap();
        self.run(10);
    }

    fn is_gone(&self) -> bool {
        self.told.borrow().states.last() == Some(&StreamState::Destroying)
    }
}

fn ask(peer: &mut Peer, path: &str) -> H2Stream {
    let mut stream = None;
    peer.say(|engine, out| {
        let request = Request::new(Method::Get, b"http", b"10.0.0.1", path.as_bytes());
        stream = engine.encode_request(&request, std::iter::empty(), BodyLength::None, out).ok();
    });
    stream.unwrap()
}

#[test]
fn a_server_that_goes_serves_what_is_under_way_and_what_its_client_begins_before_it_knows() {
    let mut world = World::new();
    let mut peer = world.client();
    let slow = ask(&mut peer, "/slow");
    world.run(10);
    world.shut_down();
    // The client has not read of it yet.
    let late = ask(&mut peer, "/late");
    world.exchange(&mut peer);
    assert_eq!(peer.leaving, [(0x7fff_ffff, Code::NO_ERROR), (late.get(), Code::NO_ERROR)]);
    assert_eq!(peer.ended, [late]);
    assert!(!world.is_gone());
    world.run(5000);
    world.exchange(&mut peer);
    assert_eq!((&peer.ended[..], &peer.body[..]), (&[late, slow][..], &b"donedone"[..]));
    assert!(peer.socket.is_eof(), "the connection ends with its last stream");
    drop(peer);
    world.run(5000);
    assert!(world.is_gone());
    assert_eq!((world.server.census().wsis, world.server.census().vhosts), (0, 0));
}

#[test]
fn a_client_that_does_nothing_is_let_go_as_soon_as_it_has_heard() {
    let mut world = World::new();
    let mut peer = world.client();
    ask(&mut peer, "/");
    world.exchange(&mut peer);
    world.shut_down();
    world.exchange(&mut peer);
    assert_eq!(peer.leaving.len(), 2);
    assert!(peer.socket.is_eof());
    peer.socket.shutdown().unwrap();
    world.run(100);
    assert!(world.is_gone());
}

#[test]
fn a_stream_that_begins_as_the_only_other_one_ends_is_served_like_any_other() {
    let mut world = World::new();
    let mut peer = world.client();
    let first = ask(&mut peer, "/");
    world.exchange(&mut peer);
    let mut slow = None;
    peer.say(|engine, out| {
        let request = |path: &'static str| Request::new(Method::Get, b"http", b"10.0.0.1", path.as_bytes());
        let ask = |engine: &mut Engine, path, out: &mut Vec<u8>| {
            engine.encode_request(&request(path), std::iter::empty(), BodyLength::None, out).unwrap()
        };
        let given_up = ask(engine, "/slow", out);
        engine.reset(given_up, Code::CANCEL);
        engine.poll_output(out);
        slow = Some(ask(engine, "/slow", out));
    });
    world.run(10);
    peer.say(|engine, _| engine.ping([1; 8]));
    world.run(6000);
    peer.serve();
    assert_eq!(peer.ended, [first, slow.unwrap()]);
}

/// The settings that a server begins with.
fn settings(socket: &mut RawSocket) -> Vec<[u8; 6]> {
    let bytes = socket.read();
    let len = usize::from(bytes[2]);
    assert_eq!(bytes[3], 4, "{bytes:?}");
    bytes[9..9 + len].as_chunks().0.to_vec()
}

#[test]
fn who_came_before_its_server_left_is_granted_what_all_are() {
    let mut world =
        World::with_server(StreamInfo { manual_initial_tx_credit: 1000, ..StreamInfo::from("terms") });
    let mut hello = Vec::new();
    Engine::client(Limits::default()).poll_output(&mut hello);
    let (mut early, mut late) = (world.connect(), world.connect());
    early.write(&hello).unwrap();
    world.run(10);
    world.shut_down();
    late.write(&hello).unwrap();
    world.run(10);
    let settings = [settings(&mut early), settings(&mut late)];
    // What streams begin with is its user's to say; and websockets are taken (RFC 8441 3).
    assert_eq!(settings[0].contains(&[0, 8, 0, 0, 0, 1]), cfg!(feature = "ws"), "{settings:?}");
    assert!(settings[0].contains(&[0, 4, 0, 0, 0, 0]), "{settings:?}");
    assert_eq!(settings[0], settings[1]);
}

#[test]
fn a_server_without_clients_is_gone_at_once_and_another_takes_its_place() {
    let mut world = World::new();
    world.shut_down();
    assert!(world.is_gone());
    let stale = world.server.with(|cx| cx.server_shutdown(world.stream));
    assert!(matches!(stale, Err(Error::Stale)));

    let mut world = World::new();
    let mut peer = world.client();
    ask(&mut peer, "/slow");
    world.run(10);
    world.shut_down();
    let next = world.server.with(|cx| cx.create("server", User(None))).unwrap();
    let mut other = world.client();
    ask(&mut other, "/");
    world.exchange(&mut other);
    assert_eq!(other.body, b"done");
    assert!(other.leaving.is_empty() && !world.is_gone());
    let wrong = world.server.with(|cx| {
        let mut client = None;
        cx.server_foreach_client(world.stream, |_, id| client = Some(id)).unwrap();
        cx.server_shutdown(client.unwrap())
    });
    assert!(matches!(wrong, Err(Error::WrongKind(_))));
    world.server.with(|cx| cx.destroy(next)).unwrap();
}

#[test]
fn no_request_is_lost_when_one_server_takes_over_from_another() {
    let mut world = World::new();
    let mut client = context(world.near.clone());
    let mut logs = Vec::new();
    for turn in 0..100 {
        let log = Log::default();
        let stream = client.with(|cx| cx.create("get", User(Some(Rc::clone(&log))))).unwrap();
        client.with(|cx| cx.client_connect(stream)).unwrap();
        logs.push(log);
        if turn % 20 == 10 {
            world.server.with(|cx| {
                cx.server_shutdown(world.stream).unwrap();
                world.stream = cx.create("server", User(Some(Rc::clone(&world.told)))).unwrap();
            });
        }
        world.now += 300;
        world.network.run(&mut [&mut world.server, &mut client], Us::from_us(world.now)).unwrap();
    }
    world.now += 5_000_000;
    world.network.run(&mut [&mut world.server, &mut client], Us::from_us(world.now)).unwrap();
    for log in &logs {
        assert!(log.borrow().states.contains(&StreamState::QosAckRemote), "{:?}", log.borrow().cause);
        assert!(!log.borrow().states.contains(&StreamState::Unreachable), "{:?}", log.borrow().cause);
    }
    let gone = world.told.borrow().states.iter().filter(|state| **state == StreamState::Destroying).count();
    assert_eq!((gone, client.counters().connected), (5, 6));
}

#[test]
fn a_server_that_goes_leaves_its_neighbour_on_the_port_alone() {
    let mut world = World::new();
    world.server.with(|cx| cx.create("other", User(None))).unwrap();
    let mut sockets = [(); 3].map(|()| world.connect());
    for (socket, host) in sockets.iter_mut().zip(["server", "other"]) {
        socket.write(format!("GET /slow HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    }
    world.run(10);
    world.shut_down();
    let [mut ours, mut theirs, mut new] = sockets;
    new.write(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
    world.run(6000);
    for (socket, is_over) in [(&mut ours, true), (&mut theirs, false)] {
        assert!(socket.read().ends_with(b"done"));
        assert_eq!(socket.is_eof(), is_over);
    }
    assert!(new.read().ends_with(b"done"));
    drop((ours, new));
    world.run(5000);
    assert!(world.is_gone());
    theirs.write(b"GET / HTTP/1.1\r\nHost: other\r\n\r\n").unwrap();
    world.run(10);
    assert!(theirs.read().ends_with(b"done"));
}

#[test]
fn what_takes_too_long_is_ended_by_destroy() {
    let mut world = World::new();
    let mut peer = world.client();
    ask(&mut peer, "/slow");
    world.run(10);
    world.shut_down();
    world.server.with(|cx| cx.destroy(world.stream)).unwrap();
    world.exchange(&mut peer);
    assert!(world.is_gone());
    assert_eq!(peer.resets, [Code::CANCEL]);
}

#[test]
fn clients_over_http_1_are_closed_when_idle_or_after_their_answer() {
    let mut world = World::new();
    let [mut idle, mut busy, mut new] = [(); 3].map(|()| world.connect());
    idle.write(b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n").unwrap();
    busy.write(b"GET /slow HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n").unwrap();
    world.run(100);
    assert!(idle.read().ends_with(b"done") && !idle.is_eof());
    world.shut_down();
    assert!(idle.is_eof() && !busy.is_eof());
    new.write(b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n").unwrap();
    world.run(5000);
    for socket in [&mut busy, &mut new] {
        let answer = String::from_utf8(socket.read()).unwrap();
        assert!(answer.contains("Connection: close\r\n") && answer.ends_with("done"), "{answer}");
        assert!(socket.is_eof());
    }
    world.run(5000);
    assert!(world.is_gone());
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
/// GOAWAY with `SETTINGS_TIMEOUT`.
const TIMED_OUT: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];

#[test]
fn a_client_that_does_not_follow_the_servers_settings_is_left() {
    for is_known in [false, true] {
        let mut world = World::new();
        let before = world.server.census().suls;
        let mut socket = world.connect();
        socket.write(&[PREFACE, SETTINGS].concat()).unwrap();
        world.run(10);
        let waiting = world.server.census().suls;
        if is_known {
            socket.write(ACK).unwrap();
        }
        world.run(10);
        // Nothing is set once they are known.
        assert_eq!(world.server.census().suls, waiting - usize::from(is_known));
        world.run(9000);
        socket.read();
        world.run(2000);
        let said = socket.read();
        assert_eq!(said.ends_with(TIMED_OUT), !is_known, "{said:?}");
        drop(socket);
        world.run(3000);
        assert_eq!(world.server.census().suls, before);
    }
}

#[test]
fn a_server_that_does_not_follow_the_clients_settings_is_left() {
    let network = Network::new(1);
    let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
    let mut client = context(network.host("10.0.0.2"));
    let told = Log::default();
    client.with(|cx| {
        let stream = cx.create("get", User(Some(Rc::clone(&told)))).unwrap();
        cx.client_connect(stream).unwrap();
    });
    network.run(&mut [&mut client], Us::from_us(10_000)).unwrap();
    let mut socket = listener.accept().unwrap();
    socket.write(SETTINGS).unwrap();
    network.run(&mut [&mut client], Us::from_us(9_000_000)).unwrap();
    assert!(!socket.read().ends_with(TIMED_OUT));
    network.run(&mut [&mut client], Us::from_us(11_000_000)).unwrap();
    assert!(socket.read().ends_with(TIMED_OUT) && socket.is_eof());
    assert!(told.borrow().states.contains(&StreamState::Unreachable));
    assert!(told.borrow().cause.as_ref().unwrap().contains("settings"), "{:?}", told.borrow().cause);
}
