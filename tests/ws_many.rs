//! Hundreds of websockets that are to be there always, over links that go silent, a server that starts anew, resets, and goodbyes
//! with codes of every kind: all come back, each after a backoff of the policy, and the same seed is the same run.

#![cfg(feature = "ws")]

use millstream::cause::Reason;
use millstream::http::Method;
use millstream::sim::{Host, Link, Network, RawListener, RawSocket};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;
use ws::handshake::{Answer, Terms};
use ws::{CloseCode, Engine, Event, Limits, Scratch};

const STREAMS: usize = 200;

/// As many share a connection of HTTP/2 as its server takes by itself.
const SHARING: usize = 100;

/// Milliseconds of the policy's backoff, and its jitter in percent.
const BACKOFF: [u64; 3] = [500, 1000, 2000];
const JITTER: u64 = 20;

const POLICY: &str = r#"{"retry": [{"table": {"backoff": [500, 1000, 2000], "conceal": 60, "jitterpc": 20,
        "svalidping": 3, "svalidhup": 6}}],
    "s": [{"server": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "ws"}},
    {"server_over_h2": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_over_h2": true, "retry": "table"}},
    {"talks_over_h2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_url": "/", "nailed_up": true, "retry": "table",
        "ws_over_h2": true}},
    {"talks": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_url": "/", "nailed_up": true, "retry": "table"}}]}"#;

#[derive(Default)]
struct Told {
    trace: DefaultHasher,
    streams: Vec<Heard>,
}

#[derive(Clone, Debug, Default)]
struct Heard {
    is_connected: bool,
    connected: usize,
    /// When it was told of the end of an attempt or of a connection, and how often in a row.
    ended: Option<u64>,
    failures: usize,
    goodbyes: Vec<u16>,
    echoes: usize,
}

/// Says something whenever it is connected, and wants it back.
struct Client {
    nth: usize,
    told: Rc<RefCell<Told>>,
}

impl StreamHandler for Client {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        assert_eq!((payload, flags.is_eom()), (self.nth.to_string().as_bytes(), true));
        self.told.borrow_mut().streams[self.nth].echoes += 1;
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(self.nth.to_string().as_bytes());
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let told = &mut *self.told.borrow_mut();
        let now = cx.now().as_us();
        (now, self.nth, state.to_string()).hash(&mut told.trace);
        let heard = &mut told.streams[self.nth];
        match state {
            StreamState::Connecting => {
                if let Some(ended) = heard.ended.take() {
                    let waited = (now - ended) / 1000;
                    let least = BACKOFF[(heard.failures - 1).min(2)];
                    let range = least..=least + least * JITTER / 100;
                    assert!(range.contains(&waited), "{} waited {waited} ms, {heard:?}", self.nth);
                }
            }
            StreamState::Connected => {
                (heard.is_connected, heard.failures) = (true, 0);
                heard.connected += 1;
                cx.request_tx(me).unwrap();
            }
            StreamState::Disconnected | StreamState::Unreachable => {
                (heard.is_connected, heard.ended) = (false, Some(now));
                heard.failures += 1;
                let reason = cx.cause(me).and_then(Cause::last).map(|failure| &failure.reason);
                if let Some(Reason::Goodbye(code, _)) = reason {
                    heard.goodbyes.push(*code);
                }
            }
            StreamState::AllRetriesFailed => panic!("{} has given up", self.nth),
            _ => {}
        }
        Flow::Ok
    }
}

/// A server stream that gives back what it gets.
#[derive(Default)]
struct Echo(Vec<u8>);

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.0.extend_from_slice(payload);
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&self.0);
        tx.end_message();
        self.0.clear();
        TxFlow::Send
    }
}

struct World {
    network: Network,
    near: Host,
    far: Host,
    client: Context,
    told: Rc<RefCell<Told>>,
    over_h2: bool,
}

impl World {
    fn new(seed: u64, over_h2: bool) -> Self {
        let network = Network::new(seed);
        network.start_log();
        let millis = Duration::from_millis;
        network.set_default_link(Link { latency: millis(5), jitter: millis(2), ..Link::default() });
        let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
        let client = Context::builder().policy(POLICY).unwrap().sim(near.clone()).build().unwrap();
        let told = Rc::<RefCell<Told>>::default();
        told.borrow_mut().streams = vec![Heard::default(); if over_h2 { SHARING } else { STREAMS }];
        Self { network, near, far, client, told, over_h2 }
    }

