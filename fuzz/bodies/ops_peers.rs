//! Peers without manners, on the far host: clients that connect, and servers that are connected to. They say what is right in
//! some order, and not only that.

use millstream::sim::{Host, Network, RawListener, RawSocket};

/// Where clients go to on the near host.
const PORTS: [u16; 8] = [80, 7, 8080, 53, 82, 83, 82, 83];

/// Where the far host listens.
const LISTENS: [u16; 3] = [82, 83, 1883];

/// Sockets beyond these are not kept.
const MOST: usize = 8;

const HTTP: [&[u8]; 6] = [
    b"GET / HTTP/1.1\r\nHost: v0.test\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\x00\xff nonsense\r\n\r\n",
    b"GE",
];

const WEBSOCKETS: [&[u8]; 8] = [
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: ops\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"\x81\x83\0\0\0\0hey",
    b"\x01\x82\0\0\0\0he",
    b"\x80\x81\0\0\0\0y",
    b"\x89\x82\0\0\0\0hi",
    b"\x88\x82\0\0\0\0\x03\xe8",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A frame of HTTP/2 (RFC 9113 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// What either side of HTTP/2 says; three bits of `code` name the stream.
fn http_2(code: u8) -> Vec<u8> {
    let stream = (code >> 5) * 2 + 1;
    match code & 15 {
        0 => PREFACE.to_vec(),
        1 => frame(4, 0, 0, &[]),
        2 => frame(4, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 4, 0, 0, 0, 3]),
        3 => frame(4, 1, 0, &[]),
        4 => frame(1, 5, stream, &[0x88]),
        5 => frame(1, 4, stream, &[0x88]),
        6 => frame(1, 5, stream, b"\x82\x84\x86\x41\x01a"),
        7 => frame(1, 4, stream, b"\x83\x84\x86\x41\x01a"),
        8 => frame(0, 0, stream, b"some"),
        9 => frame(0, 1, stream, b""),
        10 => frame(3, 0, stream, &[0, 0, 0, 7]),
        11 => frame(3, 0, stream, &[0, 0, 0, 8]),
        12 => frame(7, 0, 0, &[0, 0, 0, stream, 0, 0, 0, 0]),
        13 => frame(8, 0, if code & 16 == 0 { 0 } else { stream }, &[0, 0, 0x40, 0]),
        14 => frame(6, code >> 4 & 1, 0, &[0; 8]),
        _ => frame(4, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 0xff, 0xff]),
    }
}

/// What a broker says; three bits of `code` are the packet's id.
fn broker(code: u8) -> Vec<u8> {
    let id = (code >> 5) + 1;
    match code & 15 {
        0 | 1 => vec![0x20, 2, 0, 0],
        2 => vec![0x20, 2, 1, 0],
        3 => vec![0x20, 2, 0, 5],
        4 | 5 => vec![0x90, 3, 0, id, 1],
        6 => vec![0x90, 3, 0, id, 0x80],
        7 => vec![0xb0, 2, 0, id],
        8 => vec![0x30, 4, 0, 1, b'x', b'!'],
        9 => vec![0x32, 6, 0, 1, b'x', 0, id, b'!'],
        10 => vec![0x34, 6, 0, 1, b'x', 0, id, b'!'],
        11 => vec![0x40, 2, 0, id],
        12 => vec![0x50, 2, 0, id],
        13 => vec![0x62, 2, 0, id],
        14 => vec![0x70, 2, 0, id],
        _ => vec![0xd0, 0],
    }
}

pub(super) struct Peers {
    far: Host,
    listeners: Vec<RawListener>,
    sockets: Vec<RawSocket>,
}

impl Peers {
    pub(super) fn new(network: &Network) -> Self {
        let far = network.host("10.0.0.2");
        let listeners = LISTENS.iter().filter_map(|port| network.listen(&far, *port).ok()).collect();
        Self { far, listeners, sockets: Vec::new() }
    }

    pub(super) fn leave(&mut self) {
        self.listeners.clear();
        self.sockets.clear();
    }

    /// Something that one of them does.
    pub(super) fn act(&mut self, network: &Network, arg: u8, says: u8) {
        for listener in &self.listeners {
            while let Some(socket) = listener.accept() {
                if self.sockets.len() < MOST {
                    self.sockets.push(socket);
                }
            }
        }
        let slot = usize::from(arg >> 4) % (self.sockets.len() + 1);
        let Some(socket) = self.sockets.get_mut(slot) else {
            if slot < MOST {
                let to = format!("10.0.0.1:{}", PORTS[usize::from(arg & 7)]);
                self.sockets.extend(network.connect(&self.far, &to));
            }
            return;
        };
        match arg & 15 {
            code @ 0..=3 => drop(socket.write(HTTP[usize::from(code ^ says) % HTTP.len()])),
            4 => drop(socket.write(WEBSOCKETS[usize::from(says) % WEBSOCKETS.len()])),
            5..=7 => drop(socket.write(&http_2(says))),
            8 | 9 => drop(socket.write(&broker(says))),
            10 => drop(socket.shutdown()),
            11 => drop(self.sockets.swap_remove(slot)),
            12 => self.sockets.swap_remove(slot).reset(),
            _ => drop(socket.read()),
        }
    }
}
