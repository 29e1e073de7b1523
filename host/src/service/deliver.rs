//! The way of an event: from a client's report to the tasks that answer it.
//!
//! Take the account's turn, drop what was seen before, run the bot, and write
//! what came of it in one atomic, durable commit. Only then is there an answer.
//! If the process dies before the commit, nothing has happened; if it dies
//! after it, the same event is answered with the same tasks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{Instrument, field::Empty};

use super::{
    ContactReport, Error, Service,
    error::failure_of,
    failing::Waited,
    failures::{failure_log, kept_failure},
    guard,
    measured::{LOST, note_call, note_made, note_uncalled},
    reruns,
    turn::Turn,
};
use crate::domain::{
    Account, AccountId, Action, ClientKind, Contact, Deployment, Event, Failure, FailureId,
    HandlerName, Happening, Message, Millis, Session, Task, TaskId, TaskNumber, TaskState,
    handler::{FailureKind, Used},
    ports::{
        Call, CallError, CallFailure, Commit, Committed, Effects, EventOutcome, EventRecord,
        PauseChange, Seen, StoreError, TaskFilter,
    },
    task::Origin,
};
use crate::{metrics, telemetry::TARGET};

/// An event with what else its report says.
#[derive(Debug)]
pub struct Delivery {
    /// What happened. A time of 0 stands for now.
    pub event: Event,
    /// Who reports it.
    pub reporter: Reporter,
    /// How long the event's key stands for this event; none for good.
    pub repeats_within: Option<Duration>,
    /// What it says about contacts.
    pub contacts: ContactReport,
    /// How the tasks reach the client.
    pub reply: Reply,
}

/// Who reports, in the client's own words: a client that never logged in with
/// this host becomes known by it.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// The kind of client.
    pub client: ClientKind,
    /// The customer id (WeHub).
    pub appid: Option<String>,
    /// The client's session.
    pub client_session: String,
}

/// How the tasks that a bot asks for reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// In the answer to this very report.
    InAnswer,
    /// In the answer if they are one text, with a picture or not, to where the
    /// report came from (Openwx protocol page, section 3); else in the queue.
    OneText,
    /// In the queue, since the answer has no place for tasks.
    Queue,
}

/// Lets go of the instance that was kept after a bot's run, unless it is said to stay.
struct Kept<'a>(Option<(&'a Service, &'a AccountId)>);

impl Kept<'_> {
    fn stays(mut self) {
        self.0 = None;
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        if let Some((service, account)) = self.0 {
            service.0.runtime.forget_instance(account);
        }
    }
}

/// How many of the newest queued tasks are looked at for a bot's when an account is
/// served for the first time.
const QUEUED_LOOKED_AT: usize = 100;

/// What is counted as the outcome of an event that was settled before.
pub(super) const REPEATED: &str = "repeated";

/// What settles an event together with its record.
#[derive(Debug)]
pub(super) struct Settling {
    pub event: Event,
    pub client: ClientKind,
    pub repeats_within: Option<Duration>,
    pub reply: Reply,
    /// The only bot that it is for; none for whichever serves the account.
    pub only: Option<HandlerName>,
    /// What else changes in the same commit.
    pub also: Box<Commit>,
}

impl Service {
    /// Delivers an event and gives the tasks that go into its answer. Begins at once,
    /// and goes on when the caller goes away.
    pub fn deliver(
        &self,
        delivery: Delivery,
    ) -> impl Future<Output = Result<Vec<Task>, Error>> + Send + use<> {
        let service = self.clone();
        let client = delivery.reporter.client.as_str();
        let span = tracing::info_span!(target: TARGET, "deliver", client);
        let delivered = async move { service.deliver_in_turn(delivery).await };
        self.detached(delivered.instrument(span))
    }

