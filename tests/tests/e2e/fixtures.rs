//! The callback bodies in `tests/fixtures/wehub`.

use std::{fs, path::PathBuf};

use serde_json::Value;
use wxhost_tests::{Context, Result, wehub::Message};

/// The account of every fixture.
pub const ACCOUNT: &str = "wxid_p9597egc5j1c21";
/// The friend who writes in most of them.
pub const FRIEND: &str = "wxid_friend01";
/// The group in most of them.
pub const GROUP: &str = "8680025352@chatroom";

/// A fixture by its name without `.json`.
pub fn read(name: &str) -> Result<Value> {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/wehub/{name}.json"));
    let text = fs::read_to_string(&file).context(file.display())?;
    serde_json::from_str(&text).context(file.display())
}

/// An upload's body, byte for byte.
pub fn bytes(name: &str) -> Result<Vec<u8>> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/wehub/{name}"));
    fs::read(&file).context(file.display())
}

/// The names of all fixtures that are JSON, in order.
pub fn names() -> Result<Vec<String>> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/wehub");
    let files = fs::read_dir(&dir).context(dir.display())?.flatten();
    let mut names: Vec<_> = files
        .filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// A message fixture under an id that no other message has. The id keeps its
/// type, text or number.
pub fn message(name: &str) -> Result<Value> {
    let mut body = read(name)?;
    let message = Message::private("", "", 0, Value::Null);
    let place = body.pointer_mut("/data/msg/msg_id").context("no msg_id")?;
    *place = match place.is_number() {
        true => message.id().parse::<u64>()?.into(),
        false => message.id().into(),
    };
    Ok(body)
}
