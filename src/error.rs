//! What calls into the library can be refused for. What peers and paths do is a [`Cause`](crate::Cause), not an error.

use crate::plat::Address;
use crate::policy::PolicyError;
use std::fmt;
use std::io;

/// Why a call was refused. Nothing has changed by it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The id has outlived what it named.
    Stale,
    /// The policy has no such stream type.
    UnknownStreamType {
        /// What was asked for.
        name: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// The stream type is of another kind than the call needs: a server where a client is needed, or the reverse.
    WrongKind(&'static str),
    /// The stream type lacks what it needs to do this, or has what this build cannot do.
    Policy(String),
    /// The document was refused; the policy that was in force still is.
    BadPolicy(PolicyError),
    /// The connection speaks something else.
    WrongRole,
    /// The connection is not up, or on its way out.
    NotConnected,
    /// A request or response that may not be said so.
    Http(String),
    /// What may not be said on a websocket.
    Ws(String),
    /// A packet that may not be said so, or not now.
    #[cfg(feature = "mqtt")]
    Mqtt(::mqtt::EncodeError),
    /// A metadata name that the stream type does not declare, or a value that is too long.
    Metadata(crate::secure_stream::MetadataError),
    /// The certificate or key is of no use.
    Tls(String),
    /// The operating system refused.
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which address, where there is one.
        address: Option<Address>,
        /// The reason.
        source: io::Error,
    },
    /// A table has as many rows as its limit allows.
    Full(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stale => f.write_str("the id is stale: what it named is gone"),
            Self::UnknownStreamType { name, nearest: Some(nearest) } => {
                write!(f, "the policy has no stream type \"{name}\"; did you mean \"{nearest}\"?")
            }
            Self::UnknownStreamType { name, nearest: None } => {
                write!(f, "the policy has no stream type \"{name}\"")
            }
            Self::WrongKind(what) | Self::Full(what) => f.write_str(what),
            Self::Policy(what) | Self::Http(what) | Self::Ws(what) | Self::Tls(what) => f.write_str(what),
            Self::BadPolicy(error) => error.fmt(f),
            #[cfg(feature = "mqtt")]
            Self::Mqtt(error) => error.fmt(f),
            Self::WrongRole => f.write_str("the connection speaks another protocol"),
            Self::NotConnected => f.write_str("the connection is not up"),
            Self::Metadata(error) => error.fmt(f),
            Self::Io { what, address: Some(address), source } => write!(f, "{what} {address}: {source}"),
            Self::Io { what, address: None, source } => write!(f, "{what}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::BadPolicy(error) => Some(error),
            Self::Metadata(error) => Some(error),
            #[cfg(feature = "mqtt")]
            Self::Mqtt(error) => Some(error),
            _ => None,
        }
    }
}
