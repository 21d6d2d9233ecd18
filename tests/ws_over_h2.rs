//! Websockets on streams of HTTP/2 (RFC 8441): streams of ours on both sides, and servers that hear of all sorts of clients.

#![cfg(all(feature = "h2", feature = "ws"))]

use h2::{Code, Engine, Event, Limits, Request};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::sim::{Link, Network, RawSocket};
use millstream::{
    Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"once": {"backoff": [1000], "conceal": 0, "jitterpc": 0}}], "s": [
    {"serve": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "ws_subprotocol": "chat, other",
        "metadata": [{"path": "", "method": "", "token": "x-token:"}]}},
    {"plain": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2"}},
    {"alone": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_over_h2": true}},
    {"socket": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_subprotocol": "chat", "ws_over_h2": true,
        "http_url": "/socket", "opportunistic": true, "retry": "once", "metadata": [{"token": "x-token:"}]}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "page",
        "opportunistic": true, "retry": "once"}}]}"#;

#[derive(Default)]
struct Heard {
    states: Vec<StreamState>,
    messages: Vec<Vec<u8>>,
    cause: Option<String>,
    path: Vec<u8>,
    token: Vec<u8>,
    me: Option<StreamId>,
}

type Log = Rc<RefCell<Heard>>;

/// Either end. A server gives back what it hears, and answers a plain request with a page.
#[derive(Clone, Default)]
struct User {
    log: Log,
    says: Vec<Vec<u8>>,
    hears: Vec<u8>,
    is_server: bool,
    /// Hears nothing before it is told to.
    is_deaf: bool,
    is_plain: bool,
}

impl User {
    fn new(says: &[&[u8]]) -> Self {
        Self { says: says.iter().map(|message| message.to_vec()).collect(), ..Self::default() }
    }
}

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.hears.extend_from_slice(payload);
        if flags.is_eom() {
            let message = std::mem::take(&mut self.hears);
            self.log.borrow_mut().messages.push(message.clone());
            if self.is_server && !self.is_plain {
                self.says.push(message);
                cx.request_tx(me).unwrap();
            }
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        if self.is_plain {
            tx.write(b"a page");
            tx.end_message();
            return TxFlow::Send;
        }
        let Some(message) = self.says.first_mut() else { return TxFlow::DontSend };
        let sent = tx.write(message);
        message.drain(..sent);
        if message.is_empty() {
            self.says.remove(0);
            tx.end_message();
        }
        if !self.says.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push(state);
        log.me = Some(me);
        if let Some(cause) = cx.cause(me) {
            log.cause = Some(Cause::to_string(cause));
        }
        match state {
            StreamState::Creating if !self.is_server => drop(cx.client_connect(me)),
            StreamState::ServerTxn => {
                self.is_plain = true;
                cx.request_tx(me).unwrap();
            }
            StreamState::ServerUpgrade => {
                log.path = cx.metadata(me, "path").unwrap_or_default().to_vec();
                log.token = cx.metadata(me, "token").unwrap_or_default().to_vec();
                cx.rx_flow(me, !self.is_deaf).unwrap();
            }
            StreamState::Connected if !self.says.is_empty() => drop(cx.request_tx(me)),
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    /// The server's.
    log: Log,
}

impl World {
    fn new(streamtype: &str, user: User, link: Link) -> Self {
        Self::of(StreamInfo::from(streamtype), user, link)
    }

    fn of(info: StreamInfo<'_>, user: User, link: Link) -> Self {
        let network = Network::new(7);
        network.set_default_link(link);
        let build = |ip| Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
        let (mut server, client) = (build("10.0.0.1"), build("10.0.0.2"));
        let log = Rc::clone(&user.log);
        server.with(|cx| cx.create(info, User { is_server: true, ..user }).unwrap());
        Self { network, server, client, log }
    }

    fn serving() -> Self {
        Self::new("serve", User::default(), Link::default())
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.server, &mut self.client], until).unwrap();
    }

    fn create(&mut self, streamtype: &str, user: User) -> Log {
        let log = Rc::clone(&user.log);
        self.client.with(|cx| {
            let id = cx.create(streamtype, user).unwrap();
            if streamtype == "socket" {
                cx.set_metadata(id, "token", "let me in").unwrap();
            }
        });
        log
    }

    /// A client that does what the test says.
    fn browser(&mut self, limits: Limits) -> Browser {
        let socket = self.network.connect(&self.network.host("10.0.0.3"), "10.0.0.1:80").unwrap();
        self.run(10);
        let mut browser = Browser { socket, engine: Engine::client(limits), heard: BTreeMap::new() };
        browser.turn(self);
        browser.turn(self);
        browser
    }
}

