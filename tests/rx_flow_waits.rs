//! A user that takes no payload for a while keeps its peer waiting: however long that takes, the peer is not given up for it.

#![cfg(all(feature = "h1", feature = "h2"))]

use h2::{Code, Engine, Event, Limits, Request};
use millstream::http::{BodyLength, Head, Method};
use millstream::sim::Network;
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"h1": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h1"}},
    {"h2": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2"}},
    {"get_h1": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "x",
        "opportunistic": true}},
    {"get_h2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true}},
    {"post_h1": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "POST", "http_url": "x",
        "opportunistic": true}},
    {"post_h2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "x",
        "opportunistic": true}}]}"#;

#[derive(Default)]
struct Told {
    got: usize,
    ends: usize,
    accepted: Option<StreamId>,
    states: Vec<StreamState>,
}

type Log = Rc<RefCell<Told>>;

/// Takes nothing from this state on, and answers with as much as this.
#[derive(Clone)]
struct Server {
    log: Log,
    deaf_at: StreamState,
    sends: usize,
}

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        log.got += payload.len();
        log.ends += usize::from(flags.is_eom());
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
        self.log.borrow_mut().states.push(state);
        if state == self.deaf_at {
            self.log.borrow_mut().accepted = Some(me);
            cx.rx_flow(me, false).unwrap();
        }
        if state == StreamState::ServerTxn && self.sends > 0 {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

struct Client(usize);

impl StreamHandler for Client {
    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let left = self.0;
        self.0 -= tx.fill(|room| room.len().min(left));
        if self.0 == 0 {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Connected {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn a_server_may_let_a_body_wait_from_wherever_it_likes() {
    for (server_type, client_type) in [("h2", "post_h2"), ("h2", "post_h1"), ("h1", "post_h1")] {
        for deaf_at in [StreamState::Connected, StreamState::ServerTxn] {
            let network = Network::new(1);
            let build =
                |ip| Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
            let (mut server, mut client) = (build("10.0.0.1"), build("10.0.0.2"));
            let log = Log::default();
            let serving = Server { log: Rc::clone(&log), deaf_at, sends: 0 };
            server.with(|cx| cx.create(server_type, serving).unwrap());
            client.with(|cx| {
                let id = cx.create(client_type, Client(50_000)).unwrap();
                cx.client_connect(id).unwrap();
            });
            network.run(&mut [&mut server, &mut client], Us::from_us(25_000_000)).unwrap();
            assert_eq!((log.borrow().got, log.borrow().ends), (0, 0));
            let accepted = log.borrow().accepted.unwrap();
            let what = format!("{client_type} at {server_type}, {deaf_at:?}: {:?}", log.borrow().states);
            server.with(|cx| cx.rx_flow(accepted, true)).expect(&what);
            network.run(&mut [&mut server, &mut client], Us::from_us(26_000_000)).unwrap();
            assert_eq!((log.borrow().got, log.borrow().ends), (50_000, 1), "{what}");
        }
    }
}

/// Takes nothing of the answer before it is told to.
struct Deaf(Log);

impl StreamHandler for Deaf {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.0.borrow_mut().got += payload.len();
        self.0.borrow_mut().ends += usize::from(flags.is_eom());
        Flow::Ok
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().states.push(state);
        if state == StreamState::Connected {
            cx.rx_flow(me, false).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn a_client_may_let_an_answer_wait() {
    for (server_type, client_type) in [("h2", "get_h2"), ("h1", "get_h1")] {
        let network = Network::new(1);
        let build = |ip| Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
        let (mut server, mut client) = (build("10.0.0.1"), build("10.0.0.2"));
        let log = Log::default();
        let serving = Server { log: Log::default(), deaf_at: StreamState::Timeout, sends: 9000 };
        server.with(|cx| cx.create(server_type, serving).unwrap());
        let asking = client.with(|cx| {
            let id = cx.create(client_type, Deaf(Rc::clone(&log))).unwrap();
            cx.client_connect(id).unwrap();
            id
        });
        network.run(&mut [&mut server, &mut client], Us::from_us(25_000_000)).unwrap();
        client.with(|cx| cx.rx_flow(asking, false)).unwrap();
        network.run(&mut [&mut server, &mut client], Us::from_us(90_000_000)).unwrap();
        assert_eq!((log.borrow().got, log.borrow().ends), (0, 0), "{client_type}");
        let what = format!("{client_type}: {:?}", log.borrow().states);
        client.with(|cx| cx.rx_flow(asking, true)).expect(&what);
        network.run(&mut [&mut server, &mut client], Us::from_us(91_000_000)).unwrap();
        assert_eq!((log.borrow().got, log.borrow().ends), (9000, 1), "{what}");
    }
}

#[test]
fn room_for_an_answer_is_no_reason_to_wait_for_a_body_that_is_not_taken() {
    let network = Network::new(1);
    let mut server =
        Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    let log = Log::default();
    let serving = Server { log: Rc::clone(&log), deaf_at: StreamState::ServerTxn, sends: 50_000 };
    server.with(|cx| cx.create("h2", serving).unwrap());
    let mut socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
    let mut run = |secs| {
        let until = network.now().saturating_add(Duration::from_secs(secs));
        network.run(&mut [&mut server], until).unwrap();
    };
    run(1);
    let limits = Limits { initial_window: 10, window: 10, ..Limits::default() };
    let (mut engine, mut out) = (Engine::client(limits), Vec::new());
    engine.poll_output(&mut out);
    let request = Request::new(Method::Post, b"http", b"10.0.0.1", b"/");
    let stream = engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut out).unwrap();
    out.extend_from_slice(engine.frame(stream, 0, false).unwrap().prefix());
    socket.write(&out).unwrap();
    run(1);
    // What there is no room for waits, and then there is some.
    let mut received = 0;
    for secs in [1, 25] {
        let mut out = Vec::new();
        let _ = engine.add_credit(stream, 50_000);
        engine.poll_output(&mut out);
        let _ = socket.write(&out);
        run(secs);
        let (bytes, mut head, mut at) = (socket.read(), Head::new(), 0);
        loop {
            let (used, event) = engine.input(0, &bytes[at..], &mut head).unwrap();
            match event {
                None if used == 0 => break,
                Some(Event::Body { range, .. }) => received += range.len(),
                Some(Event::Reset { code, .. }) => panic!("{code}"),
                _ => {}
            }
            at += used;
        }
        assert!(!log.borrow().states.contains(&StreamState::Destroying), "{:?}", log.borrow().states);
    }
    assert_eq!(received, 50_000);
}

#[test]
fn who_holds_on_to_what_its_clients_have_done_with_gets_no_more_than_a_connection_may_have() {
    let network = Network::new(1);
    let mut server =
        Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    let log = Log::default();
    let serving = Server { log: Rc::clone(&log), deaf_at: StreamState::ServerTxn, sends: 1 };
    server.with(|cx| cx.create("h2", serving).unwrap());
    let mut socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
    network.run(&mut [&mut server], Us::from_us(1_000_000)).unwrap();
    let (mut engine, mut head) = (Engine::client(Limits::default()), Head::new());
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..120 {
        let (mut out, request) = (Vec::new(), Request::new(Method::Post, b"http", b"10.0.0.1", b"/"));
        engine.poll_output(&mut out);
        let body = BodyLength::Known(1);
        let stream = engine.encode_request(&request, [].into_iter(), body, &mut out).unwrap();
        out.extend_from_slice(engine.frame(stream, 1, true).unwrap().prefix());
        out.push(b'?');
        socket.write(&out).unwrap();
        network.run(&mut [&mut server], network.now().saturating_add(Duration::from_millis(10))).unwrap();
        let (bytes, mut at) = (socket.read(), 0);
        loop {
            let (used, event) = engine.input(0, &bytes[at..], &mut head).unwrap();
            match event {
                None if used == 0 => break,
                Some(Event::End { .. }) => answered += 1,
                Some(Event::Reset { code: Code::REFUSED_STREAM, .. }) => refused += 1,
                _ => {}
            }
            at += used;
        }
    }
    assert_eq!((answered, refused, server.census().streams), (100, 20, 101));
}
