//! From HTTP/1.1 to HTTP/2 by an upgrade (`h2c`, RFC 7540 3.2), against servers of streams.

#![cfg(feature = "h2")]

use h2::{Engine, Event, Limits};
use millstream::http::{BodyLength, Head, Method};
use millstream::sim::{Link, Network, RawSocket};
use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow};
use std::time::Duration;

const POLICY: &str = r#"{"s": [{"serve": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2",
    "metadata": [{"path": "", "method": "", "upgrade": "upgrade:", "connection": "connection:", "kind": "x-kind:",
        "settings": "http2-settings:"}]}},
    {"h1": {"server": true, "endpoint": "10.0.0.1", "port": 81, "protocol": "h1", "metadata": [{"path": "", "method": ""}]}}]}"#;

/// Answers with what it was asked.
struct Server(Vec<u8>);

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Vec::new())))
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.0);
        self.0.drain(..sent);
        if self.0.is_empty() {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            for name in ["method", "path", "upgrade", "connection", "settings", "kind"] {
                self.0.extend_from_slice(cx.metadata(me, name).unwrap_or_default());
                self.0.push(b' ');
            }
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
    /// Of protocol `h2`.
    serve: StreamId,
}

impl World {
    fn new(link: Link) -> Self {
        Self::of(link, 0)
    }

    /// Its clients may send so much of each request.
    fn granting(credit: u32) -> Self {
        Self::of(Link::default(), credit)
    }

    fn of(link: Link, credit: u32) -> Self {
        let network = Network::new(1);
        network.set_default_link(link);
        let host = network.host("10.0.0.1");
        let mut server = Context::builder().policy(POLICY).unwrap().sim(host).build().unwrap();
        let [serve, _] = ["serve", "h1"].map(|streamtype| {
            let info = StreamInfo { manual_initial_tx_credit: credit, ..StreamInfo::from(streamtype) };
            server.with(|cx| cx.create(info, Server(Vec::new())).unwrap())
        });
        Self { network, server, serve }
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.server], until).unwrap();
    }

    fn connect(&mut self, port: u16) -> RawSocket {
        let socket =
            self.network.connect(&self.network.host("10.0.0.3"), &format!("10.0.0.1:{port}")).unwrap();
        self.run(10);
        socket
    }

    /// What comes back when this is said.
    fn answer(&mut self, port: u16, request: &str) -> String {
        let mut socket = self.connect(port);
        socket.write(request.as_bytes()).unwrap();
        self.run(100);
        String::from_utf8_lossy(&socket.read()).into_owned()
    }
}

/// `MAX_CONCURRENT_STREAMS` 100, `INITIAL_WINDOW_SIZE` 10.
const SETTINGS: &str = "AAMAAABkAAQAAAAK";

fn asking(first_line: &str, fields: &str) -> String {
    format!("{first_line} HTTP/1.1\r\nHost: 10.0.0.1\r\nX-Kind: a kind\r\n{fields}\r\n")
}

fn asks() -> String {
    format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: {SETTINGS}\r\n")
}

#[derive(Default)]
struct Heard {
    head: Head,
    body: Vec<u8>,
    ends: usize,
    leaving: Vec<u32>,
}

/// Feeds a client of HTTP/2 that has asked for stream 1 already.
fn hear(engine: &mut Engine, bytes: &[u8], heard: &mut Heard) {
    let (mut head, mut at) = (Head::new(), 0);
    loop {
        let (used, event) = engine.input(0, &bytes[at..], &mut head).unwrap();
        match event {
            None if used == 0 => break,
            Some(Event::Response { .. }) => heard.head = head.clone(),
            Some(Event::Body { range, .. }) => heard.body.extend_from_slice(&bytes[at..][range]),
            Some(Event::End { .. }) => heard.ends += 1,
            Some(Event::GoAway { last, .. }) => heard.leaving.push(last),
            _ => {}
        }
        at += used;
    }
}

