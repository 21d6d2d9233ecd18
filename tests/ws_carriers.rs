//! Websockets are the same on whatever carries them: each scenario is played on connections that were upgraded from HTTP/1.1 and on
//! streams of HTTP/2, by our server and by our client, with everything in one piece and in pieces of a byte.

#![cfg(all(feature = "h2", feature = "ws"))]

#[path = "common/ws_carrier.rs"]
mod carrier;

use carrier::{Carrier, WebSocket};
use millstream::sim::{Link, Network, RawListener};
use millstream::{
    Cause, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow,
    WsDeflate,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use ws::{Deflate, Engine, Event, Limits, Piece, Scratch};

const POLICY: &str = r#"{"retry": [{"once": {"backoff": [1000], "conceal": 0, "jitterpc": 0, "svalidping": 3, "svalidhup": 5}}], "s": [
    {"server": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "ws_subprotocol": "chat"}},
    {"server_http1": {"server": true, "endpoint": "10.0.0.1", "port": 81, "protocol": "h1", "ws_subprotocol": "chat",
        "retry": "once"}},
    {"client_http1": {"endpoint": "10.0.0.3", "port": 80, "protocol": "ws", "opportunistic": true, "retry": "once"}},
    {"client_http2": {"endpoint": "10.0.0.3", "port": 80, "protocol": "ws", "ws_over_h2": true, "opportunistic": true,
        "retry": "once"}}]}"#;

#[derive(Default)]
struct Told {
    /// Each piece, with its place and kind.
    pieces: Vec<String>,
    messages: Vec<Vec<u8>>,
    states: Vec<StreamState>,
    causes: Vec<String>,
    /// Bytes of messages that are not kept.
    ignores: bool,
}

type Log = Rc<RefCell<Told>>;

/// What of a piece is still to be given back.
#[derive(Clone)]
struct Kept {
    payload: Vec<u8>,
    is_som: bool,
    is_eom: bool,
    is_binary: bool,
}

/// Gives back each piece as what it came, and leaves when it is told to.
#[derive(Clone, Default)]
struct Mirror {
    log: Log,
    kept: VecDeque<Kept>,
}

impl StreamHandler for Mirror {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        if log.ignores {
            return Flow::Ok;
        }
        log.pieces.push(format!("{} {flags:?}", String::from_utf8_lossy(payload)));
        if flags.is_som() {
            log.messages.push(Vec::new());
        }
        log.messages.last_mut().unwrap().extend_from_slice(payload);
        match payload {
            b"leave" => return Flow::DisconnectMe,
            b"leave with a reason" => {
                cx.close_reason(me, 4321, "overruled").unwrap();
                assert!(cx.close_reason(me, 1005, "").is_err(), "never on the wire");
                assert!(cx.close_reason(me, 1000, &"x".repeat(124)).is_err(), "too long");
                cx.close_reason(me, 4000, "enough").unwrap();
                return Flow::DisconnectMe;
            }
            _ => {}
        }
        let (is_som, is_eom, is_binary) = (flags.is_som(), flags.is_eom(), flags.is_binary());
        self.kept.push_back(Kept { payload: payload.to_vec(), is_som, is_eom, is_binary });
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(mut kept) = self.kept.pop_front() else { return TxFlow::DontSend };
        assert_eq!(tx.is_som(), kept.is_som);
        let sent = tx.write(&kept.payload);
        tx.binary(kept.is_binary);
        if sent < kept.payload.len() {
            kept.payload.drain(..sent);
            kept.is_som = false;
            self.kept.push_front(kept);
        } else if kept.is_eom {
            tx.end_message();
        }
        if !self.kept.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push(state);
        if state == StreamState::Disconnected {
            log.causes.push(cx.cause(me).map(Cause::to_string).unwrap_or_default());
        }
        Flow::Ok
    }
}

/// Who is of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ours {
    Server,
    Client,
}

/// One of ours, and its peer in the hands of a test.
struct World {
    network: Network,
    context: Context,
    log: Log,
    ours: Ours,
    peer: Option<WebSocket>,
    /// Connections that are there without the websocket's.
    listeners: usize,
    stream: StreamId,
}

