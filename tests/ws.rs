//! Streams that speak websocket, on a simulated network: clients against servers.

#![cfg(all(feature = "ws", feature = "tls"))]

use base64::Engine;
use millstream::cause::Reason;
use millstream::sim::{Link, Network};
use millstream::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use {StreamState as S, TxFlow::DontSend};

type Log = Rc<RefCell<Heard>>;

#[derive(Default)]
struct Heard {
    states: Vec<(u64, StreamState)>,
    /// Whole messages, in the pieces in which they came.
    messages: Vec<Vec<Vec<u8>>>,
    causes: Vec<Cause>,
    metadata: Vec<(&'static str, Vec<u8>)>,
    me: Option<StreamId>,
}

impl Heard {
    fn states(&self) -> Vec<StreamState> {
        self.states.iter().map(|(_, state)| *state).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.messages.iter().map(|pieces| String::from_utf8(pieces.concat()).unwrap()).collect()
    }

    fn goodbye(&self) -> Option<(u16, String)> {
        match &self.causes.last()?.last()?.reason {
            Reason::Goodbye(code, words) => Some((*code, words.to_string())),
            _ => None,
        }
    }
}

/// What one end does: says pieces of messages, gives back what it hears, or leaves.
#[derive(Clone, Default)]
struct Peer {
    log: Log,
    /// Pieces, each with whether its message ends there.
    says: VecDeque<(Vec<u8>, bool)>,
    echoes: bool,
    /// Sends nothing on its own account when it is connected.
    waits: bool,
    /// The application's metadata.
    sets: Vec<(&'static str, &'static str)>,
}

impl Peer {
    fn new(log: &Log) -> Self {
        Self { log: Rc::clone(log), ..Self::default() }
    }

    fn echo(log: &Log) -> Self {
        Self { echoes: true, ..Self::new(log) }
    }

