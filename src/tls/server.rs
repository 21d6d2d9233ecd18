//! The server's side: one identity for all of a vhost's connections, and tickets by which clients come back sooner.

use super::{Identity, Session, TlsClock, TlsError, provider};
use rustls::Connection;
use rustls::server::ServerConnection;
use std::sync::Arc;

/// What a vhost shows to its clients.
#[derive(Debug, Clone)]
pub(crate) struct ServerConfig(Arc<rustls::ServerConfig>);

impl ServerConfig {
    pub(crate) fn new(identity: Identity, alpn: &[&[u8]], clock: &TlsClock) -> Result<Self, TlsError> {
        let bad = |error: rustls::Error| TlsError::BadIdentity(error.to_string());
        let Identity { chain, key } = identity;
        let mut config = rustls::ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
            .with_safe_default_protocol_versions()
            .map_err(bad)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(bad)?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(bad)?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn session(&self) -> Result<Session, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.0))
            .map_err(|error| TlsError::Protocol(error.to_string()))?;
        Ok(Session::new(Connection::Server(connection)))
    }
}
