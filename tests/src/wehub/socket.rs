//! A simulated WeHub process on its WebSocket (protocol page, section 8): it
//! reports, and tasks come to it. Spoken with a library that the host does not use.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message as Frame,
        protocol::{CloseFrame, WebSocketConfig},
    },
};

use super::{Ack, Identity};
use crate::{Context, Error, Result, check, fail, http::Target, poll};

/// How long an answer or a task may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A bench has thousands of these.
const BUFFER_BYTES: usize = 4 * 1024;

/// One connection of one WeHub process.
#[derive(Debug)]
pub struct WehubSocket {
    identity: Identity,
    stream: WebSocketStream<TcpStream>,
    /// Came while an answer was awaited.
    pushed: VecDeque<Ack>,
}

/// How to spell a heartbeat: clients do it in both ways.
#[derive(Debug, Clone, Copy)]
pub enum Spelling {
    /// `action`.
    Action,
    /// `atcion`.
    Atcion,
}

/// How the host ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The code; 0 when there was none.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

impl WehubSocket {
    /// Connects to the address from a login's answer.
    pub async fn connect(url: &str, identity: &Identity) -> Result<Self> {
        match Self::try_connect(url, identity).await? {
            Ok(socket) => Ok(socket),
            Err((status, reason)) => fail!("HTTP {status} instead of a WebSocket: {reason}"),
        }
    }

    /// The same, but takes a refusal: the HTTP status and the reason.
    pub async fn try_connect(
        url: &str,
        identity: &Identity,
    ) -> Result<std::result::Result<Self, (u16, String)>> {
        let plain = url.strip_prefix("ws").context("the address is no ws://")?;
        let address = Target::parse(&format!("http{plain}"))?.address;
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0);
        let connected = client_async_with_config(url, stream, Some(config));
        let connected = poll::within("a handshake", ANSWER_MAX, async { Ok(connected.await) });
        match connected.await? {
            Ok((stream, _)) => Ok(Ok(Self {
                identity: identity.clone(),
                stream,
                pushed: VecDeque::new(),
            })),
            Err(tungstenite::Error::Http(response)) => {
                let reason = response.body().as_deref().unwrap_or_default();
                let reason = String::from_utf8_lossy(reason).trim().to_owned();
                Ok(Err((response.status().as_u16(), reason)))
            }
            Err(error) => Err(error.into()),
        }
    }

    // ------------------------------------------------------------ reports

    /// Reports an event and waits for its answer.
    pub async fn report(&mut self, action: &str, data: Value) -> Result<Ack> {
        let body = self.identity.envelope(action, data);
        self.exchange(action, &body).await
    }

    /// Sends a whole body and waits for the answer to this action.
    pub async fn exchange(&mut self, action: &str, body: &Value) -> Result<Ack> {
        self.send(Frame::text(body.to_string())).await?;
        self.answer(action).await
    }

    /// Gives a sign of life.
    pub async fn heartbeat(&mut self, spelling: Spelling) -> Result<Ack> {
        let mut body = self.identity.envelope("heartbeat", json!({}));
        if let (Spelling::Atcion, Some(fields)) = (spelling, body.as_object_mut()) {
            let action = fields.remove("action").unwrap_or_default();
            fields.insert("atcion".to_owned(), action);
        }
        self.exchange("heartbeat", &body).await
    }

    /// Tells how a task went; without a reason it went well.
    pub async fn task_result(&mut self, task_id: &str, failure: Option<&str>) -> Result<Ack> {
        let data = json!({
            "task_id": task_id,
            "task_result": i32::from(failure.is_none()),
            "error_reason": failure.unwrap_or_default(),
        });
        self.report("report_task_result", data).await
    }

    // ------------------------------------------------------------- pushes

    /// The next task that is pushed: an ack with one task and its id.
    pub async fn next_push(&mut self) -> Result<Ack> {
        if let Some(pushed) = self.pushed.pop_front() {
            return Ok(pushed);
        }
        let text = poll::within("a task is pushed", ANSWER_MAX, self.text()).await?;
        pushed(&text)?.context(format!("{text} is no task"))
    }

    /// Insists that nothing is pushed for so long.
    pub async fn nothing_for(&mut self, time: Duration) -> Result<()> {
        check!(self.pushed.is_empty(), "there is {:?}", self.pushed);
        match timeout(time, self.text()).await {
            Err(_) => Ok(()),
            Ok(text) => fail!("this came: {text:?}"),
        }
    }

    // ---------------------------------------------------------- transport

    /// Sends any frame.
    pub async fn send(&mut self, frame: Frame) -> Result<()> {
        let sending = async { Ok(self.stream.send(frame).await?) };
        poll::within("a frame is sent", ANSWER_MAX, sending).await
    }

    /// Sends any frame and reads nothing.
    pub async fn send_unread(&mut self, frame: Frame) -> Result<()> {
        let sending = async {
            self.stream.feed(frame).await?;
            Ok(self.stream.flush().await?)
        };
        poll::within("a frame is sent", ANSWER_MAX, sending).await
    }

    /// Sends the first half of a message and nothing more.
    pub async fn send_half(&mut self) -> Result<()> {
        let half = [0x81, 0x80 | 100, 1, 2, 3, 4, b'{'];
        Ok(self.stream.get_mut().write_all(&half).await?)
    }

    /// The answer to this action. Tasks that come before it are kept.
    pub async fn answer(&mut self, action: &str) -> Result<Ack> {
        loop {
            let text = poll::within("an answer", ANSWER_MAX, self.text()).await?;
            // An answer to a pull may hold a task too: none is pushed to these.
            match pushed(&text)? {
                Some(task) if action != "pull_task" => self.pushed.push_back(task),
                _ => return Ack::parse(action, text.as_bytes()).context(text),
            }
        }
    }

    /// Waits until the host ends the connection.
    pub async fn closed(&mut self) -> Result<Closed> {
        let closing = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Frame::Close(frame))) => return Ok(Closed::of(frame)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => fail!("the connection ended without a word"),
                }
            }
        };
        poll::within("the connection is ended", ANSWER_MAX, closing).await
    }

    /// Ends the connection as a client does.
    pub async fn close(mut self) -> Result<()> {
        self.stream.close(None).await?;
        self.closed().await.map(drop)
    }

    async fn text(&mut self) -> Result<String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Frame::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Frame::Close(frame))) => fail!("closed: {:?}", Closed::of(frame)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Error::from(error)),
                None => fail!("the connection ended without a word"),
            }
        }
    }
}

impl Closed {
    fn of(frame: Option<CloseFrame>) -> Self {
        let (code, reason) = frame.map_or((0, String::new()), |frame| {
            (frame.code.into(), frame.reason.to_string())
        });
        Self { code, reason }
    }
}

/// The task in a frame; none when it is an answer.
fn pushed(text: &str) -> Result<Option<Ack>> {
    let body: Value = serde_json::from_str(text)?;
    if body["ack_type"] != "pull_task_ack" || body["data"]["task_id"].is_null() {
        return Ok(None);
    }
    Ack::parse("pull_task", text.as_bytes()).map(Some)
}
