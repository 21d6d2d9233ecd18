//! Attempts: asked for, made, failed, and made again (spec: "Starting, asking, retrying").

use super::retry::{Backoff, Decision};
use super::stream::{Doing, StreamTimer};
use super::{StreamId, StreamKind, StreamState};
use crate::cause::Cause;
use crate::context::{Core, Effect, Timer};
use crate::error::Error;
use crate::plat::Us;
use crate::policy::{Protocol, StreamType};
use crate::wsi::{Binding, Flags, Wsi, WsiId};
use std::rc::Rc;
use std::time::Duration;

/// The least by which two attempts are apart.
const MOMENT: Duration = Duration::from_micros(1);

/// The policy's backoff scheme for a stream.
fn backoff_of(stream_type: &StreamType) -> Backoff<'_> {
    match stream_type.retry.as_deref() {
        Some(retry) => Backoff { table: &retry.backoff, conceal: retry.conceal, jitterpc: retry.jitterpc },
        None => Backoff::default(),
    }
}

impl Core {
    pub(crate) fn client_connect_stream(&mut self, id: StreamId) -> Result<(), Error> {
        if self.live(id)?.kind() != StreamKind::Client {
            return Err(Error::WrongKind("only a client stream connects"));
        }
        self.ask(id, Effect::Connect(id));
        Ok(())
    }

    /// `client_connect`, when its turn has come: all retries are ahead again.
    pub(crate) fn stream_connect(&mut self, id: StreamId) {
        let Ok(stream) = self.live_mut(id) else { return };
        if matches!(stream.doing, Doing::Idle | Doing::BackingOff) {
            stream.retry = 0;
            let next = self.now.saturating_add(MOMENT);
            if !self.waits(id, next) {
                self.attempt(id);
            }
        }
    }

    /// `request_tx` on a stream that was idle, when its turn has come.
    pub(crate) fn stream_poll(&mut self, id: StreamId) {
        let Ok(stream) = self.live_mut(id) else { return };
        if stream.doing == Doing::Idle {
            stream.retry = 0;
            if !self.waits(id, Us::from_us(u64::MAX)) {
                self.tell(id, StreamState::Poll);
                self.attempt(id);
            }
        }
    }

    /// An attempt may be over in no time: it joins what is there, or fails at once. A handler that asks again each time
    /// would keep the loop to itself; it has the next moment, and the others are served in between. Whoever asks where the
    /// last connection came to nothing waits for longer, though not after `latest`.
    fn waits(&mut self, id: StreamId, latest: Us) -> bool {
        let now = self.now;
        match self.live(id).map(|stream| stream.not_before) {
            Ok(at) if at > now => self.retry_at(id, at.min(latest)),
            _ => return false,
        }
        true
    }

    /// A timer of a stream.
    pub(crate) fn stream_timer(&mut self, id: StreamId, what: StreamTimer) {
        let Ok(stream) = self.live_mut(id) else { return };
        if let Some(timer) = stream.timers.get_mut(what as usize) {
            *timer = None;
        }
        match what {
            StreamTimer::Timeout => {
                let ordinal = stream.ordinal;
                self.ask(id, Effect::State(id, StreamState::Timeout, ordinal));
            }
            StreamTimer::Retry if stream.doing == Doing::BackingOff => {
                self.tell(id, StreamState::Poll);
                self.attempt(id);
            }
            StreamTimer::Retry => {}
        }
    }

    /// One attempt. How it goes is told by states.
    pub(super) fn attempt(&mut self, id: StreamId) {
        self.begin_attempt(id);
        self.bind(id);
    }

    /// What comes before a connection, whether it has to be made or is there.
    pub(crate) fn begin_attempt(&mut self, id: StreamId) {
        self.cancel_stream_timer(id, StreamTimer::Retry);
        let now = self.now;
        let Ok(stream) = self.live_mut(id) else { return };
        stream.doing = Doing::Attempting;
        stream.not_before = now.saturating_add(MOMENT);
        stream.txn = super::transaction::Transaction { tx_len: stream.txn.tx_len, ..Default::default() };
        stream.metadata.clear_from_peer();
        self.tell(id, StreamState::Connecting);
    }

    /// Gets the stream a connection.
    pub(crate) fn bind(&mut self, id: StreamId) {
        if self.live(id).is_ok_and(|stream| stream.stream_type.local_sink) {
            return self.effects.push_back(Effect::JoinSink(id));
        }
        let endpoint = match self.find_endpoint(id) {
            Ok(endpoint) => endpoint,
            Err(cause) => return self.attempt_failed(id, cause, None),
        };
        let Ok(stream) = self.live(id) else { return };
        let reuse = !stream.txn.fresh;
        let info = self.info_for(id, &endpoint);
        let wsi = self.client_connect(&info, Binding::Stream(id), reuse);
        if let Ok(stream) = self.live_mut(id) {
            stream.wsi = Some(wsi);
        }
    }