/// A client whose first stream has begun elsewhere: what it would have sent for that is not sent.
fn client() -> (Engine, Vec<u8>, h2::StreamId) {
    // Without a table: nothing that comes later refers to what was never sent.
    let limits = Limits { initial_window: 10, window: 10, encoder_table: 0, ..Limits::default() };
    let mut engine = Engine::client(limits);
    let (mut preface, mut unsent) = (Vec::new(), Vec::new());
    engine.poll_output(&mut preface);
    let request = h2::Request::new(Method::Get, b"http", b"10.0.0.1", b"/a?b");
    let none = BodyLength::None;
    let stream = engine.encode_request(&request, [].into_iter(), none, &mut unsent).unwrap();
    (engine, preface, stream)
}

#[test]
fn the_request_becomes_stream_1_and_the_connection_goes_on_in_http_2() {
    for (segment, at_once) in [(0, true), (0, false), (1, true), (1, false)] {
        let mut world = World::new(Link { segment, ..Link::default() });
        let mut socket = world.connect(80);
        let (mut engine, preface, first) = client();
        let mut out = asking("GET /a?b", &asks()).into_bytes();
        if at_once {
            out.extend_from_slice(&preface);
        }
        socket.write(&out).unwrap();
        world.run(1000);
        let bytes = socket.read();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let switched = String::from_utf8(bytes[..end].to_vec()).unwrap();
        assert!(switched.starts_with("HTTP/1.1 101 ") && switched.contains("Upgrade: h2c\r\n"), "{switched}");
        assert_eq!(&bytes[end + 3..end + 4], [4], "its settings come first");
        let mut heard = Heard::default();
        hear(&mut engine, &bytes[end..], &mut heard);
        if !at_once {
            assert!(heard.body.is_empty(), "what the client may have no room for");
            socket.write(&preface).unwrap();
            world.run(1000);
            hear(&mut engine, &socket.read(), &mut heard);
        }
        assert_eq!(heard.head.status().unwrap().code(), 200);
        assert_eq!(heard.body.len(), 10, "the window of HTTP2-Settings");
        engine.add_credit(first, 100).unwrap();
        for _ in 0..20 {
            let mut out = Vec::new();
            engine.poll_output(&mut out);
            socket.write(&out).unwrap();
            world.run(100);
            hear(&mut engine, &socket.read(), &mut heard);
        }
        assert_eq!(String::from_utf8(heard.body).unwrap(), "GET /a    a kind ", "nothing of the connection");
        assert_eq!((heard.ends, engine.tx_done(first)), (1, true));

        let mut out = Vec::new();
        let request = h2::Request::new(Method::Head, b"http", b"10.0.0.1", b"/more");
        let none = BodyLength::None;
        engine.encode_request(&request, [].into_iter(), none, &mut out).unwrap();
        socket.write(&out).unwrap();
        world.run(100);
        let mut heard = Heard::default();
        hear(&mut engine, &socket.read(), &mut heard);
        assert_eq!((heard.head.status().unwrap().code(), heard.ends), (200, 1));
        assert_eq!(world.server.counters().accepted, 1);
    }
}

#[test]
fn what_cannot_be_granted_is_a_request_like_any_other() {
    let with = |fields: &str| asking("GET /a", fields);
    let connection = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n";
    let cases = [
        ("no settings", with(connection)),
        ("two of them", with(&format!("{}HTTP2-Settings: \r\n", asks()))),
        ("not base64url", with(&format!("{connection}HTTP2-Settings: AAMAAABk+/\r\n"))),
        ("no whole settings", with(&format!("{connection}HTTP2-Settings: AAMA\r\n"))),
        ("no legal settings", with(&format!("{connection}HTTP2-Settings: AAT_____\r\n"))),
        (
            "not named in Connection",
            with(&format!("Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: {SETTINGS}\r\n")),
        ),
        (
            "Upgrade not named",
            with(&format!("Connection: HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: {SETTINGS}\r\n")),
        ),
        ("another protocol", with(&asks().replace("h2c", "h2"))),
        ("HTTP/1.0", with(&asks()).replace("HTTP/1.1", "HTTP/1.0")),
        ("with a body", asking("POST /a", &format!("{}Content-Length: 2\r\n", asks())) + "hi"),
        (
            "with pieces",
            asking("POST /a", &format!("{}Transfer-Encoding: chunked\r\n", asks())) + "0\r\n\r\n",
        ),
    ];
    for (why, request) in cases {
        let answer = World::new(Link::default()).answer(80, &request);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(" /a "), "{why}: {answer}");
    }
    let second = asking("GET /first", "") + &with(&asks());
    let answer = World::new(Link::default()).answer(80, &second);
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "not the first request: {answer}");
    let answer = World::new(Link::default()).answer(81, &with(&asks()));
    assert!(answer.starts_with("HTTP/1.1 200 "), "no HTTP/2 here: {answer}");
}