/// What came on a stream.
#[derive(Default)]
struct OnStream {
    head: Head,
    bytes: Vec<u8>,
    ended: bool,
    reset: Option<Code>,
}

struct Browser {
    socket: RawSocket,
    engine: Engine,
    heard: BTreeMap<h2::StreamId, OnStream>,
}

impl Browser {
    /// Says what the protocol has to say, and hears what has come.
    fn turn(&mut self, world: &mut World) {
        let mut out = Vec::new();
        self.engine.poll_output(&mut out);
        self.socket.write(&out).unwrap();
        world.run(10);
        let (bytes, mut head, mut at) = (self.socket.read(), Head::new(), 0);
        loop {
            let (used, event) = self.engine.input(0, &bytes[at..], &mut head).unwrap();
            let heard = &mut self.heard;
            match event {
                None if used == 0 => break,
                Some(Event::Response { stream }) => heard.entry(stream).or_default().head = head.clone(),
                Some(Event::Body { stream, range }) => {
                    heard.entry(stream).or_default().bytes.extend_from_slice(&bytes[at..][range]);
                }
                Some(Event::End { stream }) => heard.entry(stream).or_default().ended = true,
                Some(Event::Reset { stream, code }) => heard.entry(stream).or_default().reset = Some(code),
                _ => {}
            }
            at += used;
        }
        assert_eq!(at, bytes.len());
    }

    fn ask(&mut self, protocol: &str, fields: Fields<'_>) -> h2::StreamId {
        let request = Request::connect(protocol.as_bytes(), b"http", b"10.0.0.1", b"/chat");
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut out = Vec::new();
        let stream = self.engine.encode_request(&request, fields, BodyLength::Unknown, &mut out).unwrap();
        self.socket.write(&out).unwrap();
        stream
    }

    /// A websocket that the server has granted.
    fn open(&mut self, world: &mut World) -> h2::StreamId {
        let stream = self.ask("websocket", &[VERSION]);
        self.turn(world);
        assert_eq!(self.heard[&stream].head.status(), Some(Status::OK));
        stream
    }

    /// As much of it as the window has room for.
    fn send(&mut self, stream: h2::StreamId, bytes: &[u8], last: bool) -> usize {
        let bytes = &bytes[..bytes.len().min(self.engine.tx_room(stream))];
        let frame = self.engine.frame(stream, bytes.len(), last).unwrap();
        self.socket.write(&[frame.prefix(), bytes].concat()).unwrap();
        bytes.len()
    }

    /// The payload of all frames that came on a stream.
    fn payload(&self, stream: h2::StreamId) -> Vec<u8> {
        let (mut bytes, mut payload) = (&self.heard[&stream].bytes[..], Vec::new());
        while let [_, len, rest @ ..] = bytes {
            let (len, rest) = match (len, rest) {
                (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
                (len, rest) => (usize::from(*len), rest),
            };
            payload.extend_from_slice(&rest[..len]);
            bytes = &rest[len..];
        }
        payload
    }
}

type Fields<'a> = &'a [(&'a str, &'a str)];

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// A frame with the mask 0, which changes nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let head = match u8::try_from(payload.len()).ok().filter(|len| *len < 126) {
        Some(len) => vec![first, 0x80 | len, 0, 0, 0, 0],
        None if payload.len() < 65_536 => {
            [&[first, 0xfe][..], &(payload.len() as u16).to_be_bytes(), &[0; 4]].concat()
        }
        None => [&[first, 0xff][..], &(payload.len() as u64).to_be_bytes(), &[0; 4]].concat(),
    };
    [&head, payload].concat()
}

