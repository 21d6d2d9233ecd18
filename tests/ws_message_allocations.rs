//! What messages of websockets cost of the heap, on connections of HTTP/1.1 and on streams of HTTP/2: nothing in the steady state.
//! Counted, not estimated.
#![cfg(all(feature = "h2", feature = "ws"))]

use millstream::{
    Address, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, StreamInfo, StreamState, Tx, TxFlow,
    WsDeflate,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const POLICY: &str = r#"{ "s": [
    { "server": { "server": true, "endpoint": "127.0.0.1", "port": PORT, "protocol": "h2", "ws_subprotocol": "any" } },
    { "client": { "endpoint": "127.0.0.1", "port": PORT, "protocol": "ws", "ws_over_h2": OVER_H2, "http_url": "/",
        "opportunistic": true } } ] }"#;

/// Sends back what it hears, and begins if it is a client. Counts what it hears as a client.
struct Echo {
    is_client: bool,
    /// What it sends comes in two.
    in_fragments: bool,
    len: usize,
    kept: Vec<u8>,
}

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        let kept = Vec::with_capacity(self.len);
        Some(Box::new(Self { kept, ..*self }))
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.kept.extend_from_slice(payload);
        if flags.is_eom() {
            assert_eq!(self.kept.len(), self.len);
            if self.is_client {
                *cx.app::<u32>().unwrap() += 1;
            }
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let half = self.len / 2;
        if self.in_fragments && tx.is_som() {
            tx.write(&self.kept[..half]);
            cx.request_tx(me).unwrap();
            return TxFlow::Send;
        }
        tx.write(&self.kept[if self.in_fragments { half } else { 0 }..]);
        tx.end_message();
        self.kept.clear();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match state {
            StreamState::Creating if self.is_client => drop(cx.client_connect(me)),
            StreamState::Connected if self.is_client => {
                self.kept.resize(self.len, b'x');
                cx.request_tx(me).unwrap();
            }
            _ => {}
        }
        Flow::Ok
    }
}

/// Some websockets, which share a connection where they can, and messages of one length.
#[derive(Debug)]
struct Case {
    over_h2: bool,
    clients: usize,
    len: usize,
    in_fragments: bool,
    deflate: Option<WsDeflate>,
}

impl Case {
    /// Allocations of so many messages back and forth after so many others, client and server in one context.
    fn allocations(&self, warm: u32, counted: u32) -> usize {
        let policy = |port: u16| {
            POLICY.replace("PORT", &port.to_string()).replace("OVER_H2", &self.over_h2.to_string())
        };
        let mut context = Context::builder().policy(&policy(0)).unwrap().build().unwrap();
        let port = context.with(|cx| {
            let server = cx.create("server", self.user(false)).unwrap();
            cx.server_address(server).and_then(Address::port).unwrap()
        });
        drop(context);
        let mut context = Context::builder().policy(&policy(port)).unwrap().app(0_u32).build().unwrap();
        let info = |streamtype| StreamInfo { ws_deflate: self.deflate, ..StreamInfo::from(streamtype) };
        context.with(|cx| {
            cx.create(info("server"), self.user(false)).unwrap();
            for _ in 0..self.clients {
                cx.create(info("client"), self.user(true)).unwrap();
            }
        });
        let mut answered = |wanted: u32| {
            while context.with(|cx| *cx.app::<u32>().unwrap()) < wanted {
                context.service(Some(Duration::from_secs(10))).unwrap();
            }
            let connections = if self.over_h2 { 1 } else { self.clients as u64 };
            assert_eq!(context.counters().connected, connections);
        };
        answered(warm);
        let region = Region::new(HEAP);
        answered(warm + counted);
        let change = region.change();
        change.allocations + change.reallocations
    }

    fn user(&self, is_client: bool) -> Echo {
        let (len, in_fragments) = (self.len, self.in_fragments);
        Echo { is_client, in_fragments: in_fragments && is_client, len, kept: Vec::with_capacity(len) }
    }
}

#[test]
fn a_message_allocates_nothing_in_the_steady_state_compressed_or_not() {
    for over_h2 in [false, true] {
        for (clients, len) in [(1, 20), (1, 8000), (8, 20), (8, 15_000)] {
            let case = Case { over_h2, clients, len, in_fragments: true, deflate: None };
            assert_eq!(case.allocations(4000, 10_000), 0, "{case:?}");
        }
        for (deflate, in_fragments) in [(WsDeflate::default(), false), (WsDeflate::TAKEOVER, true)] {
            for (clients, len) in [(1, 20), (1, 2000), (8, 2000)] {
                let case = Case { over_h2, clients, len, in_fragments, deflate: Some(deflate) };
                assert_eq!(case.allocations(300, 500), 0, "{case:?}");
            }
        }
    }
}
