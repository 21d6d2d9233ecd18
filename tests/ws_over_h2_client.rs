//! Clients that want a websocket on a stream of HTTP/2 (`ws_over_h2`), against servers that allow it, refuse it, or know nothing
//! of it.

#![cfg(all(feature = "h2", feature = "ws"))]

use h2::{Code, Engine, Event, Limits};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::{Network, RawListener, RawSocket};
use millstream::{Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"few": {"backoff": [1000], "conceal": 1, "jitterpc": 0}}], "s": [
    {"serve": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_subprotocol": "chat"}},
    {"socket": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_subprotocol": "chat", "ws_over_h2": true,
        "http_url": "/socket?a=b", "opportunistic": true, "retry": "few", "http_auth_header": "authorization:",
        "metadata": [{"kind": "x-kind:"}]}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "page",
        "opportunistic": true, "retry": "few"}}]}"#;

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    messages: Vec<u8>,
    causes: Vec<String>,
    kind: Vec<u8>,
}

type Log = Rc<RefCell<Told>>;

/// Says one word when it is connected.
struct User(Log);

impl StreamHandler for User {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        if payload == b"leave" {
            return Flow::DisconnectMe;
        }
        self.0.borrow_mut().messages.extend_from_slice(payload);
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut told = self.0.borrow_mut();
        told.states.push(state);
        match state {
            StreamState::Creating => cx.client_connect(me).unwrap(),
            StreamState::Connected => {
                told.kind = cx.metadata(me, "kind").unwrap_or_default().to_vec();
                cx.request_tx(me).unwrap();
            }
            StreamState::Unreachable | StreamState::Disconnected => {
                told.causes.extend(cx.cause(me).map(Cause::to_string));
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// Hears.
struct Server(Log);

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Rc::clone(&self.0))))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.0.borrow_mut().messages.extend_from_slice(payload);
        Flow::Ok
    }
}

struct World {
    network: Network,
    context: Context,
    listener: RawListener,
}

impl World {
    fn new() -> Self {
        let network = Network::new(1);
        let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
        let context =
            Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.2")).build().unwrap();
        Self { network, context, listener }
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.context], until).unwrap();
    }

    fn create(&mut self, streamtype: &str) -> Log {
        let log = Log::default();
        self.context.with(|cx| {
            cx.set_blob(millstream::Blob::Auth(0), "secret");
            cx.create(streamtype, User(Rc::clone(&log))).unwrap();
        });
        self.run(10);
        log
    }

    /// The server's end of the next connection; its settings are not sent before its first turn.
    fn accept(&mut self, connect_protocol: bool) -> Peer {
        self.accept_with(Limits { connect_protocol, ..Limits::default() })
    }

    fn accept_with(&mut self, limits: Limits) -> Peer {
        self.run(10);
        let socket = self.listener.accept().expect("a connection");
        let engine = Engine::server(limits);
        Peer { socket, engine, requests: Vec::new(), bytes: Vec::new(), resets: Vec::new(), ends: 0 }
    }
}

struct Peer {
    socket: RawSocket,
    engine: Engine,
    requests: Vec<(h2::StreamId, Head)>,
    /// Of all streams, with their masks taken off.
    bytes: Vec<u8>,
    resets: Vec<Code>,
    ends: usize,
}

impl Peer {
    fn turn(&mut self, world: &mut World) {
        let mut out = Vec::new();
        self.engine.poll_output(&mut out);
        self.socket.write(&out).unwrap();
        world.run(10);
        self.hear();
    }

    fn hear(&mut self) {
        let (bytes, mut head, mut at) = (self.socket.read(), Head::new(), 0);
        loop {
            let (used, event) = self.engine.input(0, &bytes[at..], &mut head).unwrap();
            match event {
                None if used == 0 => break,
                Some(Event::Request { stream }) => self.requests.push((stream, head.clone())),
                Some(Event::Body { range, .. }) => self.bytes.extend_from_slice(&bytes[at..][range]),
                Some(Event::Reset { code, .. }) => self.resets.push(code),
                Some(Event::End { .. }) => self.ends += 1,
                _ => {}
            }
            at += used;
        }
    }

