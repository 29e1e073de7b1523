//! Carries out the tasks of one session, one after the other, by calls of the
//! client's API.
//!
//! What a client was told and did not answer is unknown and is not told again; what
//! did not reach it goes back into the queue.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use super::{
    Openwx,
    report::{own_event, reporter},
    wire::{self, Call, Work},
};
use crate::{
    domain::{
        AccountId, Action, ClientName, FileRequest, Group, Happening, Member, Millis, Task,
        client::StartId,
        ports::{ApiAnswer, ApiCall, BlobWriter, CallFault, Room},
    },
    service::{ContactReport, Delivery, Error, Link, Next, Outcome, Reply, Reporter, Woken},
};

/// How long it rests after the client was not reached or the store failed, at first
/// and at the most.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How long it rests at the most before the contacts are read once more: for the client
/// that is work.
const CONTACTS_REST_MAX: Duration = Duration::from_secs(300);
/// How long it goes without a look for tasks: a hint may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How often it is tried to write how a task went. Then its deadline ends it.
const RESULT_TRIES: usize = 5;
/// The largest answer that a bot is given with the end of its task, in bytes.
const ANSWER_TOLD_BYTES: usize = 64 * 1024;

/// What carries out the tasks of one session.
#[derive(Debug)]
pub(super) struct Errands {
    openwx: Openwx,
    name: ClientName,
    account: AccountId,
    start: StartId,
    reporter: Reporter,
    since_ms: Millis,
}

/// What came of a task.
type Carried = Result<(Outcome, Bytes), Unreached>;

/// The client was not reached: the task has not begun.
#[derive(Debug)]
struct Unreached(String);

impl Errands {
    /// For the session of this process that began then.
    pub fn new(
        openwx: Openwx,
        name: ClientName,
        account: AccountId,
        start: StartId,
        since_ms: Millis,
    ) -> Self {
        let reporter = reporter(start.as_str());
        Self {
            openwx,
            name,
            account,
            start,
            reporter,
            since_ms,
        }
    }

    /// Goes on until the session has ended. The contacts are read meanwhile: their
    /// ids may all be others than before.
    pub async fn run(self, link: Link) {
        let ended = Notify::new();
        let carrying_out = async {
            self.carry_out_all(&link).await;
            ended.notify_one();
        };
        tokio::join!(self.read_contacts_first(&ended), carrying_out);
    }

    /// Tries until it has worked or the session has ended: without it ids of before would
    /// stay until the next login.
    async fn read_contacts_first(&self, ended: &Notify) {
        let client = &self.name;
        let key = format!("contacts-{}-{}", self.start.as_str(), self.since_ms);
        let mut rest = RETRY_AFTER;
        loop {
            let reason = match self.read_contacts(&key).await {
                Ok((Outcome::Done, _)) => return,
                Ok((Outcome::Failed(reason) | Outcome::Unknown(reason), _))
                | Err(Unreached(reason)) => reason,
            };
            match rest == RETRY_AFTER {
                true => tracing::warn!(%client, reason, "the contacts are not read yet"),
                false => tracing::debug!(%client, reason, "the contacts are still not read"),
            }
            if tokio::time::timeout(rest, ended.notified()).await.is_ok() {
                return;
            }
            rest = (2 * rest).min(CONTACTS_REST_MAX);
        }
    }

    async fn carry_out_all(&self, link: &Link) {
        let mut failing = None::<Duration>;
        loop {
            let (rest, wakes) = match self.next(&mut failing).await {
                Some(step) => step,
                None => return,
            };
            if !wait(link, rest, wakes).await {
                return;
            }
        }
    }

