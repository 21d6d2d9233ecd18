//! Retries, timeouts and kept connections against tables of expected times, in virtual time.
#![cfg(feature = "h1")]

use millstream::sim::{Link, Network};
use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::time::Duration;

fn ms(ms: u64) -> Us {
    Us::from_us(ms * 1000)
}

/// Client stream types over one retry table; times are those of a network without latency worth mentioning.
fn policy(retry: &str) -> String {
    let common =
        r#""endpoint": "10.0.0.1", "protocol": "h1", "http_method": "GET", "http_url": "/", "retry": "r""#;
    format!(
        r#"{{ "retry": [ {{ "r": {{ {retry} }} }} ], "s": [
            {{ "get": {{ {common}, "port": 80, "opportunistic": true }} }},
            {{ "nailed": {{ {common}, "port": 80, "nailed_up": true }} }},
            {{ "server": {{ "server": true, "port": 80, "protocol": "h1" }} }} ] }}"#
    )
}

/// Who was told what, and when, in ms.
#[derive(Default)]
struct Told {
    streams: Vec<StreamId>,
    states: Vec<(u64, StreamState)>,
}

/// Keeps when it was told what, in ms.
struct Client;

impl StreamHandler for Client {
    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let at = cx.now().as_us() / 1000;
        cx.app::<Told>().unwrap().states.push((at, state));
        if state == StreamState::Creating {
            cx.app::<Told>().unwrap().streams.push(me);
            cx.client_connect(me).unwrap();
        }
        Flow::Ok
    }
}

fn told(context: &mut Context) -> Told {
    context.with(|cx| std::mem::take(cx.app::<Told>().unwrap()))
}

fn times(told: &Told, state: StreamState) -> Vec<u64> {
    told.states.iter().filter(|(_, known)| *known == state).map(|(at, _)| *at).collect()
}

/// A quick network with one client on it, which has been served for this long.
fn run(retry: &str, streamtype: &str, until: u64, prepare: impl FnOnce(&Network)) -> (Network, Context) {
    let network = Network::new(42);
    network.set_default_link(Link::with_latency(Duration::from_micros(100)));
    let near = network.host("10.0.0.2");
    prepare(&network);
    let app = Told::default();
    let mut context = Context::builder().policy(&policy(retry)).unwrap().app(app).sim(near).build().unwrap();
    context.with(|cx| cx.create(streamtype, Client)).unwrap();
    network.run(&mut [&mut context], ms(until)).unwrap();
    (network, context)
}

#[test]
fn a_refused_stream_tries_at_the_times_of_its_table_and_gives_up_when_the_concealed_are_used_up() {
    let (_, mut context) =
        run(r#""backoff": [1000, 2000, 3000], "conceal": 5, "jitterpc": 0"#, "get", 60_000, |network| {
            network.host("10.0.0.1");
        });
    let told = told(&mut context);
    assert_eq!(times(&told, StreamState::Connecting), [0, 1000, 3000, 6000, 9000, 12_001]);
    assert_eq!(times(&told, StreamState::Poll).len(), 5);
    assert_eq!(times(&told, StreamState::Unreachable).len(), 6);
    assert_eq!(times(&told, StreamState::AllRetriesFailed), [12_001]);
    assert_eq!(context.census().suls, 0);
}

#[test]
fn jitter_adds_up_to_its_percentage_and_never_takes_away() {
    let retry = r#""backoff": [1000], "conceal": 65535, "jitterpc": 20"#;
    let (_, mut context) = run(retry, "get", 120_000, |network| drop(network.host("10.0.0.1")));
    let tries = times(&told(&mut context), StreamState::Connecting);
    assert!(tries.len() > 95, "{}", tries.len());
    let gaps: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (1000..=1201).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap > 1150) && gaps.iter().any(|gap| *gap < 1050), "{gaps:?}");
}

#[test]
fn after_all_retries_have_failed_asking_again_starts_over() {
    let retry = r#""backoff": [100], "conceal": 1, "jitterpc": 0"#;
    let (network, mut context) = run(retry, "get", 1000, |network| drop(network.host("10.0.0.1")));
    let id = context.with(|cx| *cx.app::<Told>().unwrap().streams.first().unwrap());
    let first = told(&mut context);
    assert_eq!(times(&first, StreamState::AllRetriesFailed).len(), 1);
    context.with(|cx| cx.client_connect(id)).unwrap();
    network.run(&mut [&mut context], ms(2000)).unwrap();
    assert_eq!(times(&told(&mut context), StreamState::Connecting), [1000, 1100]);
}

#[test]
fn a_host_that_never_answers_is_given_up_after_the_connect_timeout() {
    let retry = r#""backoff": [1000], "conceal": 1, "jitterpc": 0"#;
    let (_, mut context) = run(retry, "get", 60_000, |_| ());
    let told = told(&mut context);
    assert_eq!(times(&told, StreamState::Unreachable), [20_000, 41_000]);
}

