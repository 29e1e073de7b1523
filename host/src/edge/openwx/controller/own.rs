//! What the controller answers itself: clients are started, stopped and listed, and
//! their codes shown (section 1).

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::{
    Openwx,
    answer::{Answer, is_silent},
    asked::{Asked, Pairs},
    standing,
};
use crate::{
    domain::{
        ClientName,
        client::{ClientStatus, Phase},
        ports::{ClientFileError, StartError},
    },
    service::{ClientRequest, Error},
};

/// The parameter that names a template.
const TEMPLATE: &str = "template";
/// How many files are read at the same time: those of 100 clients take as long as
/// those of a few.
const FILES_AT_ONCE: usize = 16;

/// The paths that are the controller's own, and not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Api {
    Start,
    Stop,
    Check,
    Code,
}

impl Api {
    /// Which one a request is for; none for what is passed on.
    pub(super) fn of(method: &Method, path: &str) -> Result<Option<Self>, Answer> {
        let (get, head) = (method == Method::GET, method == Method::HEAD);
        match path {
            "start_client" if get || method == Method::POST => Ok(Some(Self::Start)),
            "start_client" => Err(Answer::wrong_method("GET, POST")),
            "stop_client" if get => Ok(Some(Self::Stop)),
            // Whoever asks for the headers only does not mean to stop anything.
            "stop_client" if head => Err(Answer::wrong_method("GET, POST")),
            "check_client" if get || head => Ok(Some(Self::Check)),
            "get_qrcode" if get || head => Ok(Some(Self::Code)),
            _ => Ok(None),
        }
    }
}

impl Openwx {
    /// Answers for the controller.
    pub(super) async fn control(&self, api: Api, asked: Asked<'_>) -> Result<Response, Answer> {
        match api {
            Api::Start => self.start(asked).await.map(IntoResponse::into_response),
            Api::Stop => self.stop(asked).await.map(IntoResponse::into_response),
            Api::Check => self.check(asked).await.map(IntoResponse::into_response),
            Api::Code => self.code(asked).await,
        }
    }

    async fn start(&self, mut asked: Asked<'_>) -> Result<Answer, Answer> {
        let name = asked.named_client().await?;
        let given = asked.parameters().await?;
        let request = Self::request(name.clone(), given)?;
        let started = match self.service().start_client(request).await {
            // It was not asked for that it waits.
            Err(Error::Start(StartError::Exists(client))) if client.phase == Phase::Waiting => {
                self.service().wake_client(&name).await
            }
            started => started,
        };
        match started {
            Ok(client) => Ok(Answer::started(&client, "success")),
            Err(error) => Err(Answer::refused(&name, error)),
        }
    }

    /// What is asked for, as it was given: the use case checks it.
    fn request(name: ClientName, given: Pairs) -> Result<ClientRequest, Answer> {
        let (templates, given): (Pairs, Pairs) =
            given.into_iter().partition(|(name, _)| name == TEMPLATE);
        let template = template(templates)?;
        // Clients are told who they are by us, and other programs mean other things
        // by an account.
        let given = given
            .into_iter()
            .filter(|(it, value)| !(is_silent(it) || it == "account" && value == name.as_str()));
        Ok(ClientRequest {
            parameters: given.collect(),
            template,
            name,
        })
    }

    async fn stop(&self, mut asked: Asked<'_>) -> Result<Answer, Answer> {
        let name = asked.named_client().await?;
        match self.service().stop_client(&name).await {
            Ok(client) => Ok(Answer::started(&client, "success")),
            Err(error) => Err(Answer::refused(&name, error)),
        }
    }