    /// Carries out one task, if there is one. How long to rest then, and whether a
    /// new task ends the rest; none when the host ends.
    async fn next(&self, failing: &mut Option<Duration>) -> Option<(Duration, bool)> {
        let service = self.openwx.service();
        let trouble = match service.next_task(&self.account, &self.reporter).await {
            Ok(Next::Task(task)) => match self.carry_out(&task).await {
                Ok(()) => {
                    *failing = None;
                    return Some((Duration::ZERO, true));
                }
                Err(Unreached(reason)) => reason,
            },
            Ok(Next::Wait(ms)) => return Some((Duration::from_millis(ms), true)),
            Ok(Next::Nothing) => return Some((LOOK_AGAIN, true)),
            Err(Error::Draining) => return None,
            Err(error) => error.to_string(),
        };
        let client = &self.name;
        match failing {
            None => tracing::warn!(%client, reason = trouble, "tasks are not carried out"),
            Some(_) => tracing::debug!(%client, reason = trouble, "tasks still wait"),
        }
        let rest = failing.map_or(RETRY_AFTER, |rest| (2 * rest).min(RETRY_MAX));
        *failing = Some(rest);
        Some((rest, false))
    }

    async fn carry_out(&self, task: &Task) -> Result<(), Unreached> {
        let (outcome, answer) = match self.work(task).await {
            Ok(done) => done,
            Err(unreached) => {
                if let Err(error) = self.openwx.service().not_delivered(task).await {
                    tracing::error!(task = %task.id, %error, "a task is not queued again");
                }
                return Err(unreached);
            }
        };
        let answer = match answer.len() > ANSWER_TOLD_BYTES {
            true => Bytes::new(),
            false => answer,
        };
        self.report(task, outcome, answer).await;
        Ok(())
    }

    async fn work(&self, task: &Task) -> Carried {
        let names = self.names(&task.action).await;
        let work = wire::work(&task.action, |user| names.get(user).cloned());
        match work {
            Err(refused) => Ok(failed(refused)),
            Ok(Work::Calls(calls)) => self.call_all(&calls).await,
            Ok(Work::ReadContacts) => self.read_contacts(&key(task)).await,
            Ok(Work::ReadMembers(groups)) => self.read_members(task, groups).await,
            Ok(Work::FetchFile(path)) => Ok(self.fetch_file(task, path).await),
            Ok(Work::FetchPicture(call)) => self.fetch_picture(task, &call).await,
        }
    }

    /// How a task went is worth some patience: nobody else knows.
    async fn report(&self, task: &Task, outcome: Outcome, answer: Bytes) {
        let mut rest = RETRY_AFTER;
        for _ in 0..RESULT_TRIES {
            let told = self.openwx.service().report_result(
                self.account.clone(),
                task.id.clone(),
                outcome.clone(),
                answer.clone(),
            );
            match told.await {
                Ok(()) => return,
                Err(Error::WrongTask(reason)) => {
                    return tracing::debug!(task = %task.id, reason, "a result is of no use");
                }
                Err(Error::Draining) => return,
                Err(error) => tracing::error!(task = %task.id, %error, "a result is not written"),
            }
            tokio::time::sleep(rest).await;
            rest *= 2;
        }
    }
}

/// Rests so long, or until there may be tasks. False when the session has ended.
async fn wait(link: &Link, rest: Duration, wakes: bool) -> bool {
    let until = Instant::now() + rest;
    loop {
        tokio::select! {
            biased;
            woken = link.woken() => match woken {
                Woken::Replaced => return false,
                Woken::Work if wakes => return true,
                Woken::Work => {}
            },
            () = tokio::time::sleep_until(until) => return true,
        }
    }
}

fn failed(reason: impl ToString) -> (Outcome, Bytes) {
    (Outcome::Failed(reason.to_string()), Bytes::new())
}

/// The key of what a task brings about.
fn key(task: &Task) -> String {
    format!("read-{}", task.id.number.0)
}

// --------------------------------------------------------------------- calls

