//! The user's whole contract with a secure stream, on one page.

use super::{StreamId, StreamState};
use crate::context::Cx;
use std::fmt;
use std::net::SocketAddr;

/// What the application does with a stream: `lws_ss_info_t`'s callbacks of libwebsockets.
///
/// Each call lends the library as [`Cx`], in which everything may be asked for on any stream, this one included.
/// Requests that end in user code run after the call has returned ([`manual::callbacks`](crate::manual::callbacks)).
///
/// ```
/// use millstream::{Cx, Flow, RxFlags, StreamHandler, StreamId, StreamState, Tx, TxFlow};
///
/// /// Prints what a GET brings.
/// struct Print;
///
/// impl StreamHandler for Print {
///     fn rx(&mut self, _: &mut Cx<'_>, _: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
///         println!("{} bytes{}", payload.len(), if flags.is_eom() { ", the last" } else { "" });
///         Flow::Ok
///     }
///
///     fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, _: u32) -> Flow {
///         match state {
///             StreamState::Creating => cx.client_connect(me).ok(),
///             StreamState::AllRetriesFailed => return Flow::DestroyMe,
///             _ => None,
///         };
///         Flow::Ok
///     }
/// }
/// ```
pub trait StreamHandler {
    /// Payload has arrived: `payload` is a piece of a message, whose first and last piece the flags mark.
    fn rx(&mut self, cx: &mut Cx<'_>, me: StreamId, payload: &[u8], flags: RxFlags) -> Flow {
        let _ = (cx, me, payload, flags);
        Flow::Ok
    }

    /// The way to the peer is clear, and [`Cx::request_tx`] asked to be told: fill `tx`.
    fn tx(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let _ = (cx, me, tx);
        TxFlow::DontSend
    }

    /// A message that the peer has not acknowledged is to be sent again, on a new connection: as `tx`, but with the same
    /// payload as before. [`Tx::ordinal`] says which it is; it is asked for until as much is written as the first time. A
    /// handler that does not have it any more gives it up by sending nothing of it, as this one does: then there is a
    /// [`StreamState::QosNackRemote`] for it. Only where the protocol knows such messages: MQTT at QoS 1 and 2.
    fn resend(&mut self, cx: &mut Cx<'_>, me: StreamId, tx: &mut Tx<'_>) -> TxFlow {
        let _ = (cx, me, tx);
        TxFlow::DontSend
    }

    /// The stream has come to `state`. `ack` counts the transactions of the stream, for the states that acknowledge
    /// one; 1 for [`StreamState::Unreachable`] when the name server itself was out of reach.
    fn state(&mut self, cx: &mut Cx<'_>, me: StreamId, state: StreamState, ack: u32) -> Flow {
        let _ = (cx, me, state, ack);
        Flow::Ok
    }

    /// For server streams: somebody has connected. The handler given is that of the accepted stream, which lives as
    /// long as the connection; `None` turns the peer away.
    fn accept(&mut self, cx: &mut Cx<'_>, me: StreamId) -> Option<Box<dyn StreamHandler>> {
        let _ = (cx, me);
        None
    }
}

/// What is to become of a stream, or of a connection, after a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub enum Flow {
    /// Go on.
    #[default]
    Ok,
    /// Close the connection; a stream lives on, and no connection is no harm.
    DisconnectMe,
    /// Destroy the stream.
    DestroyMe,
}

/// What is to become of a chance to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum TxFlow {
    /// Send what was written into the [`Tx`], and end the message if that was said.
    Send,
    /// Nothing to send now: ask again with `request_tx`.
    DontSend,
    /// Close the connection.
    DisconnectMe,
    /// Destroy the stream.
    DestroyMe,
}

/// Where in its message a received piece stands, and what kind of message that is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RxFlags {
    som: bool,
    eom: bool,
    perf: bool,
    binary: bool,
    related: Option<Related>,
}

/// Where a group of messages begins, and where it ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Related {
    Start,
    End,
}

