//! HTTP/2: a connection whose streams are children, each of which is to its user what a connection over HTTP/1.1 is. Here
//! is what they share, and where its events go.

mod children;
mod ending;
mod fall_back;
mod memory;
mod sending;
#[cfg(test)]
mod tests;
#[cfg(feature = "ws")]
mod tunnel;
mod upgrade;
mod windows;
mod wish;

pub(crate) use memory::Memory;
pub(crate) use wish::{HalfClose, StreamWish};

use super::{Framed, Role};
use crate::Us;
use crate::cause::Cause;
use crate::context::scratch::Scratch;
use crate::context::sparse::{Number, Sparse};
use crate::context::{Context, Core, SulId, WsiEvent};
use crate::http::Head;
use crate::wsi::{Binding, Flags, Wait, WsiId, WsiState};
use h2::{Code, EncodeError, Engine, Event, Limits, StreamId};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that may wait to be sent before the peer is not listened to any more: one that does not read is not answered.
const FRONT_MOST: usize = 64 * 1024;

/// What a stream that finds its user by its request has to say before that: taken in, and three states.
const FIRST_EFFECTS: usize = 4;

/// What every client says first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of a client's preface is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preface {
    None,
    Part,
    Whole,
}

/// Where the message is at that a child receives.
#[derive(Debug, Default)]
enum Incoming {
    #[default]
    Arriving,
    /// All of it is there, and its user takes nothing now: what came behind it waits.
    Held(Box<Head>),
    Ended,
}

/// Where a child is that may want to send.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It has not asked, or has had its turn.
    #[default]
    Away,
    /// It waits for its turn.
    Queued,
    /// It has had no turn because the connection's window is shut: its turn comes before those of all that are queued.
    InLine,
    /// Its own window is shut.
    Blocked,
}

/// What a child that is open has under way.
#[derive(Debug, Default)]
struct Exchange {
    /// None before it has sent its request.
    stream: Option<StreamId>,
    incoming: Incoming,
    wish: StreamWish,
    /// Of a client: the response's head is there.
    has_head: bool,
    /// Of a client: the end of its request is not said before that.
    half_close_due: bool,
    /// An extended CONNECT (RFC 8441), which has not been refused.
    is_tunnel: bool,
    place: Place,
}

/// What the users of a connection share.
#[derive(Debug)]
pub(crate) struct H2 {
    engine: Engine,
    is_server: bool,
    /// A head is arriving, as of the last look.
    is_amid_head: bool,
    /// Everything below is up, and the peer is known to speak this.
    is_started: bool,
    /// What the peer takes is known, how many streams at a time above all: of a client that came by an upgrade, when it has gone
    /// on in HTTP/2.
    has_settings: bool,
    /// A message of the peer's has come to its end: it may leave when it thinks that all is over.
    is_proven: bool,
    children: Sparse<StreamId, WsiId>,
    exchanges: Sparse<WsiId, Exchange>,
    /// Those for which the server has no place, or that came before it was there.
    waiting: VecDeque<WsiId>,
    /// Exchanges that have no stream yet: a place is kept for each.
    unasked: usize,
    /// Those that want to send, and those of them for which the connection has no room, each in the order of their turns.
    queue: VecDeque<WsiId>,
    line: VecDeque<WsiId>,
    /// When the connection's window was opened last.
    opened: Us,
    /// Of a server: its client says nothing more, and may still listen.
    is_half_closed: bool,
    /// What the peer has left for, if it did because of an error.
    goodbye: Option<Code>,
    /// Whose payload it is that is being framed.
    sending: Option<(WsiId, StreamId)>,
    /// Set while the peer has settings of ours to acknowledge.
    settings_timer: Option<SulId>,
    #[cfg(feature = "ws")]
    tunnels: tunnel::Tunnels,
    /// It has taken up memory, which it puts by when it is at rest.
    has_memory: bool,
}

impl Number for StreamId {
    fn number(self) -> u64 {
        u64::from(self.get())
    }
}

impl H2 {
    pub(super) fn client() -> Self {
        Self::new(Engine::client(Limits::default()), false)
    }

    fn server(engine: Engine) -> Self {
        Self { is_started: true, ..Self::new(engine, true) }
    }

