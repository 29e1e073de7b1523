//! Addresses of this machine. The environment may name proxies for all others: on the
//! way to these they would only hear what is none of their business.

use reqwest::{ClientBuilder, Url};

/// Whether an address is on this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    ip.map_or(host == "localhost", |ip| ip.is_loopback())
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
