//! Streams that stay open for what the server may send (README.h2-long-poll.md).

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Engine, Limits, Request};
use h2_peer::Peer;
use millstream::http::{BodyLength, Method};
use millstream::sim::{Host, Network, RawListener};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"table": {"backoff": [1000], "conceal": 100, "jitterpc": 0}}], "s": [
    {"server": {"server": true, "port": 80, "protocol": "h2"}},
    {"poll": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "poll",
        "long_poll": true, "retry": "table"}},
    {"quirk": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "poll",
        "long_poll": true, "retry": "table", "nghttp2_quirk_end_stream": true}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "get",
        "opportunistic": true}}]}"#;

const HOUR: u64 = 3_600_000;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    payload: Vec<u8>,
    cause: Option<String>,
}

impl Told {
    fn count(&self, state: StreamState) -> usize {
        self.states.iter().filter(|told| **told == state).count()
    }
}

type Log = Rc<RefCell<Told>>;

struct Client(Log);

impl StreamHandler for Client {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.0.borrow_mut().payload.extend_from_slice(payload);
        Flow::Ok
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.0.borrow_mut();
        log.states.push(state);
        log.cause = cx.cause(me).map(Cause::to_string).or_else(|| log.cause.take());
        Flow::Ok
    }
}

/// Says "tick" at once, and then each hour, for ever: its message has no end.
struct Ticks(Log);

