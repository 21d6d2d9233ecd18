//! Windows that stay shut (RFC 9113 5.2): who is given up for it, and when.

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Engine, Limits, Request};
use h2_peer::Peer;
use millstream::http::{BodyLength, Method};
use millstream::sim::{Network, RawSocket};
use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"server": {"server": true, "port": 80, "protocol": "h2"}},
    {"post": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "x",
        "opportunistic": true}}]}"#;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    sent: usize,
}

type Log = Rc<RefCell<Told>>;

/// Sends without end: as a client, and as a server to each that asks.
struct Endless(Log);

impl StreamHandler for Endless {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Rc::clone(&self.0))))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.0.borrow_mut().sent += tx.fill(|room| room.len());
        cx.request_tx(me).unwrap();
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

struct World {
    network: Network,
    context: Context,
}

impl World {
    fn new(network: Network, ip: &str) -> Self {
        let context = Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
        Self { network, context }
    }

    fn run(&mut self, secs: u64) {
        let until = self.network.now().saturating_add(Duration::from_secs(secs));
        self.network.run(&mut [&mut self.context], until).unwrap();
    }
}

/// Clients that send, to a server that is a socket: it reads, and grants what a test says.
struct Uploads {
    world: World,
    socket: RawSocket,
    told: Vec<Log>,
}

impl Uploads {
    fn new(count: usize, initial_window: u32) -> Self {
        let network = Network::new(1);
        let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
        let mut world = World::new(network, "10.0.0.2");
        let told: Vec<_> = (0..count).map(|_| Log::default()).collect();
        world.context.with(|cx| {
            for told in &told {
                let id = cx.create("post", Endless(Rc::clone(told))).unwrap();
                cx.request_tx(id).unwrap();
            }
        });
        world.run(1);
        let mut uploads = Self { socket: listener.accept().unwrap(), world, told };
        let [a, b, c, d] = initial_window.to_be_bytes();
        // SETTINGS_INITIAL_WINDOW_SIZE; and that the client's settings are known (RFC 9113 6.5.3).
        uploads.say(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, a, b, c, d, 0, 0, 0, 4, 1, 0, 0, 0, 0]);
        uploads
    }

    fn say(&mut self, bytes: &[u8]) {
        self.socket.write(bytes).unwrap();
        // It has room for what was sent before, and for what that makes room for.
        for _ in 0..2 {
            self.socket.read();
            self.world.run(1);
        }
    }

    /// `WINDOW_UPDATE`; stream 0 is the connection.
    fn grant(&mut self, stream: u8, increment: u32) {
        let [a, b, c, d] = increment.to_be_bytes();
        self.say(&[0, 0, 4, 8, 0, 0, 0, 0, stream, a, b, c, d]);
    }

    fn is_given_up(&self, nth: usize) -> bool {
        self.told[nth].borrow().states.contains(&StreamState::Disconnected)
    }

    fn sent(&self, nth: usize) -> usize {
        self.told[nth].borrow().sent
    }
}

#[test]
fn a_stream_whose_own_window_stays_shut_is_given_up_though_its_sibling_goes_on() {
    let mut uploads = Uploads::new(2, 10);
    uploads.grant(3, 1_000_000);
    // The first has begun before it knew of the settings: its window is far below zero (RFC 9113 6.9.2).
    for (grants, is_given_up) in [(10, false), (20, true)] {
        let before = uploads.sent(1);
        for _ in 0..grants {
            uploads.grant(0, 100);
            uploads.world.run(2);
        }
        // It begins anew when it is given up, with ten bytes.
        let (first, second) = (uploads.sent(0) - 65_535, uploads.sent(1) - before);
        assert_eq!((first, first + second), (if is_given_up { 10 } else { 0 }, grants * 100));
        assert_eq!((uploads.is_given_up(0), uploads.is_given_up(1)), (is_given_up, false));
    }
}

#[test]
fn those_who_share_a_window_wait_for_their_turns_as_long_as_it_is_opened() {
    let mut uploads = Uploads::new(40, 1_000_000);
    let before: Vec<_> = (0..40).map(|nth| uploads.sent(nth)).collect();
    assert_eq!(before.iter().sum::<usize>(), 65_535);
    for _ in 0..40 {
        uploads.grant(0, 100);
        uploads.world.run(3);
    }
    for (nth, before) in before.iter().enumerate() {
        assert_eq!((uploads.sent(nth) - before, uploads.is_given_up(nth)), (100, false), "{nth}");
    }
    uploads.world.run(60);
    assert!((0..40).all(|nth| uploads.is_given_up(nth)));
}

#[test]
fn an_upload_without_room_is_given_up_whatever_else_its_server_says() {
    let mut uploads = Uploads::new(1, 10);
    uploads.world.run(5);
    // 103, which is no leave to send.
    uploads.say(&[0, 0, 5, 1, 4, 0, 0, 0, 1, 8, 3, b'1', b'0', b'3']);
    assert!(!uploads.is_given_up(0));
    uploads.world.run(60);
    assert!(uploads.is_given_up(0));
}

#[test]
fn an_answer_without_room_is_given_up_whatever_else_its_client_says() {
    let mut world = World::new(Network::new(1), "10.0.0.1");
    let log = Log::default();
    world.context.with(|cx| cx.create("server", Endless(Rc::clone(&log)))).unwrap();
    let socket = world.network.connect(&world.network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
    world.run(1);
    let mut client = Peer::new(socket, Engine::client(Limits::default()));
    let mut stream = None;
    client.say(|engine, out| {
        let request = Request::new(Method::Post, b"http", b"10.0.0.1", b"/");
        let request = Request { credit: Some(0), ..request };
        stream = engine.encode_request(&request, std::iter::empty(), BodyLength::Unknown, out).ok();
    });
    world.run(5);
    client.serve();
    // Its request is complete, and still it grants nothing.
    client.send(stream.unwrap(), b"?", true);
    world.run(5);
    assert!(log.borrow().states.contains(&StreamState::Connected));
    assert!(!log.borrow().states.contains(&StreamState::Disconnected));
    world.run(60);
    client.serve();
    assert_eq!((client.resets.len(), log.borrow().sent), (1, 0));
    assert!(log.borrow().states.contains(&StreamState::Disconnected));
}
