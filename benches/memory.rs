//! Heap that idle things hold, by a counting allocator: connections, streams.
//!
//! `cargo bench --bench memory`

mod common;

use base64::Engine;
use common::{elapsed, port_of};
use millstream::http::{BodyLength, Head, Method, Status};
use millstream::{
    Acceptor, Address, ClientInfo, ClientRole, Context, Cx, Error, Flow, ListenInfo, Protocol, ServerRole,
    StreamHandler, StreamId, StreamState, Target, Tx, TxFlow, WsInfo, WsiId,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
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

/// Answers every request with five bytes, or as a websocket when it asks for that, and holds nothing.
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

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        if cx.ws_accept(me, head, &WsInfo::default()).is_ok() {
            return Flow::Ok;
        }
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
            {{ "ws": {{ "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "ws" }} }},
            {{ "wss": {{ "server": true, "endpoint": "127.0.0.1", "port": 0, "tls": true, "server_cert": "cert", "server_key": "key",
                "protocol": "ws" }} }},
            {{ "h2": {{ "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h2" }} }},
            {{ "client": {{ "endpoint": "localhost", "port": 1, "protocol": "h1", "http_method": "GET", "http_url": "/",
                "opportunistic": true }} }} ] }}"#
    )
}

/// What the other ends speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    H1,
    Ws,
    H2,
}

impl Speaks {
    const ALL: [(&str, Self); 3] = [("h1", Self::H1), ("ws", Self::Ws), ("h2", Self::H2)];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|known| known.1 == self).expect("a name").0
    }

    fn of(name: &str) -> Self {
        Self::ALL.iter().find(|known| known.0 == name).expect("a protocol").1
    }
}

/// The other process: asks once on each connection, and holds them until it is killed.
struct Asking(Speaks);

impl Protocol for Asking {
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let _ = match self.0 {
            Speaks::Ws => cx.ws_request(me, "/", "localhost", &[], &WsInfo::default()),
            _ => cx.http_request(me, Method::Get, "/", "localhost", &[], BodyLength::None),
        };
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, _: &mut Tx<'_>) -> TxFlow {
        TxFlow::DontSend
    }

    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }
}

/// What a browser sends beside where to.
const FIELDS: [(&str, &str); 5] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
    ("cache-control", "max-age=0"),
];

/// One request over HTTP/2, and its answer; on a connection of its own, which clients of the library would share.
fn ask_h2(port: u16) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    let (mut engine, mut out) = (h2::Engine::client(h2::Limits::default()), Vec::new());
    engine.poll_output(&mut out);
    let request = h2::Request::new(Method::Get, b"http", b"localhost", b"/");
    let fields = FIELDS.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    engine.encode_request(&request, fields, BodyLength::None, &mut out).expect("a request");
    socket.write_all(&out)?;
    let (mut head, mut kept, mut buffer) = (Head::new(), Vec::new(), [0; 4096]);
    while !engine.is_idle() {
        let len = socket.read(&mut buffer)?;
        assert!(len > 0, "the server has left");
        kept.extend_from_slice(&buffer[..len]);
        loop {
            match engine.input(0, &kept, &mut head).expect("a server that keeps the rules") {
                (0, None) => break,
                (used, _) => drop(kept.drain(..used)),
            }
        }
    }
    out.clear();
    engine.poll_output(&mut out);
    socket.write_all(&out)?;
    Ok(socket)
}

fn hold(port: u16, count: usize, cert: &str, speaks: Speaks) -> Result<(), Error> {
    if speaks == Speaks::H2 {
        let _held: Vec<_> = (0..count).map(|_| ask_h2(port).expect("a server")).collect();
        loop {
            std::thread::park();
        }
    }
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
        context.with(|cx| cx.connect(&info, Asking(speaks)));
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
fn per_connection(context: &mut Context, port: u16, cert: &str, speaks: Speaks) -> f64 {
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
            .args([CLIENT, &port.to_string(), &CONNECTIONS.to_string(), cert, speaks.name()])
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
fn connections(serve: impl FnOnce(&mut Cx<'_>) -> u16, policy: &str, cert: &str, speaks: Speaks) -> f64 {
    let mut context = Context::builder().policy(policy).expect("a policy").build().expect("a context");
    let port = context.with(serve);
    per_connection(&mut context, port, cert, speaks)
}

/// What rustls itself keeps of a server's connection after its handshake, tickets aside.
fn rustls_alone(cert: &CertificateDer<'static>, key: &PrivatePkcs8KeyDer<'static>) -> f64 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key.clone_key().into())
        .expect("a certificate");
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.clone()).expect("a certificate");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (server, client) = (Arc::new(server), Arc::new(client));
    let shake = || {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut theirs = rustls::ClientConnection::new(Arc::clone(&client), name).expect("a client");
        let mut ours = Box::new(rustls::ServerConnection::new(Arc::clone(&server)).expect("a server"));
        while ours.is_handshaking() || theirs.wants_write() || ours.wants_write() {
            let mut wire = Vec::new();
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).expect("memory");
            }
            ours.read_tls(&mut wire.as_slice()).expect("memory");
            ours.process_new_packets().expect("a client that keeps the rules");
            wire.clear();
            while ours.wants_write() {
                ours.write_tls(&mut wire).expect("memory");
            }
            theirs.read_tls(&mut wire.as_slice()).expect("memory");
            theirs.process_new_packets().expect("a server that keeps the rules");
        }
        ours
    };
    drop(shake());
    let mut held = Vec::with_capacity(100);
    let before = live_bytes();
    held.extend((0..held.capacity()).map(|_| shake()));
    (live_bytes() - before) / held.len() as f64
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
    if let [_, what, port, count, cert, speaks, ..] = args.as_slice()
        && what == CLIENT
    {
        let number = |text: &str| text.parse::<usize>().expect("a number");
        return hold(number(port) as u16, number(count), cert, Speaks::of(speaks));
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let base64 = base64::engine::general_purpose::STANDARD;
    let cert = base64.encode(made.cert.der());
    let policy = policy(&cert, &base64.encode(made.signing_key.serialize_der()));
    println!("| heap while idle, everything counted | bytes |");
    println!("|---|---|");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    println!("| rustls alone | {:.0} |", rustls_alone(made.cert.der(), &key));
    let bare = |speaks| connections(serve_bare, &policy, "", speaks);
    let stream = |name: &'static str, cert, speaks| {
        connections(move |cx| serve_stream(cx, name), &policy, cert, speaks)
    };
    for (name, speaks, types) in
        [("h1", Speaks::H1, ["plain", "tls"]), ("websocket", Speaks::Ws, ["ws", "wss"])]
    {
        println!("| {name} server connection, bare `Protocol` | {:.0} |", bare(speaks));
        println!("| {name} server connection, secure stream | {:.0} |", stream(types[0], "", speaks));
        println!("| the same over TLS, with rustls' own state | {:.0} |", stream(types[1], &cert, speaks));
    }
    println!("| h2 server connection after a stream | {:.0} |", stream("h2", "", Speaks::H2));
    let streams = idle_streams(&policy);
    println!("| client stream | {:.0} |", streams / STREAMS as f64);
    println!("| {STREAMS} client streams | {:.0} MB |", streams / 1e6);
    Ok(())
}
