//! One look at the way to a broker, for people who ask why there is no link: its name, its port,
//! its certificate. Speaks no MQTT and leaves nothing behind.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize as _;
use shared::time::Timestamp;

use super::tls::{certificates, client_config};
use super::{LinkConfig, LinkConfigError};

/// The broker answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Under which address.
    pub address: SocketAddr,
    /// When its certificate ends, if the link is encrypted.
    pub certificate_ends: Option<Timestamp>,
}

/// Why the broker cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Its name is not known.
    #[error("the name {name} cannot be looked up: {source}")]
    Name {
        /// The name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("{address} does not take the connection: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// It takes the connection, and encryption does not come about.
    #[error("{address} answers, but encryption does not come about: {source}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// What went wrong, in the words of rustls.
        source: io::Error,
    },
    /// Everything together took too long.
    #[error("no answer within {} s", .patience.as_secs())]
    Silent {
        /// How long it was waited.
        patience: Duration,
    },
    /// The link cannot work as configured.
    #[error(transparent)]
    Config(#[from] LinkConfigError),
}

/// Looks up the broker, connects to it and, where the link is encrypted, looks at its certificate.
/// Returns in time whatever the network does.
///
/// # Errors
/// What went wrong first.
pub fn reach(config: &LinkConfig, patience: Duration) -> Result<Reached, Unreached> {
    let (told, heard) = channel();
    let config = config.clone();
    // In a thread of its own: looking up a name can be given no limit.
    std::thread::spawn(move || told.send(look(&config, patience)));
    match heard.recv_timeout(patience) {
        Ok(found) => found,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(Unreached::Silent { patience })
        }
    }
}

fn look(config: &LinkConfig, patience: Duration) -> Result<Reached, Unreached> {
    config.check()?;
    let name = |source| Unreached::Name { name: config.host.clone(), source };
    let addresses: Vec<SocketAddr> = config.address().to_socket_addrs().map_err(name)?.collect();
    let mut refused = name(io::Error::other("it has no address"));
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                let certificate_ends = encrypt(config, address, stream, patience)?;
                return Ok(Reached { address, certificate_ends });
            }
            Err(source) => refused = Unreached::Connect { address, source },
        }
    }
    Err(refused)
}

fn encrypt(
    config: &LinkConfig,
    address: SocketAddr,
    mut stream: TcpStream,
    patience: Duration,
) -> Result<Option<Timestamp>, Unreached> {
    let Some(tls) = &config.tls else { return Ok(None) };
    let wrong = |source| Unreached::Tls { address, source };
    let named = |error: &dyn std::fmt::Display| wrong(io::Error::other(error.to_string()));
    let client = Arc::new(client_config(tls, config.believed)?);
    let name = ServerName::try_from(config.host.clone()).map_err(|error| named(&error))?;
    let mut connection = ClientConnection::new(client, name).map_err(|error| named(&error))?;
    stream.set_read_timeout(Some(patience)).map_err(wrong)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(wrong)?;
    }
    connection.send_close_notify();
    let _ = connection.complete_io(&mut stream);
    Ok(connection.peer_certificates().and_then(|chain| certificate_ends(chain.first()?)))
}

/// When the first of the certificates in a file ends; that is the one that is shown to others.
/// `None` if it does not say so in a form that is known.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn certificate_file_ends(file: &Path) -> Result<Option<Timestamp>, LinkConfigError> {
    Ok(certificates(file)?.first().and_then(certificate_ends))
}

/// When a certificate ends: `notAfter` of RFC 5280, section 4.1, found by walking past what stands
/// before it. `None` for what is no certificate.
pub(super) fn certificate_ends(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    const VERSION: u8 = 0xa0;
    let (tag, certificate, _) = element(certificate)?;
    let (inner_tag, body, _) = element(certificate).filter(|_| tag == SEQUENCE)?;
    let mut rest = (inner_tag == SEQUENCE).then_some(body)?;
    // A version where it is not the first, a serial number, a signature algorithm, an issuer.
    for expected in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
        let (tag, _, after) = element(rest)?;
        if tag == expected {
            rest = after;
        } else if expected != VERSION {
            return None;
        }
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The first element of some DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, der) = der.split_first()?;
    let (length, der) = if first < 0x80 {
        (usize::from(first), der)
    } else {
        let (digits, der) = der.split_at_checked(usize::from(first & 0x7f))?;
        let fits = (1..=4).contains(&digits.len());
        let length = digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
        (fits.then_some(length)?, der)
    };
    let (content, after) = der.split_at_checked(length)?;
    Some((tag, content, after))
}

