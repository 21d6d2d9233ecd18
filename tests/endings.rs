//! Connections that end while something is still to be said, or to be heard.

#![cfg(all(feature = "h1", feature = "raw", feature = "h2", feature = "ws"))]

#[path = "common/ws_carrier.rs"]
mod carrier;

use carrier::{Carrier, WebSocket};
use millstream::sim::{Link, Network};
use millstream::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"raw": {"endpoint": "10.0.0.1", "port": 7, "protocol": "raw", "opportunistic": true}},
    {"web": {"server": true, "endpoint": "10.0.0.2", "port": 80, "protocol": "h1"}},
    {"socket": {"server": true, "endpoint": "10.0.0.2", "port": 81, "protocol": "h1", "ws_subprotocol": "chat"}},
    {"socket2": {"server": true, "endpoint": "10.0.0.2", "port": 82, "protocol": "h2", "ws_subprotocol": "chat"}}]}"#;

type States = Rc<RefCell<Vec<StreamState>>>;

/// Sends pieces of this length, one with each tx callback, and leaves in the one after the last.
struct Leaver {
    piece: usize,
    left: usize,
    states: States,
}

impl StreamHandler for Leaver {
    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(left) = self.left.checked_sub(1) else { return TxFlow::DisconnectMe };
        self.left = left;
        assert_eq!(tx.write(&vec![b'x'; self.piece]), self.piece);
        cx.request_tx(me).unwrap();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.states.borrow_mut().push(state);
        if state == StreamState::Connected {
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
    fn new() -> Self {
        let network = Network::new(1);
        let context =
            Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.2")).build().unwrap();
        Self { network, context }
    }

    /// A client of a server of websockets, and how many connections there were before it.
    fn socket(&mut self, carrier: Carrier, states: &States) -> (WebSocket, usize) {
        let (server, port) = if carrier == Carrier::Http1 { ("socket", 81) } else { ("socket2", 82) };
        let hoarder = Hoarder { left: 0, states: Rc::clone(states) };
        self.context.with(|cx| cx.create(server, hoarder)).unwrap();
        self.run(10);
        let before = self.context.census().wsis;
        let to = format!("10.0.0.2:{port}");
        let socket = self.network.connect(&self.network.host("10.0.0.9"), &to).unwrap();
        let (peer, _) = WebSocket::client(carrier, socket, "", &mut || self.run(10));
        (peer, before)
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().as_us() + millis * 1000;
        self.network.run(&mut [&mut self.context], Us::from_us(until)).unwrap();
    }
}

#[test]
fn what_was_said_before_a_stream_leaves_arrives() {
    for (piece, left) in [(5, 1), (3000, 1), (3000, 2), (10_000, 4), (16_384, 5)] {
        let mut world = World::new();
        let listener = world.network.listen(&world.network.host("10.0.0.1"), 7).unwrap();
        let states = States::default();
        world.context.with(|cx| {
            let id = cx.create("raw", Leaver { piece, left, states: Rc::clone(&states) }).unwrap();
            cx.client_connect(id).unwrap();
        });
        world.run(100);
        let mut peer = listener.accept().unwrap();
        let mut got = 0;
        for _ in 0..10 {
            got += peer.read().len();
            world.run(100);
        }
        assert_eq!(got, piece * left, "{left} pieces of {piece}");
        assert!(peer.is_eof());
        assert_eq!(states.borrow().last(), Some(&StreamState::Disconnected));
    }
}

/// Answers each request with a body of this length.
#[derive(Clone)]
struct Web(usize);

impl StreamHandler for Web {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&vec![b'y'; self.0]);
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.server_ack(me, 0).unwrap();
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn answers_arrive_though_the_next_request_is_cut_short() {
    for len in [10, 10_000] {
        let mut world = World::new();
        world.context.with(|cx| cx.create("web", Web(len))).unwrap();
        world.run(10);
        let mut peer = world.network.connect(&world.network.host("10.0.0.9"), "10.0.0.2:80").unwrap();
        world.run(10);
        peer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHo").unwrap();
        peer.shutdown().unwrap();
        world.run(1000);
        let got = peer.read();
        assert!(got.len() > len, "{len}: {:?}", String::from_utf8_lossy(&got));
    }
}

/// Takes nothing more before it has sent what it has.
#[derive(Clone)]
struct Hoarder {
    left: usize,
    states: States,
}

impl StreamHandler for Hoarder {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.left += if payload == b"much" { 40_000 } else { 100 };
        cx.rx_flow(me, payload == b"much").unwrap();
        if payload == b"late" {
            cx.sul_schedule(Duration::from_secs(1), move |cx| drop(cx.request_tx(me)));
        } else {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&vec![b'x'; self.left]);
        self.left -= sent;
        if self.left > 0 {
            cx.request_tx(me).unwrap();
        } else {
            cx.rx_flow(me, true).unwrap();
            tx.end_message();
        }
        TxFlow::Send
    }

    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        self.states.borrow_mut().push(state);
        Flow::Ok
    }
}

#[test]
fn a_websocket_whose_user_waits_to_send_outlives_its_connection_for_a_while_at_most() {
    let when: [&[u8]; 2] = [b"\x81\x84\0\0\0\0more", b"\x81\x84\0\0\0\0late"];
    for (carrier, when) in Carrier::BOTH.into_iter().flat_map(|carrier| when.map(|when| (carrier, when))) {
        let mut world = World::new();
        world.network.set_default_link(Link { window: 2000, ..Link::default() });
        let states = States::default();
        let (mut peer, before) = world.socket(carrier, &states);
        for message in [b"\x81\x84\0\0\0\0much", when] {
            peer.write(message, &mut || {});
            world.run(10);
        }
        peer.end();
        world.run(10);
        peer.socket.reset();
        world.run(1_000_000);
        assert_eq!(world.context.census().wsis, before, "{carrier:?}");
        assert_eq!(states.borrow()[5..], [StreamState::Disconnected, StreamState::Destroying], "{carrier:?}");
    }
}

#[test]
fn answers_arrive_though_a_websocket_ends_without_goodbye() {
    let mut world = World::new();
    let states = States::default();
    let (mut peer, _) = world.socket(Carrier::Http1, &states);
    peer.write(b"\x81\x84\0\0\0\0much", &mut || {});
    peer.end();
    world.run(1000);
    // A frame of 40,000 bytes in three pieces, and no close frame behind it.
    assert_eq!(peer.read().len(), 40_000 + 3 * 4);
    assert!(peer.is_ended());
    assert_eq!(states.borrow()[5..], [StreamState::Disconnected, StreamState::Destroying]);
}
