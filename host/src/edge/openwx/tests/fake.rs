//! Clients that do as the test says, and a bot that answers in so many texts.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::domain::{
    Action, ClientName, Deployment, Digest, Happening, Millis,
    client::{ClientStatus, NativeState, Phase, StartId, Wanted},
    event::Content,
    handler::Used,
    ports::{
        Address, Answer, ApiAnswer, ApiCall, Ask, BlobError, BlobReader, Call, CallError,
        CallFault, ClientFileError, Clients, Component, ComponentError, Effects, InUse, LogFrom,
        LogPiece, Runtime, StartError, Store,
    },
};

/// What a call comes to.
pub type Given = Result<ApiAnswer, CallFault>;

/// One client, `c`, as the test says.
#[derive(Debug)]
pub struct Fake {
    status: watch::Sender<Option<Arc<ClientStatus>>>,
    news: tokio::sync::Mutex<mpsc::UnboundedReceiver<ClientName>>,
    tell: mpsc::UnboundedSender<ClientName>,
    pub calls: Mutex<Vec<String>>,
    /// What the next calls of a path come to; then all is well.
    pub script: Mutex<HashMap<String, VecDeque<Given>>>,
    pub code: Mutex<Bytes>,
    pub files: Mutex<HashMap<String, Bytes>>,
    pub told: Mutex<Vec<NativeState>>,
}

pub fn start(text: &str) -> StartId {
    serde_json::from_value(text.into()).unwrap()
}

pub fn answer(body: &str) -> Given {
    Ok(ApiAnswer {
        status: 200,
        mime: "application/json".to_owned(),
        body: body.to_owned().into(),
    })
}

impl Fake {
    pub fn new() -> Arc<Self> {
        let (tell, news) = mpsc::unbounded_channel();
        Arc::new(Self {
            status: watch::channel(None).0,
            news: tokio::sync::Mutex::new(news),
            tell,
            calls: Mutex::default(),
            script: Mutex::default(),
            code: Mutex::default(),
            files: Mutex::default(),
            told: Mutex::default(),
        })
    }

    /// The client is so from now on.
    pub fn set(&self, process: Option<&str>, phase: Phase, change: impl Fn(&mut ClientStatus)) {
        let former = self.status.borrow().clone();
        let new = former.is_none();
        let revision = former.map_or(1, |former| former.revision + 1);
        let mut status = ClientStatus {
            name: "c".try_into().unwrap(),
            revision,
            template: "default".to_owned(),
            parameters: BTreeMap::new(),
            phase,
            since_ms: revision,
            reason: None,
            start: process.map(start),
            pid: None,
            port: None,
            spawned_ms: None,
            listening_ms: None,
            running_ms: None,
            state: None,
            code: None,
            restarts: 0,
            next_start_ms: None,
            last_end: None,
            usage: None,
        };
        change(&mut status);
        self.status.send_replace(Some(Arc::new(status)));
        if new {
            self.tell.send("c".try_into().unwrap()).unwrap();
        }
    }

    pub fn forget(&self) {
        self.status.send_replace(None);
    }

    pub fn next(&self, path: &str, given: Given) {
        let mut script = self.script.lock().unwrap();
        script.entry(path.to_owned()).or_default().push_back(given);
    }

    /// The calls so far that ask for something to be done.
    pub fn asked(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let reads = |call: &&String| call.starts_with("get_") && call.ends_with("_info?");
        calls.iter().filter(|call| !reads(call)).cloned().collect()
    }
}

fn usual(path: &str) -> Given {
    answer(match path {
        "get_user_info" => r#"{"id":"@me","name":"Me","account":"me"}"#,
        "get_friend_info" => r#"[{"id":"@f","name":"F"}]"#,
        "get_group_info" => r#"[{"id":"@@g","name":"G","member":[{"id":"@m","display":"M"}]}]"#,
        _ => r#"{"code":0,"status":"success"}"#,
    })
}

struct Whole(Option<Bytes>);

#[async_trait]
impl BlobReader for Whole {
    async fn read(&mut self) -> Result<Option<Bytes>, BlobError> {
        Ok(self.0.take())
    }
}

#[async_trait]
impl Clients for Fake {
    async fn start(&self, _: Wanted) -> Result<Arc<ClientStatus>, StartError> {
        Err(StartError::Ending)
    }

    fn keep(&self, _: Wanted) {}

    fn put_off(&self, _: Wanted, _: Millis, _: String) {}

