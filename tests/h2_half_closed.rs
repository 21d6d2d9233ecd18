//! Clients that end their side of an HTTP/2 connection (a half-close, as `shutdown(SHUT_WR)`): what they have asked is answered.

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Engine, Limits, Request};
use h2_peer::Peer;
use millstream::http::{BodyLength, Method};
use millstream::sim::Network;
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [{"server": {"server": true, "port": 80, "protocol": "h2",
    "metadata": [{"path": ""}]}}]}"#;

#[derive(Default)]
struct Told {
    got: Vec<u8>,
    ends: usize,
    /// Whoever lets its request wait.
    deaf: Option<StreamId>,
    gone: Vec<String>,
}

type Log = Rc<RefCell<Told>>;

/// Does what the path says.
struct Server {
    log: Log,
    path: String,
}

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self { log: Rc::clone(&self.log), path: String::new() }))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut log = self.log.borrow_mut();
        log.got.extend_from_slice(payload);
        if flags.is_eom() {
            log.ends += 1;
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        match &*self.path {
            "/poll" => drop(tx.write(b"tick ")),
            "/endless" => {
                tx.fill(|room| room.len());
                cx.request_tx(me).unwrap();
            }
            path => {
                tx.write(path.as_bytes());
                tx.end_message();
            }
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::ServerTxn => {
                self.path = String::from_utf8_lossy(cx.metadata(me, "path").unwrap()).into_owned();
                match &*self.path {
                    "/upload" => {}
                    "/held" => {
                        self.log.borrow_mut().deaf = Some(me);
                        cx.rx_flow(me, false).unwrap();
                    }
                    "/late" => {
                        cx.sul_schedule(Duration::from_secs(40), move |cx| drop(cx.request_tx(me)));
                    }
                    _ => cx.request_tx(me).unwrap(),
                }
            }
            StreamState::Disconnected => self.log.borrow_mut().gone.push(self.path.clone()),
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
    log: Log,
    peer: Peer,
}

impl World {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let network = Network::new(1);
        let host = network.host("10.0.0.1");
        let mut server = Context::builder().policy(POLICY).unwrap().sim(host).build().unwrap();
        let log = Log::default();
        let serving = Server { log: Rc::clone(&log), path: String::new() };
        server.with(|cx| cx.create("server", serving)).unwrap();
        let socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
        let mut world = Self { network, server, log, peer: Peer::new(socket, Engine::client(limits)) };
        world.run(1);
        world
    }

    fn run(&mut self, secs: u64) {
        let until = self.network.now().saturating_add(Duration::from_secs(secs));
        self.network.run(&mut [&mut self.server], until).unwrap();
    }

    /// So much of a body, or of none, whose end is said or not.
    fn ask(&mut self, path: &str, body: Option<(&[u8], bool)>) -> h2::StreamId {
        let mut asked = None;
        self.peer.say(|engine, out| {
            let method = if body.is_some() { Method::Post } else { Method::Get };
            let request = Request::new(method, b"http", b"10.0.0.1", path.as_bytes());
            let length = body.map_or(BodyLength::None, |_| BodyLength::Unknown);
            let stream = engine.encode_request(&request, std::iter::empty(), length, out).unwrap();
            if let Some((payload, last)) = body {
                out.extend_from_slice(engine.frame(stream, payload.len(), last).unwrap().prefix());
                out.extend_from_slice(payload);
            }
            asked = Some(stream);
        });
        asked.unwrap()
    }

    /// The client says nothing from here on, and not that it knows the server's settings either.
    fn end_side(&mut self) {
        self.peer.socket.shutdown().unwrap();
    }

    /// Which requests were answered, and whether the server has ended its side as well.
    fn hear(&mut self) -> (Vec<h2::StreamId>, bool) {
        self.peer.serve();
        (std::mem::take(&mut self.peer.ended), self.peer.socket.is_eof())
    }
}

#[test]
fn what_was_asked_before_is_answered_however_long_it_takes() {
    let mut world = World::new();
    let (now, late) = (world.ask("/now", None), world.ask("/late", None));
    let post = world.ask("/post", Some((b"payload", true)));
    world.end_side();
    world.run(1);
    assert_eq!(world.hear(), (vec![now, post], false));
    // Longer than a server waits for an acknowledgement of its settings, or for anything else of a client's.
    world.run(38);
    assert_eq!(world.hear(), (vec![], false));
    world.run(3);
    assert_eq!(world.hear(), (vec![late], true));
    assert_eq!((world.peer.body.as_slice(), world.peer.resets.len()), (&b"/now/post/late"[..], 0));
    assert_eq!(world.server.census().wsis, 1, "the listener");
}

#[test]
fn a_request_that_its_user_lets_wait_is_not_lost() {
    let mut world = World::new();
    let held = world.ask("/held", Some((b"payload", true)));
    world.end_side();
    world.run(60);
    let deaf = world.log.borrow().deaf.unwrap();
    world.server.with(|cx| cx.rx_flow(deaf, true)).unwrap();
    world.run(1);
    assert_eq!((world.log.borrow().got.as_slice(), world.log.borrow().ends), (&b"payload"[..], 1));
    assert_eq!(world.hear(), (vec![held], true));
}

#[test]
fn a_request_that_is_not_complete_ends_and_its_siblings_go_on() {
    let mut world = World::new();
    let late = world.ask("/late", None);
    world.ask("/upload", Some((b"the first half", false)));
    // And of one more there is not even the head.
    world.peer.socket.write(&[0, 0, 20, 1, 4, 0, 0, 0, 5, 0x82]).unwrap();
    world.end_side();
    world.run(1);
    assert_eq!(world.log.borrow().gone, ["/upload"]);
    assert_eq!(world.log.borrow().ends, 0);
    assert_eq!(world.hear(), (vec![], false));
    world.run(40);
    assert_eq!(world.hear(), (vec![late], true));
}

#[test]
fn with_nothing_to_answer_the_connection_closes() {
    let mut world = World::new();
    world.ask("/upload", Some((b"the first half", false)));
    world.end_side();
    world.run(1);
    assert_eq!(world.log.borrow().gone, ["/upload"]);
    assert_eq!(world.hear(), (vec![], true));
    assert_eq!(world.server.census().wsis, 1, "the listener");
}

#[test]
fn a_client_without_windows_for_its_answer_is_given_up_as_one_that_does_not_read() {
    let mut world = World::with_limits(Limits { initial_window: 100, window: 100, ..Limits::default() });
    world.ask("/endless", None);
    world.end_side();
    world.run(50);
    assert_eq!(world.log.borrow().gone.len(), 0);
    world.run(12);
    assert_eq!(world.log.borrow().gone, ["/endless"]);
    assert_eq!((world.peer.body.len(), world.hear()), (0, (vec![], true)));
    assert_eq!(world.peer.body.len(), 100);
}

#[test]
fn a_poll_whose_client_is_gone_for_good_ends_with_the_connections_validity() {
    let mut world = World::new();
    world.ask("/poll", None);
    world.end_side();
    world.run(1);
    let peer = std::mem::replace(&mut world.peer.socket, {
        world.network.connect(&world.network.host("10.0.0.3"), "10.0.0.1:80").unwrap()
    });
    drop(peer);
    world.run(290);
    assert_eq!(world.log.borrow().gone.len(), 0);
    world.run(20);
    assert_eq!(world.log.borrow().gone, ["/poll"]);
}
