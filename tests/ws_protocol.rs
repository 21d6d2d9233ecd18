//! Websockets without secure streams: `Cx::ws_request` and `Cx::ws_accept`, and peers that are none of ours.

#![cfg(feature = "ws")]

use millstream::http::{BodyLength, Head, Status};
use millstream::sim::{Link, Network, RawSocket};
use millstream::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
struct Heard {
    messages: Vec<Vec<u8>>,
    status: Option<u16>,
    /// In the words of its cause, none of them where there was none.
    closed: Option<String>,
    rx_bytes: usize,
}

type Log = Rc<RefCell<Heard>>;

const INFO: WsInfo<'static> = WsInfo {
    protocols: "chat",
    is_binary: true,
    prioritize_reads: false,
    deflate: Some(WsDeflate::TAKEOVER),
};

/// Either end: the client says what it has, the server gives it back.
struct User {
    log: Log,
    info: WsInfo<'static>,
    is_server: bool,
    says: Vec<Vec<u8>>,
}

impl User {
    fn new(log: &Log, info: WsInfo<'static>, is_server: bool) -> Self {
        Self { log: Rc::clone(log), info, is_server, says: Vec::new() }
    }
}

impl Protocol for User {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        if !self.is_server {
            cx.ws_request(me, "/socket", "10.0.0.1", &[("x-token", "let me in")], &self.info).unwrap();
        }
        Flow::Ok
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        if head.get("x-token") == Some(b"let me in") {
            cx.ws_accept(me, head, &self.info).unwrap();
        } else {
            cx.http_respond(me, Status::FORBIDDEN, &[], BodyLength::None).unwrap();
        }
        Flow::Ok
    }

    fn response(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        self.log.borrow_mut().status = head.status().map(Status::code);
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        unreachable!("there are messages instead");
    }

    fn message(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        if flags.is_som() {
            log.messages.push(Vec::new());
        }
        log.messages.last_mut().unwrap().extend_from_slice(payload);
        log.rx_bytes += payload.len();
        if self.is_server && flags.is_eom() {
            self.says.push(log.messages.last().unwrap().clone());
            cx.wsi_request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(message) = self.says.first_mut() else { return TxFlow::DontSend };
        let sent = tx.write(message);
        message.drain(..sent);
        if message.is_empty() {
            self.says.remove(0);
            tx.end_message();
        }
        if !self.says.is_empty() {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, cause: Option<&Cause>) {
        self.log.borrow_mut().closed = Some(cause.map(ToString::to_string).unwrap_or_default());
    }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    log: Log,
}

impl World {
    fn new(link: Link) -> Self {
        Self::of(link, ServerRole::H1)
    }

    fn of(link: Link, role: ServerRole) -> Self {
        let network = Network::new(3);
        network.set_default_link(link);
        let build = |ip| Context::builder().sim(network.host(ip)).build().unwrap();
        let (mut server, client, log) = (build("10.0.0.1"), build("10.0.0.2"), Log::default());
        let address = Address::Ip("10.0.0.1:80".parse().unwrap());
        let shared = Rc::clone(&log);
        let accept = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
            Some(Box::new(User::new(&shared, INFO, true)))
        };
        let info = ListenInfo { websockets: true, ..ListenInfo::new(address, role) };
        server.with(|cx| cx.listen(info, accept).unwrap());
        Self { network, server, client, log }
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.server, &mut self.client], until).unwrap();
    }

    fn connect(&mut self, user: User) -> WsiId {
        self.connect_as(user, ClientRole::Ws)
    }

    fn connect_as(&mut self, user: User, role: ClientRole) -> WsiId {
        let address = Address::Ip("10.0.0.1:80".parse().unwrap());
        let info = ClientInfo::new(Target::Address(address), role);
        self.client.with(|cx| cx.connect(&info, user))
    }

    /// A peer that does what the test says, after its upgrade.
    fn raw(&mut self) -> RawSocket {
        let mut socket = self.network.connect(&self.network.host("10.0.0.3"), "10.0.0.1:80").unwrap();
        self.run(10);
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Token: let me in\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        socket.write(request.as_bytes()).unwrap();
        self.run(10);
        let response = socket.read();
        assert!(response.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&response));
        socket
    }
}

/// A frame with the mask 0, which changes nothing.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0], payload].concat()
}

