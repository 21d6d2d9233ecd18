//! The way in: socket, TLS, role, binding. Each step looks the connection up anew, because the step before may have
//! ended it.

use super::{Binding, Flags, WsiId, WsiState};
use crate::cause::{Cause, Phase};
#[cfg(feature = "tls")]
use crate::context::scratch::CIPHER_SIZE;
use crate::context::scratch::{RX_SIZE, Scratch};
use crate::context::{Context, Core};
use crate::role::Role;
use std::io::ErrorKind;

/// What one connection may read in one turn of the loop before the others have theirs.
pub(super) const RX_BUDGET: usize = RX_SIZE;

/// What a read of the socket came to.
enum Got {
    Bytes(usize),
    Nothing,
    Eof,
    Gone,
}

impl Context {
    /// Lends the buffers of all connections to the one that is being served.
    pub(crate) fn with_scratch(&mut self, serve: impl FnOnce(&mut Self, &mut Scratch)) {
        let Some(mut scratch) = self.scratch.take() else {
            return debug_assert!(false, "nobody is served while another is");
        };
        serve(self, &mut scratch);
        debug_assert!(scratch.burst.is_empty(), "what one has to say is not left to the next");
        self.scratch = Some(scratch);
    }

    /// Serves a connection that the poller, a timer or a request has put into the queue.
    pub(crate) fn serve(&mut self, id: WsiId) {
        self.serve_as_it_is(id);
        // What has been said to be ready is not polled for until a read or a write finds that it no longer is.
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let (flags, listens) = (wsi.flags, matches!(wsi.role, Role::Listen(_)));
        if let Some(socket) = &mut wsi.socket {
            socket.set_interest(
                !flags.any(Flags::READABLE | Flags::EOF),
                !flags.has(Flags::WRITABLE) && !listens,
            );
        }
    }

    fn serve_as_it_is(&mut self, id: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.flags.clear(Flags::QUEUED);
        #[cfg(all(feature = "mqtt", feature = "ws"))]
        if let Some(lower) = wsi.rare.as_ref().and_then(|rare| rare.lower) {
            return self.serve_upper(id, lower);
        }
        match wsi.state() {
            _ if wsi.role.carrier().is_some() => self.role_serve_child(id),
            WsiState::Resolving => {}
            WsiState::Connecting => self.serve_connecting(id),
            #[cfg(feature = "tls")]
            WsiState::Handshaking => self.serve_handshaking(id),
            #[cfg(not(feature = "tls"))]
            WsiState::Handshaking => {}
            WsiState::Open if matches!(wsi.role, Role::Listen(_)) => self.serve_listener(id),
            WsiState::Open if matches!(wsi.role, Role::Udp(_)) => self.serve_udp(id),
            WsiState::Open => self.serve_open(id),
            WsiState::Flushing => self.with_scratch(|context, scratch| context.write_turn(id, scratch)),
            WsiState::Lingering => self.serve_lingering(id),
        }
    }

    /// Writeable before readable, as lws does where it matters; then whatever the reading has given reason to write.
    fn serve_open(&mut self, id: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.flags.set(Flags::IN_SERVICE);
        let has_to_write = wsi.has_to_write();
        self.with_scratch(|context, scratch| {
            if has_to_write {
                context.write_turn(id, scratch);
            }
            context.read_turn(id, scratch);
            context.write_turn(id, scratch);
        });
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.flags.clear(Flags::IN_SERVICE);
        let to_write = wsi.flags.has(Flags::WRITABLE) && wsi.flags.any(Flags::WANT_TX | Flags::WANT_FLUSH);
        if wsi.state() == WsiState::Open && (to_write || self.has_input(id)) {
            self.core.schedule(id);
        }
    }

    /// There is something that the role could take now, without a word from the poller.
    fn has_input(&self, id: WsiId) -> bool {
        let Some(wsi) = self.core.wsis.get(id) else { return false };
        // An end stays readable for ever, and was handed on when it was read.
        if wsi.is_rx_paused() || wsi.flags.has(Flags::EOF) {
            return false;
        }
        wsi.has_plain() || wsi.flags.has(Flags::READABLE)
    }

