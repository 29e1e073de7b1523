//! The demo's QR logins: one account's client starts another, which shows a code,
//! is scanned, and logs in; the new one starts the next, over its WebSocket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use wxhost_tests::{
    Ack, Context, Host, Result, WehubClient,
    chat::{Face, Screen},
    check,
    wehub::upload::taken,
};

use crate::{Player, show};

/// What happens in the demo beside the conversation.
pub struct Scan<'a> {
    /// The host.
    pub host: &'a Host,
    /// Where it is shown.
    pub screen: &'a Screen,
    /// How long one may look at each step.
    pub pause: Duration,
}

impl Scan<'_> {
    /// Lily logs in with the help of this player's client, and Tom with that of
    /// Lily's, over her WebSocket. Gives Lily.
    pub async fn play(&self, agent: &Player) -> Result<Player> {
        self.screen
            .note("\nOne more account, by QR code: Rose's client starts another.");
        let id = self.start("wxid_rose").await?;
        let ack = agent.client.pull_task().await?;
        show(self.screen, agent, &ack);
        agent
            .client
            .task_result(&started(&ack, &id)?, None)
            .await?
            .ok()?;
        let lily = self.scan(&id, "wxid_lily", "Lily").await?;
        self.screen
            .note("Lily has logged in. Her client starts one more, over its WebSocket.");

        let mut socket = lily.login_socket().await?;
        let id = self.start("wxid_lily").await?;
        let pushed = socket.next_push().await?;
        socket
            .task_result(&started(&pushed, &id)?, None)
            .await?
            .ok()?;
        let tom = self.scan(&id, "wxid_tom", "Tom").await?;
        self.screen
            .note("Tom has logged in. He logs out, and his client is told to end.");
        let goodbye = tom.logout().await?;
        let exits = json!({"exit_wehub": 1, "exit_wechat": 1});
        check!(goodbye.ok()?.data == exits, "{goodbye:?}");
        socket.close().await?;
        Ok(Player {
            client: lily,
            face: Face::new("Lily", 2),
        })
    }

    async fn start(&self, agent: &str) -> Result<String> {
        let api = self.host.api()?;
        let login = api.post("/logins", &json!({"agent": agent})).await?;
        let id = login["id"].as_str().context("the login has no id")?;
        Ok(id.to_owned())
    }

    /// The new client uploads a code, which expires, and another, which is scanned.
    async fn scan(&self, id: &str, wxid: &str, name: &str) -> Result<WehubClient> {
        let new = self.host.wehub(wxid)?.called(name);
        for number in 0..2 {
            taken(&new.upload_code(id, number).await?)?;
            let login = self.login(id).await?;
            check!(login["state"] == "awaiting-scan", "{login}");
            check!(login["generation"] == number + 1, "{login}");
        }
        self.draw(id).await?;
        sleep(self.pause).await;
        let new = new.login_by_qr(id).await?;
        let login = self.login(id).await?;
        check!(
            login["state"] == "succeeded" && login["account"] == wxid,
            "{login}"
        );
        Ok(new)
    }

    /// A login as the host shows it.
    pub async fn login(&self, id: &str) -> Result<Value> {
        self.host.api()?.get(&format!("/logins/{id}")).await
    }

    /// The code as `wxhost login qr` shows it.
    pub async fn draw(&self, id: &str) -> Result<()> {
        let shown = self.host.cli(&["login", "qr", id]).await?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        check!(shown.status.success(), "wxhost login qr: {shown:?}");
        check!(text.contains('█'), "no code was drawn: {text}");
        self.screen.note(text.trim_end());
        Ok(())
    }
}

/// The id of the task that starts a client for this login.
fn started(ack: &Ack, login: &str) -> Result<String> {
    let task = ack.tasks.first().context("no task came")?;
    check!(task.kind == 200, "another task came: {ack:?}");
    check!(task.text("qrcode_session_id") == login, "{ack:?}");
    ack.task_id.clone().context("the task has no id")
}
