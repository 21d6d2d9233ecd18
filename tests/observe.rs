//! What can be seen of a context at work: the performance of connections as JSON, counters, and the length of each step.

#![cfg(all(feature = "h1", feature = "tls"))]

use base64::Engine;
use millstream::sim::{Link, Network};
use millstream::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Answers after 30 ms.
struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.sul_schedule(Duration::from_millis(30), move |cx| {
                cx.server_ack(me, 0).unwrap();
                cx.request_tx(me).unwrap();
            });
        }
        Flow::Ok
    }
}

#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<String>>>);

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut())
    }
}

impl StreamHandler for Told {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        assert!(!flags.is_perf_json() || (flags.is_som() && flags.is_eom()));
        if flags.is_perf_json() || !payload.is_empty() {
            self.0.borrow_mut().push(format!("{flags:?} {}", String::from_utf8_lossy(payload)));
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn state(&mut self, _: &mut Cx<'_>, _: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Connected {
            self.0.borrow_mut().push("connected".into());
        }
        Flow::Ok
    }
}

fn policy() -> String {
    let made = rcgen::generate_simple_self_signed(["server.test".to_owned()]).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD;
    let (cert, key) = (base64.encode(made.cert.der()), base64.encode(made.signing_key.serialize_der()));
    let client = r#""endpoint": "server.test", "protocol": "h1", "http_method": "GET", "http_url": "", "opportunistic": true"#;
    format!(
        r#"{{"certs": [{{"cert": "{cert}"}}, {{"key": "{key}"}}], "trust_stores": [{{"name": "ours", "stack": ["cert"]}}],
        "s": [{{"server": {{"server": true, "port": 80, "protocol": "h1"}}}},
            {{"server_tls": {{"server": true, "port": 443, "protocol": "h1", "tls": true, "server_cert": "cert", "server_key": "key"}}}},
            {{"plain": {{{client}, "port": 80, "perf": true}}}},
            {{"tls": {{{client}, "port": 443, "perf": true, "tls": true, "tls_trust_store": "ours"}}}},
            {{"silent": {{{client}, "port": 80}}}}]}}"#
    )
}

struct World {
    network: Network,
    server: Context,
    client: Context,
}

impl World {
    /// 5 ms between client and server, 7 ms for a name.
    fn new(latencies: &Rc<RefCell<Vec<Latency>>>) -> Self {
        let network = Network::new(1);
        network.set_default_link(Link::with_latency(Duration::from_millis(5)));
        network.set_name_delay(Duration::from_millis(7));
        network.name("server.test", &["10.0.0.1"]);
        let policy = policy();
        let context = |ip, sink: Rc<RefCell<Vec<Latency>>>| {
            let builder = Context::builder().policy(&policy).unwrap().sim(network.host(ip));
            builder.latency(move |latency| sink.borrow_mut().push(*latency)).build().unwrap()
        };
        let (mut server, client) =
            (context("10.0.0.1", Rc::default()), context("10.0.0.2", Rc::clone(latencies)));
        server.with(|cx| {
            cx.create("server", Server).unwrap();
            cx.create("server_tls", Server).unwrap();
        });
        Self { network, server, client }
    }

    fn get(&mut self, streamtype: &str, told: &Told) -> StreamId {
        let stream = self.client.with(|cx| {
            let stream = cx.create(streamtype, told.clone()).unwrap();
            cx.request_tx(stream).unwrap();
            stream
        });
        self.run();
        stream
    }

    fn run(&mut self) {
        let until = self.network.now().saturating_add(Duration::from_secs(1));
        self.network.run(&mut [&mut self.server, &mut self.client], until).unwrap();
    }
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line.strip_prefix("PERF_JSON ").unwrap_or_else(|| panic!("{line}"))).unwrap()
}

#[test]
fn a_stream_that_asks_is_told_how_its_connection_performs() {
    let mut world = World::new(&Rc::default());
    let told = Told::default();
    world.get("plain", &told);
    let lines = told.take();
    assert_eq!(lines[0], "connected");
    assert_eq!(
        json(&lines[1]),
        serde_json::json!({ "peer": "10.0.0.1", "dns_us": 7_000, "sockconn_us": 10_000, "tls_us": 0,
            "txn_resp_us": 40_000, "dns": ["10.0.0.1"] })
    );
    assert!(lines[2].ends_with("hello"), "{lines:?}");
}

