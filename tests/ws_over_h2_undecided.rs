//! Requests for websockets over HTTP/2 whose server takes its time, and servers that say no.

#![cfg(all(feature = "h2", feature = "ws"))]

use h2::{Code, Engine, Event, Limits, Request, StreamId};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::{Network, RawSocket};
use millstream::{
    Address, Cause, Context, Cx, Flow, ListenInfo, Protocol, RxFlags, ServerRole, Tx, TxFlow, Us, WsInfo,
    WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
struct Heard {
    asked: Vec<(WsiId, Head)>,
    /// Bytes outside of websockets.
    stray: usize,
    messages: Vec<Vec<u8>>,
    ends: usize,
    closed: Vec<Option<String>>,
}

/// Keeps those who ask waiting.
struct Server(Rc<RefCell<Heard>>);

impl Protocol for Server {
    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        self.0.borrow_mut().asked.push((me, head.clone()));
        if head.method() == Some(Method::Connect) {
            cx.wsi_request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.0.borrow_mut().stray += payload.len();
        Flow::Ok
    }

    fn message(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8], _: RxFlags) -> Flow {
        self.0.borrow_mut().messages.push(payload.to_vec());
        Flow::Ok
    }

    fn end(&mut self, _: &mut Cx<'_>, _: WsiId, _: &Head) -> Flow {
        self.0.borrow_mut().ends += 1;
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"no");
        tx.end_message();
        TxFlow::Send
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        self.0.borrow_mut().closed.push(cause.map(Cause::to_string));
    }
}

struct World {
    network: Network,
    server: Context,
    heard: Rc<RefCell<Heard>>,
    socket: RawSocket,
    engine: Engine,
    status: Option<Status>,
    bytes: Vec<u8>,
    ended: bool,
    reset: Option<Code>,
}

impl World {
    fn new() -> Self {
        let network = Network::new(3);
        let mut server = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
        let heard = Rc::<RefCell<Heard>>::default();
        let log = Rc::clone(&heard);
        server.with(|cx| {
            let accept = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
                Some(Box::new(Server(Rc::clone(&log))))
            };
            let address = Address::Ip("10.0.0.1:80".parse().unwrap());
            let info = ListenInfo { websockets: true, ..ListenInfo::new(address, ServerRole::Http) };
            cx.listen(info, accept).unwrap();
        });
        let socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
        network.run(&mut [&mut server], Us::from_us(10_000)).unwrap();
        let engine = Engine::client(Limits::default());
        let (status, bytes, ended, reset) = Default::default();
        let mut world = Self { network, server, heard, socket, engine, status, bytes, ended, reset };
        world.turn(10);
        world.turn(10);
        world
    }

    fn turn(&mut self, millis: u64) {
        let mut out = Vec::new();
        self.engine.poll_output(&mut out);
        self.socket.write(&out).unwrap();
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.server], until).unwrap();
        let (bytes, mut head, mut at) = (self.socket.read(), Head::new(), 0);
        loop {
            let (used, event) = self.engine.input(0, &bytes[at..], &mut head).unwrap();
            match event {
                None if used == 0 => break,
                Some(Event::Response { .. }) => self.status = head.status(),
                Some(Event::Body { range, .. }) => self.bytes.extend_from_slice(&bytes[at..][range]),
                Some(Event::End { .. }) => self.ended = true,
                Some(Event::Reset { code, .. }) => self.reset = Some(code),
                _ => {}
            }
            at += used;
        }
    }

    fn ask(&mut self) -> StreamId {
        let request = Request::connect(b"websocket", b"http", b"10.0.0.1", b"/chat");
        let fields = [(&b"sec-websocket-version"[..], &b"13"[..])];
        let mut out = Vec::new();
        let stream =
            self.engine.encode_request(&request, fields.into_iter(), BodyLength::Unknown, &mut out).unwrap();
        self.socket.write(&out).unwrap();
        stream
    }

    /// As much as there is room for.
    fn send(&mut self, stream: StreamId, bytes: &[u8], last: bool) -> usize {
        let bytes = &bytes[..bytes.len().min(self.engine.tx_room(stream))];
        let frame = self.engine.frame(stream, bytes.len(), last).unwrap();
        self.socket.write(&[frame.prefix(), bytes].concat()).unwrap();
        bytes.len()
    }

    fn asked(&self) -> (WsiId, Head) {
        self.heard.borrow().asked[0].clone()
    }

    fn refuse(&mut self, body: BodyLength) {
        let (wsi, _) = self.asked();
        self.server.with(|cx| cx.http_respond(wsi, Status::FORBIDDEN, &[], body)).unwrap();
    }
}

