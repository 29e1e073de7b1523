//! `wxhost dev` with bots that do more than echo, and with what does not link.

use std::{fs, path::PathBuf};

use wxhost_tests::{Host, Result, check, guests};

use crate::author::{Chat, Desk};

/// A project whose build is a copy of one of these guests: of the one that `src/which` names.
fn project(host: &Host, toml: &str, guests: &[&str]) -> Result<PathBuf> {
    let dir = host.home().join("project");
    fs::create_dir_all(dir.join("src"))?;
    let build =
        "component = \"bot.wasm\"\n[build]\ncommand = \"cp src/$(cat src/which) bot.wasm\"\n";
    fs::write(
        dir.join("handler.toml"),
        format!("name = \"bot\"\n{build}{toml}"),
    )?;
    for guest in guests {
        fs::copy(guests::path(guest)?, dir.join("src").join(guest))?;
    }
    let first = guests.first().copied().unwrap_or_default();
    fs::write(dir.join("src/which"), first)?;
    Ok(dir)
}

#[tokio::test]
async fn a_friend_request_is_answered_in_the_chat() -> Result<()> {
    let host = Host::start().await?;
    let toml = "[config]\npassword = \"Jerry\"\n";
    let dir = project(&host, toml, &["friend-gate"])?;
    let desk = Desk { host: &host, dir };
    let mut chat = Chat::start(&desk)?;
    chat.shows("version 1 serves").await?;
    chat.types("/as Bob").await?;
    chat.types("/friend-request let me in").await?;
    chat.shows("(the bot does nothing)").await?;
    let logged = chat.shows("did not say the password").await?;
    check!(
        logged.contains("[info]") && logged.contains("wxid_bob"),
        "{logged}"
    );
    chat.types("/friend-request It is me, Jerry").await?;
    let accepted = chat.shows("→ ").await?;
    check!(accepted.contains("accept-friend"), "{accepted}");
    chat.quits().await?;
    host.end().await
}

#[tokio::test]
async fn what_builds_and_does_not_link_leaves_the_version_before() -> Result<()> {
    let host = Host::start().await?;
    let dir = project(&host, "", &["echo", "unknown-import", "probe"])?;
    let desk = Desk { host: &host, dir };
    let mut chat = Chat::start(&desk)?;
    chat.shows("version 1 serves").await?;
    fs::write(desk.dir.join("src/which"), "unknown-import")?;
    let why = chat.shows("elsewhere:unknown/oracle").await?;
    check!(!why.contains("serves"), "{why}");
    chat.shows("the version before goes on").await?;
    chat.types("still there?").await?;
    chat.shows("→ still there?").await?;
    // Once it links, it serves.
    fs::write(desk.dir.join("src/which"), "probe")?;
    chat.shows("version 2 serves").await?;
    chat.types("context.client-kind").await?;
    chat.shows("→ ok wehub").await?;
    chat.quits().await?;
    host.end().await
}