    fn new(engine: Engine, is_server: bool) -> Self {
        Self {
            engine,
            is_server,
            is_amid_head: false,
            is_started: false,
            has_settings: false,
            is_proven: false,
            children: Sparse::default(),
            exchanges: Sparse::default(),
            waiting: VecDeque::new(),
            unasked: 0,
            queue: VecDeque::new(),
            line: VecDeque::new(),
            opened: Us::default(),
            is_half_closed: false,
            goodbye: None,
            sending: None,
            settings_timer: None,
            #[cfg(feature = "ws")]
            tunnels: tunnel::Tunnels::default(),
            has_memory: false,
        }
    }

    pub(super) fn has_event(&self) -> bool {
        self.engine.has_event()
    }

    /// Takes requests, though perhaps not at once.
    pub(super) fn carries(&self) -> bool {
        self.is_started && (self.is_server || self.engine.can_open() != Err(EncodeError::Ending))
    }

    /// How many streams may begin. One, before the server has said how many it takes, though clients need not wait for that
    /// (RFC 9113 3.4): a request that is refused when its body is on its way cannot be sent again, and a failed try costs its
    /// user more than the one round trip that the others of a new connection wait for.
    fn places(&self) -> usize {
        let known = if self.has_settings { usize::MAX } else { 1_usize.saturating_sub(self.exchanges.len()) };
        self.engine.places().saturating_sub(self.unasked).min(known)
    }

    /// The children of which this is true, in the order in which their streams began; those that have none yet come last.
    fn children_that(&self, is_such: impl Fn(&Exchange) -> bool) -> Vec<WsiId> {
        let such = self.exchanges.iter().filter(|(_, exchange)| is_such(exchange));
        let mut such: Vec<_> =
            such.map(|(child, at)| (at.stream.map_or(u32::MAX, StreamId::get), child)).collect();
        such.sort_unstable();
        such.into_iter().map(|(_, child)| child).collect()
    }

    fn stream_of(&self, child: WsiId) -> Option<StreamId> {
        self.exchanges.get(child)?.stream
    }

    /// Lets the engine frame a payload; a message whose declared length is reached is over, said or not.
    fn frame(&mut self, len: usize, is_eom: bool) -> Result<Framed, EncodeError> {
        let Some((_, stream)) = self.sending else { return Ok(Framed::NOTHING) };
        let is_eom = is_eom || self.engine.tx_left(stream) == Some(len as u64);
        let frame = match self.engine.frame(stream, len, is_eom) {
            Ok(frame) if frame.is_suppressed() => return Ok(Framed::NOTHING),
            Ok(frame) => frame,
            // The peer wants no more of it.
            Err(EncodeError::Stream) => return Ok(Framed::NOTHING),
            Err(error) => return Err(error),
        };
        Ok(Framed::with_prefix(frame.prefix()))
    }
}

impl Core {
    pub(super) fn h2_is(&self, id: WsiId) -> bool {
        matches!(self.wsis.get(id).map(|wsi| &wsi.role), Some(Role::H2(_)))
    }

    /// The role of a connection that has users; none while it is on its way out.
    fn h2_mut(&mut self, id: WsiId) -> Option<&mut H2> {
        let wsi = self.wsis.get_mut(id).filter(|wsi| wsi.state() == WsiState::Open)?;
        match &mut wsi.role {
            Role::H2(h2) => Some(h2),
            _ => None,
        }
    }

    /// The connection is there: if its server speaks HTTP/2, requests may go out at once (RFC 9113 3.4).
    pub(super) fn h2_start(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        let is_agreed = wsi.has_agreed_on_h2();
        let saturates = wsi
            .rare
            .as_ref()
            .and_then(|rare| rare.pool_key.as_ref())
            .is_some_and(|info| info.window_saturates);
        let Role::H2(h2) = &mut wsi.role else { return };
        if saturates {
            h2.engine = Engine::client(Limits { saturates, ..Limits::default() });
        }
        if !is_agreed {
            return self.h2_fall_back(id);
        }
        h2.is_started = true;
        self.h2_flush(id);
        self.h2_expect_acknowledgement(id);
        self.h2_admit(id);
    }