    fn saying(log: &Log, messages: &[&[&str]]) -> Self {
        let mut says = VecDeque::new();
        for pieces in messages {
            for (at, piece) in pieces.iter().enumerate() {
                says.push_back((piece.as_bytes().to_vec(), at + 1 == pieces.len()));
            }
        }
        Self { says, ..Self::new(log) }
    }
}

impl StreamHandler for Peer {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        if payload == b"leave" {
            return Flow::DisconnectMe;
        }
        let messages = &mut self.log.borrow_mut().messages;
        if flags.is_som() {
            messages.push(Vec::new());
        }
        messages.last_mut().unwrap().push(payload.to_vec());
        if self.echoes {
            self.says.push_back((payload.to_vec(), flags.is_eom()));
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((piece, is_last)) = self.says.pop_front() else { return DontSend };
        let sent = tx.write(&piece);
        if sent < piece.len() {
            self.says.push_front((piece[sent..].to_vec(), is_last));
        } else if is_last {
            tx.end_message();
        }
        if !self.says.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push((cx.now().as_us() / 1000, state));
        log.me = Some(me);
        if matches!(state, S::Disconnected | S::Unreachable | S::AuthFailed) {
            log.causes.extend(cx.cause(me).cloned());
        }
        match state {
            S::Creating => {
                for (name, value) in &self.sets {
                    cx.set_metadata(me, name, value).unwrap();
                }
            }
            S::ServerUpgrade => {
                for name in ["path", "query", "token", "auth"] {
                    log.metadata.extend(cx.metadata(me, name).map(|value| (name, value.to_vec())));
                }
            }
            _ => {}
        }
        // A server answers nothing but websockets here.
        if matches!(state, S::Connected | S::ServerUpgrade) && !self.says.is_empty() && !self.waits {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

fn policy() -> String {
    let made = rcgen::generate_simple_self_signed(["10.0.0.1".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
    let client = |name: &str, more: &str| {
        format!(r#"{{"{name}": {{"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", {more}}}}}"#)
    };
    let clients = [
        client("client", r#""opportunistic": true, "ws_subprotocol": "chat""#),
        client(
            "reads_first",
            r#""opportunistic": true, "ws_subprotocol": "chat", "ws_prioritize_reads": true"#,
        ),
        client("binary", r#""opportunistic": true, "ws_subprotocol": "chat", "ws_binary": true"#),
        client("nailed", r#""nailed_up": true, "ws_subprotocol": "other, chat", "retry": "table""#),
        client("stranger", r#""ws_subprotocol": "gossip", "retry": "table""#),
        client("any", r#""opportunistic": true, "retry": "table""#),
        client(
            "asks",
            r#""opportunistic": true, "ws_subprotocol": "chat", "http_url": "room/${room}?q=1", "http_auth_header": "authorization:",
            "http_auth_preamble": "bearer ", "metadata": [{"room": ""}, {"token": "x-token:"}]"#,
        ),
    ];
    format!(
        r#"{{"retry": [{{"table": {{"backoff": [100, 200], "conceal": 2, "jitterpc": 0, "svalidping": 3, "svalidhup": 5}}}}],
        "certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}], "trust_stores": [{{"name": "ours", "stack": ["cert"]}}],
        "s": [
            {{"server": {{"server": true, "port": 80, "protocol": "h1", "ws_subprotocol": "chat", "metadata": [{{"path": ""}},
                {{"query": ""}}, {{"token": "x-token:"}}, {{"auth": "authorization:"}}]}}}},
            {{"server_tls": {{"server": true, "port": 443, "protocol": "ws", "ws_subprotocol": "chat", "tls": true,
                "server_cert": "cert", "server_key": "key"}}}},
            {{"server_alpn": {{"server": true, "port": 8443, "protocol": "h2", "ws_subprotocol": "chat", "tls": true,
                "server_cert": "cert", "server_key": "key"}}}},
            {{"client_alpn": {{"endpoint": "10.0.0.1", "port": 8443, "protocol": "ws", "opportunistic": true, "tls": true,
                "tls_trust_store": "ours", "ws_subprotocol": "chat"}}}},
            {{"client_tls": {{"endpoint": "10.0.0.1", "port": 443, "protocol": "ws", "opportunistic": true, "tls": true,
                "tls_trust_store": "ours", "ws_subprotocol": "chat"}}}},
            {}]}}"#,
        clients.join(",")
    )
}

struct World {
    network: Network,
    contexts: [Context; 2],
    log: Log,
    server: StreamId,
}

impl World {
    /// A server on 10.0.0.1 whose accepted streams do as `served` does, and a host for clients.
    fn new(link: Link, served: impl Fn(&Log) -> Peer) -> Self {
        let (network, log) = (Network::new(1), Log::default());
        network.set_default_link(link);
        let policy = policy();
        let [mut server, client] = ["10.0.0.1", "10.0.0.2"]
            .map(|ip| Context::builder().policy(&policy).unwrap().sim(network.host(ip)).build().unwrap());
        let stream = server.with(|cx| {
            cx.create("server_tls", served(&log)).unwrap();
            if cfg!(feature = "h2") {
                cx.create("server_alpn", served(&log)).unwrap();
            }
            cx.create("server", served(&log)).unwrap()
        });
        // Of the servers only what they hear from here on.
        let mut world = Self { network, contexts: [server, client], log, server: stream };
        world.run(1);
        world.log.borrow_mut().states.clear();
        world
    }

    fn connect(&mut self, streamtype: &str, peer: Peer) -> StreamId {
        let is_nailed = streamtype == "nailed";
        self.contexts[1].with(|cx| {
            let id = cx.create(streamtype, peer).unwrap();
            if !is_nailed {
                cx.client_connect(id).unwrap();
            }
            id
        })
    }

    fn run(&mut self, until_millis: u64) {
        let [server, client] = &mut self.contexts;
        self.network.run(&mut [server, client], Us::from_us(until_millis * 1000)).unwrap();
    }
}

#[test]
fn messages_and_their_fragments_go_both_ways_however_they_are_cut_plain_and_over_tls() {
    for link in
        [Link::default(), Link { segment: 1, ..Link::default() }, Link { segment: 7, ..Link::default() }]
    {
        let long = "x".repeat(if link.segment == 1 { 2_000 } else { 40_000 });
        let messages: [&[&str]; 6] =
            [&["hello"], &["in", " three ", "pieces"], &[""], &["\u{e9}t\u{e9}"], &[&long], &["end"]];
        let whole: Vec<String> = messages.iter().map(|pieces| pieces.concat()).collect();
        for streamtype in ["client", "client_tls", "client_alpn", "binary", "reads_first"] {
            if streamtype == "client_alpn" && cfg!(not(feature = "h2")) {
                continue;
            }
            let mut world = World::new(link, Peer::echo);
            let log = Log::default();
            world.connect(streamtype, Peer::saying(&log, &messages));
            world.run(20_000);
            assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected], "{streamtype}");
            assert_eq!(world.log.borrow().texts(), whole, "{streamtype}, to the server");
            assert_eq!(log.borrow().texts(), whole, "{streamtype}, back");
        }
    }
}

#[test]
fn a_fragment_is_a_piece_on_a_network_that_does_not_cut_it() {
    let mut world = World::new(Link::default(), Peer::new);
    let log = Log::default();
    world.connect("client", Peer::saying(&log, &[&["in", " three ", "pieces"], &["one"]]));
    world.run(1000);
    let heard = world.log.borrow();
    assert_eq!(heard.messages[0], [b"in".to_vec(), b" three ".to_vec(), b"pieces".to_vec()]);
    assert_eq!(heard.messages[1], [b"one".to_vec()]);
}

#[test]
fn an_accepted_stream_hears_of_the_upgrade_and_the_server_stream_does_not() {
    let mut world = World::new(Link::default(), |log| Peer::saying(log, &[&["welcome"]]));
    let log = Log::default();
    world.connect("client", Peer::new(&log));
    world.run(1000);
    let states = world.log.borrow().states();
    assert_eq!(states, [S::Creating, S::Connecting, S::Connected, S::ServerUpgrade]);
    assert_ne!(world.log.borrow().me, Some(world.server));
    assert_eq!(log.borrow().texts(), ["welcome"]);
}

#[test]
fn the_request_has_url_metadata_headers_and_authorization_of_the_policy() {
    let mut world = World::new(Link::default(), Peer::new);
    let log = Log::default();
    world.contexts[1].with(|cx| cx.set_blob(Blob::Auth(0), "secret"));
    let sets = vec![("room", "blue"), ("token", "t1")];
    world.connect("asks", Peer { sets, ..Peer::new(&log) });
    world.run(1000);
    assert_eq!(log.borrow().states().last(), Some(&S::Connected));
    let expected = [("path", "/room/blue"), ("query", "q=1"), ("token", "t1"), ("auth", "bearer secret")];
    let expected = expected.map(|(name, value)| (name, value.as_bytes().to_vec()));
    assert_eq!(world.log.borrow().metadata, expected);
}

#[test]
fn a_client_that_leaves_says_goodbye_and_may_come_again() {
    let mut world = World::new(Link::default(), |log| Peer::saying(log, &[&["leave"]]));
    let log = Log::default();
    let stream = world.connect("client", Peer::new(&log));
    world.run(1000);
    assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected, S::Disconnected]);
    assert_eq!(log.borrow().causes[0].last().unwrap().reason, Reason::ClosedByUs);
    assert_eq!(world.log.borrow().goodbye(), Some((1000, String::new())));
    assert_eq!(world.log.borrow().states().last(), Some(&S::Destroying));
    world.contexts[1].with(|cx| cx.client_connect(stream)).unwrap();
    world.run(2000);
    assert_eq!(log.borrow().states()[4..], [S::Connecting, S::Connected, S::Disconnected]);
    assert!(world.contexts.iter().all(|context| context.census().wsis <= 3));
}

#[test]
fn a_server_that_leaves_says_goodbye_and_a_nailed_up_client_comes_back() {
    let mut world = World::new(Link::default(), Peer::new);
    let log = Log::default();
    world.connect("nailed", Peer::saying(&log, &[&["leave"]]));
    world.run(50);
    assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected, S::Disconnected]);
    assert_eq!(log.borrow().goodbye(), Some((1000, String::new())));
    let lost = log.borrow().states.last().unwrap().0;
    world.run(1000);
    let again = log.borrow().states[4..].to_vec();
    assert_eq!(again[0], (lost + 100, S::Poll));
    assert_eq!(again[2].1, S::Connected);
}

#[test]
fn destroying_either_end_says_goodbye_to_the_other() {
    let mut world = World::new(Link::default(), Peer::new);
    let (one, other) = (Log::default(), Log::default());
    let stream = world.connect("client", Peer::new(&one));
    world.connect("client", Peer::new(&other));
    world.run(100);
    world.contexts[1].with(|cx| cx.destroy(stream)).unwrap();
    world.run(200);
    assert_eq!(world.log.borrow().goodbye(), Some((1000, String::new())));
    let server = world.server;
    world.contexts[0].with(|cx| cx.destroy(server)).unwrap();
    world.run(300);
    assert_eq!(other.borrow().goodbye(), Some((1001, String::new())));
    world.run(60_000);
    assert_eq!(world.contexts[1].census().wsis, 0);
}

#[test]
fn pongs_keep_an_idle_connection_and_silence_ends_it() {
    let mut world = World::new(Link::default(), Peer::new);
    let log = Log::default();
    world.connect("nailed", Peer::new(&log));
    world.run(100_000);
    assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected]);
    world.network.link_down(&world.network.host("10.0.0.1"), &world.network.host("10.0.0.2"));
    world.run(106_000);
    assert_eq!(log.borrow().states()[3], S::Disconnected);
    assert_eq!(log.borrow().causes[0].last().unwrap().reason, Reason::NotValid);
    world.network.link_up(&world.network.host("10.0.0.1"), &world.network.host("10.0.0.2"));
    world.run(200_000);
    assert_eq!(log.borrow().states().last(), Some(&S::Connected));
}

#[test]
fn a_client_is_pinged_by_a_server_that_nobody_told_to() {
    let mut world = World::new(Link::default(), Peer::new);
    let log = Log::default();
    world.connect("client", Peer::new(&log));
    world.run(1000);
    let sent = world.contexts[0].counters().tx_bytes;
    world.run(299_000);
    assert_eq!(world.contexts[0].counters().tx_bytes, sent);
    world.run(305_000);
    // Each side has asked and answered: a ping of four bytes, and the pong, which a client masks.
    assert_eq!(world.contexts[0].counters().tx_bytes, sent + 2 * 6);
    world.network.crash(&world.network.host("10.0.0.2"));
    world.run(700_000);
    assert_eq!(world.log.borrow().causes[0].last().unwrap().reason, Reason::NotValid);
}

#[test]
fn a_subprotocol_that_the_server_does_not_speak_is_a_failed_try() {
    let mut world = World::new(Link::default(), Peer::new);
    let log = Log::default();
    world.connect("stranger", Peer::new(&log));
    world.run(10_000);
    let states = log.borrow().states();
    assert_eq!(states.iter().filter(|state| **state == S::Unreachable).count(), 3);
    assert_eq!(states.last(), Some(&S::AllRetriesFailed));
    assert_eq!(log.borrow().causes[0].last().unwrap().reason, Reason::HttpStatus(400));
    let any = Log::default();
    world.connect("any", Peer::new(&any));
    world.run(11_000);
    assert_eq!(any.borrow().states().last(), Some(&S::Connected));
}

#[test]
fn text_that_is_none_ends_the_connection_and_says_why() {
    let mut world = World::new(Link::default(), Peer::new);
    for (streamtype, is_sent) in [("client", false), ("binary", true)] {
        let log = Log::default();
        let says = VecDeque::from([(vec![0xff, 0xfe], true)]);
        world.connect(streamtype, Peer { says, ..Peer::new(&log) });
        let now = world.network.now().as_us() / 1000;
        world.run(now + 1000);
        assert_eq!(log.borrow().states().last() == Some(&S::Connected), is_sent, "{streamtype}");
        if !is_sent {
            let why = log.borrow().causes[0].to_string();
            assert!(why.contains("text that is not UTF-8"), "{why}");
        }
    }
    assert_eq!(world.log.borrow().messages, [[[0xff, 0xfe]]]);
}

#[test]
fn a_server_of_websockets_alone_tells_others_what_to_ask_for() {
    let network = Network::new(1);
    let policy = r#"{"s": [{"server": {"server": true, "port": 80, "protocol": "ws"}}]}"#;
    let mut context =
        Context::builder().policy(policy).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    context.with(|cx| cx.create("server", Peer::default()).unwrap());
    let mut socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
    let mut ask = |request: &[u8]| {
        let connected = network.now().saturating_add(Duration::from_millis(10));
        network.run(&mut [&mut context], connected).unwrap();
        socket.write(request).unwrap();
        let until = network.now().saturating_add(Duration::from_millis(100));
        network.run(&mut [&mut context], until).unwrap();
        String::from_utf8_lossy(&socket.read()).into_owned()
    };
    let answer = ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("Upgrade: websocket\r\n"), "{answer}");
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: \
        dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let answer = ask(format!("{upgrade}Sec-WebSocket-Version: 12\r\n\r\n").as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 426 ") && answer.contains("Sec-WebSocket-Version: 13\r\n"),
        "{answer}"
    );
    let answer = ask(format!("{upgrade}Sec-WebSocket-Version: 13\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
}

/// Remembers each piece as it comes, and gives it back as what it came: text or binary.
struct Mirror {
    log: Rc<RefCell<Vec<String>>>,
    kept: VecDeque<(Vec<u8>, RxFlags)>,
}

impl StreamHandler for Mirror {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.log.borrow_mut().push(format!("{} {flags:?}", String::from_utf8_lossy(payload)));
        self.kept.push_back((payload.to_vec(), flags));
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let Some((payload, flags)) = self.kept.pop_front() else { return DontSend };
        assert_eq!(tx.is_som(), flags.is_som());
        tx.write(&payload);
        tx.binary(flags.is_binary());
        if flags.is_eom() {
            tx.end_message();
        }
        if !self.kept.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }
}

/// Serves the page, until it is asked for something else.
struct Door(Rc<RefCell<Vec<String>>>);

impl StreamHandler for Door {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Rc::clone(&self.0))))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        unreachable!("the handler was changed");
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().push(format!("{state:?}"));
        if state == S::ServerUpgrade {
            let mirror = Mirror { log: Rc::clone(&self.0), kept: VecDeque::new() };
            cx.change_handlers(me, mirror).unwrap();
        }
        if state == S::ServerTxn {
            cx.server_ack(me, 0).unwrap();
            cx.request_tx_len(me, 0).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::Send
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.borrow_mut().push("dropped".to_owned());
    }
}

