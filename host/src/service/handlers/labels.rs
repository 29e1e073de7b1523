//! Labels of accounts. They lie with the bindings, which rest on them: an account can
//! have some before it has ever logged in, so that its first message is served by the
//! right bot.

use crate::{
    domain::{
        Account, AccountId, Label, Labelled, Labels,
        label::{LABELLED_ACCOUNTS_MAX, check_count},
        ports::{CatalogueChange, Page},
    },
    service::{Error, Service, failing::Ended},
};

/// A change of an account's labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeLabels {
    /// Instead of those that it has, if there are any here.
    pub to: Option<Labels>,
    /// Those that it gets.
    pub add: Labels,
    /// Those that it has no longer.
    pub remove: Labels,
}

impl Service {
    /// An account's labels; none of one that nobody knows.
    pub fn labels(&self, account: &AccountId) -> Labels {
        self.0.catalogue.now().labels_of(account)
    }

    /// Changes an account's labels; what serves it then serves its next event. Gives
    /// those that it has now.
    pub async fn change_labels(
        &self,
        account: AccountId,
        change: ChangeLabels,
    ) -> Result<Labels, Error> {
        let service = self.clone();
        self.detached(async move { service.change_labels_whole(account, change).await })
            .await
    }

    async fn change_labels_whole(
        &self,
        account: AccountId,
        change: ChangeLabels,
    ) -> Result<Labels, Error> {
        let _changing = self.0.catalogue.changing.lock().await;
        let mut deployed = self.deployed();
        let former = deployed.labels_of(&account);
        let labels = changed(&former, change)?;
        if labels == former {
            return Ok(labels);
        }
        if former.is_empty() && deployed.labelled_accounts() >= LABELLED_ACCOUNTS_MAX {
            let reason = format!("{LABELLED_ACCOUNTS_MAX} accounts have labels already");
            return Err(Error::Busy { reason });
        }
        let torn = deployed.label(account.clone(), labels.clone());
        torn.map_err(|torn| Error::Conflict(torn.to_string()))?;
        let stored = match labels.is_empty() {
            true => CatalogueChange::RemoveLabels(account),
            false => CatalogueChange::PutLabels(Labelled {
                account,
                labels: labels.clone(),
            }),
        };
        self.0.store.change_catalogue(vec![stored]).await?;
        self.has_serve(deployed);
        self.end_pauses(Ended::Replaced);
        Ok(labels)
    }

    /// Accounts with a label that have logged in, ordered by id.
    pub async fn accounts_with(
        &self,
        label: &Label,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Account>, Error> {
        let after = after.and_then(|after| AccountId::try_from(after).ok());
        let mut items = Vec::new();
        let deployed = self.0.catalogue.now().clone();
        let mut last: Option<&AccountId> = None;
        for id in deployed.accounts_with(label, after.as_ref()) {
            if items.len() == limit {
                let next = last.map(ToString::to_string);
                return Ok(Page { items, next });
            }
            items.extend(self.0.store.account(id).await?);
            last = Some(id);
        }
        Ok(Page { items, next: None })
    }
}

fn changed(former: &Labels, change: ChangeLabels) -> Result<Labels, Error> {
    let bad = |problem| Error::BadRequest {
        field: "labels",
        problem,
    };
    if let Some(both) = change.add.intersection(&change.remove).next() {
        return Err(bad(format!("{both} can't be added and removed at once")));
    }
    let mut labels = change.to.unwrap_or_else(|| former.clone());
    labels.extend(change.add);
    labels.retain(|label| !change.remove.contains(label));
    check_count(&labels).map_err(bad)?;
    Ok(labels)
}
