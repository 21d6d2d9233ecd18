//! The handshake of a connection, and what TLS has to say on its own account.

use super::{Flags, Wait, WsiId, WsiState};
use crate::cause::Cause;
use crate::context::Context;
use crate::context::scratch::Scratch;
use crate::tls::Session;

impl Context {
    pub(crate) fn start_handshake(&mut self, id: WsiId, session: Session) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.tls = Some(Box::new(session));
        wsi.enter(id, WsiState::Handshaking);
        wsi.flags.set(Flags::WANT_FLUSH);
        self.core.wait_for(id, Wait::Tls, self.core.timeouts.tls);
        self.serve_handshaking(id);
    }

    pub(crate) fn serve_handshaking(&mut self, id: WsiId) {
        let mut scratch = std::mem::take(&mut self.scratch);
        self.handshake(id, &mut scratch);
        self.scratch = scratch;
    }

    fn handshake(&mut self, id: WsiId, scratch: &mut Scratch) {
        // Each round takes up to one buffer of the peer's; more of a handshake than this waits for the next turn.
        for _ in 0..8 {
            self.write_turn(id, scratch);
            let Some(wsi) = self.core.wsis.get(id) else { return };
            if wsi.state() != WsiState::Handshaking {
                return;
            }
            if wsi.tls.as_ref().is_some_and(|tls| !tls.is_handshaking()) {
                return self.core.opened(id);
            }
            match self.core.receive_for_tls(id, &mut scratch.rx) {
                Ok(Some(len)) => {
                    if !self.feed_tls(id, scratch, len) {
                        return;
                    }
                }
                Ok(None) | Err(()) => return,
            }
        }
        self.core.schedule(id);
    }

    /// Hands `scratch.rx[..len]` to TLS. On a fault the peer is told why, as far as the socket takes it, and the
    /// connection is closed: false.
    pub(crate) fn feed_tls(&mut self, id: WsiId, scratch: &mut Scratch, len: usize) -> bool {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return false };
        let Some(tls) = &mut wsi.tls else { return false };
        let bytes = scratch.rx.get(..len).unwrap_or_default();
        let fed = tls.read_tls(bytes);
        wsi.flags.set(Flags::WANT_FLUSH);
        match fed {
            Ok(taken) => {
                debug_assert_eq!(taken, len, "the plaintext before it was read out");
                true
            }
            Err(error) => {
                self.write_turn(id, scratch);
                self.core.close(id, Some(Cause::tls(&error)));
                false
            }
        }
    }
}
