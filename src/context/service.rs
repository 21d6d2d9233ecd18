//! One turn of the loop, in its fixed order (DESIGN: "A turn of the loop").

use super::{Context, Timer};
use crate::error::Error;
use crate::plat::{Readiness, Ready};
use crate::wsi::{Flags, WsiId};
use std::time::Duration;

/// Effects that one turn delivers at most; what is left has the next one, which does not wait.
const EFFECTS_PER_TURN: usize = 10_000;

/// Pieces that streams may send to streams in one turn: fewer than it delivers effects, whatever each piece leads to.
const PEER_PIECES_PER_TURN: usize = 500;

/// Streams that begin, and connections of protocols that end, in one turn: whoever makes a new one of each that ends would go
/// on for ever.
const LIVES_PER_TURN: usize = 5000;

impl Context {
    /// Serves until [`Cx::stop`](super::Cx::stop), then ends all streams and connections.
    ///
    /// # Errors
    /// The poller fails, or is somebody else's ([`ContextBuilder::poll_host`](super::ContextBuilder::poll_host)).
    pub fn run(&mut self) -> Result<(), Error> {
        if self.core.plat.is_hosted() {
            return Err(Error::WrongKind(
                "a context whose host does the polling is served by it, and cannot run",
            ));
        }
        while !self.core.stopping {
            self.turn(None)?;
        }
        self.core.stopping = false;
        self.shutdown();
        Ok(())
    }

    /// One turn: due timers, connections with something in hand, then what the poller has, waiting for that at most
    /// `timeout`; `None` waits as long as nothing happens. There is no wait once a callback has run in the turn, so that
    /// whatever it has told the caller is seen when it happens.
    ///
    /// # Errors
    /// The poller fails.
    pub fn service(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.begin_turn();
        let timeout = if self.core.entered_user { Some(Duration::ZERO) } else { timeout };
        self.end_turn(timeout)
    }

    fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.begin_turn();
        self.end_turn(timeout)
    }

    /// What needs no wait.
    fn begin_turn(&mut self) {
        self.open_turn();
        self.run_due();
        self.serve_ready();
    }

    fn end_turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let limit = self.wait_limit(timeout);
        let mut events = std::mem::take(&mut self.events);
        let waited = self.core.plat.wait(limit, &mut events);
        self.core.read_clocks();
        for event in &events {
            self.note_ready(event);
        }
        self.events = events;
        while let Some(resolution) = self.core.plat.resolved() {
            let id = WsiId(super::arena::Key::from_token(resolution.token));
            self.core.resolved(id, resolution.result);
        }
        let outcome =
            waited.map_err(|source| Error::Io { what: "wait for events", address: None, source })?;
        if outcome.called {
            self.take_calls();
        }
        if outcome.woken {
            self.core.tell_woken();
        }
        self.serve_ready();
        Ok(())
    }

    /// The first thing that anybody does who comes in from outside.
    pub(super) fn open_turn(&mut self) {
        self.core.read_clocks();
        self.core.entered_user = false;
        self.core.effects_left = EFFECTS_PER_TURN;
        // What is left from before comes first, and then all others have their turn, before there is more of it.
        if self.core.effects.is_empty() {
            self.core.peer_pieces_left = PEER_PIECES_PER_TURN;
            self.core.lives_left = LIVES_PER_TURN;
            self.core.effects.extend(self.core.later.drain(..));
        }
    }

    /// One file descriptor for a poll loop of somebody else's: readable when a turn would find something. `None` in a
    /// simulation.
    ///
    /// Wait for it to become readable, at most for [`Self::next_timeout`], then call [`Self::service`] with a timeout of
    /// zero. The timeout has to be asked for anew before each wait: what one turn has left over shows in it, and not in
    /// the descriptor.
    pub fn poll_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.core.plat.poll_fd()
    }

    /// Serves a descriptor on which the poll of a [`PollHost`](crate::PollHost) has found something. When it is one of the
    /// context's, `found` is cleared and a turn served; the answer says whether it was (`lws_service_fd`).
    ///
    /// Timers and what a turn leaves over need [`Self::service`] when [`Self::next_timeout`] has run out.
    ///
    /// # Errors
    /// As [`Self::service`].
    pub fn service_fd(&mut self, fd: std::os::fd::RawFd, found: &mut Readiness) -> Result<bool, Error> {
        if !self.core.plat.found(fd, *found) {
            return Ok(false);
        }
        *found = Readiness::default();
        self.service(Some(Duration::ZERO))?;
        Ok(true)
    }

    /// How long a poll loop of somebody else's may wait before it calls [`Self::service`], with nothing to be read on
    /// [`Self::poll_fd`]; `None` is without end (`lws_service_adjust_timeout`).
    pub fn next_timeout(&mut self) -> Option<Duration> {
        if self.core.plat.has_ready() {
            return Some(Duration::ZERO);
        }
        let due = self.next_deadline()?;
        Some(due.saturating_sub(self.core.plat.now()))
    }

    /// [`Cx::stop`](super::Cx::stop) was called: a loop of somebody else's is asked to end.
    pub fn is_stopping(&self) -> bool {
        self.core.stopping
    }

    /// When the loop has to be served next without a word from the poller; `None` is never. For loops of others.
    pub fn next_deadline(&mut self) -> Option<crate::Us> {
        if self.has_pending() {
            return Some(self.core.now);
        }
        self.core.suls.next_due()
    }

    /// There is work that needs no wait.
    fn has_pending(&self) -> bool {
        let core = &self.core;
        core.stopping || !core.ready.is_empty() || !core.effects.is_empty() || !core.later.is_empty()
    }

    /// A turn now would find something to do.
    pub(crate) fn has_work(&mut self, now: crate::Us) -> bool {
        self.has_pending()
            || self.core.plat.has_ready()
            || self.core.suls.next_due().is_some_and(|due| due <= now)
    }

    fn wait_limit(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        if self.has_pending() {
            return Some(Duration::ZERO);
        }
        let due = self.core.suls.next_due().map(|at| at.saturating_sub(self.core.now));
        match (due, timeout) {
            (Some(due), Some(timeout)) => Some(due.min(timeout)),
            (due, timeout) => due.or(timeout),
        }
    }

    /// Runs what is due now, each with all that follows from it. What is scheduled meanwhile has the next turn, so that a
    /// timer that sets itself again does not hold the loop.
    fn run_due(&mut self) {
        let count = self.core.suls.len();
        let now = self.core.now;
        for _ in 0..count {
            if !self.settle() {
                return;
            }
            let Some(timer) = self.core.suls.pop_due(now) else { return };
            match timer {
                Timer::Wsi(id) => self.wsi_timer(id),
                Timer::Validity(id) => self.validity_timer(id),
                Timer::Race(id) => self.core.race_timer(id),
                Timer::Names => self.core.dns_timer(),
                #[cfg(feature = "h2")]
                Timer::H2Settings(id) => self.core.h2_settings_timed_out(id),
                Timer::Stream(id, what) => self.core.stream_timer(id, what),
                Timer::Listener(id) => self.core.schedule(id),
                Timer::App(call) => self.core.effects.push_back(super::Effect::Call(call)),
            }
        }
        self.settle();
    }

    /// Serves those that are in the queue now; who comes back into it has the next turn.
    fn serve_ready(&mut self) {
        for _ in 0..self.core.ready.len() {
            if !self.settle() {
                return;
            }
            let Some(id) = self.core.ready.pop_front() else { return };
            self.serve(id);
        }
        self.settle();
    }

    fn note_ready(&mut self, event: &Ready) {
        let id = WsiId(super::arena::Key::from_token(event.token));
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let mut bits = 0;
        if event.readable || event.read_closed || event.error {
            bits |= Flags::READABLE;
        }
        if event.writable || event.error {
            bits |= Flags::WRITABLE;
        }
        if event.read_closed || event.error {
            bits |= Flags::READ_CLOSED;
        }
        wsi.flags.set(bits);
        self.core.schedule(id);
    }
}

impl super::Core {
    fn read_clocks(&mut self) {
        self.now = self.plat.now();
        self.wall_secs = self.plat.wall_secs();
        #[cfg(feature = "tls")]
        self.tls.set_wall_secs(self.wall_secs);
    }
}
