//! How long a connection waits for its peer, to the millisecond of virtual time ([`Timeouts`](millstream::Timeouts)).

#![cfg(feature = "h1")]

use millstream::http;
use millstream::sim::{Host, Link, Network, RawSocket};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"release": "01234567", "product": "test", "schema-version": 1,
    "retry": [{"once": {"backoff": [1000], "conceal": 0, "jitterpc": 0}}],
    "s": [
        {"serve": {"server": true, "port": 80, "protocol": "h1",
            "metadata": [{"path": "path"}]}},
        {"put": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "PUT", "http_url": "x",
            "retry": "once"}}
    ]}"#;

type Told = Rc<RefCell<Vec<(u64, StreamState, Option<String>)>>>;

fn millis(at: Us) -> u64 {
    at.as_us() / 1000
}

/// How much there is behind the head.
fn body_len(message: &[u8]) -> usize {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    message.len() - end - 4
}

/// Sends `left` bytes, in steps of at most `piece`, and waits for `pause` between them.
struct Sender {
    left: u64,
    piece: usize,
    pause: Option<Duration>,
    told: Told,
}

impl StreamHandler for Sender {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { told: Rc::clone(&self.told), ..*self }))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.piece);
        let sent = tx.fill(|room| room.len().min(most));
        self.left -= sent as u64;
        if self.left == 0 {
            tx.end_message();
        } else if let Some(pause) = self.pause {
            cx.sul_schedule(pause, move |cx| drop(cx.request_tx(me)));
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let cause = cx.cause(me).map(Cause::to_string);
        self.told.borrow_mut().push((millis(cx.now()), state, cause));
        match state {
            StreamState::Creating if cx.streamtype(me) == Some("serve") => {}
            StreamState::Creating | StreamState::ServerTxn => cx.request_tx_len(me, self.left).unwrap(),
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    context: Context,
    far: Host,
    told: Told,
}

impl World {
    fn new(ip: &str) -> Self {
        let network = Network::new(1);
        network.set_default_link(Link { window: 1000, ..Link::default() });
        let (near, far) =
            (network.host(ip), network.host(if ip == "10.0.0.1" { "10.0.0.2" } else { "10.0.0.1" }));
        let context = Context::builder().policy(POLICY).unwrap().sim(near).build().unwrap();
        Self { network, context, far, told: Told::default() }
    }

    fn server(left: u64) -> (Self, RawSocket) {
        let mut world = Self::new("10.0.0.1");
        world.create("serve", Sender { left, piece: usize::MAX, pause: None, told: Told::default() });
        let peer = world.network.connect(&world.far, "10.0.0.1:80").unwrap();
        world.run(5);
        (world, peer)
    }

    fn create(&mut self, streamtype: &str, mut sender: Sender) {
        sender.told = Rc::clone(&self.told);
        self.context.with(|cx| cx.create(streamtype, sender)).unwrap();
    }

    fn run(&mut self, until: u64) {
        self.network.run(&mut [&mut self.context], Us::from_us(until * 1000)).unwrap();
    }

    fn told(&self, state: StreamState) -> Vec<(u64, Option<String>)> {
        let told = self.told.borrow();
        told.iter().filter(|(_, told, _)| *told == state).map(|(at, _, why)| (*at, why.clone())).collect()
    }
}

#[test]
fn a_peer_that_stops_reading_a_response_is_given_up_after_the_send_timeout() {
    let (mut world, mut peer) = World::server(100_000);
    peer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    world.run(30_000);
    let got = peer.read().len();
    assert!(got > 0 && world.told(StreamState::Disconnected).is_empty());
    // What it took a moment ago moves the bound.
    world.run(89_000);
    assert!(world.told(StreamState::Disconnected).is_empty());
    world.run(91_000);
    let ends = world.told(StreamState::Disconnected);
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert!((90_000..90_100).contains(&ends[0].0), "{ends:?}");
    assert!(ends[0].1.as_ref().is_some_and(|why| why.contains("took too long")), "{ends:?}");
    assert_eq!(world.context.census().wsis, 1, "the listener");
    assert_eq!(world.context.census().suls, 0);
}

#[test]
fn a_peer_that_reads_slowly_has_all_of_a_response() {
    let (mut world, mut peer) = World::server(100_000);
    peer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (mut got, mut at) = (0, 0);
    while !peer.is_eof() && at < 10_000_000 {
        at += 1500;
        world.run(at);
        got += peer.read().len();
    }
    assert!(got > 100_000, "{got}");
    assert!(at > 100_000, "it took its time: {at} ms");
}

#[test]
fn an_upload_longer_than_the_response_timeout_is_no_reason_to_give_up() {
    let mut world = World::new("10.0.0.2");
    let listener = world.network.listen(&world.far, 80).unwrap();
    world.create(
        "put",
        Sender { left: 100, piece: 1, pause: Some(Duration::from_secs(20)), told: Told::default() },
    );
    world.run(10);
    let mut peer = listener.accept().unwrap();
    world.run(1_985_000);
    assert!(world.told(StreamState::Unreachable).is_empty(), "{:?}", world.told.borrow());
    assert_eq!(body_len(&peer.read()), 100);
    // The response is due from the last byte on.
    world.run(2_100_000);
    let ends = world.told(StreamState::Disconnected);
    assert_eq!(ends.len(), 1, "{:?}", world.told.borrow());
    assert!((2_010_000..2_010_100).contains(&ends[0].0), "{ends:?}");
}

#[test]
fn an_application_that_takes_its_time_with_a_body_is_waited_for() {
    let mut world = World::new("10.0.0.2");
    let listener = world.network.listen(&world.far, 80).unwrap();
    world.create(
        "put",
        Sender { left: 2, piece: 1, pause: Some(Duration::from_secs(3600)), told: Told::default() },
    );
    world.run(10);
    let mut peer = listener.accept().unwrap();
    world.run(3_600_100);
    assert!(world.told(StreamState::Disconnected).is_empty(), "{:?}", world.told.borrow());
    assert_eq!(body_len(&peer.read()), 2);
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    world.run(3_600_200);
    assert_eq!(world.told(StreamState::QosAckRemote).len(), 1, "{:?}", world.told.borrow());
}

#[test]
fn an_upload_that_the_peer_does_not_read_is_given_up_after_the_send_timeout() {
    let mut world = World::new("10.0.0.2");
    let listener = world.network.listen(&world.far, 80).unwrap();
    world.create("put", Sender { left: 100_000, piece: usize::MAX, pause: None, told: Told::default() });
    world.run(10);
    let _peer = listener.accept().unwrap();
    world.run(59_900);
    assert!(world.told(StreamState::Disconnected).is_empty());
    world.run(60_100);
    assert_eq!(world.told(StreamState::Disconnected).len(), 1, "{:?}", world.told.borrow());
}

#[test]
fn a_request_that_has_begun_and_stops_is_answered_with_408_and_silence_is_not() {
    for (said, answered) in [
        ("", false),
        ("GET /", true),
        ("GET / HTTP/1.1\r\nHost: a\r\n", true),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx", true),
    ] {
        let mut world = World::new("10.0.0.1");
        world.context.with(|cx| cx.create("serve", Silent)).unwrap();
        let mut peer = world.network.connect(&world.far, "10.0.0.1:80").unwrap();
        world.run(10);
        peer.write(said.as_bytes()).unwrap();
        world.run(9_990);
        assert!(peer.read().is_empty(), "{said:?}");
        assert!(!peer.is_eof(), "{said:?}");
        world.run(10_100);
        let got = String::from_utf8(peer.read()).unwrap();
        assert_eq!(got.starts_with("HTTP/1.1 408 Request Timeout\r\nDate: "), answered, "{said:?}: {got:?}");
        assert_eq!(got.contains("Connection: close\r\n"), answered);
        assert!(peer.is_eof(), "{said:?}");
    }
}

/// Accepts everybody and says nothing.
struct Silent;

impl StreamHandler for Silent {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, _: StreamState, _: u32) -> Flow {
        Flow::Ok
    }
}

#[test]
fn each_response_says_when_it_was_made_and_one_that_says_so_itself_is_left_alone() {
    let (mut world, mut peer) = World::server(1);
    let mut date = |world: &mut World, until| {
        peer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        world.run(until);
        let got = String::from_utf8(peer.read()).unwrap();
        let (_, rest) = got.split_once("Date: ").expect("a date");
        rest.split_once("\r\n").expect("its end").0.to_owned()
    };
    let first = date(&mut world, 100);
    let second = date(&mut world, 3_100);
    let third = date(&mut world, 4_000);
    let parse = |text: &str| http::date::parse(text, Duration::ZERO).unwrap().as_secs();
    assert_eq!(parse(&second), parse(&first));
    assert_eq!(parse(&third) - parse(&first), 3);
}
