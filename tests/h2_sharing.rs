//! Which streams share an HTTP/2 connection: those of one endpoint and one TLS identity, whatever else their types say, but
//! for what a socket has only one of.

#![cfg(all(feature = "h2", feature = "tls"))]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use StreamState as S;
use base64::Engine;
use h2_peer::Peer;
use millstream::http::{BodyLength, Status};
use millstream::sim::{Link, Network};
use millstream::{Blob, Cause, Context, Cx, Flow, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use rcgen::{CertificateParams, KeyPair};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

type Log = Rc<RefCell<Vec<(u64, String)>>>;

/// As a server, answers nothing; as a client, tells why its connection has ended.
struct User(Log);

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Log::default())))
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating => drop(cx.client_connect(me)),
            StreamState::Unreachable | StreamState::Disconnected => {
                let cause = cx.cause(me).map(Cause::to_string).unwrap_or_default();
                self.0.borrow_mut().push((cx.now().as_us() / 1000, cause));
            }
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
    client: Context,
    log: Log,
}

impl World {
    /// A server, and two stream types of the same endpoint that have these keys beside.
    fn new(one: &str, other: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["10.0.0.1".to_owned()]).unwrap();
        let spare = rcgen::generate_simple_self_signed(["spare".to_owned()]).unwrap();
        let base64 = base64::engine::general_purpose::STANDARD;
        let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
        let client = |name: &str, keys: &str| {
            // What a type says of its own comes before the default.
            let store = if keys.contains("tls_trust_store") { "" } else { r#""tls_trust_store": "ours","# };
            let method = if keys.contains("http_method") { "" } else { r#""http_method": "GET","# };
            format!(
                r#"{{"{name}": {{"endpoint": "10.0.0.1", "port": 443, "protocol": "h2", "tls": true, "opportunistic": true,
                    {store} {method} {keys} "http_url": "{name}"}}}}"#
            )
        };
        let policy = format!(
            r#"{{"retry": [{{"plain": {{"backoff": [1000], "conceal": 0}}}},
                {{"checked": {{"backoff": [1000], "conceal": 0, "svalidping": 1, "svalidhup": 2}}}},
                {{"relaxed": {{"backoff": [1000], "conceal": 0, "svalidping": 100, "svalidhup": 200}}}}],
            "certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}, {{"spare": "{}"}}],
            "trust_stores": [{{"name": "ours", "stack": ["cert"]}}, {{"name": "more", "stack": ["cert", "spare"]}}],
            "s": [{{"server": {{"server": true, "port": 443, "protocol": "h2", "tls": true, "server_cert": "cert",
                "server_key": "key"}}}}, {}, {}]}}"#,
            base64.encode(spare.cert.der()),
            client("one", one),
            client("other", other),
        );
        let network = Network::new(1);
        let context =
            |host| Context::builder().policy(&policy).unwrap().sim(network.host(host)).build().unwrap();
        let (mut server, client) = (context("10.0.0.1"), context("10.0.0.2"));
        server.with(|cx| cx.create("server", User(Log::default()))).unwrap();
        let mut world = Self { network, server, client, log: Log::default() };
        world.set_client_certificate(0);
        world.set_client_certificate(1);
        world
    }

    fn set_client_certificate(&mut self, index: u8) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["device".to_owned()]).unwrap().self_signed(&key).unwrap();
        self.client.with(|cx| {
            cx.set_blob(Blob::ClientCert(index), cert.der().to_vec());
            cx.set_blob(Blob::ClientKey(index), key.serialize_der());
        });
    }

    fn create(&mut self, streamtype: &str) {
        let log = Rc::clone(&self.log);
        self.client.with(|cx| cx.create(streamtype, User(log))).unwrap();
        self.run(100);
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().as_us() + millis * 1000;
        self.network.run(&mut [&mut self.server, &mut self.client], Us::from_us(until)).unwrap();
    }

    fn connections(&self) -> u64 {
        self.client.counters().connected
    }
}

/// How many connections two streams have, one of each of two types with these keys.
fn connections(one: &str, other: &str) -> u64 {
    let mut world = World::new(one, other);
    world.create("one");
    world.create("other");
    assert!(world.log.borrow().is_empty(), "{:?}", world.log);
    world.connections()
}

