//! How long a connection may wait, for whatever it waits for.

use super::{Binding, WsiId, WsiState};
use crate::Us;
use crate::cause::{Cause, Phase};
use crate::context::{Context, Core, SulId, Timer};
use std::time::Duration;

/// What a connection waits for; each has its bound in [`Timeouts`](crate::Timeouts).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wait {
    #[default]
    Nothing,
    /// A name, or a socket that connects.
    Connect,
    Tls,
    /// Client: the response, or its next piece.
    Response,
    /// Server: a request head that has begun, or its body's next piece. MQTT: the next piece of our own user's message,
    /// behind which all the others wait.
    Request,
    /// Server: the next request.
    KeepAlive,
    /// Client: the next user.
    Pooled,
    /// The peer's reading, when the socket takes nothing more. While this lasts, no role waits for anything else.
    Send,
    /// The peer's reading of our last bytes, or its goodbye.
    Linger,
}

/// The one deadline of a connection. Moving it later costs a store: the timer that is set finds out when it fires.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    why: Wait,
    at: Us,
    sul: Option<SulId>,
    /// For when the timer is set, if it is.
    set: Us,
}

impl Deadline {
    pub(crate) fn is(&self, why: Wait) -> bool {
        self.why == why
    }
}

impl Core {
    /// Waits for `why` from now on, in place of whatever was waited for.
    pub(crate) fn wait_for(&mut self, id: WsiId, why: Wait, limit: Duration) {
        let at = self.now.saturating_add(limit);
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.deadline.why = why;
        wsi.deadline.at = at;
        match wsi.deadline.sul {
            Some(_) if wsi.deadline.set <= at => {}
            old => {
                if let Some(sul) = old {
                    self.suls.cancel(sul);
                }
                wsi.deadline.sul = Some(self.suls.schedule(at, Timer::Wsi(id)));
                wsi.deadline.set = at;
            }
        }
    }

    /// Waits for nothing, and will not wake the loop for it.
    pub(crate) fn wait_no_more(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.deadline.why = Wait::Nothing;
        if let Some(sul) = wsi.deadline.sul.take() {
            self.suls.cancel(sul);
        }
    }
}

impl Core {
    /// What a role waits for, [`Wait::Nothing`] included: it has to wait itself while a peer does not read.
    pub(crate) fn role_wait(&mut self, id: WsiId, why: Wait, limit: Duration) {
        match self.wsis.get(id) {
            Some(wsi) if wsi.deadline.is(Wait::Send) && !wsi.unsent.is_empty() => {}
            Some(_) if why == Wait::Nothing => self.wait_no_more(id),
            Some(_) => self.wait_for(id, why, limit),
            None => {}
        }
    }

    /// The peer has said all, and our user is to answer. The timer stays set, because it is most often wanted again at once.
    pub(crate) fn user_turn(&mut self, id: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(id)
            && (wsi.unsent.is_empty() || !wsi.deadline.is(Wait::Send))
        {
            wsi.deadline.why = Wait::Nothing;
        }
    }

    /// The socket has not taken all that there is. Each byte that it takes later moves the bound.
    pub(crate) fn wait_to_send(&mut self, id: WsiId) {
        match self.wsis.get(id).map(super::Wsi::state) {
            Some(WsiState::Open) => self.wait_for(id, Wait::Send, self.timeouts.send),
            Some(WsiState::Flushing) => self.wait_for(id, Wait::Linger, self.timeouts.linger),
            _ => {}
        }
    }
}

impl Context {
    /// The timer of a connection has run out: perhaps the deadline has moved meanwhile.
    pub(crate) fn wsi_timer(&mut self, id: WsiId) {
        let now = self.core.now;
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        wsi.deadline.sul = None;
        let (why, at) = (wsi.deadline.why, wsi.deadline.at);
        if why == Wait::Nothing {
            return;
        }
        if at > now {
            wsi.deadline.sul = Some(self.core.suls.schedule(at, Timer::Wsi(id)));
            wsi.deadline.set = at;
            return;
        }
        log::debug!(target: "millstream::wsi", "{id}: waited long enough ({why:?})");
        match why {
            Wait::Nothing => {}
            Wait::Connect => self.core.connect_timed_out(id),
            Wait::Tls => self.core.close(id, Some(Cause::timeout(Phase::Securing))),
            Wait::Response if self.core.role_is_sending(id) => {
                // The response is not due before the request is complete, and that takes our user's time.
                self.core.wait_for(id, Wait::Response, self.core.timeouts.response);
            }
            Wait::Send => match self.core.role_line_moves(id) {
                Some(left) => self.core.wait_for(id, Wait::Send, left),
                None => self.core.close(id, Some(Cause::timeout(Phase::Established))),
            },
            Wait::Response => self.core.close(id, Some(Cause::timeout(Phase::Answering))),
            Wait::Request => self.request_timed_out(id),
            Wait::KeepAlive | Wait::Pooled
                if self.core.wsis.get(id).is_some_and(|wsi| wsi.binding == Binding::Carrier) =>
            {
                self.core.carrier_retires(id);
            }
            Wait::KeepAlive => self.core.close_flushed(id, None),
            Wait::Pooled => self.core.close(id, None),
            Wait::Linger => self.core.remove(id),
        }
    }
}
