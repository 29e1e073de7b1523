//! A QR login: one attempt to log an account in by a code that somebody scans
//! (seed document on QR logins). Pure: what may follow what, and when it is over.

use serde::{Deserialize, Serialize};

use super::{AccountId, ClientName, Digest, LoginId, Millis, TaskId};

/// How long a note of whoever starts a login may be, in bytes.
pub const NOTE_MAX_BYTES: usize = 500;

/// When a login is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginPolicy {
    /// How long the agent may take to fetch the task, and then the new client to
    /// upload its first code, in ms each.
    pub upload_ms: u64,
    /// How long the codes of one login may wait for a scan in all, in ms.
    pub scan_ms: u64,
    /// How many codes may go by unscanned. WeChat makes a new one every minute or
    /// two.
    pub codes_max: u32,
}

impl Default for LoginPolicy {
    fn default() -> Self {
        Self {
            upload_ms: 60_000,
            scan_ms: 600_000,
            codes_max: 10,
        }
    }
}

impl LoginPolicy {
    /// Says which setting can't work, and why.
    pub fn check(&self) -> Result<(), String> {
        match self.upload_ms == 0 || self.scan_ms == 0 || self.codes_max == 0 {
            true => Err(
                "logins.upload_ms, logins.scan_ms, logins.codes_max: must be more than 0"
                    .to_owned(),
            ),
            false => Ok(()),
        }
    }
}

/// Where a login stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginState {
    /// The task to start a client waits for the agent.
    Requested,
    /// The agent has the task.
    Dispatched,
    /// A code is there to be scanned.
    AwaitingScan,
    /// An account has logged in.
    Succeeded,
    /// It went wrong.
    Failed,
    /// It took too long.
    Expired,
}

impl LoginState {
    /// All of them, in the order of a login's life.
    pub const ALL: [Self; 6] = [
        Self::Requested,
        Self::Dispatched,
        Self::AwaitingScan,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Dispatched => "dispatched",
            Self::AwaitingScan => "awaiting-scan",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// True when nothing more will become of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Expired)
    }
}

/// One QR login attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Its name, which the clients know as the QR session id. Whoever knows it can
    /// upload codes for it.
    pub id: LoginId,
    /// Rises by one with each change: of two changes made at the same time, the
    /// store takes one.
    pub revision: u64,
    /// Where it stands.
    pub state: LoginState,
    /// How many different codes were uploaded so far.
    pub generation: u32,
    /// The code to be scanned now. Its bytes are kept beside this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<QrImage>,
    /// The account whose client was asked to start another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AccountId>,
    /// The Openwx client that shows the codes: it was started here, by no agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientName>,
    /// The task that asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// True when any other client would do as well.
    #[serde(default)]
    pub any_agent: bool,
    /// True when nobody asked for it here: it was started by hand at the client's
    /// machine.
    #[serde(default)]
    pub foreign: bool,
    /// What whoever started it wrote about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The new client process, as its uploads name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine_id: String,
    /// The account that logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Every state it went through, in order.
    pub steps: Vec<Step>,
    /// When it began.
    pub made_ms: Millis,
    /// When it reached a final state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<Millis>,
}

/// One state that a login went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which state.
    pub state: LoginState,
    /// Since when.
    pub at_ms: Millis,
    /// Why.
    pub reason: String,
}

/// What is known of a QR code's image beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QrImage {
    /// Tells an upload that comes twice from a new code.
    pub digest: Digest,
    /// Its type, as found in its content.
    pub mime: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// Why a login does not take what came for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginOver {
    /// It has ended.
    #[error("the QR session has ended as {}", .0.as_str())]
    Ended(LoginState),
}

impl Login {
    /// A login that waits for this agent's client.
    pub fn requested(
        id: LoginId,
        agent: AccountId,
        task: TaskId,
        note: String,
        now_ms: Millis,
    ) -> Self {
        let reason = format!("{agent} is asked to start a client");
        let mut login = Self::begun(id, LoginState::Requested, reason, now_ms);
        login.agent = Some(agent);
        login.task = Some(task);
        login.note = note;
        login
    }

    /// A login that somebody started by hand at the client's machine.
    pub fn foreign(id: LoginId, now_ms: Millis) -> Self {
        let reason = "started by hand at the client's machine".to_owned();
        let mut login = Self::begun(id, LoginState::Dispatched, reason, now_ms);
        login.foreign = true;
        login
    }

    /// A login of an Openwx client that was started here and shows a code.
    pub fn of_client(id: LoginId, client: ClientName, now_ms: Millis) -> Self {
        let reason = format!("the client {client} waits for a scan");
        let mut login = Self::begun(id, LoginState::Dispatched, reason, now_ms);
        login.client = Some(client);
        login
    }

