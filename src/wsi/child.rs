//! Child connections: several users of one network connection, each with a row of its own that has no socket. What ends
//! a child leaves its siblings alone; what ends the connection that carries them ends them all.

use super::{Binding, ClientInfo, Flags, Wait, Wsi, WsiId, WsiState};
use crate::cause::Cause;
use crate::context::sparse::Sparse;
use crate::context::{Core, Effect};
use crate::role::Role;
use std::rc::Rc;

/// The children of one connection.
type Family = Sparse<WsiId, ()>;

/// Emptied sets that are kept for those who are next to have children, and the room of one at most.
const SPARE: usize = 16;
const SPARE_ROOM: usize = 1024;

/// Whom each connection carries. One that carries nobody is not in it.
#[derive(Debug, Default)]
pub(crate) struct Families {
    of: Sparse<WsiId, Family>,
    spare: Vec<Family>,
}

impl Families {
    /// Whom a connection carries, by the order of their ids.
    #[cfg(any(feature = "mqtt", all(feature = "h2", feature = "ws")))]
    pub(crate) fn members(&self, carrier: WsiId) -> Vec<WsiId> {
        self.of.get(carrier).map(Sparse::ids_in_order).unwrap_or_default()
    }

    pub(crate) fn is_lonely(&self, carrier: WsiId) -> bool {
        !self.of.contains(carrier)
    }

    /// The carrier has none any more: whoever it carried is on its own.
    pub(crate) fn disperse(&mut self, carrier: WsiId) -> Vec<WsiId> {
        self.of.remove(carrier).as_ref().map(Sparse::ids_in_order).unwrap_or_default()
    }

    fn join(&mut self, carrier: WsiId, child: WsiId) {
        if let Some(family) = self.of.get_mut(carrier) {
            family.insert(child, ());
            return;
        }
        let mut family = self.spare.pop().unwrap_or_default();
        family.insert(child, ());
        self.of.insert(carrier, family);
    }

    fn leave(&mut self, carrier: WsiId, child: WsiId) {
        let Some(family) = self.of.get_mut(carrier) else { return };
        family.remove(child);
        if family.is_empty()
            && let Some(emptied) = self.of.remove(carrier)
            && self.spare.len() < SPARE
            && emptied.slots() <= SPARE_ROOM
        {
            self.spare.push(emptied);
        }
    }
}

impl Core {
    /// Rows that have a socket, or are about to have one: what `max_connections` is about. Of those who share one, each
    /// connection carries as many as its role takes.
    pub(crate) fn connections(&self) -> usize {
        self.wsis.len().saturating_sub(self.children)
    }

    /// Binds a user to the connection that all share whose `info` is the same, which is made if there is none.
    pub(super) fn join(&mut self, info: &Rc<ClientInfo>, binding: Binding) -> WsiId {
        let carrier = match self.carriers.get(info) {
            Some(carrier) => {
                let carrier = *carrier;
                self.validity_shared(carrier, info);
                carrier
            }
            None => self.connect_carrier(info),
        };
        let wsi = Wsi::new(None, Role::Child(carrier), binding, WsiState::Connecting);
        let child = self.child_add(carrier, wsi);
        log::debug!(target: "millstream::wsi", "{child}: joins {carrier}");
        if self.wsis.get(carrier).is_some_and(|wsi| wsi.deadline.is(Wait::Pooled)) {
            self.wait_no_more(carrier);
        }
        self.role_child_joined(carrier, child);
        child
    }

    fn connect_carrier(&mut self, info: &Rc<ClientInfo>) -> WsiId {
        let carrier = self.connect_anew(info, Binding::Carrier);
        // Where it has failed at once its children hear of that as they would later.
        if self.wsis.get(carrier).is_some() {
            self.carriers.insert(Rc::clone(info), carrier);
        }
        carrier
    }

    /// The only way for a row to become one of those that a connection carries; [`Self::child_left`] is the way back.
    pub(crate) fn child_add(&mut self, carrier: WsiId, wsi: Wsi) -> WsiId {
        let child = self.wsis.insert(wsi);
        self.children += 1;
        self.families.join(carrier, child);
        child
    }

