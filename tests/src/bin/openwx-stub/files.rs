//! The files of a client: its state, its code, its process id, its cookie.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use wxhost_tests::{Context, Result, wehub::upload};

use crate::client::{Client, append, locked};

/// How old a state file is that an earlier process left.
const STALE: Duration = Duration::from_secs(3_600);
/// The id of that process: the first one of the machine, which is no client.
const STALE_PID: u32 = 1;

/// Says on disk who this is. Of two processes with the same files the second leaves
/// a mark, which no test forgives.
pub fn begin(client: &Client) -> Result<fs::File> {
    let environment = &client.environment;
    let lock = fs::File::create(environment.tmpdir.join("stub_lock"))?;
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    if rustix::fs::flock(&lock, operation).is_err() {
        let text = format!("{} came to a living one\n", std::process::id());
        append(&environment.tmpdir.join("stub_twice"), &text)?;
    }
    fs::write(&environment.pid_path, std::process::id().to_string())
        .context(environment.pid_path.display())?;
    if client.arguments.stale_state {
        leave_stale(client)?;
    }
    Ok(lock)
}

/// Writes where the client stands.
pub fn write_state(client: &Client) -> Result<()> {
    let arguments = &client.arguments;
    if arguments.no_state || arguments.stale_state {
        return Ok(());
    }
    let path = &client.environment.state_path;
    let text = state(client).to_string();
    match arguments.half_state {
        true => fs::write(path, text.split_at(text.len() / 2).0)?,
        false => replace(path, text.as_bytes())?,
    }
    Ok(())
}

/// Shows a code; each number is another one.
pub fn write_code(client: &Client, number: usize) -> Result<Vec<u8>> {
    let image = upload::code(number);
    replace(&client.environment.qrcode_path, &image)?;
    Ok(image)
}

/// There is nothing more to scan.
pub fn remove_code(client: &Client) {
    let _ = fs::remove_file(&client.environment.qrcode_path);
}

/// Keeps what lets the client in again without a scan.
pub fn write_cookie(client: &Client) -> Result<()> {
    let path = &client.environment.cookie_path;
    Ok(fs::write(path, "a cookie")?)
}

/// Removes what tells of a living process.
pub fn end(client: &Client) {
    let environment = &client.environment;
    for path in [
        &environment.pid_path,
        &environment.state_path,
        &environment.qrcode_path,
    ] {
        let _ = fs::remove_file(path);
    }
}

/// In one step, so that no reader sees half of it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).context(beside.display())?;
    Ok(fs::rename(&beside, path)?)
}

/// The file of an earlier process that was logged in.
fn leave_stale(client: &Client) -> Result<()> {
    let mut stale = state(client);
    stale["pid"] = STALE_PID.into();
    stale["state"] = "running".into();
    let path = &client.environment.state_path;
    fs::write(path, stale.to_string())?;
    let file = fs::File::options().write(true).open(path)?;
    Ok(file.set_modified(SystemTime::now() - STALE)?)
}

/// All that a real client's file holds.
fn state(client: &Client) -> Value {
    let environment = &client.environment;
    let given = |name: &str| environment.parameter(name).map_or(Value::Null, Value::from);
    let or = |name: &str, default: &str| environment.parameter(name).unwrap_or(default).to_owned();
    json!({
        "account": environment.account,
        "cookie_path": environment.cookie_path,
        "disable_color": or("disable_color", "0"),
        "download_media": or("download_media", "1"),
        "emoji_to_text": or("emoji_to_text", "1"),
        "fix_media_loop": or("fix_media_loop", "1"),
        "http_debug": or("http_debug", "0"),
        "keep_cookie": or("keep_cookie", "1"),
        "log_console": or("log_console", "0"),
        "log_encoding": given("log_encoding"),
        "log_level": or("log_level", "info"),
        "log_path": given("log_path"),
        "media_dir": environment.tmpdir,
        "os": "linux",
        "pid": std::process::id(),
        "pid_path": environment.pid_path,
        "plugin": [
            {"auto_call": null, "call_on_load": 1, "name": "Mojo::Weixin::Plugin::Openwx", "priority": 98},
            {"auto_call": 1, "call_on_load": 0, "name": "Mojo::Weixin::Plugin::ShowMsg", "priority": 100},
        ],
        "previous_state": locked(&client.previous).as_str(),
        "qrcode_count_max": client.codes(),
        "qrcode_path": environment.qrcode_path,
        "start_time": client.started_s.to_string(),
        "state": client.now().as_str(),
        "state_path": environment.state_path,
        "stop_with_mobile": or("stop_with_mobile", "0"),
        "synccheck_interval": or("synccheck_interval", "1"),
        "tmpdir": environment.tmpdir,
        "ua_retry_times": or("ua_retry_times", "5"),
        "version": "1.4.6",
    })
}
