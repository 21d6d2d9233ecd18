//! HTTP/1.1: the events of its engine to bindings, and their requests and responses to the engine.

use super::{Framed, Role};
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::{Context, Core, WsiEvent};
use crate::error::Error;
use crate::http::{BodyLength, Method, Status};
use crate::wsi::{Flags, Wait, WsiId, WsiState};
use h1::{Engine, Event};
use std::cell::Cell;
use std::time::Duration;

/// What a connection that finds its user by its first request has to say before that: taken in, and three states.
const FIRST_EFFECTS: usize = 4;

/// Lets the engine frame a payload; a message whose declared length is reached is over, said or not.
pub(super) fn frame(engine: &mut Engine, len: usize, is_eom: bool) -> Result<Framed, h1::EncodeError> {
    let is_eom = is_eom || engine.tx_left() == Some(len as u64);
    let frame = engine.frame(len, is_eom)?;
    let keep = !frame.is_suppressed();
    Ok(Framed { suffix: frame.suffix(), keep, ..Framed::with_prefix(frame.prefix()) })
}

/// RFC 9110 6.6.1: a server with a clock says when it answered, unless the fields do already.
pub(super) fn dated<'f: 'd, 'd>(
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
    date: &'d [u8],
    has_date: &Cell<bool>,
) -> impl Iterator<Item = (&'d [u8], &'d [u8])> {
    let fields = fields.map(|(name, value)| -> (&'d [u8], &'d [u8]) {
        has_date.set(has_date.get() || name.eq_ignore_ascii_case(b"date"));
        (name, value)
    });
    fields.chain(std::iter::once((&b"Date"[..], date)).filter(|_| !has_date.get()))
}

impl Context {
    pub(super) fn h1_input(&mut self, id: WsiId, bytes: &mut [u8], scratch: &mut Scratch) -> usize {
        #[cfg(feature = "h2")]
        match self.core.h2_preface(id, bytes) {
            super::h2::Preface::None => {}
            super::h2::Preface::Part => {
                self.h1_waits(id, !bytes.is_empty());
                return 0;
            }
            super::h2::Preface::Whole => {
                self.core.h2_serve(id);
                return self.h2_input(id, bytes, scratch);
            }
        }
        let mut done = 0;
        loop {
            // What an event leads to comes before the next event.
            if !self.settle() || self.core.effects_left < FIRST_EFFECTS {
                self.core.schedule(id);
                return done;
            }
            let Some(wsi) = self.core.wsis.get_mut(id) else { return bytes.len() };
            if wsi.state() != WsiState::Open || wsi.flags.has(Flags::RX_FLOW_OFF) {
                return done;
            }
            let Role::H1(engine) = &mut wsi.role else { return done };
            let left = bytes.get(done..).unwrap_or_default();
            match engine.input(left, &mut scratch.head) {
                Ok((0, None)) => {
                    self.h1_waits(id, !left.is_empty());
                    return done;
                }
                Ok((used, event)) => {
                    let piece = left.get(..used).unwrap_or_default();
                    done += used;
                    if matches!(event, Some(Event::End)) && used < left.len() {
                        wsi.flags.set(Flags::UNASKED);
                    }
                    if let Some(event) = event {
                        self.h1_event(id, event, piece, scratch);
                    }
                }
                Err(error) => {
                    self.h1_error(id, error);
                    return bytes.len();
                }
            }
        }
    }

    fn h1_event(&mut self, id: WsiId, event: Event, piece: &[u8], scratch: &mut Scratch) {
        match event {
            Event::Request => {
                #[cfg(feature = "h2")]
                if self.h2_upgrade(id, scratch) {
                    return;
                }
                if !self
                    .core
                    .meant_for(id, scratch.head.authority().and_then(|name| str::from_utf8(name).ok()))
                {
                    let cause = Cause::protocol("a request for another vhost than the connection's");
                    return self.h1_refuse(id, h1::Error::Misdirected, cause);
                }
                // Whom the request is for hears of the connection before it hears of the request.
                self.settle();
                self.core.h1_wait(id, Wait::Request);
                self.wsi_event(id, WsiEvent::Request(&scratch.head));
                self.h1_continue(id);
            }
            Event::Informational | Event::Response => {
                self.core.role_wait(id, Wait::Response, self.core.timeouts.response);
                self.wsi_event(id, WsiEvent::Response(&scratch.head));
            }
            Event::Body(range) => {
                let (why, limit) = match self.core.wsis.get(id) {
                    Some(wsi) if wsi.flags.has(Flags::ACCEPTED) => {
                        (Wait::Request, self.core.timeouts.request)
                    }
                    _ => (Wait::Response, self.core.timeouts.response),
                };
                self.core.role_wait(id, why, limit);
                self.wsi_event(id, WsiEvent::Rx(piece.get(range).unwrap_or_default()));
            }
            Event::End => {
                self.core.user_turn(id);
                self.wsi_event(id, WsiEvent::End(&scratch.head));
                self.core.h1_progress(id);
            }
            #[cfg(feature = "ws")]
            Event::Upgraded => self.ws_upgraded(id, scratch),
            // Nobody else asks for an upgrade; a server that offers one unasked breaks the rules (RFC 9110 7.8).
            #[cfg(not(feature = "ws"))]
            Event::Upgraded => {
                self.core.close(id, Some(Cause::protocol("the server switched protocols unasked")));
            }
        }
        let may_write = |wsi: &crate::wsi::Wsi| {
            wsi.flags.has(Flags::WRITABLE) && wsi.flags.any(Flags::WANT_TX | Flags::WANT_FLUSH)
        };
        if self.settle() && self.core.wsis.get(id).is_some_and(may_write) {
            self.answer_turn(id, scratch);
        }
    }

