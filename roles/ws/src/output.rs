//! Frames on their way out.

use crate::frame::{self, Prefix, push_control};
use crate::utf8::Utf8;
use crate::{CloseCode, EncodeError, Engine, Piece, Scratch, mask};
use alloc::vec::Vec;
use tungstenite::protocol::frame::coding::{Control, OpCode};

/// Where our side is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// Between messages.
    Nothing,
    Message {
        is_binary: bool,
        is_deflated: bool,
    },
    /// The close frame is sent.
    Closed,
}

impl Engine {
    /// Makes a frame of `payload`: the prefix is to be sent directly before it. A client's payload is masked where it
    /// is, by `key`, which is to be drawn anew for each frame from a source that nobody can foresee (RFC 6455 5.3); a
    /// server's is left as it is, and the key not used.
    ///
    /// # Errors
    /// The piece cannot be sent now, or is text that is not UTF-8. Nothing has changed.
    pub fn frame(&mut self, payload: &mut [u8], piece: Piece, key: [u8; 4]) -> Result<Prefix, EncodeError> {
        let opcode = self.begin_piece(payload, piece, false)?;
        let key = self.key(key);
        if let Some(key) = key {
            mask::apply(key, payload);
        }
        Ok(Prefix::new(&frame::header(opcode, piece.is_last, false, key), payload.len()))
    }

    /// Appends a whole frame with `payload` deflated, so that the peer can inflate all of it at once. All pieces of a
    /// message go this way, or none. `key` as for [`Self::frame`].
    ///
    /// # Errors
    /// The piece cannot be sent now or in this way, or is text that is not UTF-8. Nothing has changed.
    pub fn encode_deflated(
        &mut self,
        payload: &[u8],
        piece: Piece,
        key: [u8; 4],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let direction = self.deflate.ok_or(EncodeError::Deflate)?.sent_by(self.is_server);
        let opcode = self.begin_piece(payload, piece, true)?;
        let deflater = scratch.lend_deflater(&mut self.held, direction);
        let at = frame::reserve(out);
        // Into a buffer that grows, deflating cannot fail.
        deflater.push(payload, piece.is_last, out);
        frame::close_up(out, at, &frame::header(opcode, piece.is_last, piece.is_first, self.key(key)));
        if piece.is_last && !direction.keeps {
            scratch.return_deflater(&mut self.held);
        }
        Ok(())
    }

    /// Checks that `piece` may be sent, and takes note of it.
    fn begin_piece(
        &mut self,
        payload: &[u8],
        piece: Piece,
        is_deflated: bool,
    ) -> Result<OpCode, EncodeError> {
        let message = Sending::Message { is_binary: piece.is_binary, is_deflated };
        match self.sending {
            Sending::Closed => return Err(EncodeError::Closed),
            Sending::Nothing if piece.is_first => {}
            under_way if under_way == message && !piece.is_first => {}
            _ => return Err(EncodeError::Turn),
        }
        if !piece.is_binary {
            let mut text: Utf8 = self.tx_text;
            let is_text = text.check(payload).is_ok() && (!piece.is_last || text.is_complete());
            self.tx_text = if is_text { text } else { return Err(EncodeError::Utf8) };
        }
        self.sending = if piece.is_last { Sending::Nothing } else { message };
        Ok(frame::data(piece.is_first, piece.is_binary))
    }

    fn key(&self, key: [u8; 4]) -> Option<[u8; 4]> {
        (!self.is_server).then_some(key)
    }

    /// Appends a ping with up to 125 bytes, between the pieces of a message too. `key` as for [`Self::frame`].
    ///
    /// # Errors
    /// It is too long, or our side is closed. Nothing was appended.
    pub fn encode_ping(
        &mut self,
        payload: &[u8],
        key: [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.push_sign(Control::Ping, payload, key, out)
    }

    /// Appends a pong that nobody asked for (RFC 6455 5.5.3). Pings are answered without it.
    ///
    /// # Errors
    /// As [`Self::encode_ping`].
    pub fn encode_pong(
        &mut self,
        payload: &[u8],
        key: [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.push_sign(Control::Pong, payload, key, out)
    }

    fn push_sign(
        &self,
        kind: Control,
        payload: &[u8],
        key: [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if self.sending == Sending::Closed {
            return Err(EncodeError::Closed);
        }
        if payload.len() > frame::CONTROL {
            return Err(EncodeError::TooLong);
        }
        push_control(kind, [payload, &[]], self.key(key), out);
        Ok(())
    }

    /// Appends the close frame: a goodbye, or the answer to the peer's in our own words. Nothing may be sent after it.
    /// [`CloseCode::NO_STATUS`] is a goodbye without a code, and without a reason. `key` as for [`Self::frame`].
    ///
    /// # Errors
    /// It was sent already, or the code may not be sent, or the reason has more than 123 bytes. Nothing was appended.
    pub fn encode_close(
        &mut self,
        code: CloseCode,
        reason: &str,
        key: [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if self.sending == Sending::Closed {
            return Err(EncodeError::Closed);
        }
        if !(code.is_sendable() || (code == CloseCode::NO_STATUS && reason.is_empty())) {
            return Err(EncodeError::CloseCode);
        }
        if reason.len() > frame::CONTROL - 2 {
            return Err(EncodeError::TooLong);
        }
        self.push_close(code, reason, key, out);
        Ok(())
    }

    fn push_close(&mut self, code: CloseCode, reason: &str, key: [u8; 4], out: &mut Vec<u8>) {
        let number = code.get().to_be_bytes();
        let number: &[u8] = if code == CloseCode::NO_STATUS { &[] } else { &number };
        push_control(Control::Close, [number, reason.as_bytes()], self.key(key), out);
        self.sending = Sending::Closed;
        self.goodbye = None;
        if let Some(held) = &mut self.held {
            (held.pong, held.deflater) = (None, None);
        }
        self.tidy();
    }

    /// [`Self::poll_output`] has something to append.
    pub fn has_output(&self) -> bool {
        let pong = self.held.as_ref().is_some_and(|held| held.pong.is_some());
        (pong || self.goodbye.is_some()) && self.sending != Sending::Closed
    }

    /// Appends the answer to the last ping, as [`Self::poll_output`] does, and leaves its room to the next ping of whomever:
    /// who is asked for signs of life again and again allocates nothing.
    pub fn answer_ping(&mut self, scratch: &mut Scratch, key: impl FnOnce() -> [u8; 4], out: &mut Vec<u8>) {
        if let Some(pong) = self.held.as_mut().and_then(|held| held.pong.take()) {
            let key = if self.is_server { [0; 4] } else { key() };
            push_control(Control::Pong, [pong.payload(), &[]], self.key(key), out);
            scratch.return_held(&mut self.held);
        }
    }

    /// Appends what the protocol itself has to say: the answer to the last ping, the close frame after the peer's or
    /// after its fault. At most 139 bytes. `key` draws a key for each frame, as for [`Self::frame`]; a server's is not
    /// called.
    pub fn poll_output(&mut self, mut key: impl FnMut() -> [u8; 4], out: &mut Vec<u8>) {
        if !self.has_output() {
            return;
        }
        let is_server = self.is_server;
        let mut key = || if is_server { [0; 4] } else { key() };
        if let Some(pong) = self.held.as_mut().and_then(|held| held.pong.take()) {
            push_control(Control::Pong, [pong.payload(), &[]], self.key(key()), out);
            self.tidy();
        }
        if let Some(code) = self.goodbye {
            self.push_close(code, "", key(), out);
        }
    }
}
