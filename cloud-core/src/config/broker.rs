//! Which broker the core speaks through: its own, or another one by URL. Keys of the one are
//! refused beside the other, because they would be ignored in silence.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::{BrokerSection, ConfigProblem, address};
use crate::broker::{BrokerSettings, TlsSettings};

/// Which broker.
#[derive(Debug, Clone)]
pub enum BrokerChoice {
    /// One inside this process.
    Embedded(BrokerSettings),
    /// One that runs elsewhere.
    External(ExternalBroker),
}

/// A broker that runs elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalBroker {
    /// Its name or address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether to encrypt.
    pub tls: bool,
    /// The authorities to trust, PEM; the system's when `None`.
    pub ca_file: Option<PathBuf>,
    /// The core's user name there.
    pub username: Option<String>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
}

/// Where the embedded broker listens unless told otherwise.
pub(super) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

impl BrokerSection {
    /// Takes what a flag or variable says: the URL of a broker, or an address for the embedded
    /// one. Either replaces what the file says about the other.
    pub(super) fn override_with(
        &mut self,
        text: &str,
        origin: &'static str,
    ) -> Result<(), ConfigProblem> {
        if text.contains("://") {
            self.url = Some(text.to_owned());
            self.listen = None;
            self.tls_listen = None;
            self.tls_cert_file = None;
            self.tls_key_file = None;
            self.publishers_file = None;
        } else {
            self.listen = Some(address(text, origin, LISTEN_DEFAULT.port())?);
            self.url = None;
            self.username = None;
            self.password_file = None;
            self.ca_file = None;
        }
        Ok(())
    }
}

impl BrokerChoice {
    pub(super) fn of(section: BrokerSection) -> Result<Self, ConfigProblem> {
        match section.url.clone() {
            Some(url) => external(&url, section).map(Self::External),
            None => embedded(section).map(Self::Embedded),
        }
    }
}

fn embedded(section: BrokerSection) -> Result<BrokerSettings, ConfigProblem> {
    let foreign = [
        ("broker.username", section.username.is_some()),
        ("broker.password_file", section.password_file.is_some()),
        ("broker.ca_file", section.ca_file.is_some()),
    ];
    if let Some((key, _)) = foreign.into_iter().find(|(_, given)| *given) {
        let what = "belongs to an external broker; set broker.url as well, or leave it out";
        return Err(ConfigProblem::key(key, what));
    }
    if section.clients_max == 0 {
        return Err(ConfigProblem::key("broker.clients_max", "must be at least 1, not 0"));
    }
    let tls = match (section.tls_listen, section.tls_cert_file, section.tls_key_file) {
        (None, None, None) => None,
        (Some(listen), Some(cert_file), Some(key_file)) => {
            Some(TlsSettings { listen, cert_file, key_file })
        }
        _ => {
            let what = "needs tls_cert_file and tls_key_file beside it, and they need it; write \
                        all three, or none";
            return Err(ConfigProblem::key("broker.tls_listen", what));
        }
    };
    // With only a TLS listener configured, none without is opened.
    let listen = section.listen.or((tls.is_none()).then_some(LISTEN_DEFAULT));
    let BrokerSection { clients_max, publishers_file, .. } = section;
    Ok(BrokerSettings { listen, tls, clients_max, publishers_file })
}

fn external(url: &str, section: BrokerSection) -> Result<ExternalBroker, ConfigProblem> {
    let own = [
        ("broker.listen", section.listen.is_some()),
        ("broker.tls_listen", section.tls_listen.is_some()),
        ("broker.tls_cert_file", section.tls_cert_file.is_some()),
        ("broker.tls_key_file", section.tls_key_file.is_some()),
        ("broker.publishers_file", section.publishers_file.is_some()),
    ];
    if let Some((key, _)) = own.into_iter().find(|(_, given)| *given) {
        let what = "belongs to the embedded broker, which does not run beside broker.url; leave \
                    one of them out";
        return Err(ConfigProblem::key(key, what));
    }
    let (tls, host, port) = parse_url(url)?;
    if section.ca_file.is_some() && !tls {
        let what = "is of use only with mqtts://; change broker.url, or leave it out";
        return Err(ConfigProblem::key("broker.ca_file", what));
    }
    if section.password_file.is_some() && section.username.is_none() {
        let what = "needs broker.username beside it";
        return Err(ConfigProblem::key("broker.password_file", what));
    }
    Ok(ExternalBroker {
        host,
        port,
        tls,
        ca_file: section.ca_file,
        username: section.username,
        password_file: section.password_file,
    })
}

/// Scheme, host and port.
fn parse_url(url: &str) -> Result<(bool, String, u16), ConfigProblem> {
    // A URL may hold a password by mistake, and errors end up in logs.
    let shown = match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    };
    let wrong = |what| ConfigProblem::Url { url: shown.clone(), what };
    let (tls, rest) = match url.split_once("://") {
        Some(("mqtt", rest)) => (false, rest),
        Some(("mqtts", rest)) => (true, rest),
        _ => return Err(wrong("does not begin with mqtt:// or mqtts://")),
    };
    if rest.contains('@') {
        return Err(wrong("holds a user name; use broker.username and broker.password_file"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(wrong("holds more than a host and a port"));
    }
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(wrong("holds no host"));
    }
    let default = if tls { 8883 } else { 1883 };
    let port = port.map_or(Ok(default), str::parse).map_err(|_| wrong("holds no valid port"))?;
    Ok((tls, host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_host_and_port() {
        let parsed = |url| parse_url(url).expect(url);
        assert_eq!(parsed("mqtt://broker"), (false, "broker".to_owned(), 1883));
        assert_eq!(parsed("mqtts://broker/"), (true, "broker".to_owned(), 8883));
        assert_eq!(parsed("mqtt://10.0.0.1:99"), (false, "10.0.0.1".to_owned(), 99));
        assert_eq!(parsed("mqtts://[::1]:8884"), (true, "::1".to_owned(), 8884));
        assert_eq!(parsed("mqtt://[::1]"), (false, "::1".to_owned(), 1883));
        for url in [
            "http://broker",
            "broker:1883",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://broker:port",
            "mqtt://broker:99999",
            "mqtt://broker/path",
            "mqtt://::1",
        ] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = parse_url("mqtt://core:hunter2@broker").expect_err("refused").to_string();
        assert!(error.contains("password_file") && !error.contains("hunter2"), "{error}");
    }
}
