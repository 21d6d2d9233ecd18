//! `ws_load ADDRESS CONNECTIONS DEPTH SIZE SECONDS`: asks a websocket echo server. Each connection keeps `DEPTH` binary
//! messages of `SIZE` bytes in flight, and sends as many as have come back, all in one write. Prints messages a second, after
//! half a second that does not count. Frames that come back are counted and measured, not read.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

/// The example of RFC 6455 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const WARM_UP: Duration = Duration::from_millis(500);

struct Connection {
    socket: TcpStream,
    /// What of a frame's head has come, and how much of its payload is still to come.
    head: Vec<u8>,
    left: usize,
    /// Bytes of the message so far.
    message: usize,
    unsent: Vec<u8>,
    waits_to_write: bool,
}

fn masked(size: usize) -> Vec<u8> {
    let mut frame = vec![0x82];
    match size {
        0..126 => frame.push(0x80 | size as u8),
        126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0x37, 0xfa, 0x21, 0x3d]);
    frame.extend((0..size).map(|at| (at * 7 + at / 251) as u8));
    frame
}

fn connect(address: &str) -> Result<Connection, Failure> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    // In one piece: the barest of servers does not put it together.
    socket.write_all(request.as_bytes())?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let answer = String::from_utf8(answer)?;
    if !answer.starts_with("HTTP/1.1 101 ") || !answer.contains(ACCEPT) {
        return Err(format!("no websocket: {answer}").into());
    }
    socket.set_nonblocking(true)?;
    let (head, unsent) = (Vec::new(), Vec::new());
    Ok(Connection { socket, head, left: 0, message: 0, unsent, waits_to_write: false })
}

impl Connection {
    /// How many messages are complete with these bytes.
    fn take(&mut self, mut bytes: &[u8], size: usize) -> Result<usize, Failure> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let len = self.left.min(bytes.len());
                bytes = &bytes[len..];
                self.left -= len;
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                let Some(len) = self.announced()? else { continue };
                self.left = len;
                self.message += len;
            }
            let is_last = self.head[0] & 0x80 != 0;
            if self.left > 0 {
                continue;
            }
            self.head.clear();
            if is_last {
                complete += 1;
                if std::mem::take(&mut self.message) != size {
                    return Err("a message that is not what was sent".into());
                }
            }
        }
        Ok(complete)
    }

    fn announced(&self) -> Result<Option<usize>, Failure> {
        let [first, second, long @ ..] = &self.head[..] else { return Ok(None) };
        if first & 0x0f > 2 || second & 0x80 != 0 {
            return Err("a frame that was not expected".into());
        }
        let needed = match second {
            126 => 2,
            127 => 8,
            len => return Ok(Some(usize::from(*len))),
        };
        let len = long.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        Ok((long.len() == needed).then_some(len))
    }

    fn send(&mut self, poller: &OwnedFd, place: usize) -> Result<(), Failure> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(len) => drop(self.unsent.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.waits_to_write == self.unsent.is_empty() {
            self.waits_to_write = !self.unsent.is_empty();
            let flags = if self.waits_to_write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(poller, &self.socket, EventData::new_u64(place as u64), flags)?;
        }
        Ok(())
    }

    fn serve(&mut self, buffer: &mut [u8], frame: &[u8], size: usize) -> Result<usize, Failure> {
        let len = match self.socket.read(buffer) {
            Ok(0) => return Err("the server has left".into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error.into()),
        };
        let complete = self.take(&buffer[..len], size)?;
        (0..complete).for_each(|_| self.unsent.extend_from_slice(frame));
        Ok(complete)
    }
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, connections, depth, size, seconds] = &args[..] else {
        return Err("ws_load ADDRESS CONNECTIONS DEPTH SIZE SECONDS".into());
    };
    let (depth, size): (usize, usize) = (depth.parse()?, size.parse()?);
    let measured = Duration::from_secs_f64(seconds.parse()?);
    let frame = masked(size);
    let poller = epoll::create(CreateFlags::CLOEXEC)?;
    let mut rows = Vec::new();
    for place in 0..connections.parse()? {
        let row = connect(address)?;
        epoll::add(&poller, &row.socket, EventData::new_u64(place as u64), EventFlags::IN)?;
        rows.push(row);
    }
    for (place, row) in rows.iter_mut().enumerate() {
        row.unsent = frame.repeat(depth);
        row.send(&poller, place)?;
    }
    let (mut buffer, mut events) = (vec![0; 512 * 1024], Vec::with_capacity(1024));
    let (mut begin, mut count, mut is_warm) = (Instant::now(), 0, false);
    loop {
        let now = begin.elapsed();
        if !is_warm && now >= WARM_UP {
            (begin, count, is_warm) = (Instant::now(), 0, true);
        } else if is_warm && now >= measured {
            println!("{:.0}", count as f64 / now.as_secs_f64());
            return Ok(());
        }
        rustix::io::retry_on_intr(|| epoll::wait(&poller, spare_capacity(&mut events), None))?;
        for event in events.drain(..) {
            let place = event.data.u64() as usize;
            let row = &mut rows[place];
            count += row.serve(&mut buffer, &frame, size)?;
            row.send(&poller, place)?;
        }
    }
}
