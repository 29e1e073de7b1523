//! Ports for the clients of one host, which no other host of the tests gives away.

use std::net::TcpListener;

use crate::{Result, fail};

/// Where the blocks begin and end: below what Linux gives to whoever asks for any
/// port (32768), above what services use.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A block of ports. It is ours as long as this lives: its last port is listened on.
#[derive(Debug)]
pub struct Ports {
    /// The first one.
    pub first: u16,
    /// The last one that clients get.
    pub last: u16,
    _mark: TcpListener,
}

impl Ports {
    /// A block of this many.
    pub fn block(count: u16) -> Result<Self> {
        let size = count + 1;
        let blocks = (LAST - FIRST) / size;
        // Other processes of the tests begin elsewhere, so that few meet.
        let begin = std::process::id() % u32::from(blocks);
        for turn in 0..u32::from(blocks) {
            let place = u16::try_from((begin + turn) % u32::from(blocks))?;
            let first = FIRST + place * size;
            let mark = first + count;
            // The mark first: the ports of another's block are not even tried.
            if let Ok(mark) = TcpListener::bind(("127.0.0.1", mark))
                && (first..first + count).all(|port| !is_taken(port))
            {
                return Ok(Self {
                    first,
                    last: first + count - 1,
                    _mark: mark,
                });
            }
        }
        fail!("no {count} ports in a row are free between {FIRST} and {LAST}")
    }

    /// Those of them on which somebody listens. Tries them: nobody may be about to.
    pub fn taken(&self) -> Vec<u16> {
        let all = self.first..=self.last;
        all.filter(|port| is_taken(*port)).collect()
    }
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;

    #[test]
    fn blocks_do_not_meet() {
        let (one, other) = (Ports::block(5).unwrap(), Ports::block(5).unwrap());
        assert!(one.last < other.first || other.last < one.first);
        assert!(one.taken().is_empty());
        let _there = TcpListener::bind(("127.0.0.1", one.last)).unwrap();
        assert_eq!(one.taken(), [one.last]);
    }
}
