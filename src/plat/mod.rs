//! Plat: the only door to the operating system. Sockets, clock, randomness, poller, names; `unix` is the real one, `sim`
//! a network and a clock of its own, with nothing above it changed.

mod address;
mod clock;
mod external;
mod options;
pub mod sim;
mod socket;
mod unix;
mod waker;

pub use address::Address;
pub use clock::Us;
pub use external::{Interest, PollHost, Readiness};
pub use options::SocketOptions;
pub(crate) use options::{Datagrams, ListenOptions};
pub use socket::Adopted;
pub(crate) use socket::Socket;
pub use waker::Waker;
pub(crate) use waker::ring;

use crate::cause::DnsFailure;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

/// The most of a file of the system's that is read.
const FILE: u64 = 1 << 20;

/// What the poller has to say about one socket. Edges: each is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side.
    pub(crate) read_closed: bool,
    pub(crate) error: bool,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WaitOutcome {
    /// Somebody called [`Waker::wake`].
    pub(crate) woken: bool,
    /// Somebody has left a call.
    pub(crate) called: bool,
}

impl WaitOutcome {
    fn of(rung: u8) -> Self {
        Self { woken: rung & ring::WAKE != 0, called: rung & ring::CALL != 0 }
    }
}

/// The answer to [`Plat::resolve`].
#[derive(Debug)]
pub(crate) struct Resolution {
    pub(crate) token: u64,
    pub(crate) result: Result<Vec<SocketAddr>, DnsFailure>,
}

/// Where a context lives.
#[derive(Debug)]
pub(crate) enum Plat {
    Unix(unix::Unix),
    Sim(sim::Host),
}

/// Calls the same method on whichever it is.
macro_rules! either {
    ($self:ident.$method:ident($($arg:expr),*)) => {
        match $self {
            Self::Unix(plat) => plat.$method($($arg),*),
            Self::Sim(plat) => plat.$method($($arg),*),
        }
    };
}

impl Plat {
    pub(crate) fn unix() -> io::Result<Self> {
        unix::Unix::new().map(Self::Unix)
    }

    pub(crate) fn sim(host: sim::Host) -> Self {
        host.enter();
        Self::Sim(host)
    }

    /// Something is there to be heard without waiting, as far as can be known without asking.
    pub(crate) fn has_ready(&self) -> bool {
        match self {
            Self::Unix(plat) => plat.has_more(),
            Self::Sim(host) => host.has_ready(),
        }
    }

    /// Monotonic time.
    pub(crate) fn now(&self) -> Us {
        either!(self.now())
    }

    /// Seconds since 1970.
    pub(crate) fn wall_secs(&self) -> u64 {
        either!(self.wall_secs())
    }

    /// Microseconds since 1970.
    pub(crate) fn wall_us(&self) -> u64 {
        either!(self.wall_us())
    }

    /// For jitter and the like; not for secrets.
    pub(crate) fn random(&mut self) -> u64 {
        either!(self.random())
    }

    /// Four bytes that nobody can foresee, whatever he has seen of others (RFC 6455 5.3); on a simulated network the seed can.
    #[cfg(feature = "ws")]
    pub(crate) fn mask_key(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = match self {
            Self::Unix(plat) => plat.unforeseen(),
            Self::Sim(plat) => plat.random(),
        }
        .to_ne_bytes();
        [a, b, c, d]
    }

    /// Listens, and reports under `token`.
    pub(crate) fn listen(
        &mut self,
        address: &Address,
        options: &ListenOptions,
        token: u64,
    ) -> io::Result<Socket> {
        either!(self.listen(address, options, token))
    }

    /// The next connection; `None` when there is none now.
    pub(crate) fn accept(&mut self, listener: &mut Socket) -> io::Result<Option<(Socket, Option<Address>)>> {
        either!(self.accept(listener))
    }

    /// Begins to connect, and reports under `token`.
    pub(crate) fn connect(
        &mut self,
        address: &Address,
        options: &SocketOptions,
        token: u64,
    ) -> io::Result<Socket> {
        either!(self.connect(address, options, token))
    }

    /// A socket for datagrams, which reports under `token`.
    pub(crate) fn datagrams(&mut self, how: &Datagrams, token: u64) -> io::Result<Socket> {
        either!(self.datagrams(how, token))
    }

