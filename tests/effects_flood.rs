//! Users who ask for more in a callback than a turn of the loop delivers: all that is asked for happens, in the turns after.

#![cfg(all(feature = "h2", feature = "ws"))]

use millstream::sim::{Link, Network};
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use std::cell::RefCell;
use std::rc::Rc;

const POLICY: &str = r#"{"s": [
    {"serve_h1": {"server": true, "port": 80, "protocol": "h1", "ws_subprotocol": "x"}},
    {"serve_h2": {"server": true, "port": 80, "protocol": "h2", "ws_subprotocol": "x"}},
    {"serve_raw": {"server": true, "port": 80, "protocol": "raw"}},
    {"h1": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h1", "http_method": "POST", "http_url": "x", "opportunistic": true}},
    {"h2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "x", "opportunistic": true}},
    {"ws": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_url": "x", "ws_subprotocol": "x", "opportunistic": true}},
    {"wsh2": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "http_url": "x", "ws_subprotocol": "x", "ws_over_h2": true,
        "opportunistic": true}},
    {"calm": {"endpoint": "10.0.0.9", "port": 80, "protocol": "raw", "opportunistic": true}},
    {"raw": {"endpoint": "10.0.0.1", "port": 80, "protocol": "raw", "opportunistic": true}}]}"#;

/// More than a turn of the loop delivers: effects that come to nothing, because the stream is connected.
fn flood(cx: &mut Cx<'_>, scapegoat: StreamId) {
    for _ in 0..10_100 {
        // Gone when the context ends.
        let _ = cx.client_connect(scapegoat);
    }
}

#[derive(Clone, Default)]
struct User {
    is_server: bool,
    scapegoat: Option<StreamId>,
    left: Vec<u8>,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl User {
    fn flood(&self, cx: &mut Cx<'_>) {
        if let Some(scapegoat) = self.scapegoat {
            flood(cx, scapegoat);
        }
    }
}

impl StreamHandler for User {
    fn accept(&mut self, cx: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        self.flood(cx);
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.flood(cx);
        self.heard.borrow_mut().extend_from_slice(payload);
        if self.is_server {
            self.left.extend_from_slice(payload);
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        self.flood(cx);
        let len = self.left.len().min(1000);
        let sent = tx.write(&self.left[..len]);
        self.left.drain(..sent);
        if self.left.is_empty() {
            if !self.is_server {
                tx.end_message();
            }
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.flood(cx);
        if state == StreamState::Connected && !self.is_server {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

struct Nobody;
impl StreamHandler for Nobody {}

#[test]
fn nothing_that_was_asked_for_is_forgotten_when_a_turn_has_had_its_share() {
    let said: Vec<u8> = (0..6000_u32).map(|n| b'a' + (n % 23) as u8).collect();
    for (server_type, client_type) in [
        ("serve_raw", "raw"),
        ("serve_h1", "h1"),
        ("serve_h1", "ws"),
        ("serve_h2", "h1"),
        ("serve_h2", "h2"),
        ("serve_h2", "wsh2"),
    ] {
        for segment in [0, 700] {
            let network = Network::new(5);
            network.set_default_link(Link { segment, ..Link::default() });
            let build =
                |ip| Context::builder().policy(POLICY).unwrap().sim(network.host(ip)).build().unwrap();
            let (mut server, mut client) = (build("10.0.0.1"), build("10.0.0.2"));
            let _listener = network.listen(&network.host("10.0.0.9"), 80).unwrap();
            let calm = |cx: &mut Cx<'_>| {
                let id = cx.create("calm", Nobody).unwrap();
                cx.client_connect(id).unwrap();
                id
            };
            let [theirs, ours] = [server.with(calm), client.with(calm)];
            let users: Vec<_> = (0..2).map(|_| Rc::<RefCell<Vec<u8>>>::default()).collect();
            let serving = User { is_server: true, scapegoat: Some(theirs), ..User::default() };
            server.with(|cx| cx.create(server_type, serving).unwrap());
            for heard in &users {
                let user = User {
                    scapegoat: Some(ours),
                    left: said.clone(),
                    heard: Rc::clone(heard),
                    ..User::default()
                };
                client.with(|cx| {
                    let id = cx.create(client_type, user).unwrap();
                    cx.client_connect(id).unwrap();
                });
            }
            network.run(&mut [&mut server, &mut client], Us::from_us(20_000_000)).unwrap();
            for heard in &users {
                assert_eq!(heard.borrow().len(), said.len(), "{client_type} at {server_type}, {segment}");
                assert!(*heard.borrow() == said);
            }
        }
    }
}