    fn read_turn(&mut self, id: WsiId, scratch: &mut Scratch) {
        let mut budget = RX_BUDGET;
        while budget > 0 {
            if !self.settle() {
                return self.core.schedule(id);
            }
            if !self.feed_rest(id, scratch) {
                return;
            }
            let Some(wsi) = self.core.wsis.get_mut(id) else { return };
            if wsi.state() != WsiState::Open || wsi.is_rx_paused() {
                return;
            }
            if wsi.flags.has(Flags::EOF) {
                return self.peer_ended(id, scratch);
            }
            let got = self.receive(id, scratch);
            match got {
                Got::Bytes(len) => {
                    budget = budget.saturating_sub(len);
                    let mut bytes = std::mem::take(self.plain_of(id, scratch));
                    self.take_in(id, bytes.get_mut(..len).unwrap_or_default(), scratch);
                    self.put_back(bytes, scratch);
                    if !self.has_more(id) {
                        return;
                    }
                }
                Got::Nothing | Got::Gone => return,
                Got::Eof => {
                    if let Some(wsi) = self.core.wsis.get_mut(id) {
                        wsi.flags.set(Flags::EOF);
                    }
                }
            }
        }
    }

    /// Another round of a read turn would find something.
    fn has_more(&self, id: WsiId) -> bool {
        let Some(wsi) = self.core.wsis.get(id) else { return false };
        wsi.flags.any(Flags::READABLE | Flags::EOF)
            || !wsi.rest.is_empty()
            || wsi.has_plain()
            || wsi.role.has_event()
    }

