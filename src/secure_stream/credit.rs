//! Tx credit: what the peer of a stream may send, where the protocol has flow control (`state-machine`: "tx credit").

use super::{SecureStream, StreamId};
use crate::context::{Core, Cx};
use crate::error::Error;
#[cfg(feature = "h2")]
use crate::role::{HalfClose, StreamWish};

/// What a stream is created from: `lws_ss_info_t`, without its callbacks. The name of a stream type alone will do.
///
/// ```
/// use millstream::{Context, StreamHandler, StreamInfo};
///
/// struct Sip;
/// impl StreamHandler for Sip {}
///
/// # const POLICY: &str = r#"{"s": [{"get": {"local_sink": true}}]}"#;
/// # fn main() -> Result<(), millstream::Error> {
/// let mut context = Context::builder().policy(POLICY)?.build()?;
/// context.with(|cx| cx.create("get", Sip))?;
/// // The server may send 4,000 bytes, and then what `add_peer_tx_credit` grants.
/// let info = StreamInfo { manual_initial_tx_credit: 4000, ..StreamInfo::from("get") };
/// context.with(|cx| cx.create(info, Sip))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo<'a> {
    /// A stream type of the policy.
    pub streamtype: &'a str,
    /// Bytes of payload that the peer may send in each transaction before
    /// [`Cx::add_peer_tx_credit`] grants more; 0 leaves that to the library, which grants what was taken. Of a server, the
    /// streams that it accepts. Protocols without flow control of their own, all but `h2`, know no such limit.
    ///
    /// A client over HTTP/2 may send 65,535 bytes on each stream that it begins before it has seen what the server grants
    /// (RFC 9113 6.9.2): a server can count on no less.
    pub manual_initial_tx_credit: u32,
    /// permessage-deflate (RFC 7692) on websockets, of which the policy has no word: what a client offers, and how far a server
    /// goes with those that it accepts. With `None` a client offers none, and a server agrees without context takeover.
    #[cfg(feature = "ws")]
    pub ws_deflate: Option<crate::WsDeflate>,
}

impl<'a, T: AsRef<str> + ?Sized> From<&'a T> for StreamInfo<'a> {
    fn from(streamtype: &'a T) -> Self {
        Self {
            streamtype: streamtype.as_ref(),
            manual_initial_tx_credit: 0,
            #[cfg(feature = "ws")]
            ws_deflate: None,
        }
    }
}

/// Tx credit of secure streams.
impl Cx<'_> {
    /// Lets the peer of a stream send `add` more bytes in the transaction at hand (`lws_ss_add_peer_tx_credit`), beyond what
    /// it was granted before. Without effect where the protocol has no flow control, and when the peer has sent all.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`], or the request is not on its way yet; the credit would go beyond 2^31-1.
    pub fn add_peer_tx_credit(&mut self, stream: StreamId, add: u32) -> Result<(), Error> {
        self.core.add_peer_tx_credit(stream, add)
    }

    /// How many bytes the peer of a stream may still send, by what it was granted and what has arrived
    /// (`lws_ss_get_est_peer_tx_credit`); some of them may be on their way. `None` where there is no limit: the protocol has
    /// no flow control of its own.
    ///
    /// # Errors
    /// [`Error::Stale`]; [`Error::NotConnected`], or the request is not on its way yet.
    pub fn get_est_peer_tx_credit(&self, stream: StreamId) -> Result<Option<u32>, Error> {
        self.core.est_peer_tx_credit(stream)
    }
}

impl SecureStream {
    /// What this stream wants of HTTP/2.
    #[cfg(feature = "h2")]
    pub(in crate::secure_stream) fn h2_wish(&self) -> StreamWish {
        let http = &self.stream_type.http;
        let half_close =
            if http.nghttp2_quirk_end_stream { HalfClose::WithRequest } else { HalfClose::AfterResponse };
        let long_poll = self.stream_type.long_poll.then_some(half_close);
        StreamWish { credit: self.initial_credit(), long_poll }
    }

    /// What each transaction begins with; none where the library grants.
    pub(in crate::secure_stream) fn initial_credit(&self) -> Option<u32> {
        Some(self.manual_tx_credit).filter(|credit| *credit > 0)
    }
}

impl Core {
    fn add_peer_tx_credit(&mut self, id: StreamId, add: u32) -> Result<(), Error> {
        let stream = self.live(id)?;
        match (stream.wsi, stream.peer) {
            (Some(wsi), _) => self.role_add_credit(wsi, add),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(Error::NotConnected),
        }
    }

    fn est_peer_tx_credit(&self, id: StreamId) -> Result<Option<u32>, Error> {
        let stream = self.live(id)?;
        match (stream.wsi, stream.peer) {
            (Some(wsi), _) => self.role_credit(wsi),
            (None, Some(_)) => Ok(None),
            (None, None) => Err(Error::NotConnected),
        }
    }
}
