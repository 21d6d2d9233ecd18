//! What a stream keeps of the transaction at hand, and forgets with it.

use super::endpoint::Endpoint;
use std::rc::Rc;
use std::time::Duration;

/// One exchange with the peer. Made anew for the next: nothing leaks from one to the other.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The handler has had a piece of the message that arrives.
    pub(crate) rx_begun: bool,
    /// The handler has given a piece of the message that goes out.
    pub(crate) tx_begun: bool,
    /// The message that goes out is complete.
    pub(crate) tx_ended: bool,
    /// Some payload has gone either way, or the peer has answered.
    pub(crate) exchanged: bool,
    /// The peer has sent payload, an answer, or an acknowledgement.
    pub(crate) heard: bool,
    /// The handler wants no more of the connection.
    pub(crate) left: bool,
    /// How long it will be, where the application said so.
    pub(crate) tx_len: Option<u64>,
    /// Client: the status is a good one. Server: an answer has begun.
    pub(crate) answered: bool,
    pub(crate) is_good: bool,
    /// Client: 503 and 429 count as failed tries; the next waits at least for this long.
    pub(crate) failed_try: Option<Duration>,
    /// Server: there is a request to answer.
    pub(crate) asked: bool,
    /// Server: the request has a body.
    pub(crate) has_body: bool,
    /// Server: what `server_ack` said.
    pub(crate) nack: u16,
    /// What takes the message that arrives apart, where it is multipart.
    #[cfg(feature = "h1")]
    pub(crate) incoming: Option<Box<super::transport::Incoming>>,
    /// Client: the form in which the message goes out, where it does.
    #[cfg(feature = "h1")]
    pub(crate) outgoing: Option<Box<super::transport::Outgoing>>,
    /// Client: where the peer has sent us on to, and how often in a row.
    pub(crate) redirect: Option<Rc<Endpoint>>,
    /// A redirect has led to a server of another origin.
    pub(crate) is_elsewhere: bool,
    pub(crate) redirects: u8,
    /// Client: the response at hand is a redirect that is followed; its body is nobody's.
    pub(crate) redirecting: bool,
    /// Client: the redirect turned the request into a GET (RFC 9110 15.4).
    pub(crate) as_get: bool,
    /// Client: the server has chosen HTTP/1.1 where HTTP/2 was offered.
    pub(crate) fell_back: bool,
    /// Client: an idle connection was not alive any more; the request goes out once again on a new one.
    pub(crate) fresh: bool,
}
