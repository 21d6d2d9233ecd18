//! Streams over bare sockets: `"protocol": "raw"`.

#![cfg(all(feature = "raw", feature = "tls"))]

use base64::Engine;
use millstream::sim::{Link, Network};
use millstream::*;
use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;

type Log = Rc<RefCell<Heard>>;

#[derive(Default)]
struct Heard {
    states: Vec<(u64, StreamState)>,
    payload: Vec<u8>,
    cause: Option<String>,
    flags: Vec<RxFlags>,
}

impl Heard {
    fn states(&self) -> Vec<StreamState> {
        self.states.iter().map(|(_, state)| *state).collect()
    }
}

/// Sends what it has as soon as it is connected, and keeps what it hears.
struct Client {
    says: Vec<u8>,
    log: Log,
    /// Stops listening after each piece for this long.
    pause: Option<std::time::Duration>,
    metadata: Vec<(&'static str, String)>,
    is_silent_when_connected: bool,
}

impl Client {
    fn new(says: impl Into<Vec<u8>>, log: &Log) -> Self {
        Self {
            says: says.into(),
            log: Rc::clone(log),
            pause: None,
            metadata: Vec::new(),
            is_silent_when_connected: false,
        }
    }
}

impl StreamHandler for Client {
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        log.payload.extend_from_slice(payload);
        log.flags.push(flags);
        if let Some(pause) = self.pause {
            cx.rx_flow(me, false).unwrap();
            cx.sul_schedule(pause, move |cx| drop(cx.rx_flow(me, true)));
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.says);
        self.says.drain(..sent);
        if !self.says.is_empty() {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut log = self.log.borrow_mut();
        log.states.push((cx.now().as_us() / 1000, state));
        if let Some(cause) = cx.cause(me) {
            log.cause = Some(Cause::to_string(cause));
        }
        match state {
            StreamState::Creating => {
                for (name, value) in &self.metadata {
                    cx.set_metadata(me, name, value).unwrap();
                }
            }
            StreamState::Connected if !self.says.is_empty() && !self.is_silent_when_connected => {
                cx.request_tx(me).unwrap();
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// Gives back what it gets, and hangs up after `b"bye"`.
#[derive(Default)]
struct Echo(Vec<u8>);

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        if payload == b"bye" {
            return Flow::DisconnectMe;
        }
        self.0.extend_from_slice(payload);
        cx.rx_flow(me, self.0.len() < 10_000).unwrap();
        cx.request_tx(me).unwrap();
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.0);
        self.0.drain(..sent);
        if self.0.is_empty() {
            cx.rx_flow(me, true).unwrap();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }
}

fn policy() -> String {
    let made = rcgen::generate_simple_self_signed(["10.0.0.1".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
    format!(
        r#"{{"retry": [{{"table": {{"backoff": [100, 200], "conceal": 3, "jitterpc": 0}}}}],
        "certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}], "trust_stores": [{{"name": "ours", "stack": ["cert"]}}],
        "s": [
            {{"server": {{"server": true, "port": 7, "protocol": "raw"}}}},
            {{"server_tls": {{"server": true, "port": 8, "protocol": "raw", "tls": true, "server_cert": "cert",
                "server_key": "key"}}}},
            {{"client": {{"endpoint": "10.0.0.1", "port": 7, "protocol": "raw", "opportunistic": true}}}},
            {{"client_tls": {{"endpoint": "10.0.0.1", "port": 8, "protocol": "raw", "opportunistic": true, "tls": true,
                "tls_trust_store": "ours"}}}},
            {{"nailed": {{"endpoint": "10.0.0.1", "port": 7, "protocol": "raw", "nailed_up": true, "retry": "table"}}}},
            {{"given": {{"protocol": "raw", "opportunistic": true, "retry": "table"}}}},
            {{"unix_server": {{"server": true, "endpoint": "+@{at}", "protocol": "raw"}}}},
            {{"unix": {{"endpoint": "+@${{name}}", "protocol": "raw", "opportunistic": true, "metadata": [{{"name": ""}}]}}}}
        ]}}"#,
        at = abstract_name()
    )
}

fn abstract_name() -> String {
    format!("millstream-raw-streams-{}", std::process::id())
}

struct World {
    network: Network,
    context: Context,
    server: StreamId,
}

impl World {
    fn new(link: Link) -> Self {
        let network = Network::new(1);
        network.set_default_link(link);
        let mut context =
            Context::builder().policy(&policy()).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
        let server = context.with(|cx| {
            cx.create("server_tls", Echo::default()).unwrap();
            cx.create("server", Echo::default()).unwrap()
        });
        Self { network, context, server }
    }

    fn create(&mut self, streamtype: &str, client: Client) -> StreamId {
        self.context.with(|cx| {
            let id = cx.create(streamtype, client).unwrap();
            if streamtype != "nailed" {
                cx.client_connect(id).unwrap();
            }
            id
        })
    }

    fn run(&mut self, millis: u64) {
        self.network.run(&mut [&mut self.context], Us::from_us(millis * 1000)).unwrap();
    }
}

#[test]
fn bytes_go_both_ways_as_they_come_plain_and_over_tls() {
    use StreamState as S;
    for link in [Link::default(), Link { segment: 1, ..Link::default() }] {
        for streamtype in ["client", "client_tls"] {
            let mut world = World::new(link);
            let log = Log::default();
            world.create(streamtype, Client::new("hello", &log));
            world.run(1000);
            assert_eq!(log.borrow().payload, b"hello");
            assert!(log.borrow().flags.iter().all(|flags| !flags.is_som() && !flags.is_eom()));
            assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected], "{streamtype}");
        }
    }
}

#[test]
fn much_goes_through_a_peer_that_listens_now_and_then() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = Client::new(sent.clone(), &log);
    client.pause = Some(std::time::Duration::from_millis(10));
    world.create("client", client);
    world.run(600_000);
    assert_eq!(log.borrow().payload.len(), sent.len());
    assert!(log.borrow().payload == sent);
}