#[test]
fn messages_go_both_ways_on_the_connection_of_ordinary_requests() {
    for (segment, len) in [(0, 300_000), (1, 3000)] {
        let mut world = World::new("serve", User::default(), Link { segment, ..Link::default() });
        let long = vec![b'x'; len];
        let said: [&[u8]; 4] = [b"hello", b"", &long, b"bye"];
        let page = world.create("get", User::default());
        let socket = world.create("socket", User::new(&said));
        let other = world.create("socket", User::new(&[b"another"]));
        world.run(5000);
        assert_eq!(world.log.borrow().messages.len(), 5);
        assert_eq!(
            (&world.log.borrow().path[..], &world.log.borrow().token[..]),
            (&b"/socket"[..], &b"let me in"[..])
        );
        assert_eq!(page.borrow().messages, [b"a page"]);
        let lengths: Vec<_> = socket.borrow().messages.iter().map(Vec::len).collect();
        assert_eq!(lengths, [5, 0, len, 3], "{:?}", socket.borrow().states);
        assert!(socket.borrow().messages == said);
        assert_eq!(other.borrow().messages, [b"another"]);
        let connections = (world.client.counters().connected, world.server.counters().accepted);
        assert_eq!(connections, (1, 1), "all share one");
    }
}

#[test]
fn websockets_are_granted_what_they_take_where_requests_are_granted_by_hand() {
    let info = StreamInfo { manual_initial_tx_credit: 3, ..StreamInfo::from("serve") };
    let mut world = World::of(info, User::default(), Link::default());
    let long = vec![b'x'; 300_000];
    let first = world.create("socket", User::new(&[&long, b"hello"]));
    // Our side grants by hand from here on.
    let page = User::default();
    let log = Rc::clone(&page.log);
    let info = StreamInfo { manual_initial_tx_credit: 3, ..StreamInfo::from("get") };
    world.client.with(|cx| cx.create(info, page)).unwrap();
    let second = world.create("socket", User::new(&[b"hi", &long]));
    world.run(5000);
    assert!(first.borrow().messages == [&long[..], b"hello"], "{:?}", first.borrow().cause);
    assert!(second.borrow().messages == [b"hi", &long[..]], "{:?}", second.borrow().cause);
    assert_eq!(log.borrow().messages, [b"a p"], "what there is room for");
    assert_eq!(world.client.counters().connected, 1, "all share one");
}

#[test]
fn only_servers_that_have_a_use_for_websockets_invite_to_ask_for_them() {
    for (streamtype, expected) in [("serve", true), ("alone", true), ("plain", false)] {
        let mut world = World::new(streamtype, User::default(), Link::default());
        let browser = world.browser(Limits::default());
        assert_eq!(browser.engine.peer_takes_connect(), expected, "{streamtype}");
    }
}

