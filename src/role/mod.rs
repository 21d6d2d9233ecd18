//! Roles: what a connection speaks at present. The engines are crates of their own under `roles/`; here is what binds
//! their events to connections, a file per engine. A new role is a variant, an arm in each match below, and a file.

mod carrier;
#[cfg(feature = "h1")]
mod h1;
#[cfg(feature = "h2")]
mod h2;
#[cfg(feature = "mqtt")]
mod mqtt;
mod raw;
#[cfg(feature = "ws")]
mod ws;

#[cfg(feature = "h2")]
pub(crate) use h2::{HalfClose, Memory as H2Memory, StreamWish};
#[cfg(feature = "mqtt")]
pub use mqtt::{MqttEvent, MqttInfo, MqttNotice};
#[cfg(feature = "mqtt")]
pub(crate) use mqtt::{MqttSessions, Turn};

use crate::cause::Cause;
use crate::context::scratch::{PREFIX_ROOM, Scratch};
use crate::context::{Context, Core};
use crate::secure_stream::TxState;
use crate::wsi::{ClientRole, WsiId};

#[cfg(feature = "ws")]
pub(crate) use ws::CloseReason;
#[cfg(feature = "ws")]
pub(crate) use ws::{Asked as WsAsked, Ws, answer as ws_answer};
#[cfg(feature = "ws")]
pub use ws::{WsDeflate, WsInfo};

/// What a wsi speaks.
#[derive(Debug)]
pub(crate) enum Role {
    /// Accepts connections.
    Listen(Box<crate::vhost::Listener>),
    /// Bytes as they come.
    Raw(::raw::Engine),
    /// Datagrams. They are served beside the others' way in and out: nothing of them is ever cut or joined.
    Udp(Box<crate::wsi::Udp>),
    /// A user of the connection that this names, and that speaks for it.
    Child(WsiId),
    #[cfg(feature = "h1")]
    H1(Box<::h1::Engine>),
    #[cfg(feature = "h2")]
    H2(Box<h2::H2>),
    #[cfg(feature = "mqtt")]
    Mqtt(Box<mqtt::Mqtt>),
    #[cfg(feature = "ws")]
    Ws(Box<Ws>),
}

/// What a role puts around a payload that stands in the loop's buffer.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) prefix: [u8; PREFIX_ROOM],
    pub(crate) prefix_len: usize,
    pub(crate) suffix: &'static [u8],
    /// False when the message may have no payload: nothing of it is sent.
    pub(crate) keep: bool,
}

impl Framed {
    const BARE: Self = Self { prefix: [0; PREFIX_ROOM], prefix_len: 0, suffix: &[], keep: true };
    #[cfg(feature = "h2")]
    const NOTHING: Self = Self { keep: false, ..Self::BARE };

    /// A prefix that has room: all have.
    #[cfg(feature = "h1")]
    fn with_prefix(prefix: &[u8]) -> Self {
        let mut framed = Self::BARE;
        if let Some(place) = framed.prefix.get_mut(..prefix.len()) {
            place.copy_from_slice(prefix);
            framed.prefix_len = prefix.len();
        }
        framed
    }
}

impl Role {
    pub(crate) fn for_client(role: ClientRole) -> Self {
        match role {
            ClientRole::Raw => Self::Raw(::raw::Engine::new()),
            ClientRole::Udp => Self::Udp(Box::default()),
            #[cfg(feature = "h1")]
            ClientRole::H1 => Self::H1(Box::new(::h1::Engine::client(::h1::Limits::default()))),
            #[cfg(feature = "h2")]
            ClientRole::H2 => Self::H2(Box::new(h2::H2::client())),
            #[cfg(feature = "mqtt")]
            ClientRole::Mqtt => Self::Mqtt(Box::default()),
            // It begins with a request.
            #[cfg(feature = "ws")]
            ClientRole::Ws => Self::H1(Box::new(::h1::Engine::client(::h1::Limits::default()))),
        }
    }

    /// The connection that carries it, where it has no socket of its own.
    pub(crate) fn carrier(&self) -> Option<WsiId> {
        match self {
            Self::Child(carrier) => Some(*carrier),
            #[cfg(feature = "ws")]
            Self::Ws(ws) => ws.carrier(),
            _ => None,
        }
    }

