//! What is deployed, ready to be looked up once per event.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::domain::{
    AccountId, Binding, Deployment, Digest, Handler, HandlerName, Label, Labelled, Labels,
    handler::{
        ConfigScope, Configuration, Layer, Layers, Scope, Score, Share, Version, VersionNumber,
    },
    label::{self, Torn},
    ports::InUse,
};

/// A handler, and what of it runs.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The handler as it is in the store.
    pub handler: Arc<Handler>,
    /// The versions that can be gone back to, and their components.
    pub kept: Vec<(VersionNumber, Digest)>,
    /// Its configuration.
    pub config: Arc<Layers>,
    serving: Arc<Deployment>,
    newer: Option<Newer>,
    /// What serves the accounts whose configuration is not that of all.
    own: Arc<HashMap<AccountId, Own>>,
}

/// What serves an account whose configuration is its own.
#[derive(Debug, Clone)]
struct Own {
    serving: Arc<Deployment>,
    newer: Option<Arc<Deployment>>,
}

impl Own {
    fn new(
        handler: &Handler,
        serving: &Arc<Version>,
        newer: Option<&Arc<Version>>,
        config: &Configuration,
    ) -> Self {
        let deployment = |version| Arc::new(handler.deployment(version, config.clone()));
        Self {
            serving: deployment(serving),
            newer: newer.map(deployment),
        }
    }
}

/// The version that serves some.
#[derive(Debug, Clone)]
struct Newer {
    to: Share,
    deployment: Arc<Deployment>,
    failures_percent: u8,
    score: Arc<Counts>,
}

/// How the calls of a version go. Counted since the host started: a restart gives a
/// version another chance.
#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    failures: AtomicU64,
}

impl Counts {
    fn add(&self, failed: bool) -> Score {
        let failures = self.failures.fetch_add(failed.into(), Ordering::Relaxed);
        Score {
            calls: self.calls.fetch_add(1, Ordering::Relaxed) + 1,
            failures: failures + u64::from(failed),
        }
    }