#[test]
fn what_cannot_be_granted_is_refused_with_a_status_and_the_connection_goes_on() {
    let mut world = World::serving();
    let mut browser = world.browser(Limits::default());
    let cases: [(&str, Fields<'_>, u16); 6] = [
        ("websocket", &[("sec-websocket-version", "8")], 400),
        ("websocket", &[], 400),
        ("websocket", &[VERSION, VERSION], 400),
        ("websocket", &[VERSION, ("sec-websocket-protocol", "unknown")], 400),
        ("websocket", &[VERSION, ("sec-websocket-extensions", "a b")], 400),
        ("connect-udp", &[VERSION], 501),
    ];
    for (nth, (protocol, fields, status)) in cases.into_iter().enumerate() {
        let stream = browser.ask(protocol, fields);
        browser.turn(&mut world);
        let heard = &browser.heard[&stream];
        assert_eq!(heard.head.status().unwrap().code(), status, "{fields:?}");
        assert_eq!((heard.ended, heard.reset), (true, Some(Code::NO_ERROR)), "{fields:?}");
        assert_eq!(heard.head.get("sec-websocket-version").is_some(), nth < 3, "what is spoken here");
        assert!(heard.head.get("upgrade").is_none(), "RFC 9113 8.2.2");
    }
    browser.open(&mut world);
    assert!(browser.engine.streams() == 1 && world.log.borrow().path == b"/chat");
}

#[test]
fn a_server_of_websockets_alone_says_what_has_to_be_asked_for() {
    let mut world = World::new("alone", User::default(), Link::default());
    let mut browser = world.browser(Limits::default());
    let request = Request::new(Method::Get, b"http", b"10.0.0.1", b"/");
    let mut out = Vec::new();
    let stream = browser.engine.encode_request(&request, [].into_iter(), BodyLength::None, &mut out).unwrap();
    browser.socket.write(&out).unwrap();
    browser.turn(&mut world);
    let head = &browser.heard[&stream].head;
    assert_eq!((head.status().unwrap().code(), head.get("allow")), (405, Some(&b"CONNECT"[..])));
    browser.open(&mut world);
}

#[test]
fn a_subprotocol_and_compression_are_agreed_on_by_the_fields_of_rfc_6455() {
    let mut world = World::serving();
    let mut browser = world.browser(Limits::default());
    let wishes = [
        VERSION,
        ("sec-websocket-protocol", "other, chat"),
        ("sec-websocket-extensions", "permessage-deflate"),
    ];
    let stream = browser.ask("websocket", &wishes);
    browser.turn(&mut world);
    let head = &browser.heard[&stream].head;
    assert_eq!(head.get("sec-websocket-protocol"), Some(&b"other"[..]));
    assert!(head.get("sec-websocket-extensions").unwrap().starts_with(b"permessage-deflate"));
    assert!(head.get("sec-websocket-accept").is_none() && head.get("date").is_none());
    browser.send(stream, &masked(0x81, &[b'x'; 2000]), false);
    browser.turn(&mut world);
    assert_eq!(world.log.borrow().messages, [[b'x'; 2000]]);
    let bytes = &browser.heard[&stream].bytes;
    assert!(bytes[0] == 0xc1 && bytes.len() < 100, "deflated: {bytes:?}");
}

#[test]
fn a_goodbye_is_answered_and_then_both_sides_of_the_stream_end() {
    let mut world = World::serving();
    let mut browser = world.browser(Limits::default());
    let stream = browser.open(&mut world);
    browser.send(stream, &masked(0x88, b"\x0f\xa0enough"), false);
    browser.turn(&mut world);
    let heard = &browser.heard[&stream];
    assert_eq!((&heard.bytes[..], heard.ended, heard.reset), (&[0x88, 2, 0x0f, 0xa0][..], true, None));
    assert_eq!(world.log.borrow().cause.as_deref(), Some("closed by the peer with code 4000: enough"));
    browser.send(stream, b"", true);
    browser.turn(&mut world);
    assert!(browser.engine.is_idle() && browser.heard[&stream].reset.is_none());
    // The listener, and the connection, which waits for the next.
    assert_eq!(world.server.census().wsis, 2);
    browser.open(&mut world);
}

#[test]
fn a_peer_that_breaks_a_rule_is_told_the_code_and_one_that_does_not_leave_then_is_reset() {
    let faults = [
        (b"\x81\x01x".to_vec(), 1002_u16, "without a mask"),
        (masked(0x80, b"x"), 1002, "fragment"),
        (masked(0x81, b"\xff"), 1007, "not UTF-8"),
        (vec![0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009, "too long"),
    ];
    for (bytes, code, why) in faults {
        let mut world = World::serving();
        let mut browser = world.browser(Limits::default());
        let (faulty, other) = (browser.open(&mut world), browser.open(&mut world));
        browser.send(faulty, &bytes, false);
        browser.turn(&mut world);
        let heard = &browser.heard[&faulty];
        assert_eq!((heard.bytes[..2].to_vec(), &heard.bytes[2..4]), (vec![0x88, 2], &code.to_be_bytes()[..]));
        assert!(heard.ended && heard.reset.is_none(), "{why}");
        let cause = world.log.borrow().cause.clone().unwrap();
        assert!(cause.contains(why), "{cause}");
        world.run(2500);
        browser.turn(&mut world);
        assert_eq!(browser.heard[&faulty].reset, Some(Code::NO_ERROR), "{why}");
        browser.send(other, &masked(0x81, b"still there"), false);
        browser.turn(&mut world);
        assert_eq!(browser.payload(other), b"still there");
    }
}

#[test]
fn an_end_or_a_reset_of_the_stream_is_that_of_the_websocket() {
    for resets in [true, false] {
        let mut world = World::serving();
        let mut browser = world.browser(Limits::default());
        let stream = browser.open(&mut world);
        browser.send(stream, &masked(0x01, b"begun"), !resets);
        browser.turn(&mut world);
        if resets {
            browser.engine.reset(stream, Code::CANCEL);
            browser.turn(&mut world);
        } else {
            assert_eq!(browser.heard[&stream].reset, Some(Code::CANCEL));
        }
        assert_eq!(world.log.borrow().cause.as_deref(), Some("closed by the peer"));
        assert_eq!(world.log.borrow().states.last(), Some(&StreamState::Destroying));
        assert_eq!(world.server.census().wsis, 2);
    }
}

#[test]
fn a_stream_that_is_not_listened_to_has_its_window_and_no_more_and_holds_up_nobody() {
    let user = User { is_deaf: true, ..User::default() };
    let mut world = World::new("serve", user, Link::default());
    let mut browser = world.browser(Limits::default());
    let stream = browser.open(&mut world);
    let deaf = world.log.borrow().me.unwrap();
    let message = masked(0x81, &vec![b'x'; 300_000]);
    let mut sent = 0;
    for _ in 0..100 {
        sent += browser.send(stream, &message[sent..], false);
        browser.turn(&mut world);
    }
    assert_eq!(sent, 131_072);
    assert!(world.log.borrow().messages.is_empty());
    browser.open(&mut world);
    world.server.with(|cx| cx.rx_flow(deaf, true)).unwrap();
    for _ in 0..100 {
        browser.turn(&mut world);
        sent += browser.send(stream, &message[sent..], false);
    }
    assert_eq!(sent, message.len());
    world.run(10);
    assert_eq!(world.log.borrow().messages[0].len(), 300_000);
}

#[test]
fn windows_smaller_than_a_frame_make_it_slow_and_nothing_else() {
    let mut world = World::serving();
    let mut browser = world.browser(Limits { initial_window: 5, window: 5, ..Limits::default() });
    let stream = browser.open(&mut world);
    browser.send(stream, &masked(0x81, &[b'x'; 1000]), false);
    for _ in 0..600 {
        browser.turn(&mut world);
    }
    assert_eq!(browser.payload(stream), [b'x'; 1000]);
    browser.send(stream, &masked(0x88, b"\x03\xe8"), true);
    browser.turn(&mut world);
    browser.turn(&mut world);
    assert!(browser.engine.is_idle());
}

#[test]
fn a_peer_that_grants_nothing_is_given_up_after_a_while() {
    let mut world = World::serving();
    let mut browser = world.browser(Limits { initial_window: 100, window: 100, ..Limits::default() });
    let stream = browser.open(&mut world);
    browser.engine.hold_credit(stream);
    let message = masked(0x81, &[b'x'; 1000]);
    for _ in 0..50 {
        // What it cannot send back it does not keep.
        browser.send(stream, &message, false);
        browser.turn(&mut world);
    }
    assert_eq!(browser.heard[&stream].bytes.len(), 100);
    world.run(61_000);
    browser.turn(&mut world);
    assert_eq!(browser.heard[&stream].reset, Some(Code::CANCEL));
    assert_eq!(world.log.borrow().cause.as_deref(), Some("took too long"));
}

#[test]
fn pings_are_answered_between_fragments_and_few_answers_are_kept() {
    let mut world = World::serving();
    let mut browser = world.browser(Limits { initial_window: 200, window: 200, ..Limits::default() });
    let stream = browser.open(&mut world);
    browser.engine.hold_credit(stream);
    for _ in 0..1000 {
        browser.send(stream, &masked(0x89, &[b'p'; 100]), false);
        browser.turn(&mut world);
    }
    browser.engine.release_credit(stream);
    for _ in 0..50 {
        browser.turn(&mut world);
    }
    let heard = browser.heard[&stream].bytes.len();
    assert!((102..2000).contains(&heard), "{heard} bytes of pongs");
    browser.send(stream, &masked(0x81, b"and now"), false);
    browser.turn(&mut world);
    assert!(browser.payload(stream).ends_with(b"and now"));
}