    /// A client has agreed by TLS on HTTP/2: the connection takes its streams.
    pub(crate) fn h2_is_agreed(&mut self, id: WsiId) -> bool {
        let is_agreed = self.wsis.get_mut(id).is_some_and(|wsi| wsi.is_tls() && wsi.has_agreed_on_h2());
        if is_agreed {
            self.h2_serve(id);
        }
        is_agreed
    }

    /// Whether a client without TLS begins to speak HTTP/2 on a connection that has no user yet.
    pub(super) fn h2_preface(&self, id: WsiId, bytes: &[u8]) -> Preface {
        let Some(wsi) = self.wsis.get(id).filter(|wsi| wsi.binding == Binding::None) else {
            return Preface::None;
        };
        if wsi.is_tls() || !wsi.vhost.is_some_and(|vhost| self.vhost_speaks_h2(vhost)) {
            Preface::None
        } else if bytes.starts_with(PREFACE) {
            Preface::Whole
        } else if PREFACE.starts_with(bytes) {
            Preface::Part
        } else {
            Preface::None
        }
    }

    pub(super) fn h2_serve(&mut self, id: WsiId) {
        self.h2_begin(id, Engine::server(self.h2_limits(id)));
        self.role_wait(id, Wait::Request, self.timeouts.request);
        self.h2_greet(id);
    }

    /// The connection speaks HTTP/2 from here on.
    fn h2_begin(&mut self, id: WsiId, engine: Engine) {
        let Some(wsi) = self.wsis.get_mut(id) else { return };
        wsi.role = Role::H2(Box::new(H2::server(engine)));
        wsi.binding = Binding::Carrier;
        // This role can ask for signs of life, which the one before could not.
        self.validity_start(id);
    }

    /// Sends a server's first words, and its last where it is on its way out.
    fn h2_greet(&mut self, id: WsiId) {
        if self.vhost_is_leaving(id) {
            self.h2_shut_down(id);
        }
        self.h2_flush(id);
        self.h2_expect_acknowledgement(id);
    }

    /// What a server grants on a connection, which is for all vhosts of its listener. By hand: there may be users who say how
    /// much their clients may send.
    fn h2_limits(&self, id: WsiId) -> Limits {
        let (limits, by_hand) = (Limits::default(), self.grants_by_hand(id));
        let initial_window = if by_hand { 0 } else { limits.initial_window };
        let connect_protocol = cfg!(feature = "ws") && self.grants_websockets(id);
        Limits { by_hand, initial_window, connect_protocol, ..limits }
    }

    /// Sends what the protocol itself has to say, before the next payload.
    fn h2_flush(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get_mut(id).filter(|wsi| wsi.state() == WsiState::Open) else { return };
        let Role::H2(h2) = &mut wsi.role else { return };
        // Where more waits than that, the engine bounds the rest.
        if h2.engine.has_output() && wsi.front.len() <= FRONT_MOST {
            self.spares.lend(&mut wsi.front);
            h2.engine.poll_output(&mut wsi.front);
            self.wsi_request_flush(id);
        }
    }

    /// Something was sent: a peer that was not listened to because it did not read is heard again.
    pub(super) fn h2_progress(&mut self, id: WsiId) {
        self.h2_flush(id);
        let Some(wsi) = self.wsis.get_mut(id).filter(|wsi| matches!(wsi.role, Role::H2(_))) else { return };
        if wsi.flags.has(Flags::RX_FLOW_OFF) && wsi.front.len() + wsi.unsent.len() <= FRONT_MOST {
            wsi.flags.clear(Flags::RX_FLOW_OFF);
            self.schedule(id);
        }
    }

    /// A peer that held up our sending has taken all that there was.
    pub(super) fn h2_drained(&mut self, id: WsiId) {
        if self.families.is_lonely(id) {
            self.carrier_idles(id);
        }
        self.h2_progress(id);
    }

    /// Asks the peer for a sign of life.
    pub(super) fn h2_ping(&mut self, id: WsiId) {
        if let Some(h2) = self.h2_mut(id) {
            h2.engine.ping([0; 8]);
            self.h2_flush(id);
        }
    }

