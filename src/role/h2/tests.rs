//! What no peer can bring about within a lifetime: that a connection runs out of streams.

use crate::role::Role;
use crate::sim::Network;
use crate::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use h2::{Engine, Limits};
use std::cell::RefCell;
use std::rc::Rc;

const POLICY: &str = r#"{"s": [
    {"server": {"server": true, "port": 80, "protocol": "h2"}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true}}]}"#;

/// As a server answers "done"; as a client says what became of it.
struct User(Rc<RefCell<Vec<StreamState>>>);

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self(Rc::default())))
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, _: &[u8], _: RxFlags) -> Flow {
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"done");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.0.borrow_mut().push(state);
        if state == StreamState::ServerTxn {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn a_connection_whose_streams_are_used_up_leaves_the_rest_to_another() {
    let network = Network::new(1);
    let context =
        |address| Context::builder().policy(POLICY).unwrap().sim(network.host(address)).build().unwrap();
    let (mut server, mut client) = (context("10.0.0.1"), context("10.0.0.2"));
    server.with(|cx| cx.create("server", User(Rc::default()))).unwrap();
    let told: Vec<_> = (0..8).map(|_| Rc::<RefCell<Vec<StreamState>>>::default()).collect();
    client.with(|cx| {
        for told in &told {
            let id = cx.create("get", User(Rc::clone(told))).unwrap();
            cx.client_connect(id).unwrap();
        }
    });
    let carriers: Vec<_> = client.core.carriers.values().copied().collect();
    assert_eq!(carriers.len(), 1);
    match client.core.wsis.get_mut(carriers[0]).map(|wsi| &mut wsi.role) {
        Some(Role::H2(h2)) => h2.engine = Engine::client(Limits { requests: 3, ..Limits::default() }),
        role => panic!("{role:?}"),
    }
    network.run(&mut [&mut server, &mut client], Us::from_us(1_000_000)).unwrap();
    for told in &told {
        use StreamState::{Connected, Connecting, Creating, Disconnected, QosAckRemote};
        assert_eq!(*told.borrow(), [Creating, Connecting, Connected, QosAckRemote, Disconnected]);
    }
    assert_eq!(client.counters().connected, 2);
    assert!(
        !client.core.carriers.values().any(|carrier| carriers.contains(carrier)),
        "who comes now goes on"
    );
}
