//! The way out: binding, role, TLS, socket. The payloads of a turn go out in as few writes as there can be; what the socket
//! does not take is finished before the next callback.

use super::burst::Part;
use super::{Flags, Wait, Wsi, WsiId, WsiState};
use crate::LatencyKind;
use crate::cause::{Cause, Phase};
use crate::context::scratch::{BURST_FULL, SUFFIX_ROOM, Scratch, TX_SIZE};
use crate::context::{Context, Core, us};
use crate::role::Framed;
use crate::secure_stream::{Tx, TxFlow, TxState};
use std::io::ErrorKind;

/// What one connection may send in one turn of the loop before the others have theirs.
const TX_BUDGET: usize = 64 * 1024;

/// What a tx callback counts for at least: one that sends nothing and asks again takes time all the same.
const TX_LEAST: usize = 1024;

impl Wsi {
    /// Bytes may wait for the socket, or in TLS.
    fn may_be_behind(&self) -> bool {
        self.unsent.capacity() > 0 || self.deadline.is(Wait::Send) || self.is_tls()
    }
}

impl Core {
    /// A tx callback when the way is clear.
    pub(crate) fn wsi_request_tx(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let was_asked = wsi.flags.has(Flags::WANT_TX);
        wsi.flags.set(Flags::WANT_TX);
        if let Some(parent) = wsi.role.carrier() {
            match was_asked {
                true => {}
                // The connection is gone, and what its peer said before waits for the user: though not without end for
                // one that would first send.
                false if self.families.is_lonely(parent) => self.wait_to_send(id),
                false => self.role_child_wants_tx(parent, id),
            }
            return;
        }
        if wsi.flags.has(Flags::WRITABLE) && !wsi.flags.has(Flags::IN_SERVICE) {
            self.schedule(id);
        }
        self.latency_begin(id);
    }

    /// There is something in front to send, with or without a tx callback.
    pub(crate) fn wsi_request_flush(&mut self, id: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(id) {
            wsi.flags.set(Flags::WANT_FLUSH);
            if let Some(carrier) = wsi.role.carrier() {
                return self.role_child_wants_tx(carrier, id);
            }
            if wsi.flags.has(Flags::WRITABLE) && !wsi.flags.has(Flags::IN_SERVICE) {
                self.schedule(id);
            }
        }
    }

    /// Sends what is left over. True when nothing is.
    fn send_unsent(&mut self, id: WsiId) -> bool {
        loop {
            let Some(wsi) = self.wsis.get_mut(id) else { return false };
            let Some(left) = wsi.unsent.get(wsi.unsent_at..).filter(|left| !left.is_empty()) else {
                wsi.unsent_at = 0;
                self.spares.take_back(&mut wsi.unsent);
                if wsi.deadline.is(Wait::Send) {
                    self.role_drained(id);
                }
                return true;
            };
            if !wsi.flags.has(Flags::WRITABLE) {
                return false;
            }
            let Some(socket) = &mut wsi.socket else { return false };
            match socket.write(left) {
                Ok(len) => {
                    wsi.unsent_at += len;
                    self.counters.tx_bytes += len as u64;
                    self.wait_to_send(id);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wsi.flags.clear(Flags::WRITABLE);
                    return false;
                }
                Err(error) => {
                    self.write_failed(id, &error);
                    return false;
                }
            }
        }
    }

    /// One write; the rest is kept, behind what has not been sent before.
    fn send(&mut self, id: WsiId, bytes: &[u8]) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Some(socket) = &mut wsi.socket else { return };
        if wsi.unsent_at < wsi.unsent.len() {
            return wsi.unsent.extend_from_slice(bytes);
        }
        let sent = loop {
            match socket.write(bytes) {
                Ok(sent) => break sent,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break 0,
                Err(error) => return self.write_failed(id, &error),
            }
        };
        wsi.flags.set(Flags::UNPROVED);
        self.counters.tx_bytes += sent as u64;
        let left = bytes.get(sent..).unwrap_or_default();
        if !left.is_empty() {
            wsi.flags.clear(Flags::WRITABLE);
            self.spares.lend(&mut wsi.unsent);
            wsi.unsent.clear();
            wsi.unsent.extend_from_slice(left);
            wsi.unsent_at = 0;
            self.wait_to_send(id);
        }
    }

    /// The peer takes nothing more; but what it said before may still be there to read, a response above all.
    fn write_failed(&mut self, id: WsiId, error: &std::io::Error) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.flags.clear(Flags::WRITABLE | Flags::WANT_FLUSH | Flags::WANT_TX);
        if wsi.state() == WsiState::Open && wsi.flags.has(Flags::READABLE) && !wsi.is_rx_paused() {
            self.spares.take_back(&mut wsi.front);
            self.spares.take_back(&mut wsi.unsent);
            wsi.unsent_at = 0;
            wsi.flags.set(Flags::READ_CLOSED);
            return;
        }
        self.close(id, Some(Cause::tcp(Phase::Established, error)));
    }
}

