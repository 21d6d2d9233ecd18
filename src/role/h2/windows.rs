//! Those that want to send and may not, because a window is shut (RFC 9113 5.2). Each of them is looked at again when that one
//! is opened which it waits for: its own, or that of the connection, which lets in as many as it has room for.

use super::{Exchange, H2, Place};
use crate::context::Core;
use crate::role::Role;
use crate::wsi::{Binding, Wait, WsiId};
use h2::StreamId;
use std::time::Duration;

impl H2 {
    /// The connection's window is open. Clients have little room for what follows a 101 before they have gone on in HTTP/2
    /// themselves.
    pub(super) fn has_room(&self) -> bool {
        (self.has_settings || !self.is_server) && self.engine.tx_window(None) > 0
    }

    /// Whose turn it is.
    pub(super) fn pop_sender(&mut self) -> Option<WsiId> {
        let first = if self.has_room() { self.line.pop_front() } else { None };
        first.or_else(|| self.queue.pop_front())
    }

    pub(super) fn has_sender(&self) -> bool {
        !self.queue.is_empty() || (!self.line.is_empty() && self.has_room())
    }

    /// Strikes a child from where it waits.
    pub(super) fn leave_place(&mut self, child: WsiId) {
        let Some(exchange) = self.exchanges.get_mut(child) else { return };
        match std::mem::take(&mut exchange.place) {
            Place::Queued => self.queue.retain(|other| *other != child),
            Place::InLine => self.line.retain(|other| *other != child),
            Place::Away | Place::Blocked => {}
        }
    }
}

impl Core {
    /// There is no room for what a child wants to send.
    pub(super) fn h2_block(&mut self, id: WsiId, child: WsiId, stream: StreamId) {
        let Some(h2) = self.h2_mut(id) else { return };
        let is_shut = h2.engine.tx_window(Some(stream)) == 0;
        let Some(exchange) = h2.exchanges.get_mut(child) else { return };
        exchange.place = if is_shut { Place::Blocked } else { Place::InLine };
        if !is_shut {
            h2.line.push_back(child);
        }
        // Windows are for data alone (RFC 9113 6.9): the peer may want the head before it grants anything.
        if let Some(&Binding::Stream(user)) = self.wsis.get(child).map(|wsi| &wsi.binding) {
            self.h1_answer_alone(user, child);
        }
        self.wait_to_send(child);
    }

    pub(super) fn h2_is_blocked(&mut self, child: WsiId) -> bool {
        let exchange = self.parent(child).and_then(|id| self.h2_mut(id)?.exchanges.get(child));
        exchange.is_some_and(|exchange| matches!(exchange.place, Place::InLine | Place::Blocked))
    }

    /// What a stream waits for that does not wait for a window. Whatever else its peer says is no leave to send.
    pub(super) fn h2_wait(&mut self, child: WsiId, why: Wait, limit: Duration) {
        if !self.h2_is_blocked(child) {
            self.role_wait(child, why, limit);
        }
    }

    /// The connection's window is open: those in line have their turns as far as it goes.
    pub(super) fn h2_opened(&mut self, id: WsiId) {
        let now = self.now;
        if let Some(h2) = self.h2_mut(id) {
            h2.opened = now;
            self.h2_more_tx(id);
        }
    }

    /// A child has no window to wait for any more.
    pub(super) fn h2_unblock(&mut self, id: WsiId, child: WsiId) {
        if !self.h2_is_blocked(child) {
            return;
        }
        if let Some(h2) = self.h2_mut(id) {
            h2.leave_place(child);
        }
        self.h2_child_wants_tx(id, child);
        self.h2_wait_for_more(child);
    }

    /// The peer's settings may have opened windows of streams, and they are what an upgraded connection has waited for.
    pub(super) fn h2_unblock_by_settings(&mut self, id: WsiId) {
        let Some(h2) = self.h2_mut(id) else { return };
        h2.has_settings = true;
        let is_open = |exchange: &Exchange| {
            exchange.place == Place::Blocked
                && exchange.stream.is_some_and(|stream| h2.engine.tx_window(Some(stream)) > 0)
        };
        for child in h2.children_that(is_open) {
            self.h2_unblock(id, child);
        }
        self.h2_opened(id);
    }

    /// How long a child may still wait for a turn that its peer grants to others: those in line have the connection's window
    /// in common, and as long as it is opened again and again each has its turn.
    pub(in crate::role) fn h2_line_moves(&self, child: WsiId) -> Option<Duration> {
        let Role::H2(h2) = &self.wsis.get(self.parent(child)?)?.role else { return None };
        h2.exchanges.get(child).filter(|exchange| exchange.place == Place::InLine)?;
        // Where it is open it is the socket that is waited for, by the connection itself.
        let since = if h2.has_room() { self.now } else { h2.opened };
        let left = since.saturating_add(self.timeouts.send).saturating_sub(self.now);
        Some(left).filter(|left| !left.is_zero())
    }
}
