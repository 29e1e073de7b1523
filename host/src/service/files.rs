//! Files of messages: asked for with a task, awaited, uploaded, or given up.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;

use super::{Error, Reply, Service, deliver::Settling, measured::note_made, turn::Turn};
use crate::domain::{
    AccountId, Action, Alarm, ClientKind, Digest, Event, EventKey, FileRequest, Happening, Millis,
    Task, TaskState,
    event::File,
    file::{FileContent, FileState, TRIES_MAX},
    ports::{Blob, BlobWriter, Commit, Room, Stored},
    task::Origin,
};

/// How many requests of one file's name are looked at. Each account has at most
/// one, ended ones included.
const SAME_NAME_MAX: usize = 256;
/// How long a request rests at most between two looks while its task waits for a
/// client that is not there.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(10 * 60);
/// Why a file is given up that did not come.
const NOT_UPLOADED: &str = "the client did not upload it";

impl Service {
    /// The request for a file that a client is about to upload. An upload does not
    /// say whose it is: when several accounts wait for a file of this name, none
    /// gets it, since one account must not get another's file. Who waits is who was
    /// asked: a task that no client has had brings no upload. And whose request
    /// ended a while ago may still upload.
    pub async fn awaited(&self, file: &str) -> Result<FileRequest, Error> {
        self.check_ready()?;
        let not = |problem: &str| Error::NotAsked {
            field: "file_index",
            problem: problem.to_owned(),
        };
        let ambiguous = "several accounts wait for a file of this name, and an upload does not \
                         say whose it is";
        let all = self.0.store.file_requests(file, SAME_NAME_MAX).await?;
        if all.len() == SAME_NAME_MAX {
            return Err(not(ambiguous));
        }
        let (mut waiting, late) = self.who_may_upload(all).await?;
        match (waiting.pop(), waiting.is_empty() && late == 0) {
            (Some(request), true) => Ok(request),
            (Some(_), false) => Err(not(ambiguous)),
            (None, _) => Err(not(
                "nobody here waits for this file: a task has to ask for it first",
            )),
        }
    }

    /// Which of these requests, of different accounts, wait for an upload, and to how
    /// many others a late one may belong.
    async fn who_may_upload(
        &self,
        all: Vec<FileRequest>,
    ) -> Result<(Vec<FileRequest>, usize), Error> {
        let now_ms = self.0.store.now();
        let (mut waiting, mut late) = (Vec::new(), 0);
        for request in all {
            if self.is_fetched(&request.account).await? {
                continue;
            }
            if request.state == FileState::Asked && self.went_out(&request).await? {
                waiting.push(request);
            } else if request.named_until().is_some_and(|until| until > now_ms) {
                late += 1;
            }
        }
        Ok((waiting, late))
    }

    /// Whether the host fetches this account's files itself: no upload is theirs.
    async fn is_fetched(&self, account: &AccountId) -> Result<bool, Error> {
        let account = self.0.store.account(account).await?;
        Ok(account.is_some_and(|it| it.client == ClientKind::Openwx))
    }

    /// Whether a client was asked for it. A task that is gone has ended long ago.
    async fn went_out(&self, request: &FileRequest) -> Result<bool, Error> {
        if request.tries > 1 {
            return Ok(true);
        }
        let task = self.0.store.task(&request.task).await?;
        Ok(task.is_none_or(|task| task.tries > 0 || task.handed_out_ms.is_some()))
    }

    /// A new file, empty so far.
    pub fn new_file(&self, room: Room) -> Box<dyn BlobWriter> {
        self.0.blobs.create(room)
    }

    /// The awaited file is there in full: it is kept, and the bot that asked for it
    /// is told. Goes on when the caller goes away. `name` is what its sender calls
    /// it.
    pub async fn uploaded(
        &self,
        request: FileRequest,
        file: Box<dyn BlobWriter>,
        name: Option<String>,
    ) -> Result<(), Error> {
        let service = self.clone();
        self.detached(async move {
            let stored = file.finish().await?;
            service.stored(&request, stored, name).await
        })
        .await
    }

