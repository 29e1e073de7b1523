//! What a version may do beyond answering, and when it is called: the part of
//! `handler.toml` that goes with the component.

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    ActFor, BOT_WORLD, CALLBACK_PACKAGE, CallLimit, CallLimits, ENDPOINT_WORLD, SCHEDULES_MAX,
    Schedule, WhenFailing,
    host_rule::{HostRule, deserialize_rules},
};

/// What a version was granted, and when it is called. Nothing unless it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manifest {
    /// Whether it gets the messages that the account itself wrote.
    #[serde(skip_serializing_if = "is_false")]
    pub own_messages: bool,
    /// Whether it may open the bucket `shared`, which all accounts of the handler
    /// have in common.
    #[serde(skip_serializing_if = "is_false")]
    pub shared_bucket: bool,
    /// Whom it may call over HTTP: sorted, each once, at most `HOST_RULES_MAX`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "deserialize_rules"
    )]
    pub allowed_hosts: Vec<HostRule>,
    /// When it is called without anything having happened, for every account that it
    /// serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Of an endpoint: whether anybody may call it. Else it takes a token.
    #[serde(skip_serializing_if = "is_false")]
    pub public: bool,
    /// Of an endpoint: for which accounts it may act.
    #[serde(skip_serializing_if = "ActFor::is_nobody")]
    pub act_for: ActFor,
    /// What becomes of an account's events while it is paused there since it keeps
    /// failing.
    #[serde(skip_serializing_if = "is_default")]
    pub when_failing: WhenFailing,
    /// What its calls may use, where that is not what the host's settings say.
    #[serde(skip_serializing_if = "CallLimits::is_empty")]
    pub limits: CallLimits,
    /// Which instances its events run in.
    #[serde(skip_serializing_if = "Instances::are_fresh")]
    pub instances: Instances,
}

/// What of a manifest is to be so, whatever it was; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManifestChange {
    /// Whether it gets the messages that the account itself wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_messages: Option<bool>,
    /// Whether it may open the bucket `shared`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_bucket: Option<bool>,
    /// Whom it may call over HTTP: all of them.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "deserialize_some_rules"
    )]
    pub allowed_hosts: Option<Vec<HostRule>>,
    /// When it is called: all of its schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules: Option<Vec<Schedule>>,
    /// Of an endpoint: whether anybody may call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Of an endpoint: for which accounts it may act, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act_for: Option<ActFor>,
    /// What becomes of events while it is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when_failing: Option<WhenFailing>,
    /// Whether no limit of the version before stays.
    #[serde(skip_serializing_if = "is_false")]
    pub no_limits: bool,
    /// Limits of its calls; others stay.
    #[serde(skip_serializing_if = "CallLimits::is_empty")]
    pub limits: CallLimits,
    /// Which instances its events run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
}

impl ManifestChange {
    /// Whether nothing is to be another.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The manifest with these changes.
    pub fn applied_to(&self, manifest: Manifest) -> Manifest {
        let change = self.clone();
        let limits = match change.no_limits {
            true => CallLimits::default(),
            false => manifest.limits,
        };
        Manifest {
            own_messages: change.own_messages.unwrap_or(manifest.own_messages),
            shared_bucket: change.shared_bucket.unwrap_or(manifest.shared_bucket),
            allowed_hosts: change.allowed_hosts.unwrap_or(manifest.allowed_hosts),
            schedules: change.schedules.unwrap_or(manifest.schedules),
            public: change.public.unwrap_or(manifest.public),
            act_for: change.act_for.unwrap_or(manifest.act_for),
            when_failing: change.when_failing.unwrap_or(manifest.when_failing),
            limits: limits.iter().chain(change.limits.iter()).collect(),
            instances: change.instances.unwrap_or(manifest.instances),
        }
    }
}

fn deserialize_some_rules<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Vec<HostRule>>, D::Error> {
    deserialize_rules(from).map(Some)
}

/// Which instances events run in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instances {
    /// Each in one of its own, which is gone afterwards.
    #[default]
    Fresh,
    /// Those of one account in the same, as long as the host keeps it: what the guest
    /// keeps in its memory may be there at the next event, or not.
    PerAccount,
}

impl Instances {
    /// Whether each event has one of its own.
    pub fn are_fresh(&self) -> bool {
        *self == Self::Fresh
    }
}

impl Manifest {
    /// The schedule of this name.
    pub fn schedule(&self, name: &str) -> Option<&Schedule> {
        self.schedules.iter().find(|it| it.name == name)
    }