#[test]
fn a_server_that_takes_the_request_and_never_answers_is_given_up_after_the_response_timeout() {
    let retry = r#""backoff": [1000], "conceal": 0, "jitterpc": 0"#;
    let (_, mut context) = run(retry, "get", 60_000, |network| {
        let far = network.host("10.0.0.1");
        // Nobody accepts: the connection is up all the same.
        std::mem::forget(network.listen(&far, 80).unwrap());
    });
    assert_eq!(times(&told(&mut context), StreamState::Unreachable), [30_000]);
}

#[test]
fn a_busy_server_is_asked_again_after_the_longer_of_backoff_and_retry_after() {
    for (says, expected) in [("Retry-After: 7\r\n", 7000), ("Retry-After: 1\r\n", 2000), ("", 2000)] {
        let network = Network::new(1);
        network.set_default_link(Link::with_latency(Duration::from_micros(100)));
        let (near, far) = (network.host("10.0.0.2"), network.host("10.0.0.1"));
        let listener = network.listen(&far, 80).unwrap();
        let policy = policy(r#""backoff": [2000], "conceal": 1, "jitterpc": 0"#);
        let mut context =
            Context::builder().policy(&policy).unwrap().app(Told::default()).sim(near).build().unwrap();
        context.with(|cx| cx.create("get", Client)).unwrap();
        network.run(&mut [&mut context], ms(1)).unwrap();
        let mut socket = listener.accept().unwrap();
        assert!(socket.read().starts_with(b"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n"));
        let response = format!("HTTP/1.1 503 Service Unavailable\r\n{says}Content-Length: 0\r\n\r\n");
        socket.write(response.as_bytes()).unwrap();
        network.run(&mut [&mut context], ms(20_000)).unwrap();
        assert_eq!(times(&told(&mut context), StreamState::Connecting), [0, expected + 1], "{says:?}");
    }
}

/// Answers each request at once.
struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"x");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

/// A server and its clients, on two hosts.
fn pair(seed: u64, clients: usize, streamtype: &str) -> (Network, Context, Context) {
    let network = Network::new(seed);
    let policy = policy(r#""backoff": [1000, 2000, 5000], "conceal": 65535, "jitterpc": 30"#);
    let make = |ip| {
        let host = network.host(ip);
        Context::builder().policy(&policy).unwrap().app(Told::default()).sim(host).build().unwrap()
    };
    let (mut far, mut near) = (make("10.0.0.1"), make("10.0.0.2"));
    far.with(|cx| cx.create("server", Server)).unwrap();
    for _ in 0..clients {
        near.with(|cx| cx.create(streamtype, Client)).unwrap();
    }
    (network, far, near)
}

#[test]
fn a_kept_connection_serves_the_next_stream_and_closes_five_seconds_after_its_last() {
    let (network, mut far, mut near) = pair(1, 1, "get");
    network.run(&mut [&mut far, &mut near], ms(3000)).unwrap();
    assert_eq!((near.census().pooled, near.census().wsis, far.census().wsis), (1, 1, 2));
    near.with(|cx| cx.create("get", Client)).unwrap();
    network.run(&mut [&mut far, &mut near], ms(7900)).unwrap();
    assert_eq!(times(&told(&mut near), StreamState::QosAckRemote).len(), 2);
    assert_eq!((near.census().pooled, far.census().wsis), (1, 2));
    network.run(&mut [&mut far, &mut near], ms(8100)).unwrap();
    assert_eq!((near.census().pooled, near.census().wsis, far.census().wsis), (0, 0, 1));
}

#[test]
fn a_thousand_streams_come_through_an_outage_and_a_seed_replays_it_exactly() {
    let run = |seed| {
        let (network, mut far, mut near) = pair(seed, 1000, "nailed");
        network.start_log();
        let (a, b) = (network.host("10.0.0.1"), network.host("10.0.0.2"));
        network.run(&mut [&mut far, &mut near], ms(5000)).unwrap();
        network.reset(&a);
        network.link_down(&a, &b);
        network.run(&mut [&mut far, &mut near], ms(65_000)).unwrap();
        let before = told(&mut near);
        network.link_up(&a, &b);
        network.run(&mut [&mut far, &mut near], ms(130_000)).unwrap();
        (before, told(&mut near), near.census(), network.log())
    };
    let (before, after, census, log) = run(3);
    assert!(times(&before, StreamState::QosAckRemote).len() >= 1000);
    assert!(times(&before, StreamState::Unreachable).len() >= 1000);
    assert!(times(&after, StreamState::QosAckRemote).len() >= 1000);
    assert_eq!((census.streams, census.illegal_states), (1000, 0));
    assert!(run(3).3 == log, "the same seed, the same log");
}
