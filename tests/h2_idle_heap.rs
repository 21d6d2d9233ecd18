//! What an HTTP/2 connection keeps while it is idle, by a counting allocator: of the streams that it has had, only what header
//! compression remembers.

#![cfg(feature = "h2")]

#[path = "common/h2_peer.rs"]
mod h2_peer;

use h2::{Engine, Limits, Request};
use h2_peer::Peer;
use millstream::http::{BodyLength, Method};
use millstream::sim::{Network, RawSocket};
use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamState, Tx, TxFlow};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::time::Duration;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 100;

const POLICY: &str = r#"{"s": [{"server": {"server": true, "port": 80, "protocol": "h2"}}]}"#;

fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

struct Hello;

impl StreamHandler for Hello {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::new(Self))
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        tx.end_message();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }
}

struct World {
    network: Network,
    server: Context,
}

impl World {
    fn run(&mut self) {
        let until = self.network.now().saturating_add(Duration::from_millis(10));
        self.network.run(&mut [&mut self.server], until).unwrap();
    }

    /// A connection that has had so many streams, one after the other.
    fn connection(&mut self, streams: usize) -> RawSocket {
        let socket = self.network.connect(&self.network.host("10.0.0.2"), "10.0.0.1:80").unwrap();
        self.run();
        let mut peer = Peer::new(socket, Engine::client(Limits::default()));
        // One at a time: so what the simulation keeps for the socket does not depend on their number.
        for nth in 0..=streams {
            if nth > 0 {
                peer.say(|engine, out| {
                    let request = Request::new(Method::Get, b"http", b"a", b"/");
                    engine.encode_request(&request, std::iter::empty(), BodyLength::None, out).unwrap();
                });
            }
            for _ in 0..4 {
                self.run();
                peer.serve();
            }
        }
        assert_eq!(peer.ended.len(), streams);
        peer.socket
    }

    /// Heap of one connection of many.
    fn cost(&mut self, streams: usize) -> usize {
        // Tables that hold as many have grown before.
        drop((0..CONNECTIONS).map(|_| self.connection(streams)).collect::<Vec<_>>());
        self.run();
        let before = heap();
        let held: Vec<_> = (0..CONNECTIONS).map(|_| self.connection(streams)).collect();
        let cost = (heap() - before) / CONNECTIONS;
        drop(held);
        self.run();
        cost
    }
}

#[test]
fn of_its_streams_an_idle_connection_keeps_what_header_compression_remembers() {
    let network = Network::new(1);
    let mut server =
        Context::builder().policy(POLICY).unwrap().sim(network.host("10.0.0.1")).build().unwrap();
    server.with(|cx| cx.create("server", Hello)).unwrap();
    let mut world = World { network, server };
    let [none, one, ten] = [0, 1, 10].map(|streams| world.cost(streams));
    println!("| bytes, with the socket of a simulation | {none} | after a stream {one} | after ten {ten} |");
    assert!(one < none + 400 && ten < one + 200, "{none}, {one}, {ten}");
}
