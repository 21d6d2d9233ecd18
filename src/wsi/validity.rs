//! Validity: the proof that bytes go both ways, and what follows when it is missing for too long (README.lws_retry.md,
//! "Connection validity management"). A proof is something that the peer can only have sent because it has received what
//! this side has sent; it concerns the network connection, whatever is carried on it.

use super::{Binding, ClientInfo, Flags, WsiId, WsiState};
use crate::Us;
use crate::cause::{Failure, Phase, Reason};
use crate::context::{Context, Core, Effect, SulId, Timer};
use std::rc::Rc;
use std::time::Duration;

/// How long a connection may go without proof that it is still one.
///
/// `svalidping` and `svalidhup` of a stream type's `retry` say it for streams. What says nothing has the context's, which
/// is for roles that can ask their peers for a sign of life. Bytes alone cannot: for raw connections and HTTP/1.1 it has to
/// be said, and a proof is what the peer sends after this side has sent something, or what user code knows to be one
/// ([`Cx::validity_confirm`](crate::Cx::validity_confirm)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    /// After so long the peer is asked for a sign of life: by the role's own ping, or by
    /// [`Protocol::ping`](crate::Protocol::ping). 5 min; `None` is never.
    pub ping: Option<Duration>,
    /// After so long the connection is closed. 5 min 10 s; `None` is never.
    pub hangup: Option<Duration>,
}

impl Default for Validity {
    fn default() -> Self {
        Self { ping: Some(Duration::from_secs(300)), hangup: Some(Duration::from_secs(310)) }
    }
}

impl Validity {
    /// Nothing is proved, and nothing closed for it.
    pub const NEVER: Self = Self { ping: None, hangup: None };

    /// The shorter of each span.
    fn shortest(self, other: Self) -> Self {
        let least = |one: Option<Duration>, other: Option<Duration>| one.into_iter().chain(other).min();
        Self { ping: least(self.ping, other.ping), hangup: least(self.hangup, other.hangup) }
    }
}

/// Validity is counted in seconds: a timer is not moved for less, and what is due within one is due.
const GRAIN: Duration = Duration::from_secs(1);

/// The clock of one connection: thousands of them run, each on the heap.
#[derive(Debug)]
pub(crate) struct ValidityClock {
    /// In microseconds, as [`Us`]; the largest is never.
    ping: u64,
    hangup: u64,
    proved: Us,
    pinged: bool,
    sul: Option<SulId>,
    /// For when the timer is set, if it is.
    set: Us,
}

impl ValidityClock {
    fn new(limits: Validity, proved: Us) -> Self {
        let span = |limit: Option<Duration>| {
            limit.map_or(u64::MAX, |limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX))
        };
        let (ping, hangup) = (span(limits.ping), span(limits.hangup));
        Self { ping, hangup, proved, pinged: false, sul: None, set: proved }
    }

    fn after_proof(&self, span: u64) -> Option<Us> {
        (span != u64::MAX).then(|| self.proved.saturating_add(Duration::from_micros(span)))
    }

    fn ping_at(&self) -> Option<Us> {
        if self.pinged { None } else { self.after_proof(self.ping) }
    }

    fn hangup_at(&self) -> Option<Us> {
        self.after_proof(self.hangup)
    }

    fn next(&self) -> Option<Us> {
        [self.ping_at(), self.hangup_at()].into_iter().flatten().min()
    }
}

impl Core {
    /// A connection is up, which is a proof in itself.
    pub(crate) fn validity_start(&mut self, id: WsiId) {
        let context = self.validity;
        let Some(wsi) = self.wsis.get(id) else { return };
        let said = match wsi.vhost.and_then(|vhost| self.vhosts.get(vhost)) {
            Some(vhost) => vhost.validity,
            None => wsi.rare.as_ref().and_then(|rare| rare.pool_key.as_ref()?.validity),
        };
        let unsaid = if wsi.role.can_ping() { context } else { Validity::NEVER };
        let limits = wsi.role.limit_validity(said.unwrap_or(unsaid), said.is_some());
        self.set_validity(id, limits);
    }

