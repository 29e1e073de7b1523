//! How a secret is sealed: XChaCha20-Poly1305 with a random nonce, whose 24 bytes
//! never meet by chance, and the place as associated data, so that a record that
//! was moved does not open.
//!
//! Sealed bytes are: form (1), the key's id (8), nonce (24), ciphertext with its tag.

use std::fmt;

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};

use crate::domain::{
    Secret,
    handler::Sealed,
    ports::{Place, VaultError},
};

/// How many bytes a key has.
pub const KEY_BYTES: usize = 32;
/// The first byte of what is sealed now.
const FORM: u8 = 1;
const ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
/// Keeps the id's digest apart from every other use of the key.
const ID_CONTEXT: &str = "wxhost 2026 id of the key that seals secrets";

/// A key. Shows its id only.
pub struct Key {
    cipher: XChaCha20Poly1305,
    id: [u8; ID_BYTES],
}

impl Key {
    /// The key of these bytes.
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let mut id = [0; ID_BYTES];
        let digest = blake3::derive_key(ID_CONTEXT, bytes);
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            cipher: XChaCha20Poly1305::new(bytes.into()),
            id,
        }
    }

    /// Whether it was this key that sealed it.
    pub fn sealed(&self, sealed: &Sealed) -> bool {
        split(sealed).is_some_and(|(id, _, _)| *id == self.id)
    }

    /// Seals a secret for its place.
    pub fn seal(&self, place: &Place, secret: &Secret) -> Result<Sealed, VaultError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| {
            VaultError::BadKey(format!("the system has no randomness: {error}"))
        })?;
        let aad = associated(place);
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: &aad,
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let text = sealed.map_err(|_| VaultError::Damaged)?;
        Ok(Sealed([&[FORM], &self.id[..], &nonce, &text].concat()))
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: &Place, sealed: &Sealed) -> Result<Secret, VaultError> {
        let (_, nonce, msg) = split(sealed).ok_or(VaultError::Damaged)?;
        let aad = associated(place);
        let payload = Payload { msg, aad: &aad };
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        let bytes = opened.map_err(|_| VaultError::Damaged)?;
        let text = String::from_utf8(bytes).map_err(|_| VaultError::Damaged)?;
        Ok(text.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:016x})", u64::from_be_bytes(self.id))
    }
}

type Parts<'a> = (&'a [u8; ID_BYTES], &'a [u8; NONCE_BYTES], &'a [u8]);

fn split(sealed: &Sealed) -> Option<Parts<'_>> {
    let (form, rest) = sealed.0.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (nonce, text) = rest.split_first_chunk()?;
    (*form == FORM).then_some((id, nonce, text))
}

/// The place, each part with its length before it: no two places look alike.
fn associated(place: &Place) -> Vec<u8> {
    let mut bytes = vec![FORM];
    for part in [
        place.handler.as_str(),
        place.scope.as_str(),
        place.key.as_str(),
    ] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}
