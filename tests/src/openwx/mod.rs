//! Openwx: what tests and the stub client share, and what tests say to a host that
//! runs such clients.

pub mod base64;
mod controller;
pub mod pattern;
mod ports;
pub mod process;
mod recorder;
mod stub;

pub use controller::{Openwx, Reply, Started, escaped};
pub use ports::Ports;
pub use recorder::{Recorder, Seen};
pub use stub::{Heard, Stub, binary};
