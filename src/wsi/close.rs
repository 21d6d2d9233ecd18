//! Every way in which a connection ends. Its user is told once, later, and never hears from it again.

use super::{Binding, Flags, Wait, WsiId, WsiState};
use crate::cause::Cause;
use crate::context::{Context, Core, Effect};
use crate::plat::Socket;
use crate::role::Role;

/// What a connection without a user still does before it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Sends what is left, says goodbye, and goes.
    Flush,
    /// The same, then waits for the peer's own end.
    Linger,
}

impl Core {
    /// Ends a connection now; what was not sent is lost.
    pub(crate) fn close(&mut self, id: WsiId, cause: Option<Cause>) {
        self.unbind(id, cause);
        self.remove(id);
    }

    /// Ends a connection after what is queued for sending is sent. Its user is out of it at once.
    pub(crate) fn close_flushed(&mut self, id: WsiId, cause: Option<Cause>) {
        self.unbind(id, cause);
        let linger = self.timeouts.linger;
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        // Asked again, it still sends what there is.
        if matches!(wsi.state(), WsiState::Flushing | WsiState::Lingering) {
            return;
        }
        if wsi.state() != WsiState::Open || matches!(wsi.role, Role::Udp(_) | Role::Child(_)) {
            return self.remove(id);
        }
        // Bytes of the peer that nobody will read would turn our close into a reset.
        let is_answered = wsi.flags.has(Flags::ACCEPTED) || wsi.role.says_goodbye();
        let lingers = is_answered && !wsi.flags.has(Flags::EOF);
        wsi.rare().closing = Some(if lingers { Closing::Linger } else { Closing::Flush });
        wsi.flags.clear(Flags::WANT_TX | Flags::RX_FLOW_OFF);
        wsi.enter(id, WsiState::Flushing);
        self.spares.take_back(&mut wsi.rest);
        self.role_farewell(id);
        self.validity_stop(id);
        self.wait_for(id, Wait::Linger, linger);
        self.schedule(id);
    }

    /// Takes the user off a connection, and tells them.
    fn unbind(&mut self, id: WsiId, cause: Option<Cause>) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let binding = std::mem::replace(&mut wsi.binding, Binding::None);
        let is_failed = wsi.rare.as_ref().is_some_and(|rare| rare.connecting.is_some());
        self.counters.failed += u64::from(is_failed && binding != Binding::None);
        match binding {
            // Whoever races attempts knows of them.
            Binding::None | Binding::Attempt(_) => {}
            Binding::Pooled => {
                log::debug!(target: "millstream::wsi", "{id}: idle connection closes");
                self.forget_pooled(id);
            }
            _ => {
                match &cause {
                    Some(cause) => log::debug!(target: "millstream::wsi", "{id}: closes: {cause}"),
                    None => log::debug!(target: "millstream::wsi", "{id}: closes"),
                }
                let flags = wsi.flags;
                self.tell_closed(binding, Effect::Closed { wsi: id, binding, cause, flags });
                if binding == Binding::Carrier {
                    self.carrier_leaves(id);
                }
            }
        }
    }

    /// A protocol that connects again each time, and fails in no time, would keep the loop to itself.
    fn tell_closed(&mut self, binding: Binding, closed: Effect) {
        if binding == Binding::Protocol {
            match self.lives_left.checked_sub(1) {
                Some(left) => self.lives_left = left,
                None => return self.later.push(closed),
            }
        }
        self.effects.push_back(closed);
    }

    /// The row goes, and with it the socket.
    pub(crate) fn remove(&mut self, id: WsiId) {
        self.wait_no_more(id);
        self.validity_stop(id);
        self.end_race(id);
        self.latency_forget(id);
        #[cfg(feature = "ws")]
        self.close_reasons.remove(&id);
        let Some(mut wsi) = self.wsis.remove(id) else { return };
        debug_assert!(matches!(wsi.binding, Binding::None), "{id} is removed under its user");
        if wsi.flags.has(Flags::ACCEPTED)
            && let Some(peer) = wsi.rare.as_ref().and_then(|rare| rare.peer.as_ref()?.ip())
        {
            self.peers.leave(peer.ip());
        }
        if wsi.flags.has(Flags::ACCEPTED)
            && let Some(vhost) = wsi.vhost
        {
            self.vhost_lost_one(vhost);
        }
        for buffer in [&mut wsi.rest, &mut wsi.front, &mut wsi.unsent] {
            self.spares.take_back(buffer);
        }
        if let Some(parent) = wsi.role.carrier() {
            self.child_left(parent, id);
        }
        #[cfg(all(feature = "mqtt", feature = "ws"))]
        if let Some(lower) = wsi.rare.as_ref().and_then(|rare| rare.lower) {
            self.leave_lower(id, lower);
        }
        debug_assert!(self.wsis.len() > 0 || self.children == 0, "those who have left are counted still");
        self.connection_ended();
    }
}

impl Context {
    /// A flushing connection has nothing left to send.
    pub(crate) fn flushed(&mut self, id: WsiId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let closing = wsi.rare.as_ref().and_then(|rare| rare.closing);
        let shut = wsi.socket.as_mut().map(Socket::shutdown_write);
        match (closing, shut) {
            (Some(Closing::Linger), Some(Ok(()))) => {
                wsi.enter(id, WsiState::Lingering);
                self.serve_lingering(id);
            }
            _ => self.core.remove(id),
        }
    }

    /// Reads and drops what the peer still sends, until its end or the deadline.
    pub(crate) fn serve_lingering(&mut self, id: WsiId) {
        let (budget, mut dropped) = (8, [0; 4096]);
        for _ in 0..budget {
            let Some(wsi) = self.core.wsis.get_mut(id) else { return };
            if !wsi.flags.has(Flags::READABLE) {
                return;
            }
            let Some(socket) = &mut wsi.socket else { return self.core.remove(id) };
            match socket.read(&mut dropped) {
                Ok(0) => return self.core.remove(id),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    return wsi.flags.clear(Flags::READABLE);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return self.core.remove(id),
            }
        }
        self.core.schedule(id);
    }
}