impl World {
    /// With what the peer offered, or was granted, of extensions.
    fn new(
        (carrier, ours, segment): (Carrier, Ours, usize),
        deflate: Option<WsDeflate>,
        extensions: &str,
    ) -> (Self, Option<String>) {
        let network = Network::new(1);
        network.set_default_link(Link { segment, ..Link::default() });
        let host = network.host(if ours == Ours::Server { "10.0.0.1" } else { "10.0.0.2" });
        let mut context = Context::builder().policy(POLICY).unwrap().sim(host).build().unwrap();
        let mirror = Mirror::default();
        let log = Rc::clone(&mirror.log);
        let listener = network.listen(&network.host("10.0.0.3"), 80).unwrap();
        let streamtype = match (ours, carrier) {
            (Ours::Server, Carrier::Http1) => "server_http1",
            (Ours::Server, Carrier::Http2) => "server",
            (Ours::Client, Carrier::Http1) => "client_http1",
            (Ours::Client, Carrier::Http2) => "client_http2",
        };
        let stream = context.with(|cx| {
            let info = StreamInfo { ws_deflate: deflate, ..StreamInfo::from(streamtype) };
            let id = cx.create(info, mirror).unwrap();
            if ours == Ours::Client {
                cx.client_connect(id).unwrap();
            }
            id
        });
        let listeners = usize::from(ours == Ours::Server);
        let mut world = Self { network, context, log, ours, peer: None, listeners, stream };
        let said = world.open(carrier, &listener, extensions);
        world.run(100);
        world.log.borrow_mut().states.clear();
        (world, said)
    }

    fn open(&mut self, carrier: Carrier, listener: &RawListener, extensions: &str) -> Option<String> {
        let (network, context) = (&self.network, &mut self.context);
        let mut turn = || step(network, context, 10);
        let (peer, said) = match self.ours {
            Ours::Server => {
                let port = if carrier == Carrier::Http1 { 81 } else { 80 };
                turn();
                let socket = network.connect(&network.host("10.0.0.4"), &format!("10.0.0.1:{port}")).unwrap();
                WebSocket::client(carrier, socket, extensions, &mut turn)
            }
            Ours::Client => WebSocket::server(carrier, listener, extensions, &mut turn),
        };
        self.peer = Some(peer);
        said
    }

    fn run(&mut self, millis: u64) {
        step(&self.network, &mut self.context, millis);
        if let Some(peer) = &mut self.peer {
            peer.pump();
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let (network, context) = (&self.network, &mut self.context);
        self.peer.as_mut().unwrap().write(bytes, &mut || step(network, context, 10));
        for _ in 0..5 {
            self.run(20);
        }
    }

    /// What has come from ours, frame by frame.
    fn hear(&mut self) -> Vec<Frame> {
        frames(&self.peer.as_mut().unwrap().read(), self.ours == Ours::Client)
    }

    /// A client's frames are masked, and a server's are not.
    fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        frame(first, payload, self.ours == Ours::Server)
    }
}

fn step(network: &Network, context: &mut Context, millis: u64) {
    let until = network.now().saturating_add(Duration::from_millis(millis));
    network.run(&mut [context], until).unwrap();
}

type Frame = (u8, Vec<u8>);

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(first: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
    let mask = if is_masked { 0x80 } else { 0 };
    let mut out = match payload.len() {
        len @ ..126 => vec![first, mask | len as u8],
        len => [&[first, mask + 126][..], &(len as u16).to_be_bytes()].concat(),
    };
    let key = if is_masked { KEY } else { [0; 4] };
    out.extend(key.iter().filter(|_| is_masked));
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn frames(mut bytes: &[u8], is_masked: bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [first, len, rest @ ..] = bytes {
        assert_eq!(len & 0x80 != 0, is_masked, "RFC 6455 5.1");
        let (len, rest) = match (len & 0x7f, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (len, rest) => (usize::from(len), rest),
        };
        let (key, rest) = rest.split_at(if is_masked { 4 } else { 0 });
        let key = if is_masked { key } else { &[0; 4] };
        let (payload, rest) = rest.split_at(len);
        frames.push((*first, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()));
        bytes = rest;
    }
    frames
}

/// Fragments put together; control frames stay between messages.
fn joined(frames: &[Frame]) -> Vec<Frame> {
    let (mut messages, mut controls): (Vec<Frame>, Vec<Frame>) = Default::default();
    for (first, payload) in frames {
        match (first & 0x0f, messages.last_mut()) {
            (8.., _) => controls.push((*first, payload.clone())),
            (0, Some((_, message))) => message.extend_from_slice(payload),
            (opcode, _) => messages.push((opcode, payload.clone())),
        }
    }
    messages.into_iter().chain(controls).collect()
}

fn everywhere() -> impl Iterator<Item = (Carrier, Ours, usize)> {
    let sides = [Ours::Server, Ours::Client];
    let all = Carrier::BOTH.into_iter().flat_map(move |carrier| sides.map(|ours| (carrier, ours)));
    all.flat_map(|(carrier, ours)| [0, 1].map(|segment| (carrier, ours, segment)))
}

/// Frames that the peer sends, what is heard of them, and what comes back.
type Talk = (&'static [(u8, &'static [u8])], &'static [&'static str], &'static [(u8, &'static [u8])]);

