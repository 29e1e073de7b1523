//! The two files that the seed's controller keeps for people's scripts: its process
//! id, and a list of its clients.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};

use super::Shared;
use crate::{domain::client::Places, files};

/// How long changes are gathered before the list is written: each time costs a flush
/// of the disk.
const GATHERED_FOR: Duration = Duration::from_millis(250);

/// Writes the host's process id.
pub fn write_pid(places: &Places) -> io::Result<()> {
    let pid = std::process::id().to_string();
    let path = &places.pid_path;
    files::write_durably_blocking(path, pid.as_bytes()).map_err(|error| {
        let path = path.display();
        io::Error::other(format!("openwx.pid_path: {path}: {error}"))
    })
}

/// Removes both files.
pub fn remove(places: &Places) {
    for path in [&places.pid_path, &places.backend_path] {
        let _ = fs::remove_file(path);
    }
}

/// Writes the list of clients when it has changed, until the host ends. Nothing is
/// being written any more when this returns.
pub async fn keep_list(shared: Weak<Shared>, changed: Arc<Notify>) {
    let mut written = Bytes::new();
    loop {
        let Some((path, list)) = shared
            .upgrade()
            .filter(|it| !it.is_ending())
            .map(|it| (it.setup.places.backend_path.clone(), list(&it)))
        else {
            return;
        };
        if list != written {
            write(&path, list.clone()).await;
            written = list;
        }
        changed.notified().await;
        sleep(GATHERED_FOR).await;
    }
}

async fn write(path: &Path, list: Bytes) {
    let work = {
        let path = path.to_owned();
        move || files::write_durably_blocking(&path, &list)
    };
    if let Ok(Err(error)) = spawn_blocking(work).await {
        tracing::warn!(path = %path.display(), %error, "the list of clients can't be written");
    }
}

fn list(shared: &Shared) -> Bytes {
    let all = shared.all();
    let alive = all.iter().filter(|status| status.pid.is_some());
    let list: Vec<_> = alive
        .map(|it| json!({"client": it.name, "pid": it.pid, "port": it.port}))
        .collect();
    json!(list).to_string().into()
}
