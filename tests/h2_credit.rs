//! Tx credit over HTTP/2: the peer of a stream sends what it was granted and no more, and streams beside it go on as ever.

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Code, Engine, Limits};
use h2_peer::Peer;
use millstream::sim::Network;
use millstream::{
    Cause, Context, Cx, Error, Flow, RxFlags, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow,
    Us,
};
use std::cell::RefCell;
use std::rc::Rc;

const POLICY: &str = r#"{"retry": [{"table": {"backoff": [1000], "conceal": 3, "jitterpc": 0}}], "s": [
    {"server": {"server": true, "port": 80, "protocol": "h2", "metadata": [{"path": ""}]}},
    {"old_server": {"server": true, "port": 81, "protocol": "h1", "metadata": [{"path": ""}]}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "big",
        "opportunistic": true, "retry": "table"}},
    {"old": {"endpoint": "10.0.0.1", "port": 81, "protocol": "h1", "http_method": "GET", "http_url": "big",
        "opportunistic": true, "retry": "table"}},
    {"post": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "up",
        "opportunistic": true, "retry": "table"}},
    {"generous": {"endpoint": "10.0.0.1", "port": 82, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true, "h2q_oflow_txcr": true}},
    {"strict": {"endpoint": "10.0.0.1", "port": 82, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true}}]}"#;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    got: usize,
    ends: usize,
    cause: Option<String>,
    /// Of a server: what its latest accepted stream is.
    accepted: Option<StreamId>,
}

type Log = Rc<RefCell<Told>>;

/// Counts what it gets, and sends as much as it was told to.
struct Counts {
    log: Log,
    sends: usize,
}

