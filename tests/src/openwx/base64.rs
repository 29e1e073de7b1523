//! Base64 as Openwx clients write it: with line breaks (RFC 2045).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// How many bytes become a line: 76 characters.
const LINE_BYTES: usize = 57;

/// The text for these bytes; each line has its end.
pub fn lines(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(LINE_BYTES) {
        for three in line.chunks(3) {
            push(&mut text, three);
        }
        text.push('\n');
    }
    text
}

fn push(text: &mut String, three: &[u8]) {
    let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for place in 0..4 {
        let digit = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or_default();
        let letter = ALPHABET.get(digit).copied().unwrap_or_default();
        text.push(match place <= three.len() {
            true => char::from(letter),
            false => '=',
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_and_are_filled_up() {
        for (bytes, text) in [
            ("", ""),
            ("1", "MQ==\n"),
            ("12", "MTI=\n"),
            ("123", "MTIz\n"),
        ] {
            assert_eq!(lines(bytes.as_bytes()), text);
        }
        assert_eq!(lines(&[0; 60]).lines().count(), 2);
    }
}