#[test]
fn messages_are_compressed_where_both_sides_want_it_and_arrive_as_they_were() {
    for segment in [0, 1] {
        let mut sent = Vec::new();
        for deflate in [Some(WsDeflate::TAKEOVER), Some(WsDeflate::default()), None] {
            let mut world = World::new(Link { segment, ..Link::default() });
            let log = Log::default();
            let mut user = User::new(&log, WsInfo { deflate, ..INFO }, false);
            user.says =
                vec![b"a short one".to_vec(), b"much of the same. ".repeat(1_000), Vec::new(), vec![7; 300]];
            user.says.push(b"much of the same. ".repeat(20));
            let said = user.says.clone();
            world.connect(user);
            world.run(3000);
            assert_eq!(log.borrow().status, Some(101));
            assert!(world.log.borrow().messages == said, "to the server");
            assert!(log.borrow().messages == said, "and back");
            sent.push(world.client.counters().tx_bytes);
        }
        assert!(sent[0] < sent[1] && sent[1] < 1_500 && sent[2] > 18_000, "{sent:?}");
    }
}

#[cfg(feature = "h2")]
#[test]
fn the_same_code_speaks_websocket_over_either_version() {
    for deflate in [Some(WsDeflate::TAKEOVER), Some(WsDeflate::default()), None] {
        let mut world = World::of(Link::default(), ServerRole::Http);
        let (log, info) = (Log::default(), WsInfo { deflate, ..INFO });
        let mut user = User::new(&log, info, false);
        user.says = vec![b"much of the same. ".repeat(10_000), Vec::new(), b"short".to_vec()];
        let said = user.says.clone();
        let wsi = world.connect_as(user, ClientRole::H2);
        world.run(3000);
        assert_eq!(log.borrow().status, Some(200));
        assert!(world.log.borrow().messages == said && log.borrow().messages == said);
        assert_eq!(world.client.counters().tx_bytes < 10_000, deflate.is_some());
        world.client.with(|cx| {
            assert!(cx.wsi_peer(wsi).is_some() && cx.wsi_local(wsi).is_some());
            cx.wsi_close(wsi).unwrap();
        });
        world.run(100);
        assert_eq!(log.borrow().closed.as_deref(), Some(""));
        assert_eq!(world.log.borrow().closed.as_deref(), Some("closed by the peer with code 1000"));
    }
}

/// Grants when it is asked to, and hears whatever has come before.
#[cfg(feature = "h2")]
#[test]
fn what_comes_before_the_grant_waits_for_it_and_a_success_without_a_websocket_is_no_answer() {
    struct Slow(Log);
    impl Protocol for Slow {
        fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
            assert!(cx.http_respond(me, Status::OK, &[], BodyLength::Known(0)).is_err());
            let head = head.clone();
            let later = Duration::from_millis(100);
            cx.sul_schedule(later, move |cx| cx.ws_accept(me, &head, &WsInfo::default()).unwrap());
            Flow::Ok
        }

        fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
            unreachable!("there are messages instead");
        }

        fn message(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8], _: RxFlags) -> Flow {
            self.0.borrow_mut().messages.push(payload.to_vec());
            Flow::Ok
        }

        fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
            TxFlow::DontSend
        }
    }
    use h2::{Engine, Limits, Request};
    let network = Network::new(1);
    let mut server = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
    let log = Log::default();
    let shared = Rc::clone(&log);
    server.with(|cx| {
        let accept = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
            Some(Box::new(Slow(Rc::clone(&shared))))
        };
        let address = Address::Ip("10.0.0.1:80".parse().unwrap());
        let info = ListenInfo { websockets: true, ..ListenInfo::new(address, ServerRole::Http) };
        cx.listen(info, accept).unwrap();
    });
    let mut socket = network.connect(&network.host("10.0.0.3"), "10.0.0.1:80").unwrap();
    network.run(&mut [&mut server], Us::from_us(10_000)).unwrap();
    let (mut engine, mut out) = (Engine::client(Limits::default()), Vec::new());
    // What a server takes is known to this client without being told.
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1];
    let mut at = 0;
    while at < settings.len() {
        at += engine.input(0, &settings[at..], &mut Head::new()).unwrap().0;
    }
    let request = Request::connect(b"websocket", b"http", b"a", b"/");
    let fields = [(&b"sec-websocket-version"[..], &b"13"[..])].into_iter();
    let stream = engine.encode_request(&request, fields, BodyLength::Unknown, &mut out).unwrap();
    let message = masked(0x81, b"early");
    out.extend_from_slice(engine.frame(stream, message.len(), false).unwrap().prefix());
    out.extend_from_slice(&message);
    socket.write(&out).unwrap();
    network.run(&mut [&mut server], Us::from_us(50_000)).unwrap();
    assert!(log.borrow().messages.is_empty());
    network.run(&mut [&mut server], Us::from_us(200_000)).unwrap();
    assert_eq!(log.borrow().messages, [b"early"]);
}