#[test]
fn a_peer_that_hangs_up_is_told_and_the_stream_lives_on() {
    use StreamState as S;
    let mut world = World::new(Link::default());
    let log = Log::default();
    let stream = world.create("client", Client::new("bye", &log));
    world.run(1000);
    assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected, S::Disconnected]);
    world.context.with(|cx| cx.request_tx(stream)).unwrap();
    world.run(2000);
    assert_eq!(log.borrow().states()[4..], [S::Poll, S::Connecting, S::Connected]);
}

#[test]
fn a_nailed_up_stream_comes_back_by_its_table() {
    let mut world = World::new(Link::default());
    let log = Log::default();
    world.create("nailed", Client::new("bye", &log));
    world.run(50);
    assert_eq!(log.borrow().states().last(), Some(&StreamState::Disconnected));
    let lost = log.borrow().states.last().unwrap().0;
    world.run(1000);
    let again = log.borrow().states[4..].to_vec();
    let again: Vec<_> = again.iter().map(|(at, state)| (at - lost, *state)).collect();
    assert_eq!(again[..2], [(100, StreamState::Poll), (100, StreamState::Connecting)]);
    assert_eq!(again[2].1, StreamState::Connected);
    // The server goes: the table's next times, then the end.
    let server = world.server;
    world.context.with(|cx| cx.destroy(server)).unwrap();
    world.run(10_000);
    let told = log.borrow();
    let failed: Vec<u64> = told
        .states
        .iter()
        .filter(|(_, state)| *state == StreamState::Unreachable)
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(failed, [1100, 1300, 1500]);
    assert_eq!(told.states().last(), Some(&StreamState::AllRetriesFailed));
}

fn real() -> Context {
    Context::builder().policy(&policy()).unwrap().build().unwrap()
}

fn serve_until(context: &mut Context, is_over: impl Fn() -> bool) {
    while !is_over() {
        context.service(None).unwrap();
    }
}

#[test]
fn an_abstract_unix_socket_is_named_by_metadata() {
    let mut context = real();
    let log = Log::default();
    let mut client = Client::new("over a unix socket", &log);
    client.metadata = vec![("name", abstract_name())];
    context.with(|cx| {
        cx.create("unix_server", Echo::default()).unwrap();
        let id = cx.create("unix", client).unwrap();
        cx.client_connect(id).unwrap();
    });
    serve_until(&mut context, || log.borrow().payload.len() == 18);
    assert_eq!(log.borrow().payload, b"over a unix socket");
}

#[test]
fn a_connected_socket_becomes_a_stream_s_connection() {
    use StreamState as S;
    let mut context = real();
    let log = Log::default();
    let stream = context.with(|cx| cx.create("given", Client::new("from here", &log))).unwrap();
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    context.with(|cx| cx.adopt(stream, ours)).unwrap();
    serve_until(&mut context, || log.borrow().states().contains(&S::Connected));
    let (spare, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let refused = context.with(|cx| cx.adopt(stream, spare));
    assert!(matches!(refused, Err(Error::WrongKind(_))), "one connection at a time");
    theirs.write_all(b"from there").unwrap();
    serve_until(&mut context, || log.borrow().payload == b"from there");
    let mut heard = [0; 9];
    theirs.set_nonblocking(false).unwrap();
    theirs.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"from here");
    drop(theirs);
    serve_until(&mut context, || log.borrow().states().contains(&S::Disconnected));
    assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected, S::Disconnected]);
    // It has no endpoint of its own: asked to connect, it says so.
    context.with(|cx| cx.client_connect(stream)).unwrap();
    serve_until(&mut context, || log.borrow().cause.as_ref().is_some_and(|why| why.contains("no endpoint")));
    // Another socket is as good as the first, and stops the retries.
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    context.with(|cx| cx.adopt(stream, ours)).unwrap();
    serve_until(&mut context, || log.borrow().states().ends_with(&[S::Connecting, S::Connected]));
}