    pub(super) fn find_endpoint(&mut self, id: StreamId) -> Result<Rc<super::endpoint::Endpoint>, Cause> {
        let Ok(stream) = self.live_mut(id) else { return Err(Cause::by_us()) };
        if let Some(redirect) = &stream.txn.redirect {
            return Ok(Rc::clone(redirect));
        }
        if let Some(endpoint) = &stream.endpoint {
            return Ok(Rc::clone(endpoint));
        }
        let stream_type = Rc::clone(&stream.stream_type);
        let metadata = std::mem::take(&mut stream.metadata);
        let endpoint = self
            .endpoint(&stream_type, &metadata)
            .and_then(|endpoint| self.transport_client(endpoint, &stream_type, &metadata))
            .map(Rc::new);
        if let Ok(stream) = self.live_mut(id) {
            stream.metadata = metadata;
            let is_fixed = stream_type.endpoint.as_ref().is_some_and(crate::policy::Template::is_literal);
            // A client certificate is a blob, and so is who a MQTT client is: the application may replace at any time.
            let has_blobs = stream_type.client_cert.is_some() || stream_type.protocol == Some(Protocol::Mqtt);
            if is_fixed && !has_blobs {
                stream.endpoint = endpoint.as_ref().ok().cloned();
            }
        }
        endpoint
    }

    /// An attempt has come to nothing before CONNECTED.
    pub(crate) fn attempt_failed(&mut self, id: StreamId, cause: Cause, at_least: Option<Duration>) {
        let Ok(stream) = self.live_mut(id) else { return };
        log::info!(target: "millstream::stream", "{id} {}: unreachable: {cause}", stream.stream_type.name);
        let ordinal = u32::from(cause.is_name_server_unreachable());
        stream.cause = Some(Box::new(cause));
        stream.doing = Doing::Idle;
        self.effects.push_back(Effect::State(id, StreamState::Unreachable, ordinal));
        self.back_off(id, at_least);
    }

    /// The peer refuses our credentials: trying again with the same is of no use, and may lock an account.
    pub(crate) fn auth_failed(&mut self, id: StreamId, cause: Cause) {
        let Ok(stream) = self.live_mut(id) else { return };
        log::info!(target: "millstream::stream", "{id} {}: {cause}", stream.stream_type.name);
        stream.cause = Some(Box::new(cause));
        stream.doing = Doing::Idle;
        stream.wants_tx = false;
        self.tell(id, StreamState::AuthFailed);
    }

    /// Sets the time of the next attempt, or gives up until the application asks again.
    pub(crate) fn back_off(&mut self, id: StreamId, at_least: Option<Duration>) {
        let random = self.plat.random();
        let now = self.now;
        let Ok(stream) = self.live_mut(id) else { return };
        match backoff_of(&stream.stream_type).decide(stream.retry, random, at_least) {
            Decision::Retry(delay) => {
                stream.retry = stream.retry.saturating_add(1);
                log::debug!(target: "millstream::stream", "{id}: tries again in {delay:?}");
                self.retry_at(id, now.saturating_add(delay));
            }
            Decision::AllRetriesFailed => {
                stream.doing = Doing::Idle;
                stream.wants_tx = false;
                self.tell(id, StreamState::AllRetriesFailed);
            }
        }
    }

    /// The next attempt, when it is asked for, is as far from the last as a retry would have been.
    fn hold_off(&mut self, id: StreamId) {
        let random = self.plat.random();
        let Ok(stream) = self.live_mut(id) else { return };
        let delay = backoff_of(&stream.stream_type).delay(stream.retry, random);
        stream.not_before = stream.not_before.saturating_add(delay);
    }

    fn retry_at(&mut self, id: StreamId, at: Us) {
        let Ok(stream) = self.live_mut(id) else { return };
        stream.doing = Doing::BackingOff;
        let sul = self.suls.schedule(at, Timer::Stream(id, StreamTimer::Retry));
        self.set_stream_timer(id, StreamTimer::Retry, sul);
    }

    /// The transport can carry payload.
    pub(crate) fn stream_connected(&mut self, id: StreamId) {
        let Ok(stream) = self.live_mut(id) else { return };
        if stream.doing == Doing::Connected {
            return;
        }
        stream.doing = Doing::Connected;
        stream.retry = 0;
        stream.cause = None;
        self.tell(id, StreamState::Connected);
    }

