//! User code straight on a connection, without secure streams: `lws_protocols` of libwebsockets.

use super::WsiId;
use crate::cause::Cause;
use crate::context::Cx;
use crate::http::Head;
use crate::plat::Address;
use crate::{Flow, RxFlags, Tx, TxFlow};
use std::net::SocketAddr;

/// What a connection tells to user code that is bound to it.
///
/// The calls follow the connection's life: `established` (or `closed`, when it comes to nothing), then those of its
/// role, and `closed` exactly once at the end, never from within a call that the user made. Returning
/// [`Flow::DisconnectMe`] or [`Flow::DestroyMe`] ends the connection.
///
/// ```
/// use millstream::{Cx, Flow, Protocol, Tx, TxFlow, WsiId};
///
/// /// Sends back what it gets.
/// struct Echo(Vec<u8>);
///
/// impl Protocol for Echo {
///     fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow {
///         self.0.extend_from_slice(payload);
///         cx.wsi_rx_flow(me, false).ok();
///         cx.wsi_request_tx(me).ok();
///         Flow::Ok
///     }
///
///     fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow {
///         let sent = tx.write(&self.0);
///         self.0.drain(..sent);
///         if self.0.is_empty() {
///             cx.wsi_rx_flow(me, true).ok();
///         } else {
///             cx.wsi_request_tx(me).ok();
///         }
///         TxFlow::Send
///     }
/// }
/// ```
pub trait Protocol {
    /// The connection is up: its role can carry payload. A client of an http role may send its request now.
    fn established(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let _ = (cx, me);
        Flow::Ok
    }

    /// An http server has received the head of a request.
    fn request(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        let _ = (cx, me, head);
        Flow::Ok
    }

    /// An http client has received the head of the response; interim ones (1xx) come here first.
    fn response(&mut self, cx: &mut Cx<'_>, me: WsiId, head: &Head) -> Flow {
        let _ = (cx, me, head);
        Flow::Ok
    }

    /// Payload, as it arrives: a piece of the body where the role is http.
    fn rx(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8]) -> Flow;

    /// A datagram, whole, on a socket of role `udp`. Leaves it to `rx` unless it is implemented.
    fn datagram(&mut self, cx: &mut Cx<'_>, me: WsiId, from: SocketAddr, payload: &[u8]) -> Flow {
        let _ = from;
        self.rx(cx, me, payload)
    }

    /// A piece of a websocket or MQTT message, as it arrives; the flags say where in its message it stands. Leaves it to `rx`
    /// unless it is implemented.
    fn message(&mut self, cx: &mut Cx<'_>, me: WsiId, payload: &[u8], flags: RxFlags) -> Flow {
        let _ = flags;
        self.rx(cx, me, payload)
    }

    /// What MQTT has to tell beside payload: a message begins, or has been acknowledged, a subscription is there.
    #[cfg(feature = "mqtt")]
    fn mqtt(&mut self, cx: &mut Cx<'_>, me: WsiId, event: &crate::MqttEvent<'_>) -> Flow {
        let _ = (cx, me, event);
        Flow::Ok
    }

    /// The http message is complete; `trailers` holds what came behind its body, mostly nothing.
    fn end(&mut self, cx: &mut Cx<'_>, me: WsiId, trailers: &Head) -> Flow {
        let _ = (cx, me, trailers);
        Flow::Ok
    }

    /// The way to the peer is clear, and [`Cx::wsi_request_tx`] asked to be told.
    fn writeable(&mut self, cx: &mut Cx<'_>, me: WsiId, tx: &mut Tx<'_>) -> TxFlow;

    /// The peer of a raw connection has said that nothing more will come from it. It may still listen: with [`Flow::Ok`] the
    /// connection stays, and ends when this side says its own end by [`Tx::end_message`]. Closes unless it is implemented.
    fn half_closed(&mut self, cx: &mut Cx<'_>, me: WsiId) -> Flow {
        let _ = (cx, me);
        Flow::DisconnectMe
    }

    /// For some time nothing has shown that the peer is still there ([`Validity`](crate::Validity)), and the role has no
    /// ping of its own: send something that the peer will answer, if there is such a thing. When the answer proves it,
    /// [`Cx::wsi_validity_confirm`] says so; anything at all that comes after something was sent counts by itself.
    fn ping(&mut self, cx: &mut Cx<'_>, me: WsiId) {
        let _ = (cx, me);
    }

    /// The connection is gone, and `me` is stale already. `cause` is absent where both sides were done with it.
    fn closed(&mut self, cx: &mut Cx<'_>, me: WsiId, cause: Option<&Cause>) {
        let _ = (cx, me, cause);
    }
}

/// Makes the [`Protocol`] of each connection that a listener accepts. Closures are acceptors.
pub trait Acceptor {
    /// A connection from `peer` is up. `None` closes it.
    fn accept(&mut self, cx: &mut Cx<'_>, wsi: WsiId, peer: Option<&Address>) -> Option<Box<dyn Protocol>>;
}

impl<F> Acceptor for F
where
    F: FnMut(&mut Cx<'_>, WsiId, Option<&Address>) -> Option<Box<dyn Protocol>>,
{
    fn accept(&mut self, cx: &mut Cx<'_>, wsi: WsiId, peer: Option<&Address>) -> Option<Box<dyn Protocol>> {
        self(cx, wsi, peer)
    }
}
