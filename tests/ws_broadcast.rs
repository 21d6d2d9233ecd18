//! The example of a page and its websockets, with visitors that are no browsers.
#![cfg(feature = "ws")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[path = "../examples/ws_broadcast.rs"]
mod ws_broadcast;

/// Reads until `end` has come; what came before it was asked for by nobody.
fn read_to(socket: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let (mut heard, mut byte) = (Vec::new(), [0]);
    while !heard.ends_with(end) {
        assert_eq!(socket.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&heard));
        heard.extend_from_slice(&byte);
    }
    heard
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

fn visit(port: u16) {
    let mut visitors: Vec<TcpStream> = (0..3).map(|_| connect(port)).collect();
    for visitor in &mut visitors {
        visitor.write_all(b"GET /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        assert!(read_to(visitor, b"\r\n\r\n").starts_with(b"HTTP/1.1 404 "));
        visitor.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let page = String::from_utf8(read_to(visitor, b"</script>\n")).unwrap();
        assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("text/html"), "{page}");
        // The connection that has brought the page becomes a websocket.
        let upgrade = "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\
            Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
        visitor.write_all(upgrade.as_bytes()).unwrap();
        let answer = String::from_utf8(read_to(visitor, b"\r\n\r\n")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(answer.contains("Sec-WebSocket-Protocol: chat\r\n"), "{answer}");
        assert!(answer.contains("permessage-deflate"), "{answer}");
    }
    for (nth, name) in [b'x', b'y', b'z'].into_iter().enumerate() {
        visitors[nth].write_all(&[&[0x81, 0x86, 0, 0, 0, 0][..], b"I am ", &[name]].concat()).unwrap();
        for visitor in &mut visitors {
            assert_eq!(read_to(visitor, &[name]), [&[0x81, 6][..], b"I am ", &[name]].concat());
        }
    }
}

#[test]
fn what_one_visitor_says_all_of_them_see() {
    let (mut context, port) = ws_broadcast::serve(0).unwrap();
    let (waker, is_over) = (context.waker(), Arc::new(AtomicBool::new(false)));
    let tell = Arc::clone(&is_over);
    let visitors = std::thread::spawn(move || {
        let result = std::panic::catch_unwind(|| visit(port));
        tell.store(true, Ordering::Release);
        waker.wake();
        result
    });
    while !is_over.load(Ordering::Acquire) {
        context.service(None).unwrap();
    }
    visitors.join().unwrap().unwrap();
}
