//! `epoll_echo`: gives back each websocket message with the fewest system calls there can be: `epoll_wait` for whoever is
//! ready, then one `read` and one `write` each. No fragments, no control frames, no limits, no timers: what is left when all
//! that a library is for is taken away. Prints where it listens.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error>;

const LISTENER: u64 = u64::MAX;

struct Connection {
    socket: TcpStream,
    is_open: bool,
    /// The beginning of a frame of which the rest has not come.
    rest: Vec<u8>,
}

/// Unmasks the whole frames that `buffer` begins with, and puts those that answer them in their place. Says where in the
/// buffer the answers are, and where the rest begins.
fn answer(buffer: &mut [u8]) -> (std::ops::Range<usize>, usize) {
    let (mut out, mut at) = (0..0, 0);
    while let [opcode, len, ..] = buffer[at..] {
        let long = match len & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let payload = at + 2 + long + 4;
        if buffer.len() < payload {
            break;
        }
        let bytes = &buffer[at + 2..at + 2 + long];
        let count = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let count = if long == 0 { usize::from(len & 0x7f) } else { count };
        if buffer.len() < payload + count {
            break;
        }
        let mut mask = [0; 8];
        mask[..4].copy_from_slice(&buffer[payload - 4..payload]);
        mask.copy_within(..4, 4);
        let mask = u64::from_ne_bytes(mask);
        let (words, tail) = buffer[payload..payload + count].as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ mask).to_ne_bytes();
        }
        for (byte, mask) in tail.iter_mut().zip(mask.to_ne_bytes()) {
            *byte ^= mask;
        }
        // The head moves over the mask; only what comes behind other frames has to move as well.
        if out.is_empty() {
            out = at + 4..at + 4;
        }
        buffer.copy_within(at + 2..at + 2 + long, out.end + 2);
        buffer[out.end] = opcode;
        buffer[out.end + 1] = len & 0x7f;
        if out.end + 2 + long < payload {
            buffer.copy_within(payload..payload + count, out.end + 2 + long);
        }
        out.end += 2 + long + count;
        at = payload + count;
    }
    (out, at)
}

impl Connection {
    fn upgrade(&mut self, request: &[u8]) -> Result<(), Failure> {
        let request = std::str::from_utf8(request)?;
        let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = tungstenite::handshake::derive_accept_key(key.ok_or("no key")?.as_bytes());
        self.is_open = true;
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
        Ok(write!(self.socket, "{head}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")?)
    }

    fn serve(&mut self, buffer: &mut [u8]) -> Result<(), Failure> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let len = match self.socket.read(&mut buffer[kept..]) {
            Ok(0) => return Err("over".into()),
            Ok(len) => kept + len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let buffer = &mut buffer[..len];
        if !self.is_open {
            return self.upgrade(buffer);
        }
        let (answers, rest) = answer(buffer);
        self.rest.clear();
        self.rest.extend_from_slice(&buffer[rest..]);
        if answers.is_empty() { Ok(()) } else { self.write(&buffer[answers]) }
    }

    /// A peer that does not read is waited for: there is none in the measurement.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let poller = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poller, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    println!("plain {}", listener.local_addr()?);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let (mut buffer, mut events) = (vec![0; 512 * 1024], Vec::with_capacity(1024));
    loop {
        rustix::io::retry_on_intr(|| epoll::wait(&poller, spare_capacity(&mut events), None))?;
        for event in events.drain(..) {
            let place = event.data.u64();
            if place == LISTENER {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                socket.set_nodelay(true)?;
                epoll::add(&poller, &socket, EventData::new_u64(connections.len() as u64), EventFlags::IN)?;
                connections.push(Some(Connection { socket, is_open: false, rest: Vec::new() }));
            } else if let Some(row) = connections.get_mut(place as usize)
                && row.as_mut().is_some_and(|connection| connection.serve(&mut buffer).is_err())
            {
                *row = None;
            }
        }
    }
}
