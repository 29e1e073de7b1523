//! What type a file has, found in its content: what its sender says of it is a
//! claim, and a wrong one at times (WeHub calls a PNG image/jpeg).

/// How much of a file its type is found in. The same when it is written and when
/// it is read, so that the type need not be kept.
const HEAD_BYTES: usize = 64 * 1024;

/// The type of what nothing is known about.
const UNKNOWN: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

/// The type of the file that begins like this.
pub fn of(beginning: &[u8]) -> &'static str {
    let head = beginning.get(..HEAD_BYTES).unwrap_or(beginning);
    match infer::get(head) {
        Some(found) => found.mime_type(),
        None if is_text(head) => TEXT,
        None => UNKNOWN,
    }
}

/// True for UTF-8 that a person can read. The last character may be cut in two by
/// the end of what is looked at, but not by the end of the file.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && head.len() == HEAD_BYTES => {
            let whole = head.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    !text.is_empty() && !text.chars().any(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_found_in_the_content() {
        for (content, expected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"ID3\x03\0\0\0\0", "audio/mpeg"),
            (b"%PDF-1.7", "application/pdf"),
            ("你好\r\n\tworld".as_bytes(), TEXT),
            (b"a bell \x07", UNKNOWN),
            (b"half a \xe4\xbd", UNKNOWN),
            (b"\0\0\0\0", UNKNOWN),
            (b"", UNKNOWN),
        ] {
            assert_eq!(of(content), expected, "{content:?}");
        }
    }

    #[test]
    fn a_character_may_straddle_the_end_of_what_is_looked_at() {
        let mut long = "a".repeat(HEAD_BYTES - 1);
        long.push('你');
        assert_eq!(of(long.as_bytes()), TEXT);
        assert_eq!(of(&vec![b'\xe4'; HEAD_BYTES + 1]), UNKNOWN);
    }
}
