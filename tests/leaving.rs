//! Streams that leave their connections themselves: they are taken at their word, and hold up nobody.
#![cfg(all(feature = "h1", feature = "h2"))]

use millstream::sim::{Link, Network};
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"retry": [{"r": {"backoff": [1000], "conceal": 1, "jitterpc": 0}}], "s": [
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/",
        "opportunistic": true, "retry": "r"}},
    {"h2_get": {"endpoint": "10.0.0.1", "port": 81, "protocol": "h2", "http_method": "GET", "http_url": "/",
        "opportunistic": true, "retry": "r"}},
    {"h2_post": {"endpoint": "10.0.0.1", "port": 81, "protocol": "h2", "http_method": "POST", "http_url": "/",
        "opportunistic": true, "retry": "r"}},
    {"server": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h1"}},
    {"h2_server": {"server": true, "endpoint": "10.0.0.1", "port": 81, "protocol": "h2"}}]}"#;

type Told = Rc<RefCell<Vec<(Us, StreamState)>>>;

/// What a client does when it is told of a state.
type Does = fn(&mut Cx<'_>, StreamId, StreamState) -> Flow;

struct Client(Told, Does);

impl StreamHandler for Client {
    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().push((cx.now(), state));
        (self.1)(cx, me, state)
    }
}

/// Answers each request, unless it is to be silent, and counts them.
struct Server {
    is_silent: bool,
    requests: Rc<RefCell<usize>>,
}

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { is_silent: self.is_silent, requests: Rc::clone(&self.requests) }))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            *self.requests.borrow_mut() += 1;
            // The first is answered in any case: a connection that has served is one to go on with.
            if *self.requests.borrow() == 1 || !self.is_silent {
                cx.request_tx(me).unwrap();
            }
        }
        Flow::Ok
    }
}

/// A server and a client on two hosts, with a connection between them that has served already and is kept.
struct World {
    network: Network,
    near: Context,
    far: Context,
    requests: Rc<RefCell<usize>>,
}

impl World {
    fn new(version: &str, is_silent: bool) -> Self {
        let network = Network::new(5);
        network.set_default_link(Link::with_latency(Duration::from_micros(100)));
        let make = |ip| Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
        let (mut far, near) = (make("10.0.0.1"), make("10.0.0.2"));
        let requests = Rc::new(RefCell::new(0));
        let (server, get) = if version == "h1" { ("server", "get") } else { ("h2_server", "h2_get") };
        let handler = Server { is_silent, requests: Rc::clone(&requests) };
        far.with(|cx| cx.create(server, handler)).unwrap();
        let mut world = Self { network, near, far, requests };
        let told = world.client(get, |cx, me, state| {
            if state == StreamState::Creating {
                cx.client_connect(me).unwrap();
            }
            Flow::Ok
        });
        world.run(100);
        assert_eq!(count(&told, StreamState::QosAckRemote), 1);
        world
    }

    fn client(&mut self, streamtype: &str, does: Does) -> Told {
        let told = Told::default();
        self.near.with(|cx| cx.create(streamtype, Client(Rc::clone(&told), does))).unwrap();
        told
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.far, &mut self.near], until).unwrap();
    }
}

fn count(told: &Told, state: StreamState) -> usize {
    told.borrow().iter().filter(|(_, known)| *known == state).count()
}

fn times(told: &Told, state: StreamState) -> Vec<u64> {
    told.borrow().iter().filter(|(_, known)| *known == state).map(|(at, _)| at.as_us() / 1000).collect()
}

#[test]
fn who_leaves_a_shared_connection_before_it_has_sent_is_polled_again_by_its_backoff() {
    let mut world = World::new("h2", false);
    let told = world.client("h2_post", |cx, me, state| match state {
        StreamState::Creating => cx.request_tx(me).map_or(Flow::DestroyMe, |()| Flow::Ok),
        StreamState::Connected => Flow::DisconnectMe,
        _ => Flow::Ok,
    });
    world.run(3500);
    assert_eq!(times(&told, StreamState::Poll), [100, 1100, 2100, 3100]);
    assert_eq!(count(&told, StreamState::Disconnected), 4);
    assert_eq!(world.near.census().wsis, 1, "no connection was made for it");
}

