//! What websockets cost of the heap: a message nothing in the steady state, an idle connection little. Counted, not estimated.
#![cfg(feature = "ws")]

#[path = "common/heap.rs"]
mod heap;

use millstream::{Address, Context, Cx, Flow, RxFlags, StreamHandler, StreamId, Tx, TxFlow};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const POLICY: &str =
    r#"{ "s": [ { "server": { "server": true, "endpoint": "127.0.0.1", "port": 0, "protocol": "ws" } } ] }"#;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Default)]
struct Echo(Vec<u8>);

impl StreamHandler for Echo {
    fn accept(&mut self, _: &mut Cx<'_>, _: StreamId) -> Option<Box<dyn StreamHandler>> {
        Some(Box::<Self>::default())
    }

    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        self.0.extend_from_slice(payload);
        if flags.is_eom() {
            cx.request_tx(me).unwrap();
        }
        Flow::Ok
    }

    fn tx(&mut self, _: &mut Cx<'_>, _: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        tx.write(&self.0);
        tx.end_message();
        self.0.clear();
        TxFlow::Send
    }
}

/// Sends `said`, and lets the context answer it with so many bytes.
fn exchange(context: &mut Context, socket: &mut TcpStream, said: &[u8], answer: usize) {
    socket.write_all(said).unwrap();
    let (mut buffer, mut got) = ([0; 4096], 0);
    while got < answer {
        context.service(Some(Duration::from_secs(10))).unwrap();
        match socket.read(&mut buffer[got..]) {
            Ok(0) => panic!("closed after {got} bytes"),
            Ok(len) => got += len,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    assert_eq!(got, answer);
}

fn connect(context: &mut Context, port: u16) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_nodelay(true).unwrap();
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    exchange(context, &mut socket, UPGRADE, answer.len());
    socket
}

#[test]
fn a_message_allocates_nothing_and_an_idle_connection_is_small() {
    let mut context = Context::builder().policy(POLICY).unwrap().build().unwrap();
    let port = context.with(|cx| {
        let server = cx.create("server", Echo::default()).unwrap();
        cx.server_address(server).and_then(Address::port).unwrap()
    });
    let mut socket = connect(&mut context, port);
    // A message in two fragments.
    let said = b"\x01\x83\0\0\0\0hel\x80\x82\0\0\0\0lo";
    let allocations = heap::allocations_when_warm(|| exchange(&mut context, &mut socket, said, 7));
    assert_eq!(allocations, 0);

    // A ping, which is answered.
    let ping = b"\x89\x82\0\0\0\0hi";
    let allocations = heap::allocations_when_warm(|| exchange(&mut context, &mut socket, ping, 4));
    assert_eq!(allocations, 0, "a ping");

    // Tables double when they are full: between two sizes they cost the same as at a size.
    let mut sockets: Vec<_> = (0..255).map(|_| connect(&mut context, port)).collect();
    sockets.reserve(256);
    let (_, kept) = heap::bytes(|| sockets.extend((0..256).map(|_| connect(&mut context, port))));
    let each = kept / 256;
    println!("{each} bytes for each idle connection, its stream and its handler included");
    assert!(each <= 1500, "{each} bytes");
}
