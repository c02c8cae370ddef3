//! Turns a [`LinkConfig`] into the client's options, and undoes every default that would bite:
//! 10 KiB messages, megabytes of memory for a window that is never used, Nagle's algorithm.
//! Connects nothing.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    Broker, LastWill, MqttOptions, NetworkOptions, QoS, TlsConfiguration, Transport,
    default_socket_connect,
};

use super::super::tls::client_config;
use super::super::{LinkConfig, LinkConfigError, Will};

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
        let tls = TlsConfiguration::Rustls(Arc::new(client_config(tls, config.believed)?));
        options.set_transport(Transport::tls_with_config(tls));
    }
    Ok(options)
}

fn network() -> NetworkOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(CONNECT_TIMEOUT_S);
    network
}

#[cfg(test)]
mod tests {
    use super::super::super::TlsConfig;
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