    /// RFC 9110 10.1.1: a client that waits for leave to send its body gets it, unless the response is there already.
    fn h1_continue(&mut self, id: WsiId) {
        if !self.settle() {
            return;
        }
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let Role::H1(engine) = &mut wsi.role else { return };
        if engine.expects_continue() && engine.encode_informational(Status::CONTINUE, &mut wsi.front).is_ok()
        {
            self.core.wsi_request_flush(id);
        }
    }

    /// The engine wants more bytes: how long the peer may take for them depends on whether it has begun.
    fn h1_waits(&mut self, id: WsiId, begun: bool) {
        let Some(wsi) = self.core.wsis.get(id) else { return };
        if begun && wsi.deadline.is(Wait::KeepAlive) {
            self.core.role_wait(id, Wait::Request, self.core.timeouts.request);
        }
    }

    /// A request that has begun and does not come to its end is answered (RFC 9110 15.5.9); silence is not.
    pub(super) fn h1_request_timed_out(&mut self, id: WsiId) {
        let cause = Cause::timeout(crate::cause::Phase::Answering);
        match self.core.wsis.get(id).map(|wsi| &wsi.role) {
            Some(Role::H1(engine)) if engine.is_receiving() => {
                self.h1_refuse(id, h1::Error::TimedOut, cause);
            }
            _ => self.core.close_flushed(id, Some(cause)),
        }
    }

    fn h1_error(&mut self, id: WsiId, error: h1::Error) {
        self.h1_refuse(id, error, Cause::protocol(&error.to_string()));
    }

    fn h1_refuse(&mut self, id: WsiId, error: h1::Error, cause: Cause) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let Role::H1(engine) = &mut wsi.role else { return };
        if wsi.flags.has(Flags::ACCEPTED) {
            engine.error_response(error, Some(self.core.date.at(self.core.wall_secs)), &mut wsi.front);
            self.core.wsi_request_flush(id);
            return self.core.close_flushed(id, Some(cause));
        }
        self.core.close(id, Some(cause));
    }

    pub(super) fn h1_eof(&mut self, id: WsiId, scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(id) else { return };
        let is_server = wsi.flags.has(Flags::ACCEPTED);
        let Role::H1(engine) = &mut wsi.role else { return };
        scratch.head.clear();
        match engine.input_eof() {
            Ok(Some(event)) => {
                self.h1_event(id, event, &[], scratch);
                self.core.h1_progress(id);
            }
            // A peer that has said all may still wait for its answer (RFC 9112 9.6).
            Ok(None) if is_server && engine.rx_done() && !engine.tx_done() => {}
            Ok(None) if is_server => self.core.close_flushed(id, None),
            Ok(None) => self.core.close(id, Some(Cause::closed(crate::cause::Phase::Answering))),
            // The answers to the requests before it may not have been sent.
            Err(error) if is_server => {
                self.core.close_flushed(id, Some(Cause::protocol(&error.to_string())));
            }
            Err(error) => self.core.close(id, Some(Cause::protocol(&error.to_string()))),
        }
    }
}

impl Core {
    /// After anything that may have completed an exchange.
    pub(super) fn h1_progress(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        if !wsi.flags.has(Flags::ACCEPTED) || wsi.state() != WsiState::Open {
            return;
        }
        let Role::H1(engine) = &mut wsi.role else { return };
        if !engine.tx_done() || wsi.deadline.is(Wait::KeepAlive) {
            return;
        }
        if !engine.may_reuse() || (engine.rx_done() && wsi.flags.has(Flags::EOF)) {
            return self.close_flushed(id, None);
        }
        if engine.rx_done() {
            self.role_wait(id, Wait::KeepAlive, self.timeouts.keep_alive);
            let Some(wsi) = self.wsis.get(id) else { return };
            if !wsi.rest.is_empty() || wsi.flags.any(Flags::READABLE) {
                self.schedule(id);
            }
        }
    }

    /// Part of a message is on its way; of a request: the response is awaited from here on.
    pub(super) fn h1_framed(&mut self, id: WsiId) {
        match self.wsis.get(id) {
            Some(wsi) if !wsi.flags.has(Flags::ACCEPTED) => self.h1_expect_response(id),
            _ => self.h1_progress(id),
        }
    }

