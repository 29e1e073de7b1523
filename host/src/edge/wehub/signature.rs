//! The proof in a login's answer that the server knows the secret key.

use std::fmt::Write;

use md5::{Digest, Md5};

/// Signs a login (section 2): MD5 of `wxid#nonce#secret_key` as 32 upper case
/// hex digits. MD5 is the protocol's choice; nothing else rests on it.
pub fn sign(wxid: &str, nonce: &str, secret_key: &str) -> String {
    let mut md5 = Md5::new();
    for part in [wxid, "#", nonce, "#", secret_key] {
        md5.update(part.as_bytes());
    }
    let mut hex = String::with_capacity(32);
    for byte in md5.finalize() {
        // Writing to a String can't fail.
        let _ = write!(hex, "{byte:02X}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn the_protocol_s_check_vector() {
        assert_eq!(
            sign("fangqing_hust", "helloworld", "112233"),
            "4B8D798F8B34A7BD2CD3B4CBFA309D9C"
        );
    }

    #[test]
    fn text_beyond_ascii_is_signed_as_utf_8() {
        assert_eq!(
            sign("微信号", "随机", "eovBCOX3457@"),
            "1c5288096505c10ab02cc10891a01ac6".to_uppercase()
        );
    }
}