    async fn stored(
        &self,
        request: &FileRequest,
        stored: Stored,
        name: Option<String>,
    ) -> Result<(), Error> {
        let mut turn = self.turn(&request.account).await?;
        let (account, file) = (&request.account, &request.file);
        let current = self.0.store.file_request(account, file).await?;
        let Some(mut request) = current else {
            return Err(too_late());
        };
        let content = FileContent {
            digest: stored.digest,
            size_bytes: stored.size_bytes,
            mime: stored.mime,
            name,
        };
        match (request.state, &request.content) {
            (FileState::Asked, _) => {
                request.ready(content, self.0.store.now());
                self.settle_file(&mut turn, request).await
            }
            // The same once more: its first answer was lost.
            (FileState::Ready, Some(known)) if known.digest == content.digest => Ok(()),
            (FileState::Ready | FileState::Missing, _) => Err(too_late()),
        }
    }

    /// An account's client says that an awaited file will not come.
    pub async fn file_missing(&self, request: FileRequest, reason: &str) -> Result<(), Error> {
        let (service, reason) = (self.clone(), reason.to_owned());
        self.detached(async move {
            let mut turn = service.turn(&request.account).await?;
            let (account, file) = (&request.account, &request.file);
            match service.0.store.file_request(account, file).await? {
                Some(mut request) if request.state == FileState::Asked => {
                    request.missing(reason, service.0.store.now());
                    service.settle_file(&mut turn, request).await
                }
                Some(_) | None => Ok(()),
            }
        })
        .await
    }

    /// Looks after a file that may not have come: it is asked for once more, or
    /// given up.
    pub(super) async fn file_overdue(&self, account: &AccountId, file: &str) -> Result<(), Error> {
        let mut turn = self.turn(account).await?;
        let Some(mut request) = self.0.store.file_request(account, file).await? else {
            return Ok(());
        };
        if request.state != FileState::Asked {
            return Ok(());
        }
        let (task, now_ms) = (self.0.store.task(&request.task).await?, self.0.store.now());
        match self.overdue(&request, task.as_ref(), now_ms) {
            Overdue::LookAgain(at_ms) => self.look_again(&turn, &request, at_ms).await,
            Overdue::AskAgain => {
                let action = task.map(|task| task.action);
                self.ask_again(&mut turn, request, action, now_ms).await
            }
            Overdue::GiveUp(reason) => {
                request.missing(reason, now_ms);
                self.settle_file(&mut turn, request).await
            }
        }
    }

    /// What to do about a file that has not come by now.
    fn overdue(&self, request: &FileRequest, task: Option<&Task>, now_ms: Millis) -> Overdue {
        let upload_ms = self.0.policies.files.upload_ms;
        match task {
            Some(task) if task.state == TaskState::Queued => {
                // The longer it waits, the less often it is looked at.
                let waited = now_ms.saturating_sub(request.asked_ms);
                let rest = waited.min(LOOK_AGAIN_MAX.as_millis() as Millis);
                Overdue::LookAgain(now_ms.saturating_add(rest.max(upload_ms)))
            }
            Some(task) if matches!(task.state, TaskState::Expired | TaskState::Cancelled) => {
                Overdue::GiveUp(format!("its task ended as {}", task.state.as_str()))
            }
            // The client has the task for a shorter time than it may take.
            Some(Task {
                state: TaskState::HandedOut,
                handed_out_ms: Some(since),
                ..
            }) if since.saturating_add(upload_ms) > now_ms => {
                Overdue::LookAgain(since.saturating_add(upload_ms))
            }
            Some(_) | None if request.tries < TRIES_MAX => Overdue::AskAgain,
            Some(_) | None => Overdue::GiveUp(NOT_UPLOADED.to_owned()),
        }
    }

    async fn look_again(
        &self,
        turn: &Turn,
        request: &FileRequest,
        at_ms: Millis,
    ) -> Result<(), Error> {
        let commit = Commit {
            alarms: vec![(at_ms, alarm(request))],
            ..Commit::default()
        };
        self.commit(turn, &request.account, commit.into()).await?;
        Ok(())
    }

    async fn ask_again(
        &self,
        turn: &mut Turn,
        mut request: FileRequest,
        action: Option<Action>,
        now_ms: Millis,
    ) -> Result<(), Error> {
        match self.check_queue(&request.account, 1).await {
            // An alarm that failed would come again until the client is back.
            Err(Error::Busy { reason }) => {
                request.missing(reason, now_ms);
                return self.settle_file(turn, request).await;
            }
            checked => checked?,
        }
        let id = self.new_id(&request.account);
        let action = action.unwrap_or_else(|| Action::Download {
            file: request.file.clone(),
        });
        request.tries += 1;
        request.task = id.clone();
        let account = request.account.clone();
        let commit = Commit {
            tasks: vec![Task::queued(id, action, request.origin.clone(), now_ms)],
            alarms: vec![self.file_alarm(&request, now_ms)],
            files: vec![request],
            ..Commit::default()
        };
        let made = commit.tasks.clone();
        self.commit(turn, &account, commit.into()).await?;
        note_made(&made);
        self.0.links.wake(&account);
        Ok(())
    }

