//! Bytes that can be told from any others, for bodies that must arrive as they were.

use std::fmt::Write;

use md5::{Digest, Md5};

/// So many bytes. They repeat nowhere near each other, and hold every byte.
pub fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    let mut all: Vec<u8> = (0..size.div_ceil(4)).flat_map(next).collect();
    all.truncate(size);
    all
}

/// Their digest as text (MD5: it only has to find accidents).
pub fn digest(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// Bytes as text.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_every_byte_and_begin_alike() {
        let bytes = bytes(10_001);
        assert_eq!(bytes.len(), 10_001);
        assert!((0..=u8::MAX).all(|byte| bytes.contains(&byte)));
        assert_eq!(super::bytes(10), bytes[..10]);
    }
}