/// With the mask 0, which changes nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0], payload].concat()
}

#[test]
fn a_handler_that_is_changed_at_the_upgrade_leaves_each_piece_to_the_new_one_with_its_place_and_kind() {
    let (network, log) = (Network::new(1), Rc::default());
    let policy =
        r#"{"s": [{"server": {"server": true, "port": 80, "protocol": "h1", "ws_subprotocol": "chat"}}]}"#;
    let mut context =
        Context::builder().policy(policy).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    context.with(|cx| cx.create("server", Door(Rc::clone(&log))).unwrap());
    let mut socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
    network.run(&mut [&mut context], Us::from_us(10_000)).unwrap();
    log.borrow_mut().clear();
    let mut say = |bytes: &[u8]| {
        socket.write(bytes).unwrap();
        let until = network.now().saturating_add(Duration::from_millis(10));
        network.run(&mut [&mut context], until).unwrap();
        socket.read()
    };
    assert!(say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with(b"HTTP/1.1 200 "));
    let upgrade =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: \
        dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    // The first frames come with the request, before the answer to it is known.
    let first = masked(0x01, b"in");
    let answer = say(&[&upgrade[..], &first].concat());
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    assert!(answer.ends_with(b"\r\n\r\n\x01\x02in"), "{}", String::from_utf8_lossy(&answer));
    // A control frame between fragments is no part of the message.
    assert_eq!(say(&masked(0x89, b"?")), b"\x8a\x01?");
    assert_eq!(say(&masked(0x00, b"three")), b"\x00\x05three");
    assert_eq!(say(&masked(0x80, b"pieces")), b"\x80\x06pieces");
    assert_eq!(say(&masked(0x82, b"whole")), b"\x82\x05whole");
    assert_eq!(say(&[masked(0x02, b"bi"), masked(0x80, b"nary")].concat()), b"\x02\x02bi\x80\x04nary");
    assert_eq!(say(&masked(0x81, b"")), b"\x81\x00");
    let heard = [
        "ServerTxn",
        "ServerUpgrade",
        "dropped",
        "in SOM",
        "three -",
        "pieces EOM",
        "whole SOM|EOM|BINARY",
        "bi SOM|BINARY",
        "nary EOM|BINARY",
        " SOM|EOM",
    ];
    assert_eq!(*log.borrow(), heard);
}

