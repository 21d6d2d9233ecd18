//! The real thing: mio's poller, edge-triggered, and the machine's sockets and clock.

use super::resolve::Resolver;
use super::socket::UnixListener;
use super::waker::{Bell, Waker};
use super::{Address, ListenOptions, Ready, Resolution, Socket, Us, WaitOutcome};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockAddr, Type};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Events that one wait takes from the system at most; others come with the next.
const EVENTS: usize = 1024;

/// The waker's token: no key of a table is like it, since no slot lives through so many generations.
const WAKER: Token = Token(usize::MAX);

/// The machine.
#[derive(Debug)]
pub(crate) struct Unix {
    poll: Poll,
    events: Events,
    start: Instant,
    random: u64,
    waits: u64,
    bell: Arc<Bell>,
    resolver: Resolver,
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
            waits: 0,
            resolver: Resolver::new(Arc::clone(&bell)),
            bell,
        })
    }

    pub(super) fn now(&self) -> Us {
        Us::from_us(0).saturating_add(self.start.elapsed())
    }

    #[expect(clippy::disallowed_methods, clippy::unused_self, reason = "this is where time comes from")]
    pub(super) fn wall_secs(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    pub(super) fn random(&mut self) -> u64 {
        super::sim::next_random(&mut self.random)
    }

    pub(super) fn listen(&self, address: &Address, options: ListenOptions, token: u64) -> io::Result<Socket> {
        let token = token_of(token);
        match address {
            Address::Ip(address) => {
                let socket = socket2::Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                // A restarted server must not wait for the last one's connections to time out.
                socket.set_reuse_address(true)?;
                socket.bind(&SockAddr::from(*address))?;
                socket.listen(options.backlog)?;
                let mut listener = mio::net::TcpListener::from_std(socket.into());
                self.poll.registry().register(&mut listener, token, Interest::READABLE)?;
                Ok(Socket::TcpListener(listener))
            }
            Address::Unix(_) | Address::Abstract(_) => {
                let mut listener = bind_unix(address)?;
                self.poll.registry().register(&mut listener, token, Interest::READABLE)?;
                Ok(Socket::UnixListener(Box::new(UnixListener { listener, address: address.clone() })))
            }
        }
    }

    #[expect(clippy::unused_self, reason = "a simulated host needs itself for this")]
    pub(super) fn accept(&self, listener: &mut Socket) -> io::Result<Option<(Socket, Option<Address>)>> {
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

    pub(super) fn connect(&self, address: &Address, token: u64) -> io::Result<Socket> {
        let mut socket = match address {
            Address::Ip(address) => Socket::Tcp(mio::net::TcpStream::connect(*address)?),
            Address::Unix(_) | Address::Abstract(_) => {
                Socket::Unix(mio::net::UnixStream::connect_addr(&unix_address(address)?)?)
            }
        };
        self.register(&mut socket, token)?;
        Ok(socket)
    }

    pub(super) fn register(&self, socket: &mut Socket, token: u64) -> io::Result<()> {
        let (registry, token) = (self.poll.registry(), token_of(token));
        let both = Interest::READABLE | Interest::WRITABLE;
        match socket {
            Socket::Tcp(stream) => registry.register(stream, token, both),
            Socket::Unix(stream) => registry.register(stream, token, both),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(super) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Ready>,
    ) -> io::Result<WaitOutcome> {
        out.clear();
        self.waits += 1;
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
        Ok(WaitOutcome::of(self.bell.answer()))
    }

    pub(super) fn waits(&self) -> u64 {
        self.waits
    }

    pub(super) fn resolve(&mut self, name: &str, port: u16, token: u64) {
        self.resolver.ask(name, port, token);
    }

    pub(super) fn resolved(&self) -> Option<Resolution> {
        self.resolver.answer()
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

/// An address that the resolver's thread may hand over.
pub(super) type Found = Vec<SocketAddr>;