const LONG: &[u8] = &[b'l'; 125];

const TALKS: &[Talk] = &[
    (&[(0x81, b"text")], &["text SOM|EOM"], &[(0x81, b"text")]),
    (&[(0x82, b"\xff\x00")], &["\u{fffd}\0 SOM|EOM|BINARY"], &[(0x82, b"\xff\x00")]),
    (&[(0x81, b"")], &[" SOM|EOM"], &[(0x81, b"")]),
    (
        &[(0x01, b"in"), (0x00, b"three"), (0x80, b"pieces")],
        &["in SOM", "three -", "pieces EOM"],
        &[(0x01, b"in"), (0x00, b"three"), (0x80, b"pieces")],
    ),
    (
        &[(0x02, b"bi"), (0x89, b"?"), (0x80, b"nary"), (0x81, b"text")],
        &["bi SOM|BINARY", "nary EOM|BINARY", "text SOM|EOM"],
        &[(0x02, b"bi"), (0x8a, b"?"), (0x80, b"nary"), (0x81, b"text")],
    ),
    // RFC 6455 8.1: text is text as a whole.
    (
        &[(0x01, b"\xc3"), (0x80, b"\xa9")],
        &["\u{fffd} SOM", "\u{fffd} EOM"],
        &[(0x01, b"\xc3"), (0x80, b"\xa9")],
    ),
    (&[(0x89, LONG)], &[], &[(0x8a, LONG)]),
    (&[(0x89, b"")], &[], &[(0x8a, b"")]),
    (&[(0x8a, b"nobody asked")], &[], &[]),
];