    /// The role takes no bytes until something else has happened.
    pub(crate) fn is_rx_paused(&self) -> bool {
        match self {
            Self::Listen(_) | Self::Raw(_) | Self::Udp(_) | Self::Child(_) => false,
            #[cfg(feature = "h1")]
            Self::H1(engine) => engine.is_paused(),
            #[cfg(feature = "h2")]
            Self::H2(_) => false,
            #[cfg(feature = "mqtt")]
            Self::Mqtt(mqtt) => mqtt.is_paused(),
            #[cfg(feature = "ws")]
            Self::Ws(_) => false,
        }
    }

    /// There is something to tell for which no more bytes are needed.
    pub(crate) fn has_event(&self) -> bool {
        match self {
            Self::Listen(_) | Self::Raw(_) | Self::Udp(_) | Self::Child(_) => false,
            #[cfg(feature = "h1")]
            Self::H1(engine) => engine.has_event(),
            #[cfg(feature = "h2")]
            Self::H2(h2) => h2.has_event(),
            #[cfg(feature = "mqtt")]
            Self::Mqtt(mqtt) => mqtt.has_event(),
            #[cfg(feature = "ws")]
            Self::Ws(ws) => ws.has_event(),
        }
    }

    /// How much payload the message at hand has room for.
    pub(crate) fn tx_room(&self) -> u64 {
        match self {
            Self::Raw(engine) if engine.tx_done() => 0,
            Self::Listen(_) | Self::Raw(_) | Self::Udp(_) | Self::Child(_) => u64::MAX,
            #[cfg(feature = "h1")]
            Self::H1(engine) => engine.tx_left().unwrap_or(u64::MAX),
            #[cfg(feature = "h2")]
            Self::H2(_) => u64::MAX,
            #[cfg(feature = "mqtt")]
            Self::Mqtt(_) => u64::MAX,
            #[cfg(feature = "ws")]
            Self::Ws(_) => u64::MAX,
        }
    }

    /// It has a way to ask its peer for a sign of life, and knows one when it sees it.
    pub(crate) fn can_ping(&self) -> bool {
        match self {
            Self::Listen(_) | Self::Raw(_) | Self::Udp(_) | Self::Child(_) => false,
            #[cfg(feature = "h1")]
            Self::H1(_) => false,
            #[cfg(feature = "h2")]
            Self::H2(_) => true,
            #[cfg(feature = "mqtt")]
            Self::Mqtt(_) => true,
            #[cfg(feature = "ws")]
            Self::Ws(_) => true,
        }
    }

    /// It has last words of its own, which the peer answers.
    #[allow(clippy::unused_self)]
    pub(crate) fn says_goodbye(&self) -> bool {
        #[cfg(feature = "ws")]
        return matches!(self, Self::Ws(_));
        #[cfg(not(feature = "ws"))]
        false
    }

    /// Somebody else may use the connection after its present user.
    pub(crate) fn may_reuse(&self) -> bool {
        match self {
            Self::Listen(_) | Self::Raw(_) | Self::Udp(_) | Self::Child(_) => false,
            #[cfg(feature = "h1")]
            Self::H1(engine) => engine.is_idle() && engine.may_reuse(),
            #[cfg(feature = "h2")]
            Self::H2(_) => false,
            #[cfg(feature = "mqtt")]
            Self::Mqtt(_) => false,
            #[cfg(feature = "ws")]
            Self::Ws(_) => false,
        }
    }
}

impl Context {
    /// Gives received bytes to the role, which may change them in place, and its events to the binding. Returns how many are
    /// done with.
    pub(crate) fn role_input(&mut self, id: WsiId, bytes: &mut [u8], scratch: &mut Scratch) -> usize {
        let Some(wsi) = self.core.wsis.get(id) else { return bytes.len() };
        match &wsi.role {
            Role::Listen(_) | Role::Udp(_) | Role::Child(_) => bytes.len(),
            Role::Raw(_) => self.raw_input(id, bytes),
            #[cfg(feature = "h1")]
            Role::H1(_) => self.h1_input(id, bytes, scratch),
            #[cfg(feature = "h2")]
            Role::H2(_) => self.h2_input(id, bytes, scratch),
            #[cfg(feature = "mqtt")]
            Role::Mqtt(_) => self.mqtt_input(id, bytes),
            #[cfg(feature = "ws")]
            Role::Ws(_) => self.ws_input(id, bytes, scratch),
        }
    }