    fn stop(&self, _: &ClientName) -> Option<Arc<ClientStatus>> {
        None
    }

    fn restart(&self, _: &ClientName, _: &str) -> Option<Arc<ClientStatus>> {
        None
    }

    fn wake(&self, name: &ClientName) -> Option<Arc<ClientStatus>> {
        self.restart(name, "")
    }

    fn status(&self, _: &ClientName) -> Option<Arc<ClientStatus>> {
        self.status.borrow().clone()
    }

    fn all(&self) -> Vec<Arc<ClientStatus>> {
        self.status.borrow().iter().cloned().collect()
    }

    async fn changed(&self, _: &ClientName, revision: u64) -> Option<Arc<ClientStatus>> {
        let mut seen = self.status.subscribe();
        let other = |status: &Option<Arc<ClientStatus>>| {
            status.as_ref().is_none_or(|it| it.revision != revision)
        };
        seen.wait_for(other).await.unwrap().clone()
    }

    async fn next_new(&self) -> Option<ClientName> {
        self.news.lock().await.recv().await
    }

    fn address(&self, _: &ClientName) -> Option<Address> {
        None
    }

    fn reporter(&self, _: &ClientName, key: &str) -> Option<StartId> {
        key.strip_prefix("key-").map(start)
    }

    fn told(&self, _: &ClientName, _: &StartId, state: NativeState) {
        self.told.lock().unwrap().push(state);
    }

    async fn state_file(&self, _: &ClientName) -> Result<Bytes, ClientFileError> {
        Err(ClientFileError::Missing)
    }

    async fn code(&self, _: &ClientName) -> Result<Bytes, ClientFileError> {
        Ok(self.code.lock().unwrap().clone())
    }

    async fn file(
        &self,
        _: &ClientName,
        path: &str,
    ) -> Result<(u64, Box<dyn BlobReader>), ClientFileError> {
        let found = self.files.lock().unwrap().get(path).cloned();
        let bytes = found.ok_or(ClientFileError::Missing)?;
        Ok((bytes.len() as u64, Box::new(Whole(Some(bytes)))))
    }

    async fn log(&self, _: &ClientName, _: LogFrom, _: u64) -> Option<LogPiece> {
        None
    }

    async fn log_grown(&self, _: &ClientName, _: u64) {}

    async fn call(&self, _: &ClientName, _: &StartId, call: ApiCall) -> Given {
        let parameters = call.parameters.iter();
        let parameters: Vec<_> = parameters.map(|(k, v)| format!("{k}={v}")).collect();
        let shown = format!("{}?{}", call.path, parameters.join("&"));
        self.calls.lock().unwrap().push(shown);
        let mut script = self.script.lock().unwrap();
        let given = script.get_mut(&call.path).and_then(VecDeque::pop_front);
        given.unwrap_or_else(|| usual(&call.path))
    }

    fn stop_starting(&self) {}

    async fn end(&self) {}
}

/// Answers a message with as many texts as it says.
#[derive(Debug)]
pub struct Bot {
    pub store: Arc<dyn Store>,
    pub heard: Mutex<Vec<Happening>>,
}

#[async_trait]
impl Runtime for Bot {
    async fn take_in(&self, bytes: Bytes) -> Result<Component, ComponentError> {
        Ok(Component {
            digest: Digest::of(&bytes),
            size_bytes: bytes.len() as u64,
            world: "test".to_owned(),
            imports: Vec::new(),
            compile_ms: 0,
        })
    }

    async fn prepare(&self, _: Digest) -> Result<(), ComponentError> {
        Ok(())
    }

    async fn try_out(&self, _: Arc<Deployment>) -> Result<Used, CallError> {
        Ok(Used::default())
    }

    async fn retain(&self, _: &InUse) {}

    async fn call(&self, call: Call) -> Result<Effects, CallError> {
        self.heard.lock().unwrap().push(call.event.what.clone());
        let texts = match &call.event.what {
            Happening::Message(message) => match &message.content {
                Content::Text(text) => text.parse().unwrap_or(0),
                _ => 0,
            },
            _ => 0,
        };
        let to = call.event.answers_to().unwrap_or_default();
        let task = |n| (self.store.reserve(1), Action::text(to, format!("text {n}")));
        Ok(Effects {
            tasks: (1..=texts).map(task).collect(),
            ..Effects::default()
        })
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, CallError> {
        Err(CallError::Unloaded(ask.component.version.digest))
    }
}
