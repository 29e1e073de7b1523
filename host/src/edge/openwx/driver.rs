//! Looks after the accounts of all clients: one keeper per client, for as long as the
//! host knows it.

use std::{collections::HashMap, time::Duration};

use tokio::task::{AbortHandle, JoinSet};

use super::{
    Openwx,
    keeper::{Keeper, logged_out},
    report::reporter,
};
use crate::{
    domain::{Account, ClientName},
    service::Error,
};

/// How long the host rests before it tries again to end what an earlier one left.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Why a session ends whose process ended with the host.
pub(super) const HOST_ENDED: &str = "the host was started anew, and the client with it";

/// Looks after every client until the host ends.
pub(super) async fn drive(openwx: Openwx) {
    let mut keepers = JoinSet::new();
    let mut kept = HashMap::<ClientName, AbortHandle>::new();
    let left = openwx.clone();
    keepers.spawn(async move { left.end_what_was_left().await });
    let native = openwx.service().native().clone();
    loop {
        tokio::select! {
            name = native.next_new() => {
                let Some(name) = name else { break };
                let keeper = Keeper::new(openwx.clone(), name.clone());
                let handle = keepers.spawn(keeper.keep());
                // The keeper of a client that was forgotten and has come back.
                if let Some(former) = kept.insert(name, handle) {
                    former.abort();
                }
            }
            Some(_) = keepers.join_next() => kept.retain(|_, handle| !handle.is_finished()),
        }
    }
    // The clients end with the host.
    while keepers.join_next().await.is_some() {}
}

impl Openwx {
    /// Ends the sessions and QR logins of processes that ended with an earlier host:
    /// some of their clients are not even wanted any more.
    async fn end_what_was_left(&self) {
        loop {
            match self.end_left().await {
                Ok(()) | Err(Error::Draining) => return,
                Err(error) => tracing::error!(%error, "what clients left can't be ended"),
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    async fn end_left(&self) -> Result<(), Error> {
        self.service().fail_left_logins(HOST_ENDED).await?;
        for account in self.service().sessions_of_clients().await? {
            if let Err(error) = self.end_left_session(&account, HOST_ENDED).await {
                tracing::error!(account = %account.id, %error, "a session is not ended");
            }
        }
        Ok(())
    }

    /// Ends an account's session unless it is of the process that runs.
    pub(super) async fn end_left_session(
        &self,
        account: &Account,
        reason: &str,
    ) -> Result<(), Error> {
        let Some(session) = &account.session else {
            return Ok(());
        };
        let status = ClientName::try_from(&account.id)
            .ok()
            .and_then(|name| self.service().native().status(&name));
        let start = status.and_then(|status| status.start.clone());
        // One that has just begun.
        if start.is_some_and(|start| start.as_str() == session.client_session) {
            return Ok(());
        }
        let (start, since_ms) = (&session.client_session, session.login_ms);
        let event = logged_out(&account.id, start, since_ms, reason);
        let (reporter, reason) = (reporter(start), reason.to_owned());
        let logout = self
            .service()
            .logout(event, reporter, String::new(), reason);
        logout.await
    }
}
