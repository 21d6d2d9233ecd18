//! What no peer can bring about within a lifetime: that a connection runs out of streams. And what none can see: how rows
//! are counted.

use crate::role::Role;
use crate::sim::Network;
use crate::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow, Us};
use h2::{Engine, Limits};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"server": {"server": true, "port": 80, "protocol": "h2"}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true}}]}"#;

/// As a server answers "done" after a second; as a client says what became of it.
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
            cx.sul_schedule(Duration::from_secs(1), move |cx| drop(cx.request_tx(me)));
        }
        Flow::Ok
    }
}

#[test]
fn a_connection_whose_streams_are_used_up_leaves_the_rest_to_another() {
    use StreamState::{Connected, Connecting, Creating, Disconnected, QosAckRemote};
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
        Some(Role::H2(h2)) => {
            h2.engine = Engine::client(Limits { requests: 3, ..Limits::default() });
            // Others have been served, long ago.
            h2.is_proven = true;
        }
        role => panic!("{role:?}"),
    }
    let mut run = |client: &mut Context, us| {
        network.run(&mut [&mut server, client], Us::from_us(us)).unwrap();
    };
    run(&mut client, 500_000);
    assert_eq!((client.counters().connected, client.core.connections()), (2, 2), "nobody waits");
    assert!(told.iter().all(|told| *told.borrow() == [Creating, Connecting]), "nor is answered");
    assert!(
        !client.core.carriers.values().any(|carrier| carriers.contains(carrier)),
        "who comes now goes on"
    );
    run(&mut client, 1_500_000);
    for told in &told {
        assert_eq!(*told.borrow(), [Creating, Connecting, Connected, QosAckRemote, Disconnected]);
    }
    assert_eq!((client.counters().connected, client.core.connections()), (2, 1));
}

/// Takes requests, and answers none.
struct Silent;

impl StreamHandler for Silent {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }
}

#[test]
fn streams_are_no_connections_on_either_side() {
    let network = Network::new(1);
    let builder = Context::builder().policy(POLICY).unwrap().max_connections(3);
    let mut context = builder.sim(network.host("10.0.0.1")).build().unwrap();
    let asking: Vec<_> = context.with(|cx| {
        cx.create("server", Silent).unwrap();
        let asking: Vec<_> = (0..5).map(|_| cx.create("get", User(Rc::default())).unwrap()).collect();
        for id in &asking {
            cx.client_connect(*id).unwrap();
        }
        asking
    });
    let run = |context: &mut Context, us| network.run(&mut [context], Us::from_us(us)).unwrap();
    run(&mut context, 1_000_000);
    // The listener, and both ends of one connection; five streams have two ends as well.
    assert_eq!((context.core.connections(), context.core.children), (3, 10));
    context.with(|cx| cx.destroy(asking[0])).unwrap();
    run(&mut context, 2_000_000);
    assert_eq!((context.core.connections(), context.core.children), (3, 8));
    for id in &asking[1..] {
        context.with(|cx| cx.destroy(*id)).unwrap();
    }
    run(&mut context, 3_000_000);
    assert_eq!((context.core.connections(), context.core.children), (3, 0));
    run(&mut context, 600_000_000);
    assert_eq!((context.core.connections(), context.core.children), (1, 0));
}
