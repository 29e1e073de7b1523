//! The address that a client reports to: it says which client it is. Pure.

use std::fmt::Write;

use super::ClientName;

/// Puts `client=NAME` behind what an address asks for already, in place of another
/// `client`. The rest stays byte for byte.
pub fn merged_url(url: &str, name: &ClientName) -> String {
    let (rest, fragment) = split(url, '#');
    let (address, query) = split(rest, '?');
    let others = query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !names_client(pair));
    let own = format!("client={}", escaped(name.as_str()));
    let query: Vec<&str> = others.chain([own.as_str()]).collect();
    let mut merged = format!("{address}?{}", query.join("&"));
    if let Some(fragment) = fragment {
        let _ = write!(merged, "#{fragment}");
    }
    merged
}

/// The host's own address for the reports of a client, with the key by which its
/// process is known.
pub fn report_url(base_url: &str, name: &ClientName, key: &str) -> String {
    let path = escaped(name.as_str());
    let url = format!("{base_url}/openwx/report/{path}?key={key}");
    merged_url(&url, name)
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

fn names_client(pair: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "client")
}

/// A text as it may stand in a path and in a query alike (RFC 3986).
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' => {
                escaped.push(byte.into());
            }
            _ => {
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn of(url: &str, name: &str) -> String {
        merged_url(url, &ClientName::try_from(name).unwrap())
    }

    #[test]
    fn a_report_address_is_merged_as_a_real_controller_does_it() {
        for (given, name, expected) in [
            ("http://h:1/cb", "p2", "http://h:1/cb?client=p2"),
            (
                "http://h:1/cb?a=1&b=2",
                "p3",
                "http://h:1/cb?a=1&b=2&client=p3",
            ),
            (
                "http://h:1/cb?client=old&b=2",
                "p4",
                "http://h:1/cb?b=2&client=p4",
            ),
            (
                "http://h:1/cb?b=2#frag",
                "p5",
                "http://h:1/cb?b=2&client=p5#frag",
            ),
            ("http://h:1", "p6", "http://h:1?client=p6"),
        ] {
            assert_eq!(of(given, name), expected);
        }
    }

    #[test]
    fn what_else_is_asked_for_stays_byte_for_byte() {
        assert_eq!(
            of("http://h/?q=%e4%BD+x&client&%63lient=y&clients=2", "p"),
            "http://h/?q=%e4%BD+x&clients=2&client=p"
        );
        assert_eq!(of("http://h/?", "a@b.c"), "http://h/?client=a@b.c");
        assert_eq!(of("http://h/", "微"), "http://h/?client=%E5%BE%AE");
    }

    #[test]
    fn the_hosts_own_address_has_the_key_and_the_name() {
        let name = ClientName::try_from("a1").unwrap();
        assert_eq!(
            report_url("http://127.0.0.1:80", &name, "k"),
            "http://127.0.0.1:80/openwx/report/a1?key=k&client=a1"
        );
    }
}
