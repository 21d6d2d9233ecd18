//! Streams over HTTP/2 (`"protocol": "h2"`), client streams against server streams.

#![cfg(all(feature = "h2", feature = "tls"))]

use base64::Engine;
use millstream::sim::{Link, Network};
use millstream::{
    Cause, Context, Cx, Flow, Names, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type Log = Rc<RefCell<Heard>>;

#[derive(Default)]
struct Heard {
    states: Vec<StreamState>,
    payload: Vec<u8>,
    ends: usize,
    cause: Option<String>,
}

/// Sends what it has, and keeps what it hears.
struct Client {
    says: Vec<u8>,
    log: Log,
    /// Stops listening after each piece for this long.
    pause: Option<Duration>,
}

impl Client {
    fn new(says: impl Into<Vec<u8>>, log: &Log) -> Self {
        Self { says: says.into(), log: Rc::clone(log), pause: None }
    }
}

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        log.payload.extend_from_slice(payload);
        log.ends += usize::from(flags.is_eom());
        if let Some(pause) = self.pause.filter(|_| !flags.is_eom()) {
            cx.rx_flow(me, false).unwrap();
            cx.sul_schedule(pause, move |cx| drop(cx.rx_flow(me, true)));
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.says);
        self.says.drain(..sent);
        if self.says.is_empty() {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push(state);
        if let Some(cause) = cx.cause(me) {
            log.cause = Some(Cause::to_string(cause));
        }
        if state == StreamState::Connected && !self.says.is_empty() {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

/// What the server's streams have in common.
#[derive(Default)]
struct Served {
    at_once: usize,
    most_at_once: usize,
    requests: usize,
}

/// Answers `GET /bytes/N` with that many, `GET /never` never, and a POST with what it sends.
struct Server {
    served: Rc<RefCell<Served>>,
    answer: Vec<u8>,
    is_echo: bool,
    ended: bool,
}

impl Server {
    fn new(served: &Rc<RefCell<Served>>) -> Self {
        Self { served: Rc::clone(served), answer: Vec::new(), is_echo: false, ended: false }
    }
}

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self::new(&self.served)))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.answer.extend_from_slice(payload);
        self.ended |= flags.is_eom();
        cx.rx_flow(me, self.answer.len() < 20_000).unwrap();
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.answer);
        self.answer.drain(..sent);
        if self.is_echo {
            cx.rx_flow(me, true).unwrap();
        }
        if !self.answer.is_empty() {
            cx.request_tx(me).unwrap();
        } else if !self.is_echo || self.ended {
            tx.end_message();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::ServerTxn => {
                let path = String::from_utf8(cx.metadata(me, "path").unwrap().to_vec()).unwrap();
                self.is_echo = cx.metadata(me, "method") == Some(b"POST");
                let mut served = self.served.borrow_mut();
                served.requests += 1;
                served.at_once += 1;
                served.most_at_once = served.most_at_once.max(served.at_once);
                if let Some(count) = path.strip_prefix("/bytes/") {
                    self.answer = vec![b'x'; count.parse().unwrap()];
                    cx.request_tx_len(me, self.answer.len() as u64).unwrap();
                } else if path == "/nothing" {
                    cx.server_ack(me, 404).unwrap();
                    cx.request_tx_len(me, 0).unwrap();
                }
            }
            StreamState::Disconnected => self.served.borrow_mut().at_once -= 1,
            _ => {}
        }
        Flow::Ok
    }
}