    fn begun(id: LoginId, state: LoginState, reason: String, now_ms: Millis) -> Self {
        Self {
            id,
            revision: 1,
            state,
            generation: 0,
            image: None,
            agent: None,
            client: None,
            task: None,
            any_agent: false,
            foreign: false,
            note: String::new(),
            machine_id: String::new(),
            account: None,
            steps: vec![Step {
                state,
                at_ms: now_ms,
                reason,
            }],
            made_ms: now_ms,
            ended_ms: None,
        }
    }

    /// The agent's client took the task. False when that changes nothing.
    pub fn dispatched(&mut self, now_ms: Millis) -> bool {
        let first = self.state == LoginState::Requested;
        if first {
            let reason = "the agent's client has the task".to_owned();
            self.enter(LoginState::Dispatched, reason, now_ms);
        }
        first
    }

    /// Another agent takes over, since the first one can't any more.
    pub fn reassigned(&mut self, agent: AccountId, task: TaskId, now_ms: Millis) {
        let reason = format!("{agent} is asked instead");
        self.agent = Some(agent);
        self.task = Some(task);
        self.enter(LoginState::Requested, reason, now_ms);
    }

    /// A code was uploaded. False when it is the one that is there already. When
    /// too many codes went by, the login ends instead: look at its state.
    pub fn uploaded(
        &mut self,
        machine_id: &str,
        image: QrImage,
        policy: &LoginPolicy,
        now_ms: Millis,
    ) -> Result<bool, LoginOver> {
        self.check_open()?;
        if self
            .image
            .as_ref()
            .is_some_and(|it| it.digest == image.digest)
        {
            return Ok(false);
        }
        if self.generation >= policy.codes_max {
            let reason = format!("{} codes went by unscanned", self.generation);
            self.enter(LoginState::Expired, reason, now_ms);
            return Ok(true);
        }
        self.generation += 1;
        self.image = Some(image);
        self.machine_id = machine_id.to_owned();
        let reason = format!("code {} is there", self.generation);
        self.enter(LoginState::AwaitingScan, reason, now_ms);
        Ok(true)
    }

    /// An account logged in by it.
    pub fn succeeded(&mut self, account: AccountId, now_ms: Millis) -> Result<(), LoginOver> {
        self.check_open()?;
        let reason = format!("{account} has logged in");
        self.account = Some(account);
        self.enter(LoginState::Succeeded, reason, now_ms);
        Ok(())
    }

    /// It can't succeed any more. False when it has ended before.
    pub fn failed(&mut self, reason: impl Into<String>, now_ms: Millis) -> bool {
        let open = !self.state.is_final();
        if open {
            self.enter(LoginState::Failed, reason.into(), now_ms);
        }
        open
    }

    /// Ends it if its time is up. False when nothing changes.
    pub fn expire(&mut self, policy: &LoginPolicy, now_ms: Millis) -> bool {
        let due = self.due_ms(policy).is_some_and(|due| due <= now_ms);
        if due {
            let reason = match self.state {
                LoginState::Requested => format!(
                    "the agent's client did not take the task within {} s",
                    policy.upload_ms / 1000
                ),
                LoginState::Dispatched => {
                    format!("no code was uploaded within {} s", policy.upload_ms / 1000)
                }
                _ => format!("nobody scanned within {} s", policy.scan_ms / 1000),
            };
            self.enter(LoginState::Expired, reason, now_ms);
        }
        due
    }

    /// When it will be given up; none when it has ended.
    pub fn due_ms(&self, policy: &LoginPolicy) -> Option<Millis> {
        let since = |state: LoginState| {
            let step = self.steps.iter().find(|step| step.state == state);
            step.map_or(self.made_ms, |step| step.at_ms)
        };
        let last = self.steps.last().map_or(self.made_ms, |step| step.at_ms);
        match self.state {
            // From the beginning: another agent gives no more time.
            LoginState::Requested => Some(self.made_ms.saturating_add(policy.upload_ms)),
            LoginState::Dispatched => Some(last.saturating_add(policy.upload_ms)),
            // From the first code on: a new one gives no more time.
            LoginState::AwaitingScan => {
                Some(since(LoginState::AwaitingScan).saturating_add(policy.scan_ms))
            }
            _ => None,
        }
    }

    fn check_open(&self) -> Result<(), LoginOver> {
        match self.state.is_final() {
            true => Err(LoginOver::Ended(self.state)),
            false => Ok(()),
        }
    }