    async fn check(&self, mut asked: Asked<'_>) -> Result<Answer, Answer> {
        let native = self.service().native();
        let clients = match asked.client().await? {
            None => native.all(),
            Some(name) if name.is_empty() => return Err(Answer::unknown_client()),
            Some(name) => {
                let name = ClientName::try_from(name).map_err(Answer::bad_client)?;
                let client = native.status(&name).ok_or_else(Answer::unknown_client)?;
                let entry = self.entry(&client).await;
                let entry = entry.ok_or_else(Answer::no_state)?;
                return Ok(Answer::list(vec![entry.into_value()]));
            }
        };
        let entries = stream::iter(clients).map(|client| async move {
            let entry = self.entry(&client).await;
            let entry = entry.unwrap_or_else(|| unreadable(&client));
            entry.into_value()
        });
        Ok(Answer::list(
            entries.buffered(FILES_AT_ONCE).collect().await,
        ))
    }

    /// What a client says of itself, or what is to be said of one that is gone; none
    /// when its state file can't be read.
    async fn entry(&self, client: &ClientStatus) -> Option<Answer> {
        if let Some(gone) = standing::why_gone(client) {
            let entry = Answer::new(0, &gone)
                .with("state", "stop")
                .with("phase", client.phase.as_str());
            return Some(entry.named(client));
        }
        let file = self.service().native().state_file(&client.name).await;
        let fields = file.map_err(|error| error.to_string()).and_then(|bytes| {
            serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|it| it.to_string())
        });
        match fields {
            Ok(fields) => Some(Answer::of(fields).placed(client)),
            Err(error) => {
                tracing::debug!(client = %client.name, error, "a state file can't be read");
                None
            }
        }
    }

    async fn code(&self, mut asked: Asked<'_>) -> Result<Response, Answer> {
        let Some(name) = asked.client().await? else {
            return Ok(self.all_codes().await.into_response());
        };
        if name.is_empty() {
            return Err(Answer::no_client());
        }
        let name = ClientName::try_from(name).map_err(Answer::bad_client)?;
        if self.service().native().status(&name).is_none() {
            return Err(Answer::unknown_client());
        }
        Ok(match self.code_of(&name).await {
            Some(image) => image_of(image),
            None => StatusCode::NOT_FOUND.into_response(),
        })
    }

    /// All codes that clients show now. One image can't be several, so they are text
    /// in JSON.
    async fn all_codes(&self) -> Answer {
        let clients = self.service().native().all();
        let shown = stream::iter(clients).map(|client| async move {
            let image = self.code_of(&client.name).await?;
            let image = BASE64_STANDARD.encode(image);
            Some(json!({"client": client.name.as_str(), "qrcode": image}))
        });
        let shown = shown.buffered(FILES_AT_ONCE);
        let shown = shown.filter_map(std::future::ready);
        Answer::list(shown.collect().await)
    }

    async fn code_of(&self, name: &ClientName) -> Option<Bytes> {
        match self.service().native().code(name).await {
            Ok(image) if infer::is_image(&image) => Some(image),
            // Whatever it is, it is not for showing: its file has the wrong name.
            Ok(_) => {
                tracing::warn!(client = %name, "a client's code is no image");
                None
            }
            Err(ClientFileError::Missing) => None,
            Err(error) => {
                tracing::warn!(client = %name, %error, "a client's code can't be read");
                None
            }
        }
    }
}

fn template(named: Pairs) -> Result<Option<String>, Answer> {
    let mut names = named.into_iter().map(|(_, name)| name);
    let template = names.next();
    match names.next() {
        None => Ok(template),
        Some(_) => Err(Answer::failure("template: is given twice: give it once")),
    }
}

impl Answer {
    /// With the client's name and where it is, whatever else it says.
    fn named(self, client: &ClientStatus) -> Self {
        self.with("client", client.name.as_str()).placed(client)
    }

    fn placed(self, client: &ClientStatus) -> Self {
        self.with("account", client.name.as_str())
            .with("pid", client.pid)
            .with("port", client.port)
    }
}

/// The entry of a client whose state file can't be read.
fn unreadable(client: &ClientStatus) -> Answer {
    let entry = Answer::no_state().named(client);
    match client.state {
        Some(seen) => entry.with("state", seen.state.as_str()),
        None => entry,
    }
}

fn image_of(image: Bytes) -> Response {
    let mut response = Body::from(image).into_response();
    let headers = response.headers_mut();
    // Not image/jpeg: what the seed's controller says.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