    fn score(&self) -> Score {
        Score {
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}

impl Entry {
    /// Makes a handler ready to be looked up. Calls of a version that served some
    /// before and still does are counted on.
    pub fn new(
        handler: Handler,
        kept: Vec<(VersionNumber, Digest)>,
        config: Arc<Layers>,
        former: Option<&Self>,
    ) -> Self {
        let version = Arc::new(handler.version.clone());
        let rolled_out = handler.rollout.as_ref();
        let rolled_out = rolled_out.map(|rollout| Arc::new(rollout.version.clone()));
        let own = config.own().map(|(id, config)| {
            let own = Own::new(&handler, &version, rolled_out.as_ref(), &config);
            (id.clone(), own)
        });
        let own = Arc::new(own.collect());
        let former = former.and_then(|it| it.newer.as_ref());
        let newer = handler.rollout.as_ref().zip(rolled_out.as_ref());
        let newer = newer.map(|(rollout, version)| Newer {
            to: rollout.to.clone(),
            deployment: Arc::new(handler.deployment(version, config.shared())),
            failures_percent: rollout.failures_percent,
            score: former
                .filter(|it| it.deployment.version.number == rollout.version.number)
                .map(|it| Arc::clone(&it.score))
                .unwrap_or_default(),
        });
        Self {
            serving: Arc::new(handler.deployment(&version, config.shared())),
            newer,
            own,
            config,
            kept,
            handler: Arc::new(handler),
        }
    }

    /// The same handler with other entries of one scope. Of an account's, nothing is made
    /// anew but what serves that account.
    pub fn with_config(&self, scope: ConfigScope, layer: Layer) -> Self {
        let mut config = self.config.as_ref().clone();
        config.put(scope.clone(), layer);
        let config = Arc::new(config);
        let ConfigScope::Account(id) = scope else {
            let handler = self.handler.as_ref().clone();
            return Self::new(handler, self.kept.clone(), config, Some(self));
        };
        let mut own = self.own.as_ref().clone();
        match config.has_own(&id) {
            false => drop(own.remove(&id)),
            true => {
                let newer = self.newer.as_ref().map(|it| &it.deployment.version);
                let (serving, config) = (&self.serving.version, config.of(&id));
                own.insert(id, Own::new(&self.handler, serving, newer, &config));
            }
        }
        Self {
            config,
            own: Arc::new(own),
            ..self.clone()
        }
    }

    /// What serves this account, with these labels of all.
    fn deployment_for(
        &self,
        account: &AccountId,
        labels: &BTreeMap<AccountId, Labels>,
    ) -> &Arc<Deployment> {
        let name = &self.handler.name;
        let newer = self.newer.as_ref();
        let newer = newer.filter(|newer| newer.to.reaches(name, account, labels));
        match (self.own.get(account), newer) {
            (None, None) => &self.serving,
            (None, Some(newer)) => &newer.deployment,
            (Some(own), None) => &own.serving,
            (Some(own), Some(newer)) => own.newer.as_ref().unwrap_or(&newer.deployment),
        }
    }

    /// What answers a request to an endpoint: of a hundred, so many reach the newer
    /// version as its share says. There is no account by which the same would.
    pub fn deployment_for_request(&self) -> &Arc<Deployment> {
        let reaches = |newer: &&Newer| match newer.to {
            Share::Percent(percent) => fastrand::u8(0..100) < percent,
            Share::Accounts(_) | Share::Labels(_) => false,
        };
        let newer = self.newer.as_ref().filter(reaches);
        newer.map_or(&self.serving, |newer| &newer.deployment)
    }

    /// How the newer version's calls went so far.
    pub fn score(&self) -> Option<Score> {
        self.newer.as_ref().map(|newer| newer.score.score())
    }

    /// Whether this is the newer version's, which goes back when it fails too often.
    pub fn is_judged(&self, called: &Deployment) -> bool {
        let newer = self.newer.as_ref();
        newer.is_some_and(|it| it.deployment.version.number == called.version.number)
    }

    /// Counts a call. Some when it was the newer version's, and too many of its calls
    /// have failed by now.
    pub fn judge(&self, called: &Deployment, failed: bool) -> Option<Score> {
        let newer = self.newer.as_ref().filter(|_| self.is_judged(called))?;
        let score = newer.score.add(failed);
        (failed && score.fails(newer.failures_percent)).then_some(score)
    }
}

/// Handlers and bindings at one moment.
#[derive(Debug, Clone, Default)]
pub struct Deployed {
    /// Every handler by name.
    pub handlers: BTreeMap<HandlerName, Entry>,
    bindings: HashMap<AccountId, HandlerName>,
    /// What serves those with a label.
    by_label: BTreeMap<Label, HandlerName>,
    /// The labels of the accounts that have some.
    labels: Arc<BTreeMap<AccountId, Labels>>,
    default: Option<HandlerName>,
    callback: Option<HandlerName>,
}

impl Deployed {
    /// With these handlers, and these bindings and labels of the store.
    pub fn new(handlers: Vec<Entry>, bindings: Vec<Binding>, labels: Vec<Labelled>) -> Self {
        let labels = labels.into_iter().map(|it| (it.account, it.labels));
        let mut deployed = Self {
            labels: Arc::new(labels.collect()),
            ..Self::default()
        };
        for entry in handlers {
            deployed.put(entry);
        }
        for binding in bindings {
            deployed.bind(binding);
        }
        deployed
    }

    /// Adds a handler, or replaces the one of the same name.
    pub fn put(&mut self, entry: Entry) {
        self.handlers.insert(entry.handler.name.clone(), entry);
    }

    /// Adds a binding, or replaces the one of the same scope.
    pub fn bind(&mut self, binding: Binding) {
        match binding.account {
            Scope::All => self.default = Some(binding.handler),
            Scope::Callback => self.callback = Some(binding.handler),
            Scope::Label(label) => {
                self.by_label.insert(label, binding.handler);
            }
            Scope::Account(id) => {
                self.bindings.insert(id, binding.handler);
            }
        }
    }

    /// Removes a binding; false when there is none.
    pub fn unbind(&mut self, scope: &Scope) -> bool {
        match scope {
            Scope::All => self.default.take().is_some(),
            Scope::Callback => self.callback.take().is_some(),
            Scope::Label(label) => self.by_label.remove(label).is_some(),
            Scope::Account(id) => self.bindings.remove(id).is_some(),
        }
    }

    /// What serves an account: by a binding of its own, else by one of its labels, else
    /// by the one for all.
    pub fn deployment_of(&self, account: &AccountId) -> Option<&Arc<Deployment>> {
        let own = self.bindings.get(account);
        let name = own.or_else(|| self.labelled(account));
        let name = name.or(self.default.as_ref())?;
        self.deployment_by(name, account)
    }

    /// What of a handler would serve an account, whatever it is bound to.
    pub fn deployment_by(
        &self,
        handler: &HandlerName,
        account: &AccountId,
    ) -> Option<&Arc<Deployment>> {
        let entry = self.handlers.get(handler)?;
        Some(entry.deployment_for(account, &self.labels))
    }

    fn labelled(&self, account: &AccountId) -> Option<&HandlerName> {
        if self.by_label.is_empty() {
            return None;
        }
        label::serving(self.labels.get(account)?, &self.by_label)
    }

    /// An account's labels.
    pub fn labels_of(&self, account: &AccountId) -> Labels {
        self.labels.get(account).cloned().unwrap_or_default()
    }

    /// How many accounts have labels.
    pub fn labelled_accounts(&self) -> usize {
        self.labels.len()
    }

    /// The accounts with a label, ordered by id, beginning after `after`.
    pub fn accounts_with(
        &self,
        label: &Label,
        after: Option<&AccountId>,
    ) -> impl Iterator<Item = &AccountId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.labels.range::<AccountId, _>((from, Bound::Unbounded));
        let labelled = all.filter(move |(_, labels)| labels.contains(label));
        labelled.map(|(account, _)| account)
    }

    /// Gives an account these labels, instead of those that it has.
    pub fn label(&mut self, account: AccountId, labels: Labels) -> Result<(), Torn> {
        label::check(&account, &labels, &self.by_label)?;
        let all = Arc::make_mut(&mut self.labels);
        match labels.is_empty() {
            true => all.remove(&account),
            false => all.insert(account, labels),
        };
        Ok(())
    }

    /// Refuses a binding after which some account's labels are bound to different
    /// handlers.
    pub fn check_torn(&self, binding: &Binding) -> Result<(), Torn> {
        let Scope::Label(label) = &binding.account else {
            return Ok(());
        };
        let mut bound = self.by_label.clone();
        bound.insert(label.clone(), binding.handler.clone());
        let mut having = self.accounts_with(label, None);
        having.try_for_each(|account| label::check(account, &self.labels_of(account), &bound))
    }

    /// Whether neither a binding of its own nor a label says what serves an account.
    pub fn has_no_other(&self, account: &AccountId) -> bool {
        !self.bindings.contains_key(account) && self.labelled(account).is_none()
    }

    /// Of each label that a handler is bound to, accounts that it serves by that: the first
    /// `limit` by id.
    pub fn labelled_for(
        &self,
        handler: &HandlerName,
        limit: usize,
    ) -> BTreeMap<Label, Vec<AccountId>> {
        let mut found: BTreeMap<Label, Vec<AccountId>> = BTreeMap::new();
        let bound = self.by_label.iter().filter(|(_, it)| *it == handler);
        let bound: BTreeSet<&Label> = bound.map(|(label, _)| label).collect();
        if bound.is_empty() {
            return found;
        }
        for (account, labels) in self.labels.iter() {
            if self.bindings.contains_key(account) {
                continue;
            }
            for label in labels.iter().filter(|label| bound.contains(label)) {
                let ids = found.entry(label.clone()).or_default();
                if ids.len() < limit {
                    ids.push(account.clone());
                }
            }
        }
        found
    }

    /// The accounts that are bound to a handler by themselves or by a label.
    pub fn accounts_bound_to(&self, handler: &HandlerName) -> BTreeSet<AccountId> {
        let own = self.bindings.iter().filter(|(_, it)| *it == handler);
        let labels = self.by_label.iter().filter(|(_, it)| *it == handler);
        let labelled = labels.flat_map(|(label, _)| self.accounts_with(label, None));
        own.map(|(id, _)| id).chain(labelled).cloned().collect()
    }

    /// What decides about the callback.
    pub fn callback(&self) -> Option<&Arc<Deployment>> {
        Some(&self.handlers.get(self.callback.as_ref()?)?.serving)
    }

    /// Every binding, the default first, then the callback's, then by label, then by
    /// account.
    pub fn bindings(&self) -> Vec<Binding> {
        let default = self.default.iter().map(|handler| (Scope::All, handler));
        let callback = self.callback.iter();
        let callback = callback.map(|handler| (Scope::Callback, handler));
        let labels = self.by_label.iter();
        let labels = labels.map(|(label, handler)| (Scope::Label(label.clone()), handler));
        let own = self
            .bindings
            .iter()
            .map(|(id, handler)| (Scope::Account(id.clone()), handler));
        let mut all: Vec<_> = default
            .chain(callback)
            .chain(labels)
            .chain(own)
            .map(|(account, handler)| Binding {
                account,
                handler: handler.clone(),
            })
            .collect();
        all.sort_by(|a, b| a.account.cmp(&b.account));
        all
    }

    /// What is bound to a handler.
    pub fn bound_to(&self, handler: &HandlerName) -> Vec<Scope> {
        let bindings = self.bindings().into_iter();
        bindings
            .filter(|it| it.handler == *handler)
            .map(|it| it.account)
            .collect()
    }

    /// The components of use.
    pub fn components(&self) -> InUse {
        let serving: std::collections::HashSet<_> = self
            .handlers
            .values()
            .flat_map(|entry| entry.handler.serving())
            .map(|version| version.digest)
            .collect();
        let kept = self.handlers.values().flat_map(|entry| &entry.kept);
        InUse {
            kept: kept
                .map(|(_, digest)| *digest)
                .chain(serving.iter().copied())
                .collect(),
            serving,
        }
    }
}

/// The current state, replaced as a whole: a reader is never held up by a
/// deployment.
#[derive(Debug, Default)]
pub struct Catalogue {
    now: ArcSwap<Deployed>,
    /// Held by whoever changes it, from reading to writing.
    pub changing: Mutex<()>,
    /// The components that are being deployed or tried, and how often at the same time.
    under_way: std::sync::Mutex<HashMap<Digest, usize>>,
}

/// Keeps a component while it is being deployed or tried, and nothing of the catalogue
/// names it.
pub struct UnderWay<'a> {
    catalogue: &'a Catalogue,
    digest: Digest,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.catalogue.under_way();
        if let Some(count) = under_way.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.digest);
            }
        }
    }
}

