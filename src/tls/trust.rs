//! Trust stores of policies.

use super::TlsError;
use super::client::roots_of;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::Arc;

/// Trusts what a trust store's stack has signed, and the certificates of the stack themselves.
///
/// The second is for the self-signed server certificates that published policies put into their stacks: they are marked
/// as authorities, and webpki refuses an authority as a server's own certificate. A server that shows exactly a
/// certificate of the stack, and proves by the handshake's signature that it has the key, is whom the policy means; its
/// name is checked as ever, and its dates are those of a certificate that the policy vouches for by itself.
#[derive(Debug)]
pub(super) struct StackVerifier {
    stack: Vec<CertificateDer<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl StackVerifier {
    pub(super) fn new(stack: &[&[u8]], provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let roots = roots_of(stack)?;
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| TlsError::NoTrustRoots(error.to_string()))?;
        let stack = stack.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Ok(Self { stack, webpki })
    }
}

impl ServerCertVerifier for StackVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let is_authority = |error: &Error| {
            let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
            other.to_string().contains("CaUsedAsEndEntity")
        };
        match verified {
            Err(error) if is_authority(&error) && self.stack.iter().any(|cert| cert == end_entity) => {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