    /// The role can carry what a child has.
    pub(crate) fn child_open(&mut self, child: WsiId) {
        let Some(wsi) = self.wsis.get_mut(child) else { return };
        wsi.enter(child, WsiState::Open);
        self.effects.push_back(Effect::Established(child));
    }

    /// The connection that has the socket: this one, or what carries it.
    pub(crate) fn with_socket(&self, id: WsiId) -> Option<&Wsi> {
        let id = self.parent(id).unwrap_or(id);
        #[cfg(all(feature = "mqtt", feature = "ws"))]
        let id = self.lower(id).unwrap_or(id);
        self.wsis.get(id)
    }

    /// The connection that carries this one.
    pub(crate) fn parent(&self, child: WsiId) -> Option<WsiId> {
        self.wsis.get(child)?.role.carrier()
    }

    /// Nobody new comes to a connection that is going away.
    pub(super) fn carrier_leaves(&mut self, carrier: WsiId) {
        self.carrier_hides(carrier);
        self.role_left(carrier);
    }

    /// Who comes now gets another connection.
    pub(crate) fn carrier_hides(&mut self, carrier: WsiId) {
        let key = self.wsis.get(carrier).and_then(|wsi| wsi.rare.as_ref()?.pool_key.clone());
        if let Some(key) = key
            && self.carriers.get(&key) == Some(&carrier)
        {
            self.carriers.remove(&key);
        }
    }

    /// The connection is gone, and so is what it carried; but who has heard its peer out ends when its user has heard it too.
    pub(crate) fn carrier_closed(&mut self, carrier: WsiId, cause: Option<&Cause>) {
        for child in self.families.disperse(carrier) {
            match self.wsis.get(child) {
                Some(wsi) if wsi.state() == WsiState::Open && wsi.flags.has(Flags::EOF) => {
                    // Who takes nothing before it has sent something would wait for ever.
                    if wsi.flags.has(Flags::WANT_TX) {
                        self.wait_to_send(child);
                    }
                }
                _ => self.close(child, cause.cloned()),
            }
        }
    }

    /// A child's row has gone. The last one leaves the connection to the next that comes soon.
    pub(super) fn child_left(&mut self, carrier: WsiId, child: WsiId) {
        self.children = self.children.saturating_sub(1);
        self.families.leave(carrier, child);
        self.role_child_left(carrier, child);
        let is_last = self.families.is_lonely(carrier);
        let Some(wsi) = self.wsis.get(carrier).filter(|wsi| is_last && wsi.binding == Binding::Carrier)
        else {
            return;
        };
        if !self.role_carries(carrier) {
            return self.close(carrier, None);
        }
        if self.timeouts.pool_idle.is_zero() && !wsi.flags.has(Flags::ACCEPTED) && wsi.unsent.is_empty() {
            return self.carrier_retires(carrier);
        }
        self.carrier_idles(carrier);
    }

    /// A connection without users waits for the next.
    pub(crate) fn carrier_idles(&mut self, carrier: WsiId) {
        if self.wsis.get(carrier).is_some_and(|wsi| wsi.flags.has(Flags::ACCEPTED)) {
            self.role_wait(carrier, Wait::KeepAlive, self.timeouts.keep_alive);
        } else {
            self.role_wait(carrier, Wait::Pooled, self.timeouts.pool_idle);
        }
    }

    /// A connection that nobody uses says goodbye and goes.
    pub(crate) fn carrier_retires(&mut self, carrier: WsiId) {
        self.role_goodbye(carrier);
        self.close_flushed(carrier, None);
    }

    /// A user takes payload again, or no more for now.
    pub(crate) fn set_rx_flow(&mut self, id: WsiId, on: bool) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        if on != wsi.flags.has(Flags::RX_FLOW_OFF) {
            return;
        }
        if on {
            wsi.flags.clear(Flags::RX_FLOW_OFF);
        } else {
            wsi.flags.set(Flags::RX_FLOW_OFF);
        }
        if let Some(parent) = self.parent(id) {
            return self.role_child_rx_flow(parent, id);
        }
        self.role_rx_flow(id);
        if on {
            self.schedule(id);
        }
    }
}