    /// Tells the peer that no more streams are taken.
    pub(super) fn h2_goodbye(&mut self, id: WsiId) {
        if let Some(h2) = self.h2_mut(id) {
            h2.engine.go_away(Code::NO_ERROR);
            self.h2_flush(id);
        }
    }

    fn h2_fail(&mut self, id: WsiId, error: h2::Error) {
        #[cfg(feature = "ws")]
        if self.h2_mut(id).is_some_and(|h2| !h2.is_server && !h2.has_settings) {
            self.h2_takes_no_ws(id);
        }
        self.h2_flush(id);
        self.close_flushed(id, Some(Cause::protocol(&error.to_string())));
    }

    /// A request that does not end with its head has a body, though it may be empty: no field has to say so (RFC 9113 8.1).
    pub(super) fn h2_has_body(&self, child: WsiId) -> bool {
        let carrier = self.parent(child).and_then(|id| self.wsis.get(id));
        carrier.is_some_and(|wsi| matches!(&wsi.role, Role::H2(h2) if !h2.has_event()))
    }

    /// A head that comes by drips holds up all streams of its connection: it has as long as a request.
    fn h2_watch_head(&mut self, id: WsiId) {
        let Some(h2) = self.h2_mut(id).filter(|h2| h2.is_server) else { return };
        let is_amid = h2.engine.is_amid_head();
        if std::mem::replace(&mut h2.is_amid_head, is_amid) == is_amid {
            return;
        }
        let is_waiting = self.wsis.get(id).is_some_and(|wsi| wsi.deadline.is(Wait::Request));
        match self.families.is_lonely(id) {
            _ if is_amid && is_waiting => {}
            _ if is_amid => self.role_wait(id, Wait::Request, self.timeouts.request),
            true => self.carrier_idles(id),
            false => self.role_wait(id, Wait::Nothing, Duration::ZERO),
        }
    }

    /// What a user had to send is not what it had announced.
    pub(super) fn h2_cannot_send(&mut self, id: WsiId, error: EncodeError) {
        if let Some((child, _)) = self.h2_mut(id).and_then(|h2| h2.sending.take()) {
            self.close(child, Some(Cause::protocol(&error.to_string())));
        }
    }
}

impl Context {
    pub(super) fn h2_input(&mut self, id: WsiId, bytes: &mut [u8], scratch: &mut Scratch) -> usize {
        let mut done = 0;
        self.core.h2_furnish(id);
        loop {
            // What an event leads to comes before the next event.
            if !self.settle() || self.core.effects_left < FIRST_EFFECTS {
                self.core.schedule(id);
                break;
            }
            let now = self.core.now.as_us();
            let Some(wsi) = self.core.wsis.get_mut(id) else { return bytes.len() };
            if wsi.state() != WsiState::Open {
                return bytes.len();
            }
            if wsi.front.len() + wsi.unsent.len() > FRONT_MOST {
                wsi.flags.set(Flags::RX_FLOW_OFF);
                break;
            }
            let Role::H2(h2) = &mut wsi.role else { return bytes.len() };
            let left = bytes.get(done..).unwrap_or_default();
            match h2.engine.input(now, left, &mut scratch.head) {
                Ok((0, None)) => break,
                Ok((used, event)) => {
                    let piece = bytes.get_mut(done..done + used).unwrap_or_default();
                    done += used;
                    if let Some(event) = event {
                        self.h2_event(id, event, piece, scratch);
                    }
                }
                Err(error) => {
                    self.core.h2_fail(id, error);
                    return bytes.len();
                }
            }
        }
        self.core.h2_watch_head(id);
        self.core.h2_flush(id);
        self.core.h2_see_acknowledgement(id);
        self.core.h2_end_if_drained(id);
        self.core.h2_rests(id);
        done
    }

