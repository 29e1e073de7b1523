//! The bare handler: axum, serde, the echo logic natively, no store and no
//! sandbox. It is what a program that did only this could reach.

use std::process::Stdio;

use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};
use wxhost_tests::{Context, Result, http::Target};

#[derive(Deserialize)]
struct Event {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    msg: Message,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    room_wxid: String,
    wxid_from: String,
    msg: String,
}

#[derive(Serialize)]
struct Ack {
    error_code: i32,
    error_reason: &'static str,
    ack_type: &'static str,
    data: Tasks,
}

#[derive(Serialize)]
struct Tasks {
    reply_task_list: [Task; 1],
}

#[derive(Serialize)]
struct Task {
    task_type: i32,
    task_dict: Send,
}

#[derive(Serialize)]
struct Send {
    wxid_to: String,
    msg_list: [Unit; 1],
    at_list: Vec<String>,
    at_style: i32,
}

#[derive(Serialize)]
struct Unit {
    msg_type: i32,
    msg: String,
}

async fn echo(Json(event): Json<Event>) -> Json<Ack> {
    let message = event.data.msg;
    let in_group = !message.room_wxid.is_empty();
    let (to, text, mentions) = match in_group {
        false => (message.wxid_from, message.msg, Vec::new()),
        true => {
            let text = format!("{{$@}} {}", message.msg);
            (message.room_wxid, text, vec![message.wxid_from])
        }
    };
    let send = Send {
        wxid_to: to,
        msg_list: [Unit {
            msg_type: 1,
            msg: text,
        }],
        at_list: mentions,
        at_style: i32::from(in_group),
    };
    let task = Task {
        task_type: 1,
        task_dict: send,
    };
    Json(Ack {
        error_code: 0,
        error_reason: "",
        ack_type: "common_ack",
        data: Tasks {
            reply_task_list: [task],
        },
    })
}

/// Serves, after printing the address on a line of its own.
pub async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let app = Router::new().route("/wehub/callback", post(echo));
    axum::serve(listener, app).await?;
    Ok(())
}

/// The bare handler in a process of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Native {
    _process: Child,
    /// Where it takes requests.
    pub target: Target,
}

impl Native {
    /// Starts it.
    pub async fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("native")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("the output is piped")?;
        let address = BufReader::new(output).lines().next_line().await?;
        let address = address.context("the bare handler tells no address")?;
        Ok(Self {
            _process: process,
            target: Target::parse(&format!("http://{address}/wehub/callback"))?,
        })
    }
}
