//! Polling by somebody else: each descriptor is theirs to poll, level-triggered as `poll(2)` is.

use super::Ready;
use super::socket::Socket;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;

/// What a descriptor is to be polled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// `POLLIN`.
    pub readable: bool,
    /// `POLLOUT`.
    pub writable: bool,
}

impl Interest {
    pub(crate) const BOTH: Self = Self { readable: true, writable: true };
    pub(crate) const READABLE: Self = Self { readable: true, writable: false };

    /// For neither: the descriptor is to be left out of the poll, since that reports errors whether asked to or not.
    pub fn is_none(self) -> bool {
        !self.readable && !self.writable
    }
}

/// What a poll has found on a descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    /// `POLLIN`.
    pub readable: bool,
    /// `POLLOUT`.
    pub writable: bool,
    /// `POLLHUP`, `POLLRDHUP`.
    pub hangup: bool,
    /// `POLLERR`, `POLLNVAL`.
    pub error: bool,
}

impl Readiness {
    /// Nothing was found.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// A poll loop that has a context's descriptors among its own. It is called from within the context, and calls
/// [`Context::service_fd`](crate::Context::service_fd) when a poll has found something.
///
/// A descriptor may be duplicated to be polled; it is named by its number, which is its own until it is removed.
pub trait PollHost {
    /// Polls another descriptor from now on.
    fn add(&mut self, fd: BorrowedFd<'_>, interest: Interest);

    /// Polls it for something else. With [none](Interest::is_none), not at all until this is called again.
    fn change(&mut self, fd: BorrowedFd<'_>, interest: Interest);

    /// Polls it no more: it is about to be closed.
    fn remove(&mut self, fd: BorrowedFd<'_>);
}

impl fmt::Debug for dyn PollHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PollHost")
    }
}

/// The host, and which descriptor is whose.
#[derive(Debug)]
pub(crate) struct Registry {
    host: Box<dyn PollHost>,
    tokens: HashMap<RawFd, u64>,
    /// What the host has found and the loop has not yet looked at.
    found: Vec<Ready>,
}

/// One registry, shared with each socket in it.
pub(crate) type Shared = Rc<RefCell<Registry>>;

impl Registry {
    pub(super) fn new(host: Box<dyn PollHost>) -> Shared {
        Rc::new(RefCell::new(Self { host, tokens: HashMap::new(), found: Vec::new() }))
    }

    pub(super) fn add(&mut self, fd: BorrowedFd<'_>, token: u64, interest: Interest) {
        self.tokens.insert(fd.as_raw_fd(), token);
        self.host.add(fd, interest);
    }

    pub(super) fn remove(&mut self, fd: BorrowedFd<'_>) {
        if self.tokens.remove(&fd.as_raw_fd()).is_some() {
            self.host.remove(fd);
        }
    }

    /// Whose the descriptor is, if it is one of ours.
    pub(super) fn token(&self, fd: RawFd) -> Option<u64> {
        self.tokens.get(&fd).copied()
    }

    pub(super) fn found(&mut self, token: u64, found: Readiness) {
        self.found.push(Ready {
            token,
            readable: found.readable,
            writable: found.writable,
            read_closed: found.hangup,
            error: found.error,
        });
    }

    pub(super) fn take_found(&mut self, out: &mut Vec<Ready>) {
        out.append(&mut self.found);
    }
}

/// A socket that the host polls, until it is dropped.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(super) socket: Socket,
    interest: Interest,
    registry: Shared,
}

impl Hosted {
    pub(super) fn new(socket: Socket, token: u64, interest: Interest, registry: &Shared) -> Self {
        if let Some(fd) = socket.fd() {
            registry.borrow_mut().add(fd, token, interest);
        }
        Self { socket, interest, registry: Rc::clone(registry) }
    }

    pub(super) fn rename(&self, token: u64) {
        if let Some(fd) = self.socket.fd() {
            self.registry.borrow_mut().tokens.insert(fd.as_raw_fd(), token);
        }
    }

    pub(super) fn set_interest(&mut self, interest: Interest) {
        if self.interest != interest
            && let Some(fd) = self.socket.fd()
        {
            self.interest = interest;
            self.registry.borrow_mut().host.change(fd, interest);
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(fd) = self.socket.fd() {
            self.registry.borrow_mut().remove(fd);
        }
    }
}
