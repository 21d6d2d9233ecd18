//! Heap that idle things hold, by a counting allocator: connections, streams.
//!
//! `cargo bench --bench memory`

mod common;

use base64::Engine;
use common::{elapsed, port_of};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::{
    Acceptor, Address, ClientInfo, ClientRole, Context, Cx, Error, Flow, ListenInfo, Protocol, ServerRole,
    StreamHandler, StreamId, StreamState, Target, Tx, TxFlow, WsiId,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::Duration;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONNECTIONS: usize = 4000;
const LISTENERS: usize = 1;
const STREAMS: usize = 1_000_000;
/// The first argument of the process that holds the other ends.
const CLIENT: &str = "hold-connections";

fn live_bytes() -> f64 {
    let stats = HEAP.stats();
    stats.bytes_allocated as f64 - stats.bytes_deallocated as f64
}

/// Answers every request with five bytes, and holds nothing.
struct Hello;

impl Acceptor for Hello {
    fn accept(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self))
    }
}

impl Protocol for Hello {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        let _ = cx.http_respond(me, Status::OK, &[], BodyLength::Known(5));
        let _ = cx.wsi_request_tx(me);
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        TxFlow::Send
    }
}

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
            let _ = cx.request_tx_len(me, 5);
        }
        Flow::Ok
    }
}

/// The policy: a server, plain or TLS, and a client type.
fn policy(cert: &str, key: &str) -> String {
    format!(
        r#"{{ "certs": [ {{ "cert": "{cert}" }}, {{ "key": "{key}" }} ], "trust_stores": [ {{ "name": "ours", "stack": ["cert"] }} ],
        "s": [
            {{ "plain": {{ "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1" }} }},
            {{ "tls": {{ "server": true, "endpoint": "127.0.0.1", "port": 0, "tls": true, "server_cert": "cert", "server_key": "key",
                "protocol": "h1" }} }},
            {{ "client": {{ "endpoint": "localhost", "port": 1, "protocol": "h1", "http_method": "GET", "http_url": "/",
                "opportunistic": true }} }} ] }}"#
    )
}

/// The other process: asks once on each connection, and holds them until it is killed.
struct Asking;

impl Protocol for Asking {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let _ = cx.http_request(me, Method::Get, "/", "localhost", &[], BodyLength::None);
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }
}

fn hold(port: u16, count: usize, cert: &str) -> Result<(), Error> {
    let text = format!(
        r#"{{ "certs": [ {{ "cert": "{cert}" }} ], "trust_stores": [ {{ "name": "ours", "stack": ["cert"] }} ] }}"#
    );
    let mut context = Context::builder().policy(if cert.is_empty() { "{}" } else { &text })?.build()?;
    let address = Address::Ip(SocketAddr::from(([127, 0, 0, 1], port)));
    let mut info = ClientInfo::new(Target::Address(address), ClientRole::H1);
    if !cert.is_empty() {
        info.tls = Some(context.with(|cx| cx.client_tls("localhost", Some("ours")))?);
    }
    for _ in 0..count {
        context.with(|cx| cx.connect(&info, Asking));
        context.service(Some(Duration::from_millis(1)))?;
    }
    context.run()
}

struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Heap per idle connection of the server at `port`, after each of them has asked once and been answered.
fn per_connection(context: &mut Context, port: u16, cert: &str) -> f64 {
    let settle = |context: &mut Context, count: usize| {
        // Listeners are connection objects too.
        while context.census().wsis != count + LISTENERS {
            context.service(Some(Duration::from_millis(200))).expect("a poller");
        }
        // Until nothing more comes.
        loop {
            let took = elapsed(|| context.service(Some(Duration::from_millis(200))).expect("a poller"));
            if took > Duration::from_millis(190) {
                return;
            }
        }
    };
    let hold = || {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args([CLIENT, &port.to_string(), &CONNECTIONS.to_string(), cert])
            .spawn();
        Held(child.expect("a second process"))
    };
    // Tables have been empty before: what they grow by is counted.
    let empty = live_bytes();
    let held = hold();
    settle(context, CONNECTIONS);
    let full = live_bytes();
    drop(held);
    settle(context, 0);
    (full - empty) / CONNECTIONS as f64
}

/// A context of its own for each figure, so that its tables are new.
fn connections(serve: impl FnOnce(&mut Cx<'_>) -> u16, policy: &str, cert: &str) -> f64 {
    let mut context = Context::builder().policy(policy).expect("a policy").build().expect("a context");
    let port = context.with(serve);
    per_connection(&mut context, port, cert)
}

fn serve_bare(cx: &mut Cx<'_>) -> u16 {
    let any = Address::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
    let vhost = cx.listen(ListenInfo::new(any, ServerRole::H1), Hello).expect("a vhost");
    port_of(cx.vhost_address(vhost))
}

fn serve_stream(cx: &mut Cx<'_>, streamtype: &str) -> u16 {
    let server = cx.create(streamtype, Hello).expect("a server");
    port_of(cx.server_address(server))
}

fn idle_streams(policy: &str) -> f64 {
    let mut context = Context::builder().policy(policy).expect("a policy").build().expect("a context");
    let before = live_bytes();
    for _ in 0..STREAMS {
        context.with(|cx| cx.create("client", Hello)).expect("a stream");
    }
    live_bytes() - before
}

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, what, port, count, cert, ..] = args.as_slice()
        && what == CLIENT
    {
        let number = |text: &str| text.parse::<usize>().expect("a number");
        return hold(number(port) as u16, number(count), cert);
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let base64 = base64::engine::general_purpose::STANDARD;
    let cert = base64.encode(made.cert.der());
    let policy = policy(&cert, &base64.encode(made.signing_key.serialize_der()));
    println!("| heap while idle, everything counted | bytes |");
    println!("|---|---|");
    println!("| h1 server connection, bare `Protocol` | {:.0} |", connections(serve_bare, &policy, ""));
    let stream = |name: &'static str, cert| connections(move |cx| serve_stream(cx, name), &policy, cert);
    println!("| h1 server connection, secure stream | {:.0} |", stream("plain", ""));
    println!("| the same over TLS, with rustls' own state | {:.0} |", stream("tls", &cert));
    let streams = idle_streams(&policy);
    println!("| client stream | {:.0} |", streams / STREAMS as f64);
    println!("| {STREAMS} client streams | {:.0} MB |", streams / 1e6);
    Ok(())
}
