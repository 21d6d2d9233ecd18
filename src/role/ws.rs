//! WebSockets: the events of their engine to bindings, and frames around payload. How a connection comes to speak them is in
//! `upgrade`, how it stops to in `goodbye`.

mod goodbye;
mod upgrade;

pub(crate) use goodbye::CloseReason;
pub(crate) use upgrade::{Asked, answer};
pub use upgrade::{WsDeflate, WsInfo};

use super::{Framed, Role};
use crate::cause::{Cause, Phase};
use crate::context::scratch::{Scratch, Spares};
use crate::context::{Context, Core, WsiEvent};
use crate::secure_stream::{RxFlags, TxState};
use crate::wsi::{Flags, Wsi, WsiId, WsiState};
use ws::{EncodeError, Engine, Error, Event, Piece};

/// What waits to be sent before the engine is not asked for more: a peer that pings and does not read gets one answer for
/// all of them (RFC 6455 5.5.3).
const CONTROLS: usize = 512;

/// Messages that are shorter gain nothing by being deflated.
const DEFLATED_FROM: usize = 256;

/// A connection after its upgrade.
#[derive(Debug)]
pub(crate) struct Ws {
    engine: Engine,
    /// What a pong has to say to be the answer to our last ping.
    ping: Option<[u8; 4]>,
    sending: Sending,
    /// Messages of which nobody says it go out as binary, not as text.
    is_binary: bool,
    prioritize_reads: bool,
    /// The HTTP/2 connection that it is a stream of; `None` where it has a socket.
    carrier: Option<WsiId>,
}

/// The message that goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Nothing,
    Message { is_binary: bool, is_deflated: bool },
}

impl Ws {
    fn new(engine: Engine, info: &WsInfo<'_>, carrier: Option<WsiId>) -> Self {
        let WsInfo { is_binary, prioritize_reads, .. } = *info;
        Self { engine, ping: None, sending: Sending::Nothing, is_binary, prioritize_reads, carrier }
    }

    pub(super) fn carrier(&self) -> Option<WsiId> {
        self.carrier
    }

    pub(super) fn has_event(&self) -> bool {
        self.engine.has_event()
    }

    /// Makes a frame of `payload`. What is deflated goes to `front`, and nothing of it remains to be framed.
    pub(super) fn frame(
        &mut self,
        payload: &mut [u8],
        state: TxState,
        key: [u8; 4],
        front: &mut Vec<u8>,
        spares: &mut Spares,
        scratch: &mut Scratch,
    ) -> Result<Framed, EncodeError> {
        let is_first = self.sending == Sending::Nothing;
        let (is_binary, is_deflated) = match self.sending {
            Sending::Nothing => {
                let is_worth_it = !state.is_eom || payload.len() >= DEFLATED_FROM;
                (state.is_binary.unwrap_or(self.is_binary), self.engine.deflate().is_some() && is_worth_it)
            }
            Sending::Message { is_binary, is_deflated } => (is_binary, is_deflated),
        };
        let piece = Piece { is_binary, is_first, is_last: state.is_eom };
        let framed = if is_deflated {
            spares.lend(front);
            self.engine.encode_deflated(payload, piece, key, &mut scratch.ws, front)?;
            Framed { keep: false, ..Framed::BARE }
        } else {
            let made = self.engine.frame(payload, piece, key)?;
            Framed::with_prefix(made.as_bytes())
        };
        self.sending =
            if state.is_eom { Sending::Nothing } else { Sending::Message { is_binary, is_deflated } };
        Ok(framed)
    }
}

impl Context {
    pub(super) fn ws_input(&mut self, id: WsiId, bytes: &mut [u8], scratch: &mut Scratch) -> usize {
        let mut done = 0;
        loop {
            // What an event leads to comes before the next event.
            if !self.settle() {
                self.core.schedule(id);
                return done;
            }
            let Some(wsi) = self.core.wsis.get_mut(id) else { return bytes.len() };
            if wsi.state() != WsiState::Open || wsi.flags.has(Flags::RX_FLOW_OFF) {
                return done;
            }
            let Role::Ws(ws) = &mut wsi.role else { return done };
            let left = bytes.get_mut(done..).unwrap_or_default();
            if left.is_empty() && !ws.has_event() {
                return done;
            }
            match ws.engine.input(left, &mut scratch.ws) {
                Ok((0, None)) => return done,
                Ok((used, event)) => {
                    done += used;
                    if let Some(event) = event {
                        self.ws_event(id, event, left, scratch);
                    }
                }
                Err(error) => {
                    self.core.ws_failed(id, error);
                    return bytes.len();
                }
            }
        }
    }