/// `YYMMDDHHMMSSZ` up to 2049, with four digits for the year beyond.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let digits = text.strip_suffix('Z').filter(|it| it.bytes().all(|b| b.is_ascii_digit()))?;
    let digits = match (tag, digits.len()) {
        (UTC_TIME, 12) if digits < "5" => format!("20{digits}"),
        (UTC_TIME, 12) => format!("19{digits}"),
        (GENERALIZED_TIME, 14) => digits.to_owned(),
        _ => return None,
    };
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (year, month, day) = (part(0, 4), part(4, 6), part(6, 8));
    let (hour, minute, second) = (part(8, 10), part(10, 12), part(12, 14));
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&text);
    Timestamp::deserialize(text).ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::TlsConfig;
    use super::super::tls::tests::{AUTHORITY, broker_certificate};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn config(host: &str, port: u16) -> LinkConfig {
        LinkConfig::for_agent(host.to_owned(), port, "looks".to_owned())
    }

    #[test]
    fn the_end_of_a_certificate_is_read_and_hostile_bytes_have_none() {
        let whole = broker_certificate();
        let ends = certificate_ends(&whole).expect("it ends");
        assert_eq!(ends.to_string(), "2027-11-01T00:00:00.000Z");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, AUTHORITY).expect("written");
        let ends = certificate_file_ends(&file).expect("a certificate").map(|at| at.to_string());
        assert_eq!(ends.as_deref(), Some("2126-10-08T00:00:00.000Z"));
        assert!(certificate_file_ends(folder.path()).is_err());
        for length in 0..whole.len() {
            let part = CertificateDer::from(whole[..length].to_vec());
            assert_eq!(certificate_ends(&part), None, "{length}");
        }
        for index in 0..whole.len() {
            let mut bytes = whole.to_vec();
            bytes[index] = 0xff;
            // Whatever it makes of it, it makes it without a panic.
            let _ = certificate_ends(&CertificateDer::from(bytes));
        }
        assert_eq!(time(0x18, "21261008000000Z").map(|at| at.0), Some(4_947_091_200_000));
        assert_eq!(time(0x17, "991231235959Z").map(|at| at.0), Some(946_684_799_000));
        assert_eq!(time(0x17, "271301000000Z"), None);
        assert_eq!(time(0x17, "äöü1000000Z"), None);
    }

    #[test]
    fn who_answers_is_told_from_who_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let reached = reach(&config("127.0.0.1", address.port()), PATIENCE).expect("it answers");
        assert_eq!(reached, Reached { address, certificate_ends: None });

        // It speaks no TLS: it closes at once. The connection above waits there too.
        let closing = std::thread::spawn(move || {
            for _ in 0..2 {
                drop(listener.accept());
            }
        });
        let folder = tempfile::tempdir().expect("a folder");
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, AUTHORITY).expect("written");
        let encrypted = Some(TlsConfig { ca_file: Some(ca_file), client: None });
        let tls = LinkConfig { tls: encrypted, ..config("127.0.0.1", address.port()) };
        let error = reach(&tls, PATIENCE).expect_err("no TLS there");
        assert!(matches!(error, Unreached::Tls { .. }), "{error}");
        closing.join().expect("closed");

        let error = reach(&config("127.0.0.1", address.port()), PATIENCE).expect_err("closed");
        assert!(matches!(error, Unreached::Connect { .. }), "{error}");
        let error = reach(&config("no-such-name.invalid", 1), PATIENCE).expect_err("no name");
        assert!(matches!(error, Unreached::Name { .. }), "{error}");
    }
}