impl Context {
    /// Sends whatever can be sent: leftovers, TLS's own, fronts, and payload that the binding is asked for.
    pub(crate) fn write_turn(&mut self, id: WsiId, scratch: &mut Scratch) {
        self.write_some(id, scratch, false);
    }

    /// The same between pieces of what was read: what is small waits for the answers to the other pieces, and for
    /// [`Self::write_turn`].
    #[cfg(feature = "h1")]
    pub(crate) fn answer_turn(&mut self, id: WsiId, scratch: &mut Scratch) {
        self.write_some(id, scratch, true);
    }

    fn write_some(&mut self, id: WsiId, scratch: &mut Scratch, more_follows: bool) {
        let mut budget = TX_BUDGET;
        while let Some(wsi) = self.core.wsis.get(id) {
            if wsi.may_be_behind() && (!self.core.send_unsent(id) || !self.flush_tls(id, scratch)) {
                break;
            }
            let Some(wsi) = self.core.wsis.get_mut(id) else { break };
            if !wsi.flags.has(Flags::WRITABLE) {
                // What can only be read never says that it can be written, and does not have to.
                if wsi.state() == WsiState::Flushing && wsi.front.is_empty() && !wsi.is_tls() {
                    self.flushed(id);
                }
                break;
            }
            let asked = wsi.flags.has(Flags::WANT_TX) && wsi.state() == WsiState::Open;
            let held = wsi.front.len() + scratch.burst.len();
            if asked && budget > 0 && held < BURST_FULL {
                if !self.settle() {
                    break;
                }
                let Some(wsi) = self.core.wsis.get_mut(id) else { break };
                wsi.flags.clear(Flags::WANT_TX);
                let sent = self.ask_and_frame(id, scratch);
                budget = budget.saturating_sub(sent.max(TX_LEAST));
            } else if more_follows && held < BURST_FULL {
                return;
            } else if held > 0 {
                self.send_held(id, scratch);
            } else if !asked {
                wsi.flags.clear(Flags::WANT_FLUSH);
                return self.all_sent(id, scratch);
            } else {
                return;
            }
        }
        if !scratch.burst.is_empty() {
            self.send_held(id, scratch);
        }
    }

    /// Nothing is left to send: a connection that was waiting for that goes on with its end.
    fn all_sent(&mut self, id: WsiId, scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        match wsi.state() {
            WsiState::Flushing => {
                if !wsi.flags.has(Flags::GOODBYE) {
                    wsi.flags.set(Flags::GOODBYE);
                    if !self.say_goodbye(id, scratch) {
                        return;
                    }
                }
                self.flushed(id);
            }
            WsiState::Open => self.role_sent(id, scratch),
            _ => {}
        }
    }