fn policy() -> String {
    let made = rcgen::generate_simple_self_signed(["10.0.0.1".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
    let server = r#""server": true, "metadata": [{"method": ""}, {"path": ""}]"#;
    let plain = r#""endpoint": "10.0.0.1", "port": 80, "opportunistic": true, "retry": "table""#;
    let tls = r#""endpoint": "10.0.0.1", "opportunistic": true, "tls": true, "tls_trust_store": "ours", "retry": "table""#;
    let path = r#""metadata": [{"path": ""}]"#;
    format!(
        r#"{{"retry": [{{"table": {{"backoff": [100, 200], "conceal": 3, "jitterpc": 0}}}}],
        "certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}], "trust_stores": [{{"name": "ours", "stack": ["cert"]}}],
        "s": [
            {{"server": {{{server}, "port": 80, "protocol": "h2"}}}},
            {{"server_tls": {{{server}, "port": 443, "protocol": "h2", "tls": true, "server_cert": "cert", "server_key": "key"}}}},
            {{"old_tls": {{{server}, "port": 444, "protocol": "h1", "tls": true, "server_cert": "cert", "server_key": "key"}}}},
            {{"get": {{{plain}, "protocol": "h2", "http_method": "GET", "http_url": "bytes/${{path}}", {path}}}}},
            {{"get_tls": {{{tls}, "port": 443, "protocol": "h2", "http_method": "GET", "http_url": "bytes/${{path}}", {path}}}}},
            {{"get_h1": {{{plain}, "protocol": "h1", "http_method": "GET", "http_url": "bytes/${{path}}", {path}}}}},
            {{"get_h1_tls": {{{tls}, "port": 443, "protocol": "h1", "http_method": "GET", "http_url": "bytes/${{path}}", {path}}}}},
            {{"get_old": {{{tls}, "port": 444, "protocol": "h2", "http_method": "GET", "http_url": "bytes/1"}}}},
            {{"get_named": {{"endpoint": "server.lan", "port": 80, "opportunistic": true, "protocol": "h2", "http_method": "GET",
                "http_url": "bytes/${{path}}", {path}}}}},
            {{"never": {{{plain}, "protocol": "h2", "http_method": "GET", "http_url": "never"}}}},
            {{"nothing": {{{plain}, "protocol": "h2", "http_method": "GET", "http_url": "nothing"}}}},
            {{"post": {{{plain}, "protocol": "h2", "http_method": "POST", "http_url": "echo"}}}},
            {{"post_tls": {{{tls}, "port": 443, "protocol": "h2", "http_method": "POST", "http_url": "echo"}}}}
        ]}}"#
    )
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    served: Rc<RefCell<Served>>,
}

impl World {
    fn new(link: Link) -> Self {
        let network = Network::new(1);
        network.set_default_link(link);
        let policy = policy();
        let hosts = Some("10.0.0.1 server.lan\n".to_owned());
        let names = Names { hosts, servers: vec!["10.0.53.0:53".parse().unwrap()], ..Names::default() };
        let context = |address| {
            Context::builder()
                .policy(&policy)
                .unwrap()
                .names(names.clone())
                .sim(network.host(address))
                .build()
                .unwrap()
        };
        let (mut server, client) = (context("10.0.0.1"), context("10.0.0.2"));
        let served = Rc::default();
        server.with(|cx| {
            for streamtype in ["server", "server_tls", "old_tls"] {
                cx.create(streamtype, Server::new(&served)).unwrap();
            }
        });
        Self { network, server, client, served }
    }

    fn create(&mut self, streamtype: &str, path: &str, client: Client) -> StreamId {
        self.client.with(|cx| {
            let id = cx.create(streamtype, client).unwrap();
            if !path.is_empty() {
                cx.set_metadata(id, "path", path).unwrap();
            }
            cx.client_connect(id).unwrap();
            id
        })
    }

    fn run(&mut self, millis: u64) {
        self.network.run(&mut [&mut self.server, &mut self.client], Us::from_us(millis * 1000)).unwrap();
    }

    fn connections(&self) -> u64 {
        self.client.counters().connected
    }
}

#[test]
fn a_request_is_answered_in_either_version_plain_and_over_tls() {
    use StreamState as S;
    for link in [Link::default(), Link { segment: 1, ..Link::default() }] {
        for streamtype in ["get", "get_tls", "get_named", "get_h1", "get_h1_tls"] {
            let mut world = World::new(link);
            let log = Log::default();
            world.create(streamtype, "100", Client::new("", &log));
            world.run(1000);
            let log = log.borrow();
            assert_eq!((log.payload.len(), log.ends), (100, 1), "{streamtype}: {:?}", log.cause);
            let states = [S::Creating, S::Connecting, S::Connected, S::QosAckRemote, S::Disconnected];
            assert_eq!(log.states, states, "{streamtype}");
        }
    }
}

#[test]
fn what_is_posted_comes_back_with_windows_of_either_side_in_between() {
    for streamtype in ["post", "post_tls"] {
        let mut world = World::new(Link::default());
        let log = Log::default();
        let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        world.create(streamtype, "", Client::new(body.clone(), &log));
        world.run(20_000);
        let log = log.borrow();
        assert!(log.payload == body, "{streamtype}: {} {:?}", log.payload.len(), log.cause);
        assert_eq!(log.ends, 1);
        assert_eq!(log.states.last(), Some(&StreamState::Disconnected));
    }
}