    fn ws_event(&mut self, id: WsiId, event: Event, input: &[u8], scratch: &mut Scratch) {
        match event {
            #[cfg(feature = "mqtt")]
            Event::Payload(piece) if !piece.is_binary && self.core.is_lower(id) => {
                // [MQTT-6.0.0-1].
                self.core.close_flushed(id, Some(Cause::protocol("text, where MQTT has to be binary")));
            }
            Event::Payload(piece) => {
                let payload = piece.bytes(input, &scratch.ws);
                let flags = RxFlags::new(piece.is_first, piece.is_last).of_binary(piece.is_binary);
                if !payload.is_empty() || flags.is_som() || flags.is_eom() {
                    self.wsi_event(id, WsiEvent::Message(payload, flags));
                }
            }
            Event::Ping(_) => self.core.ws_output(id, scratch),
            Event::Pong(range) => self.core.ws_pong(id, input.get(range).unwrap_or_default()),
            Event::Close(code, reason) => {
                let reason = str::from_utf8(input.get(reason).unwrap_or_default()).unwrap_or_default();
                self.core.close_flushed(id, Some(Cause::goodbye(code.get(), reason)));
            }
        }
        let may_write = |wsi: &Wsi| {
            let reads_first = matches!(&wsi.role, Role::Ws(ws) if ws.prioritize_reads);
            wsi.flags.has(Flags::WRITABLE) && wsi.flags.has(Flags::WANT_TX) && !reads_first
        };
        if self.settle() && self.core.wsis.get(id).is_some_and(may_write) {
            self.answer_turn(id, scratch);
        }
    }

    pub(super) fn ws_eof(&mut self, id: WsiId) {
        let Some(Role::Ws(ws)) = self.core.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
        match ws.engine.input_eof() {
            Ok(()) => self.core.close_flushed(id, None),
            // The peer may still listen to what was said before.
            Err(Error::Truncated) if self.core.wsis.get(id).is_some_and(Wsi::has_unsent) => {
                self.core.close_flushed(id, Some(Cause::closed(Phase::Established)));
            }
            Err(Error::Truncated) => self.core.close(id, Some(Cause::closed(Phase::Established))),
            Err(error) => self.core.ws_failed(id, error),
        }
    }
}

impl Core {
    /// The peer is told what it did wrong, by [`Self::ws_goodbye`].
    fn ws_failed(&mut self, id: WsiId, error: Error) {
        self.close_flushed(id, Some(Cause::protocol(&error.to_string())));
    }

    /// What the engine has to say on its own account goes out with the next write.
    pub(super) fn ws_output(&mut self, id: WsiId, scratch: &mut Scratch) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Role::Ws(ws) = &mut wsi.role else { return };
        if !ws.engine.has_output() || wsi.front.len() > CONTROLS {
            return;
        }
        self.spares.lend(&mut wsi.front);
        let plat = &mut self.plat;
        ws.engine.answer_ping(&mut scratch.ws, || plat.mask_key(), &mut wsi.front);
        ws.engine.poll_output(|| plat.mask_key(), &mut wsi.front);
        self.wsi_request_flush(id);
    }

    /// Asks the peer for a sign of life that only an answer can be.
    pub(super) fn ws_ping(&mut self, id: WsiId) {
        let (sign, key) = (self.plat.mask_key(), self.plat.mask_key());
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Role::Ws(ws) = &mut wsi.role else { return };
        self.spares.lend(&mut wsi.front);
        if ws.engine.encode_ping(&sign, key, &mut wsi.front).is_ok() {
            ws.ping = Some(sign);
            self.wsi_request_flush(id);
        }
    }

    /// A pong proves something if it answers our ping (RFC 6455 5.5.3: others come unasked).
    fn ws_pong(&mut self, id: WsiId, payload: &[u8]) {
        let Some(Role::Ws(ws)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) else { return };
        if ws.ping.is_some_and(|sign| sign == payload) {
            ws.ping = None;
            self.validity_confirmed(id);
        }
    }
}
