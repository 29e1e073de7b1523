//! Where the outside speaks to wxhost: one module per peer.

pub mod wehub;