impl Errands {
    /// Makes the calls in order. What one of them says is said of the whole, since
    /// most tasks are one call.
    async fn call_all(&self, calls: &[Call]) -> Carried {
        let (all, mut answer) = (calls.len(), Bytes::new());
        for (done, call) in calls.iter().enumerate() {
            let outcome = match self.call(call).await {
                Ok(given) => {
                    answer = given.body.clone();
                    wire::outcome(call, &given)
                }
                Err(CallFault::Unreached(reason)) if done == 0 => return Err(Unreached(reason)),
                Err(fault @ (CallFault::Unreached(_) | CallFault::Unfit(_))) => {
                    Outcome::Failed(fault.to_string())
                }
                Err(fault @ CallFault::Unanswered(_)) => Outcome::Unknown(fault.to_string()),
            };
            match outcome {
                Outcome::Done => {}
                Outcome::Failed(reason) => {
                    return Ok((Outcome::Failed(part(done, all, reason)), answer));
                }
                Outcome::Unknown(reason) => {
                    return Ok((Outcome::Unknown(part(done, all, reason)), answer));
                }
            }
        }
        Ok((Outcome::Done, answer))
    }

    async fn call(&self, call: &Call) -> Result<ApiAnswer, CallFault> {
        let policy = self.openwx.policy();
        let time_ms = match call.slow {
            true => policy.slow_answer_ms,
            false => policy.answer_ms,
        };
        let own = |(name, value): &(Cow<'_, str>, String)| (name.to_string(), value.clone());
        let call = ApiCall {
            path: call.path.clone().into_owned(),
            parameters: call.parameters.iter().map(own).collect(),
            time: Duration::from_millis(time_ms),
        };
        let native = self.openwx.service().native();
        native.call(&self.name, &self.start, call).await
    }

    /// How the group shows whom an action mentions.
    async fn names(&self, action: &Action) -> HashMap<String, String> {
        let mut names = HashMap::new();
        let Action::Send { conversation, .. } = action else {
            return names;
        };
        for user in wire::mentioned(action) {
            let found = self.openwx.service();
            let found = found.member(&self.account, conversation, user).await;
            let member = found.ok().flatten();
            let name = member.map(|member| member.display_name().to_owned());
            names.extend(
                name.filter(|name| !name.is_empty())
                    .map(|name| (user.to_owned(), name)),
            );
        }
        names
    }
}

/// Says how far a task of several parts went.
fn part(done: usize, all: usize, reason: String) -> String {
    match all {
        1 => reason,
        _ => format!("{done} of {all} parts went out: {reason}"),
    }
}

// ------------------------------------------------------------------ contacts

impl Errands {
    /// Reads what the client knows of this, as `parse` takes it.
    async fn read<T>(
        &self,
        path: &'static str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Result<T, (Outcome, Bytes)>, Unreached> {
        let call = Call::asking(path);
        let answer = match self.call(&call).await {
            Ok(answer) => answer,
            Err(CallFault::Unreached(reason)) => return Err(Unreached(reason)),
            Err(fault @ (CallFault::Unanswered(_) | CallFault::Unfit(_))) => {
                return Ok(Err(failed(fault)));
            }
        };
        Ok(
            parse(&answer.body).ok_or_else(|| match wire::outcome(&call, &answer) {
                Outcome::Done => failed(format!("{path}: the client's answer is no list")),
                not => (not, answer.body),
            }),
        )
    }

    /// Reads friends and groups, and tells of both in one event.
    async fn read_contacts(&self, key: &str) -> Carried {
        let friends = match self.read("get_friend_info", wire::friends).await? {
            Ok(friends) => friends,
            Err(failed) => return Ok(failed),
        };
        let groups = match self.read("get_group_info", wire::groups).await? {
            Ok(groups) => groups,
            Err(failed) => return Ok(failed),
        };
        let count = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
        let what = Happening::ContactsReported {
            users: count(friends.users.len()),
            groups: count(groups.len()),
            officials: count(friends.officials.len()),
        };
        let contacts = wire::everybody(Some(friends), Some(groups));
        Ok(self.tell(key, what, contacts).await)
    }

    async fn read_members(&self, task: &Task, wanted: &[String]) -> Carried {
        let groups = match self.read("get_group_info", wire::groups).await? {
            Ok(groups) => groups,
            Err(failed) => return Ok(failed),
        };
        let found: Vec<(Group, Vec<Member>)> = groups
            .into_iter()
            .filter(|(group, _)| wanted.contains(&group.id))
            .collect();
        if found.is_empty() {
            return Ok(failed("the account is in no such group"));
        }
        let ids = found.iter().map(|(group, _)| group.id.clone()).collect();
        let changes = found
            .iter()
            .flat_map(|(group, members)| wire::put_group(group, members.clone()));
        let contacts = ContactReport::Changes(changes.collect());
        let what = Happening::MembersReported(ids);
        Ok(self.tell(&key(task), what, contacts).await)
    }