    fn answer(&mut self, nth: usize, status: u16, fields: &[(&str, &str)], body: BodyLength) -> h2::StreamId {
        let (stream, mut out) = (self.requests[nth].0, Vec::new());
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        self.engine.encode_response(stream, Status::new(status).unwrap(), fields, body, &mut out).unwrap();
        self.socket.write(&out).unwrap();
        stream
    }

    fn send(&mut self, stream: h2::StreamId, bytes: &[u8], last: bool) {
        let frame = self.engine.frame(stream, bytes.len(), last).unwrap();
        self.socket.write(&[frame.prefix(), bytes].concat()).unwrap();
    }

    /// Grants the websocket that is asked for first.
    fn grant(&mut self, world: &mut World) -> h2::StreamId {
        self.turn(world);
        self.turn(world);
        let stream = self.answer(0, 200, &[("sec-websocket-protocol", "chat")], BodyLength::Unknown);
        self.turn(world);
        stream
    }

    /// The payload of the short frames that came, and whether all had masks.
    fn unmasked(&self) -> (Vec<u8>, bool) {
        let (mut rest, mut payload, mut masked) = (&self.bytes[..], Vec::new(), true);
        while let [_, len, a, b, c, d, behind @ ..] = rest {
            masked &= len & 0x80 != 0;
            let len = usize::from(len & 0x7f);
            let mask = [*a, *b, *c, *d];
            payload.extend(behind[..len].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
            rest = &behind[len..];
        }
        (payload, masked)
    }
}

use StreamState as S;

#[test]
fn the_request_waits_for_the_settings_that_allow_it_and_is_an_extended_connect() {
    let mut world = World::new();
    let log = world.create("socket");
    let mut peer = world.accept(true);
    world.run(1000);
    peer.hear();
    assert!(peer.requests.is_empty() && log.borrow().states == [S::Creating, S::Connecting]);
    peer.turn(&mut world);
    let (_, head) = &peer.requests[0];
    assert_eq!((head.method(), head.target()), (Some(Method::Connect), &b"/socket?a=b"[..]));
    for (name, value) in [
        (":protocol", "websocket"),
        ("host", "10.0.0.1"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("authorization", "secret"),
    ] {
        assert_eq!(head.get(name), Some(value.as_bytes()), "{name}");
    }
    assert!(head.get("sec-websocket-key").is_none(), "RFC 8441 5");
    let fields = [("sec-websocket-protocol", "chat"), ("x-kind", "a kind")];
    let stream = peer.answer(0, 200, &fields, BodyLength::Unknown);
    peer.turn(&mut world);
    assert_eq!(log.borrow().states[2..], [S::Connected]);
    assert_eq!(log.borrow().kind, b"a kind");
    assert_eq!(peer.unmasked(), (b"hello".to_vec(), true));
    peer.send(stream, b"\x01\x03one\x80\x04 two", false);
    peer.turn(&mut world);
    assert_eq!(log.borrow().messages, b"one two");
}

#[test]
fn as_many_as_the_server_takes_are_asked_for_and_the_others_wait_for_a_place() {
    let mut world = World::new();
    let logs = [(); 3].map(|()| world.create("socket"));
    let mut peer = world.accept_with(Limits { connect_protocol: true, streams: 1, ..Limits::default() });
    peer.turn(&mut world);
    peer.turn(&mut world);
    for nth in 0..3 {
        assert_eq!(peer.requests.len(), nth + 1);
        let stream = peer.answer(nth, 200, &[("sec-websocket-protocol", "chat")], BodyLength::Unknown);
        peer.turn(&mut world);
        let connected = logs.iter().filter(|log| log.borrow().states.contains(&S::Connected)).count();
        assert_eq!(connected, nth + 1);
        peer.send(stream, b"\x88\x02\x03\xe8", true);
        peer.turn(&mut world);
        peer.turn(&mut world);
    }
    assert!(world.listener.accept().is_none() && peer.resets.is_empty());
}

#[test]
fn a_server_that_does_not_allow_it_is_asked_over_http_1_1() {
    let mut world = World::new();
    let (log, page) = (world.create("socket"), world.create("get"));
    let mut peer = world.accept(false);
    peer.turn(&mut world);
    peer.turn(&mut world);
    assert_eq!(peer.requests.len(), 1, "the page");
    peer.answer(0, 204, &[], BodyLength::None);
    let mut other = world.accept(false).socket;
    let request = String::from_utf8(other.read()).unwrap();
    assert!(
        request.starts_with("GET /socket?a=b HTTP/1.1\r\n") && request.contains("Upgrade: websocket\r\n")
    );
    assert_eq!(log.borrow().states, [S::Creating, S::Connecting], "it is one attempt");
    other.write(b"HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n").unwrap();
    world.run(3100);
    assert_eq!(log.borrow().states[2..], [S::Unreachable, S::Poll, S::Connecting]);
    assert!(page.borrow().states.contains(&S::QosAckRemote));
    // What the connection is known not to take is not asked for on it again.
    assert!(world.listener.accept().unwrap().read().starts_with(b"GET "));
}

#[test]
fn a_server_that_speaks_http_1_1_alone_is_asked_over_that() {
    let network = Network::new(1);
    let build = |ip| Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
    let (mut server, mut client) = (build("10.0.0.1"), build("10.0.0.2"));
    let (log, served) = (Log::default(), Log::default());
    server.with(|cx| cx.create("serve", Server(Rc::clone(&served))).unwrap());
    client.with(|cx| cx.create("socket", User(Rc::clone(&log))).unwrap());
    network.run(&mut [&mut server, &mut client], millstream::Us::from_us(1_000_000)).unwrap();
    assert_eq!(log.borrow().states, [S::Creating, S::Connecting, S::Connected]);
    assert_eq!(served.borrow().messages, b"hello");
}

#[test]
fn a_refusal_is_a_failed_try_and_leaves_the_connection_alone() {
    let mut world = World::new();
    let log = world.create("socket");
    let mut peer = world.accept(true);
    peer.turn(&mut world);
    peer.turn(&mut world);
    peer.answer(0, 404, &[], BodyLength::Known(0));
    peer.turn(&mut world);
    peer.turn(&mut world);
    assert_eq!(log.borrow().causes, ["http status 404"]);
    assert_eq!(peer.resets, [Code::CANCEL], "nobody sends any more");
    world.run(1000);
    peer.turn(&mut world);
    peer.answer(1, 200, &[("sec-websocket-protocol", "chat")], BodyLength::Unknown);
    peer.turn(&mut world);
    assert_eq!(log.borrow().states[3..], [S::Poll, S::Connecting, S::Connected]);
}

#[test]
fn a_grant_of_what_was_not_asked_for_is_none() {
    let mut world = World::new();
    let log = world.create("socket");
    let mut peer = world.accept(true);
    peer.turn(&mut world);
    peer.turn(&mut world);
    peer.answer(0, 200, &[("sec-websocket-protocol", "another")], BodyLength::Unknown);
    peer.turn(&mut world);
    peer.turn(&mut world);
    assert!(
        log.borrow().causes[0].starts_with("websocket handshake: a subprotocol"),
        "{:?}",
        log.borrow().causes
    );
    assert_eq!(peer.resets, [Code::CANCEL]);
}

#[test]
fn what_a_server_has_not_looked_at_is_asked_again_at_once() {
    for goes_away in [false, true] {
        let mut world = World::new();
        let log = world.create("socket");
        let mut peer = world.accept(true);
        peer.turn(&mut world);
        peer.turn(&mut world);
        if goes_away {
            // GOAWAY that names no stream as looked at.
            peer.socket.write(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
            world.accept(true).grant(&mut world);
        } else {
            peer.engine.reset(peer.requests[0].0, Code::REFUSED_STREAM);
            peer.turn(&mut world);
            peer.answer(1, 200, &[("sec-websocket-protocol", "chat")], BodyLength::Unknown);
            peer.turn(&mut world);
        }
        assert_eq!(log.borrow().states, [S::Creating, S::Connecting, S::Connected], "{goes_away}");
    }
}

#[test]
fn a_reset_or_an_end_without_goodbye_disconnects_the_stream_and_nobody_else() {
    for resets in [true, false] {
        let mut world = World::new();
        let log = world.create("socket");
        let mut peer = world.accept(true);
        let stream = peer.grant(&mut world);
        let page = world.create("get");
        if resets {
            peer.engine.reset(stream, Code::CANCEL);
        } else {
            peer.send(stream, b"", true);
        }
        peer.turn(&mut world);
        assert_eq!(log.borrow().states[3..], [S::Disconnected]);
        let cause = if resets { "the peer reset the stream: CANCEL" } else { "closed by the peer" };
        assert!(log.borrow().causes[0].contains(cause), "{:?}", log.borrow().causes);
        peer.answer(1, 204, &[], BodyLength::None);
        peer.turn(&mut world);
        assert!(page.borrow().states.contains(&S::QosAckRemote));
    }
}

#[test]
fn whoever_leaves_says_goodbye_ends_its_side_and_waits_for_the_answer() {
    let mut world = World::new();
    let log = world.create("socket");
    let mut peer = world.accept(true);
    let stream = peer.grant(&mut world);
    peer.bytes.clear();
    peer.send(stream, b"\x81\x05leave", false);
    peer.turn(&mut world);
    peer.turn(&mut world);
    assert_eq!((peer.bytes[0], peer.unmasked(), peer.ends), (0x88, (vec![0x03, 0xe8], true), 1));
    assert_eq!(log.borrow().states[3..], [S::Disconnected]);
    peer.send(stream, b"\x88\x02\x03\xe8", true);
    peer.turn(&mut world);
    assert!(peer.engine.is_idle() && peer.resets.is_empty());
    // The connection waits for the next.
    world.create("socket");
    peer.turn(&mut world);
    assert_eq!(peer.requests.len(), 2);
}

#[test]
fn a_goodbye_that_is_not_answered_is_waited_for_so_long_and_no_longer() {
    let mut world = World::new();
    world.create("socket");
    let mut peer = world.accept(true);
    let stream = peer.grant(&mut world);
    peer.send(stream, b"\x81\x05leave", false);
    peer.turn(&mut world);
    world.run(2100);
    peer.turn(&mut world);
    assert_eq!(peer.resets, [Code::CANCEL]);
}

#[test]
fn what_a_websocket_was_sent_before_its_connection_broke_waits_for_its_user() {
    let mut world = World::new();
    let log = Log::default();
    let id = world.context.with(|cx| cx.create("socket", User(Rc::clone(&log)))).unwrap();
    let mut peer = world.accept(true);
    let stream = peer.grant(&mut world);
    world.context.with(|cx| cx.rx_flow(id, false)).unwrap();
    // A message, and a goodbye.
    peer.send(stream, b"\x81\x05later\x88\x02\x03\xe8", true);
    peer.turn(&mut world);
    peer.socket.reset();
    world.run(100_000);
    assert_eq!((log.borrow().messages.len(), log.borrow().states.last()), (0, Some(&S::Connected)));
    world.context.with(|cx| cx.rx_flow(id, true)).unwrap();
    world.run(100_000);
    assert_eq!(log.borrow().messages, b"later");
    assert_eq!(log.borrow().states.last(), Some(&S::Disconnected));
    assert!(log.borrow().causes[0].contains("1000"), "{:?}", log.borrow().causes);
    assert_eq!(world.context.census().wsis, 0);
}
