//! Connections whose peers are silently gone, and how soon that is noticed; in virtual time.

#![cfg(feature = "raw")]

use millstream::sim::{Network, RawListener, RawSocket};
use millstream::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"valid": {"backoff": [1000], "conceal": 0, "svalidping": 3, "svalidhup": 5}}],
    "s": [{"client": {"endpoint": "10.0.0.2", "port": 7, "protocol": "raw", "nailed_up": true, "retry": "valid"}},
        {"server": {"server": true, "port": 8, "protocol": "raw", "retry": "valid"}},
        {"asks": {"endpoint": "10.0.0.2", "port": 7, "protocol": "h1", "http_method": "GET", "http_url": "/a", "opportunistic": true}},
        {"doubts": {"endpoint": "10.0.0.2", "port": 7, "protocol": "h1", "http_method": "GET", "http_url": "/b", "retry": "valid"}},
        {"idle": {"endpoint": "10.0.0.2", "port": 7, "protocol": "raw", "nailed_up": true}}]}"#;

type Log = Rc<RefCell<Vec<(u64, String)>>>;

/// Tells when it is connected and no longer connected, and why.
#[derive(Clone, Default)]
struct Teller(Log);

impl StreamHandler for Teller {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        if payload == b"proof" {
            cx.validity_confirm(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"?");
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let at = cx.now().as_us() / 1000;
        let cause = cx.cause(me).map(ToString::to_string).unwrap_or_default();
        match state {
            StreamState::Connected => self.0.borrow_mut().push((at, "connected".into())),
            StreamState::Disconnected => self.0.borrow_mut().push((at, cause)),
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    context: Context,
    listener: RawListener,
    log: Log,
}

impl World {
    fn new() -> Self {
        let network = Network::new(1);
        let context =
            Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
        let listener = network.listen(&network.host("10.0.0.2"), 7).unwrap();
        Self { network, context, listener, log: Log::default() }
    }

    fn create(&mut self, streamtype: &str) -> StreamId {
        let handler = Teller(Rc::clone(&self.log));
        self.context.with(|cx| cx.create(streamtype, handler)).unwrap()
    }

    /// A stream, and the socket at its other end.
    fn connect(&mut self) -> (StreamId, RawSocket) {
        let stream = self.create("client");
        self.run_to(100);
        (stream, self.listener.accept().unwrap())
    }

    fn run_to(&mut self, millis: u64) {
        self.network.run(&mut [&mut self.context], Us::from_us(millis * 1000)).unwrap();
    }

    fn lost(&self) -> Option<u64> {
        let log = self.log.borrow();
        let (at, why) = log.get(1)?;
        assert!(why.contains("no sign of life"), "{why}");
        Some(*at)
    }
}

#[test]
fn a_silent_peer_is_hung_up_on_when_the_policy_says_and_the_stream_goes_on() {
    let mut world = World::new();
    let (_, _peer) = world.connect();
    world.network.crash(&world.network.host("10.0.0.2"));
    world.run_to(4_999);
    assert_eq!(world.lost(), None);
    world.run_to(5_100);
    let connected = world.log.borrow()[0].0;
    assert_eq!(world.lost(), Some(connected + 5_000));
}

#[test]
fn a_server_hangs_up_on_silent_clients_too() {
    let mut world = World::new();
    world.create("server");
    let client = world.network.connect(&world.network.host("10.0.0.2"), "10.0.0.1:8").unwrap();
    world.run_to(4_999);
    assert!(!client.is_eof() && world.lost().is_none());
    world.run_to(5_100);
    assert_eq!(world.lost(), Some(5_001));
    assert!(client.is_eof());
}

#[test]
fn answers_are_proofs_and_bytes_that_nobody_asked_for_are_none() {
    let mut world = World::new();
    let (stream, mut peer) = world.connect();
    for second in 1..10 {
        world.context.with(|cx| cx.request_tx(stream)).unwrap();
        world.run_to(second * 2000 - 1000);
        assert_eq!(peer.read(), b"?");
        peer.write(b"!").unwrap();
        world.run_to(second * 2000);
    }
    assert_eq!(world.lost(), None);
    for half in 0..7 {
        peer.write(b"!").unwrap();
        world.run_to(18_500 + half * 500);
    }
    assert_eq!(world.lost(), None);
    world.run_to(24_000);
    assert_eq!(world.lost(), Some(17_001 + 5_000));
}

#[test]
fn what_the_application_calls_a_proof_is_one() {
    let mut world = World::new();
    let (_, mut peer) = world.connect();
    for second in 1..10 {
        peer.write(b"proof").unwrap();
        world.run_to(second * 2000);
    }
    assert_eq!(world.lost(), None);
    world.run_to(30_000);
    assert_eq!(world.lost(), Some(16_001 + 5_000));
}

/// A protocol of its own that asks "alive?", and is answered or not.
struct Asker {
    pings: Rc<Cell<u64>>,
    closed: Rc<Cell<Option<u64>>>,
}

impl Protocol for Asker {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"alive?");
        TxFlow::Send
    }

