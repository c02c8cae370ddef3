//! How a connection is encrypted: whom it trusts, what it shows, and by which clock certificates
//! are judged. Reads certificate files; connects nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{Believed, ClientCertificate, LinkConfigError, TlsConfig};
use crate::clock::Clock;

/// What rustls is to be told. With ring, which needs no compiler for C at build time that the rest
/// does not need too.
pub(super) fn client_config(
    tls: &TlsConfig,
    believed: Option<Believed>,
) -> Result<ClientConfig, LinkConfigError> {
    let wrong = |reason: String| LinkConfigError::Tls { reason };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities(tls.ca_file.as_deref())?);
    let provider = Arc::new(ring::default_provider());
    let by_wall_clock =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| wrong(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match believed {
        Some(believed) => {
            Arc::new(EitherTime { inner: by_wall_clock, believed, clock: Clock::new() })
        }
        None => by_wall_clock,
    };
    // "Dangerous" is what rustls calls every verifier that one brings along. This one is its own,
    // asked a second time.
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match &tls.client {
        Some(client) => {
            let (chain, key) = client_certificate(client)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Judges a certificate by the wall clock, and where that says "not now", by the time that was
/// believed before. A board that wakes up in 1970 could otherwise never reach the core that knows
/// the time; nor could one whose clock, or whose belief, once ran ahead. Everything else about the
/// certificate must be right either way.
#[derive(Debug)]
struct EitherTime {
    inner: Arc<WebPkiServerVerifier>,
    believed: Believed,
    clock: Clock,
}

impl EitherTime {
    fn believed_now(&self) -> UnixTime {
        let elapsed_ms = self.clock.now().mono.since_ms(self.believed.mono);
        let believed_ms = u64::try_from(self.believed.wall.0).unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_millis(believed_ms.saturating_add(elapsed_ms)))
    }
}

impl ServerCertVerifier for EitherTime {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let at = |time| {
            self.inner.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                time,
            )
        };
        match at(now) {
            Err(by_wall_clock) if is_about_time(&by_wall_clock) => {
                let blamed = |error| if is_about_time(&error) { by_wall_clock } else { error };
                at(self.believed_now()).map_err(blamed)
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn is_about_time(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

/// The certificates of the authorities to trust: those in a PEM file, or else the system's. At
/// least one of them can be used.
///
/// # Errors
/// The file cannot be read or holds none, or the system has none.
pub fn authorities(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, LinkConfigError> {
    let usable = |found: &[CertificateDer<'static>]| {
        RootCertStore::empty().add_parsable_certificates(found.iter().cloned()).0 > 0
    };
    if let Some(file) = file {
        let found = certificates(file)?;
        return match usable(&found) {
            true => Ok(found),
            false => Err(no_pem(file, "certificate of an authority")),
        };
    }
    let found = rustls_native_certs::load_native_certs();
    if usable(&found.certs) {
        return Ok(found.certs);
    }
    let reason = found.errors.first().map_or_else(
        || "there are none (Debian: the package ca-certificates)".to_owned(),
        ToString::to_string,
    );
    Err(LinkConfigError::SystemAuthorities { reason })
}

fn client_certificate(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), LinkConfigError> {
    let chain = certificates(&client.certificate_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&client.key_file)?)
        .map_err(|_| no_pem(&client.key_file, "private key"))?;
    Ok((chain, key))
}

/// The certificates in a PEM file; at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, LinkConfigError> {
    let wrong = || no_pem(file, "certificate");
    let found: Vec<_> = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

fn read(file: &Path) -> Result<Vec<u8>, LinkConfigError> {
    std::fs::read(file).map_err(|source| LinkConfigError::File { path: file.to_path_buf(), source })
}

fn no_pem(file: &Path, what: &'static str) -> LinkConfigError {
    LinkConfigError::Pem { path: file.to_path_buf(), what }
}

#[cfg(test)]
pub(super) mod tests {
    use shared::time::Timestamp;

    use super::*;

    /// Good from 2026-11-01 to 2126-10-08.
    pub(in super::super) const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUWHhL4JCNECR+/yT40Fe3DO7LKcEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTAxMDAwMDAwWhgPMjEy
NjEwMDgwMDAwMDBaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEkVHJD+9ZwCvKAiYU+zf6TUQGSHuXhKB+4Zxc1HmS
kN3pHnHag5r39QWjKa9gV7fnr/aORDSwubFvrVNz0IQr2KNTMFEwHQYDVR0OBBYE
FIXKAztWRalts2suvqI7OXkevAt4MB8GA1UdIwQYMBaAFIXKAztWRalts2suvqI7
OXkevAt4MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKm4a0ov
3/OwFtiFySQ7qSmSSqvwFUdEqY0v/fe4tc2nAiEAgimnrYhyHYHweRxLiIexHOvm
KV0/K+JYGEDfNhxPMrg=
-----END CERTIFICATE-----
";
    /// For `localhost`, good from 2026-11-01 to 2027-11-01.
    const BROKER: &str = "-----BEGIN CERTIFICATE-----
MIIBhjCCAS2gAwIBAgIUTTGofqymo2kbw0ZZt20T2ZMZh0cwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwHhcNMjYxMTAxMDAwMDAwWhcNMjcx
MTAxMDAwMDAwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAAQ5MZ2hvpyO92J2gn3JToPBUfs0WfrcdsmROr3NKPAbjHGzM4a9
+XMZHyYvFEQ3FdpsDnlsUhtHVgdzTkURhng5o1gwVjAUBgNVHREEDTALgglsb2Nh
bGhvc3QwHQYDVR0OBBYEFN/gHLPoxVV8WZodsd1KTBlIzIskMB8GA1UdIwQYMBaA
FIXKAztWRalts2suvqI7OXkevAt4MAoGCCqGSM49BAMCA0cAMEQCIAxNJBswKxNK
wWp5Mmn49zzfch90paPZmWYyOs5zS/3JAiAXtNholSOPn/vI0HM/f6LqSnmVcRqu
hZFnyX1o9OyMOQ==
-----END CERTIFICATE-----
";

    /// In the middle of the broker's certificate, long before and long after it.
    const GOOD_MS: i64 = 1_800_000_000_000;
    const BEFORE_MS: i64 = 0;
    const AFTER_MS: i64 = 2_000_000_000_000;

    pub(in super::super) fn broker_certificate() -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(BROKER.as_bytes()).expect("a certificate")
    }

    fn verdict(wall_ms: i64, believed_ms: i64, name: &'static str) -> Result<(), String> {
        let authority = CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("an authority");
        let provider = Arc::new(ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let clock = Clock::new();
        let believed = Believed { wall: Timestamp(believed_ms), mono: clock.now().mono };
        let verifier = EitherTime { inner: inner.build().expect("a verifier"), believed, clock };
        let name = ServerName::try_from(name).expect("a name");
        let wall = Duration::from_millis(u64::try_from(wall_ms).expect("after 1970"));
        let wall = UnixTime::since_unix_epoch(wall);
        let certificate = broker_certificate();
        let verdict = verifier.verify_server_cert(&certificate, &[], &name, &[], wall);
        verdict.map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_board_that_wakes_up_in_1970_trusts_the_certificate_that_was_good_when_it_last_knew() {
        assert_eq!(verdict(GOOD_MS, GOOD_MS, "localhost"), Ok(()));
        assert_eq!(verdict(BEFORE_MS, GOOD_MS, "localhost"), Ok(()), "woke up in 1970");
        assert_eq!(verdict(AFTER_MS, GOOD_MS, "localhost"), Ok(()), "runs years ahead");
        assert_eq!(verdict(GOOD_MS, AFTER_MS, "localhost"), Ok(()), "once ran years ahead");
    }

    #[test]
    fn a_certificate_that_was_good_at_neither_time_is_refused_by_the_wall_clock() {
        let refused = verdict(AFTER_MS, BEFORE_MS, "localhost").expect_err("at neither");
        assert!(refused.contains("expired") && refused.contains("2000000000"), "{refused}");
        let refused = verdict(BEFORE_MS, AFTER_MS, "localhost").expect_err("at neither");
        assert!(refused.contains("not valid yet"), "{refused}");
        let refused = verdict(BEFORE_MS, GOOD_MS, "elsewhere").expect_err("another name");
        assert!(refused.contains("not valid for name"), "{refused}");
    }
}
