//! The client's side: whom to trust, whom to ask for, and what to remember for the next time.

use super::trust::StackVerifier;
use super::{Identity, Session, TlsClock, TlsError, provider};
use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{Connection, RootCertStore};
use std::sync::Arc;

/// Sessions that a client identity remembers.
const SESSIONS: usize = 64;

/// Whose signatures count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trust<'a> {
    /// The operating system's roots.
    System,
    /// These certificates (DER).
    Stack(&'a [&'a [u8]]),
}

/// A client identity: share one for all connections under the same trust, and they resume each other's sessions.
#[derive(Debug, Clone)]
pub(crate) struct ClientConfig(Arc<rustls::ClientConfig>);

impl ClientConfig {
    pub(crate) fn new(
        trust: &Trust<'_>,
        identity: Option<Identity>,
        alpn: &[&[u8]],
        clock: &TlsClock,
    ) -> Result<Self, TlsError> {
        let bad = |error: rustls::Error| TlsError::BadIdentity(error.to_string());
        let builder = rustls::ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?;
        let builder = match trust {
            Trust::System => builder.with_root_certificates(system_roots()?),
            Trust::Stack(stack) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(StackVerifier::new(stack, provider())?)),
        };
        let mut config = match identity {
            Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(bad)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self(Arc::new(config)))
    }

    /// A session with the server of this name, or of this IP address.
    pub(crate) fn session(&self, server_name: &str) -> Result<Session, TlsError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| TlsError::BadServerName(server_name.to_owned()))?;
        let connection = ClientConnection::new(Arc::clone(&self.0), name)
            .map_err(|error| TlsError::Protocol(error.to_string()))?;
        Ok(Session::new(Connection::Client(connection)))
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(loaded.certs);
    if taken == 0 {
        let why = loaded.errors.first().map_or_else(|| "the system has none".to_owned(), ToString::to_string);
        return Err(TlsError::NoTrustRoots(why));
    }
    Ok(roots)
}

/// The roots of a trust store's stack.
pub(super) fn roots_of(stack: &[&[u8]]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let certs = stack.iter().map(|der| CertificateDer::from(der.to_vec()));
    let (taken, ignored) = roots.add_parsable_certificates(certs);
    if taken == 0 {
        return Err(TlsError::NoTrustRoots(format!(
            "none of the {ignored} certificates in the trust store is one"
        )));
    }
    Ok(roots)
}
