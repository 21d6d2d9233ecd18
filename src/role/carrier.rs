//! What roles do that carry several users on one connection.

use super::Role;
use crate::context::{Context, Core};
use crate::error::Error;
use crate::secure_stream::{Tx, TxFlow};
use crate::wsi::{Binding, ClientRole, Flags, Validity, Wsi, WsiId, WsiState};
use std::time::Duration;

/// Turns that a connection has when its context ends.
const LAST_TURNS: usize = 1000;

impl Role {
    /// Connections that speak this carry several users.
    pub(crate) fn is_shared(role: ClientRole) -> bool {
        match role {
            #[cfg(feature = "h2")]
            ClientRole::H2 => true,
            #[cfg(feature = "mqtt")]
            ClientRole::Mqtt => true,
            _ => false,
        }
    }

    /// What the role itself has promised its peer about signs of life.
    pub(crate) fn limit_validity(&self, limits: Validity, is_said: bool) -> Validity {
        match self {
            #[cfg(feature = "mqtt")]
            Self::Mqtt(mqtt) => mqtt.limit_validity(limits, is_said),
            _ => limits,
        }
    }
}

impl Core {
    /// A connection that carries others is up, below its role.
    pub(crate) fn role_started(&mut self, id: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_start(id);
        #[cfg(feature = "h2")]
        self.h2_start(id);
    }

    /// Its role is up as well.
    pub(crate) fn role_carries(&self, id: WsiId) -> bool {
        let Some(wsi) = self.wsis.get(id) else { return false };
        match &wsi.role {
            #[cfg(feature = "mqtt")]
            Role::Mqtt(mqtt) => wsi.state() == WsiState::Open && mqtt.is_connected(),
            #[cfg(feature = "h2")]
            Role::H2(h2) => wsi.state() == WsiState::Open && h2.carries(),
            _ => false,
        }
    }

    /// Somebody new shares the connection, and is connected as soon as the role can carry what it has.
    pub(crate) fn role_child_joined(&mut self, carrier: WsiId, child: WsiId) {
        #[cfg(feature = "h2")]
        if self.h2_is(carrier) {
            return self.h2_child_joined(carrier, child);
        }
        if self.role_carries(carrier) {
            self.child_open(child);
        }
    }

    pub(crate) fn role_child_left(&mut self, carrier: WsiId, child: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_child_left(carrier, child);
        #[cfg(feature = "h2")]
        self.h2_child_left(carrier, child);
    }

    /// The child was not asked already.
    pub(crate) fn role_child_wants_tx(&mut self, carrier: WsiId, child: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_child_wants_tx(carrier, child);
        #[cfg(feature = "h2")]
        self.h2_child_wants_tx(carrier, child);
    }

    pub(crate) fn role_child_rx_flow(&mut self, carrier: WsiId, child: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_rx_flow(carrier);
        #[cfg(feature = "h2")]
        self.h2_child_rx_flow(carrier, child);
    }

    /// How long a user may still wait for its turn to send, because others have theirs.
    pub(crate) fn role_line_moves(&self, child: WsiId) -> Option<Duration> {
        #[cfg(feature = "h2")]
        return self.h2_line_moves(child);
        #[cfg(not(feature = "h2"))]
        {
            let _ = (self, child);
            None
        }
    }

    /// A user that has its connection to itself takes payload again, or none for now.
    pub(crate) fn role_rx_flow(&mut self, id: WsiId) {
        #[cfg(feature = "h1")]
        self.h1_rx_flow(id);
        #[cfg(not(feature = "h1"))]
        let _ = (self, id);
    }

    /// Lets the peer of a user send more, where there is a bound to that.
    pub(crate) fn role_add_credit(&mut self, id: WsiId, add: u32) -> Result<(), Error> {
        #[cfg(feature = "h2")]
        if let Some(carrier) = self.parent(id).filter(|carrier| self.h2_is(*carrier)) {
            return self.h2_add_credit(carrier, id, add);
        }
        let _ = (id, add);
        Ok(())
    }