    /// Writes what was read, and tells the bot.
    async fn tell(&self, key: &str, what: Happening, contacts: ContactReport) -> (Outcome, Bytes) {
        let delivery = Delivery {
            event: own_event(&self.account, key, what),
            reporter: self.reporter.clone(),
            repeats_within: None,
            contacts,
            reply: Reply::Queue,
        };
        match self.openwx.service().deliver(delivery).await {
            Ok(_) => (Outcome::Done, Bytes::new()),
            Err(error) => failed(error),
        }
    }
}

// --------------------------------------------------------------------- files

impl Errands {
    /// Takes a file of the client's over. Whoever waits for it is told, and so is
    /// whoever asked for the task.
    async fn fetch_file(&self, task: &Task, path: &str) -> (Outcome, Bytes) {
        let service = self.openwx.service();
        let (_, mut reader) = match service.native().file(&self.name, path).await {
            Ok(found) => found,
            Err(error) => return self.missing(task, &error.to_string()).await,
        };
        let mut file = service.new_file(Room::Made);
        loop {
            let written = match reader.read().await {
                Ok(Some(piece)) => file.write(piece).await,
                Ok(None) => break,
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                return self.missing(task, &error.to_string()).await;
            }
        }
        let name = path.rsplit(['/', '\\']).next().map(str::to_owned);
        self.keep(task, file, name).await
    }

    async fn fetch_picture(&self, task: &Task, call: &Call) -> Carried {
        let answer = match self.call(call).await {
            Ok(answer) => answer,
            Err(CallFault::Unreached(reason)) => return Err(Unreached(reason)),
            Err(fault @ (CallFault::Unanswered(_) | CallFault::Unfit(_))) => {
                return Ok(self.missing(task, &fault.to_string()).await);
            }
        };
        let reason = match wire::outcome(call, &answer) {
            Outcome::Done if is_picture(&answer) => None,
            Outcome::Done => Some("the client's answer is no picture".to_owned()),
            Outcome::Failed(reason) | Outcome::Unknown(reason) => Some(reason),
        };
        if let Some(reason) = reason {
            return Ok(self.missing(task, &reason).await);
        }
        let mut file = self.openwx.service().new_file(Room::Made);
        Ok(match file.write(answer.body).await {
            Ok(()) => self.keep(task, file, None).await,
            Err(error) => self.missing(task, &error.to_string()).await,
        })
    }

    async fn keep(
        &self,
        task: &Task,
        file: Box<dyn BlobWriter>,
        name: Option<String>,
    ) -> (Outcome, Bytes) {
        let service = self.openwx.service();
        let kept = match self.awaited(task).await {
            Ok(request) => service.uploaded(request, file, name).await,
            Err(error) => Err(error),
        };
        match kept {
            // Nobody waits any more, for one: it has come before.
            Ok(()) | Err(Error::NotAsked { .. }) => (Outcome::Done, Bytes::new()),
            Err(error) => self.missing(task, &error.to_string()).await,
        }
    }

    /// The file will not come.
    async fn missing(&self, task: &Task, reason: &str) -> (Outcome, Bytes) {
        let told = match self.awaited(task).await {
            Ok(request) => self.openwx.service().file_missing(request, reason).await,
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            tracing::error!(task = %task.id, %error, "a file is left to its deadline");
        }
        failed(reason)
    }

    /// The request that a task is for.
    async fn awaited(&self, task: &Task) -> Result<FileRequest, Error> {
        let file = task.action.awaited_file().unwrap_or_default();
        self.openwx
            .service()
            .file_request(&self.account, &file)
            .await
    }
}

fn is_picture(answer: &ApiAnswer) -> bool {
    infer::is_image(&answer.body)
}