/// Answers each message with one, and keeps the order of what it is called for.
struct Turns(Rc<RefCell<String>>);

impl StreamHandler for Turns {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], _: RxFlags) -> Flow {
        self.0.borrow_mut().push('r');
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.0.borrow_mut().push('t');
        tx.write(b"ok");
        tx.end_message();
        TxFlow::Send
    }
}

#[test]
fn what_came_together_is_answered_piece_by_piece_or_with_ws_prioritize_reads_when_all_of_it_is_read() {
    for (streamtype, expected) in [("client", "rtrtrt"), ("reads_first", "rrrt")] {
        let mut world =
            World::new(Link::default(), |log| Peer::saying(log, &[&["one"], &["two"], &["three"]]));
        let turns = Rc::<RefCell<String>>::default();
        world.contexts[1].with(|cx| {
            let id = cx.create(streamtype, Turns(Rc::clone(&turns))).unwrap();
            cx.client_connect(id).unwrap();
        });
        world.run(1000);
        assert_eq!(*turns.borrow(), expected, "{streamtype}");
        assert_eq!(world.log.borrow().texts().len(), expected.matches('t').count());
    }
}

#[test]
fn a_pong_that_answers_no_ping_of_ours_is_no_sign_of_life() {
    let network = Network::new(1);
    let policy = r#"{"retry": [{"table": {"backoff": [100], "conceal": 0, "svalidping": 3, "svalidhup": 5}}],
        "s": [{"server": {"server": true, "port": 80, "protocol": "ws", "retry": "table"}}]}"#;
    let mut context =
        Context::builder().policy(policy).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    let log = Log::default();
    context.with(|cx| cx.create("server", Peer::new(&log)).unwrap());
    let mut run = |millis: u64| network.run(&mut [&mut context], Us::from_us(millis * 1000)).unwrap();
    let mut sockets =
        ["10.0.0.2", "10.0.0.3"].map(|ip| network.connect(&network.host(ip), "10.0.0.1:80").unwrap());
    run(10);
    for socket in &mut sockets {
        let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        socket.write(upgrade).unwrap();
    }
    run(100);
    for socket in &mut sockets {
        assert!(socket.read().starts_with(b"HTTP/1.1 101 "));
    }
    let [honest, other] = &mut sockets;
    let mut asked = 0;
    for tenth in 2..200 {
        run(tenth * 100);
        let ping = honest.read();
        if let [0x89, 4, sign @ ..] = &ping[..] {
            asked += 1;
            honest.write(&masked(0x8a, sign)).unwrap();
        }
        // RFC 6455 5.5.3: one that nobody asked for is allowed, and expects no answer.
        let _ = other.write(&masked(0x8a, b"life"));
        other.read();
        assert_eq!(other.is_eof(), tenth > 50, "at {tenth} tenths of a second");
    }
    assert!((5..=7).contains(&asked) && !honest.is_eof(), "{asked}");
    assert_eq!(log.borrow().causes[0].last().unwrap().reason, Reason::NotValid);
}
