//! Whose turn it is to send. A message is one packet: who has begun one goes on until its end, and all others wait. Messages
//! of a lost connection go first, in their order; then who asks is served in turn.

use super::super::Role;
use super::connection::{InFlight, Late, Owner};
use super::{Mqtt, MqttEvent};
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::secure_stream::{Tx, TxFlow};
use crate::wsi::{Binding, Flags, Wait, WsiId};
use ::mqtt::{EncodeError, PacketId, Publish, QoS};
use std::time::Duration;

/// The message that goes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sending {
    child: WsiId,
    ordinal: u32,
    qos: QoS,
    is_resend: bool,
}

/// What a user is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Turn {
    /// A message.
    #[default]
    Begin,
    /// A message that it has sent before, and that was as long as this.
    Resend { packet: PacketId, qos: QoS, ordinal: u32, len: u32 },
    /// The rest of a message, of which this is to come.
    Continue { left: u32, ordinal: u32, is_resend: bool },
}

impl Mqtt {
    /// The child is in the midst of a message.
    pub(super) fn is_sending(&self, child: WsiId) -> bool {
        self.sending.is_some_and(|sending| sending.child == child)
    }

    /// So much of a message's payload is on its way.
    pub(in crate::role) fn written(&mut self, len: usize) {
        // No more than there is to come was asked for.
        let _ = self.engine.payload(len);
    }
}

impl Late {
    fn event(&self) -> MqttEvent<'_> {
        let result = if self.cause.is_empty() { Ok(()) } else { Err(&self.cause) };
        MqttEvent::Acknowledged { ordinal: self.ordinal, result }
    }
}

impl Core {
    pub(in crate::role) fn mqtt_child_wants_tx(&mut self, carrier: WsiId, child: WsiId) {
        let Some(mqtt) = self.mqtt_mut(carrier) else { return };
        let is_sending = mqtt.sending.is_some_and(|sending| sending.child == child && !sending.is_resend);
        // Who has the turn gets into line again at its end.
        if !is_sending && mqtt.asking != Some(child) {
            mqtt.queue.push_back(child);
        }
        self.mqtt_more_tx(carrier);
    }

    /// Who has had its turn and wants another is behind all others.
    fn mqtt_line_up(&mut self, carrier: WsiId, child: WsiId) {
        if self.wsis.get(child).is_some_and(|wsi| wsi.flags.has(Flags::WANT_TX))
            && let Some(mqtt) = self.mqtt_mut(carrier)
        {
            mqtt.queue.push_back(child);
        }
    }

    /// Asks for a turn if there is somebody to give it to.
    pub(super) fn mqtt_more_tx(&mut self, carrier: WsiId) {
        let Some(mqtt) = self.mqtt_mut(carrier) else { return };
        let is_due = match mqtt.sending {
            Some(Sending { is_resend: true, .. }) => true,
            Some(Sending { child, .. }) => {
                self.wsis.get(child).is_some_and(|wsi| wsi.flags.has(Flags::WANT_TX))
            }
            None => {
                if mqtt.engine.can_publish(QoS::AtLeastOnce) {
                    mqtt.queue.append(&mut mqtt.blocked);
                }
                let has_queue = !mqtt.queue.is_empty();
                let resend = mqtt.engine.next_resend();
                has_queue || resend.is_some_and(|(packet, _)| !self.mqtt_owner_comes(carrier, packet))
            }
        };
        if is_due {
            self.wsi_request_tx(carrier);
        }
    }

    /// Whose message this is, if it can be asked for it now.
    fn mqtt_owner(&self, carrier: WsiId, owner: Owner) -> Option<WsiId> {
        let child = match owner {
            Owner::Stream(stream) => self.connected_user(stream)?,
            Owner::User(child) => child,
            Owner::Nobody => return None,
        };
        (self.parent(child) == Some(carrier)).then_some(child)
    }

    /// The user whose message this is has no connection yet, and is about to have one.
    fn mqtt_owner_comes(&mut self, carrier: WsiId, packet: PacketId) -> bool {
        let Some(mqtt) = self.mqtt_mut(carrier) else { return false };
        let message = mqtt.in_flight.get(&packet);
        let Some(stream) = message.and_then(|message| message.owner.stream()) else { return false };
        self.coming_user(stream).is_some_and(|child| self.parent(child) == Some(carrier))
    }

