//! Certificates with their keys: whom this side appears as.

use super::TlsError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::Path;

/// A certificate chain and the private key to its first certificate.
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From DER: the chain, this side's certificate first, and the key as PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// The key is in none of these forms, or there is no certificate.
    pub fn from_der(chain: &[&[u8]], key: &[u8]) -> Result<Self, TlsError> {
        if chain.is_empty() {
            return Err(TlsError::BadIdentity("there is no certificate".into()));
        }
        let key = PrivateKeyDer::try_from(key.to_vec())
            .map_err(|why| TlsError::BadIdentity(format!("the key is not PKCS#8, PKCS#1 or SEC1: {why}")))?;
        let chain = chain.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Ok(Self { chain, key })
    }

    /// From PEM text: one or more certificates, and a key.
    ///
    /// # Errors
    /// One of them has nothing of the kind in it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let bad =
            |what: &str, why: rustls::pki_types::pem::Error| TlsError::BadIdentity(format!("{what}: {why}"));
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|why| bad("the certificate", why))?;
        if chain.is_empty() {
            return Err(TlsError::BadIdentity("there is no certificate in the PEM text".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| bad("the key", why))?;
        Ok(Self { chain, key })
    }

    /// From PEM files.
    ///
    /// # Errors
    /// A file cannot be read, or has nothing of the kind in it; the error names it.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|why| TlsError::BadIdentity(format!("{}: {why}", path.display())))
        };
        Self::from_pem(&read(chain)?, &read(key)?)
            .map_err(|why| TlsError::BadIdentity(format!("{} and {}: {why}", chain.display(), key.display())))
    }

    /// From a blob, which may hold either form.
    pub(crate) fn from_der_or_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        if chain.starts_with(b"-----BEGIN") {
            Self::from_pem(chain, key)
        } else {
            Self::from_der(&[chain], key)
        }
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The key does not belong into a log.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}