    /// Says which schedule can't be taken, and why.
    pub fn check_schedules(&self) -> Result<(), String> {
        let count = self.schedules.len();
        if count > SCHEDULES_MAX {
            return Err(format!("takes {SCHEDULES_MAX} at most, these are {count}"));
        }
        for (index, schedule) in self.schedules.iter().enumerate() {
            let problem = |problem: String| format!("[{index}].{problem}");
            schedule.check().map_err(problem)?;
            let earlier = self.schedules.iter().take(index);
            if earlier.into_iter().any(|it| it.name == schedule.name) {
                let name = &schedule.name;
                return Err(format!("[{index}].name: {name} is there twice"));
            }
        }
        Ok(())
    }
}

fn is_default(when: &WhenFailing) -> bool {
    *when == WhenFailing::default()
}

impl Manifest {
    /// Says what of it a component of this world has no use for, by its field and why.
    pub fn check_world(&self, world: &str) -> Result<(), (&'static str, String)> {
        let is_endpoint = world == ENDPOINT_WORLD;
        let has_no_accounts = is_endpoint || world.starts_with(CALLBACK_PACKAGE);
        let serves_nobody = match world {
            ENDPOINT_WORLD => "an endpoint serves no accounts, so none can be called",
            _ => "a callback component serves no accounts, so none can be called",
        };
        let endpoints_only = "goes with an endpoint: a component that exports \
             wasi:http/incoming-handler, and nothing else of this host's worlds";
        match () {
            () if has_no_accounts && !self.schedules.is_empty() => {
                Err(("schedules", serves_nobody.to_owned()))
            }
            () if world != BOT_WORLD && !self.instances.are_fresh() => Err((
                "instances",
                "only a bot has accounts that an instance could be kept for: take fresh".to_owned(),
            )),
            () if is_endpoint && self.limits.get(CallLimit::WallMs).is_some() => Err((
                "limits",
                "wall_ms: the time of an endpoint is the host's endpoints.wall_ms".to_owned(),
            )),
            () if has_no_accounts && !is_default(&self.when_failing) => {
                Err(("when_failing", serves_nobody.to_owned()))
            }
            () if is_endpoint && self.own_messages => Err((
                "own_messages",
                "an endpoint gets no messages, so none of the account's own".to_owned(),
            )),
            () if !is_endpoint && self.public => Err(("public", endpoints_only.to_owned())),
            () if !is_endpoint && !self.act_for.is_nobody() => {
                Err(("act_for", endpoints_only.to_owned()))
            }
            () => Ok(()),
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn schedules_are_few_and_have_names_of_their_own() {
        let manifest = |texts: &[&str]| Manifest {
            schedules: texts
                .iter()
                .map(|text| Schedule::parse(text).unwrap())
                .collect(),
            ..Manifest::default()
        };
        assert_eq!(
            manifest(&["a=0 8 * * *", "b=0 8 * * *"]).check_schedules(),
            Ok(())
        );
        let twice = manifest(&["a=0 8 * * *", "a=0 9 * * *"]).check_schedules();
        assert_eq!(twice.unwrap_err(), "[1].name: a is there twice");
        let many = manifest(&["a=0 8 * * *"; SCHEDULES_MAX + 1]).check_schedules();
        assert!(many.unwrap_err().starts_with("takes 16 at most"));
        let mut bad = manifest(&["a=0 8 * * *"]);
        for schedule in &mut bad.schedules {
            schedule.zone = "Nowhere".to_owned();
        }
        let problem = bad.check_schedules().unwrap_err();
        assert!(problem.starts_with("[0].zone: "), "{problem}");
    }

    #[test]
    fn what_a_world_has_no_use_for_is_refused_by_name() {
        let field = |manifest: &Manifest, world| {
            let checked = manifest.check_world(world);
            checked.err().map(|(field, _)| field)
        };
        let read = |json: &str| serde_json::from_str::<Manifest>(json).unwrap();
        let public = read(r#"{"public": true}"#);
        let acting = read(r#"{"act_for": ["*"]}"#);
        let own = read(r#"{"own_messages": true}"#);
        assert_eq!(field(&public, BOT_WORLD), Some("public"));
        assert_eq!(field(&acting, BOT_WORLD), Some("act_for"));
        assert_eq!(field(&own, BOT_WORLD), None);
        assert_eq!(field(&public, ENDPOINT_WORLD), None);
        assert_eq!(field(&acting, ENDPOINT_WORLD), None);
        assert_eq!(field(&own, ENDPOINT_WORLD), Some("own_messages"));
        let schedules = Manifest {
            schedules: vec![Schedule::parse("a=0 8 * * *").unwrap()],
            ..Manifest::default()
        };
        assert_eq!(field(&schedules, ENDPOINT_WORLD), Some("schedules"));
        assert_eq!(field(&schedules, BOT_WORLD), None);
    }

    #[test]
    fn what_was_stored_before_there_were_schedules_reads_and_looks_the_same() {
        let stored = serde_json::json!({"own_messages": true});
        let manifest: Manifest = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(manifest.schedules, []);
        assert_eq!(serde_json::to_value(&manifest).unwrap(), stored);
    }
}
