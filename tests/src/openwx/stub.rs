//! A line to one stub client, past the host: what happens to its account is played
//! over it.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use super::{
    controller::{Openwx, Reply},
    escaped,
};
use crate::{Result, check, guests, poll};

/// How long a stub may take to take connections.
const LISTEN_MAX: Duration = Duration::from_secs(20);

/// One stub client.
#[derive(Debug, Clone)]
pub struct Stub {
    /// The port of its API.
    pub port: u16,
    line: Openwx,
}

/// What became of a message that somebody wrote to the account.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The message's id.
    pub id: String,
    /// The status of the answer to the report; 0 when there was none.
    pub status: u64,
    /// The answer, if it was JSON.
    pub answer: Value,
}

/// The stub's program.
pub fn binary() -> Result<PathBuf> {
    let path = guests::profile_dir()?.join("openwx-stub");
    check!(
        path.is_file(),
        "there is no {}: `cargo build -p wxhost-tests --bins` builds it",
        path.display()
    );
    Ok(path)
}

impl Stub {
    /// The stub that listens on this port.
    pub fn at(port: u16) -> Self {
        let line = Openwx::new(&format!("127.0.0.1:{port}"), None);
        Self { port, line }
    }

    /// The same once it takes connections.
    pub async fn up(port: u16) -> Result<Self> {
        let stub = Self::at(port);
        poll::until("the stub listens", LISTEN_MAX, async || {
            Ok(stub.facts().await.ok())
        })
        .await?;
        Ok(stub)
    }

    /// Asks its API, past the host.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.line.get(path).await
    }

    async fn hook(&self, hook: &str) -> Result<Value> {
        self.line.get(&format!("stub_{hook}")).await?.json()
    }

    /// Somebody scans its code.
    pub async fn scan(&self) -> Result<()> {
        self.hook("scan").await.map(drop)
    }

    /// Its code expires, and it shows another one.
    pub async fn new_code(&self) -> Result<()> {
        self.hook("new_code").await.map(drop)
    }

    /// It ends by itself, in order.
    pub async fn stop(&self) -> Result<()> {
        self.hook("stop").await.map(drop)
    }

    /// It ends without a word.
    pub async fn crash(&self) {
        // Nobody is left to answer.
        let _ = self.hook("crash").await;
    }

    /// It prints a line.
    pub async fn print(&self, text: &str) -> Result<()> {
        let hook = format!("print?text={}", escaped(text));
        self.hook(&hook).await.map(drop)
    }

    /// What it knows of itself.
    pub async fn facts(&self) -> Result<Value> {
        self.hook("facts").await
    }

    /// Its environment.
    pub async fn environment(&self) -> Result<Value> {
        self.hook("environment").await
    }

    /// What it has sent in this process's life.
    pub async fn sent(&self) -> Result<Vec<Value>> {
        Ok(self
            .hook("sent")
            .await?
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// How its API was called: `name`, `method` and `query` of each.
    pub async fn calls(&self) -> Result<Vec<Value>> {
        Ok(self
            .hook("calls")
            .await?
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// What it has reported, each with its answer.
    pub async fn reports(&self) -> Result<Vec<Value>> {
        Ok(self
            .hook("reports")
            .await?
            .as_array()
            .cloned()
            .unwrap_or_default())
    }

    /// A friend writes to the account, once it is logged in.
    pub async fn receive(&self, friend: &str, content: &str) -> Result<Heard> {
        let (friend, content) = (escaped(friend), escaped(content));
        self.heard(&format!("receive?sender={friend}&content={content}"))
            .await
    }

    /// A friend writes the message of this id.
    pub async fn receive_as(&self, id: &str, friend: &str, content: &str) -> Result<Heard> {
        let (friend, content) = (escaped(friend), escaped(content));
        let more = format!("&message_id={}", escaped(id));
        self.heard(&format!("receive?sender={friend}&content={content}{more}"))
            .await
    }

    /// A member writes in a group.
    pub async fn receive_in(&self, group: &str, member: &str, content: &str) -> Result<Heard> {
        let (group, member, content) = (escaped(group), escaped(member), escaped(content));
        self.heard(&format!(
            "receive?group={group}&sender={member}&content={content}"
        ))
        .await
    }

    async fn heard(&self, hook: &str) -> Result<Heard> {
        Ok(Heard::read(&self.hook(hook).await?))
    }

    /// Reports anything: a whole report, or an event as `[name, parameter, …]`.
    pub async fn report(&self, report: &Value) -> Result<Heard> {
        let body = report.to_string().into_bytes();
        let asked = self.line.post("stub_report", "application/json", body);
        Ok(Heard::read(&asked.await?.json()?))
    }

    /// Waits for a call of this path, and gives its parameters.
    pub async fn until_called(&self, name: &str) -> Result<Value> {
        let what = format!("{name} is called");
        poll::until(&what, LISTEN_MAX, async || {
            let calls = self.calls().await?;
            let found = calls.into_iter().find(|call| call["name"] == name);
            Ok(found.map(|call| call["query"].clone()))
        })
        .await
    }

    /// Waits until it has sent this many messages.
    pub async fn until_sent(&self, count: usize) -> Result<Vec<Value>> {
        let what = format!("{count} messages are sent");
        poll::until(&what, LISTEN_MAX, async || {
            let sent = self.sent().await?;
            Ok((sent.len() >= count).then_some(sent))
        })
        .await
    }
}

impl Heard {
    fn read(told: &Value) -> Self {
        Self {
            id: told["id"].as_str().unwrap_or_default().to_owned(),
            status: told["answer"]["status"].as_u64().unwrap_or_default(),
            answer: told["answer"]["body"].clone(),
        }
    }
}
