//! The demo's native client: the host starts it and shows its code, it is scanned,
//! and the same bot answers its account.

use std::time::Duration;

use serde_json::Value;
use wxhost_tests::{
    Context, Result,
    chat::Face,
    check,
    openwx::{Stub, process},
    poll,
};

use crate::scan::Scan;

/// The client's name, which is its account.
const NAME: &str = "june";
/// How long each step may take.
const STEP_MAX: Duration = Duration::from_secs(20);
/// What is said; the bot is echo.
const WORDS: [&str; 2] = ["Good evening!", "你好 😀"];

impl Scan<'_> {
    /// June logs in with a native client, is written to, and her client is ended.
    pub async fn play_native(&self) -> Result<()> {
        self.screen
            .note("\nAnother kind of client: the host starts June's, and watches over it.");
        let openwx = self.host.openwx()?;
        let started = openwx.start(NAME).await?;
        self.screen.note(&format!(
            "It runs as process {} and will listen on port {}.",
            started.pid, started.port
        ));
        let stub = Stub::up(started.port).await?;
        let login = self.until_code().await?;
        self.draw(&login).await?;
        tokio::time::sleep(self.pause).await;
        stub.scan().await?;
        self.host.until_phase(NAME, "running").await?;
        self.until_succeeded(&login).await?;
        self.screen
            .note("June has logged in. The bot of the others answers her too.\n");
        self.converse(&stub).await?;
        openwx.stop(NAME).await?;
        openwx.until_gone(NAME).await?;
        check!(
            !process::is_alive(started.pid),
            "June's client is still there"
        );
        self.screen
            .note("\nHer client was told to end, and has ended.");
        Ok(())
    }

    async fn converse(&self, stub: &Stub) -> Result<()> {
        let face = Face::new("June", 3);
        for (place, words) in WORDS.into_iter().enumerate() {
            self.screen.heard(&face, "好友1", words);
            let heard = stub.receive("@f1", words).await?;
            check!(heard.answer["reply"] == words, "June's bot: {heard:?}");
            let sent = stub.until_sent(place + 1).await?;
            let last = sent.last().context("nothing was sent")?;
            check!(last["content"] == words && last["to"] == "@f1", "{last}");
            self.screen.said(&face, words);
        }
        Ok(())
    }

    async fn until_succeeded(&self, login: &str) -> Result<()> {
        poll::until("June's login has succeeded", STEP_MAX, async || {
            let login = self.login(login).await?;
            let is_hers = login["account"] == NAME;
            Ok((login["state"] == "succeeded" && is_hers).then_some(()))
        })
        .await
    }

    /// The login to which the client's code belongs.
    async fn until_code(&self) -> Result<String> {
        poll::until("June's code is there", STEP_MAX, async || {
            let api = self.host.api()?;
            let logins = api.get("/logins?state=awaiting-scan").await?;
            let id = logins.pointer("/items/0/id").and_then(Value::as_str);
            Ok(id.map(str::to_owned))
        })
        .await
    }
}
