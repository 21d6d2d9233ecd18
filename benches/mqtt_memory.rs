//! Heap that MQTT streams hold on one connection, by a counting allocator.
//!
//! `cargo bench --bench mqtt_memory`

use millstream::{Context, Cx, Flow, StreamHandler, StreamId, StreamState};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const STREAMS: usize = 10_000;

/// `who` is a stream's own.
const POLICY: &str = r#"{ "s": [
    { "idle": { SHARED, "mqtt_topic": "t" } },
    { "same": { SHARED, "mqtt_subscribe": "down/all" } },
    { "own": { SHARED, "mqtt_subscribe": "down/${who}", "metadata": [ { "who": "" } ] } } ] }"#;

fn live_bytes() -> f64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

struct User {
    who: Option<usize>,
    connected: Rc<Cell<usize>>,
}

impl StreamHandler for User {
    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        match (state, self.who) {
            (StreamState::Creating, Some(who)) => {
                cx.set_metadata(me, "who", who.to_string().as_bytes()).expect("a name that is declared");
            }
            (StreamState::Connected, _) => self.connected.set(self.connected.get() + 1),
            _ => {}
        }
        Flow::Ok
    }
}

/// Takes every client and every filter, on one connection, and holds nothing.
fn serve(listener: &TcpListener) -> Option<()> {
    let (mut socket, _) = listener.accept().ok()?;
    let mut body = vec![0; 64 * 1024];
    loop {
        let mut byte = [0];
        let mut next = || socket.read_exact(&mut byte).ok().map(|()| usize::from(byte[0]));
        let kind = next()? >> 4;
        let (mut len, mut shift) = (0, 0);
        loop {
            let digit = next()?;
            len |= (digit & 127) << shift;
            shift += 7;
            if digit < 128 {
                break;
            }
        }
        let body = body.get_mut(..len)?;
        socket.read_exact(body).ok()?;
        match kind {
            1 => socket.write_all(&[0x20, 2, 0, 0]).ok()?,
            8 => {
                let (mut filters, mut at) = (0u8, 2);
                while let [high, low] = *body.get(at..at + 2).unwrap_or_default() {
                    at += 2 + usize::from(u16::from_be_bytes([high, low])) + 1;
                    filters += 1;
                }
                socket.write_all(&[0x90, 2 + filters, body[0], body[1]]).ok()?;
                socket.write_all(&[0; 255][..usize::from(filters)]).ok()?;
            }
            _ => {}
        }
    }
}

/// Bytes for each stream of a type, with the connection that they share.
fn per_stream(name: &str, port: u16) -> f64 {
    let shared = format!(
        r#""endpoint": "127.0.0.1", "port": {port}, "protocol": "mqtt", "nailed_up": true, "mqtt_clean_start": true"#
    );
    let policy = POLICY.replace("SHARED", &shared);
    let mut context = Context::builder().policy(&policy).expect("a policy").build().expect("a context");
    let connected = Rc::new(Cell::new(0));
    let before = live_bytes();
    for nth in 0..STREAMS {
        let who = (name == "own").then_some(nth);
        let user = User { who, connected: Rc::clone(&connected) };
        context.with(|cx| cx.create(name, user)).expect("a stream");
    }
    while connected.get() < STREAMS {
        context.service(None).expect("a poller");
    }
    (live_bytes() - before) / STREAMS as f64
}

fn main() {
    println!("| heap of a MQTT stream, {STREAMS} on one connection, everything counted | bytes |");
    println!("|---|---|");
    for (name, what) in [
        ("idle", "that publishes"),
        ("same", "subscribed to what all are"),
        ("own", "subscribed to its own topic"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let broker = std::thread::spawn(move || serve(&listener));
        println!("| {what} | {:.0} |", per_stream(name, port));
        let _ = broker.join();
    }
}