    /// Runs in a task of its own, from now on: dropping the caller does not cut it off.
    /// What the caller holds is the way to the outcome, not the work, which is large.
    pub(super) fn detached<T: Send + 'static, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T, W>
    where
        W: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let running = self.check_ready().map(|()| self.0.calls.spawn(work));
        async move {
            match running?.await {
                Ok(done) => done,
                Err(error) => Err(Error::Host(format!("a call ended early: {error}"))),
            }
        }
    }

    async fn deliver_in_turn(&self, delivery: Delivery) -> Result<Vec<Task>, Error> {
        let Delivery {
            event,
            reporter,
            repeats_within,
            contacts,
            reply,
        } = delivery;
        let waiting = tracing::info_span!(target: TARGET, "turn");
        let mut turn = self.turn(&event.account).instrument(waiting).await?;
        self.heard(&event.account);
        let repeats_within = match repeats_within {
            Some(_) if turn.is_superseded(&event.key) => Some(Duration::ZERO),
            span => span,
        };
        if let Some(record) = self.seen_before(&event, repeats_within).await? {
            metrics::get().event(reporter.client.as_str(), REPEATED);
            return self.tasks_of(&event.account, &record, reply).await;
        }
        let (key, client) = (event.key.clone(), reporter.client);
        self.ensure_account(&mut turn, &event.account, reporter)
            .await?;
        self.write_contacts(&turn, &event, contacts).await?;
        let settling = Settling {
            event,
            client,
            repeats_within,
            reply,
            only: None,
            also: Box::default(),
        };
        let answer = self.settle(&mut turn, settling).await?;
        if repeats_within.is_some() {
            turn.note(&key);
        }
        Ok(answer)
    }

    /// Runs the bot and commits what came of it. While the bot is paused for the
    /// account, the event passes by or waits.
    pub(super) async fn settle(
        &self,
        turn: &mut Turn,
        settling: Settling,
    ) -> Result<Vec<Task>, Error> {
        self.settle_waited(turn, settling, None).await
    }

    /// The same, for an event that has waited, too.
    pub(super) async fn settle_waited(
        &self,
        turn: &mut Turn,
        mut settling: Settling,
        waited: Option<Waited>,
    ) -> Result<Vec<Task>, Error> {
        if settling.event.at_ms == 0 {
            settling.event.at_ms = self.0.store.now();
        }
        let bot = self.bot_for(&settling.event, settling.only.as_ref());
        if waited.is_none() {
            guard::note_heard(turn, &settling.event);
            if let Some(bot) = &bot
                && let Some(when) = self.held(turn, bot, &settling.event)
            {
                return self.hold(turn, bot, settling, when).await;
            }
        }
        let Settling {
            mut event,
            client,
            repeats_within,
            reply,
            also,
            ..
        } = settling;
        let (silent, hushed) = match &bot {
            Some(bot) => {
                let hush = self.hush(turn, bot, &event);
                if !hush.silent {
                    self.name_author(&mut event).await?;
                }
                (hush.silent, hush.change)
            }
            None => (false, None),
        };
        let asked = Asked {
            bot,
            silent,
            client,
            event: &Arc::new(event),
        };
        let settled = Settled {
            event: asked.event,
            at_once: 0,
            reply,
            repeats_within,
            also,
            hushed,
            waited,
            client,
        };
        let span = tracing::info_span!(target: TARGET, "settle", client = client.as_str());
        let settled = self.run_until_settled(turn, &asked, settled);
        settled.instrument(span).await
    }

    /// Runs the bot, and again if another account wrote meanwhile to what it read of
    /// the bucket that they share. Of a run that is lost nothing stays.
    async fn run_until_settled(
        &self,
        turn: &mut Turn,
        asked: &Asked<'_>,
        mut settled: Settled<'_>,
    ) -> Result<Vec<Task>, Error> {
        let mut rerun = self.first_run(asked.bot.as_deref()).await;
        loop {
            let (pace, deferred) = (turn.pace.clone(), turn.deferred);
            let called = self.ask_bot(turn, asked).await?;
            // Unless this run is settled as it went, no instance stays that has seen it.
            let ran = matches!(called, Called::Handled(..));
            let kept = Kept(ran.then_some((self, &asked.event.account)));
            let (called, at_once) = self.place(turn, called, asked.event, settled.reply).await?;
            settled.at_once = at_once;
            if let Some(tasks) = self.commit_in_bounds(turn, called, &settled, kept).await? {
                return Ok(tasks);
            }
            (turn.pace, turn.deferred) = (pace, deferred);
            rerun.next().await?;
        }
    }

    /// Commits; a bot whose effects are too many has failed. None when its run is
    /// lost.
    async fn commit_in_bounds(
        &self,
        turn: &mut Turn,
        called: Called,
        settled: &Settled<'_>,
        kept: Kept<'_>,
    ) -> Result<Option<Vec<Task>>, Error> {
        let bot = called.bot();
        let handled = matches!(called, Called::Handled(..));
        match (self.commit_called(turn, called, settled).await, bot) {
            (Err(Error::Store(error @ StoreError::TooLarge { .. })), Some(bot)) => {
                let failed = Called::Failed(bot, over_the_limit(error.to_string()));
                self.commit_called(turn, failed, settled).await
            }
            (Ok(Some(tasks)), _) => {
                if handled {
                    kept.stays();
                }
                Ok(Some(tasks))
            }
            (committed, _) => committed,
        }
    }

    /// Calls the event's bot, if there is one and it is not to be silent here.
    async fn ask_bot(&self, turn: &Turn, asked: &Asked<'_>) -> Result<Called, Error> {
        match &asked.bot {
            None => Ok(Called::Unhandled),
            Some(bot) if asked.silent => Ok(Called::Paused(Arc::clone(bot))),
            Some(bot) => {
                self.call(turn, Arc::clone(bot), asked.client, asked.event)
                    .await
            }
        }
    }

    /// Decides how many of the bot's tasks go with the answer; the others wait in
    /// the queue. An answer does not overtake an earlier one that waits there. A bot
    /// that fills the queue has failed: nothing is dropped from it, and nothing is
    /// added.
    async fn place(
        &self,
        turn: &mut Turn,
        called: Called,
        event: &Event,
        reply: Reply,
    ) -> Result<(Called, usize), Error> {
        let Called::Handled(bot, effects) = called else {
            return Ok((called, 0));
        };
        if effects.tasks.is_empty() {
            return Ok((Called::Handled(bot, effects), 0));
        }
        let waiting = match reply {
            Reply::InAnswer => self.answers_wait(turn, &event.account).await?,
            Reply::OneText if is_one_text(&effects, event) => {
                self.answers_wait(turn, &event.account).await?
            }
            Reply::OneText | Reply::Queue => true,
        };
        let at_once = match waiting {
            true => 0,
            false => self.send_now(turn, effects.tasks.iter().map(|(_, action)| action)),
        };
        let later = effects.tasks.len().saturating_sub(at_once);
        match self.check_queue(&event.account, later).await {
            Ok(()) => Ok((Called::Handled(bot, effects), at_once)),
            Err(Error::Busy { reason }) => {
                let failure = CallFailure {
                    output: effects.output,
                    used: effects.used,
                    ..over_the_limit(reason)
                };
                Ok((Called::Failed(bot, failure), 0))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether answers of the account's bot wait in the queue: the last of them, and
    /// so perhaps those before.
    async fn answers_wait(&self, turn: &mut Turn, account: &AccountId) -> Result<bool, Error> {
        let Some(number) = turn.deferred else {
            return Ok(false);
        };
        let account = account.clone();
        let last = self.0.store.task(&TaskId { account, number }).await?;
        let waiting = last.is_some_and(|task| task.state == TaskState::Queued);
        if !waiting {
            turn.deferred = None;
        }
        Ok(waiting)
    }

    async fn commit_called(
        &self,
        turn: &mut Turn,
        called: Called,
        settled: &Settled<'_>,
    ) -> Result<Option<Vec<Task>>, Error> {
        let Settled { event, reply, .. } = *settled;
        let now_ms = self.0.store.now();
        let verdict = called.verdict();
        let measured = called.measured();
        let bot = called.bot();
        let failing = self.failing_after(turn, &called, settled, now_ms);
        let mut commit = called.into_commit(settled, now_ms);
        let failure_log = commit.failure.as_ref().map(failure_log);
        if let (Some(bot), Some(seen)) = (bot, &commit.seen)
            && seen.record.outcome != EventOutcome::Paused
        {
            let (outcome, tasks) = (seen.record.outcome, &seen.record.tasks);
            let (client, recorded) = (settled.client, (outcome, tasks.as_slice()));
            commit.recorded = self
                .recorded_as(turn, &bot, client, event, recorded)
                .await?;
        }
        if let Some(waited) = &settled.waited {
            waited.settle(&mut commit);
        }
        failing.add_to(&mut commit);
        let was_recorded = commit.recorded.is_some();
        let asked = commit.tasks.clone();
        self.await_outcomes(&event.account, &mut commit, now_ms)
            .await?;
        commit.pauses.extend(settled.hushed.clone());
        // First what happened, then what the bot does about it: a timer that has
        // fired is gone before it is set again.
        let mut whole = settled.also.clone();
        whole.add(commit);
        let outcome = whole.seen.as_ref().map(|seen| seen.record.outcome);
        let span = tracing::info_span!(target: TARGET, "commit", outcome = Empty);
        if let Some(outcome) = outcome {
            span.record("outcome", outcome.as_str());
        }
        let tried = self.try_commit(turn, &event.account, whole);
        let tried = tried.instrument(span).await?;
        if let Some((bot, outcome, used)) = &measured {
            let lost = matches!(tried, Tried::SharedMoved);
            note_call(bot, if lost { LOST } else { outcome }, Some(used));
        }
        match tried {
            Tried::Done => {}
            Tried::Duplicate(record) => {
                metrics::get().event(settled.client.as_str(), REPEATED);
                self.0.runtime.forget_instance(&event.account);
                let tasks = self.tasks_of(&event.account, &record, reply).await?;
                return Ok(Some(tasks));
            }
            Tried::SharedMoved => return Ok(None),
        }
        if let Some(outcome) = outcome {
            metrics::get().event(settled.client.as_str(), outcome.as_str());
        }
        note_made(&asked);
        if let Some(log) = failure_log {
            self.append_log(log);
        }
        // Once for each event: a run that is lost says nothing about its version.
        if let Some((bot, failed)) = verdict {
            self.judge(&bot, failed);
        }
        failing.note(turn, event);
        self.note_recorded(turn, was_recorded);
        let actions = asked.iter().map(|task| &task.action);
        self.note_settled(turn, event, actions, settled.hushed.clone());
        if let Some(last) = asked.last().filter(|_| asked.len() > settled.at_once) {
            if reply != Reply::Queue {
                turn.deferred = Some(last.id.number);
            }
            self.0.links.wake(&event.account);
        }
        Ok(Some(asked.into_iter().take(settled.at_once).collect()))
    }

    /// Writes for the account. Some when the event was settled before.
    pub(super) async fn commit(
        &self,
        turn: &Turn,
        account: &AccountId,
        commit: Box<Commit>,
    ) -> Result<Option<EventRecord>, Error> {
        match self.try_commit(turn, account, commit).await? {
            Tried::Done => Ok(None),
            Tried::Duplicate(record) => Ok(Some(record)),
            Tried::SharedMoved => Err(reruns::contended()),
        }
    }

    pub(super) async fn try_commit(
        &self,
        turn: &Turn,
        account: &AccountId,
        commit: Box<Commit>,
    ) -> Result<Tried, Error> {
        let epoch = turn.epoch.unwrap_or_default();
        let began = Instant::now();
        let committed = self.0.store.commit(account, epoch, commit).await?;
        metrics::get().committed(began);
        match committed {
            Committed::Ok => Ok(Tried::Done),
            Committed::Duplicate(record) => Ok(Tried::Duplicate(record)),
            Committed::Fenced => Err(Error::Host(format!(
                "another host has taken over {account}"
            ))),
            Committed::LoginMoved => Err(Error::LoginMoved),
            Committed::SharedMoved => Ok(Tried::SharedMoved),
        }
    }

    /// Takes the account's turn, with what the store knows of the account.
    pub(super) async fn turn(&self, account: &AccountId) -> Result<Turn, Error> {
        let mut turn = self.0.turns.take(account).await?;
        if turn.epoch.is_none() {
            turn.account = self.0.store.account(account).await?.map(Arc::new);
            turn.pauses = self.all_pauses(account).await?;
            turn.failing = self.0.store.failing(account).await?.map(Box::new);
            if turn
                .failing
                .as_ref()
                .is_some_and(|it| it.waiting.events > 0)
            {
                turn.waiting = self.places(account).await?.0;
            }
            turn.deferred = self.last_queued(account).await?;
            turn.epoch = Some(self.0.store.own(account, false).await?);
        }
        Ok(turn)
    }

    /// The newest of a bot's tasks that wait in the queue: before the host ended it
    /// may have been an answer, which no later one is to overtake.
    async fn last_queued(&self, account: &AccountId) -> Result<Option<TaskNumber>, Error> {
        let store = &self.0.store;
        if store.next_queued(account).await?.is_none() {
            return Ok(None);
        }
        let filter = TaskFilter {
            state: Some(TaskState::Queued),
            before: None,
        };
        let newest = store.tasks(account, filter, QUEUED_LOOKED_AT).await?;
        let of_bot = |task: &&Task| matches!(task.origin, Origin::Bot { .. });
        Ok(newest.iter().find(of_bot).map(|task| task.id.number))
    }

    /// Notes that the account's client is there.
    pub(super) fn heard(&self, account: &AccountId) {
        self.0.turns.heard(account, self.0.store.now());
    }

    pub(super) async fn seen_before(
        &self,
        event: &Event,
        repeats_within: Option<Duration>,
    ) -> Result<Option<EventRecord>, Error> {
        let Some(record) = self.0.store.event(&event.account, &event.key).await? else {
            return Ok(None);
        };
        let stands = repeats_within.is_none_or(|span| {
            self.0.store.now() < record.at_ms.saturating_add(span.as_millis() as Millis)
        });
        Ok(stands.then_some(record))
    }

    /// The tasks that went out with the answer to an event before.
    pub(super) async fn tasks_of(
        &self,
        account: &AccountId,
        record: &EventRecord,
        reply: Reply,
    ) -> Result<Vec<Task>, Error> {
        if reply == Reply::Queue {
            return Ok(Vec::new());
        }
        let mut tasks = Vec::with_capacity(record.tasks.len());
        for &number in &record.tasks {
            let id = TaskId {
                account: account.clone(),
                number,
            };
            let task = self.0.store.task(&id).await?;
            tasks.extend(task.filter(Task::went_with_an_answer));
        }
        Ok(tasks)
    }

    /// An account that reports without having logged in with this host (it was
    /// down at the time, or its data was lost) is known from now on.
    pub(super) async fn ensure_account(
        &self,
        turn: &mut Turn,
        id: &AccountId,
        reporter: Reporter,
    ) -> Result<(), Error> {
        if let Some(known) = turn.account.as_deref() {
            return check_kind(known, reporter.client);
        }
        self.check_is_no_client(id, reporter.client)?;
        let now_ms = self.0.store.now();
        let account = Account {
            id: id.clone(),
            client: reporter.client,
            appid: reporter.appid,
            nickname: String::new(),
            alias: String::new(),
            avatar_url: String::new(),
            first_login_ms: now_ms,
            session: Some(Session {
                login_ms: now_ms,
                client_session: reporter.client_session,
                ..Session::default()
            }),
            last_logout: None,
        };
        self.write_account(turn, account).await
    }

    /// Writes the account as it is from now on.
    pub(super) async fn write_account(
        &self,
        turn: &mut Turn,
        account: Account,
    ) -> Result<(), Error> {
        self.write_account_with(turn, account, Box::default()).await
    }

    /// The same, with what else changes in the same commit.
    pub(super) async fn write_account_with(
        &self,
        turn: &mut Turn,
        account: Account,
        mut commit: Box<Commit>,
    ) -> Result<(), Error> {
        commit.account = Some(account.clone());
        self.commit(turn, &account.id, commit).await?;
        turn.account = Some(Arc::new(account));
        Ok(())
    }

    /// Which bot gets the event, if any.
    fn bot_for(&self, event: &Event, only: Option<&HandlerName>) -> Option<Arc<Deployment>> {
        let bot = self.deployment_of(&event.account)?;
        let bot = only
            .is_none_or(|name| *name == bot.handler)
            .then_some(bot)?;
        (!event.is_own_message() || bot.version.manifest.own_messages).then_some(bot)
    }

    /// Fills in the author's name, as the conversation shows it.
    pub(super) async fn name_author(&self, event: &mut Event) -> Result<(), Error> {
        let Happening::Message(message) = &mut event.what else {
            return Ok(());
        };
        if message.author_name.is_empty() {
            message.author_name = self.author_name(&event.account, message).await?;
        }
        Ok(())
    }

    async fn author_name(&self, account: &AccountId, message: &Message) -> Result<String, Error> {
        let store = &self.0.store;
        if let Some(group) = &message.group
            && let Some(member) = store.member(account, group, &message.author).await?
            && !member.display_name().is_empty()
        {
            return Ok(member.display_name().to_owned());
        }
        match store.contact(account, &message.author).await? {
            Some(Contact::User(user) | Contact::Official(user)) => {
                Ok(user.display_name().to_owned())
            }
            Some(Contact::Group(_)) | None => Ok(String::new()),
        }
    }

    /// Calls the bot. A bot that fails settles the event too; only a host that
    /// can't call it leaves the event open.
    async fn call(
        &self,
        turn: &Turn,
        bot: Arc<Deployment>,
        client: ClientKind,
        event: &Arc<Event>,
    ) -> Result<Called, Error> {
        let call = Call {
            bot: Arc::clone(&bot),
            client,
            me: turn.account.clone(),
            event: Arc::clone(event),
            is_trial: false,
        };
        let span = tracing::info_span!(
            target: TARGET, "call", handler = bot.handler.as_str(),
            version = bot.version.number.0, outcome = Empty
        );
        let called = self.0.runtime.call(call).instrument(span.clone()).await;
        span.record("outcome", outcome_of(&called));
        match called {
            Ok(mut effects) => {
                self.log_call(&bot, event, std::mem::take(&mut effects.lines));
                Ok(Called::Handled(bot, effects))
            }
            Err(error) => {
                note_uncalled(&bot, &error);
                let mut failure = failure_of(error)?;
                self.log_call(&bot, event, std::mem::take(&mut failure.lines));
                Ok(Called::Failed(bot, failure))
            }
        }
    }
}

fn outcome_of(called: &Result<Effects, CallError>) -> &'static str {
    match called {
        Ok(_) => "ok",
        Err(CallError::Failed(failure)) => failure.kind.as_str(),
        Err(_) => "not called",
    }
}

/// Whether an Openwx client can be given this in the answer to its report.
fn is_one_text(effects: &Effects, event: &Event) -> bool {
    match (effects.tasks.as_slice(), event.answers_to()) {
        ([(_, action)], Some(conversation)) => action.as_reply(conversation).is_some(),
        _ => false,
    }
}

/// An account has one kind of client: one of another kind that calls itself so is
/// somebody else.
pub(super) fn check_kind(known: &Account, client: ClientKind) -> Result<(), Error> {
    match known.client == client {
        true => Ok(()),
        false => Err(Error::Conflict(format!(
            "{} is the account of a {} client here",
            known.id,
            known.client.as_str()
        ))),
    }
}

/// Who is asked about an event.
struct Asked<'a> {
    /// The bot, if there is one.
    bot: Option<Arc<Deployment>>,
    /// It is not to be asked here.
    silent: bool,
    client: ClientKind,
    event: &'a Arc<Event>,
}