    fn h1_expect_response(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get(id) else { return };
        if matches!(&wsi.role, Role::H1(engine) if !engine.rx_done() && !engine.is_idle()) {
            self.h1_wait(id, Wait::Response);
        }
    }

    /// Waits for what the peer has to send, unless our user takes nothing: then it is not the peer who is slow.
    fn h1_wait(&mut self, id: WsiId, why: Wait) {
        let Some(wsi) = self.wsis.get(id) else { return };
        let limit = if why == Wait::Request { self.timeouts.request } else { self.timeouts.response };
        if !wsi.flags.has(Flags::RX_FLOW_OFF) {
            self.role_wait(id, why, limit);
        }
    }

    /// A user takes payload again, or none for now.
    pub(super) fn h1_rx_flow(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let (is_off, is_server) = (wsi.flags.has(Flags::RX_FLOW_OFF), wsi.flags.has(Flags::ACCEPTED));
        let Role::H1(engine) = &wsi.role else { return };
        if is_off {
            if wsi.deadline.is(Wait::Request) || wsi.deadline.is(Wait::Response) {
                self.role_wait(id, Wait::Nothing, Duration::ZERO);
            }
        } else if !is_server {
            self.h1_expect_response(id);
        } else if engine.is_receiving() || (engine.is_idle() && wsi.deadline.is(Wait::Nothing)) {
            self.h1_wait(id, Wait::Request);
        }
    }

    /// A peer that held up our sending has taken all of it.
    pub(super) fn h1_drained(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get(id) else { return };
        let Role::H1(engine) = &wsi.role else { return };
        if !wsi.flags.has(Flags::ACCEPTED) {
            return self.h1_expect_response(id);
        }
        if engine.is_receiving() {
            self.h1_wait(id, Wait::Request);
        }
    }

    /// Queues the head of a request on an idle client connection. It goes out with the first piece of its body, if
    /// that is asked for in the same breath.
    pub(crate) fn http_request<'a>(
        &mut self,
        id: WsiId,
        method: Method,
        target: &[u8],
        host: &[u8],
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: BodyLength,
    ) -> Result<(), Error> {
        #[cfg(feature = "h2")]
        if self.parent(id).is_some() {
            return self.h2_request(id, ::h2::Request::new(method, b"", host, target), fields, body);
        }
        let Some(wsi) = self.wsis.get_mut(id) else { return Err(Error::Stale) };
        let state = wsi.state();
        let Role::H1(engine) = &mut wsi.role else { return Err(Error::WrongRole) };
        if state != WsiState::Open {
            return Err(Error::NotConnected);
        }
        self.spares.lend(&mut wsi.front);
        engine
            .encode_request(method, target, host, fields, body, &mut wsi.front)
            .map_err(|e| Error::Http(e.to_string()))?;
        let now = self.now;
        if let Some(timings) = self.wsis.get_mut(id).and_then(|wsi| wsi.rare.as_mut()?.timings.as_mut()) {
            timings.requested(now);
        }
        self.h1_wait(id, Wait::Response);
        self.wsi_request_flush(id);
        Ok(())
    }

    /// Queues the head of the response to the request at hand.
    pub(crate) fn http_respond<'a>(
        &mut self,
        id: WsiId,
        status: Status,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: BodyLength,
    ) -> Result<(), Error> {
        #[cfg(feature = "h2")]
        if self.parent(id).is_some() {
            return self.h2_respond(id, status, fields, body);
        }
        let Some(wsi) = self.wsis.get_mut(id) else { return Err(Error::Stale) };
        let state = wsi.state();
        let Role::H1(engine) = &mut wsi.role else { return Err(Error::WrongRole) };
        if state != WsiState::Open {
            return Err(Error::NotConnected);
        }
        self.spares.lend(&mut wsi.front);
        let (date, has_date) = (self.date.at(self.wall_secs), Cell::new(false));
        engine
            .encode_response(status, dated(fields, date, &has_date), body, &mut wsi.front)
            .map_err(|e| Error::Http(e.to_string()))?;
        self.wsi_request_flush(id);
        Ok(())
    }

    /// A fresh server connection waits for its first request.
    pub(crate) fn h1_serve(&mut self, id: WsiId) {
        self.role_wait(id, Wait::Request, self.timeouts.request);
    }

    /// The request that is being told has a body, whatever its fields say of it.
    pub(crate) fn http_has_body(&self, id: WsiId) -> bool {
        match self.wsis.get(id).map(|wsi| &wsi.role) {
            #[cfg(feature = "h2")]
            Some(Role::Child(_)) => self.h2_has_body(id),
            _ => false,
        }
    }

    /// The message that goes out is complete.
    pub(crate) fn http_tx_done(&self, id: WsiId) -> bool {
        match self.wsis.get(id).map(|wsi| &wsi.role) {
            Some(Role::H1(engine)) => engine.tx_done(),
            #[cfg(feature = "h2")]
            Some(Role::Child(_)) => self.h2_tx_done(id),
            _ => false,
        }
    }
}