    fn ping(&mut self, cx: &mut Cx<'_>, me: WsiId) {
        self.pings.set(self.pings.get() + 1);
        cx.wsi_request_tx(me).unwrap();
    }

    fn closed(&mut self, cx: &mut Cx<'_>, _: WsiId, _: Option<&Cause>) {
        self.closed.set(Some(cx.now().as_us() / 1_000_000));
    }
}

#[test]
fn a_protocol_is_asked_to_ping_and_an_answer_counts_from_the_start() {
    let mut world = World::new();
    let (pings, closed) = (Rc::default(), Rc::default());
    let asker = Asker { pings: Rc::clone(&pings), closed: Rc::clone(&closed) };
    world.context.with(|cx| {
        let mut info = ClientInfo::new(Target::Host("10.0.0.2".into(), 7), ClientRole::Raw);
        let secs = |secs| Some(Duration::from_secs(secs));
        info.validity = Some(Validity { ping: secs(30), hangup: secs(40) });
        cx.connect(&info, asker);
    });
    world.run_to(100);
    let mut peer = world.listener.accept().unwrap();
    for minute in 0..10 {
        for half_second in 1..=120 {
            world.run_to(minute * 60_000 + half_second * 500);
            if peer.read() == b"alive?" {
                peer.write(b"yes").unwrap();
            }
        }
    }
    assert_eq!((pings.get(), closed.get()), (19, None));
    // From here on it says nothing.
    world.run_to(700_000);
    assert_eq!(pings.get(), 20);
    assert!((600..=640).contains(&closed.get().unwrap()), "{closed:?}");
}

#[test]
fn ten_thousand_validated_connections_sleep_while_nothing_is_due() {
    let mut world = World::new();
    let closed = Rc::default();
    let pings: Rc<Cell<u64>> = Rc::default();
    let mut info = ClientInfo::new(Target::Host("10.0.0.2".into(), 7), ClientRole::Raw);
    info.validity = Some(Validity::default());
    let mut peers = Vec::new();
    for _ in 0..10 {
        for _ in 0..1_000 {
            let asker = Asker { pings: Rc::clone(&pings), closed: Rc::clone(&closed) };
            world.context.with(|cx| cx.connect(&info, asker));
        }
        // At different times, so that they are not due at once either.
        let now = world.network.now().as_us() / 1000;
        world.run_to(now + 700);
        peers.extend(std::iter::from_fn(|| world.listener.accept()));
    }
    assert_eq!((world.context.census().suls, peers.len()), (10_000, 10_000));
    let waits = world.context.waits();
    world.run_to(298_000);
    assert_eq!((world.context.waits(), pings.get()), (waits, 0));
    world.run_to(308_000);
    assert_eq!((pings.get(), closed.get()), (10_000, None));
    world.run_to(320_000);
    assert_eq!((world.context.census().wsis, closed.get().is_some()), (0, true));
}

#[test]
fn without_a_word_about_it_bytes_are_not_doubted() {
    let mut world = World::new();
    world.create("idle");
    world.run_to(100);
    let _peer = world.listener.accept().unwrap();
    assert_eq!(world.context.next_deadline(), None);
    world.run_to(10_000_000);
    assert_eq!(world.lost(), None);
}

#[cfg(feature = "h1")]
#[test]
fn a_kept_connection_is_doubted_as_its_next_user_says() {
    let mut world = World::new();
    let first = world.create("asks");
    world.context.with(|cx| cx.client_connect(first)).unwrap();
    world.run_to(100);
    let mut peer = world.listener.accept().unwrap();
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    world.run_to(1_000);
    world.log.borrow_mut().clear();
    let second = world.create("doubts");
    world.context.with(|cx| cx.client_connect(second)).unwrap();
    world.run_to(1_100);
    assert!(peer.read().ends_with(b"\r\n\r\n") && world.listener.accept().is_none());
    // A head without an end to its body: without a word about it, it would be waited for longer.
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").unwrap();
    world.run_to(20_000);
    assert_eq!(world.lost(), Some(1_101 + 5_000));
}
