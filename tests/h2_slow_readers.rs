//! Users that take what comes over HTTP/2 slowly, and say so by `rx_flow`: their peers see that it goes on (RFC 9113 5.2).

#![cfg(all(feature = "h2", feature = "ws"))]

use millstream::sim::Network;
use millstream::{Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Timeouts, Tx, TxFlow};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const POLICY: &str = r#"{"s": [
    {"server": {"server": true, "endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "ws_subprotocol": "chat"}},
    {"get": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "GET", "http_url": "x",
        "opportunistic": true}},
    {"post": {"endpoint": "10.0.0.1", "port": 80, "protocol": "h2", "http_method": "POST", "http_url": "x",
        "opportunistic": true}},
    {"talk": {"endpoint": "10.0.0.1", "port": 80, "protocol": "ws", "ws_subprotocol": "chat", "ws_over_h2": true,
        "http_url": "x", "opportunistic": true}}]}"#;

const MEGABYTE: usize = 1 << 20;

/// What a reader takes 25 s for.
const BITE: usize = 16 * 1024;

#[derive(Default)]
struct Told {
    got: usize,
    ends: usize,
    states: Vec<StreamState>,
}

/// Sends so much, and takes what comes slowly.
#[derive(Clone)]
struct User {
    told: Rc<RefCell<Told>>,
    left: usize,
}

impl StreamHandler for User {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(self.clone()))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let mut told = self.told.borrow_mut();
        told.got += payload.len();
        told.ends += usize::from(flags.is_eom());
        if !payload.is_empty() {
            cx.rx_flow(me, false).unwrap();
            let pause = Duration::from_secs(25) * payload.len() as u32 / BITE as u32;
            cx.sul_schedule(pause, move |cx| drop(cx.rx_flow(me, true)));
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let left = self.left;
        self.left -= tx.fill(|room| {
            room.fill(b'.');
            room.len().min(left)
        });
        if self.left == 0 {
            tx.end_message();
        } else {
            cx.request_tx(me).unwrap();
        }
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        self.told.borrow_mut().states.push(state);
        let sends = matches!(state, StreamState::Connected | StreamState::ServerTxn) && self.left > 0;
        if sends {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

#[test]
fn the_peer_of_a_slow_reader_sees_that_it_goes_on() {
    for (streamtype, [serves, asks]) in
        [("get", [MEGABYTE, 0]), ("post", [0, MEGABYTE]), ("talk", [0, MEGABYTE])]
    {
        let network = Network::new(1);
        // Of a request that is on its way, what fits into the windows is taken before it is answered.
        let timeouts = Timeouts { response: Duration::from_secs(600), ..Timeouts::default() };
        let builder = || Context::builder().timeouts(timeouts).policy(POLICY).unwrap();
        let build = |ip| builder().sim(network.host(ip)).build().unwrap();
        let (mut server, mut client) = (build("10.0.0.1"), build("10.0.0.2"));
        let user = |left| User { told: Rc::default(), left };
        let (serving, asking) = (user(serves), user(asks));
        let reader = if serves > 0 { Rc::clone(&asking.told) } else { Rc::clone(&serving.told) };
        server.with(|cx| cx.create("server", serving)).unwrap();
        client.with(|cx| {
            let id = cx.create(streamtype, asking).unwrap();
            cx.client_connect(id).unwrap();
        });
        // 64 bites; what they wait for they are sent at once.
        let until = network.now().saturating_add(Duration::from_secs(25 * 65));
        network.run(&mut [&mut server, &mut client], until).unwrap();
        let told = reader.borrow();
        assert_eq!((told.got, told.ends), (MEGABYTE, 1), "{streamtype}: {:?}", told.states);
    }
}
