//! `wxhost:bot/contacts`: whom the account knows. Reads the account of the call
//! and no other: the guest has no way to name one.

use super::CallState;
use crate::{
    domain::{ContactKind, ports::StoreError},
    runtime::{
        bindings::wxhost::bot::{
            contacts::{Host, Kind, MemberPage, Page},
            model::{Contact, Failure, Member},
        },
        convert,
        state::{Acts, NotTaken, Stopped},
    },
};

/// The longest page. Bounds what one host call makes the host and guest hold.
const PAGE_MAX: usize = 500;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl<E: Acts> Host for CallState<E> {
    async fn get_contact(&mut self, id: String) -> Answer<Option<Contact>> {
        self.enter()?;
        let Some(account) = self.call.account_acted_for() else {
            return Ok(Err(convert::failure(&NotTaken::NoAccount)));
        };
        let found = self.store.contact(account, &id).await.map_err(stop)?;
        Ok(Ok(found.as_ref().map(convert::contact)))
    }

    async fn find_contacts(&mut self, text: String, limit: u32) -> Answer<Vec<Contact>> {
        self.enter()?;
        let (text, limit) = (text.to_lowercase(), page_size(limit));
        let mut found = Vec::new();
        let mut after = None;
        loop {
            // Counted per page read: a search costs what listing would.
            self.enter()?;
            let Some(account) = self.call.account_acted_for() else {
                return Ok(Err(convert::failure(&NotTaken::NoAccount)));
            };
            let page = self
                .store
                .contacts(account, None, after.as_deref(), PAGE_MAX)
                .await
                .map_err(stop)?;
            let hits = page.items.iter().filter(|contact| contact.matches(&text));
            found.extend(hits.take(limit - found.len()).map(convert::contact));
            after = page.next;
            if found.len() >= limit || after.is_none() {
                return Ok(Ok(found));
            }
            tokio::task::consume_budget().await;
        }
    }

    async fn list_contacts(
        &mut self,
        kind: Option<Kind>,
        cursor: Option<String>,
        limit: u32,
    ) -> Answer<Page> {
        self.enter()?;
        let kind = kind.map(|kind| match kind {
            Kind::User => ContactKind::User,
            Kind::Group => ContactKind::Group,
            Kind::Official => ContactKind::Official,
        });
        let Some(account) = self.call.account_acted_for() else {
            return Ok(Err(convert::failure(&NotTaken::NoAccount)));
        };
        let page = self
            .store
            .contacts(account, kind, cursor.as_deref(), page_size(limit))
            .await
            .map_err(stop)?;
        let items = page.items.iter().map(convert::contact).collect();
        Ok(Ok(Page {
            items,
            next: page.next,
        }))
    }

    async fn list_members(
        &mut self,
        group: String,
        cursor: Option<String>,
        limit: u32,
    ) -> Answer<MemberPage> {
        self.enter()?;
        let Some(account) = self.call.account_acted_for() else {
            return Ok(Err(convert::failure(&NotTaken::NoAccount)));
        };
        let page = self
            .store
            .members(account, &group, cursor.as_deref(), page_size(limit))
            .await
            .map_err(stop)?;
        let items = page.items.iter().map(convert::member).collect();
        Ok(Ok(MemberPage {
            items,
            next: page.next,
        }))
    }

    async fn get_member(&mut self, group: String, user: String) -> Answer<Option<Member>> {
        self.enter()?;
        let Some(account) = self.call.account_acted_for() else {
            return Ok(Err(convert::failure(&NotTaken::NoAccount)));
        };
        let found = self
            .store
            .member(account, &group, &user)
            .await
            .map_err(stop)?;
        Ok(Ok(found.as_ref().map(convert::member)))
    }
}

fn page_size(limit: u32) -> usize {
    (limit as usize).clamp(1, PAGE_MAX)
}

fn stop(error: StoreError) -> Stopped {
    Stopped::Store(error)
}