impl StreamHandler for Counts {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { log: Rc::clone(&self.log), sends: 300_000 }))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        log.got += payload.len();
        log.ends += usize::from(flags.is_eom());
        if flags.is_eom() && log.accepted == Some(me) {
            self.sends = 1;
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let left = self.sends;
        self.sends -= tx.fill(|room| room.len().min(left));
        if self.sends == 0 {
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
        match state {
            StreamState::ServerTxn => {
                log.accepted = Some(me);
                if cx.metadata(me, "path") != Some(b"/up") {
                    cx.request_tx(me).unwrap();
                }
            }
            StreamState::Connected if self.sends > 0 && log.accepted.is_none() => cx.request_tx(me).unwrap(),
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    served: Log,
    now: u64,
}

impl World {
    /// Its server grants its clients so much by hand.
    fn new(server_credit: u32) -> Self {
        let network = Network::new(1);
        let context =
            |address| Context::builder().policy(POLICY).unwrap().sim(network.host(address)).build().unwrap();
        let (mut server, client) = (context("10.0.0.1"), context("10.0.0.2"));
        let served = Log::default();
        server.with(|cx| {
            for streamtype in ["server", "old_server"] {
                let info =
                    StreamInfo { manual_initial_tx_credit: server_credit, ..StreamInfo::from(streamtype) };
                cx.create(info, Counts { log: Rc::clone(&served), sends: 0 }).unwrap();
            }
        });
        Self { network, server, client, served, now: 0 }
    }

    fn ask(&mut self, streamtype: &str, credit: u32, sends: usize) -> (StreamId, Log) {
        let log = Log::default();
        let handler = Counts { log: Rc::clone(&log), sends };
        let id = self.client.with(|cx| {
            let info = StreamInfo { manual_initial_tx_credit: credit, ..StreamInfo::from(streamtype) };
            let id = cx.create(info, handler).unwrap();
            assert!(matches!(cx.add_peer_tx_credit(id, 1), Err(Error::NotConnected)));
            cx.client_connect(id).unwrap();
            id
        });
        (id, log)
    }

    fn run(&mut self, millis: u64) {
        self.now += millis * 1000;
        self.network.run(&mut [&mut self.server, &mut self.client], Us::from_us(self.now)).unwrap();
    }

    fn left(&mut self, stream: StreamId) -> Option<u32> {
        self.client.with(|cx| cx.get_est_peer_tx_credit(stream)).unwrap()
    }
}

#[test]
fn a_peer_sends_what_it_was_granted_and_then_what_is_added() {
    let mut world = World::new(0);
    let (stream, log) = world.ask("get", 10_000, 0);
    world.run(1000);
    assert_eq!((log.borrow().got, world.left(stream)), (10_000, Some(0)));
    world.client.with(|cx| cx.add_peer_tx_credit(stream, 5000)).unwrap();
    assert_eq!(world.left(stream), Some(5000));
    world.run(1000);
    assert_eq!((log.borrow().got, world.left(stream)), (15_000, Some(0)));
    world.client.with(|cx| cx.add_peer_tx_credit(stream, 1_000_000)).unwrap();
    world.run(1000);
    assert_eq!((log.borrow().got, log.borrow().ends), (300_000, 1));
    assert_eq!(log.borrow().states.last(), Some(&StreamState::Disconnected));
    let gone = world.client.with(|cx| cx.get_est_peer_tx_credit(stream));
    assert!(matches!(gone, Err(Error::NotConnected)), "{gone:?}");
}

#[test]
fn streams_on_the_same_connection_go_on_as_ever_whoever_was_there_first() {
    for manual_first in [false, true] {
        let mut world = World::new(0);
        let (mut by_hand, mut auto) = (None, None);
        for turn in 0..2 {
            if manual_first == (turn == 0) {
                by_hand = Some(world.ask("get", 1000, 0));
            } else {
                auto = Some(world.ask("get", 0, 0));
            }
            // The second comes while the first is under way.
            world.run(1);
        }
        let ((_, by_hand), (_, auto)) = (by_hand.unwrap(), auto.unwrap());
        world.run(5000);
        assert_eq!((auto.borrow().got, auto.borrow().ends), (300_000, 1), "{:?}", auto.borrow().cause);
        assert_eq!((by_hand.borrow().got, by_hand.borrow().ends), (1000, 0));
        let (_, third) = world.ask("get", 0, 0);
        world.run(1000);
        assert_eq!(third.borrow().got, 300_000);
        assert_eq!(world.client.counters().connected, 1);
    }
}

#[test]
fn a_stream_out_of_credit_is_not_given_up_for_its_silence() {
    let mut world = World::new(0);
    let (stream, log) = world.ask("get", 1000, 0);
    // Longer than the client waits for the next piece of a response, and not so long that the server gives it up.
    world.run(45_000);
    assert_eq!(log.borrow().states.last(), Some(&StreamState::Connected), "{:?}", log.borrow().cause);
    world.client.with(|cx| cx.add_peer_tx_credit(stream, 300_000)).unwrap();
    world.run(1000);
    assert_eq!(log.borrow().got, 300_000);
}

#[test]
fn a_peer_that_does_not_use_its_credit_is_given_up() {
    let mut world = World::new(0);
    let (stream, log) = world.ask("get", 1000, 0);
    world.run(1000);
    let [near, far] = ["10.0.0.2", "10.0.0.1"].map(|address| world.network.host(address));
    world.network.link_down(&near, &far);
    world.client.with(|cx| cx.add_peer_tx_credit(stream, 1000)).unwrap();
    world.run(45_000);
    assert_eq!(log.borrow().states.last(), Some(&StreamState::Disconnected));
}

#[test]
fn credit_stays_by_hand_through_rx_flow() {
    let mut world = World::new(0);
    let (stream, log) = world.ask("get", 20_000, 0);
    world.run(5);
    for on in [false, true] {
        world.client.with(|cx| cx.rx_flow(stream, on)).unwrap();
        world.run(1000);
    }
    assert_eq!((log.borrow().got, world.left(stream)), (20_000, Some(0)));
}

#[test]
fn there_is_no_more_than_two_to_the_31_and_elsewhere_no_limit() {
    let mut world = World::new(0);
    let (stream, _) = world.ask("get", 1000, 0);
    let (old, _) = world.ask("old", 1000, 0);
    world.run(3);
    let refused = world.client.with(|cx| cx.add_peer_tx_credit(stream, 0x7fff_ffff));
    assert!(matches!(refused, Err(Error::Http(_))), "{refused:?}");
    assert_eq!(world.client.with(|cx| cx.get_est_peer_tx_credit(old)).unwrap(), None);
    world.client.with(|cx| cx.add_peer_tx_credit(old, 1)).unwrap();
}

#[test]
fn each_transaction_begins_with_the_same_credit() {
    let mut world = World::new(0);
    let (stream, log) = world.ask("get", 400_000, 0);
    world.run(1000);
    assert_eq!(log.borrow().ends, 1);
    world.client.with(|cx| cx.client_connect(stream)).unwrap();
    world.run(1000);
    assert_eq!((log.borrow().got, log.borrow().ends), (600_000, 2));
}

#[test]
fn a_server_grants_its_clients_by_hand() {
    let mut world = World::new(100_000);
    // After this the client knows with which window its streams begin.
    let (_, first) = world.ask("get", 0, 0);
    world.run(1000);
    assert_eq!(first.borrow().ends, 1);
    world.served.borrow_mut().got = 0;
    let (_, log) = world.ask("post", 0, 250_000);
    world.run(20_000);
    assert_eq!((world.served.borrow().got, world.served.borrow().ends), (100_000, 0));
    let accepted = world.served.borrow().accepted.unwrap();
    assert_eq!(world.server.with(|cx| cx.get_est_peer_tx_credit(accepted)).unwrap(), Some(0));
    world.server.with(|cx| cx.add_peer_tx_credit(accepted, 150_000)).unwrap();
    world.run(1000);
    assert_eq!((world.served.borrow().got, world.served.borrow().ends), (250_000, 1));
    assert!(log.borrow().states.contains(&StreamState::QosAckRemote), "{:?}", log.borrow().cause);
}

#[test]
fn a_server_that_grants_all_there_is_and_then_more_is_borne_where_the_policy_says_so() {
    for (streamtype, is_borne) in [("strict", false), ("generous", true)] {
        let mut world = World::new(0);
        let listener = world.network.listen(&world.network.host("10.0.0.1"), 82).unwrap();
        let (_, log) = world.ask(streamtype, 0, 0);
        world.run(10);
        let limits = Limits { initial_window: 0x7fff_ffff, ..Limits::default() };
        let mut peer = Peer::new(listener.accept().unwrap(), Engine::server(limits));
        for _ in 0..3 {
            peer.serve();
            world.run(10);
        }
        let stream = peer.requests[0].0;
        let update = [&[0, 0, 4, 8, 0][..], &stream.get().to_be_bytes(), &1_u32.to_be_bytes()].concat();
        peer.socket.write(&update).unwrap();
        world.run(10);
        peer.serve();
        // RFC 9113 6.9.1.
        let resets: &[Code] = if is_borne { &[] } else { &[Code::FLOW_CONTROL_ERROR] };
        assert_eq!(peer.resets, resets);
        if is_borne {
            peer.begin_answer(stream);
            peer.send(stream, b"all is well", true);
            world.run(10);
        }
        assert_eq!(log.borrow().ends, usize::from(is_borne), "{:?}", log.borrow().cause);
    }
}