/// How a commit ended that is of the account's present owner.
pub(super) enum Tried {
    Done,
    /// The event was settled before, like this.
    Duplicate(EventRecord),
    /// What the bot read of the shared bucket is another by now.
    SharedMoved,
}

/// What a commit that settles an event needs besides the call.
pub(super) struct Settled<'a> {
    pub event: &'a Event,
    /// How many tasks go with the answer.
    at_once: usize,
    reply: Reply,
    repeats_within: Option<Duration>,
    also: Box<Commit>,
    /// What changes about where the bot is silent.
    hushed: Option<PauseChange>,
    /// It has waited until now.
    pub waited: Option<Waited>,
    client: ClientKind,
}

/// The bot asked for more than one event may cause.
pub(super) fn over_the_limit(message: String) -> CallFailure {
    CallFailure::new(FailureKind::Effects, message)
}

/// How the call of a bot ended.
pub(super) enum Called {
    /// No bot was asked.
    Unhandled,
    /// The bot is silent here.
    Paused(Arc<Deployment>),
    /// The bot handled the event.
    Handled(Arc<Deployment>, Effects),
    /// The bot failed: nothing that it asked for happens.
    Failed(Arc<Deployment>, CallFailure),
}

impl Called {
    pub fn bot(&self) -> Option<Arc<Deployment>> {
        match self {
            Self::Unhandled => None,
            Self::Paused(bot) | Self::Handled(bot, _) | Self::Failed(bot, _) => {
                Some(Arc::clone(bot))
            }
        }
    }