    /// What the peer of a user may still send; `None` where there is no bound to that.
    pub(crate) fn role_credit(&self, id: WsiId) -> Result<Option<u32>, Error> {
        #[cfg(feature = "h2")]
        if let Some(carrier) = self.parent(id).filter(|carrier| self.h2_is(*carrier)) {
            return self.h2_credit(carrier, id).map(Some);
        }
        let _ = id;
        Ok(None)
    }

    /// What is said to a peer before the connection is given up in peace.
    pub(crate) fn role_goodbye(&mut self, carrier: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_goodbye(carrier);
        #[cfg(feature = "h2")]
        self.h2_goodbye(carrier);
    }

    /// The last words of a role whose peer answers them, and only then ends the connection.
    pub(crate) fn role_farewell(&mut self, id: WsiId) {
        #[cfg(feature = "ws")]
        self.ws_goodbye(id);
        #[cfg(not(feature = "ws"))]
        let _ = (self, id);
    }

    /// The connection has no users any more; what outlives it is kept.
    pub(crate) fn role_left(&mut self, carrier: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_keep(carrier);
        #[cfg(feature = "h2")]
        self.h2_left(carrier);
    }

    /// Users of a connection that another carries have written so much payload.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    pub(crate) fn role_carried_written(&mut self, id: WsiId, len: usize) {
        if let Some(Role::Mqtt(mqtt)) = self.wsis.get_mut(id).map(|wsi| &mut wsi.role) {
            mqtt.written(len);
        }
    }

    pub(crate) fn role_ping(&mut self, id: WsiId) {
        #[cfg(feature = "mqtt")]
        self.mqtt_ping(id);
        #[cfg(feature = "ws")]
        self.ws_ping(id);
        #[cfg(feature = "h2")]
        self.h2_ping(id);
    }
}

impl Context {
    /// Asks one of those that a connection carries for payload.
    pub(crate) fn role_carrier_tx(&mut self, id: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        #[cfg(feature = "mqtt")]
        if self.core.mqtt_is(id) {
            return self.mqtt_tx_turn(id, tx);
        }
        #[cfg(feature = "h2")]
        if self.core.h2_is(id) {
            return self.h2_tx_turn(id, tx);
        }
        let _ = (id, tx);
        TxFlow::DontSend
    }

    /// Bytes for a connection that another carries. Returns how many are done with.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    pub(crate) fn role_carried_input(&mut self, id: WsiId, bytes: &[u8]) -> usize {
        self.mqtt_input(id, bytes)
    }

    /// What its users have written is on its way.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    pub(crate) fn role_carried_sent(&mut self, id: WsiId) {
        self.mqtt_framed(id);
    }

    /// One of those that a connection carries has something to do of its own.
    pub(crate) fn role_serve_child(&mut self, child: WsiId) {
        #[cfg(feature = "h2")]
        if let Some(carrier) = self.core.parent(child) {
            self.h2_serve_child(carrier, child);
        }
    }

    /// The context ends: a peer that minds is told as far as its socket takes it.
    pub(crate) fn say_last_word(&mut self, id: WsiId) {
        if self.core.wsis.get(id).is_some_and(|wsi| wsi.binding == Binding::Carrier)
            && self.core.role_carries(id)
        {
            self.core.role_goodbye(id);
            self.serve_fully(id);
            #[cfg(all(feature = "mqtt", feature = "ws"))]
            if let Some(lower) = self.core.lower(id) {
                self.serve(lower);
            }
        }
    }

    /// Sends for more of those whom a connection carries than have their turn at once, within reason.
    fn serve_fully(&mut self, id: WsiId) {
        for _ in 0..LAST_TURNS {
            self.serve(id);
            let may_go_on = |wsi: &Wsi| wsi.flags.has(Flags::WANT_TX | Flags::WRITABLE);
            if !self.core.wsis.get(id).is_some_and(may_go_on) {
                return;
            }
        }
    }
}
