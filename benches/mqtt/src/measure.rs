//! What both programs are told and tell.
//!
//! `PROGRAM publish|receive PORT QOS COUNT`: messages of 64 bytes on the topic `bench`, at most [`WINDOW`] of them without an
//! acknowledgement. Publishing ends with the last acknowledgement, or at QoS 0 with the last write; receiving begins with the first that comes, and
//! `ready` on a line says that it may.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

pub const WINDOW: u16 = 256;
pub const PAYLOAD: [u8; 64] = [b'x'; 64];
pub const TOPIC: &str = "bench";

#[derive(Clone, Copy)]
pub struct Task {
    pub is_publisher: bool,
    pub port: u16,
    pub qos: u8,
    pub count: u32,
}

impl Task {
    pub fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let [_, what, port, qos, count] = args.as_slice() else {
            panic!("publish|receive PORT QOS COUNT");
        };
        let number = |text: &str| text.parse::<u32>().expect("a number");
        Self {
            is_publisher: what == "publish",
            port: number(port) as u16,
            qos: number(qos) as u8,
            count: number(count),
        }
    }
}

fn now(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A moment, by the wall and by the processor time of the process.
pub struct Begin(Duration, Duration);

impl Begin {
    pub fn now() -> Self {
        Self(now(ClockId::Monotonic), now(ClockId::ProcessCPUTime))
    }

    /// Prints messages for each second, and nanoseconds of processor time for each message.
    pub fn report(&self, count: u32) {
        let end = Self::now();
        let count = f64::from(count);
        let rate = count / (end.0 - self.0).as_secs_f64();
        println!("{rate:.0} {:.0}", (end.1 - self.1).as_secs_f64() * 1e9 / count);
    }
}
