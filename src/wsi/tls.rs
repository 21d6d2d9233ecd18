//! The handshake of a connection, and what TLS has to say on its own account.

use super::{Flags, Wait, WsiId, WsiState};
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::{Context, Core};
use crate::tls::{Session, TlsError};

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
        self.with_scratch(|context, scratch| context.handshake(id, scratch));
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
        let mut fed = tls.read_tls(bytes);
        wsi.flags.set(Flags::WANT_FLUSH);
        if let (Ok(taken), Some(asked)) = (&fed, tls.asked()) {
            fed = self.core.go_on_as(id, asked.0.as_deref(), bytes.get(*taken..).unwrap_or_default());
        }
        match fed {
            Ok(_) => true,
            Err(error) => {
                self.write_turn(id, scratch);
                #[cfg(all(feature = "h2", feature = "ws"))]
                if error == TlsError::NoProtocol {
                    self.core.h2_takes_no_ws(id);
                }
                self.core.close(id, Some(Cause::tls(&error)));
                false
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
