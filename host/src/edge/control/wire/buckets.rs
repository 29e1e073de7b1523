//! What guests keep, as the control API shows and takes it. Values are bytes: in
//! Base64 (RFC 4648, section 4), and as text where they are some.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::service::Fill;

/// One entry of a bucket.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyValueView {
    /// The key.
    pub key: String,
    /// The value, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value.
    pub value_base64: String,
    /// The value's size, before Base64.
    pub size_bytes: usize,
}

impl From<(String, Vec<u8>)> for KeyValueView {
    fn from((key, value): (String, Vec<u8>)) -> Self {
        Self {
            key,
            value_base64: BASE64_STANDARD.encode(&value),
            size_bytes: value.len(),
            text: String::from_utf8(value).ok(),
        }
    }
}

/// A page of a bucket, and what the whole of it comes to.
#[derive(Debug, Serialize, Deserialize)]
pub struct BucketView {
    /// The entries.
    pub items: Vec<KeyValueView>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
    /// What the bucket comes to.
    pub usage: FillView,
}

/// What a bucket comes to, and may.
#[derive(Debug, Serialize, Deserialize)]
pub struct FillView {
    /// How many keys.
    pub keys: u64,
    /// How many it may have.
    pub keys_max: u64,
    /// The bytes of keys and values together.
    pub bytes: u64,
    /// How many these may be.
    pub bytes_max: u64,
}

impl From<Fill> for FillView {
    fn from(Fill { usage, max }: Fill) -> Self {
        Self {
            keys: usage.keys,
            keys_max: max.keys,
            bytes: usage.bytes,
            bytes_max: max.bytes,
        }
    }
}

/// A value that is to be written: one of the two.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueRequest {
    /// The value, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The value in Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
}

impl ValueRequest {
    /// The value in the shorter of the two forms.
    pub fn of(value: Vec<u8>) -> Self {
        match String::from_utf8(value) {
            Ok(text) => Self {
                text: Some(text),
                value_base64: None,
            },
            Err(bytes) => Self {
                text: None,
                value_base64: Some(BASE64_STANDARD.encode(bytes.as_bytes())),
            },
        }
    }

    /// The value's bytes, or which field is at fault, and why.
    pub fn into_bytes(self) -> Result<Vec<u8>, (&'static str, String)> {
        match (self.text, self.value_base64) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(base64)) => BASE64_STANDARD
                .decode(base64)
                .map_err(|error| ("value_base64", format!("is no Base64: {error}"))),
            (None, None) => Err(("text", "is missing: give it, or value_base64".to_owned())),
            (Some(_), Some(_)) => Err(("text", "does not go with value_base64".to_owned())),
        }
    }
}

/// One line of an export: what a `PUT` of the key takes, with the key.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntryView {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(flatten)]
    pub value: ValueRequest,
}

/// A bucket that was emptied.
#[derive(Debug, Serialize, Deserialize)]
pub struct Emptied {
    /// How many keys were removed.
    pub removed: u64,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn shown(value: &[u8]) -> String {
        let view = KeyValueView::from(("n".to_owned(), value.to_vec()));
        serde_json::to_string(&view).unwrap()
    }

    #[test]
    fn a_value_looks_as_documented() {
        assert_eq!(
            shown(&[0xff, 0x00, 0x10]),
            r#"{"key":"n","value_base64":"/wAQ","size_bytes":3}"#
        );
        assert_eq!(
            shown(b"7"),
            r#"{"key":"n","text":"7","value_base64":"Nw==","size_bytes":1}"#
        );
    }

    #[test]
    fn a_value_is_taken_as_it_is_exported() {
        for value in [&b""[..], b"text", "你".as_bytes(), &[0xff, 0x00]] {
            let line = EntryView {
                key: "k\0/".to_owned(),
                value: ValueRequest::of(value.to_vec()),
            };
            let line = serde_json::to_string(&line).unwrap();
            assert!(!line.contains('\n'), "{line}");
            let read: EntryView = serde_json::from_str(&line).unwrap();
            assert_eq!(read.key, "k\0/");
            assert_eq!(read.value.into_bytes().unwrap(), value);
        }
    }

    #[test]
    fn a_value_is_given_in_one_form() {
        for (body, field) in [
            ("{}", "text"),
            (r#"{"text":"a","value_base64":"YQ=="}"#, "text"),
            (r#"{"value_base64":"*"}"#, "value_base64"),
        ] {
            let request: ValueRequest = serde_json::from_str(body).unwrap();
            assert_eq!(request.into_bytes().unwrap_err().0, field, "{body}");
        }
    }
}
