//! What a link must be told: where the broker is, who we are, and every bound. Values only.

use std::io;
use std::path::PathBuf;

use shared::time::{Monotonic, Timestamp};

use crate::seal::BrokerPassword;

/// Where the broker is, who we are there, and the bounds of the link.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Name or address of the broker; an IPv6 address without brackets.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// How to encrypt; `None` for plain TCP.
    pub tls: Option<TlsConfig>,
    /// A time that was believed before, for certificates: a clock that is wrong must not keep a
    /// board from those who know the time.
    pub believed: Option<Believed>,
    /// User name for CONNECT.
    pub username: Option<String>,
    /// Password for CONNECT. To change it, shut the link down and start another.
    pub password: Option<BrokerPassword>,
    /// MQTT client id; two clients with one id push each other out.
    pub client_id: String,
    /// Seconds of silence after which the connection is probed; it is given up after twice that.
    pub keep_alive_s: u16,
    /// How many published messages may wait for the broker's acknowledgement. Memory grows with
    /// it, about 100 bytes each plus the messages.
    pub in_flight_max: u16,
    /// How many messages may wait to be published.
    pub queue_max: usize,
    /// How many received messages may wait to be taken.
    pub received_max: usize,
    /// How many bytes the messages that wait to be taken may have together.
    pub received_bytes_max: usize,
    /// The longest wait between two attempts to connect, in milliseconds.
    pub backoff_ms_max: u64,
}

impl LinkConfig {
    /// The bounds of an agent: little memory, patience with the broker.
    #[must_use]
    pub fn for_agent(host: String, port: u16, client_id: String) -> Self {
        Self {
            host,
            port,
            tls: None,
            believed: None,
            username: None,
            password: None,
            client_id,
            keep_alive_s: 30,
            in_flight_max: 20,
            queue_max: 64,
            received_max: 64,
            received_bytes_max: 2 * 1024 * 1024,
            backoff_ms_max: 30_000,
        }
    }

    /// The bounds of the core, which speaks with all agents over one link.
    #[must_use]
    pub fn for_core(host: String, port: u16, client_id: String) -> Self {
        Self {
            keep_alive_s: 15,
            in_flight_max: 1_000,
            queue_max: 8_192,
            received_max: 8_192,
            received_bytes_max: 64 * 1024 * 1024,
            ..Self::for_agent(host, port, client_id)
        }
    }

    /// The broker as people write it.
    #[must_use]
    pub fn target(&self) -> String {
        let host = bracketed(&self.host);
        format!("{}://{host}:{}", if self.tls.is_some() { "mqtts" } else { "mqtt" }, self.port)
    }

    /// Host and port as the resolver takes them.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }

    /// Checks what can be checked without a broker.
    pub(super) fn check(&self) -> Result<(), LinkConfigError> {
        let zero = |what| Err(LinkConfigError::Zero { what });
        match self {
            _ if self.host.is_empty() => Err(LinkConfigError::NoHost),
            _ if self.client_id.is_empty() => Err(LinkConfigError::NoClientId),
            _ if self.in_flight_max == 0 => zero("in_flight_max"),
            _ if self.queue_max == 0 => zero("queue_max"),
            _ if self.received_max == 0 => zero("received_max"),
            _ => Ok(()),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// A wall time that was believed at a moment of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Believed {
    /// The wall time.
    pub wall: Timestamp,
    /// The moment.
    pub mono: Monotonic,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file with the certificate authorities to trust; the system's when `None`.
    pub ca_file: Option<PathBuf>,
    /// What the broker may ask us to show.
    pub client: Option<ClientCertificate>,
}

/// A certificate of our own, for brokers that ask for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file with the certificate, and those between it and the authority.
    pub certificate_file: PathBuf,
    /// PEM file with its private key.
    pub key_file: PathBuf,
}

/// Why a link cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum LinkConfigError {
    /// There is no host.
    #[error("the broker's host is empty; write a name such as broker.example.org, or an address")]
    NoHost,
    /// There is no client id.
    #[error("the MQTT client id is empty; write the agent id")]
    NoClientId,
    /// A bound is zero.
    #[error("{what} is 0, so nothing could ever pass; write at least 1")]
    Zero {
        /// Which bound.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}; name a PEM file that this user may read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate or key.
    #[error("{} holds no {what} in PEM form; name the right file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The system's certificate authorities cannot be used.
    #[error("cannot read the system's certificate authorities: {reason}; name a ca_file instead")]
    SystemAuthorities {
        /// What went wrong.
        reason: String,
    },
    /// Certificate and key do not work together.
    #[error("TLS cannot be set up: {reason}; check that certificate and key belong together")]
    Tls {
        /// What rustls said.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_as_people_write_it() {
        let mut config = LinkConfig::for_agent("::1".to_owned(), 1883, "a".to_owned());
        assert_eq!(config.target(), "mqtt://[::1]:1883");
        config.host = "broker".to_owned();
        config.tls = Some(TlsConfig::default());
        assert_eq!(config.target(), "mqtts://broker:1883");
        assert_eq!(config.address(), "broker:1883");
    }

    #[test]
    fn a_link_through_which_nothing_could_pass_is_refused() {
        let config = LinkConfig::for_core("h".to_owned(), 1, "c".to_owned());
        assert!(config.check().is_ok());
        assert!(LinkConfig { in_flight_max: 0, ..config.clone() }.check().is_err());
        assert!(LinkConfig { queue_max: 0, ..config.clone() }.check().is_err());
        assert!(LinkConfig { client_id: String::new(), ..config.clone() }.check().is_err());
        assert!(LinkConfig { host: String::new(), ..config }.check().is_err());
    }
}