#[test]
fn a_request_that_is_answered_otherwise_stays_http() {
    let mut world = World::new(Link::default());
    let mut socket = world.network.connect(&world.network.host("10.0.0.3"), "10.0.0.1:80").unwrap();
    world.run(10);
    socket.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    world.run(10);
    assert!(socket.read().starts_with(b"HTTP/1.1 403 "));
    assert!(!socket.is_eof());
}

#[test]
fn closing_says_goodbye_and_waits_for_the_answer() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    let wsi = world.connect(User::new(&log, INFO, false));
    world.run(100);
    world.client.with(|cx| cx.wsi_close(wsi)).unwrap();
    world.run(100);
    assert_eq!(log.borrow().closed.as_deref(), Some(""));
    assert_eq!(world.log.borrow().closed.as_deref(), Some("closed by the peer with code 1000"));
    assert_eq!((world.client.census().wsis, world.server.census().wsis), (0, 1));
}

#[test]
fn a_peer_that_breaks_a_rule_is_told_the_code_that_says_which() {
    let faults = [
        (b"\x81\x01x".to_vec(), 1002_u16, "without a mask"),
        (masked(0x80, b"x"), 1002, "fragment"),
        (masked(0x83, b"x"), 1002, "reserved opcode"),
        (masked(0x81, b"\xff"), 1007, "not UTF-8"),
        (vec![0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009, "too long"),
    ];
    for (bytes, code, why) in faults {
        let mut world = World::new(Link::default());
        let mut socket = world.raw();
        socket.write(&bytes).unwrap();
        world.run(10);
        let mut expected = vec![0x88, 2];
        expected.extend_from_slice(&code.to_be_bytes());
        assert_eq!(socket.read(), expected, "{why}");
        let told = world.log.borrow().closed.clone().unwrap();
        assert!(told.contains(why), "{told}");
        world.run(100_000);
        assert!(socket.is_eof());
    }
}

#[test]
fn a_goodbye_is_answered_in_its_own_words_and_what_follows_it_is_dropped() {
    let mut world = World::new(Link::default());
    let mut socket = world.raw();
    let goodbye = [masked(0x88, b"\x0f\xa0enough"), masked(0x81, b"more")].concat();
    socket.write(&goodbye).unwrap();
    world.run(10);
    assert_eq!(socket.read(), [0x88, 2, 0x0f, 0xa0]);
    assert_eq!(world.log.borrow().closed.as_deref(), Some("closed by the peer with code 4000: enough"));
    assert!(world.log.borrow().messages.is_empty());
}

#[test]
fn an_end_without_goodbye_is_told_as_one() {
    let mut world = World::new(Link::default());
    let mut socket = world.raw();
    socket.write(&masked(0x01, b"begun")).unwrap();
    socket.shutdown().unwrap();
    world.run(10);
    assert_eq!(world.log.borrow().closed.as_deref(), Some("closed by the peer"));
}

#[test]
fn a_peer_that_pings_and_does_not_read_gets_no_more_than_a_few_answers_kept() {
    let mut world = World::new(Link { window: 1000, ..Link::default() });
    let mut socket = world.raw();
    let ping = masked(0x89, &[b'p'; 100]);
    let mut sent = 0;
    for _ in 0..10_000 {
        let bytes: Vec<u8> = ping.iter().copied().cycle().skip(sent % ping.len()).take(500).collect();
        sent += socket.write(&bytes).unwrap_or_default();
        world.run(1);
        if sent > 200_000 {
            break;
        }
    }
    assert!(sent > 200_000, "the server reads on: {sent}");
    // It has something to read now.
    let mut heard = 0;
    for _ in 0..100 {
        heard += socket.read().len();
        world.run(10);
    }
    assert!((102..10_000).contains(&heard), "{heard} bytes of pongs");
    assert!(world.log.borrow().closed.is_none());
}
