//! Addresses of this machine. The environment may name proxies for all others: on the
//! way to these they would only hear what is none of their business.

use std::net::IpAddr;

use axum::http::uri::Authority;
use reqwest::{ClientBuilder, Url};

/// Whether an address is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    ip.map_or(host == "localhost", |ip| ip.is_loopback())
}

/// Whether the header `Host` names this machine, by a number that is its own or as
/// `localhost`, or by the name that it is known by elsewhere. A browser sends any other name
/// that somebody has pointed here, and any other number it does not take for this machine.
pub fn is_own_host(host: &str, public: Option<&str>) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || name.eq_ignore_ascii_case("localhost")
        || public.is_some_and(|public| name.eq_ignore_ascii_case(public))
}

/// Takes no proxy to an address of this machine.
pub fn spare_proxies(builder: ClientBuilder, url: &Url) -> ClientBuilder {
    match is_loopback(url) {
        true => builder.no_proxy(),
        false => builder,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_name_that_somebody_pointed_here_is_not_ours() {
        for ours in [
            "127.0.0.1:2000",
            "[::1]:2000",
            "LocalHost",
            "bots.example:80",
        ] {
            assert!(is_own_host(ours, Some("bots.example")), "{ours}");
        }
        for other in ["evil.example:2000", "0.0.0.0:2000", "10.0.0.7", "", "a b"] {
            assert!(!is_own_host(other, Some("bots.example")), "{other}");
        }
        assert!(!is_own_host("bots.example", None));
    }

    #[test]
    fn this_machine_is_known_by_its_names_and_numbers() {
        let is = |url: &str| is_loopback(&Url::parse(url).unwrap());
        for here in [
            "http://127.0.0.1:1/x",
            "http://127.9.9.9/",
            "http://0x7f.1/",
            "https://LOCALHOST/",
            "http://[::1]:1/",
        ] {
            assert!(is(here), "{here}");
        }
        for away in [
            "http://10.0.0.7/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://[fd00::1]/",
        ] {
            assert!(!is(away), "{away}");
        }
    }
}
