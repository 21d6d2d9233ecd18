//! MQTT for user code straight on connections.

use super::sending::Turn;
use crate::cause::Cause;
use crate::context::{Context, Core, Cx};
use crate::error::Error;
use crate::secure_stream::{Tx, TxFlow};
use crate::wsi::{Binding, WsiId};
use ::mqtt::{Publish, QoS};

/// MQTT, on connections without secure streams ([`ClientRole::Mqtt`](crate::ClientRole::Mqtt)).
impl Cx<'_> {
    /// Begins a message, from within [`Protocol::writeable`](crate::Protocol::writeable). Its payload of `len` bytes is written
    /// there, as far as there is room; for the rest, [`Self::wsi_request_tx`] asks for the next call. Meanwhile all others that
    /// share the connection wait. Gives the number by which [`MqttEvent::Acknowledged`](crate::MqttEvent::Acknowledged) names the message.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::Mqtt`]: the in-flight window is full, then the next `writeable` comes when it is not; or this
    /// is no message that the server takes, or not the time for one.
    pub fn mqtt_publish(&mut self, wsi: WsiId, publish: &Publish<'_>, len: u32) -> Result<u32, Error> {
        self.bound(wsi)?;
        self.core.mqtt_user_publish(wsi, publish, len)
    }

    /// Asks for what is published under a filter, from [`Protocol::established`](crate::Protocol::established) on. True: it is
    /// there already. Otherwise [`MqttEvent::Subscribed`](crate::MqttEvent::Subscribed) tells when it is. Of users that share the connection each gets what it
    /// has asked for itself; the server is asked once.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`]; [`Error::Mqtt`]: this is no filter, or none that the server takes.
    pub fn mqtt_subscribe(&mut self, wsi: WsiId, filter: &str, qos: QoS) -> Result<bool, Error> {
        self.bound(wsi)?;
        self.core.mqtt_carrier(wsi).ok_or(Error::NotConnected)?;
        self.core.mqtt_subscribe(wsi, filter, qos).map_err(Error::Mqtt)
    }

    /// Asks for no more of it. Nothing comes under a filter that was not asked for.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`].
    pub fn mqtt_unsubscribe(&mut self, wsi: WsiId, filter: &str) -> Result<(), Error> {
        self.bound(wsi)?;
        self.core.mqtt_carrier(wsi).ok_or(Error::NotConnected)?;
        self.core.mqtt_unsubscribe(wsi, filter);
        Ok(())
    }

    /// The name of the client that the connection is: its own, or the one that the server has given it.
    pub fn mqtt_client_id(&self, wsi: WsiId) -> Option<&str> {
        self.core.mqtt_name(wsi)
    }
}

impl Core {
    fn mqtt_user_publish(&mut self, child: WsiId, publish: &Publish<'_>, len: u32) -> Result<u32, Error> {
        let wrong = Error::Mqtt(::mqtt::EncodeError::Turn);
        let Some(carrier) = self.mqtt_carrier(child) else { return Err(Error::NotConnected) };
        let Some(mqtt) = self.mqtt_mut(carrier) else { return Err(Error::NotConnected) };
        if mqtt.asking != Some(child) || !matches!(mqtt.turn, Turn::Begin) || mqtt.sending.is_some() {
            return Err(wrong);
        }
        let ordinal = mqtt.ordinal;
        if !self.mqtt_can_publish(child, publish.qos) {
            return Err(Error::Mqtt(::mqtt::EncodeError::Window));
        }
        self.mqtt_publish(child, publish, len, ordinal).map_err(Error::Mqtt)?;
        if let Some(mqtt) = self.mqtt_mut(carrier) {
            mqtt.ordinal = ordinal.wrapping_add(1);
        }
        Ok(ordinal)
    }

    fn mqtt_carrier(&self, child: WsiId) -> Option<WsiId> {
        self.parent(child).filter(|carrier| self.mqtt_is(*carrier) && self.role_carries(*carrier))
    }

    fn mqtt_name(&self, child: WsiId) -> Option<&str> {
        let super::Role::Mqtt(mqtt) = &self.wsis.get(self.mqtt_carrier(child)?)?.role else { return None };
        let own = mqtt.connect_info().map(|info| info.client_id.as_str()).filter(|id| !id.is_empty());
        own.or(mqtt.begun.client_id.as_deref())
    }
}

impl Context {
    /// User code has had its turn: what it has written belongs to a message that it has begun.
    pub(super) fn mqtt_user_sent(&mut self, id: WsiId, child: WsiId, flow: TxFlow, tx: &Tx<'_>) -> TxFlow {
        let is_user = self.core.wsis.get(child).is_some_and(|wsi| wsi.binding == Binding::Protocol);
        let Some(mqtt) = self.core.mqtt_mut(id).filter(|_| is_user) else { return flow };
        let is_sending = mqtt.is_sending(child);
        let most = if is_sending { mqtt.engine.payload_due() as usize } else { 0 };
        match flow {
            TxFlow::Send if tx.so_far().len > most => {
                let why = "mqtt: more payload than was announced with the message";
                self.core.close(id, Some(Cause::policy(why)));
                TxFlow::DontSend
            }
            // What stands before the payload goes out at any rate.
            TxFlow::Send | TxFlow::DontSend if is_sending => TxFlow::Send,
            TxFlow::Send => TxFlow::DontSend,
            flow => flow,
        }
    }
}
