//! Reports of the clients (section 3): what they say becomes events, and what a bot
//! answers goes back where the answer has a place for it.
//!
//! A client that reports its own state blocks until it is answered, so that is done
//! at once.

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Openwx,
    tee::UsersAnswer,
    wire::{self, About, Report, Told},
};
use crate::{
    domain::{
        AccountId, ClientKind, ClientName, Event, EventKey, Happening, Task,
        client::{ApiUrl, NativeState, Phase, Replies, StartId, merged_url},
    },
    edge::{
        body::{BodyError, BodyReader},
        linger,
        loose::BadRequest,
    },
    service::{Delivery, Error, Reply, Reporter},
};

/// The largest report taken. Clients put the bytes of pictures and films into them, a
/// third larger than they are.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
/// Up to this size a report is taken apart at once; a larger one where it holds up
/// nobody else.
const SMALL_BYTES: usize = 64 * 1024;

/// What bounds the reports.
pub(super) fn bodies() -> BodyReader {
    BodyReader::new(BODY_MAX_BYTES)
}

/// `POST /report/{client}`.
pub(super) fn routes() -> Router<Openwx> {
    Router::new().route("/report/{client}", post(take))
}

#[derive(Deserialize)]
struct Who {
    #[serde(default)]
    key: String,
}

