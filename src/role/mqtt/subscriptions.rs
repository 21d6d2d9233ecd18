//! Who has subscribed to what. A filter is subscribed to once, however many want it, and as long as one of them does.

use super::super::Role;
use super::info::refusal;
use super::{Mqtt, MqttEvent};
use crate::cause::Cause;
use crate::context::{Context, Core, WsiEvent};
use crate::wsi::{Binding, WsiId};
use ::mqtt::{EncodeError, PacketId, QoS, matches};
use std::rc::Rc;

/// Filters in one SUBSCRIBE or UNSUBSCRIBE, and in one to AWS IoT, which takes no more.
const BATCH: usize = 64;
const AWS_BATCH: usize = 8;

/// What is known of a filter.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// In the order of their ids. Of most filters there is one user: a tree's first node is larger than what is in it.
    pub(super) users: Vec<WsiId>,
    /// The most that any of its users wants.
    qos: QoS,
    pub(super) state: State,
}

/// How far the server is with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// It is to be asked.
    #[default]
    Wanted,
    Asked(PacketId),
    Granted,
}

impl Mqtt {
    /// The users whose filters a topic matches, each once.
    pub(super) fn find_receivers(&self, topic: &str, out: &mut Vec<WsiId>) {
        if let Some(subscription) = self.subscriptions.get(topic) {
            out.extend(&subscription.users);
        }
        let exact = out.len();
        for filter in self.wildcards.iter().filter(|filter| matches(filter, topic)) {
            out.extend(self.subscriptions.get(filter).iter().flat_map(|subscription| &subscription.users));
        }
        if out.len() > exact {
            out.sort_unstable();
            out.dedup();
        }
    }

    /// Says what there is to say about filters, as far as the server may be asked so much at a time.
    pub(super) fn push_requests(&mut self, out: &mut Vec<u8>) {
        let is_aws = self.connect_info().is_some_and(|info| info.aws_iot);
        let batch = if is_aws { AWS_BATCH } else { BATCH };
        while self.is_connected() && !self.unsaid.is_empty() {
            let count = self.unsaid.len().min(batch);
            let filters: Vec<_> = self.unsaid.drain(..count).collect();
            if let Err(left) = self.push_batch(filters, out) {
                for filter in left.into_iter().rev() {
                    self.unsaid.push_front(filter);
                }
                return;
            }
        }
    }

    /// SUBSCRIBE for those that somebody wants, UNSUBSCRIBE for the others. Gives back what could not be said now.
    fn push_batch(&mut self, filters: Vec<Rc<str>>, out: &mut Vec<u8>) -> Result<(), Vec<Rc<str>>> {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for filter in filters {
            match self.subscriptions.get(&filter) {
                Some(subscription) if subscription.users.is_empty() => unwanted.push(filter),
                Some(subscription) if subscription.state == State::Wanted => wanted.push(filter),
                _ => {}
            }
        }
        let names: Vec<&str> = unwanted.iter().map(|filter| &**filter).collect();
        if !names.is_empty() {
            match self.engine.unsubscribe(&names, &[], out) {
                Err(EncodeError::TooLarge) if names.len() > 1 => {
                    unwanted.append(&mut wanted);
                    return self.push_halves(unwanted, out);
                }
                Err(EncodeError::Requests) => {
                    unwanted.append(&mut wanted);
                    return Err(unwanted);
                }
                _ => {}
            }
            for filter in &unwanted {
                self.forget_filter(filter);
            }
        }
        let asked: Vec<_> = wanted
            .iter()
            .filter_map(|filter| {
                let qos = self.subscriptions.get(filter)?.qos;
                Some(::mqtt::Subscription { filter, qos, ..::mqtt::Subscription::default() })
            })
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let id = match self.engine.subscribe(&asked, &[], out) {
            Ok(id) => id,
            Err(EncodeError::TooLarge) if asked.len() > 1 => return self.push_halves(wanted, out),
            Err(_) => return Err(wanted),
        };
        for filter in &wanted {
            if let Some(subscription) = self.subscriptions.get_mut(filter) {
                subscription.state = State::Asked(id);
            }
        }
        self.asked.insert(id, wanted);
        Ok(())
    }

    /// What is more than the server takes in one packet (MQTT 5, 3.2.2.3.6).
    fn push_halves(&mut self, mut filters: Vec<Rc<str>>, out: &mut Vec<u8>) -> Result<(), Vec<Rc<str>>> {
        let others = filters.split_off(filters.len() / 2);
        if let Err(mut left) = self.push_batch(filters, out) {
            left.extend(others);
            return Err(left);
        }
        self.push_batch(others, out)
    }

    fn forget_filter(&mut self, filter: &str) {
        self.subscriptions.remove(filter);
        self.wildcards.remove(filter);
    }

    /// A filter that the server knows from an earlier connection.
    pub(super) fn restore_filter(&mut self, filter: Rc<str>, qos: QoS) {
        if has_wildcard(&filter) {
            self.wildcards.insert(Rc::clone(&filter));
        }
        let subscription = Subscription { users: Vec::new(), qos, state: State::Granted };
        self.subscriptions.insert(filter, subscription);
    }

    /// The server knows of none any more.
    pub(super) fn forget_filters(&mut self) {
        self.subscriptions.clear();
        self.wildcards.clear();
    }

