//! An authority and a certificate for loopback, made by `openssl` for one cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of a broker that speaks TLS.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority that agents trust.
    pub authority: PathBuf,
    /// The certificate of the broker.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder, for loopback by name and by address.
    ///
    /// # Panics
    /// When there is no `openssl`, or it fails.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        Self::made_for(folder, "IP:127.0.0.1,DNS:localhost")
    }

    /// Makes them in a folder, for certain names: `DNS:localhost`.
    ///
    /// # Panics
    /// When there is no `openssl`, or it fails.
    #[must_use]
    pub fn made_for(folder: &Path, names: &str) -> Self {
        let path = |name: &str| folder.join(name);
        let made = Self {
            authority: path("authority.pem"),
            certificate: path("broker.pem"),
            key: path("broker.key"),
        };
        let authority_key = path("authority.key");
        let authority = ["req", "-x509", "-subj", "/CN=authority of a test", "-days", "30"];
        let usage = ["-addext", "keyUsage=critical,keyCertSign"];
        openssl(&[&authority[..], &NEW_KEY, &usage].concat(), &authority_key, &made.authority, &[]);
        let broker = ["req", "-x509", "-subj", "/CN=broker of a test", "-days", "30"];
        let names = format!("subjectAltName={names}");
        let names = ["-addext", names.as_str()];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let signed = [
            "-CA".to_owned(),
            made.authority.display().to_string(),
            "-CAkey".to_owned(),
            authority_key.display().to_string(),
        ];
        let words = [&broker[..], &NEW_KEY, &names, &leaf].concat();
        openssl(&words, &made.key, &made.certificate, &signed);
        made
    }
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn openssl(words: &[&str], key: &Path, certificate: &Path, more: &[String]) {
    let output = Command::new("openssl")
        .args(words)
        .args(more)
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words:?}: {said}");
}
