//! Whom the client trusts when it speaks HTTPS, and what a refused certificate means in words.
//! rustls with ring, as everywhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::CertificateError;
use rustls::crypto::ring;
use shared_runtime::link::{LinkConfigError, authorities};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::error::ClientError;

/// Where the authorities' file is named, when no flag names it.
const VARIABLE: &str = "AMBIT_CA_FILE";

/// What a connection is to trust. For `http://` nothing is read; a file that a flag names for it is
/// refused, because whoever names one wants it looked at.
///
/// # Errors
/// The authorities cannot be read.
pub fn tls(flag: Option<&Path>, is_encrypted: bool) -> Result<TlsConfig, ClientError> {
    let builder =
        TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    if !is_encrypted {
        return match flag {
            None => Ok(builder.root_certs(RootCerts::new_with_certs(&[])).build()),
            Some(_) => Err(ClientError::Usage(
                "--ca-file: the core's URL begins with http://, where nobody shows a certificate; \
                 write https:// or leave the file out"
                    .to_owned(),
            )),
        };
    }
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (file, origin) = match (flag, &variable) {
        (Some(file), _) => (Some(file), "--ca-file"),
        (None, file) => (file.as_deref(), VARIABLE),
    };
    let found = authorities(file).map_err(|error| {
        ClientError::Usage(match error {
            LinkConfigError::SystemAuthorities { reason } => format!(
                "cannot read the system's certificate authorities: {reason}; name a file with the \
                 core's authority with --ca-file or {VARIABLE}"
            ),
            error => format!("{origin}: {error}"),
        })
    })?;
    let found: Vec<_> = found.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
    Ok(builder.root_certs(RootCerts::new_with_certs(&found)).build())
}

/// Why a connection could not be encrypted with whom it should be, and what to do about it; `None`
/// when that is not what went wrong.
#[must_use]
pub fn refusal(error: &ureq::Error) -> Option<String> {
    let refused = match error {
        ureq::Error::Rustls(refused) => refused,
        // While hands are shaken it comes wrapped in an error of the socket.
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>()?,
        ureq::Error::Tls(_) => {
            return Some(
                "the host in the URL is no name that a certificate could have; write the core's \
                 name or address"
                    .to_owned(),
            );
        }
        _ => return None,
    };
    Some(match refused {
        rustls::Error::InvalidCertificate(certificate) => about_certificate(certificate),
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS; if the core serves plain HTTP, write http://".to_owned()
        }
        other => format!("{other}; check that --url and {VARIABLE} belong to one core"),
    })
}

fn about_certificate(wrong: &CertificateError) -> String {
    let clock = "renew it on the core, or set the clock of this machine if it is wrong";
    match wrong {
        // The second one: an authority of the same name with another key, such as its successor.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "its certificate comes from an authority that is not trusted here; name the \
             authority's file with --ca-file or {VARIABLE}"
        ),
        CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName => {
            // rustls lists the names the certificate has.
            format!("its certificate is for another host ({wrong}); write the name that it is for")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("its certificate has expired ({wrong}); {clock}")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("its certificate is not valid yet ({wrong}); {clock}")
        }
        other => format!(
            "its certificate is refused ({other}); let the core show one that an authority signed \
             for a server, and name the authority with --ca-file or {VARIABLE}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: rustls::Error) -> String {
        let inside = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        refusal(&ureq::Error::Io(inside)).expect("about TLS")
    }

    #[test]
    fn each_refusal_names_a_way_out() {
        for (wrong, way_out) in [
            (CertificateError::UnknownIssuer, "--ca-file or AMBIT_CA_FILE"),
            (CertificateError::BadSignature, "--ca-file or AMBIT_CA_FILE"),
            (CertificateError::NotValidForName, "write the name that it is for"),
            (CertificateError::Expired, "renew it"),
            (CertificateError::NotValidYet, "set the clock"),
            (CertificateError::BadEncoding, "--ca-file"),
        ] {
            let text = told(rustls::Error::InvalidCertificate(wrong));
            assert!(text.contains(way_out), "{text}");
        }
        let plain = rustls::InvalidMessage::InvalidContentType;
        assert!(told(rustls::Error::InvalidMessage(plain)).contains("write http://"));
        assert!(told(rustls::Error::DecryptError).contains("--url"));
    }

    #[test]
    fn other_failures_are_not_about_trust() {
        assert_eq!(refusal(&ureq::Error::HostNotFound), None);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(refusal(&ureq::Error::Io(refused)), None);
    }

    #[test]
    fn a_file_for_a_connection_that_shows_no_certificate_is_refused() {
        assert!(tls(None, false).is_ok());
        let error = tls(Some(Path::new("missing")), false).expect_err("refused").to_string();
        assert!(error.contains("write https://"), "{error}");
        let error = tls(Some(Path::new("missing")), true).expect_err("refused").to_string();
        assert!(error.starts_with("--ca-file: cannot read missing"), "{error}");
    }
}
