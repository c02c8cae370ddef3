//! The certificate with which HTTPS is served: rustls with ring, as everywhere else. Reads two
//! files at the start; a new certificate takes a restart.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTls {
    /// The certificate chain, PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("http.tls: cannot use {}: {reason}; name a PEM file with the {what}", file.display())]
pub struct HttpTlsError {
    what: &'static str,
    file: PathBuf,
    reason: String,
}

impl HttpTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or the two do not belong together.
    pub(super) fn load(&self) -> Result<ServerConfig, HttpTlsError> {
        // An error says that a provider is installed already: the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (chain, key) = ("certificate chain", "private key");
        let wrong = |what, file: &Path, reason: &dyn Display| HttpTlsError {
            what,
            file: file.to_owned(),
            reason: reason.to_string(),
        };
        let certificates = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(chain, &self.certificate, &error))?;
        if certificates.is_empty() {
            return Err(wrong(chain, &self.certificate, &"it holds no certificate"));
        }
        let private = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| wrong(key, &self.key, &error))?;
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(certificates, private)
            .map_err(|error| wrong("private key of the certificate", &self.key, &error))
    }
}
