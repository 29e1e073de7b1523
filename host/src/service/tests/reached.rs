//! How many accounts a handler reaches.

use super::*;
use crate::domain::{
    HandlerName, Label,
    handler::{Reached, Share},
};

fn name(text: &str) -> HandlerName {
    text.try_into().unwrap()
}

fn id(text: &str) -> AccountId {
    text.try_into().unwrap()
}

fn label(text: &str) -> Scope {
    Scope::Label(Label::try_from(text).unwrap())
}

fn reached(known: usize, logged_in: usize) -> Reached {
    Reached {
        known,
        logged_in,
        or_more: false,
    }
}

impl Rig {
    async fn label(&self, account: &str, labels: &[&str]) {
        let labels = labels.iter().map(|it| Label::try_from(*it).unwrap());
        let change = ChangeLabels {
            add: labels.collect(),
            ..ChangeLabels::default()
        };
        let changed = self.service.change_labels(id(account), change).await;
        changed.unwrap();
    }

    async fn by(&self, handler: &str, scope: &Scope) -> Reached {
        let reaches = self.service.reaches(&name(handler)).await.unwrap();
        reaches.by(scope).unwrap()
    }
}

#[tokio::test]
async fn an_account_counts_for_the_binding_that_serves_it() {
    let rig = rig(None).await;
    let other = Deploy::of(name("other"), Bytes::from_static(b"another"));
    rig.service.deploy(other).await.unwrap();
    for account in ["wxid_a", "wxid_b", "wxid_c", "wxid_d"] {
        rig.log_in(account, None).await.unwrap();
    }
    rig.log_out("wxid_d").await;
    assert_eq!(rig.by("bot", &Scope::All).await, reached(4, 3));
    rig.label("wxid_b", &["shop", "desk"]).await;
    // Never seen: it has a label all the same.
    rig.label("wxid_z", &["shop"]).await;
    for scope in [label("shop"), label("desk"), Scope::Account(id("wxid_c"))] {
        rig.service.bind(scope, name("other")).await.unwrap();
    }
    assert_eq!(rig.by("bot", &Scope::All).await, reached(2, 1));
    assert_eq!(rig.by("other", &label("shop")).await, reached(1, 1));
    assert_eq!(rig.by("other", &label("desk")).await, reached(1, 1));
    let own = Scope::Account(id("wxid_b"));
    rig.service.bind(own.clone(), name("other")).await.unwrap();
    assert_eq!(rig.by("other", &own).await, reached(1, 1));
    assert!(rig.by("other", &label("shop")).await.is_nobody());
}

#[tokio::test]
async fn a_share_counts_each_account_once_and_only_those_of_the_handler() {
    let rig = rig(None).await;
    for account in ["wxid_a", "wxid_b"] {
        rig.log_in(account, None).await.unwrap();
    }
    rig.label("wxid_b", &["shop", "desk"]).await;
    for scope in [label("shop"), label("desk")] {
        rig.service.bind(scope, name("bot")).await.unwrap();
    }
    let share = async |share: Share| {
        let newer = Deploy {
            to: Some((share, 20)),
            ..Deploy::of(name("bot"), Bytes::from_static(b"newer"))
        };
        rig.service.deploy(newer).await.unwrap();
        let reaches = rig.service.reaches(&name("bot")).await.unwrap();
        reaches.rollout.unwrap()
    };
    assert_eq!(share(Share::Percent(100)).await, reached(2, 2));
    let ids = ["wxid_a", "wxid_typo"].map(id);
    assert_eq!(share(Share::Accounts(ids.into())).await, reached(1, 1));
    let scope = Scope::Account(id("wxid_a"));
    let other = Deploy::of(name("other"), Bytes::from_static(b"another"));
    rig.service.deploy(other).await.unwrap();
    rig.service.bind(scope, name("other")).await.unwrap();
    let ids = ["wxid_a"].map(id);
    assert!(share(Share::Accounts(ids.into())).await.is_nobody());
}

#[tokio::test]
async fn of_very_many_accounts_some_are_looked_at() {
    let rig = rig(None).await;
    let ids = || (0..1_001).map(|number| format!("wxid_{number}"));
    for account in ids() {
        rig.log_in(&account, None).await.unwrap();
    }
    let all = rig.by("bot", &Scope::All).await;
    assert_eq!((all.known, all.or_more), (1_000, true));
    for account in ids() {
        rig.label(&account, &["many"]).await;
    }
    rig.service.bind(label("many"), name("bot")).await.unwrap();
    let labelled = rig.by("bot", &label("many")).await;
    assert_eq!((labelled.known, labelled.or_more), (1_000, true));
    // None of those that were looked at: there may be others.
    let rest = rig.by("bot", &Scope::All).await;
    assert_eq!((rest.known, rest.or_more), (0, true));
    assert!(!rest.is_nobody());
}
