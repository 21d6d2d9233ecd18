//! How a websocket ends in order (RFC 6455 7): with what code, and when its server leaves.

use super::{Role, Sending};
use crate::cause::Cause;
use crate::context::{Context, Core, Cx};
use crate::error::Error;
use crate::secure_stream::StreamId;
use crate::wsi::{Flags, Wsi, WsiId, WsiState};
use ws::CloseCode;

/// What a close frame has room for behind its code (RFC 6455 5.5).
const REASON_MOST: usize = 123;

/// What a user wants to be said when their connection closes.
#[derive(Debug)]
pub(crate) struct CloseReason {
    code: CloseCode,
    words: Box<str>,
}

impl CloseReason {
    fn new(code: u16, words: &str) -> Result<Self, Error> {
        let code = CloseCode::new(code)
            .ok_or_else(|| Error::Ws(format!("{code} may not stand in a close frame")))?;
        if words.len() > REASON_MOST {
            return Err(Error::Ws(format!("a reason has {REASON_MOST} bytes at most")));
        }
        Ok(Self { code, words: words.into() })
    }
}

/// Of messages nothing is under way in either direction.
fn is_idle(wsi: &Wsi) -> bool {
    let Role::Ws(ws) = &wsi.role else { return false };
    wsi.state() == WsiState::Open && ws.sending == Sending::Nothing && !ws.engine.is_receiving()
}

impl Core {
    /// The last words before a connection closes: the answer to the peer's, or to its fault, or our own.
    pub(in crate::role) fn ws_goodbye(&mut self, id: WsiId) {
        let chosen = self.close_reasons.remove(&id);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let is_away = self.ending || wsi.flags.has(Flags::LEAVING);
        let Role::Ws(ws) = &mut wsi.role else { return };
        self.spares.lend(&mut wsi.front);
        let plat = &mut self.plat;
        ws.engine.poll_output(|| plat.mask_key(), &mut wsi.front);
        if ws.engine.tx_done() {
            return;
        }
        // RFC 6455 7.4.1: 1001 is a server that goes down.
        let usual = if is_away { CloseCode::AWAY } else { CloseCode::NORMAL };
        let (code, words) = chosen.as_ref().map_or((usual, ""), |chosen| (chosen.code, &chosen.words));
        let key = plat.mask_key();
        // Neither a code that may not be sent nor too long a reason.
        let _ = ws.engine.encode_close(code, words, key, &mut wsi.front);
    }

    /// The server of a websocket leaves, and with it the websocket, after the messages that are under way, and the one that its
    /// user has asked to send.
    pub(crate) fn ws_leave(&mut self, id: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(id) {
            wsi.flags.set(Flags::LEAVING);
            self.ws_leave_if_idle(id);
        }
    }

    pub(in crate::role) fn ws_leave_if_idle(&mut self, id: WsiId) {
        let is_over =
            |wsi: &Wsi| wsi.flags.has(Flags::LEAVING) && !wsi.flags.has(Flags::WANT_TX) && is_idle(wsi);
        if self.wsis.get(id).is_some_and(is_over) {
            self.close_flushed(id, Some(Cause::by_us()));
        }
    }

    /// A piece of a message is on its way. Whoever always has another message holds up no server that leaves.
    pub(in crate::role) fn ws_framed(&mut self, id: WsiId) {
        if self.wsis.get(id).is_some_and(|wsi| wsi.flags.has(Flags::LEAVING) && is_idle(wsi)) {
            self.close_flushed(id, Some(Cause::by_us()));
        }
    }

    fn ws_close_reason(&mut self, id: WsiId, code: u16, words: &str) -> Result<(), Error> {
        let wsi = self.wsis.get(id).ok_or(Error::Stale)?;
        if !matches!(wsi.role, Role::Ws(_)) {
            return Err(Error::WrongRole);
        }
        if wsi.state() != WsiState::Open {
            return Err(Error::NotConnected);
        }
        self.close_reasons.insert(id, CloseReason::new(code, words)?);
        Ok(())
    }
}

impl Context {
    /// The context ends: a websocket's peer is told as far as its socket, or what carries it, takes it.
    pub(crate) fn ws_end(&mut self, id: WsiId) {
        #[cfg(feature = "mqtt")]
        if self.core.is_lower(id) {
            return;
        }
        let Some(wsi) = self.core.wsis.get(id).filter(|wsi| matches!(wsi.role, Role::Ws(_))) else { return };
        if wsi.state() == WsiState::Open {
            self.core.close_flushed(id, None);
        }
        self.serve(id);
    }
}

/// Why websockets are closed.
impl Cx<'_> {
    /// What the peer is told when this side closes the websocket that a stream has at present (`lws_close_reason`): a code of
    /// RFC 6455 7.4, and up to 123 bytes of text. Closes nothing by itself: `DisconnectMe`, [`Self::destroy`] and the like do.
    /// What was said last counts. Unless it is said, the code is 1000, or 1001 where a server or a context ends. A peer that
    /// closes first is answered in its own words.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`]; [`Error::WrongRole`]: the stream has no websocket; [`Error::Ws`]: the code may
    /// not be sent, or the text is too long.
    pub fn close_reason(&mut self, stream: StreamId, code: u16, reason: &str) -> Result<(), Error> {
        let wsi = self.core.live(stream)?.wsi.ok_or(Error::NotConnected)?;
        self.core.ws_close_reason(wsi, code, reason)
    }

    /// The same for a connection without a secure stream.
    ///
    /// # Errors
    /// As [`Self::close_reason`].
    pub fn wsi_close_reason(&mut self, wsi: WsiId, code: u16, reason: &str) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.ws_close_reason(wsi, code, reason)
    }
}
