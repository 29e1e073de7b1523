//! A simulated WeHub process: one account, one keep-alive connection, the
//! protocol page's HTTP dialogue. Strict where the host answers, able to send
//! anything at all where the host reads.

mod ack;
mod identity;
mod message;
mod socket;
mod task;
pub mod upload;

use std::{io, time::Duration};

use serde_json::{Value, json};
use tokio::sync::Mutex;

pub use ack::Ack;
pub use identity::{Identity, signature};
pub use message::Message;
pub use socket::{Closed, Spelling, WehubSocket};
pub use task::{Sent, Task};

use crate::{
    Context, Result, check,
    http::{Connection, Target},
    poll,
};

/// How long WeHub waits for an answer (protocol page, section 1).
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The nonce that the simulated client logs in with.
const NONCE: &str = "nonce-2f91";

/// One WeHub process and the account that it drives.
#[derive(Debug)]
pub struct WehubClient {
    identity: Identity,
    target: Target,
    connection: Mutex<Option<Connection>>,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The content type; empty when there is none.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl WehubClient {
    /// A process that reports to this URL. It has not logged in.
    pub fn new(url: &str, identity: Identity) -> Result<Self> {
        Ok(Self {
            identity,
            target: Target::parse(url)?,
            connection: Mutex::new(None),
        })
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The account.
    pub fn wxid(&self) -> &str {
        &self.identity.wxid
    }

    /// The same process with one more connection, for what happens at the same
    /// time.
    pub fn twin(&self) -> Self {
        Self {
            identity: self.identity.clone(),
            target: self.target.clone(),
            connection: Mutex::new(None),
        }
    }

    /// The same process, from now on reporting elsewhere.
    pub fn moved_to(&self, url: &str) -> Result<Self> {
        Self::new(url, self.identity.clone())
    }

    /// The same account with another nickname.
    pub fn called(mut self, nickname: &str) -> Self {
        self.identity.nickname = nickname.to_owned();
        self
    }

    // ------------------------------------------------------------ session

    /// Logs in, checks the host's signature as WeHub does, and insists on being
    /// let in.
    pub async fn login(self) -> Result<Self> {
        let ack = self.try_login().await?;
        ack.ok().context(format!("{} logs in", self.wxid()))?;
        Ok(self)
    }

    /// Logs in and checks the signature, but takes a refusal.
    pub async fn try_login(&self) -> Result<Ack> {
        let ack = self
            .report("login", self.identity.login_data(Some(NONCE)))
            .await?;
        if ack.error_code == 0 {
            self.check_signature(&ack)?;
        }
        Ok(ack)
    }

    fn check_signature(&self, ack: &Ack) -> Result<()> {
        let found = ack.data["signature"].as_str().unwrap_or_default();
        let wanted = self.identity.signature(NONCE);
        check!(
            found.eq_ignore_ascii_case(&wanted),
            "the signature is {found:?}, not {wanted:?}"
        );
        Ok(())
    }

    /// Logs out.
    pub async fn logout(&self) -> Result<Ack> {
        let data = json!({
            "client_version": self.identity.client_version,
            "machine_id": self.identity.machine_id,
        });
        self.report("logout", data).await
    }

    /// Logs in and goes on over the WebSocket that the host offers.
    pub async fn login_socket(&self) -> Result<WehubSocket> {
        let ack = self.try_login().await?;
        WehubSocket::connect(ack.ok()?.socket_url()?, &self.identity).await
    }

    // ----------------------------------------------------------- messages

    /// A friend writes to the account.
    pub async fn text_from(&self, friend: &str, text: &str) -> Result<Ack> {
        self.deliver(&self.text(friend, text)).await
    }

    /// Somebody writes in a group; the account is mentioned.
    pub async fn group_text(&self, group: &str, author: &str, text: &str) -> Result<Ack> {
        self.deliver(&self.in_group(group, author, text)).await
    }

    /// A text from a friend, not yet reported.
    pub fn text(&self, friend: &str, text: &str) -> Message {
        Message::private(
            self.wxid(),
            friend,
            1,
            json!({"msg": text, "atUserList": []}),
        )
    }

    /// A text in a group that mentions the account, not yet reported.
    pub fn in_group(&self, group: &str, author: &str, text: &str) -> Message {
        let more = json!({"msg": text, "atUserList": [self.wxid()]});
        Message::in_group(group, author, 1, more)
    }

    /// A message of any kind from a friend (protocol page, section 4), not yet
    /// reported. `more` holds the fields beyond the common ones.
    pub fn message(&self, friend: &str, kind: u32, more: Value) -> Message {
        Message::private(self.wxid(), friend, kind, more)
    }

    /// Reports a message; the same one as often as wanted.
    pub async fn deliver(&self, message: &Message) -> Result<Ack> {
        self.report("report_new_msg", message.data()).await
    }

    // -------------------------------------------------------------- tasks

    /// Asks for a task.
    pub async fn pull_task(&self) -> Result<Ack> {
        self.report("pull_task", json!({})).await
    }

    /// Tells how a task went; without a reason it went well.
    pub async fn task_result(&self, task_id: &str, failure: Option<&str>) -> Result<Ack> {
        let data = json!({
            "task_id": task_id,
            "task_result": i32::from(failure.is_none()),
            "error_reason": failure.unwrap_or_default(),
        });
        self.report("report_task_result", data).await
    }

    // ----------------------------------------------------------- contacts

    /// Uploads a contact list of this many friends, one group and one public
    /// account.
    pub async fn report_contact(&self, friends: usize) -> Result<Ack> {
        self.report("report_contact", self.identity.contacts(friends))
            .await
    }

    // ---------------------------------------------------------- transport

    /// Reports an event and takes the answer apart.
    pub async fn report(&self, action: &str, data: Value) -> Result<Ack> {
        let body = self.identity.envelope(action, data);
        self.send_json(&body).await
    }

    /// Sends a whole body and takes the answer apart.
    pub async fn send_json(&self, body: &Value) -> Result<Ack> {
        let action = body["action"].as_str().or(body["atcion"].as_str());
        let action = action.unwrap_or_default().to_owned();
        self.send_raw(body.to_string().as_bytes())
            .await?
            .ack(&action)
    }

    /// Sends any bytes as a body.
    pub async fn send_raw(&self, body: &[u8]) -> Result<RawAnswer> {
        let request = self.target.post(body);
        let answer = async { Ok(self.exchange(&request).await?) };
        poll::within("an answer as WeHub awaits it", ANSWER_MAX, answer).await
    }

    /// Uses the kept connection. One that the host closed meanwhile is opened
    /// again, as any client does.
    async fn exchange(&self, request: &[u8]) -> io::Result<RawAnswer> {
        let mut kept = self.connection.lock().await;
        if let Some(mut connection) = kept.take() {
            match RawAnswer::of(&mut connection, request).await {
                Err(error) if was_closed(&error) => {}
                outcome => {
                    *kept = outcome.is_ok().then_some(connection);
                    return outcome;
                }
            }
        }
        let mut connection = Connection::open(&self.target.address).await?;
        let answer = RawAnswer::of(&mut connection, request).await?;
        *kept = Some(connection);
        Ok(answer)
    }
}

fn was_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}

impl RawAnswer {
    async fn of(connection: &mut Connection, request: &[u8]) -> io::Result<Self> {
        let reply = connection.exchange(request).await?;
        Ok(Self {
            status: reply.status,
            content_type: reply.header("content-type").to_owned(),
            body: reply.body.to_owned(),
        })
    }