#[test]
fn messages_fragments_and_pings_have_their_kinds_and_places() {
    for at in everywhere() {
        let (mut world, _) = World::new(at, None, "");
        for (says, hears, answers) in TALKS {
            for (first, payload) in *says {
                let bytes = world.frame(*first, payload);
                world.say(&bytes);
            }
            let expected: Vec<Frame> =
                answers.iter().map(|(first, payload)| (*first, payload.to_vec())).collect();
            let (came, pieces) = (world.hear(), std::mem::take(&mut world.log.borrow_mut().pieces));
            if at.2 == 0 {
                assert_eq!((came, &pieces[..]), (expected, &strings(hears)[..]), "{at:?}: {says:?}");
            } else {
                assert_eq!(joined(&came), joined(&expected), "{at:?}: {says:?}");
            }
        }
        assert!(world.log.borrow().states.is_empty(), "{at:?}");
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What ends a websocket, what is said to that, and what its user is told.
type End = (&'static [u8], &'static [u8], &'static str);

/// Codes that have a place on the wire (RFC 6455 7.4), and what is answered in their words.
const GOODBYES: &[End] = &[
    (b"", b"", "code 1005"),
    (b"\x03\xe8", b"\x03\xe8", "code 1000"),
    (b"\x03\xe9going", b"\x03\xe9", "code 1001: going"),
    (b"\x03\xf3", b"\x03\xf3", "code 1011"),
    (b"\x03\xf6", b"\x03\xf6", "code 1014"),
    (b"\x0b\xb8", b"\x0b\xb8", "code 3000"),
    (b"\x0f\xa0enough", b"\x0f\xa0", "code 4000: enough"),
    (b"\x13\x87", b"\x13\x87", "code 4999"),
];

fn is_over(world: &mut World, at: (Carrier, Ours, usize)) {
    // A server ends the carrier at once, and a client when the server has, or has had its time to.
    assert!(at.1 == Ours::Client || world.peer.as_ref().unwrap().is_ended(), "{at:?}");
    world.peer.as_mut().unwrap().end();
    world.run(10);
    assert!(world.peer.as_ref().unwrap().is_ended(), "{at:?}");
    let carriers = usize::from(at.0 == Carrier::Http2);
    if at.1 == Ours::Client {
        // It may have come again, for what it has not sent yet.
        world.context.with(|cx| cx.destroy(world.stream)).unwrap();
        world.run(10);
    }
    assert_eq!(world.context.census().wsis, world.listeners + carriers, "{at:?}");
}

#[test]
fn a_goodbye_is_answered_in_its_own_words_and_what_follows_it_is_dropped() {
    for at in everywhere() {
        for (says, answer, cause) in GOODBYES {
            let (mut world, _) = World::new(at, None, "");
            let bytes = [world.frame(0x88, says), world.frame(0x81, b"more")].concat();
            world.say(&bytes);
            assert_eq!(world.hear(), [(0x88, answer.to_vec())], "{at:?}: {cause}");
            assert_eq!(world.log.borrow().causes, [format!("closed by the peer with {cause}")], "{at:?}");
            assert!(world.log.borrow().pieces.is_empty());
            is_over(&mut world, at);
        }
    }
}

/// Frames that break a rule, the code that says which, and a part of what the user is told.
type Fault = (&'static [(u8, &'static [u8])], u16, &'static str);

const FAULTS: &[Fault] = &[
    (&[(0x83, b"x")], 1002, "reserved opcode"),
    (&[(0x8b, b"x")], 1002, "reserved opcode"),
    (&[(0xc1, b"x")], 1002, "reserved bit"),
    (&[(0xa1, b"x")], 1002, "reserved bit"),
    (&[(0x91, b"x")], 1002, "reserved bit"),
    (&[(0x80, b"x")], 1002, "fragment"),
    (&[(0x01, b"x"), (0x81, b"x")], 1002, "fragment"),
    (&[(0x09, b"x")], 1002, "control"),
    (&[(0x89, &[b'x'; 126])], 1002, "control"),
    (&[(0x88, b"x")], 1002, "close"),
    (&[(0x88, b"\x03\xed")], 1002, "code"),
    (&[(0x88, b"\x03\xe7")], 1002, "code"),
    (&[(0x88, b"\x13\x88")], 1002, "code"),
    (&[(0x88, b"\x03\xe8\xff")], 1007, "not UTF-8"),
    (&[(0x81, b"\xff")], 1007, "not UTF-8"),
    (&[(0x81, b"\xc3")], 1007, "not UTF-8"),
    (&[(0x01, b"\xc3"), (0x80, b"x")], 1007, "not UTF-8"),
    (&[(0x81, b"\xed\xa0\x80")], 1007, "not UTF-8"),
];

#[test]
fn a_peer_that_breaks_a_rule_is_told_the_code_that_says_which() {
    for at in everywhere() {
        for (says, code, why) in FAULTS {
            let (mut world, _) = World::new(at, None, "");
            let bytes: Vec<u8> =
                says.iter().flat_map(|(first, payload)| world.frame(*first, payload)).collect();
            world.say(&bytes);
            check_fault(&mut world, at, *code, why);
        }
        let is_masked = at.1 == Ours::Server;
        let (mut world, _) = World::new(at, None, "");
        world.say(&frame(0x81, b"x", !is_masked));
        check_fault(&mut world, at, 1002, "mask");
        // Judged by its header.
        let (mut world, _) = World::new(at, None, "");
        let mask = if is_masked { 0x80 } else { 0 };
        world.say(&[&[0x82, 127 + mask, 0, 0, 0, 1, 0, 0, 0, 0][..], &KEY].concat());
        check_fault(&mut world, at, 1009, "too long");
    }
}

fn check_fault(world: &mut World, at: (Carrier, Ours, usize), code: u16, why: &str) {
    let goodbye = world.hear().into_iter().find(|(first, _)| *first == 0x88);
    assert_eq!(goodbye, Some((0x88, code.to_be_bytes().to_vec())), "{at:?}: {why}");
    let causes = world.log.borrow().causes.clone();
    assert!(causes.len() == 1 && causes[0].contains(why), "{at:?}: {why}: {causes:?}");
    is_over(world, at);
}

#[test]
fn an_end_without_goodbye_is_told_as_one() {
    for at in everywhere() {
        let (mut world, _) = World::new(at, None, "");
        let bytes = world.frame(0x01, b"begun");
        world.say(&bytes);
        world.peer.as_mut().unwrap().end();
        world.run(100);
        assert_eq!(world.log.borrow().causes, ["closed by the peer"], "{at:?}");
    }
}

#[test]
fn who_leaves_says_goodbye_with_the_code_of_their_choice_and_waits_for_the_answer() {
    for at in everywhere().filter(|(_, _, segment)| *segment == 0) {
        for (words, goodbye) in
            [(&b"leave"[..], &b"\x03\xe8"[..]), (b"leave with a reason", b"\x0f\xa0enough")]
        {
            let (mut world, _) = World::new(at, None, "");
            let bytes = world.frame(0x81, words);
            world.say(&bytes);
            assert_eq!(world.hear(), [(0x88, goodbye.to_vec())], "{at:?}");
            // What the peer says before it has heard of that is nobody's.
            let bytes = [world.frame(0x81, b"late"), world.frame(0x88, goodbye)].concat();
            world.say(&bytes);
            assert_eq!(world.log.borrow().messages, [words], "{at:?}");
            is_over(&mut world, at);
        }
    }
}

/// How ours may compress, what the peer says to it, and what both have agreed on.
struct Agreement {
    ours: Option<WsDeflate>,
    /// Of a server of ours: what it is offered. Of a client: what it is granted.
    said: &'static str,
    /// What ours says: a client's offer, or a server's grant.
    answer: Option<&'static str>,
    agreed: Option<Deflate>,
}

const NARROW: WsDeflate = WsDeflate {
    server_no_context_takeover: false,
    client_no_context_takeover: true,
    server_max_window_bits: 10,
    client_max_window_bits: 9,
};

fn forgetful() -> Deflate {
    Deflate::default()
}

fn grants() -> Vec<Agreement> {
    let plain = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    vec![
        Agreement { ours: None, said: "", answer: None, agreed: None },
        Agreement { ours: None, said: "permessage-deflate", answer: Some(plain), agreed: Some(forgetful()) },
        Agreement {
            ours: Some(WsDeflate::TAKEOVER),
            said: "permessage-deflate; client_max_window_bits",
            answer: Some("permessage-deflate"),
            agreed: Some(Deflate::TAKEOVER),
        },
        Agreement {
            ours: Some(WsDeflate::TAKEOVER),
            said: "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=8",
            answer: Some(
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=8",
            ),
            agreed: Some(Deflate {
                server_no_context_takeover: true,
                server_max_window_bits: 11,
                client_max_window_bits: 8,
                ..Deflate::TAKEOVER
            }),
        },
        Agreement {
            ours: Some(NARROW),
            said: "permessage-deflate; server_max_window_bits=15; client_max_window_bits",
            answer: Some(
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
            ),
            agreed: Some(NARROW),
        },
        Agreement { ours: Some(NARROW), said: "permessage-deflate; unheard_of", answer: None, agreed: None },
    ]
}

fn offers() -> Vec<Agreement> {
    let plain =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits";
    vec![
        Agreement { ours: None, said: "", answer: None, agreed: None },
        Agreement {
            ours: Some(WsDeflate::default()),
            said: "permessage-deflate; server_no_context_takeover",
            answer: Some(plain),
            agreed: Some(forgetful()),
        },
        Agreement {
            ours: Some(WsDeflate::TAKEOVER),
            said: "permessage-deflate",
            answer: Some("permessage-deflate; client_max_window_bits"),
            agreed: Some(Deflate::TAKEOVER),
        },
        Agreement {
            ours: Some(WsDeflate::TAKEOVER),
            said: "permessage-deflate; client_no_context_takeover; client_max_window_bits=9; server_max_window_bits=12",
            answer: Some("permessage-deflate; client_max_window_bits"),
            agreed: Some(Deflate {
                client_no_context_takeover: true,
                client_max_window_bits: 9,
                server_max_window_bits: 12,
                ..Deflate::TAKEOVER
            }),
        },
        Agreement {
            ours: Some(NARROW),
            said: "permessage-deflate; server_max_window_bits=10",
            answer: Some(
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
            ),
            agreed: Some(NARROW),
        },
        Agreement { ours: Some(NARROW), said: "", answer: Some(NARROWLY), agreed: None },
    ]
}

const NARROWLY: &str =
    "permessage-deflate; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9";

/// Speaks for the peer with an engine: messages that are alike, far enough apart that a small window tells.
fn compressed(world: &mut World, agreed: Option<Deflate>, messages: &[Vec<u8>]) -> Vec<usize> {
    let mut scratch = Scratch::default();
    let mut engine = match world.ours {
        Ours::Server => Engine::client(Limits::default(), agreed),
        Ours::Client => Engine::server(Limits::default(), agreed),
    };
    let mut sizes = Vec::new();
    for message in messages {
        let (mut out, piece) = (Vec::new(), Piece::BINARY);
        if agreed.is_some() {
            engine.encode_deflated(message, piece, KEY, &mut scratch, &mut out).unwrap();
        } else {
            let mut payload = message.clone();
            let prefix = engine.frame(&mut payload, piece, KEY).unwrap();
            out = [prefix.as_bytes(), &payload].concat();
        }
        world.say(&out);
        let (mut bytes, mut back, mut at) = (world.peer.as_mut().unwrap().read(), Vec::new(), 0);
        sizes.push(bytes.len());
        loop {
            let (used, event) = engine.input(&mut bytes[at..], &mut scratch).unwrap();
            match &event {
                None if used == 0 => break,
                Some(Event::Payload(piece)) => {
                    back.extend_from_slice(piece.bytes(&bytes[at..], &scratch));
                }
                _ => {}
            }
            at += used;
        }
        assert!(back == *message);
    }
    assert!(world.log.borrow().messages == messages);
    sizes
}

#[test]
fn all_four_parameters_of_compression_are_offered_and_granted_and_kept_to() {
    // Noise, so that what is saved is saved by looking back at the message before.
    let noise: Vec<u8> = (0_u32..3000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let messages =
        |noise: &[u8]| [noise.to_vec(), noise.to_vec(), b"of the same. ".repeat(noise.len() / 10), vec![]];
    for at in everywhere() {
        // In pieces of a byte, whose answers are pieces too, only what they come to counts.
        let messages = messages(if at.2 == 0 { &noise } else { &noise[..200] });
        let agreements = if at.1 == Ours::Server { grants() } else { offers() };
        for Agreement { ours, said, answer, agreed } in agreements {
            let (mut world, heard) = World::new(at, ours, said);
            assert_eq!(heard.as_deref(), answer, "{at:?}: {ours:?}, {said}");
            let sizes = compressed(&mut world, agreed, &messages);
            if at.2 > 0 {
                continue;
            }
            let (bits, forgets) = match (agreed, at.1) {
                (None, _) => (0, true),
                (Some(agreed), Ours::Server) => {
                    (agreed.server_max_window_bits, agreed.server_no_context_takeover)
                }
                (Some(agreed), Ours::Client) => {
                    (agreed.client_max_window_bits, agreed.client_no_context_takeover)
                }
            };
            let looks_back = !forgets && bits >= 12;
            assert_eq!(sizes[1] < 300, looks_back, "{at:?}: {agreed:?}: {sizes:?}");
            assert_eq!(sizes[2] < 200, agreed.is_some(), "{at:?}: {agreed:?}: {sizes:?}");
        }
    }
}

#[test]
fn a_message_that_inflates_beyond_reason_ends_the_connection() {
    let bomb = vec![0; 8 << 20];
    for at in everywhere().filter(|(_, _, segment)| *segment == 0) {
        let agreed = Some(Deflate::TAKEOVER);
        let said = if at.1 == Ours::Server {
            "permessage-deflate; client_max_window_bits"
        } else {
            "permessage-deflate"
        };
        let (mut world, _) = World::new(at, Some(WsDeflate::TAKEOVER), said);
        let mut engine = match at.1 {
            Ours::Server => Engine::client(Limits::default(), agreed),
            Ours::Client => Engine::server(Limits::default(), agreed),
        };
        let (mut out, mut scratch) = (Vec::new(), Scratch::default());
        engine.encode_deflated(&bomb, Piece::BINARY, KEY, &mut scratch, &mut out).unwrap();
        world.log.borrow_mut().ignores = true;
        world.say(&out);
        check_fault(&mut world, at, 1009, "inflate");
    }
}
