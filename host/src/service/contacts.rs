//! Whom an account knows: kept as its client reports, read by people and bots.

use std::collections::{BTreeSet, HashSet};

use super::{Error, Service, turn::Turn};
use crate::domain::{
    AccountId, Contact, ContactKind, Group, Member, User,
    ports::{Commit, ContactChange, Page},
};

/// How many contact changes go into one commit, so that a large report does not
/// keep other accounts' commits waiting.
const CHANGES_PER_COMMIT: usize = 512;
/// Contacts read at a time when a snapshot is compared with what is known.
const PAGE: usize = 500;

/// What a report says about contacts.
#[derive(Debug, Default)]
pub enum ContactReport {
    /// Nothing.
    #[default]
    None,
    /// These have changed.
    Changes(Vec<ContactChange>),
    /// These are all there are, of each kind that is given.
    Snapshot {
        /// All friends.
        users: Option<Vec<User>>,
        /// All groups, each with the ids of its members.
        groups: Option<Vec<(Group, Vec<String>)>>,
        /// All public accounts.
        officials: Option<Vec<User>>,
    },
}

impl Service {
    /// The contacts of an account, ordered by id.
    pub async fn contacts(
        &self,
        id: &AccountId,
        kind: Option<ContactKind>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>, Error> {
        self.account(id).await?;
        Ok(self.0.store.contacts(id, kind, after, limit).await?)
    }

    /// The members of a group, ordered by id.
    pub async fn members(
        &self,
        id: &AccountId,
        group: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, Error> {
        self.account(id).await?;
        Ok(self.0.store.members(id, group, after, limit).await?)
    }

    /// Writes what a report says. Writing it twice is no harm, so it takes as
    /// many commits as it needs and is not part of the event's own.
    pub(super) async fn write_contacts(
        &self,
        turn: &Turn,
        account: &AccountId,
        report: ContactReport,
    ) -> Result<(), Error> {
        let changes = match report {
            ContactReport::None => return Ok(()),
            ContactReport::Changes(changes) => self.without_unknown(account, changes).await?,
            ContactReport::Snapshot {
                users,
                groups,
                officials,
            } => self.compare(account, users, groups, officials).await?,
        };
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let contacts = changes.by_ref().take(CHANGES_PER_COMMIT).collect();
            self.commit(
                turn,
                account,
                Commit {
                    contacts,
                    ..Commit::default()
                },
            )
            .await?;
        }
        Ok(())
    }

    /// Leaves out members of whom the report knows no more than the id, where
    /// more is known already.
    async fn without_unknown(
        &self,
        account: &AccountId,
        changes: Vec<ContactChange>,
    ) -> Result<Vec<ContactChange>, Error> {
        let mut kept = Vec::with_capacity(changes.len());
        for change in changes {
            if let ContactChange::PutMember(group, member) = &change
                && member.user == User::unknown(member.user.id.as_str())
                && self
                    .0
                    .store
                    .member(account, group, &member.user.id)
                    .await?
                    .is_some()
            {
                continue;
            }
            kept.push(change);
        }
        Ok(kept)
    }

    /// What changes when these are all there are, of each kind that is given.
    async fn compare(
        &self,
        account: &AccountId,
        users: Option<Vec<User>>,
        groups: Option<Vec<(Group, Vec<String>)>>,
        officials: Option<Vec<User>>,
    ) -> Result<Vec<ContactChange>, Error> {
        let mut changes = Vec::new();
        if let Some(users) = users {
            let all = users.into_iter().map(Contact::User).collect();
            self.replace(account, ContactKind::User, all, &mut changes)
                .await?;
        }
        if let Some(groups) = groups {
            for (group, members) in &groups {
                self.replace_members(account, &group.id, members, &mut changes)
                    .await?;
            }
            let all = groups
                .into_iter()
                .map(|(group, _)| Contact::Group(group))
                .collect();
            self.replace(account, ContactKind::Group, all, &mut changes)
                .await?;
        }
        if let Some(officials) = officials {
            let all = officials.into_iter().map(Contact::Official).collect();
            self.replace(account, ContactKind::Official, all, &mut changes)
                .await?;
        }
        Ok(changes)
    }

    /// Puts all of a kind and removes whoever is not among them.
    async fn replace(
        &self,
        account: &AccountId,
        kind: ContactKind,
        all: Vec<Contact>,
        changes: &mut Vec<ContactChange>,
    ) -> Result<(), Error> {
        let kept: HashSet<&str> = all.iter().map(Contact::id).collect();
        let mut after = None;
        loop {
            let page = self
                .0
                .store
                .contacts(account, Some(kind), after.as_deref(), PAGE)
                .await?;
            let gone = page.items.iter().filter(|known| !kept.contains(known.id()));
            changes.extend(gone.map(|known| ContactChange::Remove(known.id().to_owned())));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        changes.extend(all.into_iter().map(ContactChange::Put));
        Ok(())
    }

    /// Adds members that are new and removes those that are gone. What is known
    /// of the others stays: a contact report has their ids only.
    async fn replace_members(
        &self,
        account: &AccountId,
        group: &str,
        ids: &[String],
        changes: &mut Vec<ContactChange>,
    ) -> Result<(), Error> {
        let mut fresh: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let mut after = None;
        loop {
            let page = self
                .0
                .store
                .members(account, group, after.as_deref(), PAGE)
                .await?;
            let gone = page
                .items
                .iter()
                .filter(|known| !fresh.remove(known.user.id.as_str()));
            changes.extend(
                gone.map(|it| ContactChange::RemoveMember(group.to_owned(), it.user.id.clone())),
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        changes.extend(fresh.into_iter().map(|id| {
            let member = Member {
                user: User::unknown(id),
                group_nickname: None,
            };
            ContactChange::PutMember(group.to_owned(), member)
        }));
        Ok(())
    }
}
