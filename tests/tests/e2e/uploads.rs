//! Files of messages: asked for, uploaded, and everything that is no such upload.

use std::time::Duration;

use serde_json::{Value, json};
use wxhost_tests::{
    Context, Host, Result, WehubClient, check,
    host::Settings,
    poll,
    wehub::upload::{self, Part, refused, taken},
};

use crate::fixtures;

const SOON: Duration = Duration::from_secs(10);

/// Somebody asks for a file, and the client gets the task.
async fn ask(host: &Host, client: &WehubClient, file: &str) -> Result<()> {
    let action = json!({"action": "download", "file": file});
    let asked = host.api()?.ask(client.wxid(), &action, None).await?;
    assert_eq!(asked.status, 202, "{asked:?}");
    let ack = client.pull_task().await?;
    let task = ack.tasks.first().context("no task to upload")?;
    assert_eq!((task.kind, task.text("file_index")), (9, file));
    Ok(())
}

async fn request(host: &Host, file: &str) -> Result<Value> {
    host.api()?
        .get(&format!("/accounts/wxid_a/files/{file}"))
        .await
}

#[tokio::test]
async fn the_fixtures_are_taken_byte_for_byte_once_they_were_asked_for() -> Result<()> {
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for (name, file, mime, bytes) in [
        ("upload-image", "3053020100044c304a0201", "image/jpeg", 87),
        ("upload-voice", "4166303733643135", "audio/mpeg", 0),
    ] {
        let body = fixtures::bytes(&format!("{name}.multipart"))?;
        refused(&a.upload(&body).await?, "file_index")?;
        ask(&host, &a, file).await?;
        let ack = a.upload(&body).await?;
        taken(&ack).context(name)?;
        assert_eq!(ack["file_index"], file);
        let kept = request(&host, file).await?;
        assert_eq!(kept["state"], "ready", "{kept}");
        assert_eq!(kept["content"]["mime"], mime);
        let digest = kept["content"]["digest"].as_str().context("no digest")?;
        let read = host.api()?.file(&format!("/files/{digest}")).await?;
        assert_eq!(read.header("content-type"), mime);
        assert_eq!(read.header("x-content-type-options"), "nosniff");
        check!(
            wxhost_tests::http::find(&body, &read.body).is_some(),
            "{name}: other bytes"
        );
        check!(bytes == 0 || !read.body.is_empty(), "{name}: nothing");
        // It was uploaded already.
        refused(&a.upload(&body).await?, "file_index")?;
    }
    host.end().await
}

#[tokio::test]
async fn malformed_uploads_are_answered_and_leave_nothing() -> Result<()> {
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    ask(&host, &a, "cc03").await?;
    for (name, field) in [("upload-cut-off", "cut off"), ("upload-no-file", "file")] {
        let body = fixtures::bytes(&format!("{name}.multipart"))?;
        refused(&a.upload(&body).await?, field).context(name)?;
    }
    let whole = upload::body(&[
        Part::Text("file_index", "cc03"),
        Part::File("a", "a/b", b"x"),
    ]);
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=another",
        "multipart/form-data; boundary=\"\"",
        "application/json",
    ] {
        let answer = a.upload_raw(&whole, content_type).await?;
        let ack: Value = serde_json::from_slice(&answer.body).context(content_type)?;
        check!(ack["error_code"] != 0, "{content_type}: {ack}");
    }
    for (parts, field) in [
        (vec![Part::File("a", "a/b", b"x")], "file_index"),
        (vec![Part::Text("file_index", "cc03")], "file"),
        (
            vec![
                Part::Text("file_index", "cc03"),
                Part::File("a", "a/b", b"x"),
                Part::File("b", "a/b", b"y"),
            ],
            "file",
        ),
    ] {
        refused(&a.upload(&upload::body(&parts)).await?, field)?;
    }
    assert_eq!(request(&host, "cc03").await?["state"], "asked");
    check!(files_in(&host)?.is_empty(), "something was kept");
    host.end().await
}

#[tokio::test]
async fn a_name_is_never_a_path() -> Result<()> {
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    ask(&host, &a, "cc03").await?;
    taken(
        &a.upload(&fixtures::bytes("upload-path-traversal.multipart")?)
            .await?,
    )?;
    let kept = request(&host, "cc03").await?;
    assert_eq!(kept["state"], "ready");
    let digest = kept["content"]["digest"].as_str().context("no digest")?;
    let names = files_in(&host)?;
    assert_eq!(names.len(), 1, "{names:?}");
    check!(names[0].ends_with(digest), "{names:?}");
    host.end().await
}

