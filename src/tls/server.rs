//! The server's side: one identity for all of a vhost's connections, and tickets by which clients come back sooner.

use super::client::roots_of;
use super::{Identity, Session, TlsClock, TlsError, provider};
use rustls::Connection;
use rustls::server::{Accepted, AcceptedAlert, ServerConnection, WebPkiClientVerifier};
use std::sync::Arc;

/// Whose certificates a server wants to see (DER authorities).
#[derive(Debug, Clone, Copy)]
pub(crate) enum ClientAuth<'a> {
    Off,
    /// A client without one is welcome, a client with a bad one is not.
    Optional(&'a [&'a [u8]]),
    Required(&'a [&'a [u8]]),
}

/// What a vhost shows to its clients.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig(Arc<rustls::ServerConfig>);

impl ServerConfig {
    pub(crate) fn new(
        identity: Identity,
        clients: ClientAuth<'_>,
        alpn: &[&[u8]],
        clock: &TlsClock,
    ) -> Result<Self, TlsError> {
        let bad = |error: rustls::Error| TlsError::BadIdentity(error.to_string());
        let Identity { chain, key } = identity;
        let builder = rustls::ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?;
        let builder = match clients {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::Optional(stack) | ClientAuth::Required(stack) => {
                let roots = Arc::new(roots_of(stack)?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                if matches!(clients, ClientAuth::Optional(_)) {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|error| TlsError::NoTrustRoots(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(bad)?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(bad)?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn session(&self) -> Result<Session, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.0))
            .map_err(|error| TlsError::Protocol(error.to_string()))?;
        Ok(Session::new(Connection::Server(connection)))
    }

    pub(super) fn accept(
        &self,
        accepted: Accepted,
    ) -> Result<ServerConnection, (rustls::Error, AcceptedAlert)> {
        accepted.into_connection(Arc::clone(&self.0))
    }
}