    /// Reports edges of an accepted socket under `token`, for as long as it lives.
    pub(crate) fn register(&mut self, socket: Socket, token: u64) -> io::Result<Socket> {
        either!(self.register(socket, token))
    }

    /// Waits at most `timeout`, `None` without end, and puts what happened into `out`.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Ready>,
    ) -> io::Result<WaitOutcome> {
        match self {
            Self::Unix(plat) => plat.wait(timeout, out),
            Self::Sim(plat) => Ok(plat.wait(timeout, out)),
        }
    }

    /// How often [`Self::wait`] was called.
    pub(crate) fn waits(&self) -> u64 {
        either!(self.waits())
    }

    /// A simulation has a table of names; for everything else there are servers.
    pub(crate) fn knows_names(&self) -> bool {
        matches!(self, Self::Sim(_))
    }

    /// Begins to look up a name in the table; the answer comes by [`Self::resolved`] after some wait.
    pub(crate) fn resolve(&mut self, name: &str, port: u16, token: u64) {
        if let Self::Sim(host) = self {
            host.resolve(name, port, token);
        }
    }

    /// The next answer of the table.
    pub(crate) fn resolved(&mut self) -> Option<Resolution> {
        match self {
            Self::Unix(_) => None,
            Self::Sim(host) => host.resolved(),
        }
    }

    /// Under which address this host would send to `to`, if it can at all.
    pub(crate) fn source(&self, to: SocketAddr) -> Option<IpAddr> {
        either!(self.source(to))
    }

    /// There is a way to the IPv6 internet, or seems to be.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.source(SocketAddr::from((Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1), 53))).is_some()
    }

    /// Lets a registered socket report under another token from now on.
    pub(crate) fn rename(&mut self, socket: Socket, token: u64) -> io::Result<Socket> {
        either!(self.rename(socket, token))
    }

    /// What nobody can guess; of a simulation, what it wants.
    pub(crate) fn secret(&mut self) -> [u64; 2] {
        match self {
            // The keys of the standard library's hasher are the system's randomness.
            Self::Unix(_) => [0_u64, 1].map(|half| RandomState::new().hash_one(half)),
            Self::Sim(host) => [host.random(), host.random()],
        }
    }

    /// A file of the system's, up to a bound; a simulation has none.
    pub(crate) fn read_file(&self, path: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let (Self::Unix(_), Ok(file)) = (self, std::fs::File::open(path)) {
            // What could not be read is as if it were not there.
            let _ = file.take(FILE).read_to_end(&mut bytes);
        }
        bytes
    }

    /// When it was changed.
    pub(crate) fn file_changed(&self, path: &str) -> Option<std::time::SystemTime> {
        match self {
            Self::Unix(_) => std::fs::metadata(path).ok()?.modified().ok(),
            Self::Sim(_) => None,
        }
    }

    /// The index of a network interface, by its name.
    pub(crate) fn interface_index(&self, name: &str) -> Option<u32> {
        let is_plain = !name.contains(['/', '.']);
        let text = self.read_file(&format!("/sys/class/net/{}/ifindex", if is_plain { name } else { "" }));
        std::str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Lets somebody else do the polling. False in a simulation, which nobody can poll.
    pub(crate) fn be_hosted(&mut self, host: Box<dyn PollHost>) -> bool {
        match self {
            Self::Unix(plat) => plat.be_hosted(host),
            Self::Sim(_) => return false,
        }
        true
    }

    /// Somebody else does the polling: a wait never lasts.
    pub(crate) fn is_hosted(&self) -> bool {
        matches!(self, Self::Unix(plat) if plat.is_hosted())
    }

    /// Takes note of what the host has found on a descriptor. False when that is none of ours.
    pub(crate) fn found(&mut self, fd: RawFd, found: Readiness) -> bool {
        match self {
            Self::Unix(plat) => plat.found(fd, found),
            Self::Sim(_) => false,
        }
    }

    /// What becomes readable when there is something to [`Self::wait`] for; a simulation has nothing of the kind.
    pub(crate) fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Unix(plat) => Some(plat.poll_fd()),
            Self::Sim(_) => None,
        }
    }

    pub(crate) fn waker(&self) -> Waker {
        either!(self.waker())
    }
}

impl Drop for Plat {
    fn drop(&mut self) {
        if let Self::Sim(host) = self {
            host.leave();
        }
    }
}
