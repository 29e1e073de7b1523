//! Guests with one behaviour each, for the host's tests: see `examples/`.