#[test]
fn tls_takes_its_time_too() {
    let mut world = World::new(&Rc::default());
    let told = Told::default();
    world.get("tls", &told);
    let perf = json(&told.take()[1]);
    assert_eq!((perf["sockconn_us"].as_u64(), perf["tls_us"].as_u64()), (Some(10_000), Some(10_000)));
}

#[test]
fn a_connection_that_was_there_already_cost_nothing_but_the_answer() {
    let mut world = World::new(&Rc::default());
    let told = Told::default();
    let stream = world.get("plain", &told);
    told.take();
    world.client.with(|cx| cx.request_tx(stream)).unwrap();
    world.run();
    let perf = json(&told.take()[1]);
    let steps = ["dns_us", "sockconn_us", "tls_us", "txn_resp_us"].map(|step| perf[step].as_u64().unwrap());
    assert_eq!(steps, [0, 0, 0, 40_000]);
    assert_eq!(world.client.counters().reused, 1);
}

#[test]
fn a_stream_that_does_not_ask_is_not_told() {
    let mut world = World::new(&Rc::default());
    let told = Told::default();
    world.get("silent", &told);
    assert_eq!(told.take().len(), 2);
}

#[test]
fn counters_count_what_was_done_on_both_sides() {
    let mut world = World::new(&Rc::default());
    let told = Told::default();
    for streamtype in ["plain", "tls"] {
        world.get(streamtype, &told);
    }
    let (client, server) = (world.client.counters(), world.server.counters());
    assert_eq!((client.connected, client.failed, client.names, client.handshakes), (2, 0, 2, 1));
    assert_eq!((server.accepted, server.handshakes, server.connected), (2, 1, 0));
    assert_eq!((client.tx_bytes, client.rx_bytes), (server.rx_bytes, server.tx_bytes));
    assert!(client.tx_bytes > 400 && client.callbacks > 10 && client.waits > 10, "{client:?}");
    // Until the idle connection is closed.
    (0..6).for_each(|_| world.run());
    world.network.name("server.test", &["10.0.0.2"]);
    world.get("plain", &told);
    let after = world.client.counters();
    assert_eq!((after.connected, after.failed), (2, 1), "nobody listens there");
}

#[test]
fn each_step_is_measured_and_printed_in_nine_columns() {
    let latencies = Rc::<RefCell<Vec<Latency>>>::default();
    let mut world = World::new(&latencies);
    world.get("tls", &Told::default());
    let steps: String = latencies.borrow().iter().map(|latency| latency.kind.letter()).collect();
    assert_eq!(steps.trim_end_matches('r'), "NCt", "{steps}");
    let took: Vec<_> = latencies.borrow().iter().take(3).map(|latency| latency.took_us).collect();
    assert_eq!(took, [7_000, 10_000, 10_000]);
    assert!(steps.ends_with('r'), "{steps}");
    for latency in latencies.borrow().iter() {
        let line = latency.to_string();
        assert_eq!(line.split(' ').count(), 9);
        // The simulation begins with 2026.
        assert!(line.starts_with("17672256"), "{line}");
    }
    let read =
        latencies.borrow().iter().rev().find(|latency| latency.kind == LatencyKind::Read).copied().unwrap();
    assert_eq!((read.actual, read.requested), (5, 64 * 1024));
}

#[test]
fn a_write_is_measured_from_the_wish_to_the_way() {
    struct Writer;
    impl Protocol for Writer {
        fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
            cx.wsi_request_tx(me).unwrap();
            Flow::Ok
        }
        fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
            Flow::Ok
        }
        fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
            tx.fill(|room| room.len());
            cx.wsi_request_tx(me).unwrap();
            TxFlow::Send
        }
    }
    let latencies = Rc::<RefCell<Vec<Latency>>>::default();
    let mut world = World::new(&latencies);
    let listener = world.network.listen(&world.network.host("10.0.0.3"), 7).unwrap();
    let info = ClientInfo::new(Target::Host("10.0.0.3".into(), 7), ClientRole::Raw);
    world.client.with(|cx| cx.connect(&info, Writer));
    world.run();
    // The window is full, and is emptied a second later.
    let mut peer = listener.accept().unwrap();
    world.run();
    peer.read();
    world.run();
    let writes: Vec<_> =
        latencies.borrow().iter().filter(|latency| latency.kind == LatencyKind::Write).copied().collect();
    assert_eq!(writes[0].took_us, 0);
    assert_eq!((writes[0].actual, writes[0].requested), (16 * 1024, 16 * 1024));
    assert!(writes.iter().any(|write| write.took_us > 900_000), "{writes:?}");
}