    /// Whose turn it is; [`Core::mqtt_turn`] says for what.
    fn mqtt_next_sender(&mut self, carrier: WsiId) -> Option<WsiId> {
        let mqtt = self.mqtt_mut(carrier)?;
        if let Some(Sending { child, ordinal, is_resend, .. }) = mqtt.sending {
            mqtt.turn = Turn::Continue { left: mqtt.engine.payload_due(), ordinal, is_resend };
            // What is sent again is there as a whole; what is new comes when it is asked for.
            if !is_resend {
                let wsi = self.wsis.get_mut(child).filter(|wsi| wsi.flags.has(Flags::WANT_TX))?;
                wsi.flags.clear(Flags::WANT_TX);
            }
            return Some(child);
        }
        while let Some((packet, qos)) = self.mqtt_mut(carrier)?.engine.next_resend() {
            let message = self.mqtt_mut(carrier)?.in_flight.get(&packet).copied();
            let child = message.and_then(|message| self.mqtt_owner(carrier, message.owner));
            if let (Some(message), Some(child)) = (message, child) {
                let InFlight { ordinal, len, .. } = message;
                self.mqtt_mut(carrier)?.turn = Turn::Resend { packet, qos, ordinal, len };
                return Some(child);
            }
            if self.mqtt_owner_comes(carrier, packet) {
                break;
            }
            self.mqtt_give_up(carrier, packet);
        }
        while let Some(child) = self.mqtt_mut(carrier)?.queue.pop_front() {
            if let Some(wsi) = self.wsis.get_mut(child)
                && wsi.flags.has(Flags::WANT_TX)
            {
                wsi.flags.clear(Flags::WANT_TX);
                let mqtt = self.mqtt_mut(carrier)?;
                (mqtt.turn, mqtt.asking) = (Turn::Begin, Some(child));
                return Some(child);
            }
        }
        None
    }

    /// What the user is asked for that is being asked.
    pub(crate) fn mqtt_turn(&mut self, child: WsiId) -> Option<Turn> {
        let carrier = self.parent(child)?;
        Some(self.mqtt_mut(carrier)?.turn)
    }

    fn mqtt_owner_of(&self, child: WsiId) -> Owner {
        match self.wsis.get(child).map(|wsi| wsi.binding) {
            Some(Binding::Stream(stream)) => Owner::Stream(stream),
            _ => Owner::User(child),
        }
    }

    /// A message of this QoS can go out. If not, the user is asked when it can.
    pub(crate) fn mqtt_can_publish(&mut self, child: WsiId, qos: QoS) -> bool {
        let Some(carrier) = self.parent(child) else { return false };
        let Some(mqtt) = self.mqtt_mut(carrier) else { return false };
        if mqtt.engine.can_publish(qos) {
            return true;
        }
        mqtt.blocked.push_back(child);
        mqtt.asking = None;
        if let Some(wsi) = self.wsis.get_mut(child) {
            wsi.flags.set(Flags::WANT_TX);
        }
        false
    }

    /// Puts what stands before a message's payload in front of it.
    pub(crate) fn mqtt_publish(
        &mut self,
        child: WsiId,
        publish: &Publish<'_>,
        len: u32,
        ordinal: u32,
    ) -> Result<(), EncodeError> {
        let owner = self.mqtt_owner_of(child);
        let carrier = self.parent(child).ok_or(EncodeError::Turn)?;
        let wsi = self.wsis.get_mut(carrier).ok_or(EncodeError::Turn)?;
        let Role::Mqtt(mqtt) = &mut wsi.role else { return Err(EncodeError::Turn) };
        self.spares.lend(&mut wsi.front);
        if let Some(id) = mqtt.engine.publish(publish, len, &mut wsi.front)? {
            mqtt.in_flight.insert(id, InFlight { owner, ordinal, len });
        }
        mqtt.sending = Some(Sending { child, ordinal, qos: publish.qos, is_resend: false });
        Ok(())
    }

    /// The same, for a message that was sent before.
    pub(crate) fn mqtt_resend(
        &mut self,
        child: WsiId,
        packet: PacketId,
        publish: &Publish<'_>,
        len: u32,
    ) -> Result<(), EncodeError> {
        let carrier = self.parent(child).ok_or(EncodeError::Turn)?;
        let wsi = self.wsis.get_mut(carrier).ok_or(EncodeError::Turn)?;
        let Role::Mqtt(mqtt) = &mut wsi.role else { return Err(EncodeError::Turn) };
        self.spares.lend(&mut wsi.front);
        mqtt.engine.resend(packet, publish, len, &mut wsi.front)?;
        let ordinal = mqtt.in_flight.get(&packet).map_or(0, |message| message.ordinal);
        mqtt.sending = Some(Sending { child, ordinal, qos: publish.qos, is_resend: true });
        Ok(())
    }