    fn h2_event(&mut self, id: WsiId, event: Event, piece: &mut [u8], scratch: &mut Scratch) {
        match event {
            Event::Request { stream } => self.h2_request_event(id, stream, &scratch.head),
            Event::Informational { stream } | Event::Response { stream } => {
                let Some(child) = self.core.h2_child(id, stream) else { return };
                if matches!(event, Event::Response { .. }) {
                    self.core.h2_answered(id, child);
                }
                if let Some(wsi) = self.core.wsis.get_mut(child) {
                    wsi.flags.set(Flags::GOT_RX);
                }
                self.core.h2_wait_for_more(child);
                #[cfg(feature = "ws")]
                if !self.core.h2_ws_answered(child, &scratch.head) {
                    return;
                }
                self.wsi_event(child, WsiEvent::Response(&scratch.head));
            }
            Event::Body { stream, range } => {
                let piece = piece.get_mut(range).unwrap_or_default();
                if let Some(child) = self.core.h2_child(id, stream) {
                    self.h2_body(child, piece, scratch);
                }
            }
            Event::End { stream } => {
                if let Some(child) = self.core.h2_child(id, stream) {
                    self.h2_end(id, child, &scratch.head);
                }
            }
            Event::Reset { stream, code } => self.core.h2_was_reset(id, stream, code),
            Event::Failed { stream, error } => {
                if let Some(child) = self.core.h2_child(id, stream) {
                    self.core.close(child, Some(Cause::protocol(&error.to_string())));
                }
            }
            Event::Window { stream: None } => self.core.h2_opened(id),
            Event::Window { stream: Some(stream) } => {
                if let Some(child) = self.core.h2_child(id, stream) {
                    self.core.h2_unblock(id, child);
                }
            }
            Event::Settings => {
                self.core.h2_unblock_by_settings(id);
                self.core.h2_admit(id);
            }
            Event::Pong { .. } => self.core.validity_confirmed(id),
            Event::GoAway { last, code } => self.core.h2_went_away(id, last, code),
        }
    }

    /// A client has begun a stream: it gets a user, who hears of it before it hears of the request.
    fn h2_request_event(&mut self, id: WsiId, stream: StreamId, head: &Head) {
        let Some(child) = self.core.h2_new_child(id, stream, head) else { return };
        self.settle();
        if self.core.wsis.get(child).is_none() {
            return;
        }
        self.core.h2_wait_for_more(child);
        self.wsi_event(child, WsiEvent::Request(head));
        self.settle();
        self.core.h2_continue(id, stream);
    }

    fn h2_body(&mut self, child: WsiId, piece: &mut [u8], scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get_mut(child) else { return };
        #[cfg(feature = "ws")]
        if matches!(wsi.role, Role::Ws(_)) {
            return self.h2_ws_input(child, piece, scratch);
        }
        let _ = scratch;
        if wsi.flags.any(Flags::RX_FLOW_OFF | Flags::UNDECIDED) || !wsi.rest.is_empty() {
            if self.core.h2_has_all(child) {
                return;
            }
            // No more than the window that it was granted before.
            let Some(wsi) = self.core.wsis.get_mut(child) else { return };
            self.core.spares.lend(&mut wsi.rest);
            return wsi.rest.extend_from_slice(piece);
        }
        self.core.h2_wait_for_more(child);
        self.wsi_event(child, WsiEvent::Rx(piece));
    }

    fn h2_end(&mut self, id: WsiId, child: WsiId, trailers: &Head) {
        let Some(wsi) = self.core.wsis.get(child) else { return };
        let is_bare = matches!(wsi.role, Role::Child(_));
        let is_held =
            is_bare && (wsi.flags.any(Flags::RX_FLOW_OFF | Flags::UNDECIDED) || !wsi.rest.is_empty());
        let Some(h2) = self.core.h2_mut(id) else { return };
        h2.is_proven = true;
        let Some(exchange) = h2.exchanges.get_mut(child) else { return };
        if is_held {
            if !matches!(exchange.incoming, Incoming::Ended) {
                exchange.incoming = Incoming::Held(Box::new(trailers.clone()));
            }
            return;
        }
        exchange.incoming = Incoming::Ended;
        #[cfg(feature = "ws")]
        if !is_bare {
            return self.core.h2_ws_ended(child);
        }
        self.h2_tell_end(child, trailers);
    }

    fn h2_tell_end(&mut self, child: WsiId, trailers: &Head) {
        self.core.h2_wait(child, Wait::Nothing, Duration::ZERO);
        self.wsi_event(child, WsiEvent::End(trailers));
        self.core.h2_child_progress(child);
    }
}
