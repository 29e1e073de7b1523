//! Which addresses are the Internet's, and which are nobody's business. Pure.
//!
//! After the IANA registries of special-purpose addresses (IPv4 and IPv6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::handler::Reach;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's on the Internet.
    Public,
    /// This machine's.
    Loopback,
    /// A private network's.
    Private,
    /// Shared by a provider's customers (CGNAT).
    Shared,
    /// This wire's. The metadata of clouds are there.
    LinkLocal,
    /// Where clouds keep the keys of their machines, if not on the wire.
    Metadata,
    /// No one host's: groups and broadcasts.
    Multicast,
    /// No host's at all: unspecified, for documentation, for tests, reserved.
    Reserved,
}

impl Kind {
    /// The kind of this address. What carries an address of version 4 is of the kind of
    /// that one.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// How far a rule must reach for it.
    pub fn needs(self) -> Reach {
        match self {
            Self::Public => Reach::Public,
            Self::Loopback | Self::Private | Self::Shared => Reach::Internal,
            // A name is anybody's to point there: http://169.254.169.254 gives away
            // the keys of a machine in a cloud.
            Self::LinkLocal | Self::Metadata | Self::Multicast | Self::Reserved => Reach::Listed,
        }
    }

    /// For messages: "it has … only".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Public => "public addresses",
            Self::Loopback => "addresses of this machine",
            Self::Private => "addresses of a private network",
            Self::Shared => "addresses shared by a provider's customers",
            Self::LinkLocal => "link-local addresses",
            Self::Metadata => "addresses with the keys of a machine in a cloud",
            Self::Multicast => "multicast addresses",
            Self::Reserved => "reserved addresses",
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127, ..] => Kind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Kind::Private,
        // Alibaba Cloud's.
        [100, 100, 100, 200] => Kind::Metadata,
        [100, 64..=127, ..] => Kind::Shared,
        [169, 254, ..] => Kind::LinkLocal,
        [224..=239, ..] | [255, 255, 255, 255] => Kind::Multicast,
        // "This" network, protocol assignments, documentation, the former 6to4 relays,
        // benchmarks, the future.
        [0, ..]
        | [192, 0, 0 | 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [240..=255, ..] => Kind::Reserved,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    if let Some(carried) = carried(address) {
        return of_v4(carried);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        // AWS's.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Kind::Metadata,
        // Unique local, and the former site-local.
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Kind::Private,
        // NAT64 within one network: what it leads to is that network's choice.
        [0x64, 0xff9b, 1, ..] => Kind::Reserved,
        // Protocol assignments (Teredo and ORCHID are among them), documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Reserved,
        // All that was ever given out as global unicast.
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}

/// The address of version 4 that this one leads to: mapped, compatible, translated
/// (RFC 2765), NAT64, 6to4.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    let tail = Ipv4Addr::new(a, b, c, d);
    match address.segments() {
        // `::` and `::1` are no addresses of version 4.
        [0, 0, 0, 0, 0, 0, 0, 0..=1] => None,
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0, 0xffff, _, _] => Some(tail),
        [0, 0, 0, 0, 0xffff, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(tail),
        [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_address_that_is_not_the_internets_is_known() {
        for (kind, addresses) in [
            (
                Kind::Public,
                "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 \
                 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 \
                 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
                 223.255.255.255 2606:4700:4700::1111 2400:3200::1 2a00:1450::1 \
                 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1",
            ),
            (
                Kind::Loopback,
                "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 \
                 ::ffff:0:127.0.0.1 64:ff9b::127.0.0.1 2002:7f00:1::1",
            ),
            (
                Kind::Private,
                "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 \
                 192.168.255.255 fc00::1 fd00:ec2::253 fdff::1 fec0::1 \
                 ::ffff:10.0.0.1 64:ff9b::192.168.1.1 2002:c0a8:101::1",
            ),
            (
                Kind::Shared,
                "100.64.0.0 100.127.255.255 100.100.100.199 ::ffff:100.64.0.1",
            ),
            (
                Kind::Metadata,
                "100.100.100.200 ::ffff:100.100.100.200 64:ff9b::100.100.100.200 fd00:ec2::254",
            ),
            (
                Kind::LinkLocal,
                "169.254.0.0 169.254.169.254 169.254.255.255 fe80::1 febf::1 \
                 ::ffff:169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::1",
            ),
            (
                Kind::Multicast,
                "224.0.0.1 239.255.255.255 255.255.255.255 ff02::1 ::ffff:224.0.0.1",
            ),
            (
                Kind::Reserved,
                "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 198.51.100.1 203.0.113.1 192.88.99.1 \
                 198.18.0.1 198.19.255.255 240.0.0.1 255.255.255.254 :: 100::1 2001:db8::1 \
                 2001::1 2001:10::1 2001:20::1 3fff::1 5f00::1 4000::1 ::ffff:0.0.0.0 \
                 64:ff9b::0.0.0.0 64:ff9b:1::1 2002::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(Kind::of(address.parse().unwrap()), kind, "{address}");
            }
        }
    }

    #[test]
    fn a_name_never_reaches_the_wires_own_addresses() {
        assert_eq!(Kind::LinkLocal.needs(), Reach::Listed);
        assert_eq!(Kind::Loopback.needs(), Reach::Internal);
        assert_eq!(Kind::Public.needs(), Reach::Public);
    }

    proptest! {
        #[test]
        fn what_carries_an_address_is_of_its_kind(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let kind = Kind::of(v4.into());
            for carrier in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(Kind::of(carrier.into()), kind);
            }
        }
    }
}
