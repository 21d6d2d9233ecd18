//! How a connection ends: its server goes in grace (RFC 9113 6.8), or its peer does not follow the settings (RFC 9113
//! 6.5.3).

use crate::cause::Cause;
use crate::context::{Core, Timer};
use crate::role::Role;
use crate::wsi::WsiId;
use h2::Code;

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
            self.h2_left(id);
        }
    }

    /// Nobody waits for settings any more.
    pub(in crate::role) fn h2_left(&mut self, id: WsiId) {
        if let Some(Role::H2(h2)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role)
            && let Some(sul) = h2.settings_timer.take()
        {
            self.suls.cancel(sul);
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