/// What the client does upon its report: nothing, or it sends this to where the
/// message came from.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<String>,
}

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("this report is of no client that runs here")]
    Stranger,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Bad(#[from] BadRequest),
    #[error(transparent)]
    Service(#[from] Error),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::FORBIDDEN,
            Self::Body(error) => error.status(),
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Service(Error::Conflict(_)) => StatusCode::CONFLICT,
            Self::Service(Error::Busy { .. } | Error::Draining) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Service(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn log(&self, client: &str) {
        match self {
            Self::Stranger | Self::Body(_) | Self::Bad(_) => {
                tracing::info!(client, reason = %self, "a report was refused");
            }
            Self::Service(Error::Busy { .. } | Error::Draining) => {
                tracing::warn!(client, reason = %self, "a report was refused");
            }
            Self::Service(error) => tracing::error!(client, %error, "a report failed"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let reason = match status {
            // What went wrong inside is for the log.
            StatusCode::INTERNAL_SERVER_ERROR => "the host failed: try again".to_owned(),
            _ => self.to_string(),
        };
        (status, Json(json!({"code": -1, "status": reason}))).into_response()
    }
}

async fn take(
    State(openwx): State<Openwx>,
    Path(client): Path<String>,
    Query(who): Query<Who>,
    request: Request,
) -> Response {
    match openwx.take_report(&client, &who.key, request).await {
        Ok(response) => response,
        Err(refusal) => {
            refusal.log(&client);
            refusal.into_response()
        }
    }
}

/// Who reports.
#[derive(Debug, Clone)]
struct Sender {
    name: ClientName,
    account: AccountId,
    start: StartId,
}

impl Openwx {
    async fn take_report(
        &self,
        client: &str,
        key: &str,
        request: Request,
    ) -> Result<Response, Refusal> {
        let sender = self.sender(client, key).ok_or(Refusal::Stranger)?;
        let mut body = request.into_body();
        let bytes = match self.bodies().read(&mut body).await {
            Ok(bytes) => bytes,
            Err(error) => {
                // Who is still sending would see a broken pipe, no answer.
                if matches!(error, BodyError::TooLarge(_) | BodyError::NoRoom) {
                    linger::throw_away(body).await;
                }
                return Err(error.into());
            }
        };
        let Some(address) = self.users_address(&sender.name) else {
            let answer = self.handle(&sender, bytes, self.reply()).await?;
            return Ok(Json(answer).into_response());
        };
        // The user's answer has the place, so the bot's go by calls.
        let (theirs, ours) = tokio::join!(
            self.tee().forward(&address, bytes.clone()),
            self.handle(&sender, bytes, Reply::Queue)
        );
        if let Err(refusal) = ours {
            refusal.log(client);
        }
        Ok(theirs.map_or_else(
            || Json(Answer::default()).into_response(),
            UsersAnswer::into_response,
        ))
    }

    /// The process that has this key, as long as it is the client's.
    fn sender(&self, client: &str, key: &str) -> Option<Sender> {
        let name = ClientName::try_from(client).ok()?;
        let native = self.service().native();
        let start = native.reporter(&name, key)?;
        let status = native.status(&name)?;
        (status.start.as_ref() == Some(&start)).then_some(())?;
        let account = AccountId::try_from(&name).ok()?;
        Some(Sender {
            name,
            account,
            start,
        })
    }

    /// Where the same report goes as well: to the user's own address, if it is wanted.
    fn users_address(&self, name: &ClientName) -> Option<String> {
        if !self.policy().tee {
            return None;
        }
        let status = self.service().native().status(name)?;
        let own = status.parameters.get("post_api").map(String::as_str);
        let all = self.policy().post_api.as_ref().map(ApiUrl::expose);
        let address = own.or(all)?;
        Some(merged_url(address, name))
    }

    fn reply(&self) -> Reply {
        match self.policy().replies {
            Replies::Answer => Reply::OneText,
            Replies::Queued => Reply::Queue,
        }
    }

    async fn handle(&self, sender: &Sender, body: Bytes, reply: Reply) -> Result<Answer, Refusal> {
        let native = self.service().native();
        match parse(&body, &sender.account).await? {
            Report::State(state) => {
                if let Some(state) = state {
                    native.told(&sender.name, &sender.start, state);
                }
            }
            Report::Code(image) => {
                native.told(&sender.name, &sender.start, NativeState::Scaning);
                if let Some(image) = image {
                    self.codes().show(&sender.name, &sender.start, image);
                }
            }
            // What a client tells while it logs in is everybody it knows: those are
            // read once it has.
            Report::Told(told) if told.about == About::Contacts && !self.is_in(&sender.name) => {}
            Report::Told(told) => return Ok(self.deliver(sender, *told, reply).await?),
        }
        Ok(Answer::default())
    }

    fn is_in(&self, name: &ClientName) -> bool {
        let status = self.service().native().status(name);
        status.is_some_and(|status| status.phase == Phase::Running)
    }

    async fn deliver(&self, sender: &Sender, told: Told, reply: Reply) -> Result<Answer, Error> {
        let conversation = told.event.answers_to().map(str::to_owned);
        let delivery = Delivery {
            event: told.event,
            reporter: reporter(sender.start.as_str()),
            repeats_within: told.repeats_within,
            contacts: told.contacts,
            reply: match told.about {
                About::Message => reply,
                About::Contacts | About::Other => Reply::Queue,
            },
        };
        let tasks = self.service().deliver(delivery).await?;
        Ok(Answer::of(&tasks, conversation.as_deref()))
    }
}

impl Answer {
    /// The one task that goes with an answer, in the client's words.
    fn of(tasks: &[Task], conversation: Option<&str>) -> Self {
        let (Some(task), Some(conversation)) = (tasks.first(), conversation) else {
            return Self::default();
        };
        let Some((text, url)) = task.action.as_reply(conversation) else {
            tracing::error!(task = %task.id, "a task can't be told in an answer");
            return Self::default();
        };
        Self {
            reply: Some(text.to_owned()),
            media: url.map(str::to_owned),
        }
    }
}

/// What the service knows a client's process as.
pub(super) fn reporter(start: &str) -> Reporter {
    Reporter {
        client: ClientKind::Openwx,
        appid: None,
        client_session: start.to_owned(),
    }
}

/// An event of the host's own making about a client's account.
pub(super) fn own_event(account: &AccountId, key: &str, what: Happening) -> Event {
    Event {
        key: EventKey::new(key),
        account: account.clone(),
        at_ms: 0,
        what,
        facts: Vec::new(),
        raw: Bytes::new(),
    }
}

async fn parse(body: &Bytes, account: &AccountId) -> Result<Report, Refusal> {
    if body.len() <= SMALL_BYTES {
        return Ok(wire::parse(body, account)?);
    }
    let (body, account) = (body.clone(), account.clone());
    let parsed = tokio::task::spawn_blocking(move || wire::parse(&body, &account)).await;
    Ok(parsed.map_err(|error| Error::Host(error.to_string()))??)
}
