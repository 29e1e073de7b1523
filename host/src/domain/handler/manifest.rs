//! What a version may do beyond answering, and when it is called: the part of
//! `handler.toml` that goes with the component.

use serde::{Deserialize, Serialize};

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
