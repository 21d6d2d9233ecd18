//! What requests over HTTP/2 cost of the heap: nothing in the steady state. Counted, not estimated.
#![cfg(feature = "h2")]

#[path = "common/heap.rs"]
mod heap;

use millstream::{Address, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use std::time::Duration;

const WARM: u32 = 400;
const COUNTED: u32 = 1000;

#[derive(Default)]
struct Counts {
    answered: u32,
    set: u32,
}

/// A header's value: another each time while requests warm up, first short ones, then long ones, until the tables of header
/// compression are as large as they get; the same for those that are counted.
fn set(cx: &mut Cx<'_>, me: StreamId, name: &str) {
    let counts = cx.app::<Counts>().unwrap();
    counts.set += 1;
    let value = match (counts.answered, counts.set) {
        (answered, nth) if answered < WARM / 2 => &format!("{nth}"),
        (answered, nth) if answered < WARM => &format!("{nth:0200}"),
        _ => "a value",
    };
    // Refused to one that says its goodbyes.
    let _ = cx.set_metadata(me, name, value);
}

/// Answers every request alike. It has no size, because its allocations would be the application's.
struct Server;

impl StreamHandler for Server {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, _: &[u8], flags: RxFlags) -> Flow {
        if flags.is_eom() {
            cx.request_tx_len(me, 5).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            set(cx, me, "mime");
            assert!(cx.metadata(me, "agent").is_some());
            if cx.metadata(me, "method") == Some(b"GET") {
                cx.request_tx_len(me, 5).unwrap();
            }
        }
        Flow::Ok
    }
}

const POLICY: &str = r#"{ "s": [ { "server": { "server": true, "endpoint": "127.0.0.1", "port": PORT, "protocol": "h2", "metadata": [
        { "mime": "content-type:" }, { "method": "" }, { "path": "" }, { "agent": "user-agent:" } ] } },
    { "client": { "endpoint": "127.0.0.1", "port": PORT, "protocol": "h2", "opportunistic": true, "http_method": "METHOD",
        "http_url": "/${page}", "metadata": [ { "agent": "user-agent:" }, { "page": "" } ] } } ] }"#;

/// Asks once for each round, with values of its own in the request.
struct Asking {
    is_post: bool,
    good: bool,
}

impl StreamHandler for Asking {
    fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], _: RxFlags) -> Flow {
        self.good |= payload == b"hello";
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::Disconnected {
            cx.app::<Counts>().unwrap().answered += u32::from(std::mem::take(&mut self.good));
        }
        if matches!(state, StreamState::Creating | StreamState::Disconnected) {
            set(cx, me, "agent");
            let _ = cx.set_metadata(me, "page", "a/page");
            let _ = if self.is_post { cx.request_tx_len(me, 5) } else { cx.request_tx(me) };
        }
        Flow::Ok
    }
}

/// Allocations of many rounds of some client streams, which share a connection, and of a server's, in one context.
fn allocations(method: &str, clients: usize) -> usize {
    let policy = |port: u16| POLICY.replace("PORT", &port.to_string()).replace("METHOD", method);
    let mut context = Context::builder().policy(&policy(0)).unwrap().build().unwrap();
    let port = context.with(|cx| {
        let server = cx.create("server", Server).unwrap();
        cx.server_address(server).and_then(Address::port).unwrap()
    });
    drop(context);
    let mut context =
        Context::builder().policy(&policy(port)).unwrap().app(Counts::default()).build().unwrap();
    context.with(|cx| {
        cx.create("server", Server).unwrap();
        for _ in 0..clients {
            cx.create("client", Asking { is_post: method == "POST", good: false }).unwrap();
        }
    });
    let mut answered = |wanted: u32| {
        while context.with(|cx| cx.app::<Counts>().unwrap().answered) < wanted {
            context.service(Some(Duration::from_secs(10))).unwrap();
        }
        assert_eq!(context.counters().connected, 1);
    };
    answered(WARM);
    heap::allocations(|| answered(WARM + COUNTED))
}

#[test]
fn a_request_allocates_nothing_in_the_steady_state() {
    for method in ["GET", "POST"] {
        for clients in [1, 8, 64] {
            assert_eq!(allocations(method, clients), 0, "{method}, {clients} at once");
        }
    }
}