    fn create(&mut self) {
        self.client.with(|cx| {
            let streamtype = if self.over_h2 { "talks_over_h2" } else { "talks" };
            for nth in 0..self.told.borrow().streams.len() {
                cx.create(streamtype, Client { nth, told: Rc::clone(&self.told) }).unwrap();
            }
        });
    }

    /// A server, which lives for as long as its context does.
    fn server(&self) -> Context {
        let mut server = Context::builder().policy(POLICY).unwrap().sim(self.far.clone()).build().unwrap();
        let streamtype = if self.over_h2 { "server_over_h2" } else { "server" };
        server.with(|cx| cx.create(streamtype, Echo::default())).unwrap();
        server
    }

    fn run(&mut self, server: Option<&mut Context>, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        match server {
            Some(server) => self.network.run(&mut [server, &mut self.client], until).unwrap(),
            None => self.network.run(&mut [&mut self.client], until).unwrap(),
        }
    }

    /// All are connected, for this many times by now, and get answers.
    fn check_that_all_are_back(&self, times: usize) {
        for (nth, heard) in self.told.borrow().streams.iter().enumerate() {
            assert!(heard.is_connected, "{nth}: {heard:?}");
            assert_eq!((heard.connected, heard.echoes), (times, times), "{nth}: {heard:?}");
        }
    }

    fn check_that_none_is(&self) {
        assert!(self.told.borrow().streams.iter().all(|heard| !heard.is_connected));
    }

    fn digest(&self) -> u64 {
        let mut trace = self.told.borrow().trace.clone();
        self.network.log().hash(&mut trace);
        trace.finish()
    }
}

/// Plays it all; the digest of what happened.
fn play(seed: u64, over_h2: bool) -> u64 {
    let mut world = World::new(seed, over_h2);
    world.create();
    // Nobody is there at first.
    world.run(None, 5_000);
    let mut server = world.server();
    world.run(Some(&mut server), 10_000);
    world.check_that_all_are_back(1);
    // Nothing is said for a minute but pings and pongs, which keep the connections.
    world.run(Some(&mut server), 60_000);
    world.check_that_all_are_back(1);
    // The link goes silent: only validity tells, on both sides.
    world.network.link_down(&world.near, &world.far);
    world.run(Some(&mut server), 20_000);
    world.check_that_none_is();
    world.network.link_up(&world.near, &world.far);
    world.run(Some(&mut server), 60_000);
    world.check_that_all_are_back(2);
    // A reset is heard at once.
    world.network.reset(&world.far);
    world.run(Some(&mut server), 10);
    world.check_that_none_is();
    world.run(Some(&mut server), 10_000);
    world.check_that_all_are_back(3);
    // The server's host dies without a word, and comes back after a while.
    world.network.crash(&world.far);
    drop(server);
    world.run(None, 30_000);
    world.check_that_none_is();
    world.network.restart(&world.far);
    let mut server = world.server();
    world.run(Some(&mut server), 60_000);
    world.check_that_all_are_back(4);
    // It is stopped in order, and started anew.
    drop(server);
    world.run(None, 3_000);
    world.check_that_none_is();
    assert!(world.told.borrow().streams.iter().all(|heard| heard.goodbyes == [1001]));
    let mut server = world.server();
    world.run(Some(&mut server), 60_000);
    world.check_that_all_are_back(5);
    assert_eq!(world.client.census().illegal_states, 0);
    world.digest()
}

#[test]
fn hundreds_of_nailed_up_websockets_come_back_whatever_happens_and_the_same_seed_is_the_same_run() {
    for over_h2 in [false, cfg!(feature = "h2")] {
        let digest = play(1, over_h2);
        assert_eq!(play(1, over_h2), digest);
        assert_ne!(play(2, over_h2), digest);
    }
}

/// The server's end of one connection, by hand.
struct Peer {
    socket: RawSocket,
    engine: Engine,
    input: Vec<u8>,
    is_upgraded: bool,
}

