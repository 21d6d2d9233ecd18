//! The handshake of a connection, and what TLS has to say on its own account.

use super::{Flags, Wait, WsiId, WsiState};
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::{Context, Core};
use crate::tls::{PlainRead, Session, TlsError};

impl Context {
    pub(crate) fn start_handshake(&mut self, id: WsiId, session: Session) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.tls = Some(Box::new(session));
        wsi.enter(id, WsiState::Handshaking);
        wsi.flags.set(Flags::WANT_FLUSH);
        self.core.latency_begin(id);
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
                    if self.feed_tls(id, scratch, len).is_none() {
                        return;
                    }
                }
                Ok(None) | Err(()) => return,
            }
        }
        self.core.schedule(id);
    }

    /// Hands `scratch.rx[..len]` to TLS. The plaintext stays there; when that is more than it holds, `scratch.plain` has the
    /// first of it, as much as this returns. On a fault the peer is told why, as far as the socket takes it, and the
    /// connection is closed: `None`.
    pub(crate) fn feed_tls(&mut self, id: WsiId, scratch: &mut Scratch, len: usize) -> Option<usize> {
        let wsi = self.core.wsis.get_mut(id)?;
        let is_open = wsi.state() == WsiState::Open;
        let tls = wsi.tls.as_mut()?;
        let bytes = scratch.rx.get(..len).unwrap_or_default();
        let (mut fed, mut moved) = (tls.read_tls(bytes), 0);
        // Records that were complete but for a byte, and those behind them.
        while let (true, Ok(taken)) = (is_open, &fed)
            && *taken < len
            && let PlainRead::Data(more) = tls.read_plain(scratch.plain.get_mut(moved..).unwrap_or_default())
        {
            moved += more;
            let taken = *taken;
            fed = tls.read_tls(bytes.get(taken..).unwrap_or_default()).map(|more| taken + more);
        }
        wsi.flags.set(Flags::WANT_FLUSH);
        if let (Ok(taken), Some(asked)) = (&fed, tls.asked()) {
            fed = self.core.go_on_as(id, asked.0.as_deref(), bytes.get(*taken..).unwrap_or_default());
        } else {
            debug_assert!(
                fed.as_ref().map_or(true, |taken| *taken == len),
                "the plaintext before it was read out"
            );
        }
        match fed {
            Ok(_) => Some(moved),
            Err(error) => {
                self.write_turn(id, scratch);
                self.core.close(id, Some(Cause::tls(&error)));
                None
            }
        }
    }
}

impl Core {
    /// The client's hello is there: the vhost that it asks for goes on, with what has come behind it.
    fn go_on_as(&mut self, id: WsiId, asked: Option<&str>, rest: &[u8]) -> Result<usize, TlsError> {
        let config = self.choose_identity(id, asked);
        let gone = || TlsError::BadIdentity("the vhost is gone".into());
        let tls = self.wsis.get_mut(id).and_then(|wsi| wsi.tls.as_mut()).ok_or_else(gone)?;
        tls.choose(&config.ok_or_else(gone)?)?;
        tls.read_tls(rest)
    }
}
