//! Certificates made for a run: an authority, a server's for `localhost`, and a client's.

use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

pub struct Certificates {
    pub authority: Vec<u8>,
    pub server: Vec<u8>,
    pub key: Vec<u8>,
    /// The server's public key, as its certificate has it.
    pub spki: Vec<u8>,
    pub client: Vec<u8>,
    pub client_key: Vec<u8>,
}

impl Default for Certificates {
    fn default() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Who has the name of its issuer is taken for its own issuer by OpenSSL.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(["client".to_owned()])
            .unwrap()
            .signed_by(&client_key, &authority)
            .unwrap();
        Self {
            authority: authority.der().to_vec(),
            server: server.der().to_vec(),
            key: key.serialize_der(),
            spki: key.subject_public_key_info(),
            client: client.der().to_vec(),
            client_key: client_key.serialize_der(),
        }
    }
}

impl Certificates {
    /// The `certs` and `trust_stores` of a policy.
    pub fn policy(&self) -> String {
        let base64 = |der| base64::engine::general_purpose::STANDARD.encode(der);
        format!(
            r#""certs": [{{"ca": "{}"}}, {{"cert": "{}"}}, {{"key": "{}"}}],
            "trust_stores": [{{"name": "ours", "stack": ["ca"]}}]"#,
            base64(&self.authority),
            base64(&self.server),
            base64(&self.key)
        )
    }

    /// For a server of these protocols (ALPN), the best first; of none, it has never heard of ALPN.
    pub fn acceptor(&self, protocols: &[&str]) -> tokio_rustls::TlsAcceptor {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(self.server.clone())], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().copied().map(Vec::from).collect();
        Arc::new(config).into()
    }

    /// For a client that offers these protocols (ALPN).
    pub fn connector(&self, protocols: &[&str]) -> tokio_rustls::TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.clone())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().copied().map(Vec::from).collect();
        Arc::new(config).into()
    }
}
