//! Keeps web pages of other sites from using the API through a browser on the operator's machine:
//! cross-site writes are refused, and a core that listens on loopback answers only to names that
//! a foreign page cannot have (DNS rebinding). Reads headers only.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};

use super::problem::{ApiError, ApiResult, Kind};
use super::query::quote;

/// Under which names the core may be addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: it listens where others can reach it anyway.
    Any,
    /// `localhost`, IP addresses, and these.
    Local(Vec<String>),
}

impl Hosts {
    /// The names for a core that listens on `address`; `extra` are those that an operator lists,
    /// such as that of a proxy in front.
    #[must_use]
    pub fn for_listener(address: IpAddr, extra: &[String]) -> Self {
        if !address.is_loopback() {
            return Self::Any;
        }
        Self::Local(extra.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    fn takes(&self, host: &str) -> bool {
        let Self::Local(extra) = self else {
            return true;
        };
        let name = without_port(host).to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        name.parse::<IpAddr>().is_ok()
            || address.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
            || name == "localhost"
            || name.ends_with(".localhost")
            || extra.contains(&name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Checks who a request comes from, as far as a browser tells.
///
/// # Errors
/// 421 for a host name that is not the core's, 403 for a write on behalf of another site.
pub fn check(method: &Method, headers: &HeaderMap, hosts: &Hosts) -> ApiResult<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let host = text(header::HOST.as_str()).unwrap_or_default();
    if !host.is_empty() && !hosts.takes(host) {
        let detail = format!(
            "the core listens on this machine only and does not go by {}; use localhost or an IP \
             address, or add the name to `hosts` in the configuration of the HTTP server",
            quote(host)
        );
        return Err(ApiError::new(Kind::UnknownHost, detail));
    }
    if method.is_safe() {
        return Ok(());
    }
    // Browsers that know `Sec-Fetch-Site` cannot be made to lie in it; the others send `Origin`
    // with every write. Programs send neither.
    let foreign = match (text("sec-fetch-site"), text(header::ORIGIN.as_str())) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            origin.split_once("://").is_none_or(|(_, from)| !from.eq_ignore_ascii_case(host))
        }
        (None, None) => false,
    };
    if foreign {
        let detail = "a web page of another site must not do this; call the API from a program, \
                      or from a page that the core itself serves";
        return Err(ApiError::new(Kind::CrossOrigin, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn outcome(method: Method, hosts: &Hosts, pairs: &[(&str, &str)]) -> Option<Kind> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: HeaderName = name.parse().expect("name");
            headers.insert(name, HeaderValue::from_str(value).expect("value"));
        }
        check(&method, &headers, hosts).err().map(|error| error.kind())
    }

    #[test]
    fn a_page_of_another_site_cannot_write() {
        let post = |pairs: &[(&str, &str)]| outcome(Method::POST, &Hosts::Any, pairs);
        let host = ("host", "core.example:8080");
        assert_eq!(post(&[host]), None);
        assert_eq!(post(&[host, ("origin", "http://core.example:8080")]), None);
        assert_eq!(post(&[host, ("sec-fetch-site", "same-origin"), ("origin", "https://x")]), None);
        for pair in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://core.example"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(post(&[host, pair]), Some(Kind::CrossOrigin), "{pair:?}");
            assert_eq!(outcome(Method::GET, &Hosts::Any, &[host, pair]), None);
        }
    }

    #[test]
    fn a_core_on_loopback_answers_to_no_foreign_name() {
        let local = Hosts::for_listener([127, 0, 0, 1].into(), &["Core.Example".to_owned()]);
        let get = |hosts: &Hosts, host| outcome(Method::GET, hosts, &[("host", host)]);
        for host in [
            "localhost:8080",
            "LOCALHOST",
            "127.0.0.1:1",
            "[::1]:80",
            "[::1]",
            "a.localhost",
            "core.example:1",
        ] {
            assert_eq!(get(&local, host), None, "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "[x]", ":80"] {
            assert_eq!(get(&local, host), Some(Kind::UnknownHost), "{host}");
        }
        assert_eq!(outcome(Method::GET, &local, &[]), None);
        let open = Hosts::for_listener([0, 0, 0, 0].into(), &[]);
        assert_eq!(get(&open, "fleet.example"), None);
    }
}