    /// The buffer in which the plaintext of a connection stands after [`Self::receive`].
    #[cfg_attr(not(feature = "tls"), allow(clippy::unused_self))]
    fn plain_of<'s>(&self, id: WsiId, scratch: &'s mut Scratch) -> &'s mut Vec<u8> {
        #[cfg(feature = "tls")]
        if self.core.wsis.get(id).is_some_and(|wsi| wsi.tls.is_some()) {
            return &mut scratch.plain;
        }
        let _ = id;
        &mut scratch.rx
    }

    #[allow(clippy::unused_self)]
    fn put_back(&self, bytes: Vec<u8>, scratch: &mut Scratch) {
        if scratch.rx.is_empty() {
            scratch.rx = bytes;
        } else {
            scratch.plain = bytes;
        }
    }

    /// One read's worth of plaintext.
    fn receive(&mut self, id: WsiId, scratch: &mut Scratch) -> Got {
        #[cfg(feature = "tls")]
        if self.core.wsis.get(id).is_some_and(|wsi| wsi.tls.is_some()) {
            return self.receive_tls(id, scratch);
        }
        self.core.receive_raw(id, &mut scratch.rx)
    }

    #[cfg(feature = "tls")]
    fn receive_tls(&mut self, id: WsiId, scratch: &mut Scratch) -> Got {
        use crate::tls::PlainRead;
        loop {
            let Some(wsi) = self.core.wsis.get_mut(id) else { return Got::Gone };
            let Some(tls) = &mut wsi.tls else { return Got::Gone };
            match tls.read_plain(&mut scratch.plain) {
                PlainRead::Data(len) => return Got::Bytes(len),
                PlainRead::CloseNotify => return Got::Eof,
                PlainRead::Empty => {}
            }
            let got = match tls.take_held(&mut scratch.rx) {
                Some(len) => Got::Bytes(len),
                None => self.core.receive_raw(id, scratch.rx.get_mut(..CIPHER_SIZE).unwrap_or_default()),
            };
            let len = match got {
                Got::Bytes(len) => len,
                Got::Eof => {
                    // RFC 8446 6.1: an end without close_notify may be an attacker's.
                    self.core.close(id, Some(Cause::truncated()));
                    return Got::Gone;
                }
                other => return other,
            };
            if !self.feed_tls(id, scratch, len) {
                return Got::Gone;
            }
        }
    }

    /// What an earlier turn left over goes first. False when the role can not take it now, or the connection is gone.
    pub(crate) fn feed_rest(&mut self, id: WsiId, scratch: &mut Scratch) -> bool {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return false };
        if wsi.is_rx_paused() {
            return false;
        }
        if wsi.rest.is_empty() && !wsi.role.has_event() {
            return true;
        }
        let mut rest = std::mem::take(&mut wsi.rest);
        let taken = self.role_input(id, &mut rest, scratch);
        self.keep_rest(id, rest, taken);
        true
    }

    /// New bytes, behind whatever was left over.
    pub(crate) fn take_in(&mut self, id: WsiId, bytes: &mut [u8], scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.flags.set(Flags::GOT_RX);
        if wsi.validity.is_some() {
            self.core.validity_received(id);
        }
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        if wsi.rest.is_empty() {
            let taken = self.role_input(id, bytes, scratch);
            let Some(wsi) = self.core.wsis.get_mut(id) else { return };
            let left = bytes.get(taken..).unwrap_or_default();
            if !left.is_empty() && wsi.state() == WsiState::Open {
                self.core.spares.lend(&mut wsi.rest);
                wsi.rest.extend_from_slice(left);
            }
            return;
        }
        let mut rest = std::mem::take(&mut wsi.rest);
        rest.extend_from_slice(bytes);
        let taken = self.role_input(id, &mut rest, scratch);
        self.keep_rest(id, rest, taken);
    }

    fn keep_rest(&mut self, id: WsiId, mut rest: Vec<u8>, taken: usize) {
        rest.drain(..taken.min(rest.len()));
        match self.core.wsis.get_mut(id) {
            Some(wsi) if !rest.is_empty() && wsi.state() == WsiState::Open => {
                wsi.rest = rest;
            }
            _ => self.core.spares.take_back(&mut rest),
        }
    }

    /// The peer has ended its side, and all that it sent has been taken.
    fn peer_ended(&mut self, id: WsiId, scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        if wsi.binding == Binding::Pooled {
            return self.core.close(id, None);
        }
        self.role_eof(id, scratch);
    }
}

impl Core {
    /// One read of the socket. A short one empties it, where the poller has not seen the peer's end yet: epoll then
    /// reports the next byte as a new edge (epoll(7), question 9).
    fn receive_raw(&mut self, id: WsiId, into: &mut [u8]) -> Got {
        loop {
            let Some(wsi) = self.wsis.get_mut(id) else { return Got::Gone };
            if !wsi.flags.has(Flags::READABLE) {
                return Got::Nothing;
            }
            let Some(socket) = &mut wsi.socket else { return Got::Gone };
            match socket.read(into) {
                Ok(0) => return Got::Eof,
                Ok(len) => {
                    self.counters.rx_bytes += len as u64;
                    if len < into.len() && !wsi.flags.has(Flags::READ_CLOSED) {
                        wsi.flags.clear(Flags::READABLE);
                    }
                    return Got::Bytes(len);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wsi.flags.clear(Flags::READABLE);
                    return Got::Nothing;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.close(id, Some(Cause::tcp(Phase::Established, &error)));
                    return Got::Gone;
                }
            }
        }
    }

    /// The bytes of a handshake, which go nowhere but to TLS. False when there are none now.
    #[cfg(feature = "tls")]
    pub(super) fn receive_for_tls(&mut self, id: WsiId, into: &mut [u8]) -> Result<Option<usize>, ()> {
        match self.receive_raw(id, into.get_mut(..CIPHER_SIZE).unwrap_or_default()) {
            Got::Bytes(len) => Ok(Some(len)),
            Got::Nothing => Ok(None),
            Got::Eof => {
                self.close(id, Some(Cause::closed(Phase::Securing)));
                Err(())
            }
            Got::Gone => Err(()),
        }
    }
}
