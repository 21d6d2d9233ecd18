//! What the benchmarks share: rounds in turn, medians, and a client that takes no part in the measurement.
#![allow(dead_code, reason = "each benchmark uses its part")]

use millstream::Address;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long `work` takes by the wall.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub(crate) fn elapsed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

/// Nanoseconds that each of `count` calls of `work` took, all together measured once.
pub(crate) fn nanos_each(count: u32, mut work: impl FnMut(u32)) -> f64 {
    elapsed(|| (0..count).for_each(&mut work)).as_nanos() as f64 / f64::from(count)
}

/// Processor time of the calling thread so far (`/proc/thread-self/schedstat`): what the others on the machine do hardly
/// shows in it.
pub(crate) fn thread_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The port of a listener.
pub(crate) fn port_of(address: Option<&Address>) -> u16 {
    address.and_then(Address::port).expect("an address with a port")
}

/// A blocking client that reads answers of `answer` bytes.
pub(crate) struct Peer {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(port: u16, answer: usize) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("a server");
        socket.set_nodelay(true).expect("an option");
        Self { socket, buffer: vec![0; answer] }
    }

    pub(crate) fn ask(&mut self, request: &[u8]) {
        self.socket.write_all(request).expect("a server that reads");
    }

    pub(crate) fn take(&mut self) {
        self.socket.read_exact(&mut self.buffer).expect("a server that answers");
    }
}