    /// Writes a request that has ended; the bot that asked for the file is told in
    /// the same commit.
    async fn settle_file(&self, turn: &mut Turn, request: FileRequest) -> Result<(), Error> {
        let Origin::Bot { handler, .. } = &request.origin else {
            let account = request.account.clone();
            let commit = Commit {
                files: vec![request],
                ..Commit::default()
            };
            self.commit(turn, &account, commit.into()).await?;
            return Ok(());
        };
        let only = Some(handler.clone());
        let client = turn.account.as_deref();
        let settling = Settling {
            event: file_ready(&request),
            client: client.map_or(ClientKind::Wehub, |account| account.client),
            repeats_within: None,
            reply: Reply::Queue,
            only,
            also: Box::new(Commit {
                files: vec![request],
                ..Commit::default()
            }),
        };
        self.settle(turn, settling).await.map(drop)
    }

    /// Adds what becomes known with a commit's tasks: which files they ask for, and
    /// when to look after them. A bot that waits for a file already goes on to.
    pub(super) async fn ask_for_files(
        &self,
        account: &AccountId,
        commit: &mut Commit,
        now_ms: Millis,
    ) -> Result<(), Error> {
        for task in &commit.tasks {
            let Some(file) = task.action.awaited_file() else {
                continue;
            };
            let former = self.0.store.file_request(account, &file).await?;
            let (id, origin) = (task.id.clone(), task.origin.clone());
            let mut request = FileRequest::asked(file, id, origin, now_ms);
            if let Some(former) = former {
                request.replace(former);
            }
            commit.alarms.push(self.file_alarm(&request, now_ms));
            commit.files.push(request);
        }
        Ok(())
    }

    fn file_alarm(&self, request: &FileRequest, now_ms: Millis) -> (Millis, Alarm) {
        let at_ms = now_ms.saturating_add(self.0.policies.files.upload_ms);
        (at_ms, alarm(request))
    }

    /// An account's request for a file.
    pub async fn file_request(&self, id: &AccountId, file: &str) -> Result<FileRequest, Error> {
        self.account(id).await?;
        let found = self.0.store.file_request(id, file).await?;
        found.ok_or_else(|| Error::not_found("file", file))
    }

    /// A kept file, as long as it is kept.
    pub async fn blob(&self, digest: Digest) -> Result<Blob, Error> {
        let found = self.0.blobs.open(digest).await?;
        found.ok_or_else(|| Error::not_found("file", digest))
    }
}

/// What to do about a file that has not come.
enum Overdue {
    /// Nothing before then.
    LookAgain(Millis),
    /// Ask for it once more.
    AskAgain,
    /// Nothing any more, and why.
    GiveUp(String),
}

fn alarm(request: &FileRequest) -> Alarm {
    Alarm::File(request.account.clone(), request.file.clone())
}

fn too_late() -> Error {
    Error::NotAsked {
        field: "file_index",
        problem: "nobody waits for this file any more".to_owned(),
    }
}

/// What the bot is told of a request that has ended.
fn file_ready(request: &FileRequest) -> Event {
    let content = request.content.as_ref();
    let file = File {
        id: request.file.clone(),
        name: content.and_then(|it| it.name.clone()),
        mime: content.map(|it| it.mime.clone()),
        size: content.map(|it| it.size_bytes),
        url: content.map(|it| format!("/api/v1/files/{}", it.digest)),
    };
    let how = if content.is_some() {
        "ready"
    } else {
        "missing"
    };
    Event {
        key: EventKey::new(&format!("file-{}-{how}", request.task.number.0)),
        account: request.account.clone(),
        at_ms: request.ended_ms.unwrap_or_default(),
        what: Happening::FileReady {
            file,
            failure: request.reason.clone(),
        },
        facts: Vec::new(),
        raw: Bytes::new(),
    }
}
