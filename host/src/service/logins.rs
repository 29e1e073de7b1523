//! QR logins: started here, carried out by an agent's client, watched until
//! somebody has scanned the code or nobody did.

use bytes::Bytes;

use super::{Error, Service};
use crate::domain::{AccountId, Login, LoginId, LoginState, login::QrImage};

/// Who shall start a client. Nobody named: any client that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginRequest {
    /// This account's client.
    pub agent: Option<AccountId>,
    /// A client with this `machine_id`.
    pub machine: Option<String>,
    /// What to remember about it.
    pub note: String,
}

impl Service {
    /// Has a client start another one and log it in by a QR code.
    pub async fn start_login(&self, request: LoginRequest) -> Result<Login, Error> {
        let _ = request;
        Err(Error::Draining)
    }

    /// One QR login.
    pub async fn qr_login(&self, id: &LoginId) -> Result<Login, Error> {
        let found = self.0.store.login(id).await?;
        found.ok_or_else(|| Error::not_found("login", id))
    }

    /// QR logins, newest first: those of one state or all, after this one.
    pub async fn qr_logins(
        &self,
        state: Option<LoginState>,
        after: Option<&LoginId>,
        limit: usize,
    ) -> Result<Vec<Login>, Error> {
        let _ = (state, after, limit);
        Err(Error::Draining)
    }

    /// The code to be scanned now, with its login.
    pub async fn qr_image(&self, id: &LoginId) -> Result<(Login, Bytes), Error> {
        let _ = id;
        Err(Error::Draining)
    }

    /// Gives a login up.
    pub async fn cancel_login(&self, id: &LoginId) -> Result<Login, Error> {
        let _ = id;
        Err(Error::Draining)
    }

    /// A client uploads a code for this login. `foreign` says whether logins are
    /// taken that nobody asked for here. The same code again changes nothing.
    pub async fn qr_uploaded(
        &self,
        id: LoginId,
        machine_id: String,
        image: QrImage,
        bytes: Bytes,
        foreign: bool,
    ) -> Result<Login, Error> {
        let _ = (id, machine_id, image, bytes, foreign);
        Err(Error::Draining)
    }
}
