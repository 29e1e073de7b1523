//! Who listens on a port that a client was given. Until the client does, anybody on
//! this machine may, and would be told what is meant for the client alone.

use std::{
    collections::HashSet,
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::proc;

/// How the system writes down that a socket takes connections (tcp_states.h).
const LISTEN: &str = "0A";

/// Who takes the connections to a port of 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// A process of the client's group, as far as the system tells us.
    Ours,
    /// Another one: its id, if it is one of this user's.
    Other(Option<u32>),
    /// None by now.
    Nobody,
}

/// A socket that takes connections to a port, and how closely its address is that of
/// 127.0.0.1: the system hands a connection to the closest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Socket {
    distance: u8,
    inode: u64,
}

/// Who listens on this port, which a client was given whose process leads this group.
/// Blocks for some ms.
pub fn of(port: u16, group: u32) -> Listener {
    let Ok(mut sockets) = sockets(port) else {
        return Listener::Ours;
    };
    if sockets.is_empty() {
        return Listener::Nobody;
    }
    let closest = sockets.iter().map(|it| it.distance).min();
    sockets.retain(|it| Some(it.distance) == closest);
    let mut foreign: HashSet<u64> = sockets.iter().map(|it| it.inode).collect();
    let (ours, others): (Vec<_>, Vec<_>) =
        proc::all().into_iter().partition(|it| it.group == group);
    for process in ours {
        match open_sockets(process.pid) {
            Ok(held) => foreign.retain(|inode| !held.contains(inode)),
            // It runs as somebody else: nobody can tell.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Listener::Ours,
            // It has just ended.
            Err(_) => {}
        }
    }
    let holds = |pid: u32| open_sockets(pid).is_ok_and(|held| !held.is_disjoint(&foreign));
    match foreign.is_empty() {
        true => Listener::Ours,
        false => Listener::Other(others.iter().map(|it| it.pid).find(|pid| holds(*pid))),
    }
}

fn sockets(port: u16) -> io::Result<Vec<Socket>> {
    let mut table = fs::read_to_string("/proc/net/tcp")?;
    // A machine may have no IPv6.
    table.push_str(&fs::read_to_string("/proc/net/tcp6").unwrap_or_default());
    Ok(table.lines().filter_map(|it| parsed(it, port)).collect())
}

fn parsed(line: &str, port: u16) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, number) = fields.get(1)?.split_once(':')?;
    let is_meant = *fields.get(3)? == LISTEN && u16::from_str_radix(number, 16) == Ok(port);
    is_meant.then_some(())?;
    Some(Socket {
        distance: distance(address)?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// None for an address that gets no connection to 127.0.0.1. The system writes words
/// of 32 bits, each as this machine has it in memory.
fn distance(address: &str) -> Option<u8> {
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok();
    match address.len() {
        8 => match Ipv4Addr::from(word(0)?.to_ne_bytes()) {
            Ipv4Addr::LOCALHOST => Some(0),
            Ipv4Addr::UNSPECIFIED => Some(1),
            _ => None,
        },
        32 => {
            let mut bytes = Vec::with_capacity(16);
            for at in [0, 8, 16, 24] {
                bytes.extend(word(at)?.to_ne_bytes());
            }
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            match (address, address.to_ipv4_mapped()) {
                (_, Some(Ipv4Addr::LOCALHOST)) => Some(0),
                (Ipv6Addr::UNSPECIFIED, _) | (_, Some(Ipv4Addr::UNSPECIFIED)) => Some(2),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The sockets that a process has open.
fn open_sockets(pid: u32) -> io::Result<HashSet<u64>> {
    let entries = fs::read_dir(proc::path(pid, "fd"))?;
    let inodes = entries.flatten().filter_map(|entry| {
        let link = fs::read_link(entry.path()).ok()?;
        let text = link.to_str()?.strip_prefix("socket:[")?;
        text.strip_suffix(']')?.parse().ok()
    });
    Ok(inodes.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn whoever_listens_is_told_apart_from_a_clients_group() {
        let own = std::process::id();
        let group = proc::stat(own).unwrap().group;
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(of(port, group), Listener::Ours, "{address}");
            assert_eq!(of(port, u32::MAX), Listener::Other(Some(own)), "{address}");
        }
    }

    #[test]
    fn the_systems_tables_are_read() {
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  \
                     1000        0 4242 1 0000000000000000 100 0 0 10 0"
            )
        };
        let loopback = u32::from_ne_bytes([127, 0, 0, 1]);
        let of = |address: String, state| parsed(&line(&address, state), 3000);
        let socket = |distance| {
            Some(Socket {
                distance,
                inode: 4242,
            })
        };
        assert_eq!(of(format!("{loopback:08X}:0BB8"), "0A"), socket(0));
        assert_eq!(of("00000000:0BB8".to_owned(), "0A"), socket(1));
        assert_eq!(of(format!("{:032}:0BB8", 0), "0A"), socket(2));
        assert_eq!(of(format!("{loopback:08X}:0BB9"), "0A"), None);
        assert_eq!(of(format!("{loopback:08X}:0BB8"), "01"), None);
        let elsewhere = u32::from_ne_bytes([10, 0, 0, 1]);
        assert_eq!(of(format!("{elsewhere:08X}:0BB8"), "0A"), None);
        for odd in ["", "a b c d", "0: :0BB8 x 0A 1 2 3 4 5 6"] {
            assert_eq!(parsed(odd, 3000), None, "{odd}");
        }
    }
}
