//! Whom to trust and as whom to appear: client TLS identities are made once for each trust store and certificate, and
//! shared by all connections, with their resumption tickets.

use crate::error::Error;
use crate::policy::TrustStore;
use crate::tls::{ClientAuth, ClientConfig, Identity, ServerConfig, Session, TlsClock, TlsError, Trust};
use crate::vhost::ClientCerts;
use std::rc::Rc;

/// The client side of TLS for a connection: which name to ask for, and which identity to use for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientTls {
    server_name: String,
    identity: usize,
}

/// What makes two client identities the same.
#[derive(Debug, PartialEq)]
struct Key {
    trust: Option<Rc<TrustStore>>,
    alpn: Vec<Vec<u8>>,
    client_cert: Option<(Vec<u8>, Vec<u8>)>,
}

/// The TLS identities of a context.
pub(crate) struct Identities {
    clock: TlsClock,
    clients: Vec<(Key, ClientConfig)>,
}

/// Identities are few: a stream type each at most. A policy that is replaced again and again must not pile them up.
const MOST: usize = 256;

impl Identities {
    pub(crate) fn new(wall_secs: u64) -> Self {
        Self { clock: TlsClock::new(wall_secs), clients: Vec::new() }
    }

    pub(crate) fn set_wall_secs(&self, secs: u64) {
        self.clock.set(secs);
    }

    /// The identity of a trust store (`None`: the system's) and a client certificate, if any.
    pub(crate) fn client(
        &mut self,
        server_name: &str,
        trust: Option<&Rc<TrustStore>>,
        client_cert: Option<(&[u8], &[u8])>,
        alpn: &[&[u8]],
    ) -> Result<ClientTls, TlsError> {
        let key = Key {
            trust: trust.cloned(),
            alpn: alpn.iter().map(|name| name.to_vec()).collect(),
            client_cert: client_cert.map(|(chain, key)| (chain.to_vec(), key.to_vec())),
        };
        let found = self.clients.iter().position(|(known, _)| *known == key);
        let identity = if let Some(identity) = found {
            identity
        } else {
            let config = self.make_client(&key, alpn)?;
            if self.clients.len() >= MOST {
                return Err(TlsError::BadIdentity("too many TLS client identities in one context".into()));
            }
            self.clients.push((key, config));
            self.clients.len() - 1
        };
        Ok(ClientTls { server_name: server_name.to_owned(), identity })
    }

    /// The same identity for connections that offer these protocols (ALPN, RFC 7301); as it is where it offers some already.
    pub(crate) fn offering(&mut self, tls: &ClientTls, alpn: &[&[u8]]) -> Result<ClientTls, TlsError> {
        let Some((key, _)) = self.clients.get(tls.identity).filter(|(key, _)| key.alpn.is_empty()) else {
            return Ok(tls.clone());
        };
        let (trust, client_cert) = (key.trust.clone(), key.client_cert.clone());
        let client_cert = client_cert.as_ref().map(|(chain, key)| (chain.as_slice(), key.as_slice()));
        self.client(&tls.server_name, trust.as_ref(), client_cert, alpn)
    }

    fn make_client(&self, key: &Key, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
        let identity = match &key.client_cert {
            Some((chain, key)) => Some(Identity::from_der_or_pem(chain, key)?),
            None => None,
        };
        match &key.trust {
            Some(store) => {
                let stack: Vec<&[u8]> = store.stack.iter().map(|cert| &*cert.der).collect();
                ClientConfig::new(&Trust::Stack(&stack), identity, alpn, &self.clock)
            }
            None => ClientConfig::new(&Trust::System, identity, alpn, &self.clock),
        }
    }

    pub(crate) fn client_session(&self, tls: &ClientTls) -> Result<Session, TlsError> {
        match self.clients.get(tls.identity) {
            Some((_, config)) => config.session(&tls.server_name),
            None => Err(TlsError::BadIdentity("a TLS identity of another context".into())),
        }
    }

    pub(crate) fn server_config(
        &self,
        identity: Identity,
        clients: &ClientCerts,
        alpn: &[&[u8]],
    ) -> Result<ServerConfig, Error> {
        let stack: Vec<&[u8]> = match clients {
            ClientCerts::Off => Vec::new(),
            ClientCerts::Optional(stack) | ClientCerts::Required(stack) => {
                stack.iter().map(Vec::as_slice).collect()
            }
        };
        let clients = match clients {
            ClientCerts::Off => ClientAuth::Off,
            ClientCerts::Optional(_) => ClientAuth::Optional(&stack),
            ClientCerts::Required(_) => ClientAuth::Required(&stack),
        };
        ServerConfig::new(identity, clients, alpn, &self.clock).map_err(|error| Error::Tls(error.to_string()))
    }
}