#[test]
fn a_server_may_take_its_time_before_it_grants_a_websocket() {
    let mut world = World::new();
    let stream = world.ask();
    world.turn(10);
    world.send(stream, b"\x81\x82\0\0\0\0hi", false);
    world.turn(60_000);
    let (wsi, head) = world.asked();
    assert_eq!(world.heard.borrow().closed, [], "it is not the peer who is slow");
    world.server.with(|cx| cx.ws_accept(wsi, &head, &WsInfo::default())).unwrap();
    world.turn(10);
    assert_eq!(world.status, Some(Status::OK));
    assert_eq!(world.heard.borrow().messages, [b"hi"]);
    assert_eq!(world.heard.borrow().stray, 0);
}

#[test]
fn what_comes_before_a_websocket_is_granted_has_its_bound_whatever_the_rx_flow() {
    let mut world = World::new();
    let stream = world.ask();
    world.turn(10);
    let (wsi, _) = world.asked();
    let mut sent = 0;
    world.server.with(|cx| cx.wsi_rx_flow(wsi, true)).unwrap();
    world.turn(10);
    for _ in 0..100 {
        sent += world.send(stream, &[0; 16_000], false);
        world.turn(10);
    }
    assert!(sent <= 300_000, "{sent}");
}

#[test]
fn a_refusal_that_was_asked_for_by_request_tx_before_has_its_body() {
    let mut world = World::new();
    world.ask();
    world.turn(10);
    world.refuse(BodyLength::Known(2));
    world.turn(10);
    assert_eq!((world.status, &world.bytes[..], world.ended), (Some(Status::FORBIDDEN), &b"no"[..], true));
    assert_eq!(world.heard.borrow().closed, [None]);
}

#[test]
fn an_answer_without_a_body_ends_the_stream_of_a_user_that_takes_nothing() {
    let mut world = World::new();
    let request = Request::new(Method::Get, b"http", b"10.0.0.1", b"/");
    let mut out = Vec::new();
    world.engine.encode_request(&request, [].into_iter(), BodyLength::None, &mut out).unwrap();
    world.socket.write(&out).unwrap();
    world.turn(10);
    let (wsi, _) = world.asked();
    assert_eq!(world.heard.borrow().ends, 1);
    world.server.with(|cx| cx.wsi_rx_flow(wsi, false)).unwrap();
    world.refuse(BodyLength::Known(0));
    world.turn(10);
    assert_eq!((world.status, world.ended), (Some(Status::FORBIDDEN), true));
    assert_eq!(world.heard.borrow().closed, [None]);
}

#[test]
fn a_client_that_ends_what_is_refused_is_gone_with_the_answer() {
    for (payload, when) in [(&b""[..], 0), (b"junk", 0), (b"", 1), (b"junk", 1)] {
        let mut world = World::new();
        let stream = world.ask();
        if when == 0 {
            world.send(stream, payload, true);
        }
        world.turn(10);
        world.refuse(BodyLength::Known(2));
        if when == 1 {
            world.send(stream, payload, true);
        }
        world.turn(10);
        assert_eq!((world.status, world.ended), (Some(Status::FORBIDDEN), true), "{payload:?} {when}");
        assert_eq!(world.heard.borrow().closed, [None], "{payload:?} {when}");
        assert_eq!((world.heard.borrow().stray, world.heard.borrow().ends), (0, 0));
    }
}
