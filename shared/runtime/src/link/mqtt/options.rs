//! Turns a [`LinkConfig`] into the client's options, and undoes every default that would bite:
//! 10 KiB messages, megabytes of memory for a window that is never used, Nagle's algorithm.
//! Reads certificate files; connects nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    Broker, LastWill, MqttOptions, NetworkOptions, QoS, TlsConfiguration, Transport,
    default_socket_connect,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::super::{ClientCertificate, LinkConfig, LinkConfigError, TlsConfig, Will};

/// The largest packet taken, in bytes: a message at its limit, and room for whatever a broker
/// adds to it.
const PACKET_BYTES_MAX: u32 = 512 * 1024;
/// How long reaching the broker may take, from looking up its name to its answer, in seconds.
const CONNECT_TIMEOUT_S: u64 = 15;
/// How many requests the client writes before it looks at the socket again.
const REQUEST_BATCH: usize = 64;

/// The options for every connection of a link.
pub(super) fn build(
    config: &LinkConfig,
    will: Option<Will>,
) -> Result<MqttOptions, LinkConfigError> {
    let broker = Broker::tcp(config.host.clone(), config.port);
    let mut options = MqttOptions::new(config.client_id.clone(), broker);
    options.set_clean_start(true);
    options.set_keep_alive(config.keep_alive_s);
    options.set_connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_S));
    options.set_max_packet_size(Some(PACKET_BYTES_MAX));
    options.set_outgoing_inflight_upper_limit(config.in_flight_max);
    options.set_max_request_batch(REQUEST_BATCH);
    options.set_network_options(network());
    if config.host.contains(':') {
        // Without brackets, the last part of an IPv6 address would be taken for the port.
        let address = config.address();
        options.set_socket_connector(move |_, network| {
            default_socket_connect(address.clone(), network)
        });
    }
    let password = config.password.as_ref().map(|p| p.expose().to_owned());
    match (config.username.clone(), password) {
        (Some(username), Some(password)) => {
            options.set_credentials(username, password);
        }
        (Some(username), None) => {
            options.set_username(username);
        }
        (None, Some(password)) => {
            options.set_password(password);
        }
        (None, None) => {}
    }
    if let Some(Will { topic, payload }) = will {
        options.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, false, None));
    }
    if let Some(tls) = &config.tls {
        options.set_transport(Transport::tls_with_config(encryption(tls)?));
    }
    Ok(options)
}

fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    network
}

/// TLS with ring, which needs no compiler for C at build time that the rest does not need too.
fn encryption(tls: &TlsConfig) -> Result<TlsConfiguration, LinkConfigError> {
    let wrong = |error: rustls::Error| LinkConfigError::Tls { reason: error.to_string() };
    let Some(ca_file) = &tls.ca_file else {
        return system_encryption(tls);
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(authorities(ca_file)?);
    let config = match &tls.client {
        Some(client) => {
            let (chain, key) = client_certificate(client)?;
            builder.with_client_auth_cert(chain, key).map_err(wrong)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}

/// TLS that trusts the system's authorities.
fn system_encryption(tls: &TlsConfig) -> Result<TlsConfiguration, LinkConfigError> {
    if CryptoProvider::get_default().is_none() {
        // Losing the race to another part of the process is as good as winning it.
        let _ = ring::default_provider().install_default();
    }
    let configuration = TlsConfiguration::try_default_rustls()
        .map_err(|error| LinkConfigError::SystemAuthorities { reason: error.to_string() })?;
    match (configuration, &tls.client) {
        (TlsConfiguration::Rustls(config), Some(client)) => {
            let (chain, key) = client_certificate(client)?;
            let wrong = |error: rustls::Error| LinkConfigError::Tls { reason: error.to_string() };
            let key = config.crypto_provider().key_provider.load_private_key(key).map_err(wrong)?;
            let certified = rustls::sign::CertifiedKey::new(chain, key);
            let mut config = ClientConfig::clone(&config);
            config.client_auth_cert_resolver =
                Arc::new(rustls::sign::SingleCertAndKey::from(certified));
            Ok(TlsConfiguration::Rustls(Arc::new(config)))
        }
        (configuration, _) => Ok(configuration),
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, LinkConfigError> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates(file)?);
    if added == 0 {
        return Err(no_pem(file, "certificate of an authority"));
    }
    Ok(store)
}

fn client_certificate(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), LinkConfigError> {
    let chain = certificates(&client.certificate_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&client.key_file)?)
        .map_err(|_| no_pem(&client.key_file, "private key"))?;
    Ok((chain, key))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, LinkConfigError> {
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
mod tests {
    use super::*;

    fn config() -> LinkConfig {
        LinkConfig::for_agent("localhost".to_owned(), 1883, "agent".to_owned())
    }

    #[test]
    fn the_defaults_that_bite_are_undone() {
        let options = build(&config(), None).expect("options");
        assert_eq!(options.max_packet_size(), Some(PACKET_BYTES_MAX));
        assert_eq!(options.get_outgoing_inflight_upper_limit(), Some(20));
        assert!(options.clean_start());
        assert_eq!(options.session_expiry_interval(), None);
        assert!(format!("{:?}", options.network_options()).contains("tcp_nodelay: true"));
    }

    #[test]
    fn files_that_are_no_certificates_are_refused_before_anything_is_tried() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("ca.pem");
        let tls = TlsConfig { ca_file: Some(path.clone()), client: None };
        let error = |tls: &TlsConfig| {
            build(&LinkConfig { tls: Some(tls.clone()), ..config() }, None).expect_err("refused")
        };
        assert!(matches!(error(&tls), LinkConfigError::File { .. }));
        std::fs::write(&path, "not a certificate").expect("write");
        assert!(error(&tls).to_string().contains("ca.pem"), "{}", error(&tls));
    }
}
