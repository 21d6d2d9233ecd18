//! Websockets whose server, or whose context, leaves: they are told so (RFC 6455 7.4.1), after what is under way; and codes that
//! users choose. On connections that were upgraded from HTTP/1.1, and on streams of HTTP/2.

#![cfg(all(feature = "h2", feature = "ws"))]

#[path = "common/ws_carrier.rs"]
mod carrier;

use carrier::{Carrier, WebSocket};
use h2::Request;
use millstream::http::{BodyLength, Head};
use millstream::sim::Network;
use millstream::{
    Address, Cause, Census, Context, Cx, Error, Flow, ListenInfo, Protocol, RxFlags, ServerRole,
    StreamHandler, StreamId, StreamState, Tx, TxFlow, WsInfo, WsiId,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"http1": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "ws_subprotocol": "chat"}},
    {"http2": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "ws_subprotocol": "chat"}},
    {"client": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "opportunistic": true}},
    {"client_over_h2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_over_h2": true, "opportunistic": true}}]}"#;

const AWAY: &[u8] = b"\x88\x02\x03\xe9";

#[derive(Default)]
struct Told {
    states: Vec<StreamState>,
    causes: Vec<String>,
    accepted: Option<StreamId>,
    /// Pieces that the other end is to be sent, of one message or of many; the last is asked for again and again.
    says: Vec<(&'static [u8], bool)>,
    never_stops: bool,
}

type Log = Rc<RefCell<Told>>;

/// Answers what is a message with `ok`.
#[derive(Clone, Default)]
struct User(Log);

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], flags: RxFlags) -> Flow {
        if flags.is_eom() {
            self.0.borrow_mut().says.push((b"ok", true));
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let mut told = self.0.borrow_mut();
        if told.never_stops {
            cx.request_tx(me).unwrap();
            tx.write(b"more");
            tx.end_message();
            return TxFlow::Send;
        }
        if told.says.is_empty() {
            return TxFlow::DontSend;
        }
        let (piece, is_last) = told.says.remove(0);
        tx.write(piece);
        if is_last {
            tx.end_message();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        let mut told = self.0.borrow_mut();
        told.states.push(state);
        match state {
            StreamState::ServerUpgrade => told.accepted = Some(me),
            StreamState::Disconnected => told.causes.extend(cx.cause(me).map(Cause::to_string)),
            _ => {}
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    context: Context,
    server: StreamId,
    log: Log,
}

impl World {
    fn new(carrier: Carrier) -> Self {
        let network = Network::new(1);
        let mut context =
            Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
        let user = User::default();
        let log = Rc::clone(&user.0);
        let streamtype = if carrier == Carrier::Http1 { "http1" } else { "http2" };
        let server = context.with(|cx| cx.create(streamtype, user)).unwrap();
        Self { network, context, server, log }
    }

    fn run(&mut self, millis: u64) {
        step(&self.network, &mut self.context, millis);
    }

    fn join(&mut self, carrier: Carrier) -> WebSocket {
        self.run(1);
        let socket = self.network.connect(&self.network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
        let mut turn = || step(&self.network, &mut self.context, 10);
        WebSocket::client(carrier, socket, "", &mut turn).0
    }

    fn say(&mut self, peer: &mut WebSocket, first: u8, payload: &[u8]) {
        // With the mask 0, which changes nothing.
        let bytes = [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
        peer.write(&bytes, &mut || {});
        self.run(10);
    }

    fn shut_down(&mut self) {
        let server = self.server;
        self.context.with(|cx| cx.server_shutdown(server)).unwrap();
        self.run(10);
    }
}

fn step(network: &Network, context: &mut Context, millis: u64) {
    let until = network.now().saturating_add(Duration::from_millis(millis));
    network.run(&mut [context], until).unwrap();
}

#[test]
fn a_server_that_leaves_tells_its_websockets_and_is_gone_with_the_last_of_them() {
    for carrier in Carrier::BOTH {
        let mut world = World::new(carrier);
        let mut peers = [(); 3].map(|()| world.join(carrier));
        world.shut_down();
        for peer in &mut peers {
            assert_eq!(peer.read(), AWAY, "{carrier:?}");
            assert!(peer.is_ended(), "{carrier:?}");
        }
        assert_eq!(world.log.borrow().causes, ["closed by this side"; 3], "{carrier:?}");
        // Each answers, and ends its side; over HTTP/2 it also says that it has heard of the end, and then hangs up.
        for peer in &mut peers {
            world.say(peer, 0x88, b"\x03\xe9");
            peer.end();
            world.run(10);
            peer.pump();
            world.run(10);
            let _ = peer.socket.shutdown();
            world.run(10);
        }
        assert_eq!(world.context.census(), Census::default(), "{carrier:?}");
        assert_eq!(world.log.borrow().states.last(), Some(&StreamState::Destroying));
    }
}

#[test]
fn messages_that_are_under_way_in_either_direction_come_to_their_end_first() {
    for carrier in Carrier::BOTH {
        let mut world = World::new(carrier);
        let mut peer = world.join(carrier);
        world.say(&mut peer, 0x01, b"be");
        world.log.borrow_mut().says = vec![(b"half", false), (b" whole", true)];
        let accepted = world.log.borrow().accepted.unwrap();
        world.context.with(|cx| cx.request_tx(accepted)).unwrap();
        world.run(10);
        assert_eq!(peer.read(), b"\x01\x04half", "{carrier:?}");
        world.shut_down();
        assert!(peer.read().is_empty(), "{carrier:?}");
        world.context.with(|cx| cx.request_tx(accepted)).unwrap();
        world.run(10);
        assert_eq!(peer.read(), b"\x80\x06 whole", "{carrier:?}");
        world.say(&mut peer, 0x80, b"gun");
        assert_eq!(peer.read(), [b"\x81\x02ok", AWAY].concat(), "{carrier:?}");
    }
}

#[test]
fn who_always_has_another_message_holds_up_no_server_that_leaves() {
    for carrier in Carrier::BOTH {
        let mut world = World::new(carrier);
        let mut peer = world.join(carrier);
        let accepted = world.log.borrow().accepted.unwrap();
        world.log.borrow_mut().never_stops = true;
        let server = world.server;
        world.context.with(|cx| {
            cx.request_tx(accepted).unwrap();
            cx.server_shutdown(server).unwrap();
        });
        world.run(10);
        let heard = peer.read();
        assert_eq!(heard, [b"\x81\x04more", AWAY].concat(), "{carrier:?}");
    }
}

#[test]
fn a_websocket_that_is_asked_for_before_the_goaway_is_known_is_granted_and_told() {
    let mut world = World::new(Carrier::Http2);
    let mut peer = world.join(Carrier::Http2);
    world.shut_down();
    let request = Request::connect(b"websocket", b"http", b"10.0.0.1", b"/");
    let fields = [(&b"sec-websocket-version"[..], &b"13"[..])].into_iter();
    let (mut out, engine) = (Vec::new(), peer.engine.as_mut().unwrap());
    peer.stream = Some(engine.encode_request(&request, fields, BodyLength::Unknown, &mut out).unwrap());
    peer.socket.write(&out).unwrap();
    world.run(10);
    assert_eq!(peer.read(), AWAY);
}

#[test]
fn a_reason_that_a_user_has_chosen_counts_more_than_that_the_server_leaves() {
    for carrier in Carrier::BOTH {
        let mut world = World::new(carrier);
        let mut peer = world.join(carrier);
        let (accepted, server) = (world.log.borrow().accepted.unwrap(), world.server);
        world.context.with(|cx| {
            cx.close_reason(accepted, 1012, "back soon").unwrap();
            assert!(matches!(cx.close_reason(accepted, 1006, ""), Err(Error::Ws(_))));
            assert!(matches!(cx.close_reason(server, 1012, ""), Err(Error::NotConnected)));
        });
        world.shut_down();
        assert_eq!(peer.read(), b"\x88\x0b\x03\xf4back soon", "{carrier:?}");
        world.context.with(|cx| assert!(matches!(cx.close_reason(accepted, 1000, ""), Err(Error::Stale))));
    }
}

#[test]
fn a_server_stream_that_is_destroyed_and_a_context_that_ends_tell_websockets_as_well() {
    for carrier in Carrier::BOTH {
        for ends in [false, true] {
            let mut world = World::new(carrier);
            let mut peers: Vec<_> = (0..3).map(|_| world.join(carrier)).collect();
            let World { network, mut context, server, .. } = world;
            if ends {
                drop(context);
            } else {
                context.with(|cx| cx.destroy(server)).unwrap();
                step(&network, &mut context, 10);
            }
            let until = network.now().saturating_add(Duration::from_millis(10));
            network.run(&mut [], until).unwrap();
            for peer in &mut peers {
                assert_eq!(peer.read(), AWAY, "{carrier:?}, {ends}");
            }
        }
    }
}

#[test]
fn clients_whose_context_ends_say_so_however_many_share_a_connection() {
    for (carrier, streamtype) in [(Carrier::Http1, "client"), (Carrier::Http2, "client_over_h2")] {
        let mut world = World::new(carrier);
        let mut clients =
            Context::builder().policy(POLICY).unwrap().sim(world.network.host("10.0.0.2")).build().unwrap();
        for _ in 0..90 {
            clients
                .with(|cx| {
                    let id = cx.create(streamtype, User::default())?;
                    cx.client_connect(id)
                })
                .unwrap();
        }
        let until = world.network.now().saturating_add(Duration::from_millis(100));
        world.network.run(&mut [&mut world.context, &mut clients], until).unwrap();
        drop(clients);
        world.run(100);
        assert_eq!(world.log.borrow().causes, vec!["closed by the peer with code 1001"; 90], "{carrier:?}");
    }
}

/// Closes with a reason when it hears something, without a secure stream.
struct Bare;

impl Protocol for Bare {
    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        assert!(matches!(cx.wsi_close_reason(me, 1000, ""), Err(Error::WrongRole)));
        cx.ws_accept(me, head, &WsInfo::default()).unwrap();
        Flow::Ok
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &[u8]) -> Flow {
        cx.wsi_close_reason(me, 1008, "not that").unwrap();
        Flow::DisconnectMe
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }
}

#[test]
fn user_code_without_a_stream_chooses_its_words_too_and_a_context_that_ends_tells_its_peers() {
    for carrier in Carrier::BOTH {
        let network = Network::new(1);
        let mut context = Context::builder().sim(network.host("10.0.0.1")).build().unwrap();
        let role = if carrier == Carrier::Http1 { ServerRole::H1 } else { ServerRole::Http };
        let address = Address::Ip("10.0.0.1:80".parse().unwrap());
        let info = ListenInfo { websockets: true, ..ListenInfo::new(address, role) };
        context.with(|cx| {
            let accept = |_: &mut Cx<'_>, _: WsiId, _: Option<&Address>| -> Option<Box<dyn Protocol>> {
                Some(Box::new(Bare))
            };
            cx.listen(info, accept).unwrap();
        });
        step(&network, &mut context, 1);
        let mut turn = || step(&network, &mut context, 10);
        let [mut hears, mut other] = [(); 2].map(|()| {
            let socket = network.connect(&network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
            WebSocket::client(carrier, socket, "", &mut turn).0
        });
        hears.write(b"\x81\x80\0\0\0\0", &mut turn);
        turn();
        assert_eq!(hears.read(), b"\x88\x0a\x03\xf0not that", "{carrier:?}");
        drop(context);
        let until = network.now().saturating_add(Duration::from_millis(10));
        network.run(&mut [], until).unwrap();
        assert_eq!(other.read(), AWAY, "{carrier:?}");
    }
}