    /// The peer has ended its side, and the role has had every byte of it.
    pub(crate) fn role_eof(&mut self, id: WsiId, scratch: &mut Scratch) {
        let Some(wsi) = self.core.wsis.get(id) else { return };
        match &wsi.role {
            Role::Raw(_) => self.raw_eof(id),
            Role::Listen(_) | Role::Udp(_) | Role::Child(_) => {
                let _ = scratch;
                self.core.close_flushed(id, None);
            }
            #[cfg(feature = "h1")]
            Role::H1(_) => self.h1_eof(id, scratch),
            #[cfg(feature = "h2")]
            Role::H2(_) => self.core.h2_eof(id),
            #[cfg(feature = "mqtt")]
            Role::Mqtt(_) => self.core.close(id, Some(Cause::by_peer())),
            #[cfg(feature = "ws")]
            Role::Ws(_) => self.ws_eof(id),
        }
    }

    /// Frames a payload, which may change in place; `None` when the role refuses, and the connection is closed for it.
    pub(crate) fn role_frame(
        &mut self,
        id: WsiId,
        payload: &mut [u8],
        state: TxState,
        scratch: &mut Scratch,
    ) -> Option<Framed> {
        let TxState { len, is_eom, .. } = state;
        let wsi = self.core.wsis.get_mut(id)?;
        match &mut wsi.role {
            Role::Listen(_) | Role::Udp(_) | Role::Child(_) => Some(Framed::BARE),
            // What comes after our end goes nowhere; the connection is as good as it was.
            Role::Raw(engine) => Some(Framed { keep: engine.frame(len, is_eom).is_ok(), ..Framed::BARE }),
            #[cfg(feature = "h1")]
            Role::H1(engine) => match h1::frame(engine, len, is_eom) {
                Ok(framed) => Some(framed),
                Err(error) => {
                    self.core.close(id, Some(Cause::protocol(&error.to_string())));
                    None
                }
            },
            #[cfg(feature = "h2")]
            Role::H2(_) => Some(self.core.h2_frame(id, payload, state, scratch)),
            #[cfg(feature = "mqtt")]
            Role::Mqtt(mqtt) => {
                mqtt.written(len);
                Some(Framed::BARE)
            }
            #[cfg(feature = "ws")]
            Role::Ws(ws) => {
                let is_server = wsi.flags.has(crate::wsi::Flags::ACCEPTED);
                let key = if is_server { [0; 4] } else { self.core.plat.mask_key() };
                match ws.frame(payload, state, key, &mut wsi.front, &mut self.core.spares, scratch) {
                    Ok(framed) => Some(framed),
                    Err(error) => {
                        self.core.close_flushed(id, Some(Cause::policy(&error.to_string())));
                        None
                    }
                }
            }
        }
    }

    /// A framed payload is on its way.
    pub(crate) fn framed_sent(&mut self, id: WsiId, scratch: &mut Scratch) {
        match self.core.wsis.get(id).map(|wsi| &wsi.role) {
            None | Some(Role::Listen(_) | Role::Raw(_) | Role::Udp(_) | Role::Child(_)) => {}
            #[cfg(feature = "h1")]
            Some(Role::H1(_)) => self.core.h1_framed(id),
            #[cfg(feature = "h2")]
            Some(Role::H2(_)) => self.h2_framed(id, scratch),
            #[cfg(feature = "mqtt")]
            Some(Role::Mqtt(_)) => self.mqtt_framed(id),
            #[cfg(feature = "ws")]
            Some(Role::Ws(_)) => self.core.ws_framed(id),
        }
    }

