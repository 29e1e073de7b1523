//! Where a client may fetch a file from that a bot has it send. It asks from within
//! this machine, where the host and the clients' own APIs listen: they do on a GET
//! what only their users may ask for.

use std::net::{IpAddr, Ipv4Addr};

use url::{Host, Url};

/// Says why a client is not to fetch this. What a name resolves to is not looked at.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    // As the client sees it: whatever begins otherwise is a path to it.
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err("takes an http or https address of a file");
    }
    // Some of these the parser would skip, and read another host than the client.
    if url.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("takes an address without spaces and backslashes: encode them");
    }
    let parsed = Url::parse(url).map_err(|_| "is no address")?;
    let is_here = match parsed.host() {
        None => true,
        Some(Host::Domain(name)) => is_local_name(name),
        Some(Host::Ipv4(ip)) => is_local(ip.into()),
        Some(Host::Ipv6(ip)) => is_local(ip.into()),
    };
    match is_here {
        true => Err(
            "names this machine itself: put the file on a server that has a name or an \
                     address of its own",
        ),
        false => Ok(()),
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.is_empty() || name == "localhost" || name.ends_with(".localhost")
}

/// Whether it leads to this machine, or to what serves it alone. Addresses of private
/// networks do not: people keep files there.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let this_network = ip.octets().first() == Some(&0);
            ip.is_loopback() || this_network || ip.is_link_local() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let within = ip.to_ipv4().or_else(|| translated(ip.segments()));
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unicast_link_local()
                || within.is_some_and(|ip| is_local(ip.into()))
        }
    }
}

/// The address that a gateway to IPv4 would ask (RFC 6052).
fn translated(segments: [u16; 8]) -> Option<Ipv4Addr> {
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_machines_are_taken() {
        for url in [
            "http://h/1.png",
            "https://media.example:8443/a%20b?c=d#e",
            "http://192.168.1.5/a",
            "http://10.0.0.1/a",
            "http://[fd00::1]/a",
            "http://localhost.example/a",
            "https://例子.example/图.png",
            "http://[::ffff:192.168.1.5]/a",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn this_machine_is_refused_in_every_form() {
        for url in [
            "http://127.0.0.1:3000/openwx/send_friend_message?id=@f&content=x",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://0/",
            "http://0.0.0.0:3000/",
            "http://0.1.2.3/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::127.0.0.1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:0:0]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost/",
            "http://LocalHost.:3000/",
            "http://a.localhost/",
            "http://user@127.0.0.1/",
            "http://１２７.0.0.1/",
            "http://h@localhost/",
        ] {
            let problem = check(url).err().unwrap_or_default();
            assert!(problem.contains("this machine"), "{url}: {problem}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "/etc/passwd",
            "file:///etc/passwd",
            "HTTP://h/",
            " http://h/",
            "http://127.0.0.1\\@h/",
            "http://h\t/",
            "http://h /",
            "http://",
        ] {
            assert!(check(url).is_err(), "{url:?}");
        }
    }
}
