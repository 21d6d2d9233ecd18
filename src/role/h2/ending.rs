//! How a connection ends: its server goes in grace (RFC 9113 6.8), its peer ends its side, or does not follow the
//! settings (RFC 9113 6.5.3). And what outlives it.

use super::children::left_for;
use super::{Exchange, Incoming};
use crate::cause::{Cause, Phase};
use crate::context::{Context, Core, Timer, WsiEvent};
use crate::http::Head;
use crate::role::Role;
use crate::wsi::{Flags, Wait, WsiId};
use h2::Code;
use std::time::Duration;

impl Exchange {
    /// The end of a message that its user lets wait.
    pub(super) fn take_held(&mut self) -> Option<Box<Head>> {
        match std::mem::take(&mut self.incoming) {
            Incoming::Held(trailers) => {
                self.incoming = Incoming::Ended;
                Some(trailers)
            }
            other => {
                self.incoming = other;
                None
            }
        }
    }
}

impl Core {
    /// Settings are on their way: the peer has some time to say that it knows them.
    pub(super) fn h2_expect_acknowledgement(&mut self, id: WsiId) {
        let at = self.now.saturating_add(self.timeouts.settings);
        let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
        if h2.settings_timer.is_none() && !h2.engine.is_acknowledged() {
            h2.settings_timer = Some(self.suls.schedule(at, Timer::H2Settings(id)));
        }
    }

    /// The peer has said something: what is acknowledged is not waited for.
    pub(super) fn h2_see_acknowledgement(&mut self, id: WsiId) {
        if self.h2_mut(id).is_some_and(|h2| h2.settings_timer.is_some() && h2.engine.is_acknowledged()) {
            self.h2_expect_no_more(id);
        }
    }

    fn h2_expect_no_more(&mut self, id: WsiId) {
        if let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role)
            && let Some(sul) = h2.settings_timer.take()
        {
            self.suls.cancel(sul);
        }
    }

    /// The connection is given up: nobody waits for settings any more, and a response that is there, and that its user lets
    /// wait, is with its user from here on.
    pub(in crate::role) fn h2_left(&mut self, id: WsiId) {
        self.h2_expect_no_more(id);
        let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
        if h2.is_server {
            return;
        }
        for child in h2.children_that(|exchange| matches!(exchange.incoming, Incoming::Held(_))) {
            let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
            let held = h2.exchanges.get_mut(child).and_then(Exchange::take_held);
            let Some(trailers) = held else { continue };
            // Nor is there anybody any more who could take the rest of its request.
            self.wait_no_more(child);
            if let Some(wsi) = self.wsis.get_mut(child) {
                wsi.flags.set(Flags::EOF);
                wsi.rare().trailers = Some(trailers);
            }
        }
    }

    pub(crate) fn h2_settings_timed_out(&mut self, id: WsiId) {
        let Some(h2) = self.h2_mut(id) else { return };
        h2.settings_timer = None;
        h2.engine.go_away(Code::SETTINGS_TIMEOUT);
        self.h2_flush(id);
        self.close_flushed(id, Some(Cause::protocol("the peer does not acknowledge our settings")));
    }

    /// Tells a client that the server goes. What is open, and what the client begins before it knows, is served; then it is
    /// told which was the last.
    pub(crate) fn h2_shut_down(&mut self, id: WsiId) {
        if let Some(h2) = self.h2_mut(id) {
            h2.engine.shutdown();
            self.h2_flush(id);
        }
    }

    /// The peer's side has ended, and all that it said has been taken.
    pub(in crate::role) fn h2_eof(&mut self, id: WsiId) {
        let Some(h2) = self.h2_mut(id) else { return };
        let cause = match h2.goodbye {
            _ if h2.exchanges.is_empty() => return self.close_flushed(id, None),
            _ if h2.is_server && h2.has_settings => return self.h2_half_closed(id),
            // It was granted HTTP/2 by an upgrade, and does not go on in it: it has no windows for its answer.
            _ if h2.is_server => Cause::by_peer(),
            Some(code) => left_for(code),
            None => Cause::closed(Phase::Answering),
        };
        self.close(id, Some(cause));
    }

    /// A client that has ended its side may wait for its answers, as over HTTP/1.1 (RFC 9112 9.6): requests that are complete
    /// get theirs, and the others are as good as reset. The connection goes with the last of them. Nothing that a client
    /// would have to say is waited for, but it may take no longer than others to prove that it is there, or to read.
    fn h2_half_closed(&mut self, id: WsiId) {
        let Some(h2) = self.h2_mut(id).filter(|h2| !h2.is_half_closed) else { return };
        h2.is_half_closed = true;
        let cut = h2.children_that(|exchange| matches!(exchange.incoming, Incoming::Arriving));
        self.h2_expect_no_more(id);
        // Of a head that is not complete the rest does not come.
        self.role_wait(id, Wait::Nothing, Duration::ZERO);
        for child in cut {
            self.close(child, Some(Cause::by_peer()));
        }
    }

    /// A server that has told its client which stream is the last goes when that is over.
    pub(super) fn h2_end_if_drained(&mut self, id: WsiId) {
        let is_over = self
            .h2_mut(id)
            .is_some_and(|h2| h2.is_server && h2.engine.is_drained() && h2.exchanges.is_empty());
        if is_over {
            self.h2_flush(id);
            self.close_flushed(id, None);
        }
    }
}

impl Context {
    /// All of a response has been taken whose connection is gone.
    pub(super) fn h2_end_alone(&mut self, child: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(child) else { return };
        if let Some(trailers) = wsi.rare.as_mut().and_then(|rare| rare.trailers.take()) {
            self.wsi_event(child, WsiEvent::End(&trailers));
            self.core.close(child, Some(Cause::closed(Phase::Answering)));
        }
    }
}
