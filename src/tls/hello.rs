//! A client's first words to a server of several identities.

use super::{ServerConfig, TlsError};
use rustls::server::{Accepted, AcceptedAlert, Acceptor, ServerConnection};

/// Whom a client means: a name, or nobody in particular (RFC 6066 3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked(pub(crate) Option<String>);

/// Collects a ClientHello. Its length is bounded by the TLS library: 64 KiB.
#[derive(Default)]
pub(super) enum Hello {
    #[default]
    Empty,
    Reading(Acceptor),
    Read(Accepted),
    /// What is left to say to a client that could not be served.
    Refused(AcceptedAlert),
}

impl Hello {
    /// Takes bytes up to the end of the hello, and says how many.
    pub(super) fn input(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        let mut left = bytes;
        while !left.is_empty() {
            let acceptor = match self {
                Self::Reading(acceptor) => acceptor,
                Self::Empty => {
                    *self = Self::Reading(Acceptor::default());
                    continue;
                }
                Self::Read(_) | Self::Refused(_) => break,
            };
            let read = acceptor.read_tls(&mut left).map_err(|error| TlsError::Protocol(error.to_string()))?;
            match acceptor.accept() {
                Ok(None) if read == 0 => return Err(TlsError::Protocol("a hello without end".into())),
                Ok(None) => {}
                Ok(Some(accepted)) => *self = Self::Read(accepted),
                Err((error, alert)) => {
                    *self = Self::Refused(alert);
                    return Err(TlsError::from_rustls(&error));
                }
            }
        }
        Ok(bytes.len() - left.len())
    }

    pub(super) fn asked(&self) -> Option<Asked> {
        let Self::Read(accepted) = self else { return None };
        Some(Asked(accepted.client_hello().server_name().map(str::to_owned)))
    }

    pub(super) fn choose(&mut self, config: &ServerConfig) -> Result<ServerConnection, TlsError> {
        match std::mem::take(self) {
            Self::Read(accepted) => config.accept(accepted).map_err(|(error, alert)| {
                *self = Self::Refused(alert);
                TlsError::from_rustls(&error)
            }),
            _ => Err(TlsError::Protocol("an identity is chosen before the client has spoken".into())),
        }
    }

    pub(super) fn poll_output(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        if let Self::Refused(alert) = self {
            // Writing to memory does not fail.
            let _ = alert.write_all(out);
        }
        out.len() > before
    }
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hello").finish_non_exhaustive()
    }
}
