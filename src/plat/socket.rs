//! One socket type for all kinds, as small as a file descriptor allows.

use super::external::{Hosted, Interest};
use super::{Address, sim};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// A socket of any kind.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(mio::net::TcpStream),
    TcpListener(mio::net::TcpListener),
    Unix(mio::net::UnixStream),
    UnixListener(Box<UnixListener>),
    Udp(mio::net::UdpSocket),
    /// A pipe, a terminal, or whatever else can be polled.
    File(std::fs::File),
    Sim(sim::SimSocket),
    /// One that somebody else's loop polls.
    Hosted(Box<Hosted>),
}

/// A Unix listener, and the file that goes with it.
#[derive(Debug)]
pub(crate) struct UnixListener {
    pub(super) listener: mio::net::UnixListener,
    pub(super) address: Address,
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(&**path);
        }
    }
}

/// A connected socket, or another descriptor, that was not made here.
#[derive(Debug)]
pub enum Adopted {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket, half of a pair for instance.
    Unix(std::os::unix::net::UnixStream),
    /// Anything else that can be polled: a pipe, a FIFO, a terminal, inotify and its like; not a file on a disk.
    File(std::fs::File),
}

impl From<std::fs::File> for Adopted {
    fn from(file: std::fs::File) -> Self {
        Self::File(file)
    }
}

impl From<std::os::fd::OwnedFd> for Adopted {
    fn from(fd: std::os::fd::OwnedFd) -> Self {
        Self::File(fd.into())
    }
}

impl From<std::net::TcpStream> for Adopted {
    fn from(socket: std::net::TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<std::os::unix::net::UnixStream> for Adopted {
    fn from(socket: std::os::unix::net::UnixStream) -> Self {
        Self::Unix(socket)
    }
}

fn not_a_stream() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a listener carries no payload")
}

impl Socket {
    pub(crate) fn adopt(socket: Adopted) -> io::Result<Self> {
        Ok(match socket {
            Adopted::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                Self::Tcp(mio::net::TcpStream::from_std(socket))
            }
            Adopted::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Self::Unix(mio::net::UnixStream::from_std(socket))
            }
            Adopted::File(file) => {
                SockRef::from(&file).set_nonblocking(true)?;
                Self::File(file)
            }
        })
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            Self::Unix(stream) => stream.read(into),
            Self::File(file) => file.read(into),
            Self::Udp(socket) => socket.recv(into),
            Self::Sim(stream) => stream.read(into),
            Self::Hosted(hosted) => hosted.socket.read(into),
            Self::TcpListener(_) | Self::UnixListener(_) => Err(not_a_stream()),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
            Self::File(file) => file.write(bytes),
            Self::Udp(socket) => socket.send(bytes),
            Self::Sim(stream) => stream.write(bytes),
            Self::Hosted(hosted) => hosted.socket.write(bytes),
            Self::TcpListener(_) | Self::UnixListener(_) => Err(not_a_stream()),
        }
    }

    /// The next datagram, and whose it is.
    pub(crate) fn receive_from(&mut self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::Udp(socket) => socket.recv_from(into),
            Self::Sim(socket) => socket.receive_from(into),
            Self::Hosted(hosted) => hosted.socket.receive_from(into),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Sends a datagram to whom the socket is connected, else to `to`.
    pub(crate) fn send_to(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        match (self, to) {
            (Self::Udp(socket), Some(to)) => socket.send_to(bytes, to),
            (Self::Udp(socket), None) => socket.send(bytes),
            (Self::Sim(socket), to) => socket.send_to(bytes, to),
            (Self::Hosted(hosted), to) => hosted.socket.send_to(bytes, to),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Nothing more will be sent.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Write),
            Self::Sim(stream) => stream.shutdown_write(),
            Self::Hosted(hosted) => hosted.socket.shutdown_write(),
            Self::TcpListener(_) | Self::UnixListener(_) | Self::Udp(_) | Self::File(_) => {
                Err(not_a_stream())
            }
        }
    }

    /// What became of a connecting socket, if that was bad.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
            Self::Sim(stream) => stream.take_error(),
            Self::Hosted(hosted) => hosted.socket.take_error(),
            Self::TcpListener(_) | Self::UnixListener(_) | Self::Udp(_) | Self::File(_) => Ok(None),
        }
    }

    /// Whether a connecting socket has got there.
    pub(crate) fn is_connected(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.peer_addr().is_ok(),
            Self::Unix(stream) => stream.peer_addr().is_ok(),
            Self::Sim(stream) => stream.is_connected(),
            Self::Hosted(hosted) => hosted.socket.is_connected(),
            Self::TcpListener(_) | Self::UnixListener(_) | Self::Udp(_) | Self::File(_) => false,
        }
    }

    /// Where it is bound; `None` for Unix sockets without a name.
    pub(crate) fn local_address(&self) -> Option<Address> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(Address::Ip),
            Self::TcpListener(listener) => listener.local_addr().ok().map(Address::Ip),
            Self::UnixListener(listener) => Some(listener.address.clone()),
            Self::Udp(socket) => socket.local_addr().ok().map(Address::Ip),
            Self::Unix(_) | Self::File(_) => None,
            Self::Sim(stream) => stream.local_address(),
            Self::Hosted(hosted) => hosted.socket.local_address(),
        }
    }

    /// Sends small writes at once.
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Hosted(hosted) => hosted.socket.set_nodelay(),
            _ => Ok(()),
        }
    }

    /// Lets the system find out about peers that are silently gone (`SO_KEEPALIVE`).
    pub(crate) fn set_keepalive(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(&stream.as_fd()).set_keepalive(true),
            Self::Hosted(hosted) => hosted.socket.set_keepalive(),
            _ => Ok(()),
        }
    }

    /// Its descriptor; a simulated socket has none.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::TcpListener(listener) => Some(listener.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::UnixListener(listener) => Some(listener.listener.as_fd()),
            Self::Udp(socket) => Some(socket.as_fd()),
            Self::File(file) => Some(file.as_fd()),
            Self::Hosted(hosted) => hosted.socket.fd(),
            Self::Sim(_) => None,
        }
    }

    /// What it still has to be polled for. Only a host that polls by level has to know.
    pub(crate) fn set_interest(&mut self, readable: bool, writable: bool) {
        if let Self::Hosted(hosted) = self {
            hosted.set_interest(Interest { readable, writable });
        }
    }
}