#[test]
fn who_asks_again_after_its_answer_goes_on_at_once() {
    let mut world = World::new("h2", false);
    let told = world.client("h2_post", |cx, me, state| {
        if matches!(state, StreamState::Creating | StreamState::Disconnected) {
            // At the end it is gone.
            let _ = cx.request_tx(me);
        }
        Flow::Ok
    });
    world.run(100);
    assert!(count(&told, StreamState::QosAckRemote) > 100, "{}", count(&told, StreamState::QosAckRemote));
}

/// Leaves whenever it is connected, and asks again whenever it has left.
fn to_and_fro(cx: &mut Cx<'_>, me: StreamId, state: StreamState) -> Flow {
    match state {
        StreamState::Creating => cx.request_tx(me).unwrap(),
        StreamState::Connected => return Flow::DisconnectMe,
        StreamState::Disconnected => drop(cx.client_connect(me)),
        _ => {}
    }
    Flow::Ok
}

#[test]
fn who_leaves_and_asks_again_without_end_leaves_the_others_their_turns() {
    let mut world = World::new("h2", false);
    let told = world.client("h2_post", to_and_fro);
    let other = world.client("h2_get", |cx, me, state| match state {
        StreamState::Creating => {
            cx.start_timeout(me, Some(Duration::from_millis(1))).map_or(Flow::DestroyMe, |()| Flow::Ok)
        }
        StreamState::Timeout => cx.client_connect(me).map_or(Flow::DestroyMe, |()| Flow::Ok),
        _ => Flow::Ok,
    });
    world.run(3);
    assert_eq!(count(&other, StreamState::QosAckRemote), 1, "timers and connections are served");
    assert!(count(&told, StreamState::Disconnected) > 100);
    assert_eq!(world.near.census().illegal_states, 0);
}

#[test]
fn who_asks_again_without_end_what_fails_at_once_leaves_the_others_their_turns() {
    let policy = r#"{"s": [{"nowhere": {"endpoint": "${where}", "port": 80, "protocol": "h1", "http_method": "GET",
        "opportunistic": true, "metadata": [{"where": ""}]}}]}"#;
    let network = Network::new(5);
    let mut context =
        Context::builder().policy(policy).unwrap().sim(network.host("10.0.0.2")).build().unwrap();
    let (told, rang) = (Told::default(), Rc::new(RefCell::new(false)));
    let does: Does = |cx, me, state| {
        if matches!(state, StreamState::Creating | StreamState::Unreachable) {
            let _ = cx.client_connect(me);
        }
        Flow::Ok
    };
    let rings = Rc::clone(&rang);
    context.with(|cx| {
        let id = cx.create("nowhere", Client(Rc::clone(&told), does)).unwrap();
        cx.set_metadata(id, "where", "a b").unwrap();
        cx.sul_schedule(Duration::from_micros(500), move |_| *rings.borrow_mut() = true);
    });
    network.run(&mut [&mut context], Us::from_us(1000)).unwrap();
    assert!(*rang.borrow());
    assert!(count(&told, StreamState::Unreachable) > 10);
}

#[test]
fn who_gives_up_a_request_on_a_kept_connection_is_not_heard_again_on_another() {
    for (version, get) in [("h1", "get"), ("h2", "h2_get")] {
        let mut world = World::new(version, true);
        let told = world.client(get, |cx, me, state| {
            match state {
                StreamState::Creating => cx.client_connect(me).unwrap(),
                StreamState::Connecting => cx.start_timeout(me, Some(Duration::from_millis(50))).unwrap(),
                StreamState::Timeout => return Flow::DisconnectMe,
                _ => {}
            }
            Flow::Ok
        });
        world.run(900);
        assert_eq!(*world.requests.borrow(), 2, "{version}");
        assert_eq!(times(&told, StreamState::Unreachable), [150], "{version}");
    }
}