    /// The answer as the protocol wants it for this action.
    pub fn ack(&self, action: &str) -> Result<Ack> {
        let text = String::from_utf8_lossy(&self.body);
        check!(
            self.status == 200,
            "HTTP {} for {action}: {text}",
            self.status
        );
        check!(
            self.content_type.starts_with("application/json"),
            "the answer to {action} is {:?}, no JSON: {text}",
            self.content_type
        );
        Ack::parse(action, &self.body).context(format!("the answer to {action}: {text}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]
    use super::*;
    use crate::http::find;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    /// A host that knows one answer. It serves one request per connection, so
    /// that every further one finds the kept connection closed.
    async fn stub(head: &'static str, body: Value) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let body = body.to_string();
        let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                answer_once(stream, answer.as_bytes()).await;
            }
        });
        format!("http://{address}/wehub/callback")
    }

    async fn answer_once(mut stream: TcpStream, answer: &[u8]) {
        let mut request = Vec::new();
        while find(&request, br#""wxid":"wxid_a"}"#).is_none() {
            stream.read_buf(&mut request).await.unwrap();
        }
        stream.write_all(answer).await.unwrap();
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

    fn client(url: &str) -> WehubClient {
        WehubClient::new(url, Identity::new("app", "112233", "wxid_a")).unwrap()
    }

    fn login_ack(signature: &str) -> Value {
        json!({"error_code": 0, "error_reason": "", "ack_type": "login_ack",
               "data": {"signature": signature}})
    }

    #[tokio::test]
    async fn a_login_with_the_right_signature_succeeds() {
        let signature = signature("wxid_a", NONCE, "112233").to_uppercase();
        let url = stub(OK, login_ack(&signature)).await;
        let client = client(&url).login().await.unwrap();
        // The connection is closed by now: the client opens another.
        client.try_login().await.unwrap();
    }

    #[tokio::test]
    async fn a_login_with_a_wrong_signature_fails() {
        let url = stub(OK, login_ack("00")).await;
        let error = client(&url).login().await.unwrap_err();
        assert!(error.to_string().contains("signature"), "{error}");
    }

    #[tokio::test]
    async fn a_refused_login_tells_why() {
        let body = json!({"error_code": 403, "error_reason": "wxid_a is not admitted",
                          "ack_type": "login_ack", "data": {}});
        let url = stub(OK, body).await;
        let ack = client(&url).try_login().await.unwrap();
        ack.refused("wxid_a").unwrap();
        assert!(client(&url).login().await.is_err());
    }

    #[tokio::test]
    async fn answers_that_are_no_json_are_errors() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 500 No\r\nContent-Type: application/json\r\n",
        ] {
            let url = stub(head, login_ack("")).await;
            assert!(client(&url).logout().await.is_err(), "{head}");
        }
    }
}