impl RxFlags {
    /// As lws flags it: a whole message of its own, out of band.
    pub(crate) const PERF_JSON: Self = Self { perf: true, ..Self::new(true, true) };

    #[cfg(feature = "h1")]
    pub(crate) const RELATED_START: Self = Self { related: Some(Related::Start), ..Self::new(false, false) };

    #[cfg(feature = "h1")]
    pub(crate) const RELATED_END: Self = Self { related: Some(Related::End), ..Self::new(false, false) };

    pub(crate) const fn new(som: bool, eom: bool) -> Self {
        Self { som, eom, perf: false, binary: false, related: None }
    }

    #[cfg(feature = "ws")]
    pub(crate) const fn of_binary(self, binary: bool) -> Self {
        Self { binary, ..self }
    }

    /// The piece is the first of its message (`LWSSS_FLAG_SOM`).
    pub const fn is_som(self) -> bool {
        self.som
    }

    /// This is no payload of the peer's, but JSON about the connection's performance, which `"perf": true` in the policy asks
    /// for. It may come between pieces of a message (`LWSSS_FLAG_PERF_JSON`).
    pub const fn is_perf_json(self) -> bool {
        self.perf
    }

    /// The piece is the last of its message, perhaps an empty one (`LWSSS_FLAG_EOM`).
    pub const fn is_eom(self) -> bool {
        self.eom
    }

    /// No payload, but word that the messages that follow belong together: with `http_multipart_ss_in`, that they are the
    /// parts of one multipart message (`LWSSS_FLAG_RELATED_START`).
    pub fn is_related_start(self) -> bool {
        self.related == Some(Related::Start)
    }

    /// No payload, but word that the last of the messages that belong together has been (`LWSSS_FLAG_RELATED_END`).
    pub fn is_related_end(self) -> bool {
        self.related == Some(Related::End)
    }

    /// The message is binary, not text (`lws_frame_is_binary`): websockets alone tell them apart, and say so with every piece.
    pub const fn is_binary(self) -> bool {
        self.binary
    }
}

impl fmt::Debug for RxFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.perf {
            return f.write_str("PERF_JSON");
        }
        if let Some(related) = self.related {
            return f.write_str(match related {
                Related::Start => "RELATED_START",
                Related::End => "RELATED_END",
            });
        }
        f.write_str(match (self.som, self.eom) {
            (true, true) => "SOM|EOM",
            (true, false) => "SOM",
            (false, true) => "EOM",
            (false, false) => "-",
        })?;
        f.write_str(if self.binary { "|BINARY" } else { "" })
    }
}

/// What came of a tx callback; kept by the loop, so that no handler can misstate it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TxState {
    pub(crate) len: usize,
    pub(crate) is_eom: bool,
    pub(crate) to: Option<SocketAddr>,
    /// Whether the message is binary, where the handler has said so.
    #[cfg(feature = "ws")]
    pub(crate) is_binary: Option<bool>,
}