    /// The bot that was called, and whether it failed.
    fn verdict(&self) -> Option<(Arc<Deployment>, bool)> {
        match self {
            Self::Unhandled | Self::Paused(_) => None,
            Self::Handled(bot, _) => Some((Arc::clone(bot), false)),
            Self::Failed(bot, _) => Some((Arc::clone(bot), true)),
        }
    }

    /// The bot that was called, how that went, and what it used.
    fn measured(&self) -> Option<(Arc<Deployment>, &'static str, Used)> {
        match self {
            Self::Unhandled | Self::Paused(_) => None,
            Self::Handled(bot, effects) => Some((Arc::clone(bot), "ok", effects.used)),
            Self::Failed(bot, failure) => {
                Some((Arc::clone(bot), failure.kind.as_str(), failure.used))
            }
        }
    }

    /// The one commit that settles the event.
    fn into_commit(self, settled: &Settled<'_>, now_ms: Millis) -> Box<Commit> {
        let event = settled.event;
        let mut commit = Box::<Commit>::default();
        let outcome = match self {
            Self::Unhandled => EventOutcome::Unhandled,
            Self::Paused(_) => EventOutcome::Paused,
            Self::Handled(bot, effects) => {
                commit.tasks = tasks(event, &bot, effects.tasks, settled.at_once, now_ms);
                commit.key_values = effects.key_values;
                commit.timers = effects.timers;
                commit.shared = effects.shared;
                EventOutcome::Handled
            }
            Self::Failed(bot, failure) => {
                commit.failure = Some(record(event, &bot, failure, now_ms));
                EventOutcome::Failed
            }
        };
        let tasks = commit.tasks.iter().map(|task| task.id.number).collect();
        let waited = settled.waited.as_ref();
        let record = EventRecord {
            at_ms: waited.map_or(now_ms, Waited::taken_ms),
            outcome,
            tasks,
        };
        commit.seen = Some(Seen {
            key: event.key.clone(),
            record,
            repeats_within: settled.repeats_within,
        });
        commit
    }
}

