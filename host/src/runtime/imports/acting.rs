//! `wxhost:endpoint/acting`: whom an endpoint acts for.

use super::CallState;
use crate::{
    domain::AccountId,
    runtime::{
        bindings::{endpoint::wxhost::endpoint::acting::Host, wxhost::bot::model::Failure},
        convert,
        endpoint::EndpointErrand,
        state::{Errand, Stopped},
    },
};

/// The same for whatever is wrong with an account: it tells nobody which there are.
const FORBIDDEN: &str = "this endpoint may not act for this account: its deployment names those \
                         that it may act for (--act-for), and they must have logged in here";
const IN_TRIAL: &str = "nobody is acted for while an endpoint is tried out";

impl Host for CallState<EndpointErrand> {
    async fn act_for(&mut self, account: String) -> wasmtime::Result<Result<(), Failure>> {
        self.enter()?;
        // Who handles the failure must not go on for the one before.
        self.call.acts_for(None);
        if self.call.is_trial() {
            return Ok(Err(convert::coded("forbidden", IN_TRIAL)));
        }
        let forbidden = || convert::coded("forbidden", FORBIDDEN);
        let granted = &self.call.deployment().version.manifest.act_for;
        let named = AccountId::try_from(account.as_str()).ok();
        let Some(id) = named.filter(|id| granted.has(id)) else {
            return Ok(Err(forbidden()));
        };
        let account = self.store.account(&id).await.map_err(Stopped::Store)?;
        let Some(account) = account else {
            return Ok(Err(forbidden()));
        };
        self.call.acts_for(Some((id, account.client)));
        Ok(Ok(()))
    }
}
