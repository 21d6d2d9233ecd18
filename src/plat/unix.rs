//! The real thing: mio's poller, edge-triggered, and the machine's sockets and clock.

use super::external::{self, Hosted, PollHost, Readiness, Registry};
use super::socket::UnixListener;
use super::waker::{Bell, Waker};
use super::{Address, Datagrams, ListenOptions, Ready, Socket, SocketOptions, Us, WaitOutcome};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Events that one wait takes from the system at most; others come with the next.
const EVENTS: usize = 1024;

/// The waker's token: no key of a table is like it, since no slot lives through so many generations.
const WAKER: Token = Token(usize::MAX);

/// The same for our own poller, where it is one of the descriptors that somebody else polls.
const BELL: u64 = u64::MAX;

/// The machine.
#[derive(Debug)]
pub(crate) struct Unix {
    poll: Poll,
    events: Events,
    start: Instant,
    random: u64,
    /// A keyed function of a count: what it gave does not tell what it will give.
    #[cfg(feature = "ws")]
    secret: (RandomState, u64),
    waits: u64,
    bell: Arc<Bell>,
    /// Somebody else's loop, where that does the polling.
    registry: Option<external::Shared>,
    bell_found: bool,
    /// The last wait has had as many events as fit: there may be more, of which no new edge would tell an outer poller.
    is_full: bool,
}