/// The first `at_once` go with the answer, the others into the queue.
fn tasks(
    event: &Event,
    bot: &Deployment,
    asked: Vec<(TaskNumber, Action)>,
    at_once: usize,
    now_ms: Millis,
) -> Vec<Task> {
    let task = |(index, (number, action))| {
        let id = TaskId {
            account: event.account.clone(),
            number,
        };
        let origin = Origin::Bot {
            handler: bot.handler.clone(),
            event: event.key.clone(),
        };
        match index < at_once {
            true => Task::answered(id, action, origin, now_ms),
            false => Task::queued(id, action, origin, now_ms),
        }
    };
    asked.into_iter().enumerate().map(task).collect()
}

fn record(event: &Event, bot: &Deployment, failure: CallFailure, now_ms: Millis) -> Failure {
    let event_key = event.key.as_str().to_owned();
    let account = Some(event.account.clone());
    let failure = kept_failure(bot, account, event_key, failure, now_ms);
    tracing::warn!(
        failure = failure.id.as_ref().map(FailureId::as_str),
        account = %event.account,
        handler = %bot.handler,
        version = %bot.version.number,
        event = %event.key,
        kind = ?failure.kind,
        reason = failure.reason(),
        "the bot failed; nothing that it asked for happens"
    );
    failure
}
