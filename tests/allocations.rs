//! In the steady state a request costs no heap allocation: counted, not estimated.
#![cfg(feature = "h1")]

#[path = "common/heap.rs"]
mod heap;

use heap::allocations_when_warm;
use millstream::http::{BodyLength, Head, Status};
use millstream::{
    Acceptor, Address, Context, Cx, Flow, ListenInfo, Protocol, RxFlags, ServerRole, StreamHandler, StreamId,
    StreamState, Tx, TxFlow, WsiId,
};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn turn(context: &mut Context) {
    context.service(Some(Duration::from_secs(10))).unwrap();
}

fn port_of(address: Option<&Address>) -> u16 {
    match address {
        Some(Address::Ip(address)) => address.port(),
        other => panic!("no port: {other:?}"),
    }
}

/// A client without a heap of its own: sends `request` again and again, and reads answers of a known length.
struct Peer {
    socket: TcpStream,
    request: &'static [u8],
    answer: usize,
}

impl Peer {
    fn new(port: u16, request: &'static [u8], answer: usize) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, request, answer }
    }

    fn exchange(&mut self, context: &mut Context) {
        self.socket.write_all(self.request).unwrap();
        let (mut buffer, mut got) = ([0; 4096], 0);
        while got < self.answer {
            turn(context);
            match self.socket.read(&mut buffer[got..]) {
                Ok(0) => panic!("closed after {got} bytes"),
                Ok(len) => got += len,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!((got, &buffer[..12]), (self.answer, &b"HTTP/1.1 200"[..]));
    }
}

#[derive(Default)]
struct Echo {
    kept: Vec<u8>,
}

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.kept.extend_from_slice(payload);
        if flags.is_eom() {
            cx.request_tx_len(me, self.kept.len() as u64).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(if self.kept.is_empty() { b"hello" } else { &self.kept });
        tx.end_message();
        self.kept.clear();
        TxFlow::Send
    }

    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
        if state == StreamState::ServerTxn {
            cx.set_metadata(me, "mime", "text/plain").unwrap();
            assert!(cx.metadata(me, "agent").is_some());
            if cx.metadata(me, "method") == Some(b"GET") {
                cx.request_tx_len(me, 5).unwrap();
            }
        }
        Flow::Ok
    }
}

const SERVER: &str = r#"{ "server": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "h1", "metadata": [
    { "mime": "content-type:" }, { "method": "" }, { "path": "" }, { "agent": "user-agent:" } ] } }"#;

fn echo_server() -> (Context, u16) {
    let policy = format!(r#"{{ "s": [ {SERVER} ] }}"#);
    let mut context = Context::builder().policy(&policy).unwrap().build().unwrap();
    let port = context.with(|cx| {
        let server = cx.create("server", Echo::default()).unwrap();
        port_of(cx.server_address(server))
    });
    (context, port)
}

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
            *cx.app::<u32>().unwrap() += u32::from(std::mem::take(&mut self.good));
        }
        if matches!(state, StreamState::Creating | StreamState::Disconnected) {
            // Refused to one that says its goodbyes.
            let _ = cx.set_metadata(me, "agent", "an agent");
            let _ = cx.set_metadata(me, "page", "a/page");
            let _ = if self.is_post { cx.request_tx_len(me, 5) } else { cx.request_tx(me) };
        }
        Flow::Ok
    }
}

/// Rounds of a client stream and a server stream in one context, with what else the client's policy says, and the cookies
/// that there are.
fn streams(method: &str, policy: &str, cookies: &[u8]) -> usize {
    let (server, port) = echo_server();
    drop(server);
    let policy = format!(
        r#"{{ "s": [ {}, {{ "client": {{ "endpoint": "127.0.0.1", "port": {port}, "protocol": "h1", "opportunistic": true, {policy}
            "http_method": "{method}", "http_url": "/${{page}}", "metadata": [ {{ "agent": "user-agent:" }}, {{ "page": "" }} ] }} }} ] }}"#,
        SERVER.replace("\"port\": 0", &format!("\"port\": {port}"))
    );
    let mut context = Context::builder().policy(&policy).unwrap().app(0_u32).build().unwrap();
    context.with(|cx| {
        cx.cookies_import(cookies);
        cx.create("server", Echo::default()).unwrap();
        cx.create("client", Asking { is_post: method == "POST", good: false }).unwrap();
    });
    allocations_when_warm(|| {
        let before = context.with(|cx| *cx.app::<u32>().unwrap());
        while context.with(|cx| *cx.app::<u32>().unwrap()) == before {
            turn(&mut context);
        }
    })
}

/// The same without secure streams.
struct Bare;

impl Acceptor for Bare {
    fn accept(&mut self, _: &mut Cx<'_>, _: WsiId, _: Option<&Address>) -> Option<Box<dyn Protocol>> {
        Some(Box::new(Self))
    }
}

impl Protocol for Bare {
    fn rx(&mut self, _: &mut Cx<'_>, _: WsiId, _: &[u8]) -> Flow {
        Flow::Ok
    }

    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, _: &Head) -> Flow {
        let fields = [("content-type", "text/plain")];
        cx.http_respond(me, Status::OK, &fields, BodyLength::Known(5)).unwrap();
        cx.wsi_request_tx(me).unwrap();
        Flow::Ok
    }

    fn writeable(&mut self, _: &mut Cx<'_>, _: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(b"hello");
        TxFlow::Send
    }
}

#[test]
fn a_request_allocates_nothing_in_the_steady_state() {
    let get: &[u8] = b"GET /some/page HTTP/1.1\r\nHost: a\r\nUser-Agent: peer\r\n\r\n";
    let post: &[u8] = b"POST /x HTTP/1.1\r\nHost: a\r\nUser-Agent: peer\r\nContent-Length: 5\r\n\r\nhello";
    let chunked: &[u8] =
        b"POST /x HTTP/1.1\r\nHost: a\r\nUser-Agent: peer\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = concat!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "Content-Length: 5\r\n\r\nhello"
    );
    let answer = answer.len();
    for (what, request) in [("GET", get), ("POST", post), ("POST in chunks", chunked)] {
        let (mut context, port) = echo_server();
        let mut peer = Peer::new(port, request, answer);
        assert_eq!(allocations_when_warm(|| peer.exchange(&mut context)), 0, "a server stream, {what}");
    }
    for method in ["GET", "POST"] {
        assert_eq!(streams(method, "", b""), 0, "a client and a server stream, {method}");
    }
    let cookies = b"127.0.0.1\tFALSE\t/\tFALSE\t0\ta\t1\n127.0.0.1\tFALSE\t/a\tFALSE\t0\tb\t2";
    for (what, cookies) in [("without", &b""[..]), ("with", cookies)] {
        let allocations = streams("GET", r#""http_cookies": true,"#, cookies);
        assert_eq!(allocations, 0, "streams that keep cookies, {what} some");
    }

    let mut context = Context::builder().build().unwrap();
    let info = ListenInfo::new(Address::Ip("127.0.0.1:0".parse().unwrap()), ServerRole::H1);
    let port = context.with(|cx| {
        let vhost = cx.listen(info, Bare).unwrap();
        port_of(cx.vhost_address(vhost))
    });
    let mut peer = Peer::new(port, get, answer);
    assert_eq!(allocations_when_warm(|| peer.exchange(&mut context)), 0, "a protocol's server");
}
