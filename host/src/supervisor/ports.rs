//! The ports that clients are given: each to one process, and to no other one as
//! long as somebody may still speak to it.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, TcpListener},
    ops::RangeInclusive,
    sync::{Arc, Mutex},
};

use super::locked;
use crate::domain::ports::Lease;

/// Which ports are given away.
#[derive(Debug)]
pub struct Ports {
    range: RangeInclusive<u16>,
    held: Mutex<HashSet<u16>>,
}

/// A port that is given away until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    ports: Arc<Ports>,
}

impl Ports {
    /// Those of this range.
    pub fn new(range: RangeInclusive<u16>) -> Arc<Self> {
        Arc::new(Self {
            range,
            held: Mutex::default(),
        })
    }

    /// The first one that is neither given away nor used by another program. Blocks
    /// for some µs for each that is used.
    pub fn take(self: &Arc<Self>) -> Option<Arc<Port>> {
        let mut held = locked(&self.held);
        let mut range = self.range.clone();
        let number = range.find(|number| !held.contains(number) && is_free(*number))?;
        held.insert(number);
        let ports = Arc::clone(self);
        Some(Arc::new(Port { number, ports }))
    }
}

impl Port {
    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl Lease for Port {}

impl Drop for Port {
    fn drop(&mut self) {
        locked(&self.ports.held).remove(&self.number);
    }
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// A port that somebody listens on, and one before it that nobody does.
    fn taken() -> (TcpListener, u16) {
        loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let number = listener.local_addr().unwrap().port();
            if is_free(number - 1) {
                return (listener, number);
            }
        }
    }

    #[test]
    fn a_port_is_given_away_once_until_it_is_given_back() {
        let (listener, number) = taken();
        drop(listener);
        let ports = Ports::new(number - 1..=number);
        let (first, second) = (ports.take().unwrap(), ports.take().unwrap());
        assert_eq!((first.number(), second.number()), (number - 1, number));
        assert!(ports.take().is_none());
        let somebody = Arc::clone(&first);
        drop(first);
        assert!(ports.take().is_none());
        drop(somebody);
        assert_eq!(ports.take().unwrap().number(), number - 1);
    }

    #[test]
    fn a_port_of_another_program_is_left_out() {
        let (_listener, number) = taken();
        assert!(Ports::new(number..=number).take().is_none());
    }
}