impl Catalogue {
    /// What is deployed now.
    pub fn now(&self) -> arc_swap::Guard<Arc<Deployed>> {
        self.now.load()
    }

    /// Begins to deploy this component, or to try it.
    pub fn deploying(&self, digest: Digest) -> UnderWay<'_> {
        *self.under_way().entry(digest).or_default() += 1;
        UnderWay {
            catalogue: self,
            digest,
        }
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, usize>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The components of use: those that are deployed, and those that are about to be, or
    /// are tried.
    pub fn components(&self) -> InUse {
        let mut used = self.now().components();
        for digest in self.under_way().keys() {
            used.serving.insert(*digest);
            used.kept.insert(*digest);
        }
        used
    }

    /// Replaces what is deployed.
    pub fn replace(&self, deployed: Deployed) {
        self.now.store(Arc::new(deployed));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::handler::{Rollout, Setting};

    fn entry(name: &str) -> Entry {
        Entry::new(Handler::example(name), Vec::new(), Arc::default(), None)
    }

    fn binding(account: &str, handler: &str) -> Binding {
        Binding {
            account: account.to_owned().try_into().unwrap(),
            handler: handler.try_into().unwrap(),
        }
    }

    fn id(account: &str) -> AccountId {
        account.try_into().unwrap()
    }

    #[test]
    fn an_account_s_own_binding_goes_before_the_one_for_all() {
        let bindings = vec![binding("*", "echo"), binding("a", "faq")];
        let mut deployed = Deployed::new(vec![entry("echo"), entry("faq")], bindings, Vec::new());
        let serves = |deployed: &Deployed, account: &str| {
            let deployment = deployed.deployment_of(&id(account));
            deployment.map(|it| it.handler.as_str().to_owned())
        };
        assert_eq!(serves(&deployed, "a").as_deref(), Some("faq"));
        assert_eq!(serves(&deployed, "b").as_deref(), Some("echo"));
        assert!(deployed.unbind(&binding("a", "faq").account));
        assert_eq!(serves(&deployed, "a").as_deref(), Some("echo"));
        assert!(deployed.unbind(&Scope::All));
        assert!(!deployed.unbind(&Scope::All));
        assert_eq!(serves(&deployed, "a"), None);
    }

    fn labels(text: &str) -> Labels {
        let words = text.split_whitespace();
        words.map(|word| word.try_into().unwrap()).collect()
    }

    #[test]
    fn a_label_goes_before_all_and_after_the_account_itself() {
        let bindings = vec![
            binding("*", "echo"),
            binding("label:shop", "faq"),
            binding("b", "echo"),
        ];
        let handlers = vec![entry("echo"), entry("faq")];
        let mut deployed = Deployed::new(handlers, bindings, Vec::new());
        for account in ["a", "b"] {
            deployed.label(id(account), labels("other shop")).unwrap();
        }
        deployed.label(id("c"), labels("other")).unwrap();
        let serves = |deployed: &Deployed, account: &str| {
            let deployment = deployed.deployment_of(&id(account)).unwrap();
            deployment.handler.as_str().to_owned()
        };
        for (account, handler) in [("a", "faq"), ("b", "echo"), ("c", "echo"), ("d", "echo")] {
            assert_eq!(serves(&deployed, account), handler, "{account}");
        }
        let faq = "faq".try_into().unwrap();
        assert_eq!(deployed.accounts_bound_to(&faq), [id("a"), id("b")].into());
        deployed.label(id("a"), labels("")).unwrap();
        assert_eq!(serves(&deployed, "a"), "echo");
        assert_eq!(deployed.labelled_accounts(), 2);
    }

    #[test]
    fn no_account_is_torn_between_two_labels() {
        let bindings = vec![binding("label:shop", "faq"), binding("label:test", "echo")];
        let handlers = vec![entry("echo"), entry("faq")];
        let mut deployed = Deployed::new(handlers, bindings, Vec::new());
        assert!(deployed.label(id("a"), labels("shop test")).is_err());
        assert!(deployed.labels_of(&id("a")).is_empty());
        deployed.label(id("a"), labels("shop new")).unwrap();
        assert!(deployed.check_torn(&binding("label:new", "echo")).is_err());
        assert_eq!(deployed.check_torn(&binding("label:new", "faq")), Ok(()));
        assert_eq!(deployed.check_torn(&binding("label:shop", "echo")), Ok(()));
    }

    #[test]
    fn the_callback_has_a_handler_of_its_own() {
        let bindings = [
            binding("a", "faq"),
            binding("*callback", "gate"),
            binding("*", "echo"),
        ];
        let handlers = vec![entry("echo"), entry("faq"), entry("gate")];
        let mut deployed = Deployed::new(handlers, bindings.to_vec(), Vec::new());
        let [own, callback, all] = bindings;
        assert_eq!(deployed.bindings(), [all, callback, own]);
        assert_eq!(
            deployed.callback().map(|it| it.handler.as_str()),
            Some("gate")
        );
        let gate = "gate".try_into().unwrap();
        assert_eq!(deployed.bound_to(&gate), [Scope::Callback]);
        assert!(deployed.unbind(&Scope::Callback));
        assert!(!deployed.unbind(&Scope::Callback));
        assert!(deployed.callback().is_none());
    }

    fn rolling_out(failures_percent: u8) -> Handler {
        Handler {
            newest: VersionNumber(2),
            rollout: Some(Rollout {
                version: Version {
                    number: VersionNumber(2),
                    ..Version::example(b"new")
                },
                to: Share::Accounts([id("a")].into()),
                failures_percent,
                began_ms: 0,
            }),
            ..Handler::example("faq")
        }
    }

    #[test]
    fn a_newer_version_serves_those_it_has_reached() {
        let entry = Entry::new(rolling_out(20), Vec::new(), Arc::default(), None);
        let deployed = Deployed::new(vec![entry], vec![binding("*", "faq")], Vec::new());
        let number = |account| deployed.deployment_of(&id(account)).unwrap().version.number;
        assert_eq!(
            (number("a"), number("b")),
            (VersionNumber(2), VersionNumber(1))
        );
        let components = deployed.components();
        assert_eq!(components.serving.len(), 2);
        assert_eq!(components.kept, components.serving);
    }

    #[test]
    fn a_rollout_by_label_follows_the_labels() {
        let label = Label::try_from("shop").unwrap();
        let mut handler = rolling_out(20);
        handler.rollout.as_mut().unwrap().to = Share::Labels([label.clone()].into());
        let entry = Entry::new(handler, Vec::new(), Arc::default(), None);
        let mut deployed = Deployed::new(vec![entry], vec![binding("*", "faq")], Vec::new());
        let number = |deployed: &Deployed| {
            let deployment = deployed.deployment_of(&id("a")).unwrap();
            deployment.version.number.0
        };
        assert_eq!(number(&deployed), 1);
        deployed.label(id("a"), [label].into()).unwrap();
        assert_eq!(number(&deployed), 2);
        deployed.label(id("a"), Labels::new()).unwrap();
        assert_eq!(number(&deployed), 1);
    }

    #[test]
    fn an_account_with_entries_of_its_own_gets_them_from_whatever_version_serves_it() {
        let mut layers = Layers::default();
        let plain = |text: &str| [("k".to_owned(), Setting::Plain(text.to_owned()))].into();
        layers.put(ConfigScope::Handler, plain("all"));
        for account in ["a", "b"] {
            layers.put(ConfigScope::Account(id(account)), plain(account));
        }
        let entry = Entry::new(rolling_out(20), Vec::new(), Arc::new(layers), None);
        let deployed = Deployed::new(vec![entry], vec![binding("*", "faq")], Vec::new());
        for (account, number, value) in [("a", 2, "a"), ("b", 1, "b"), ("c", 1, "all")] {
            let deployment = deployed.deployment_of(&id(account)).unwrap();
            assert_eq!(deployment.version.number, VersionNumber(number));
            assert_eq!(deployment.config.get("k"), Ok(Some(value)));
            // Nothing is made for an event.
            let again = deployed.deployment_of(&id(account)).unwrap();
            assert!(Arc::ptr_eq(deployment, again));
        }
    }

    #[test]
    fn an_account_s_own_entries_make_nothing_anew_but_what_serves_it() {
        let plain = |text: &str| [("k".to_owned(), Setting::Plain(text.to_owned()))].into();
        let of = |account| ConfigScope::Account(id(account));
        let first = Entry::new(rolling_out(20), Vec::new(), Arc::default(), None);
        let second = first.with_config(of("a"), plain("a"));
        let third = second.with_config(of("b"), plain("b"));
        let value = |entry: &Entry, account| {
            let deployment = entry.deployment_for(&id(account), &BTreeMap::new());
            let value = deployment.config.get("k").unwrap().map(str::to_owned);
            (deployment.version.number.0, value)
        };
        assert_eq!(value(&third, "a"), (2, Some("a".to_owned())));
        assert_eq!(value(&third, "b"), (1, Some("b".to_owned())));
        assert_eq!(value(&third, "c"), (1, None));
        let same = |a: &Entry, b: &Entry, account| {
            Arc::ptr_eq(
                a.deployment_for(&id(account), &BTreeMap::new()),
                b.deployment_for(&id(account), &BTreeMap::new()),
            )
        };
        assert!(same(&second, &third, "a"));
        assert!(same(&first, &third, "c"));
        assert!(!same(&second, &third, "b"));
        let none = BTreeMap::new();
        let versions = [&third, &first].map(|it| &it.deployment_for(&id("b"), &none).version);
        assert!(Arc::ptr_eq(versions[0], versions[1]));

        let fourth = third.with_config(of("b"), Layer::new());
        assert!(same(&fourth, &first, "b"));
        let fifth = fourth.with_config(ConfigScope::Handler, plain("all"));
        assert_eq!(value(&fifth, "c"), (1, Some("all".to_owned())));
        assert_eq!(value(&fifth, "a"), (2, Some("a".to_owned())));
    }

    #[test]
    fn only_the_newer_version_s_failures_send_it_back() {
        let entry = Entry::new(rolling_out(20), Vec::new(), Arc::default(), None);
        let (old, new) = (&entry.serving, &entry.newer.as_ref().unwrap().deployment);
        for _ in 0..100 {
            assert_eq!(entry.judge(old, true), None);
        }
        for _ in 0..19 {
            assert_eq!(entry.judge(new, true), None);
        }
        let score = entry.judge(new, true).unwrap();
        assert_eq!((score.calls, score.failures), (20, 20));
    }

    #[test]
    fn the_count_goes_on_when_the_share_grows() {
        let first = Entry::new(rolling_out(20), Vec::new(), Arc::default(), None);
        first.judge(&first.newer.as_ref().unwrap().deployment, true);
        let mut grown = rolling_out(20);
        grown.rollout.as_mut().unwrap().to = Share::Percent(50);
        let grown = Entry::new(grown, Vec::new(), Arc::default(), Some(&first));
        assert_eq!(grown.score().unwrap().calls, 1);
    }
}
