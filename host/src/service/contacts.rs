//! Whom an account knows: kept as its client reports, read by people and bots.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Error, Service, turn::Turn};
use crate::domain::{
    AccountId, Contact, ContactKind, Event, Group, Happening, Member, User,
    action::is_group,
    ports::{Commit, ContactChange, Page},
};

/// How many contact changes go into one commit, so that a large report does not
/// keep other accounts' commits waiting.
const CHANGES_PER_COMMIT: usize = 128;
/// How many bytes of them, about: well below what a commit may hold.
const BYTES_PER_COMMIT: usize = 1024 * 1024;
/// Contacts read at a time when a snapshot is compared with what is known.
const PAGE: usize = 500;

/// What a report says about contacts.
#[derive(Debug, Default, PartialEq)]
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
        /// What is known of the members besides their ids, by group.
        members: Vec<(String, Vec<Member>)>,
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

    /// One member of a group.
    pub async fn member(
        &self,
        id: &AccountId,
        group: &str,
        user: &str,
    ) -> Result<Option<Member>, Error> {
        Ok(self.0.store.member(id, group, user).await?)
    }

    /// Writes what a report says. Writing it twice is no harm, so it takes as
    /// many commits as it needs and is not part of the event's own.
    pub(super) async fn write_contacts(
        &self,
        turn: &Turn,
        event: &Event,
        report: ContactReport,
    ) -> Result<(), Error> {
        let account = &event.account;
        let mut changes = match report {
            ContactReport::None => return Ok(()),
            ContactReport::Changes(changes) => self.without_unknown(account, changes).await?,
            ContactReport::Snapshot {
                users,
                groups,
                officials,
                members,
            } => {
                let mut changes = self.compare(account, users, groups, officials).await?;
                self.put_members(account, members, &mut changes).await?;
                changes
            }
        };
        if let Happening::MembersReported(groups) = &event.what {
            self.drop_unreported(account, groups, &mut changes).await?;
        }
        self.drop_members_of_removed(account, &mut changes).await?;
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let contacts = part(&mut changes);
            let commit = Commit {
                contacts,
                ..Commit::default()
            };
            self.commit(turn, account, commit.into()).await?;
        }
        Ok(())
    }

    /// A report of members is complete: whoever is not in it has left.
    async fn drop_unreported(
        &self,
        account: &AccountId,
        groups: &[String],
        changes: &mut Vec<ContactChange>,
    ) -> Result<(), Error> {
        for group in groups {
            let reported = |change: &ContactChange, user: &str| match change {
                ContactChange::PutMember(of, member) => of == group && member.user.id == user,
                _ => false,
            };
            for user in self.member_ids(account, group).await? {
                if !changes.iter().any(|change| reported(change, &user)) {
                    changes.push(ContactChange::RemoveMember(group.clone(), user));
                }
            }
        }
        Ok(())
    }

    /// A group that is gone has no members.
    async fn drop_members_of_removed(
        &self,
        account: &AccountId,
        changes: &mut Vec<ContactChange>,
    ) -> Result<(), Error> {
        let removed: Vec<String> = changes
            .iter()
            .filter_map(|change| match change {
                ContactChange::Remove(id) if is_group(id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        for group in removed {
            for user in self.member_ids(account, &group).await? {
                changes.push(ContactChange::RemoveMember(group.clone(), user));
            }
        }
        Ok(())
    }

    async fn member_ids(&self, account: &AccountId, group: &str) -> Result<Vec<String>, Error> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .0
                .store
                .members(account, group, after.as_deref(), PAGE)
                .await?;
            ids.extend(page.items.into_iter().map(|member| member.user.id));
            tokio::task::consume_budget().await;
            after = page.next;
            if after.is_none() {
                return Ok(ids);
            }
        }
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
            // A long list must not keep a worker from others.
            tokio::task::consume_budget().await;
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
        for (group, members) in groups.iter().flatten() {
            self.replace_members(account, &group.id, members, &mut changes)
                .await?;
        }
        let kinds: Vec<ContactKind> = [
            users.is_some().then_some(ContactKind::User),
            groups.is_some().then_some(ContactKind::Group),
            officials.is_some().then_some(ContactKind::Official),
        ]
        .into_iter()
        .flatten()
        .collect();
        let groups = groups.into_iter().flatten().map(|(group, _)| group);
        let all = users.into_iter().flatten().map(Contact::User);
        let all = all.chain(groups.map(Contact::Group));
        let all = all.chain(officials.into_iter().flatten().map(Contact::Official));
        // By id: one that changed its kind is put, not removed.
        let mut fresh: HashMap<String, Contact> = all
            .map(|contact| (contact.id().to_owned(), contact))
            .collect();
        for kind in kinds {
            self.replace(account, kind, &mut fresh, &mut changes)
                .await?;
        }
        changes.extend(fresh.into_values().map(ContactChange::Put));
        Ok(changes)
    }

    /// Puts members of whom more is known than the id, unless they are known just so.
    async fn put_members(
        &self,
        account: &AccountId,
        members: Vec<(String, Vec<Member>)>,
        changes: &mut Vec<ContactChange>,
    ) -> Result<(), Error> {
        if members.is_empty() {
            return Ok(());
        }
        let told: HashSet<(&str, &str)> = members
            .iter()
            .flat_map(|(group, all)| all.iter().map(|it| (group.as_str(), it.user.id.as_str())))
            .collect();
        changes.retain(|change| match change {
            ContactChange::PutMember(group, member) => {
                !told.contains(&(group.as_str(), member.user.id.as_str()))
            }
            _ => true,
        });
        for (group, member) in members
            .into_iter()
            .flat_map(|(group, all)| all.into_iter().map(move |member| (group.clone(), member)))
        {
            tokio::task::consume_budget().await;
            let known = self.0.store.member(account, &group, &member.user.id);
            if known.await?.as_ref() != Some(&member) {
                changes.push(ContactChange::PutMember(group, member));
            }
        }
        Ok(())
    }

    /// Removes whoever of this kind is not among the fresh, and leaves out of
    /// those who is known just so.
    async fn replace(
        &self,
        account: &AccountId,
        kind: ContactKind,
        fresh: &mut HashMap<String, Contact>,
        changes: &mut Vec<ContactChange>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self
                .0
                .store
                .contacts(account, Some(kind), after.as_deref(), PAGE)
                .await?;
            tokio::task::consume_budget().await;
            for known in &page.items {
                match fresh.get(known.id()) {
                    None => changes.push(ContactChange::Remove(known.id().to_owned())),
                    Some(same) if same == known => {
                        fresh.remove(known.id());
                    }
                    Some(_) => {}
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
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
        for known in self.member_ids(account, group).await? {
            if !fresh.remove(known.as_str()) {
                changes.push(ContactChange::RemoveMember(group.to_owned(), known));
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

/// As many changes as go into one commit.
fn part(changes: &mut impl Iterator<Item = ContactChange>) -> Vec<ContactChange> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    while part.len() < CHANGES_PER_COMMIT && bytes < BYTES_PER_COMMIT {
        let Some(change) = changes.next() else { break };
        bytes += weight(&change);
        part.push(change);
    }
    part
}

/// About how many bytes a change takes in the store.
fn weight(change: &ContactChange) -> usize {
    const FIELDS: usize = 200;
    let user = |user: &User| {
        let texts = [
            &user.remark,
            &user.account_name,
            &user.avatar_url,
            &user.signature,
        ];
        let texts = texts.into_iter().flatten().map(String::len).sum::<usize>();
        FIELDS + user.id.len() + user.nickname.len() + texts
    };
    match change {
        ContactChange::Put(Contact::User(it) | Contact::Official(it)) => user(it),
        ContactChange::Put(Contact::Group(it)) => {
            FIELDS + it.id.len() + it.name.len() + it.avatar_url.as_ref().map_or(0, String::len)
        }
        ContactChange::PutMember(group, it) => group.len() + user(&it.user),
        ContactChange::Remove(_) | ContactChange::RemoveMember(..) => FIELDS,
    }
}