    /// The binding fills the buffer, and the role frames it in place. Says how much there is more to send.
    fn ask_and_frame(&mut self, id: WsiId, scratch: &mut Scratch) -> usize {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return 0 };
        let room = wsi.role.tx_room().min(TX_SIZE as u64) as usize;
        let at = scratch.burst.place(wsi.front.len());
        let needed = at + TX_SIZE + SUFFIX_ROOM;
        if scratch.tx.len() < needed {
            scratch.tx.resize(needed, 0);
        }
        let mut buffer = std::mem::take(&mut scratch.tx);
        let mut state = TxState::default();
        let payload = buffer.get_mut(at..at + room).unwrap_or_default();
        let measured =
            self.core.latencies.is_on().then(|| (self.core.latency_since(id), self.core.plat.now()));
        let flow = self.ask_tx(id, &mut Tx::new(payload, &mut state));
        let measured =
            measured.map(|(waited, before)| (waited, us(self.core.plat.now().saturating_sub(before))));
        let added = match flow {
            TxFlow::Send => self.frame(id, &mut buffer, at, state, scratch),
            TxFlow::DontSend | TxFlow::DisconnectMe | TxFlow::DestroyMe => 0,
        };
        if let Some((waited, callback)) = measured {
            self.core.latency_of_payload(LatencyKind::Write, waited, callback, [added, added]);
        }
        scratch.tx = buffer;
        added
    }

    /// Puts prefix and suffix around the payload at `at`, and the fronts before it: one more piece of the burst.
    fn frame(
        &mut self,
        id: WsiId,
        buffer: &mut Vec<u8>,
        at: usize,
        state: TxState,
        scratch: &mut Scratch,
    ) -> usize {
        let len = state.len;
        let payload = buffer.get_mut(at..at + len).unwrap_or_default();
        let Some(framed) = self.role_frame(id, payload, state, scratch) else { return 0 };
        let Some(wsi) = self.core.wsis.get_mut(id) else { return 0 };
        wsi.flags.set(Flags::WANT_FLUSH);
        let Framed { prefix, prefix_len, suffix, keep } = framed;
        let before = scratch.burst.len();
        if keep {
            wsi.flags.set(Flags::IN_BURST);
            let heads = [&wsi.front[..], prefix.get(..prefix_len).unwrap_or_default()];
            scratch.burst.push(buffer, &Part { heads, at, len, suffix });
            self.core.spares.take_back(&mut wsi.front);
        }
        self.framed_sent(id, scratch);
        scratch.burst.len() - before
    }

    /// One write for the burst and what is to go out behind it.
    fn send_held(&mut self, id: WsiId, scratch: &mut Scratch) {
        let mut burst = std::mem::take(&mut scratch.burst);
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.flags.clear(Flags::IN_BURST);
        let mut front = std::mem::take(&mut wsi.front);
        if burst.is_empty() {
            self.send_plain(id, &front, scratch);
        } else {
            let mut buffer = std::mem::take(&mut scratch.tx);
            if !front.is_empty() {
                let at = burst.range().end;
                burst.push(&mut buffer, &Part { heads: [&front, &[]], at, len: 0, suffix: &[] });
            }
            self.send_plain(id, buffer.get(burst.range()).unwrap_or_default(), scratch);
            scratch.tx = buffer;
        }
        self.core.spares.take_back(&mut front);
    }

    #[cfg(not(feature = "tls"))]
    fn send_plain(&mut self, id: WsiId, bytes: &[u8], _: &mut Scratch) {
        self.core.send(id, bytes);
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)]
    fn flush_tls(&mut self, _: WsiId, _: &mut Scratch) -> bool {
        true
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)]
    pub(crate) fn say_goodbye(&mut self, _: WsiId, _: &mut Scratch) -> bool {
        true
    }

    #[cfg(feature = "tls")]
    fn send_plain(&mut self, id: WsiId, bytes: &[u8], scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let Some(tls) = &mut wsi.tls else { return self.core.send(id, bytes) };
        scratch.cipher.clear();
        let mut left = bytes;
        while !left.is_empty() {
            match tls.write_plain(left, &mut scratch.cipher) {
                Ok(taken) if taken > 0 => left = left.get(taken..).unwrap_or_default(),
                Ok(_) => return self.core.close(id, Some(Cause::closed(Phase::Established))),
                Err(error) => return self.core.close(id, Some(Cause::tls(&error))),
            }
        }
        self.core.send(id, &scratch.cipher);
    }

    /// Sends what TLS has to say on its own account. False when the connection can not go on sending now.
    #[cfg(feature = "tls")]
    fn flush_tls(&mut self, id: WsiId, scratch: &mut Scratch) -> bool {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return false };
        let Some(tls) = &mut wsi.tls else { return true };
        if !wsi.flags.has(Flags::WANT_FLUSH) || !wsi.flags.has(Flags::WRITABLE) {
            return true;
        }
        scratch.cipher.clear();
        if tls.poll_output(&mut scratch.cipher) {
            self.core.send(id, &scratch.cipher);
        }
        self.core.wsis.get(id).is_some_and(|wsi| wsi.unsent.is_empty())
    }

    /// Tells the peer through TLS that nothing more will come. False when that is still on its way.
    #[cfg(feature = "tls")]
    pub(crate) fn say_goodbye(&mut self, id: WsiId, scratch: &mut Scratch) -> bool {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return false };
        let Some(tls) = &mut wsi.tls else { return true };
        scratch.cipher.clear();
        tls.send_close_notify(&mut scratch.cipher);
        self.core.send(id, &scratch.cipher);
        self.core.wsis.get(id).is_some_and(|wsi| wsi.unsent.is_empty())
    }
}
