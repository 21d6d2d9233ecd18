//! Servers that answer before they have read the request, as RFC 9112 9.3 lets them.

#![cfg(feature = "h1")]

use millstream::sim::{Network, RawListener};
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;

const POLICY: &str = r#"{"retry": [{"once": {"backoff": [1000], "conceal": 0}}],
    "s": [{"post": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "POST", "http_url": "x",
        "opportunistic": true, "retry": "once"}}]}"#;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    payload: Vec<u8>,
    sent: usize,
}

/// Has a kilobyte to send and sends none of it before `may_send`.
struct Client {
    told: Rc<RefCell<Told>>,
    may_send: bool,
}

impl StreamHandler for Client {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.told.borrow_mut().payload.extend_from_slice(payload);
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        if !self.may_send {
            return TxFlow::DontSend;
        }
        let room = tx.room();
        self.told.borrow_mut().sent += room;
        tx.fill(|room| room.len());
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.told.borrow_mut().states.push(state);
        if state == StreamState::Creating {
            cx.request_tx_len(me, 1000).unwrap();
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    context: Context,
    listener: RawListener,
    told: Rc<RefCell<Told>>,
    stream: StreamId,
}

impl World {
    fn new(may_send: bool) -> Self {
        let network = Network::new(1);
        let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
        let listener = network.listen(&far, 80).unwrap();
        let mut context = Context::builder().policy(POLICY).unwrap().sim(near).build().unwrap();
        let told = Rc::new(RefCell::new(Told::default()));
        let client = Client { told: Rc::clone(&told), may_send };
        let stream = context.with(|cx| cx.create("post", client)).unwrap();
        Self { network, context, listener, told, stream }
    }

    fn run(&mut self, millis: u64) {
        self.network.run(&mut [&mut self.context], Us::from_us(millis * 1000)).unwrap();
    }
}

#[test]
fn a_complete_answer_before_the_body_is_the_end_of_the_transaction_and_of_the_connection() {
    use StreamState as S;
    for (status, outcome) in [("200 OK", S::QosAckRemote), ("413 Content Too Large", S::QosNackRemote)] {
        let mut world = World::new(false);
        world.run(10);
        let mut peer = world.listener.accept().unwrap();
        peer.write(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno").as_bytes()).unwrap();
        world.run(100);
        let told = world.told.borrow();
        assert_eq!(
            told.states,
            [S::Creating, S::Poll, S::Connecting, S::Connected, outcome, S::Disconnected]
        );
        assert_eq!((&told.payload[..], told.sent), (&b"no"[..], 0));
        peer.read();
        // Half a request is no place for the next one (RFC 9112 9.3).
        assert!(peer.is_eof() || peer.error().is_some());
        assert_eq!(world.context.census().wsis, 0);
    }
}

#[test]
fn what_is_asked_next_goes_over_a_new_connection() {
    let mut world = World::new(false);
    world.run(10);
    let mut peer = world.listener.accept().unwrap();
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    world.run(100);
    let stream = world.stream;
    world.context.with(|cx| cx.request_tx_len(stream, 3)).unwrap();
    world.run(200);
    let mut next = world.listener.accept().expect("a second connection");
    next.write(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    world.run(300);
    let acks = world.told.borrow().states.iter().filter(|state| **state == StreamState::QosAckRemote).count();
    assert_eq!(acks, 2);
}

#[test]
fn an_answer_that_begins_early_and_ends_after_the_body_is_whole() {
    let mut world = World::new(true);
    world.run(1);
    let mut peer = world.listener.accept().unwrap();
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe").unwrap();
    world.run(100);
    assert_eq!(world.told.borrow().sent, 1000);
    peer.write(b"en").unwrap();
    world.run(200);
    let told = world.told.borrow();
    assert_eq!(told.payload, b"been");
    assert_eq!(told.states.last(), Some(&StreamState::Disconnected));
    drop(told);
    assert_eq!(world.context.census().wsis, 1, "the connection is kept");
}