impl Peer {
    fn new(socket: RawSocket) -> Self {
        Self {
            socket,
            engine: Engine::server(Limits::default(), None),
            input: Vec::new(),
            is_upgraded: false,
        }
    }

    /// Answers the request once it is whole.
    fn upgrade(&mut self, out: &mut Vec<u8>) {
        let Some(end) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return };
        let head = String::from_utf8(self.input.drain(..end + 4).collect()).unwrap();
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let answer = Answer::new(Method::Get, fields, &Terms::default()).unwrap();
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n");
        for (name, value) in answer.fields() {
            out.extend([name, b": ", value, b"\r\n"].concat());
        }
        out.extend_from_slice(b"\r\n");
        self.is_upgraded = true;
    }

    /// Answers requests, pings and messages, and no more than reads if it `is_deaf`; how many pings there were.
    fn serve(&mut self, is_deaf: bool, scratch: &mut Scratch) -> usize {
        self.input.extend(self.socket.read());
        let (mut pings, mut out) = (0, Vec::new());
        if !self.is_upgraded {
            self.upgrade(&mut out);
        }
        while self.is_upgraded {
            let (used, event) = self.engine.input(&mut self.input, scratch).unwrap();
            pings += usize::from(matches!(event, Some(Event::Ping(_))));
            if let Some(Event::Payload(piece)) = &event {
                let payload = piece.bytes(&self.input, scratch);
                out.extend_from_slice(&[0x81, payload.len() as u8]);
                out.extend_from_slice(payload);
            }
            self.engine.poll_output(|| [0; 4], &mut out);
            self.input.drain(..used);
            if event.is_none() {
                break;
            }
        }
        if !is_deaf {
            // Who is gone is not told.
            let _ = self.socket.write(&out);
        }
        pings
    }

    fn say_goodbye(&mut self, code: u16) {
        let mut out = Vec::new();
        self.engine.encode_close(CloseCode::new(code).unwrap(), "", [0; 4], &mut out).unwrap();
        self.socket.write(&out).unwrap();
    }
}

/// Lets the clients and such a server speak for so long.
fn exchange(
    world: &mut World,
    listener: &RawListener,
    peers: &mut Vec<Peer>,
    is_deaf: bool,
    millis: u64,
) -> usize {
    let (mut pings, mut scratch) = (0, Scratch::default());
    for _ in 0..millis / 100 {
        world.run(None, 100);
        while let Some(socket) = listener.accept() {
            peers.push(Peer::new(socket));
        }
        pings += peers.iter_mut().map(|peer| peer.serve(is_deaf, &mut scratch)).sum::<usize>();
        peers.retain(|peer| !peer.socket.is_eof() && peer.socket.is_connected());
    }
    pings
}

fn play_by_hand(seed: u64) -> u64 {
    const CODES: [u16; 8] = [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4999];
    let mut world = World::new(seed, false);
    let (listener, mut peers) = (world.network.listen(&world.far, 80).unwrap(), Vec::new());
    world.create();
    exchange(&mut world, &listener, &mut peers, false, 5_000);
    world.check_that_all_are_back(1);
    // Connections on which nothing is answered are only half open, and are given up; new ones are not better.
    let pings = exchange(&mut world, &listener, &mut peers, true, 7_000);
    assert!(pings >= STREAMS, "{pings}");
    world.check_that_none_is();
    peers.clear();
    exchange(&mut world, &listener, &mut peers, false, 10_000);
    world.check_that_all_are_back(2);
    for (times, code) in CODES.iter().enumerate() {
        assert_eq!(peers.len(), STREAMS);
        for peer in &mut peers {
            peer.say_goodbye(*code);
        }
        exchange(&mut world, &listener, &mut peers, false, 10_000);
        world.check_that_all_are_back(3 + times);
    }
    assert!(world.told.borrow().streams.iter().all(|heard| heard.goodbyes == CODES));
    world.digest()
}

#[test]
fn websockets_that_are_half_open_or_told_to_go_come_back_whatever_the_code() {
    let digest = play_by_hand(1);
    assert_eq!(play_by_hand(1), digest);
    assert_ne!(play_by_hand(2), digest);
}