impl StreamHandler for Ticks {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Rc::clone(&self.0))))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"tick ");
        cx.sul_schedule(Duration::from_millis(HOUR), move |cx| drop(cx.request_tx(me)));
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().states.push(state);
        if state == StreamState::ServerTxn {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

fn context(host: Host) -> Context {
    Context::builder().policy(POLICY).unwrap().sim(host).build().unwrap()
}

fn ask(client: &mut Context, streamtype: &str) -> (StreamId, Log) {
    let log = Log::default();
    let stream = client.with(|cx| {
        let stream = cx.create(streamtype, Client(Rc::clone(&log))).unwrap();
        cx.client_connect(stream).unwrap();
        stream
    });
    (stream, log)
}

struct World {
    network: Network,
    hosts: [Host; 2],
    server: Context,
    client: Context,
    served: Log,
    now: u64,
}

impl World {
    fn new() -> Self {
        let network = Network::new(1);
        let hosts = ["10.0.0.1", "10.0.0.2"].map(|address| network.host(address));
        let [mut server, client] = hosts.clone().map(context);
        let served = Log::default();
        server.with(|cx| cx.create("server", Ticks(Rc::clone(&served)))).unwrap();
        Self { network, hosts, server, client, served, now: 0 }
    }

    fn run(&mut self, millis: u64) {
        self.now += millis * 1000;
        self.network.run(&mut [&mut self.server, &mut self.client], Us::from_us(self.now)).unwrap();
    }
}

#[test]
fn a_stream_stays_open_for_days_while_others_come_and_go_beside_it() {
    let mut world = World::new();
    let (_, log) = ask(&mut world.client, "poll");
    world.run(1000);
    for _ in 0..72 {
        let (sibling, _) = ask(&mut world.client, "get");
        world.run(10);
        world.client.with(|cx| cx.destroy(sibling)).unwrap();
        world.run(HOUR - 10);
    }
    assert_eq!(log.borrow().payload, b"tick ".repeat(73), "{:?}", log.borrow().cause);
    assert_eq!(log.borrow().states.last(), Some(&StreamState::Connected));
    assert_eq!((world.client.counters().connected, log.borrow().count(StreamState::Connecting)), (1, 1));
}

#[test]
fn without_long_poll_a_silent_response_is_given_up() {
    let mut world = World::new();
    let (_, log) = ask(&mut world.client, "get");
    world.run(HOUR);
    assert_eq!(log.borrow().states.last(), Some(&StreamState::Disconnected));
}

#[test]
fn a_link_that_is_gone_is_noticed_by_both_sides_and_the_stream_comes_back_by_its_retry() {
    let mut world = World::new();
    let (_, log) = ask(&mut world.client, "poll");
    world.run(1000);
    let [far, near] = world.hosts.clone();
    world.network.link_down(&near, &far);
    // PING after 5 min, the end 10 s later.
    world.run(311_000);
    assert_eq!(log.borrow().count(StreamState::Disconnected), 1, "{:?}", log.borrow().states);
    assert_eq!(world.served.borrow().count(StreamState::Disconnected), 1);
    world.network.link_up(&near, &far);
    world.run(30_000);
    assert_eq!(log.borrow().states.last(), Some(&StreamState::Connected), "{:?}", log.borrow().states);
    assert_eq!(log.borrow().payload, b"tick tick ");
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    let mut world = World::new();
    let (_, log) = ask(&mut world.client, "poll");
    world.run(1000);
    world.network.reset(&world.hosts[0].clone());
    world.run(2000);
    let told = log.borrow();
    assert_eq!((told.count(StreamState::Disconnected), told.count(StreamState::Connected)), (1, 2));
}

#[test]
fn a_stream_that_is_destroyed_leaves_nothing_behind() {
    let mut world = World::new();
    let before = (world.client.census(), world.server.census());
    let (stream, _) = ask(&mut world.client, "poll");
    world.run(1000);
    world.client.with(|cx| cx.destroy(stream)).unwrap();
    world.run(2 * HOUR);
    assert_eq!((world.client.census(), world.server.census()), before);
}

/// A client of millstream's, and a server that is what a test makes it.
struct Alone {
    network: Network,
    client: Context,
    listener: RawListener,
    now: u64,
}

impl Alone {
    fn new() -> Self {
        let network = Network::new(1);
        let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
        let client = context(network.host("10.0.0.2"));
        Self { network, client, listener, now: 0 }
    }

    fn run(&mut self, millis: u64) {
        self.now += millis * 1000;
        self.network.run(&mut [&mut self.client], Us::from_us(self.now)).unwrap();
    }

    fn exchange(&mut self, peer: &mut Peer) {
        for _ in 0..3 {
            peer.serve();
            self.run(10);
        }
    }

    fn peer(&mut self) -> Peer {
        self.run(10);
        let mut peer = Peer::new(self.listener.accept().unwrap(), Engine::server(Limits::default()));
        self.exchange(&mut peer);
        peer
    }
}

#[test]
fn a_client_ends_its_side_when_the_response_is_there_or_at_once_for_servers_that_want_it_so() {
    for (streamtype, ends_at_once) in [("poll", false), ("quirk", true)] {
        let mut world = Alone::new();
        let (_, log) = ask(&mut world.client, streamtype);
        let mut peer = world.peer();
        let stream = peer.requests[0].0;
        assert_eq!(peer.ended.contains(&stream), ends_at_once, "{streamtype}");
        peer.begin_answer(stream);
        world.exchange(&mut peer);
        assert_eq!((&peer.ended, &peer.body), (&vec![stream], &vec![]), "{streamtype}");
        peer.send(stream, b"news", false);
        world.exchange(&mut peer);
        assert_eq!(log.borrow().payload, b"news");
        peer.send(stream, b"", true);
        world.exchange(&mut peer);
        let told = log.borrow();
        assert!(told.states.ends_with(&[StreamState::QosAckRemote, StreamState::Disconnected]));
        assert!(peer.engine.is_idle());
    }
}

#[test]
fn a_server_that_answers_only_what_is_complete_needs_the_quirk() {
    for (streamtype, is_answered) in [("poll", false), ("quirk", true)] {
        let mut world = Alone::new();
        let (_, log) = ask(&mut world.client, streamtype);
        let mut peer = world.peer();
        for _ in 0..40 {
            if let Some(stream) = peer.ended.pop() {
                peer.begin_answer(stream);
            }
            peer.serve();
            world.run(1000);
        }
        let told = log.borrow();
        assert_eq!(told.states.contains(&StreamState::Connected), is_answered, "{streamtype}");
        // The response is waited for, and no longer than any other.
        assert_eq!(told.states.contains(&StreamState::Unreachable), !is_answered, "{streamtype}");
    }
}

#[test]
fn a_server_serves_clients_that_end_their_side_late() {
    let mut world = World::new();
    let engine = Engine::client(Limits::default());
    let mut peer = Peer::new(world.network.connect(&world.hosts[1], "10.0.0.1:80").unwrap(), engine);
    world.run(10);
    let mut stream = None;
    peer.say(|engine, out| {
        let request = Request::new(Method::Get, b"http", b"10.0.0.1", b"/poll");
        stream = engine.encode_request(&request, std::iter::empty(), BodyLength::Unknown, out).ok();
    });
    for _ in 0..3 {
        world.run(10);
        peer.serve();
    }
    assert_eq!(peer.body, b"tick ");
    peer.send(stream.unwrap(), b"", true);
    // It answers pings in time.
    for _ in 0..3 * HOUR / 5000 {
        world.run(5000);
        peer.serve();
    }
    assert_eq!(peer.body, b"tick ".repeat(4), "{:?} {:?}", peer.resets, peer.leaving);
}