    /// What the server has granted.
    pub(super) fn granted(&self) -> impl Iterator<Item = (Rc<str>, QoS)> {
        let granted = self.subscriptions.iter().filter(|(_, it)| it.state == State::Granted);
        granted.map(|(filter, it)| (Rc::clone(filter), it.qos))
    }

    /// A user is gone.
    pub(super) fn leave_filters(&mut self, child: WsiId) {
        while let Some((_, filter)) = self.filters.range((child, Rc::from(""))..).next().cloned()
            && self.filters.remove(&(child, Rc::clone(&filter)))
        {
            self.leave_filter(child, &filter);
        }
    }

    /// A user wants no more of it. The last one takes the subscription along.
    fn leave_filter(&mut self, child: WsiId, filter: &Rc<str>) {
        let Some(subscription) = self.subscriptions.get_mut(filter) else { return };
        if let Ok(at) = subscription.users.binary_search(&child) {
            subscription.users.remove(at);
        }
        if !subscription.users.is_empty() {
            return;
        }
        if subscription.state == State::Wanted {
            self.forget_filter(filter);
        } else {
            self.unsaid.push_back(Rc::clone(filter));
        }
    }
}

fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#']) || filter.starts_with("$share/")
}

impl Core {
    /// A user wants what is published under a filter. True: it is subscribed to already. Else [`MqttEvent::Subscribed`] tells.
    pub(crate) fn mqtt_subscribe(
        &mut self,
        child: WsiId,
        filter: &str,
        qos: QoS,
    ) -> Result<bool, EncodeError> {
        let carrier = self.parent(child).ok_or(EncodeError::Turn)?;
        let mqtt = self.mqtt_mut(carrier).ok_or(EncodeError::Turn)?;
        let wanted = ::mqtt::Subscription { filter, qos, ..::mqtt::Subscription::default() };
        mqtt.engine.check_subscribe(&wanted)?;
        let known = mqtt.subscriptions.get_key_value(filter).map(|(filter, _)| Rc::clone(filter));
        let filter = known.unwrap_or_else(|| Rc::from(filter));
        if has_wildcard(&filter) {
            mqtt.wildcards.insert(Rc::clone(&filter));
        }
        let subscription = mqtt.subscriptions.entry(Rc::clone(&filter)).or_default();
        let is_new = subscription.users.is_empty() && subscription.state == State::Wanted;
        let is_more = qos > subscription.qos && subscription.state != State::Wanted;
        subscription.qos = subscription.qos.max(qos);
        if let Err(at) = subscription.users.binary_search(&child) {
            if subscription.users.is_empty() {
                subscription.users.reserve_exact(1);
            }
            subscription.users.insert(at, child);
        }
        mqtt.filters.insert((child, Rc::clone(&filter)));
        if is_more {
            subscription.state = State::Wanted;
        }
        let is_granted = subscription.state == State::Granted;
        if is_new || is_more {
            mqtt.unsaid.push_back(filter);
            // Said when the connection is served: with those of others who come at the same time.
            self.wsi_request_flush(carrier);
        }
        Ok(is_granted)
    }

    pub(super) fn mqtt_unsubscribe(&mut self, child: WsiId, filter: &str) {
        let Some(carrier) = self.parent(child) else { return };
        let Some(mqtt) = self.mqtt_mut(carrier) else { return };
        let filter = Rc::from(filter);
        if mqtt.filters.remove(&(child, Rc::clone(&filter))) {
            mqtt.leave_filter(child, &filter);
            self.wsi_request_flush(carrier);
        }
    }

    /// Filters that were granted on an earlier connection, and for which nobody has come back.
    pub(super) fn mqtt_sweep(&mut self, carrier: WsiId) {
        let Some(mqtt) = self.mqtt_mut(carrier) else { return };
        let unused = mqtt.subscriptions.iter().filter(|(_, it)| it.users.is_empty());
        let unused: Vec<_> = unused.map(|(filter, _)| Rc::clone(filter)).collect();
        mqtt.unsaid.extend(unused);
        self.mqtt_flush(carrier);
    }
}

impl Context {
    /// SUBACK: an answer for each filter, and each of those who wait for it.
    pub(super) fn mqtt_subscribed(&mut self, id: WsiId, packet: PacketId) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let Role::Mqtt(mqtt) = &mut wsi.role else { return };
        let filters = mqtt.asked.remove(&packet).unwrap_or_default();
        let properties = mqtt.engine.properties();
        let mut told: Vec<(WsiId, Cause)> = Vec::new();
        for (filter, reason) in filters.iter().zip(mqtt.engine.reasons()) {
            let Some(subscription) = mqtt.subscriptions.get_mut(filter) else { continue };
            if subscription.state != State::Asked(packet) {
                continue;
            }
            let is_granted = !reason.is_failure();
            let cause =
                if is_granted { Cause::default() } else { refusal("SUBACK", *reason, properties.clone()) };
            // Who is refused leaves; the last to leave takes the filter along.
            subscription.state = if is_granted { State::Granted } else { State::Wanted };
            told.extend(subscription.users.iter().map(|user| (*user, cause.clone())));
        }
        for (user, cause) in told {
            let result = if cause.is_empty() { Ok(()) } else { Err(&cause) };
            if self.core.wsis.get(user).is_some_and(|wsi| wsi.binding != Binding::None) {
                self.wsi_event(user, WsiEvent::Mqtt(MqttEvent::Subscribed(result)));
            }
        }
    }
}