#[test]
fn a_server_that_goes_answers_an_upgrade_that_has_begun_and_says_that_it_goes() {
    let mut world = World::new(Link::default());
    let mut socket = world.connect(80);
    let (mut engine, preface, first) = client();
    let request = asking("GET /a?b", &asks());
    let (begun, rest) = request.split_at(20);
    socket.write(begun.as_bytes()).unwrap();
    world.run(10);
    let serve = world.serve;
    world.server.with(|cx| cx.server_shutdown(serve)).unwrap();
    world.run(10);
    socket.write(rest.as_bytes()).unwrap();
    socket.write(&preface).unwrap();
    world.run(100);
    let bytes = socket.read();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut heard = Heard::default();
    hear(&mut engine, &bytes[end..], &mut heard);
    engine.add_credit(first, 100).unwrap();
    for _ in 0..20 {
        let mut out = Vec::new();
        engine.poll_output(&mut out);
        let _ = socket.write(&out);
        world.run(100);
        hear(&mut engine, &socket.read(), &mut heard);
    }
    assert_eq!((heard.ends, heard.leaving), (1, vec![0x7fff_ffff, 1]));
    assert!(socket.is_eof());
    drop(socket);
    world.run(5000);
    assert_eq!((world.server.census().wsis, world.server.census().vhosts), (1, 1), "that of HTTP/1.1");
}

#[test]
fn requests_behind_an_upgrade_are_granted_by_hand() {
    let mut world = World::granting(5);
    let mut socket = world.connect(80);
    let (mut engine, preface, _) = client();
    socket.write(&[asking("GET /a", &asks()).as_bytes(), &preface].concat()).unwrap();
    world.run(100);
    let bytes = socket.read();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut heard = Heard::default();
    hear(&mut engine, &bytes[end..], &mut heard);
    let mut out = Vec::new();
    engine.poll_output(&mut out);
    let request = h2::Request::new(Method::Post, b"http", b"10.0.0.1", b"/up");
    let stream = engine.encode_request(&request, [].into_iter(), BodyLength::Unknown, &mut out).unwrap();
    assert_eq!(engine.tx_room(stream), 0, "by its settings");
    socket.write(&out).unwrap();
    world.run(100);
    hear(&mut engine, &socket.read(), &mut heard);
    assert_eq!(engine.tx_room(stream), 5);
}

#[test]
fn a_client_that_does_not_go_on_as_it_said_is_left() {
    let mut world = World::new(Link::default());
    let mut socket = world.connect(80);
    let request = asking("HEAD /a", &asks()) + &asking("GET /b", "");
    socket.write(request.as_bytes()).unwrap();
    world.run(100);
    let bytes = socket.read();
    assert!(bytes.starts_with(b"HTTP/1.1 101 "));
    assert!(bytes.windows(4).any(|four| four == [0, 0, 0, 1]), "PROTOCOL_ERROR");
    world.run(3000);
    assert!(socket.is_eof());
}

#[test]
fn a_client_that_ends_its_side_with_its_upgrade_is_left() {
    let mut world = World::new(Link::default());
    let mut socket = world.connect(80);
    socket.write(asking("GET /a", &asks()).as_bytes()).unwrap();
    socket.shutdown().unwrap();
    world.run(100);
    socket.read();
    assert!(socket.is_eof());
    assert_eq!(world.server.census().wsis, 2, "the listeners");
}
