//! A simulated network with a clock of its own: contexts that live on it use no socket and no real time, and the same
//! seed gives the same run, byte for byte.
//!
//! Hosts have addresses and names; links between them have latency, bandwidth and segment sizes, and can go down and
//! come back; hosts can crash; names can be slow or missing; any operation can be made to fail. Byte streams are as
//! reliable as TCP makes them: what is lost on a link that is down arrives after it is up again, or the waiting side
//! gives up. Readiness is told in edges, as strictly as epoll does it.
//!
//! ```
//! use millstream::sim::Network;
//! use millstream::{Context, Us};
//! use std::time::Duration;
//!
//! let network = Network::new(1);
//! let mut context = Context::builder().sim(network.host("10.0.0.1")).build()?;
//! context.with(|cx| cx.sul_schedule(Duration::from_secs(3600), |cx| println!("an hour later: {:?}", cx.now())));
//! network.run(&mut [&mut context], Us::from_us(0).saturating_add(Duration::from_secs(7200)))?;
//! assert_eq!(network.now().as_us(), 7_200_000_000);
//! # Ok::<(), millstream::Error>(())
//! ```

mod conn;
mod datagram;
mod drive;
mod host;
mod link;
mod names;
mod net;
mod raw;

pub use datagram::RawUdp;
pub use host::Host;
pub(crate) use host::SimSocket;
pub use link::Link;
pub use raw::{RawListener, RawSocket};

use super::{Address, Us};
use crate::cause::DnsFailure;
use net::Net;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// One step of a splitmix64 sequence: jitter needs no better, and it is the same everywhere.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A simulated network. A clone is the same network.
///
/// The contexts on it, the test's own sockets and the test itself share it; here alone in the library does sharing need
/// a `RefCell`, because it has no owner among them.
#[derive(Clone, Debug)]
pub struct Network(Rc<RefCell<Net>>);

impl Network {
    /// A network without hosts. All that is random on it comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Net::new(seed))))
    }

    /// The host of this IP address, made if it is not there yet. Text that is no address is `0.0.0.0`'s.
    pub fn host(&self, ip: &str) -> Host {
        let ip = ip.parse().unwrap_or_else(|_| IpAddr::from([0, 0, 0, 0]));
        let index = self.0.borrow_mut().host(ip);
        Host::new(self.clone(), index)
    }

    /// Gives a host another address, of the other family for instance. Text that is no address does nothing.
    pub fn alias(&self, host: &Host, ip: &str) {
        if let Ok(ip) = ip.parse() {
            self.0.borrow_mut().alias(host.index, ip);
        }
    }

    /// The time.
    pub fn now(&self) -> Us {
        self.0.borrow().now
    }

    /// When something happens on the network next, contexts' timers apart.
    pub fn next_event(&self) -> Option<Us> {
        self.0.borrow().next_event()
    }

    /// Moves the clock, and lets happen what is due until then. Never back.
    pub fn advance_to(&self, at: Us) {
        self.0.borrow_mut().advance_to(at);
    }

    /// How links are unless they are set one by one.
    pub fn set_default_link(&self, link: Link) {
        self.0.borrow_mut().default_link = link;
    }

    /// How the link between two hosts is, both ways.
    pub fn set_link(&self, a: &Host, b: &Host, link: Link) {
        self.0.borrow_mut().set_link(a.index, b.index, link);
    }

    /// The link between two hosts loses everything, until [`Self::link_up`].
    pub fn link_down(&self, a: &Host, b: &Host) {
        self.0.borrow_mut().set_down(a.index, b.index, true);
    }

    /// The link between two hosts works again: what was sent meanwhile arrives now.
    pub fn link_up(&self, a: &Host, b: &Host) {
        self.0.borrow_mut().set_down(a.index, b.index, false);
    }

    /// Breaks every connection of a host: both sides see a reset.
    pub fn reset(&self, host: &Host) {
        self.0.borrow_mut().reset_host(host.index);
    }

    /// The host is silently gone: what is sent to it is lost, nobody is told. [`Self::restart`] brings it back, without
    /// its connections and listeners.
    pub fn crash(&self, host: &Host) {
        self.0.borrow_mut().crash(host.index);
    }

    /// A crashed host is there again.
    pub fn restart(&self, host: &Host) {
        self.0.borrow_mut().restart(host.index);
    }

    /// A name, and the addresses it has; without any, it has none.
    pub fn name(&self, name: &str, ips: &[&str]) {
        let ips = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
        self.0.borrow_mut().names.insert(name.to_ascii_lowercase(), Ok(ips));
    }

    /// Asking for this name fails so.
    pub fn name_fails(&self, name: &str, failure: DnsFailure) {
        self.0.borrow_mut().names.insert(name.to_ascii_lowercase(), Err(failure));
    }

    /// How long names take. 1 ms, unless it is set.
    pub fn set_name_delay(&self, delay: Duration) {
        self.0.borrow_mut().name_delay = delay;
    }

    /// Makes the `nth` fallible operation of contexts from now on fail, counted from 0: connect, accept, listen, read,
    /// write, resolve.
    pub fn fail_nth(&self, nth: u64) {
        let mut net = self.0.borrow_mut();
        net.fail_at = Some(net.operations.saturating_add(nth));
    }

    /// How many fallible operations contexts have made.
    pub fn fallible_ops(&self) -> u64 {
        self.0.borrow().operations
    }

    /// Starts to keep a log of what happens, to compare runs by.
    pub fn start_log(&self) {
        self.0.borrow_mut().log = Some(String::new());
    }

    /// What has happened since [`Self::start_log`]: a line each, with the time.
    pub fn log(&self) -> String {
        self.0.borrow().log.clone().unwrap_or_default()
    }

    /// A listener of the test's own on a host.
    ///
    /// # Errors
    /// The port is taken.
    pub fn listen(&self, host: &Host, port: u16) -> std::io::Result<RawListener> {
        RawListener::new(host.clone(), port)
    }

    /// A datagram socket of the test's own on a host.
    ///
    /// # Errors
    /// The port is taken.
    pub fn udp(&self, host: &Host, port: u16) -> std::io::Result<RawUdp> {
        RawUdp::new(host.clone(), port)
    }

    /// A connection of the test's own from a host to an address.
    ///
    /// # Errors
    /// `to` is no address.
    pub fn connect(&self, host: &Host, to: &str) -> std::io::Result<RawSocket> {
        let to = to.parse().map_err(|_| std::io::ErrorKind::InvalidInput)?;
        RawSocket::connect(host.clone(), &Address::Ip(to))
    }
}

#[cfg(test)]
mod tests;
