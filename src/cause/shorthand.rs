//! The causes that the layers below secure streams speak of most, in one line each.

use super::{Cause, DnsFailure, Failure, Phase, Reason, TcpFailure, TcpFailureKind, Words};
use std::io;

impl Cause {
    /// The socket failed.
    pub(crate) fn tcp(phase: Phase, error: &io::Error) -> Self {
        Failure::new(phase, TcpFailure::from(error)).into()
    }

    /// The peer closed before its time.
    pub(crate) fn closed(phase: Phase) -> Self {
        Failure::new(phase, TcpFailure::from(TcpFailureKind::Closed)).into()
    }

    /// The peer closed.
    pub(crate) fn by_peer() -> Self {
        Self::closed(Phase::Established)
    }

    /// The application asked for it.
    pub(crate) fn by_us() -> Self {
        Failure::new(Phase::Established, Reason::ClosedByUs).into()
    }

    pub(crate) fn timeout(phase: Phase) -> Self {
        Failure::new(phase, Reason::TimedOut).into()
    }

    /// The end without TLS' goodbye, which may be an attacker's.
    #[cfg(feature = "tls")]
    pub(crate) fn truncated() -> Self {
        let words = "the connection ended without close_notify: what came may not be all";
        Failure::new(Phase::Established, super::TlsFailure::from_words(words)).into()
    }

    /// The resolver's answer.
    pub(crate) fn dns(failure: DnsFailure) -> Self {
        Failure::new(Phase::Resolving, failure).into()
    }

    pub(crate) fn protocol(words: &str) -> Self {
        Failure::new(Phase::Answering, Reason::Protocol(Words::from(words))).into()
    }

    #[cfg(feature = "ws")]
    pub(crate) fn goodbye(code: u16, words: &str) -> Self {
        Failure::new(Phase::Established, Reason::Goodbye(code, Words::from(words))).into()
    }

    pub(crate) fn policy(words: &str) -> Self {
        Failure::new(Phase::Preparing, Reason::Policy(Words::from(words))).into()
    }

    pub(crate) fn http_status(status: u16) -> Self {
        Failure::new(Phase::Answering, Reason::HttpStatus(status)).into()
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(error: &crate::TlsError) -> Self {
        Failure::new(Phase::Securing, super::TlsFailure::from_error(error.clone())).into()
    }

    /// The DNS server itself was out of reach.
    pub(crate) fn is_name_server_unreachable(&self) -> bool {
        self.iter().any(|failure| failure.reason == Reason::Dns(DnsFailure::ServerUnreachable))
    }
}