#[test]
fn a_stream_that_would_have_to_wait_for_its_creation_hears_of_it_before_its_socket() {
    use StreamState as S;
    struct Nobody;
    impl StreamHandler for Nobody {}

    let mut context = real();
    let log = Log::default();
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.write_all(b"from there").unwrap();
    context.with(|cx| {
        // As many as have a turn.
        for _ in 0..5000 {
            cx.create("given", Nobody).unwrap();
        }
        let stream = cx.create("given", Client::new("", &log)).unwrap();
        cx.adopt(stream, ours).unwrap();
    });
    serve_until(&mut context, || log.borrow().payload == b"from there");
    assert_eq!(log.borrow().states(), [S::Creating, S::Connecting, S::Connected]);
    assert_eq!(context.census().illegal_states, 0);
}

#[test]
fn a_tx_that_was_asked_for_before_there_was_a_connection_comes_with_it() {
    let network = Network::new(1);
    let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
    let mut context = Context::builder().policy(&policy()).unwrap().sim(near).build().unwrap();
    let log = Log::default();
    let mut client = Client::new("", &log);
    client.says = b"early".to_vec();
    client.is_silent_when_connected = true;
    context.with(|cx| {
        let id = cx.create("nailed", client).unwrap();
        cx.request_tx(id).unwrap();
    });
    network.run(&mut [&mut context], Us::from_us(250_000)).unwrap();
    let listener = network.listen(&far, 7).unwrap();
    network.run(&mut [&mut context], Us::from_us(1_000_000)).unwrap();
    assert_eq!(listener.accept().expect("a connection").read(), b"early");
}

#[test]
fn only_raw_client_streams_adopt() {
    let mut context = real();
    let log = Log::default();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let refused = context.with(|cx| {
        let stream = cx.create("client_tls", Client::new("", &log)).unwrap();
        cx.adopt(stream, socket)
    });
    assert!(matches!(refused, Err(Error::WrongKind(_))));
    assert_eq!(context.census().wsis, 0);
}

/// A stream that says one thing and its own end, and keeps what it gets.
struct Caller {
    log: Log,
    says: &'static [u8],
}

impl StreamHandler for Caller {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.log.borrow_mut().payload.extend_from_slice(payload);
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        assert_eq!(tx.write(self.says), self.says.len());
        tx.end_message();
        // Comes to nothing: there is nothing after the end.
        cx.request_tx(me).unwrap();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Connected {
            cx.request_tx(me).unwrap();
        }
        self.log.borrow_mut().states.push((cx.now().as_us() / 1000, state));
        Flow::Ok
    }
}

/// A server without streams that answers when the peer has said its end, and not before.
#[derive(Default)]
struct Listener(Vec<u8>);

impl Protocol for Listener {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, payload: &[u8]) -> Flow {
        self.0.extend_from_slice(payload);
        Flow::Ok
    }

    fn half_closed(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let sent = tx.write(&self.0.to_ascii_uppercase());
        self.0.drain(..sent);
        if self.0.is_empty() {
            tx.end_message();
        } else {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }
}

#[test]
fn a_side_that_has_said_its_end_still_hears_the_other() {
    let mut world = World::new(Link::default());
    let info = ListenInfo::new(Address::Ip("10.0.0.1:9".parse().unwrap()), ServerRole::Raw);
    let accept =
        |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| Some(Box::<Listener>::default() as Box<dyn Protocol>);
    world.context.with(|cx| cx.listen(info, accept)).unwrap();
    let log = Log::default();
    world.context.set_policy(&policy().replace(r#""port": 7"#, r#""port": 9"#)).unwrap();
    world.context.with(|cx| {
        let id = cx.create("client", Caller { log: Rc::clone(&log), says: b"anybody there?" }).unwrap();
        cx.client_connect(id).unwrap();
    });
    world.run(1000);
    assert_eq!(log.borrow().payload, b"ANYBODY THERE?");
    assert_eq!(log.borrow().states().last(), Some(&StreamState::Disconnected));
    assert_eq!(world.context.census().wsis, 3, "the listeners, and nothing else");
}

#[test]
fn a_peer_that_has_said_its_end_is_hung_up_on_by_who_does_not_care() {
    let mut world = World::new(Link::default());
    let mut peer = world.network.connect(&world.network.host("10.0.0.9"), "10.0.0.1:7").unwrap();
    world.run(100);
    peer.write(b"hello").unwrap();
    peer.shutdown().unwrap();
    world.run(200);
    assert_eq!(peer.read(), b"hello");
    assert!(peer.is_eof());
}
