//! Tokens that let callers of an endpoint in. Each is shown once and kept as its digest.
//! It has 256 random bits, hence a fast digest is enough and guessing needs no brake.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    domain::{Digest, Handler, HandlerName, Secret, handler::Version},
    service::{Error, Service},
};

/// What tokens of endpoints begin with, so that one that leaked is recognised.
const PREFIX: &str = "wxe_";
/// How many random bytes a token has.
const RANDOM_BYTES: usize = 32;

/// The token of a handler whose version takes one, if it has none yet.
pub fn first_token(handler: &mut Handler, version: &Version) -> Result<Option<Secret>, Error> {
    let takes_one = version.is_endpoint() && !version.manifest.public;
    if !takes_one || handler.token.is_some() {
        return Ok(None);
    }
    let token = made()?;
    handler.token = Some(Digest::of(token.expose().as_bytes()));
    Ok(Some(token))
}

/// Whether a token has this digest. Takes the same time whatever differs.
pub fn is(digest: Digest, token: &str) -> bool {
    Digest::of(token.as_bytes()).is(&digest)
}

fn made() -> Result<Secret, Error> {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Host(format!("the system has no randomness: {error}")))?;
    let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    Ok(Secret::from(text))
}

impl Service {
    /// Makes a new token for an endpoint. The one before lets nobody in from now on.
    pub async fn new_endpoint_token(&self, name: &HandlerName) -> Result<Secret, Error> {
        let (service, name) = (self.clone(), name.clone());
        self.detached(async move {
            let _changing = service.0.catalogue.changing.lock().await;
            let (handler, _) = service.handler(&name)?;
            if !handler.is_endpoint() {
                return Err(Error::Conflict(format!(
                    "{name} is no endpoint: nobody calls it with a token"
                )));
            }
            let token = made()?;
            let handler = Handler {
                token: Some(Digest::of(token.expose().as_bytes())),
                ..handler.as_ref().clone()
            };
            service.put(handler, None, None).await?;
            Ok(token)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::handler::{ENDPOINT_WORLD, Manifest};

    fn version(public: bool) -> Version {
        Version {
            world: ENDPOINT_WORLD.to_owned(),
            manifest: Manifest {
                public,
                ..Manifest::default()
            },
            ..Version::example(b"hook")
        }
    }

    #[test]
    fn an_endpoint_gets_a_token_once_unless_it_is_public() {
        let mut handler = Handler::example("hook");
        assert!(first_token(&mut handler, &version(true)).unwrap().is_none());
        assert_eq!(handler.token, None);
        let bot = Version::example(b"bot");
        assert!(first_token(&mut handler, &bot).unwrap().is_none());
        let token = first_token(&mut handler, &version(false)).unwrap().unwrap();
        let digest = handler.token.unwrap();
        assert!(token.expose().starts_with(PREFIX) && is(digest, token.expose()));
        assert!(!is(digest, "wxe_") && !is(digest, ""));
        assert!(
            first_token(&mut handler, &version(false))
                .unwrap()
                .is_none()
        );
    }
}