    /// The connection of a stream is gone, for whatever reason.
    pub(crate) fn stream_closed(&mut self, id: StreamId, wsi: WsiId, cause: Option<Cause>, flags: Flags) {
        let Ok(stream) = self.live_mut(id) else { return };
        if stream.wsi != Some(wsi) {
            return;
        }
        stream.wsi = None;
        if stream.kind() == StreamKind::Accepted {
            stream.cause = cause.map(Box::new);
            let _ = self.destroy(id);
            return;
        }
        // RFC 9112 9.3.1: an idle connection may be closed while our request is on its way; what the server cannot have
        // acted upon is sent again, once.
        let unheard = flags.has(Flags::REUSED) && !flags.has(Flags::GOT_RX);
        let unseen = flags.has(Flags::UNSEEN) && !stream.txn.tx_begun;
        // One that leaves after it has served others is no reason to wait, however often.
        let is_free = unseen && unheard;
        let is_unserved = is_free
            || (!stream.txn.fresh && (unseen || (unheard && super::transport::is_repeatable(stream))));
        if is_unserved && !stream.txn.left {
            stream.txn.fresh |= !is_free;
            return self.bind(id);
        }
        #[cfg(all(feature = "h2", feature = "ws"))]
        if flags.has(Flags::NO_TUNNEL) && self.ws_falls_back(id) {
            return;
        }
        let Ok(stream) = self.live_mut(id) else { return };
        let cause = cause.unwrap_or_else(Cause::by_peer);
        match stream.doing {
            Doing::Attempting => self.attempt_failed(id, cause, None),
            Doing::Connected => {
                stream.cause = Some(Box::new(cause));
                // What was to stay open is missed, however well it had begun.
                stream.txn.is_good &= !stream.stream_type.long_poll;
                self.disconnected(id);
            }
            Doing::Idle | Doing::BackingOff => {}
        }
    }

    /// What was CONNECTED is over; what comes next is the policy's to say.
    pub(crate) fn disconnected(&mut self, id: StreamId) {
        let Ok(stream) = self.live_mut(id) else { return };
        let stream_type = Rc::clone(&stream.stream_type);
        let good = stream.txn.is_good;
        let at_least = stream.txn.failed_try;
        // Joining what is there takes no time, be it a sink or a connection that others use: who leaves at once and still
        // wants to send would be asked again without end in one moment.
        let is_barren = stream_type.local_sink || (stream.txn.left && !stream.txn.exchanged);
        // And a peer that takes connections, says nothing and closes them would be asked again with each round trip. One that
        // has taken a message may have nothing to say; for ever, it is not believed.
        let was_mute = std::mem::replace(&mut stream.is_mute, !stream.txn.left && !stream.txn.heard);
        let is_useless = stream.is_mute && (was_mute || !stream.txn.exchanged);
        stream.doing = Doing::Idle;
        stream.txn = super::transaction::Transaction::default();
        self.tell(id, StreamState::Disconnected);
        if stream_type.nailed_up || (!stream_type.opportunistic && !good) {
            return self.back_off(id, at_least);
        }
        match self.live(id) {
            Ok(stream) if stream.wants_tx && is_barren => self.back_off(id, at_least),
            Ok(stream) => {
                let wants_tx = stream.wants_tx;
                if is_useless {
                    self.hold_off(id);
                }
                if wants_tx {
                    self.effects.push_back(Effect::Poll(id));
                }
            }
            Err(_) => {}
        }
    }

    /// The handler wants the connection closed. No connection is no harm.
    pub(crate) fn stream_disconnect(&mut self, id: StreamId) {
        let Ok(stream) = self.live_mut(id) else { return };
        if let Some(peer) = stream.peer {
            return self.part(id, peer, [Cause::by_us(), Cause::by_peer()]);
        }
        let is_accepted = stream.kind() == StreamKind::Accepted;
        if let Some(wsi) = stream.wsi {
            stream.txn.left = true;
            // What a tx callback has sent is on its way for its user, wherever it is.
            let has_to_say = |wsi: &Wsi| wsi.role.says_goodbye() || wsi.has_unsent();
            if is_accepted || self.wsis.get(wsi).is_some_and(has_to_say) {
                self.close_flushed(wsi, Some(Cause::by_us()));
            } else {
                self.close(wsi, Some(Cause::by_us()));
            }
        }
    }

    /// The server of an accepted stream goes, and with it the stream.
    pub(crate) fn stream_leaves(&mut self, id: StreamId) {
        if let Some(wsi) = self.streams.get(id).and_then(|stream| self.wsis.get_mut(stream.wsi?)) {
            wsi.flags.set(Flags::LEAVING);
        }
    }

    /// A stream that goes away leaves its connection.
    pub(crate) fn unbind_stream(&mut self, id: WsiId) {
        if let Some(wsi) = self.wsis.get_mut(id) {
            wsi.binding = Binding::None;
            self.close_flushed(id, None);
        }
    }

    pub(crate) fn set_stream_timer(&mut self, id: StreamId, what: StreamTimer, sul: crate::SulId) {
        self.cancel_stream_timer(id, what);
        if let Ok(stream) = self.live_mut(id)
            && let Some(timer) = stream.timers.get_mut(what as usize)
        {
            *timer = Some(sul);
        }
    }

    pub(crate) fn cancel_stream_timer(&mut self, id: StreamId, what: StreamTimer) {
        let timer = self.streams.get_mut(id).and_then(|stream| stream.timers.get_mut(what as usize)?.take());
        if let Some(sul) = timer {
            self.suls.cancel(sul);
        }
    }
}