impl Unix {
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell::new(mio::Waker::new(poll.registry(), WAKER)?));
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS),
            start: Instant::now(),
            // The keys of the standard library's hasher are the system's randomness.
            random: RandomState::new().hash_one(0_u64),
            #[cfg(feature = "ws")]
            secret: (RandomState::new(), 0),
            waits: 0,
            bell,
            registry: None,
            bell_found: false,
            is_full: false,
        })
    }

    pub(super) fn now(&self) -> Us {
        Us::from_us(0).saturating_add(self.start.elapsed())
    }

    #[expect(clippy::disallowed_methods, clippy::unused_self, reason = "this is where time comes from")]
    pub(super) fn wall_secs(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    #[expect(clippy::disallowed_methods, clippy::unused_self, reason = "this is where time comes from")]
    pub(super) fn wall_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    #[cfg(feature = "ws")]
    pub(super) fn unforeseen(&mut self) -> u64 {
        let (keyed, count) = &mut self.secret;
        *count = count.wrapping_add(1);
        keyed.hash_one(*count)
    }

    pub(super) fn random(&mut self) -> u64 {
        super::sim::next_random(&mut self.random)
    }

    pub(super) fn listen(
        &self,
        address: &Address,
        options: &ListenOptions,
        token: u64,
    ) -> io::Result<Socket> {
        match address {
            Address::Ip(address) => self.listens(Socket::TcpListener(options.listen(*address)?), token),
            Address::Unix(_) | Address::Abstract(_) => {
                let listener = bind_unix(address)?;
                let listener = UnixListener { listener, address: address.clone() };
                self.listens(Socket::UnixListener(Box::new(listener)), token)
            }
        }
    }

    /// Reports who knocks under `token`.
    fn listens(&self, mut socket: Socket, token: u64) -> io::Result<Socket> {
        if let Some(registry) = &self.registry {
            return Ok(Socket::Hosted(Box::new(Hosted::new(
                socket,
                token,
                external::Interest::READABLE,
                registry,
            ))));
        }
        let (registry, token) = (self.poll.registry(), token_of(token));
        match &mut socket {
            Socket::TcpListener(listener) => registry.register(listener, token, Interest::READABLE)?,
            Socket::UnixListener(listener) => {
                registry.register(&mut listener.listener, token, Interest::READABLE)?;
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(socket)
    }

    #[expect(clippy::unused_self, reason = "a simulated host needs itself for this")]
    pub(super) fn accept(&self, listener: &mut Socket) -> io::Result<Option<(Socket, Option<Address>)>> {
        let listener = match listener {
            Socket::Hosted(hosted) => &mut hosted.socket,
            listener => listener,
        };
        loop {
            let accepted = match listener {
                Socket::TcpListener(listener) => {
                    listener.accept().map(|(stream, peer)| (Socket::Tcp(stream), Some(Address::Ip(peer))))
                }
                Socket::UnixListener(listener) => {
                    listener.listener.accept().map(|(stream, _)| (Socket::Unix(stream), None))
                }
                _ => return Err(io::ErrorKind::InvalidInput.into()),
            };
            match accepted {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // accept(2): the peer was faster to leave than we to greet; the next one may be there.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn datagrams(&self, how: &Datagrams, token: u64) -> io::Result<Socket> {
        let socket = Socket::Udp(how.options.datagrams(how.peer)?);
        if how.broadcast {
            socket.set_broadcast()?;
        }
        self.register(socket, token)
    }

    pub(super) fn connect(
        &self,
        address: &Address,
        options: &SocketOptions,
        token: u64,
    ) -> io::Result<Socket> {
        let socket = match address {
            Address::Ip(address) if options.is_default() => {
                Socket::Tcp(mio::net::TcpStream::connect(*address)?)
            }
            Address::Ip(address) => Socket::Tcp(options.connect(*address)?),
            Address::Unix(_) | Address::Abstract(_) => {
                Socket::Unix(mio::net::UnixStream::connect_addr(&unix_address(address)?)?)
            }
        };
        self.register(socket, token)
    }

    pub(super) fn register(&self, mut socket: Socket, token: u64) -> io::Result<Socket> {
        if let Some(registry) = &self.registry {
            return Ok(Socket::Hosted(Box::new(Hosted::new(
                socket,
                token,
                external::Interest::BOTH,
                registry,
            ))));
        }
        let (registry, token) = (self.poll.registry(), token_of(token));
        let both = Interest::READABLE | Interest::WRITABLE;
        match &mut socket {
            Socket::Tcp(stream) => registry.register(stream, token, both)?,
            Socket::Unix(stream) => registry.register(stream, token, both)?,
            Socket::Udp(socket) => registry.register(socket, token, both)?,
            Socket::File(file) => registry.register(&mut SourceFd(&file.as_raw_fd()), token, both)?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(socket)
    }

    /// Lets `host` do the polling. Ours is left with the bell, and is one of the descriptors that the host polls.
    pub(super) fn be_hosted(&mut self, host: Box<dyn PollHost>) {
        let registry = Registry::new(host);
        registry.borrow_mut().add(self.poll_fd(), BELL, external::Interest::READABLE);
        self.registry = Some(registry);
    }

    pub(super) fn is_hosted(&self) -> bool {
        self.registry.is_some()
    }

    /// Takes note of what the host has found. False when the descriptor is none of ours.
    pub(super) fn found(&mut self, fd: RawFd, found: Readiness) -> bool {
        let Some(registry) = &self.registry else { return false };
        let mut registry = registry.borrow_mut();
        let Some(token) = registry.token(fd) else { return false };
        if token == BELL {
            self.bell_found = true;
        } else {
            registry.found(token, found);
        }
        true
    }

    /// What the host has found, without a system call unless somebody has rung.
    fn take_found(&mut self, out: &mut Vec<Ready>) -> io::Result<WaitOutcome> {
        if let Some(registry) = &self.registry {
            registry.borrow_mut().take_found(out);
        }
        let rung = self.bell.answer();
        // Until our poller is asked, its descriptor stays readable. The ring may show there only later than here.
        if rung != 0 || std::mem::take(&mut self.bell_found) {
            self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        }
        Ok(WaitOutcome::of(rung))
    }

    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Ready>,
    ) -> io::Result<WaitOutcome> {
        out.clear();
        self.waits += 1;
        if self.registry.is_some() {
            return self.take_found(out);
        }
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(WaitOutcome::default()),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            if event.token() != WAKER {
                out.push(Ready {
                    token: event.token().0 as u64,
                    readable: event.is_readable(),
                    writable: event.is_writable(),
                    read_closed: event.is_read_closed(),
                    error: event.is_error(),
                });
            }
        }
        self.is_full = self.events.iter().count() >= EVENTS;
        Ok(WaitOutcome::of(self.bell.answer()))
    }

    pub(super) fn has_more(&self) -> bool {
        self.is_full
    }

    pub(super) fn waits(&self) -> u64 {
        self.waits
    }

    /// Under which address of this host a datagram would go there: connecting one's socket sends nothing.
    #[expect(clippy::unused_self, reason = "a simulated host needs itself for this")]
    pub(super) fn source(&self, to: SocketAddr) -> Option<IpAddr> {
        let socket = SocketOptions::default().datagrams(Some(to)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }

    /// Moves a socket to another token: what it is ready for is told anew.
    pub(super) fn rename(&self, mut socket: Socket, token: u64) -> io::Result<Socket> {
        let (registry, to) = (self.poll.registry(), token_of(token));
        let both = Interest::READABLE | Interest::WRITABLE;
        match &mut socket {
            Socket::Tcp(stream) => registry.reregister(stream, to, both)?,
            Socket::Unix(stream) => registry.reregister(stream, to, both)?,
            Socket::Udp(socket) => registry.reregister(socket, to, both)?,
            Socket::Hosted(hosted) => hosted.rename(token),
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(socket)
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::new(&self.bell)
    }
}

/// 64 bits of key; smaller machines cannot have as many rows as would make this lossy.
fn token_of(token: u64) -> Token {
    Token(usize::try_from(token).unwrap_or(usize::MAX - 1))
}

fn unix_address(address: &Address) -> io::Result<UnixAddr> {
    match address {
        Address::Unix(path) => UnixAddr::from_pathname(&**path),
        Address::Abstract(name) => UnixAddr::from_abstract_name(name.as_bytes()),
        Address::Ip(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Binds a Unix listener. A socket file whose listener is gone is in nobody's use; one that answers is.
fn bind_unix(address: &Address) -> io::Result<mio::net::UnixListener> {
    let bound = unix_address(address)?;
    match mio::net::UnixListener::bind_addr(&bound) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let Address::Unix(path) = address else { return Err(error) };
            match std::os::unix::net::UnixStream::connect_addr(&bound) {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(&**path)?;
                    mio::net::UnixListener::bind_addr(&bound)
                }
                _ => Err(error),
            }
        }
        other => other,
    }
}

impl Drop for Unix {
    fn drop(&mut self) {
        if let Some(registry) = &self.registry {
            registry.borrow_mut().remove(self.poll_fd());
        }
    }
}
