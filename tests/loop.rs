//! The loop: it sleeps, it wakes, it is fair, it is bounded.

use millstream::sim::{Link, Network};
use millstream::{
    Address, Census, ClientInfo, ClientRole, Context, Cx, Error, Flow, ListenInfo, Protocol, ServerRole,
    Target, Tx, TxFlow, WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const HOST: &str = "10.0.0.1";

fn address(port: u16) -> Address {
    Address::Ip(format!("{HOST}:{port}").parse().unwrap())
}

/// What a server's connections have in common.
#[derive(Default)]
struct Seen {
    wsis: Vec<WsiId>,
    /// Who read how much, in the order in which it came.
    rx: Vec<(WsiId, usize)>,
    closed: usize,
}

type Shared = Rc<RefCell<Seen>>;

/// Takes what comes; sends `to_send` bytes when it is asked to.
struct Peer {
    seen: Shared,
    to_send: usize,
    stops_rx: bool,
}

impl Protocol for Peer {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        self.seen.borrow_mut().wsis.push(me);
        if self.stops_rx {
            cx.wsi_rx_flow(me, false).unwrap();
        }
        if self.to_send > 0 {
            cx.wsi_request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn rx(&mut self, _: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
        self.seen.borrow_mut().rx.push((me, payload.len()));
        Flow::Ok
    }

    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let want = self.to_send;
        self.to_send -= tx.fill(|room| {
            let len = room.len().min(want);
            room.iter_mut().zip((0..=250u8).cycle()).take(len).for_each(|(to, byte)| *to = byte);
            len
        });
        if self.to_send > 0 {
            cx.wsi_request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn closed(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&millstream::Cause>) {
        self.seen.borrow_mut().closed += 1;
    }
}

struct World {
    network: Network,
    context: Context,
    seen: Shared,
}

impl World {
    /// A context that listens on port 80.
    fn new(configure: impl FnOnce(millstream::ContextBuilder) -> millstream::ContextBuilder) -> Self {
        let network = Network::new(5);
        let context = configure(Context::builder()).sim(network.host(HOST)).build().unwrap();
        Self { network, context, seen: Shared::default() }
    }

    fn serve(&mut self, to_send: usize, stops_rx: bool) {
        let seen = Rc::clone(&self.seen);
        let acceptor = move |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| {
            let peer = Peer { seen: Rc::clone(&seen), to_send, stops_rx };
            Some(Box::new(peer) as Box<dyn Protocol>)
        };
        let info = ListenInfo::new(address(80), ServerRole::Raw);
        self.context.with(|cx| cx.listen(info, acceptor).unwrap());
    }

    fn run(&mut self, millis: u64) {
        let until = self.network.now().saturating_add(Duration::from_millis(millis));
        self.network.run(&mut [&mut self.context], until).unwrap();
    }

    fn client(&self, host: &str) -> millstream::sim::RawSocket {
        self.network.connect(&self.network.host(host), "10.0.0.1:80").unwrap()
    }
}

#[test]
fn an_idle_loop_sleeps_and_wakes_once_for_each_event() {
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let mut clients: Vec<_> = (2..10).map(|n| world.client(&format!("10.0.0.{n}"))).collect();
    world.run(100);
    assert_eq!(world.seen.borrow().wsis.len(), 8);
    // A day in which nothing happens: connections, listeners, no wake-up.
    let waits = world.context.waits();
    world.run(86_400_000);
    assert_eq!(world.context.waits() - waits, 0);
    // Three events, an hour apart.
    for client in clients.iter_mut().take(3) {
        client.write(b"ping").unwrap();
        world.run(3_600_000);
    }
    assert_eq!(world.seen.borrow().rx.len(), 3);
    assert_eq!(world.context.waits() - waits, 3);
}

#[test]
fn a_wait_without_end_ends_with_the_next_timer_and_happens_once() {
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let ran = Rc::new(RefCell::new(0));
    let count = Rc::clone(&ran);
    world.context.with(|cx| cx.sul_schedule(Duration::from_secs(3600), move |_| *count.borrow_mut() += 1));
    let waits = world.context.waits();
    world.context.service(None).unwrap();
    assert_eq!((world.network.now().as_us(), *ran.borrow()), (3_600_000_000, 0));
    world.context.service(Some(Duration::ZERO)).unwrap();
    assert_eq!(*ran.borrow(), 1);
    assert_eq!(world.context.waits() - waits, 2);
}

#[test]
fn a_turn_in_which_a_callback_has_run_returns_without_waiting() {
    let mut world = World::new(|builder| builder);
    let over = Rc::new(RefCell::new(false));
    let tell = Rc::clone(&over);
    world.context.with(|cx| cx.sul_schedule(Duration::ZERO, move |_| *tell.borrow_mut() = true));
    world.context.service(Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(
        (world.network.now().as_us(), *over.borrow()),
        (0, true),
        "the caller sees at once that it is over"
    );
    world.context.service(Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(world.network.now().as_us(), 3_600_000_000, "and waits when nothing has happened");
}

#[test]
fn another_thread_wakes_a_loop_that_waits_without_end() {
    let mut context = Context::builder().build().unwrap();
    let waker = context.waker();
    let thread = std::thread::spawn(move || waker.wake());
    // Without the wake this would last for ever; with it, whenever it comes, it ends.
    context.service(None).unwrap();
    thread.join().unwrap();
    assert_eq!(context.waits(), 1);
}

#[test]
fn a_peer_that_floods_does_not_starve_another() {
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let link = Link { window: 16 << 20, ..Link::default() };
    world.network.set_default_link(link);
    let (mut flood, mut quiet) = (world.client("10.0.0.2"), world.client("10.0.0.3"));
    world.run(10);
    let big = vec![0; 8 << 20];
    assert_eq!(flood.write(&big).unwrap(), big.len());
    quiet.write(b"me too").unwrap();
    let arrived = world.network.now().saturating_add(Duration::from_millis(5));
    world.network.advance_to(arrived);
    // One turn gives the flood its share and no more, and the other its own.
    world.context.service(Some(Duration::ZERO)).unwrap();
    let seen = world.seen.borrow();
    let quiet_id = seen.rx.iter().find(|(_, len)| *len == 6).map(|(id, _)| *id);
    assert!(quiet_id.is_some(), "it was heard in the same turn");
    let flooded: usize = seen.rx.iter().filter(|(id, _)| Some(*id) != quiet_id).map(|(_, len)| len).sum();
    assert!(flooded <= 256 * 1024, "{flooded} bytes in one turn");
    drop(seen);
    world.run(1000);
    let total: usize = world.seen.borrow().rx.iter().map(|(_, len)| len).sum();
    assert_eq!(total, big.len() + 6, "nothing is lost");
}

#[test]
fn user_code_that_asks_for_tx_again_and_again_without_sending_does_not_hold_the_loop() {
    struct Idler(Rc<RefCell<usize>>);
    impl Protocol for Idler {
        fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
            cx.wsi_request_tx(me).unwrap();
            Flow::Ok
        }
        fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
            Flow::Ok
        }
        fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &mut Tx<'_>) -> TxFlow {
            *self.0.borrow_mut() += 1;
            cx.wsi_request_tx(me).unwrap();
            TxFlow::DontSend
        }
    }
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let calls = Rc::new(RefCell::new(0));
    let info = ClientInfo::new(Target::Address(address(80)), ClientRole::Raw);
    world.context.with(|cx| cx.connect(&info, Idler(Rc::clone(&calls))));
    for _ in 0..100 {
        let before = *calls.borrow();
        world.context.service(Some(Duration::from_millis(1))).unwrap();
        assert!(*calls.borrow() - before <= 256, "{} callbacks in one turn", *calls.borrow() - before);
    }
    assert!(*calls.borrow() > 100);
}

#[test]
fn what_the_socket_does_not_take_is_finished_in_order() {
    let mut world = World::new(|builder| builder);
    world.network.set_default_link(Link { window: 1000, segment: 7, ..Link::default() });
    world.serve(100_000, false);
    let mut client = world.client("10.0.0.2");
    let mut got = Vec::new();
    for _ in 0..2000 {
        world.run(5);
        got.extend(client.read());
        if got.len() >= 100_000 {
            break;
        }
    }
    assert_eq!(got.len(), 100_000);
    // Each callback starts its pattern anew at a place that only it knows; within one, bytes follow each other.
    let breaks = got.windows(2).filter(|pair| pair[1] != (pair[0] + 1) % 251).count();
    assert!(breaks <= 100_000 / 1000, "{breaks} places where bytes do not follow each other");
}

#[test]
fn stopped_rx_flow_holds_up_the_peer_and_piles_up_nothing() {
    let mut world = World::new(|builder| builder);
    world.serve(0, true);
    let mut client = world.client("10.0.0.2");
    let mut sent = 0;
    for _ in 0..100 {
        world.run(10);
        sent += client.write(&[7; 10_000]).unwrap_or(0);
    }
    assert_eq!(sent, Link::default().window, "the window is full, and nobody reads");
    assert!(world.seen.borrow().rx.is_empty());
    let waits = world.context.waits();
    world.run(3_600_000);
    assert_eq!(world.context.waits(), waits, "data that nobody wants keeps nobody awake");
    let wsi = world.seen.borrow().wsis[0];
    world.context.with(|cx| cx.wsi_rx_flow(wsi, true).unwrap());
    world.run(100);
    let total: usize = world.seen.borrow().rx.iter().map(|(_, len)| len).sum();
    assert_eq!(total, sent);
    assert!(client.write(b"more").is_ok());
}

#[test]
fn at_max_connections_nothing_is_accepted_until_one_has_ended() {
    // The listener is one of the four.
    let mut world = World::new(|builder| builder.max_connections(4));
    world.serve(0, false);
    let mut clients: Vec<_> = (0..6).map(|_| world.client("10.0.0.2")).collect();
    world.run(100);
    assert_eq!(world.seen.borrow().wsis.len(), 3);
    assert_eq!(world.context.census().wsis, 4);
    let waits = world.context.waits();
    world.run(3_600_000);
    assert_eq!(world.context.waits(), waits, "who has to wait keeps nobody awake");
    drop(clients.remove(0));
    world.run(10_000);
    assert_eq!((world.seen.borrow().wsis.len(), world.seen.borrow().closed), (4, 1));
    drop(clients.drain(..3));
    world.run(10_000);
    assert_eq!(world.seen.borrow().wsis.len(), 6);
}

#[test]
fn accepting_pauses_when_the_system_has_no_more_to_give_and_goes_on() {
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let _client = world.client("10.0.0.2");
    // The next fallible operation is the accept.
    world.network.fail_nth(0);
    world.run(50);
    assert_eq!(world.seen.borrow().wsis.len(), 0);
    world.run(200);
    assert_eq!(world.seen.borrow().wsis.len(), 1);
}

#[test]
fn a_port_in_use_is_an_error_that_names_it_and_leaves_nothing() {
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let before = world.context.census();
    let error = world.context.with(|cx| {
        let acceptor = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| None;
        cx.listen(ListenInfo::new(address(80), ServerRole::Raw), acceptor).unwrap_err()
    });
    assert!(error.to_string().starts_with("listen on 10.0.0.1:80: "), "{error}");
    assert_eq!(world.context.census(), before);
}

#[test]
fn stale_connection_ids_stay_stale_when_their_row_is_used_again() {
    let mut world = World::new(|builder| builder);
    world.serve(0, false);
    let first = world.client("10.0.0.2");
    world.run(10);
    let old = world.seen.borrow().wsis[0];
    drop(first);
    world.run(10_000);
    let _second = world.client("10.0.0.2");
    world.run(10);
    assert_eq!(world.seen.borrow().wsis.len(), 2);
    world.context.with(|cx| {
        assert!(matches!(cx.wsi_request_tx(old), Err(Error::Stale)));
        assert!(matches!(cx.wsi_rx_flow(old, false), Err(Error::Stale)));
        assert!(matches!(cx.wsi_close(old), Err(Error::Stale)));
        assert!(cx.wsi_peer(old).is_none());
    });
    assert_eq!(world.context.census().wsis, 2);
}

#[test]
fn a_stopped_run_leaves_nothing() {
    let mut world = World::new(|builder| builder);
    world.serve(10, false);
    let info = ClientInfo::new(Target::Address(address(80)), ClientRole::Raw);
    let peer = Peer { seen: Rc::clone(&world.seen), to_send: 10, stops_rx: false };
    world.context.with(|cx| {
        cx.connect(&info, peer);
        cx.sul_schedule(Duration::from_secs(1), |cx| cx.stop());
    });
    world.context.run().unwrap();
    assert_eq!(world.context.census(), Census::default());
    assert_eq!(world.seen.borrow().closed, 2);
}

#[cfg(feature = "h1")]
mod streams {
    use super::*;
    use millstream::{StreamHandler, StreamId, StreamState};

    struct Nothing;
    impl StreamHandler for Nothing {}

    const POLICY: &str = r#"{ "release": "1", "product": "loop", "schema-version": 1, "s": [
        { "weather": { "server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h1" } },
        { "get": { "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "GET", "http_url": "/",
                   "opportunistic": true } } ] }"#;

    #[test]
    fn an_unknown_stream_type_is_an_error_with_the_nearest_name() {
        let mut world = World::new(|builder| builder.policy(POLICY).unwrap());
        let error = world.context.with(|cx| cx.create("wether", Nothing).unwrap_err());
        assert_eq!(error.to_string(), r#"the policy has no stream type "wether"; did you mean "weather"?"#);
        assert_eq!(world.context.census(), Census::default());
    }

    #[test]
    fn a_server_stream_whose_port_is_in_use_is_refused_and_leaves_nothing() {
        let mut world = World::new(|builder| builder.policy(POLICY).unwrap());
        world.context.with(|cx| cx.create("weather", Nothing).unwrap());
        let before = world.context.census();
        let error = world.context.with(|cx| cx.create("weather", Nothing).unwrap_err());
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(world.context.census(), before);
    }

    #[test]
    fn kept_connections_and_idle_streams_wake_the_loop_for_their_end_alone() {
        struct Server;
        impl StreamHandler for Server {
            fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
                Some(Box::new(Self))
            }
            fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
                if state == StreamState::ServerTxn {
                    cx.request_tx_len(me, 0).unwrap();
                }
                Flow::Ok
            }
        }
        let mut world = World::new(|builder| builder.policy(POLICY).unwrap());
        world.context.with(|cx| {
            cx.create("weather", Server).unwrap();
            let get = cx.create("get", Nothing).unwrap();
            cx.client_connect(get).unwrap();
        });
        world.run(100);
        assert_eq!((world.context.census().pooled, world.context.census().streams), (1, 3));
        let waits = world.context.waits();
        world.run(4_000);
        assert_eq!(world.context.waits(), waits, "nothing is due");
        // After 5 s the kept connection goes, and with it the stream that was accepted.
        world.run(60_000);
        assert_eq!((world.context.census().pooled, world.context.census().streams), (0, 2));
        let waits = world.context.waits();
        world.run(86_400_000);
        assert_eq!(world.context.waits(), waits, "nothing is due for ever");
    }

    #[test]
    fn a_connection_that_ends_before_its_first_request_is_closed_and_the_loop_rests() {
        struct Server;
        impl StreamHandler for Server {
            fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
                Some(Box::new(Nothing))
            }
        }
        let mut world = World::new(|builder| builder.policy(POLICY).unwrap());
        world.context.with(|cx| cx.create("weather", Server).unwrap());
        let scanner = world.client("10.0.0.2");
        world.run(10);
        assert_eq!(world.context.census().streams, 2);
        drop(scanner);
        world.run(10_000);
        assert_eq!((world.context.census().streams, world.context.census().wsis), (1, 1));
        assert!(world.context.waits() < 20);
    }

    /// RFC 9112 9.2: an answer to nothing is no answer to the next request, though it came in the same segment.
    #[test]
    fn what_a_server_says_unasked_does_not_answer_the_next_request() {
        struct Asker(Rc<RefCell<Vec<String>>>, bool);
        impl StreamHandler for Asker {
            fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: millstream::RxFlags) -> Flow {
                self.0.borrow_mut().push(String::from_utf8_lossy(payload).into_owned());
                Flow::Ok
            }
            fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
                match state {
                    StreamState::Creating => cx.client_connect(me).unwrap(),
                    StreamState::QosAckRemote if self.1 => {
                        cx.create("get", Self(Rc::clone(&self.0), false)).unwrap();
                    }
                    _ => {}
                }
                Flow::Ok
            }
        }
        let mut world = World::new(|builder| builder.policy(POLICY).unwrap());
        let listener = world.network.listen(&world.network.host(HOST), 80).unwrap();
        let heard = Rc::default();
        world.context.with(|cx| cx.create("get", Asker(Rc::clone(&heard), true)).unwrap());
        world.run(1);
        let mut server = listener.accept().unwrap();
        assert!(server.read().starts_with(b"GET / "));
        server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").unwrap();
        world.run(10);
        assert_eq!(heard.borrow().concat(), "good");
    }
}