    fn enter(&mut self, state: LoginState, reason: String, now_ms: Millis) {
        // Time never goes back within a history.
        let at_ms = self
            .steps
            .last()
            .map_or(now_ms, |step| step.at_ms.max(now_ms));
        self.revision += 1;
        self.state = state;
        if state.is_final() {
            self.ended_ms = Some(at_ms);
            self.image = None;
        }
        self.steps.push(Step {
            state,
            at_ms,
            reason,
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;
    use crate::domain::TaskNumber;

    const POLICY: LoginPolicy = LoginPolicy {
        upload_ms: 1_000,
        scan_ms: 10_000,
        codes_max: 3,
    };

    fn account(id: &str) -> AccountId {
        id.try_into().unwrap()
    }

    fn login() -> Login {
        let agent = account("agent");
        let task = TaskId {
            account: agent.clone(),
            number: TaskNumber(1),
        };
        Login::requested("qr-1".try_into().unwrap(), agent, task, String::new(), 0)
    }

    fn image(code: u8) -> QrImage {
        QrImage {
            digest: Digest::of(&[code]),
            mime: "image/png".to_owned(),
            size_bytes: 1,
        }
    }

    #[test]
    fn the_way_to_success() {
        let mut login = login();
        assert!(login.dispatched(10));
        assert!(login.uploaded("new", image(1), &POLICY, 20).unwrap());
        assert!(login.uploaded("new", image(2), &POLICY, 30).unwrap());
        assert_eq!(login.generation, 2);
        login.succeeded(account("wxid_b"), 40).unwrap();
        assert_eq!(login.state, LoginState::Succeeded);
        assert_eq!((login.ended_ms, &login.image), (Some(40), &None));
        let states: Vec<_> = login.steps.iter().map(|step| step.state.as_str()).collect();
        assert_eq!(
            states,
            [
                "requested",
                "dispatched",
                "awaiting-scan",
                "awaiting-scan",
                "succeeded"
            ]
        );
    }

    #[test]
    fn the_same_code_again_is_no_new_one() {
        let mut login = login();
        assert!(login.uploaded("new", image(1), &POLICY, 20).unwrap());
        let before = login.clone();
        assert!(!login.uploaded("new", image(1), &POLICY, 30).unwrap());
        assert_eq!(login, before);
    }

    #[test]
    fn each_wait_has_its_end_and_its_reason() {
        let reason = |login: &Login| login.steps.last().unwrap().reason.clone();
        let mut asked = login();
        assert!(!asked.expire(&POLICY, 999));
        assert!(asked.expire(&POLICY, 1_000));
        assert!(reason(&asked).contains("did not take the task"));

        let mut taken = login();
        taken.dispatched(900);
        assert!(!taken.expire(&POLICY, 1_899));
        assert!(taken.expire(&POLICY, 1_900));
        assert!(reason(&taken).contains("no code was uploaded"));

        let mut shown = login();
        shown.uploaded("new", image(1), &POLICY, 500).unwrap();
        shown.uploaded("new", image(2), &POLICY, 9_000).unwrap();
        assert!(!shown.expire(&POLICY, 10_499));
        assert!(shown.expire(&POLICY, 10_500));
        assert!(reason(&shown).contains("nobody scanned"));
    }

    #[test]
    fn one_code_too_many_ends_it() {
        let mut login = login();
        for code in 0..3 {
            assert!(login.uploaded("new", image(code), &POLICY, 1).unwrap());
        }
        assert!(login.uploaded("new", image(9), &POLICY, 2).unwrap());
        assert_eq!(login.state, LoginState::Expired);
        assert_eq!(login.generation, 3);
    }

    #[derive(Debug, Clone)]
    enum Happens {
        Dispatched,
        Uploaded(u8),
        Succeeded,
        Failed,
        Time,
    }

    fn happens() -> impl Strategy<Value = (Happens, u64)> {
        let what = prop_oneof![
            Just(Happens::Dispatched),
            (0..5_u8).prop_map(Happens::Uploaded),
            Just(Happens::Succeeded),
            Just(Happens::Failed),
            Just(Happens::Time),
        ];
        (what, 0..20_000_u64)
    }

    proptest! {
        /// Whatever comes, in whatever order and at whatever time.
        #[test]
        fn a_login_ends_once_and_its_history_only_grows(
            all in prop::collection::vec(happens(), 0..40),
        ) {
            let mut login = login();
            for (what, at) in all {
                let before = login.clone();
                match what {
                    Happens::Dispatched => drop(login.dispatched(at)),
                    Happens::Uploaded(code) => {
                        drop(login.uploaded("m", image(code), &POLICY, at));
                    }
                    Happens::Succeeded => drop(login.succeeded(account("b"), at)),
                    Happens::Failed => drop(login.failed("no", at)),
                    Happens::Time => drop(login.expire(&POLICY, at)),
                }
                if before.state.is_final() {
                    prop_assert_eq!(&login, &before);
                }
                let changed = login != before;
                prop_assert_eq!(login.revision, before.revision + u64::from(changed));
                prop_assert_eq!(login.steps.len() as u64, login.revision);
                prop_assert!(login.steps.starts_with(&before.steps));
                prop_assert!(login.steps.is_sorted_by_key(|step| step.at_ms));
                prop_assert!(login.generation <= POLICY.codes_max);
                prop_assert_eq!(login.ended_ms.is_some(), login.state.is_final());
                prop_assert_eq!(login.due_ms(&POLICY).is_none(), login.state.is_final());
                prop_assert_eq!(
                    login.image.is_some(),
                    login.state == LoginState::AwaitingScan
                );
                prop_assert_eq!(
                    login.account.is_some(),
                    login.state == LoginState::Succeeded
                );
            }
        }
    }
}