/// Every file below the host's folder for files.
fn files_in(host: &Host) -> Result<Vec<String>> {
    let (mut names, mut folders) = (Vec::new(), vec![host.data().join("files")]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(path.display().to_string()),
            }
        }
    }
    Ok(names)
}

#[tokio::test]
async fn a_bot_hears_when_its_file_is_there_or_missing() -> Result<()> {
    let host = Host::with(Settings::default().set("files.upload_ms", 800)).await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    for (file, comes) in [("f-1", true), ("f-2", false)] {
        let ack = a
            .text_from("wxid_bob", &format!("chat.download {file}"))
            .await?;
        let kinds: Vec<_> = ack.tasks.iter().map(|task| task.kind).collect();
        check!(kinds.contains(&9), "{ack:?}");
        if comes {
            taken(&a.upload_file(file, "a.txt", b"hello").await?)?;
        }
        let again = match comes {
            true => "ready",
            false => "missing",
        };
        let kept = poll::until(again, SOON, async || {
            // WeHub's uploads get lost at times: it is asked once more.
            a.pull_task().await?;
            let kept = request(&host, file).await?;
            Ok((kept["state"] == again).then_some(kept))
        })
        .await?;
        assert_eq!(kept["tries"], if comes { 1 } else { 2 }, "{kept}");
    }
    let events = host.api()?.events("wxid_a").await?;
    let keys = events.iter().filter_map(|event| event["key"].as_str());
    let told = keys.filter(|key| key.starts_with("file-")).count();
    assert_eq!(told, 2, "{events:?}");
    host.end().await
}

#[tokio::test]
async fn two_accounts_that_wait_for_one_name_get_nothing() -> Result<()> {
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    let b = host.wehub("wxid_b")?.login().await?;
    ask(&host, &a, "same").await?;
    ask(&host, &b, "same").await?;
    refused(&a.upload_file("same", "a", b"secret").await?, "file_index")?;
    assert_eq!(request(&host, "same").await?["state"], "asked");
    host.end().await
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_the_oldest_make_room() -> Result<()> {
    let settings = Settings::default()
        .set("files.file_bytes_max", 100_000)
        .set("files.disk_bytes_max", 250_000);
    let host = Host::with(settings).await?;
    let a = host.wehub("wxid_a")?.login().await?;
    ask(&host, &a, "big").await?;
    let answer = a
        .upload_raw(
            &upload::body(&[
                Part::Text("file_index", "big"),
                Part::File("a", "a/b", &vec![b'x'; 100_001]),
            ]),
            upload::CONTENT_TYPE,
        )
        .await?;
    let text = String::from_utf8_lossy(&answer.body);
    check!(answer.status == 413 || text.contains("100000"), "{text}");
    let mut digests = Vec::new();
    for number in 0..3_u8 {
        let file = format!("f-{number}");
        ask(&host, &a, &file).await?;
        taken(&a.upload_file(&file, "a", &vec![number; 100_000]).await?)?;
        let kept = request(&host, &file).await?;
        digests.push(
            kept["content"]["digest"]
                .as_str()
                .context("no digest")?
                .to_owned(),
        );
    }
    for (digest, status) in digests.iter().zip([404, 200, 200]) {
        let read = host.api()?.file(&format!("/files/{digest}")).await?;
        assert_eq!(read.status, status);
    }
    host.end().await
}

#[tokio::test]
async fn a_large_file_goes_to_disk_and_not_into_memory() -> Result<()> {
    const BYTES: usize = 96 * 1024 * 1024;
    let host = Host::start().await?;
    let a = host.wehub("wxid_a")?.login().await?;
    ask(&host, &a, "film").await?;
    let before = host.memory_bytes()?;
    taken(&a.upload_file("film", "film.mp4", &vec![7; BYTES]).await?)?;
    let grown = host.memory_bytes()?.saturating_sub(before);
    check!(grown < BYTES as u64 / 4, "the host grew by {grown} bytes");
    assert_eq!(
        request(&host, "film").await?["content"]["size_bytes"],
        BYTES
    );
    host.end().await
}
