//! How TLS fails, by what can be done about it.

use rustls::{AlertDescription, CertificateError, Error};
use std::fmt;

/// Why a TLS session, or an identity for one, came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// Nobody that is trusted has signed the peer's certificate: the policy's trust store lacks its root, or the peer is
    /// an impostor.
    UntrustedIssuer,
    /// The peer's certificate has run out, by the clock of this side.
    Expired,
    /// The peer's certificate is not valid yet: often the clock of this side is wrong.
    NotYetValid,
    /// The peer's certificate is for other names than the one that was asked for.
    NameMismatch,
    /// The peer's certificate is of no use for another reason.
    BadCertificate(String),
    /// The peer speaks none of the protocols that were offered to it (ALPN, RFC 7301 3.2).
    NoProtocol,
    /// The peer gave up, with this alert.
    PeerAlert(String),
    /// No root certificate is there to trust.
    NoTrustRoots(String),
    /// This side's own certificate or key is of no use.
    BadIdentity(String),
    /// The name to connect to is none that a certificate could be for.
    BadServerName(String),
    /// What the peer sent is not TLS, or breaks its rules.
    Protocol(String),
}

impl TlsError {
    pub(super) fn from_rustls(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => match error {
                // A bad signature: an issuer of the right name with another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UntrustedIssuer,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::NameMismatch
                }
                other => Self::BadCertificate(other.to_string()),
            },
            Error::AlertReceived(AlertDescription::NoApplicationProtocol) => Self::NoProtocol,
            Error::AlertReceived(alert) => Self::PeerAlert(alert_words(*alert)),
            Error::NoCertificatesPresented => Self::BadCertificate("none was presented".into()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// What the alerts that are met with say, in words.
fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => "it does not trust the issuer of our certificate".into(),
        AlertDescription::BadCertificate => "it takes our certificate for malformed".into(),
        AlertDescription::CertificateExpired => "it takes our certificate for expired".into(),
        AlertDescription::CertificateRequired => "it wants a client certificate".into(),
        AlertDescription::HandshakeFailure => "no common parameters".into(),
        AlertDescription::ProtocolVersion => "no common version".into(),
        AlertDescription::UnrecognisedName => "it does not know the name that was asked for".into(),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntrustedIssuer => {
                f.write_str("the peer's certificate is signed by nobody whom the trust store trusts")
            }
            Self::Expired => f.write_str("the peer's certificate has expired"),
            Self::NotYetValid => f.write_str("the peer's certificate is not valid yet; is the clock right?"),
            Self::NameMismatch => f.write_str("the peer's certificate is for another name"),
            Self::BadCertificate(why) => write!(f, "the peer's certificate is of no use: {why}"),
            Self::NoProtocol => f.write_str("the peer gave up: no common application protocol"),
            Self::PeerAlert(why) => write!(f, "the peer gave up: {why}"),
            Self::NoTrustRoots(why) => write!(f, "there is no root certificate to trust: {why}"),
            Self::BadIdentity(why) => write!(f, "the certificate or key of this side is of no use: {why}"),
            Self::BadServerName(name) => write!(f, "\"{name}\" is no name that a certificate could be for"),
            Self::Protocol(why) => write!(f, "not TLS as it should be: {why}"),
        }
    }
}

impl std::error::Error for TlsError {}