    /// Somebody comes to share a connection, and may doubt it sooner than those who have it.
    pub(super) fn validity_shared(&mut self, id: WsiId, info: &ClientInfo) {
        let context = self.validity;
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Some(key) = wsi.rare.as_ref().and_then(|rare| rare.pool_key.clone()) else { return };
        if key.validity == info.validity {
            return;
        }
        let shortest = key.validity.unwrap_or(context).shortest(info.validity.unwrap_or(context));
        if key.validity.unwrap_or(context) == shortest {
            return;
        }
        wsi.rare().pool_key = Some(Rc::new(ClientInfo { validity: Some(shortest), ..(*key).clone() }));
        if wsi.state() == WsiState::Open {
            self.validity_start(id);
        }
    }

    /// Counts by these limits from now on.
    pub(crate) fn set_validity(&mut self, id: WsiId, limits: Validity) {
        self.validity_stop(id);
        if limits == Validity::NEVER {
            return;
        }
        let now = self.now;
        if let Some(wsi) = self.wsis.get_mut(id) {
            wsi.validity = Some(Box::new(ValidityClock::new(limits, now)));
        }
        self.validity_arm(id);
    }

    pub(super) fn validity_stop(&mut self, id: WsiId) {
        let clock = self.wsis.get_mut(id).and_then(|wsi| wsi.validity.take());
        if let Some(sul) = clock.and_then(|clock| clock.sul) {
            self.suls.cancel(sul);
        }
    }

    fn validity_arm(&mut self, id: WsiId) {
        let Some(clock) = self.wsis.get_mut(id).and_then(|wsi| wsi.validity.as_deref_mut()) else { return };
        let next = clock.next();
        if let (Some(_), Some(next)) = (clock.sul, next)
            && clock.set <= next
            && next.saturating_sub(clock.set) < GRAIN
        {
            return;
        }
        if let Some(sul) = clock.sul.take() {
            self.suls.cancel(sul);
        }
        if let Some(at) = next {
            clock.sul = Some(self.suls.schedule(at, Timer::Validity(id)));
            clock.set = at;
        }
    }

    /// Proof: the peer has received what was sent.
    pub(crate) fn validity_confirmed(&mut self, id: WsiId) {
        let now = self.now;
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let Some(clock) = wsi.validity.as_deref_mut() else { return };
        clock.proved = now;
        clock.pinged = false;
        wsi.flags.clear(Flags::UNPROVED);
        self.validity_arm(id);
    }

    /// Bytes have come. They prove something where the role has no better proof, and something was sent before.
    pub(super) fn validity_received(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get(id) else { return };
        if wsi.validity.is_some() && wsi.flags.has(Flags::UNPROVED) && !wsi.role.can_ping() {
            self.validity_confirmed(id);
        }
    }
}

impl Context {
    pub(crate) fn validity_timer(&mut self, id: WsiId) {
        let now = self.core.now;
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let (state, binding) = (wsi.state(), wsi.binding);
        let Some(clock) = wsi.validity.as_deref_mut() else { return };
        clock.sul = None;
        if state != WsiState::Open {
            return;
        }
        if clock.hangup_at().is_some_and(|at| at <= now) {
            log::debug!(target: "millstream::wsi", "{id}: no sign of life for too long");
            return self.core.close(id, Some(Failure::new(Phase::Established, Reason::NotValid).into()));
        }
        let soon = now.saturating_add(GRAIN);
        if clock.ping_at().is_some_and(|at| at <= soon) {
            clock.pinged = true;
            log::debug!(target: "millstream::wsi", "{id}: asks for a sign of life");
            if wsi.role.can_ping() {
                self.core.role_ping(id);
            } else if binding == Binding::Protocol {
                self.core.effects.push_back(Effect::Ping(id));
            }
        }
        self.core.validity_arm(id);
    }
}