    /// Nobody sends this message again: its user hears that it failed.
    pub(crate) fn mqtt_give_up(&mut self, carrier: WsiId, packet: PacketId) {
        let Some(mqtt) = self.mqtt_mut(carrier) else { return };
        mqtt.engine.give_up(packet);
        if let Some(InFlight { owner, ordinal, .. }) = mqtt.in_flight.remove(&packet) {
            mqtt.tell_late(Late { owner, ordinal, cause: Cause::policy("nobody has the message any more") });
        }
        self.mqtt_flush(carrier);
    }

    /// A message that has begun will not be complete. The server waits for the rest of it: there is no other way out than
    /// a new connection.
    pub(crate) fn mqtt_broke_off(&mut self, child: WsiId) {
        if let Some(carrier) = self.parent(child) {
            let why = "mqtt: a message came to be shorter than was declared";
            self.close(carrier, Some(Cause::policy(why)));
        }
    }
}

impl Context {
    /// One of those who share the connection fills the buffer.
    pub(in crate::role) fn mqtt_tx_turn(&mut self, id: WsiId, tx: &mut Tx<'_>) -> TxFlow {
        let Some(child) = self.core.mqtt_next_sender(id) else { return TxFlow::DontSend };
        if let Some(mqtt) = self.core.mqtt_mut(id)
            && let Turn::Continue { left, ordinal, .. } = mqtt.turn
        {
            tx.describe(left.into(), false, ordinal);
        }
        let flow = self.ask_tx(child, tx);
        let flow = self.mqtt_user_sent(id, child, flow, tx);
        let was_asked = self.core.mqtt_mut(id).is_some_and(|mqtt| mqtt.asking.take() == Some(child));
        if flow != TxFlow::Send {
            if was_asked {
                self.core.mqtt_line_up(id, child);
            }
            self.core.mqtt_flush(id);
            self.core.mqtt_more_tx(id);
        }
        flow
    }

    /// A piece of a message is on its way, or all that is left of it.
    pub(in crate::role) fn mqtt_framed(&mut self, id: WsiId) {
        let Some(mqtt) = self.core.mqtt_mut(id) else { return };
        if mqtt.engine.payload_due() > 0 {
            self.core.role_wait(id, Wait::Request, self.core.timeouts.request);
            return self.core.mqtt_more_tx(id);
        }
        let Some(Sending { child, ordinal, qos, is_resend }) = mqtt.sending.take() else { return };
        if !is_resend {
            self.core.mqtt_line_up(id, child);
        }
        self.core.role_wait(id, Wait::Nothing, Duration::ZERO);
        if qos == QoS::AtMostOnce {
            self.wsi_event(child, WsiEvent::Mqtt(MqttEvent::Acknowledged { ordinal, result: Ok(()) }));
        }
        self.core.mqtt_flush(id);
        self.core.mqtt_more_tx(id);
    }

    /// PUBACK or PUBCOMP.
    pub(super) fn mqtt_acknowledged(&mut self, id: WsiId, packet: PacketId, cause: Cause) {
        let Some(mqtt) = self.core.mqtt_mut(id) else { return };
        if let Some(InFlight { owner, ordinal, .. }) = mqtt.in_flight.remove(&packet) {
            self.mqtt_tell(id, Late { owner, ordinal, cause });
        }
        self.core.mqtt_more_tx(id);
    }

    /// What has come of a message, to whom it belongs: now, or when it has a connection again.
    fn mqtt_tell(&mut self, carrier: WsiId, answer: Late) {
        if let Some(child) = self.core.mqtt_owner(carrier, answer.owner) {
            self.wsi_event(child, WsiEvent::Mqtt(answer.event()));
        } else if let Some(mqtt) = self.core.mqtt_mut(carrier) {
            mqtt.tell_late(answer);
        }
    }

    /// A user is CONNECTED: what it is to hear first, and whatever it can send again.
    pub(crate) fn mqtt_user_connected(&mut self, child: WsiId) {
        let (owner, Some(carrier)) = (self.core.mqtt_owner_of(child), self.core.parent(child)) else {
            return;
        };
        let Some(mqtt) = self.core.mqtt_mut(carrier) else { return };
        for answer in mqtt.take_late(owner) {
            self.wsi_event(child, WsiEvent::Mqtt(answer.event()));
        }
        self.core.mqtt_more_tx(carrier);
    }
}
