//! Bytes as they come: the two ends of a connection to bindings and to the socket.

use super::Role;
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::{Context, WsiEvent};
use crate::wsi::{Flags, WsiId};
use raw::Event;

impl Context {
    pub(super) fn raw_input(&mut self, id: WsiId, bytes: &[u8]) -> usize {
        if !self.settle() {
            self.core.schedule(id);
            return 0;
        }
        let Some(Role::Raw(engine)) = self.core.wsis.get_mut(id).map(|wsi| &mut wsi.role) else {
            return bytes.len();
        };
        match engine.input(bytes) {
            Ok((used, Some(Event::Payload(range)))) => {
                self.wsi_event(id, WsiEvent::Rx(bytes.get(range).unwrap_or_default()));
                used
            }
            Ok((used, _)) => used,
            Err(error) => {
                self.core.close(id, Some(Cause::protocol(&error.to_string())));
                bytes.len()
            }
        }
    }

    /// The user decides what the peer's end means, unless this side has ended before; and not before all is sent that was to
    /// be sent, because the peer may still listen.
    pub(super) fn raw_eof(&mut self, id: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let Role::Raw(engine) = &mut wsi.role else { return };
        if wsi.flags.has(Flags::WANT_TX) && !engine.tx_done() {
            return;
        }
        if engine.input_eof().is_some() && !engine.is_over() {
            self.wsi_event(id, WsiEvent::HalfClosed);
        } else if engine.is_over() {
            self.core.close_flushed(id, None);
        }
    }

    /// The socket has taken all that there was: if that was all that there will be, the peer is told.
    pub(super) fn raw_sent(&mut self, id: WsiId, scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let Role::Raw(engine) = &wsi.role else { return };
        if wsi.flags.has(Flags::EOF) && !engine.rx_done() {
            return self.raw_eof(id);
        }
        if !engine.tx_done() || wsi.flags.has(Flags::GOODBYE) {
            return;
        }
        if engine.is_over() {
            return self.core.close_flushed(id, None);
        }
        wsi.flags.set(Flags::GOODBYE);
        if wsi.is_tls() {
            self.say_goodbye(id, scratch);
        } else if let Some(socket) = &mut wsi.socket {
            // Where there is no such thing as half an end, the peer hears it when the connection is closed.
            let _ = socket.shutdown_write();
        }
    }
}