#[test]
fn streams_with_the_same_trust_and_the_same_certificate_share_a_connection_and_others_do_not() {
    let (more, first, second) =
        (r#""tls_trust_store": "more","#, r#""client_cert": 0,"#, r#""client_cert": 1,"#);
    for (one, other, expected) in [
        ("", "", 1),
        (more, more, 1),
        ("", more, 2),
        (first, first, 1),
        ("", first, 2),
        (first, "", 2),
        (first, second, 2),
        (r#""tls_trust_store": "more", "client_cert": 0,"#, first, 2),
    ] {
        assert_eq!(connections(one, other), expected, "{one} and {other}");
    }
}

#[test]
fn a_certificate_that_has_been_replaced_is_shown_on_a_connection_of_its_own() {
    let mut world = World::new(r#""client_cert": 0,"#, "");
    world.create("one");
    world.create("one");
    assert_eq!(world.connections(), 1);
    world.set_client_certificate(0);
    world.create("one");
    assert_eq!(world.connections(), 2);
}

#[test]
fn what_concerns_a_request_alone_keeps_no_streams_apart() {
    for keys in [
        r#""http_method": "POST","#,
        r#""retry": "plain","#,
        r#""retry": "checked","#,
        r#""http_expect": 204, "allow_redirects": true, "timeout_ms": 5000,"#,
        r#""http_cookies": true, "http_auth_header": "authorization:","#,
        r#""long_poll": true,"#,
        r#""perf": true, "metadata": [{"a": "x-a:"}],"#,
    ] {
        assert_eq!((connections("", keys), connections(keys, "")), (1, 1), "{keys}");
    }
}

#[test]
fn what_a_socket_has_only_one_of_keeps_streams_apart() {
    for keys in [
        r#""attr_low_latency": true,"#,
        r#""attr_priority": 3,"#,
        // How a connection reckons with its peer's windows.
        r#""h2q_oflow_txcr": true,"#,
    ] {
        assert_eq!((connections("", keys), connections(keys, keys)), (2, 1), "{keys}");
    }
}

#[test]
fn a_connection_that_is_shared_is_valid_as_long_as_the_most_doubtful_of_its_streams_says() {
    let (checked, relaxed) = (r#""retry": "checked","#, r#""retry": "relaxed","#);
    for (one, other) in [(checked, ""), ("", checked), (relaxed, checked), (checked, relaxed)] {
        let mut world = World::new(one, other);
        world.create("one");
        world.create("other");
        // Longer than either could be silent: it has been asked, and has answered.
        world.run(5_000);
        assert!(world.log.borrow().is_empty(), "{:?}", world.log);
        let (near, far) = (world.network.host("10.0.0.2"), world.network.host("10.0.0.1"));
        world.network.link_down(&near, &far);
        let cut = world.network.now().as_us() / 1000;
        world.run(2_100);
        let log = world.log.borrow();
        assert_eq!(log.len(), 2, "{one} and {other}: {log:?}");
        for (at, cause) in log.iter() {
            assert!((cut + 900..cut + 2_001).contains(at), "cut at {cut}: {log:?}");
            assert!(cause.contains("no sign of life"), "{cause}");
        }
    }
}

#[test]
fn a_stream_that_joins_a_connection_in_doubt_gives_it_as_long_as_its_own_policy_says() {
    let mut world = World::new(r#""long_poll": true, "retry": "relaxed","#, r#""retry": "checked","#);
    world.create("one");
    // For so long nothing was to prove anything: that is no reason to give it up when somebody comes who is stricter.
    world.run(8_000);
    world.create("other");
    world.run(1_500);
    assert!(world.log.borrow().is_empty(), "{:?}", world.log);
    assert_eq!(world.connections(), 1);
}

/// Says "hello", and keeps what it is told.
struct Poster(Rc<RefCell<Vec<StreamState>>>);

impl StreamHandler for Poster {
    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().push(state);
        if state == StreamState::Creating {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn those_who_share_a_new_connection_wait_a_round_trip_to_hear_how_many_it_takes_and_none_is_refused() {
    const ROUND_TRIP: u64 = 100;
    let policy = r#"{"retry": [{"once": {"backoff": [1000], "conceal": 0}}],
        "s": [{"post": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "x",
            "opportunistic": true, "retry": "once"}}]}"#;
    let network = Network::new(1);
    network.set_default_link(Link { latency: Duration::from_millis(ROUND_TRIP / 2), ..Link::default() });
    let listener = network.listen(&network.host("10.0.0.1"), 80).unwrap();
    let mut context =
        Context::builder().policy(policy).unwrap().sim(network.host("10.0.0.2")).build().unwrap();
    let told: Vec<_> = (0..5).map(|_| Rc::<RefCell<Vec<StreamState>>>::default()).collect();
    context.with(|cx| {
        for told in &told {
            cx.create("post", Poster(Rc::clone(told))).unwrap();
        }
    });
    let (mut peer, mut asked, mut answered): (Option<Peer>, Vec<u64>, usize) = (None, Vec::new(), 0);
    let limits = h2::Limits { streams: 2, ..h2::Limits::default() };
    for milli in 1..1000 {
        network.run(&mut [&mut context], Us::from_us(milli * 1000)).unwrap();
        peer = peer.or_else(|| Some(Peer::new(listener.accept()?, h2::Engine::server(limits))));
        // As servers without TLS do, it says nothing before it has heard what is to be spoken.
        let Some(peer) = peer.as_mut().filter(|_| milli >= 3 * ROUND_TRIP / 2) else { continue };
        peer.serve();
        asked.resize(peer.requests.len(), milli);
        let done: Vec<_> = peer.ended.iter().skip(answered).copied().collect();
        for stream in done {
            answered += 1;
            peer.say(|engine, out| {
                let (status, body) = (Status::OK, BodyLength::Known(0));
                engine.encode_response(stream, status, std::iter::empty(), body, out).unwrap();
            });
        }
    }
    let first = asked[0];
    // With the settings comes the first answer: there is room for two, and then for two more.
    let waits: Vec<_> = asked.iter().map(|at| (at - first).div_ceil(ROUND_TRIP)).collect();
    assert_eq!(waits, [0, 1, 1, 2, 2], "{asked:?}");
    assert!(listener.accept().is_none());
    for told in &told {
        assert_eq!(
            *told.borrow(),
            [S::Creating, S::Poll, S::Connecting, S::Connected, S::QosAckRemote, S::Disconnected]
        );
    }
}
