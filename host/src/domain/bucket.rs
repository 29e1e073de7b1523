//! Buckets: where a guest keeps what it has to know later. Whose they are, what may
//! be in them, and how much.

use serde::{Deserialize, Serialize};

use super::{AccountId, HandlerName};

/// The longest key, in bytes.
pub const KEY_MAX_BYTES: usize = 256;

/// How many keys of the shared bucket one call may read. The commit compares each
/// with what is there then, and while it does nobody else's is settled.
pub const SHARED_READS_MAX: usize = 256;
/// How many bytes the values may have together that one call reads of it, before the
/// last: its commit reads them all once more, and everybody's commits wait for that.
pub const SHARED_READ_BYTES_MAX: usize = 1024 * 1024;

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Whose it is; none for the one that all accounts of the handler share.
    pub account: Option<AccountId>,
    /// Which handler's.
    pub handler: HandlerName,
}

impl Bucket {
    /// The bucket of an account and a handler.
    pub fn of(account: &AccountId, handler: &HandlerName) -> Self {
        Self {
            account: Some(account.clone()),
            handler: handler.clone(),
        }
    }

    /// The bucket that all accounts of a handler share.
    pub fn shared(handler: &HandlerName) -> Self {
        Self {
            account: None,
            handler: handler.clone(),
        }
    }
}

/// Says what is wrong with a key.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() || key.len() > KEY_MAX_BYTES {
        return Err(format!(
            "a key has 1 to {KEY_MAX_BYTES} bytes, this has {}",
            key.len()
        ));
    }
    Ok(())
}

/// What a bucket comes to, or how much it may come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How many keys.
    pub keys: u64,
    /// The bytes of keys and values together.
    pub bytes: u64,
}

impl Usage {
    /// What one entry comes to.
    pub fn of(key: &str, value: Option<&[u8]>) -> Self {
        Self::of_sizes(key.len(), value.map(<[u8]>::len))
    }

    /// The same by its sizes in bytes.
    pub fn of_sizes(key: usize, value: Option<usize>) -> Self {
        Self {
            keys: u64::from(value.is_some()),
            bytes: value.map_or(0, |value| (key + value) as u64),
        }
    }

    /// With this one instead of that.
    pub fn with(self, more: Self, instead_of: Self) -> Self {
        let swap = |now: u64, more: u64, less: u64| now.saturating_add(more).saturating_sub(less);
        Self {
            keys: swap(self.keys, more.keys, instead_of.keys),
            bytes: swap(self.bytes, more.bytes, instead_of.bytes),
        }
    }

    /// Whether a bucket that comes to this may come to that. One that is too full
    /// may stay so and shrink, but not grow.
    pub fn may_become(self, after: Self, max: Self) -> bool {
        after.keys <= max.keys.max(self.keys) && after.bytes <= max.bytes.max(self.bytes)
    }

    /// Says that a bucket may not come to this.
    pub fn refusal(self, max: Self) -> String {
        format!(
            "the bucket is full: with this it would have {} keys of at most {}, and {} bytes of \
             at most {}",
            self.keys, max.keys, self.bytes, max.bytes
        )
    }
}

/// How much buckets may come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketLimits {
    /// That of an account and a handler.
    pub own: Usage,
    /// That of all accounts of a handler.
    pub shared: Usage,
    /// One value, in bytes.
    pub value_bytes: u32,
}

impl Default for BucketLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        let max = |keys, bytes| Usage { keys, bytes };
        Self {
            own: max(10_000, 16 * MIB),
            shared: max(100_000, 64 * MIB),
            value_bytes: 64 * 1024,
        }
    }
}

impl BucketLimits {
    /// How much this one may come to.
    pub fn of(&self, bucket: &Bucket) -> Usage {
        match bucket.account {
            Some(_) => self.own,
            None => self.shared,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Usage = Usage { keys: 2, bytes: 10 };

    fn usage(keys: u64, bytes: u64) -> Usage {
        Usage { keys, bytes }
    }

    #[test]
    fn what_is_replaced_does_not_count() {
        let old = Usage::of("key", Some(b"four"));
        let new = Usage::of("key", Some(b"seventy"));
        assert_eq!(old, usage(1, 7));
        assert_eq!(old.with(new, old), usage(1, 10));
        assert_eq!(old.with(Usage::of("key", None), old), Usage::default());
    }

    #[test]
    fn a_bucket_grows_up_to_its_end() {
        assert!(usage(1, 5).may_become(usage(2, 10), MAX));
        assert!(!usage(2, 5).may_become(usage(3, 6), MAX));
        assert!(!usage(2, 5).may_become(usage(2, 11), MAX));
    }

    #[test]
    fn one_that_is_too_full_may_only_shrink() {
        let full = usage(5, 20);
        for after in [usage(4, 20), usage(5, 19), usage(5, 20), usage(0, 0)] {
            assert!(full.may_become(after, MAX), "{after:?}");
        }
        for after in [usage(6, 19), usage(4, 21)] {
            assert!(!full.may_become(after, MAX), "{after:?}");
        }
        // Room in one thing is room, whatever the other comes to.
        assert!(usage(1, 20).may_become(usage(2, 20), MAX));
    }

    #[test]
    fn a_refusal_names_what_it_would_be_and_what_may_be() {
        let text = usage(3, 11).refusal(MAX);
        for number in ["3 keys of at most 2", "11 bytes of at most 10"] {
            assert!(text.contains(number), "{text}");
        }
    }

    #[test]
    fn a_key_has_a_length_and_no_other_rule() {
        for key in ["a/b", "\0", "..", "*", "\u{10ffff}", &"k".repeat(256)] {
            assert_eq!(check_key(key), Ok(()), "{key:?}");
        }
        for key in ["", &"k".repeat(257)] {
            assert!(check_key(key).is_err(), "{key:?}");
        }
    }
}