    /// The socket has taken all that there was.
    pub(crate) fn role_sent(&mut self, id: WsiId, scratch: &mut Scratch) {
        self.core.role_progress(id);
        self.raw_sent(id, scratch);
        #[cfg(feature = "ws")]
        {
            self.core.ws_output(id, scratch);
            self.core.ws_leave_if_idle(id);
        }
    }

    /// What a server waited for from its peer did not come.
    pub(crate) fn request_timed_out(&mut self, id: WsiId) {
        match self.core.wsis.get(id).map(|wsi| &wsi.role) {
            None | Some(Role::Listen(_) | Role::Raw(_) | Role::Udp(_) | Role::Child(_)) => {
                self.core.close_flushed(id, Some(Cause::timeout(crate::cause::Phase::Answering)));
            }
            #[cfg(feature = "h1")]
            Some(Role::H1(_)) => self.h1_request_timed_out(id),
            #[cfg(feature = "h2")]
            Some(Role::H2(_)) => self.core.carrier_retires(id),
            #[cfg(feature = "mqtt")]
            Some(Role::Mqtt(_)) => {
                self.core.close(id, Some(Cause::timeout(crate::cause::Phase::Established)));
            }
            #[cfg(feature = "ws")]
            Some(Role::Ws(_)) => {}
        }
    }
}

impl Core {
    /// A server connection has found its user.
    pub(crate) fn role_accepted(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get(id) else { return };
        match &wsi.role {
            // Its bytes come from the connection that carries it.
            Role::Child(_) => return,
            Role::Listen(_) | Role::Raw(_) | Role::Udp(_) => {}
            #[cfg(feature = "h1")]
            Role::H1(_) => self.h1_serve(id),
            #[cfg(feature = "h2")]
            Role::H2(_) => {}
            #[cfg(feature = "mqtt")]
            Role::Mqtt(_) => {}
            #[cfg(feature = "ws")]
            Role::Ws(_) => {}
        }
        self.schedule(id);
    }

    /// A client's request is not complete yet.
    pub(crate) fn role_is_sending(&self, id: WsiId) -> bool {
        match self.wsis.get(id).map(|wsi| &wsi.role) {
            #[cfg(feature = "h2")]
            Some(Role::Child(_)) => self.h2_is_sending(id),
            #[cfg(not(feature = "h2"))]
            Some(Role::Child(_)) => false,
            None | Some(Role::Listen(_) | Role::Raw(_) | Role::Udp(_)) => false,
            #[cfg(feature = "h1")]
            Some(Role::H1(engine)) => !engine.tx_done(),
            #[cfg(feature = "h2")]
            Some(Role::H2(_)) => false,
            #[cfg(feature = "mqtt")]
            Some(Role::Mqtt(_)) => false,
            #[cfg(feature = "ws")]
            Some(Role::Ws(_)) => false,
        }
    }

    /// A peer that held up our sending has taken all that there was.
    pub(crate) fn role_drained(&mut self, id: WsiId) {
        self.wait_no_more(id);
        let Some(wsi) = self.wsis.get(id) else { return };
        match &wsi.role {
            Role::Listen(_) | Role::Raw(_) | Role::Udp(_) | Role::Child(_) => {}
            #[cfg(feature = "h1")]
            Role::H1(_) => self.h1_drained(id),
            #[cfg(feature = "h2")]
            Role::H2(_) => self.h2_drained(id),
            #[cfg(feature = "mqtt")]
            Role::Mqtt(_) => self.mqtt_drained(id),
            #[cfg(feature = "ws")]
            Role::Ws(_) => {}
        }
    }

    /// Looks whether the exchange at hand is complete, and what follows from that.
    pub(crate) fn role_progress(&mut self, id: WsiId) {
        let Some(wsi) = self.wsis.get(id) else { return };
        match &wsi.role {
            Role::Listen(_) | Role::Raw(_) | Role::Udp(_) | Role::Child(_) => {}
            #[cfg(feature = "h1")]
            Role::H1(_) => self.h1_progress(id),
            #[cfg(feature = "h2")]
            Role::H2(_) => self.h2_progress(id),
            #[cfg(feature = "mqtt")]
            Role::Mqtt(_) => self.mqtt_flush(id),
            #[cfg(feature = "ws")]
            Role::Ws(_) => {}
        }
    }
}