#[test]
fn a_body_of_nothing_has_an_end_too() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    let id = world.create("post", "", Client::new("", &log));
    world.client.with(|cx| cx.request_tx(id)).unwrap();
    world.run(1000);
    assert_eq!((log.borrow().payload.len(), log.borrow().ends), (0, 1), "{:?}", log.borrow().cause);
}

#[test]
fn many_streams_share_a_connection_and_those_beyond_the_limit_wait() {
    let mut world = World::new(Link::default());
    let logs: Vec<Log> = (0..1000).map(|_| Log::default()).collect();
    for log in &logs {
        world.create("get_tls", "2000", Client::new("", log));
    }
    world.run(20_000);
    for log in &logs {
        assert_eq!((log.borrow().payload.len(), log.borrow().ends), (2000, 1), "{:?}", log.borrow().cause);
    }
    assert_eq!(world.connections(), 1);
    assert_eq!(world.served.borrow().requests, 1000);
    assert!(world.served.borrow().most_at_once <= 100, "{}", world.served.borrow().most_at_once);
}

#[test]
fn a_stream_that_takes_nothing_holds_up_no_other() {
    let mut world = World::new(Link::default());
    let (slow, fast) = (Log::default(), Log::default());
    let pause = Some(Duration::from_millis(500));
    world.create("get", "1000000", Client { pause, ..Client::new("", &slow) });
    world.create("get", "1000000", Client::new("", &fast));
    world.run(400);
    assert_eq!((fast.borrow().payload.len(), fast.borrow().ends), (1_000_000, 1));
    assert!(slow.borrow().payload.len() <= 16_384);
    world.run(120_000);
    assert_eq!((slow.borrow().payload.len(), slow.borrow().ends), (1_000_000, 1));
    assert_eq!(world.connections(), 1);
}

#[test]
fn what_waits_for_a_stream_that_takes_nothing_is_its_window_and_no_more() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    let pause = Some(Duration::from_secs(2));
    world.create("get", "1000000", Client { pause, ..Client::new("", &log) });
    world.run(1000);
    let (taken, sent) = (log.borrow().payload.len(), world.client.counters().rx_bytes);
    assert!(0 < taken && taken < 40_000 && sent < 140_000, "{taken} of {sent}");
    world.run(600_000);
    assert_eq!((log.borrow().payload.len(), log.borrow().ends), (1_000_000, 1));
}

#[test]
fn a_stream_that_is_destroyed_is_reset_and_its_siblings_live() {
    let mut world = World::new(Link::default());
    let (never, other) = (Log::default(), Log::default());
    let id = world.create("never", "", Client::new("", &never));
    world.create("get", "1000000", Client::new("", &other));
    world.run(6);
    assert_eq!(world.served.borrow().at_once, 2);
    world.client.with(|cx| cx.destroy(id)).unwrap();
    world.run(2000);
    assert_eq!((other.borrow().payload.len(), other.borrow().ends), (1_000_000, 1));
    assert_eq!((world.served.borrow().at_once, world.connections()), (0, 1));
}

#[test]
fn a_refusal_without_a_body_is_a_nack() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    world.create("nothing", "", Client::new("", &log));
    world.run(1000);
    assert!(log.borrow().states.contains(&StreamState::QosNackRemote), "{:?}", log.borrow().states);
}

#[test]
fn a_server_that_speaks_nothing_newer_is_asked_over_http_1() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    world.create("get_old", "", Client::new("", &log));
    world.run(1000);
    assert_eq!((log.borrow().payload.len(), log.borrow().ends), (1, 1), "{:?}", log.borrow().cause);
    assert!(!log.borrow().states.contains(&StreamState::Unreachable));
}

#[test]
fn an_idle_connection_says_goodbye_and_nothing_is_left() {
    let mut world = World::new(Link::default());
    let before = (world.server.census(), world.client.census());
    let log = Log::default();
    let id = world.create("get_tls", "5", Client::new("", &log));
    world.run(100);
    assert_eq!(world.client.census().wsis, before.1.wsis + 1);
    world.client.with(|cx| cx.destroy(id)).unwrap();
    world.run(120_000);
    assert_eq!((world.server.census(), world.client.census()), before);
}