/// A piece of a message on its way out: written straight into the loop's buffer, behind the room that the protocol's
/// own framing needs.
///
/// What is sent is what was written, so a wrong length cannot be said; the first piece of a message is known to be
/// the first, and the last is the one on which [`Tx::end_message`] was called, or that fills the length that
/// [`Cx::request_tx_len`] declared.
#[derive(Debug)]
pub struct Tx<'a> {
    buffer: &'a mut [u8],
    state: &'a mut TxState,
    limit: usize,
    is_som: bool,
    ordinal: u32,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(buffer: &'a mut [u8], state: &'a mut TxState) -> Self {
        let limit = buffer.len();
        Self { buffer, state, limit, is_som: true, ordinal: 0 }
    }

    pub(crate) fn describe(&mut self, limit: u64, is_som: bool, ordinal: u32) {
        self.limit = self.buffer.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        self.is_som = is_som;
        self.ordinal = ordinal;
    }

    /// There is room for no more than this.
    #[cfg(feature = "h2")]
    pub(crate) fn narrow(&mut self, most: usize) {
        let buffer = std::mem::take(&mut self.buffer);
        let len = buffer.len().min(most);
        self.buffer = buffer.get_mut(..len).unwrap_or_default();
        self.limit = self.limit.min(len);
    }

    /// Asks for a payload behind a gap of `head` bytes: what came of it.
    #[cfg(any(feature = "h1", all(feature = "mqtt", feature = "ws")))]
    pub(crate) fn behind(
        &mut self,
        head: usize,
        ask: impl FnOnce(&mut Tx<'_>) -> TxFlow,
    ) -> (TxFlow, TxState) {
        let mut state = TxState::default();
        let room = self.spare().get_mut(head..).unwrap_or_default();
        let flow = ask(&mut Tx::new(room, &mut state));
        (flow, state)
    }

    /// Appends `front` and the `len` bytes that stand behind the gap. False, and nothing, if `front` is longer than the gap.
    #[cfg(any(feature = "h1", all(feature = "mqtt", feature = "ws")))]
    pub(crate) fn fill_gap(&mut self, head: usize, front: &[u8], len: usize) -> bool {
        let room = self.spare();
        if front.len() > head || room.len() < head.saturating_add(len) {
            return false;
        }
        if let Some(to) = room.get_mut(..front.len()) {
            to.copy_from_slice(front);
        }
        room.copy_within(head..head + len, front.len());
        self.state.len += front.len() + len;
        true
    }

    /// Shows the `len` bytes that stand behind the gap.
    #[cfg(all(feature = "mqtt", feature = "ws"))]
    pub(crate) fn peek_behind(&mut self, head: usize, len: usize, show: impl FnOnce(&[u8])) {
        show(self.spare().get(head..).and_then(|room| room.get(..len)).unwrap_or_default());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.len == 0
    }

    pub(crate) fn so_far(&self) -> TxState {
        *self.state
    }

    /// Appends as much of `bytes` as there is room for, and says how much that was.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let room = self.spare();
        let len = bytes.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.state.len += len;
        len
    }

    /// The bytes for which there is still room.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.state.len)
    }

    /// Lets `fill` write into the room itself and say how many bytes it wrote; a count beyond the room is taken as all
    /// of it.
    pub fn fill(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let room = self.spare();
        let most = room.len();
        let len = fill(room).min(most);
        self.state.len += len;
        len
    }

    /// This piece is the last of its message.
    pub fn end_message(&mut self) {
        self.state.is_eom = true;
    }

    /// The message that begins with this piece goes out as binary (`LWS_WRITE_BINARY`) or as text, whatever `ws_binary` says.
    /// Later pieces are of the same kind; to what is no websocket it says nothing.
    #[cfg(feature = "ws")]
    pub fn binary(&mut self, is_binary: bool) {
        self.state.is_binary = Some(is_binary);
    }

    /// Where this datagram goes, on a socket that has no single peer. Elsewhere it says nothing.
    pub fn to(&mut self, address: SocketAddr) {
        self.state.to = Some(address);
    }

    /// This piece is the first of its message.
    pub fn is_som(&self) -> bool {
        self.is_som
    }

    /// Counts the transactions of the stream: the `ack` with which the peer's answer to this message will be told.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    fn spare(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.state.len..self.limit).unwrap_or_default()
    }
}

impl std::io::Write for Tx<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(Tx::write(self, bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tx_takes_no_more_than_its_room_and_counts_what_it_took() {
        let (mut buffer, mut state) = ([0; 8], TxState::default());
        let mut tx = Tx::new(&mut buffer, &mut state);
        tx.describe(6, false, 3);
        assert_eq!(tx.write(b"abcd"), 4);
        assert_eq!(tx.room(), 2);
        assert_eq!(tx.fill(|room| room.len() + 100), 2);
        assert_eq!(tx.write(b"x"), 0);
        assert!(!tx.is_som());
        assert_eq!(tx.ordinal(), 3);
        tx.end_message();
        assert_eq!((state.len, state.is_eom), (6, true));
        assert_eq!(&buffer[..4], b"abcd");
    }
}
