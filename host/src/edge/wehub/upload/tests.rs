//! Uploads as clients send them, and as they must not be.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::http::{Request as HttpRequest, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::edge::tests::NoRuntime;
use crate::{
    blobs,
    domain::{
        AccountId, Action, Digest, TaskId, TaskNumber,
        file::FileState,
        ports::{Commit, NoClients, Store},
        task::Origin,
    },
    edge::wehub::wire,
    service::Policies,
    store,
};

const QT: &str = include_str!("../testdata/content-type.txt");
const IMAGE: &[u8] = include_bytes!("../testdata/upload-image.multipart");
const VOICE: &[u8] = include_bytes!("../testdata/upload-voice.multipart");
const TRAVERSAL: &[u8] = include_bytes!("../testdata/upload-path-traversal.multipart");
const CUT_OFF: &[u8] = include_bytes!("../testdata/upload-cut-off.multipart");
const NO_FILE: &[u8] = include_bytes!("../testdata/upload-no-file.multipart");
const QR_1: &[u8] = include_bytes!("../testdata/upload-qr-1.multipart");
const QR_2: &[u8] = include_bytes!("../testdata/upload-qr-2.multipart");

/// What the fixtures call their files.
const IMAGE_INDEX: &str = "3053020100044c304a0201";
const VOICE_INDEX: &str = "4166303733643135";
const PLAIN: &str = "multipart/form-data; boundary=XX";

struct Rig {
    router: Router,
    store: Arc<dyn Store>,
    service: Service,
    data: TempDir,
    asked: AtomicU64,
}

fn policy() -> FilePolicy {
    FilePolicy {
        file_bytes_max: 2 * 1024 * 1024,
        disk_bytes_max: 8 * 1024 * 1024,
        uploads_max: 2,
        ..FilePolicy::default()
    }
}

async fn rig() -> Rig {
    rig_with(Config::default(), policy()).await
}

async fn rig_with(config: Config, policy: FilePolicy) -> Rig {
    let data = tempfile::tempdir().unwrap();
    let store = store::in_memory(Arc::new(|| 1_000));
    let blobs = blobs::open(&policy, data.path()).unwrap();
    let policies = Policies {
        files: policy.clone(),
        ..Policies::default()
    };
    let shared = Arc::clone(&store);
    let service = Service::start(
        shared,
        Arc::new(NoRuntime),
        blobs,
        Arc::new(NoClients),
        Arc::new(crate::domain::ports::NoVault),
        wire_check,
        policies,
    )
    .await
    .unwrap();
    Rig {
        router: Uploads::new(config, policy, service.clone()).router(),
        store,
        service,
        data,
        asked: AtomicU64::new(1),
    }
}

fn wire_check(
    _: crate::domain::ClientKind,
    action: &Action,
) -> Result<(), crate::domain::action::Refused> {
    wire::check(action)
}

fn account(id: &str) -> AccountId {
    id.try_into().unwrap()
}

impl Rig {
    /// An account's client is asked for a file.
    async fn ask(&self, id: &str, file: &str) {
        let number = TaskNumber(self.asked.fetch_add(1, Ordering::Relaxed));
        let account = account(id);
        let task = TaskId {
            account: account.clone(),
            number,
        };
        let request = FileRequest::asked(file.to_owned(), task, Origin::Api, 1);
        let commit = Commit {
            account: Some(known(&account)),
            files: vec![request],
            ..Commit::default()
        };
        let epoch = self.store.own(&account, false).await.unwrap();
        self.store
            .commit(&account, epoch, commit.into())
            .await
            .unwrap();
    }

    async fn request(&self, id: &str, file: &str) -> FileRequest {
        self.service.file_request(&account(id), file).await.unwrap()
    }

    async fn send(&self, content_type: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let (status, text) = self.send_to("/upload", content_type, body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn send_to(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, String) {
        let request = HttpRequest::post(path)
            .header("Content-Type", content_type.trim())
            .body(body.into())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Sends what is refused, and gives the code and the reason.
    async fn refused(&self, content_type: &str, body: impl Into<Body>) -> (i64, String) {
        let (status, answer) = self.send(content_type, body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["ack_type"], "upload_file_ack");
        let reason = answer["error_reason"].as_str().unwrap().to_owned();
        (answer["error_code"].as_i64().unwrap(), reason)
    }

    async fn accepts(&self, content_type: &str, body: impl Into<Body>) {
        let (status, answer) = self.send(content_type, body).await;
        assert_eq!(
            (status, &answer["error_code"]),
            (StatusCode::OK, &json!(0)),
            "{answer}"
        );
    }

    async fn content(&self, digest: Digest) -> Vec<u8> {
        let mut blob = self.service.blob(digest).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(piece) = blob.reader.read().await.unwrap() {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    /// Everything on disk below the directory of files.
    fn on_disk(&self) -> usize {
        fn count(dir: &Path) -> usize {
            let entries = fs::read_dir(dir).unwrap().flatten();
            entries
                .map(|entry| match entry.path().is_dir() {
                    true => count(&entry.path()),
                    false => 1,
                })
                .sum()
        }
        count(&self.data.path().join("files"))
    }

    /// Waits for what is removed behind.
    async fn nothing_is_kept(&self) {
        for _ in 0..500 {
            if self.on_disk() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.on_disk(), 0);
    }
}

fn known(id: &AccountId) -> crate::domain::Account {
    crate::domain::Account {
        id: id.clone(),
        client: crate::domain::ClientKind::Wehub,
        appid: None,
        nickname: String::new(),
        alias: String::new(),
        avatar_url: String::new(),
        first_login_ms: 1,
        session: None,
        last_logout: None,
    }
}

/// A form of texts, and files where the name has an `@`, in this order.
fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in parts {
        let file = match name.strip_prefix('@') {
            Some(name) => format!("name=\"{name}\"; filename=\"a.bin\""),
            None => format!("name=\"{name}\""),
        };
        let head = format!("--XX\r\nContent-Disposition: form-data; {file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XX--\r\n");
    body
}

fn png() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = ::image::GrayImage::new(50, 50);
    image
        .write_to(&mut bytes, ::image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

#[tokio::test]
async fn a_file_that_was_asked_for_is_kept_and_its_request_ends() {
    let rig = rig().await;
    for (body, index, mime, name) in [
        (IMAGE, IMAGE_INDEX, "image/jpeg", "6a0b2e8d81857cd9.jpg"),
        (VOICE, VOICE_INDEX, "audio/mpeg", "274cfbce.mp3"),
    ] {
        rig.ask("wxid_a", index).await;
        let (status, answer) = rig.send_to("/upload", QT, body).await;
        assert_eq!(status, 200);
        let expected = format!(
            r#"{{"error_code":0,"error_reason":"","ack_type":"upload_file_ack","file_index":"{index}"}}"#
        );
        assert_eq!(answer, expected);
        let request = rig.request("wxid_a", index).await;
        assert_eq!(request.state, FileState::Ready);
        let content = request.content.unwrap();
        assert_eq!(content.mime, mime);
        assert_eq!(content.name.as_deref(), Some(name));
        let bytes = rig.content(content.digest).await;
        assert_eq!(bytes.len() as u64, content.size_bytes);
        let there = body.windows(bytes.len()).any(|part| part == bytes);
        assert!(there, "not a part of the body");
    }
}

#[tokio::test]
async fn a_name_that_is_a_path_stays_text() {
    let rig = rig().await;
    rig.ask("wxid_a", "cc03").await;
    rig.accepts(QT, TRAVERSAL).await;
    let content = rig.request("wxid_a", "cc03").await.content.unwrap();
    assert_eq!(content.name.as_deref(), Some("../../etc/evil.png"));
    assert_eq!(content.mime, "text/plain; charset=utf-8");
    assert_eq!(rig.on_disk(), 1);
    let top = fs::read_dir(rig.data.path()).unwrap().count();
    assert_eq!(top, 1, "beside the directory of files");
}

#[tokio::test]
async fn what_is_not_whole_is_refused_and_nothing_of_it_is_kept() {
    let rig = rig().await;
    rig.ask("wxid_a", "cc03").await;
    for (content_type, body, expected) in [
        (QT, CUT_OFF, "body: is cut off"),
        (QT, NO_FILE, "file: is missing"),
        (QT, b"".as_slice(), "body: holds no part"),
        (PLAIN, TRAVERSAL, "body: holds no part"),
        (
            "multipart/form-data",
            TRAVERSAL,
            "Content-Type: has no boundary",
        ),
        ("text/plain", TRAVERSAL, "Content-Type: an upload is"),
        (PLAIN, b"--XX\r\n\r\n", "body: holds no part"),
        (
            PLAIN,
            b"--XX\r\n: \r\n\r\n\r\n--XX--",
            "body: a part's headers",
        ),
    ] {
        let (code, reason) = rig.refused(content_type, body).await;
        assert_eq!(code, 1, "{reason}");
        assert!(reason.starts_with(expected), "{reason}");
    }
    rig.nothing_is_kept().await;
    assert_eq!(rig.request("wxid_a", "cc03").await.state, FileState::Asked);
}

#[tokio::test]
async fn forms_that_make_no_sense_name_the_field() {
    let rig = rig().await;
    rig.ask("wxid_a", "f").await;
    let (long, much) = (vec![b'x'; 300], vec![b'x'; 5000]);
    for (parts, expected) in [
        (&[("@file", &b"x"[..])][..], "file_index: is missing"),
        (
            &[("file_index", b""), ("@file", b"x")],
            "file_index: is missing",
        ),
        (
            &[("file_index", b"f"), ("@file", b"x"), ("@file", b"y")],
            "file: is there twice",
        ),
        (
            &[("file_index", b"f"), ("file_index", b"f")],
            "file_index: is there twice",
        ),
        (
            &[
                ("file_index", b"f"),
                ("qr_session_id", b"q"),
                ("@file", b"x"),
            ],
            "file_index: stands beside",
        ),
        (
            &[("file_index", b"\xff"), ("@file", b"x")],
            "file_index: is no UTF-8",
        ),
        (
            &[("file_index", &much), ("@file", b"x")],
            "file_index: a text",
        ),
        (&[("qr_session_id", &long)], "qr_session_id: a text"),
        (&[("machine_id", &long)], "machine_id: a text"),
        (&[("other", &much)], "body: a text"),
        (&[("other", &b"x"[..]); 17], "body: has more than 16 parts"),
        (
            &[("qr_session_id", b"a b"), ("@file", b"x")],
            "qr_session_id: a QR session id",
        ),
    ] {
        let (code, reason) = rig.refused(PLAIN, form(parts)).await;
        assert_eq!(code, 1, "{reason}");
        assert!(reason.starts_with(expected), "{reason}, not {expected}");
    }
    rig.nothing_is_kept().await;
}

#[tokio::test]
async fn what_nobody_asked_for_is_refused_before_it_is_read() {
    let rig = rig().await;
    let (code, reason) = rig.refused(QT, IMAGE).await;
    assert_eq!(code, 7);
    assert!(reason.starts_with("file_index: nobody"), "{reason}");
    // Not even cut off: its end is not looked at.
    let (code, _) = rig.refused(QT, CUT_OFF).await;
    assert_eq!(code, 7);
    rig.ask("wxid_a", IMAGE_INDEX).await;
    rig.ask("wxid_b", IMAGE_INDEX).await;
    let (code, reason) = rig.refused(QT, IMAGE).await;
    assert_eq!(code, 7);
    assert!(reason.contains("several accounts"), "{reason}");
    rig.nothing_is_kept().await;
}

#[tokio::test]
async fn an_upload_that_comes_twice_is_kept_once() {
    let rig = rig().await;
    rig.ask("wxid_a", IMAGE_INDEX).await;
    rig.accepts(QT, IMAGE).await;
    assert_eq!(rig.refused(QT, IMAGE).await.0, 7);
    assert_eq!(rig.on_disk(), 1);
}

#[tokio::test]
async fn parts_may_come_in_any_order_and_files_be_large() {
    let rig = rig().await;
    for size in [
        10,
        content::CODE_MAX_BYTES,
        content::CODE_MAX_BYTES + 1,
        1_500_000,
    ] {
        let file: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        for first in [true, false] {
            let index = format!("{size}-{first}");
            rig.ask("wxid_a", &index).await;
            let mut parts = [("file_index", index.as_bytes()), ("@file", &file[..])];
            if first {
                parts.reverse();
            }
            rig.accepts(PLAIN, form(&parts)).await;
            let content = rig.request("wxid_a", &index).await.content.unwrap();
            assert_eq!(content.digest, Digest::of(&file));
        }
    }
}

#[tokio::test]
async fn what_other_clients_send_is_read_too() {
    let rig = rig().await;
    let curl = "--------------------------d74496d66958873e\r\nContent-Disposition: form-data; \
                name=\"file_index\"\r\n\r\nf\r\n--------------------------d74496d66958873e\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".txt\"\r\n\
                Content-Type: text/plain\r\n\r\nhello\r\n--------------------------d74496d66958873e--\r\n";
    let browser = "------WebKitFormBoundary7MA4YWxk\r\nContent-Disposition: form-data; \
                   name=\"file_index\"\r\n\r\nf\r\n------WebKitFormBoundary7MA4YWxk\r\n\
                   Content-Disposition: form-data; name=\"file\"; filename=\"你好.txt\"\r\n\
                   Content-Type: application/octet-stream\r\n\r\nhello\r\n\
                   ------WebKitFormBoundary7MA4YWxk--";
    for (boundary, body, name) in [
        (
            "------------------------d74496d66958873e",
            curl,
            "a \"b\".txt",
        ),
        ("----WebKitFormBoundary7MA4YWxk", browser, "你好.txt"),
    ] {
        rig.ask("wxid_a", "f").await;
        let content_type = format!("multipart/form-data; boundary={boundary}");
        rig.accepts(&content_type, body).await;
        let content = rig.request("wxid_a", "f").await.content.unwrap();
        assert_eq!(content.name.as_deref(), Some(name));
        assert_eq!(content.digest, Digest::of(b"hello"));
    }
}

#[tokio::test]
async fn codes_are_images_or_refused() {
    let config = Config {
        accept_foreign_qr_sessions: true,
        ..Config::default()
    };
    let rig = rig_with(config, policy()).await;
    let png = png();
    let qr = |file: &[u8]| form(&[("@file", file), ("qrcode_session_id", b"q")]);
    for (content_type, body) in [(QT, QR_1.to_vec()), (QT, QR_2.to_vec()), (PLAIN, qr(&png))] {
        let (status, answer) = rig.send(content_type, body).await;
        assert_eq!(
            (status, &answer["file_index"]),
            (StatusCode::OK, &json!(""))
        );
        assert_ne!(answer["error_code"], 1, "{answer}");
    }
    for file in [
        &b"no image"[..],
        b"",
        b"GIF89a\x01\0\x01\0",
        &png[..png.len() - 20],
    ] {
        let (code, reason) = rig.refused(PLAIN, qr(file)).await;
        assert_eq!(
            (code, reason.as_str()),
            (1, "file: is no PNG or JPEG image")
        );
    }
    let large = vec![b'x'; content::CODE_MAX_BYTES + 1];
    for parts in [
        [("qr_session_id", &b"q"[..]), ("@file", &large)],
        [("@file", &large), ("qr_session_id", b"q")],
    ] {
        let (code, reason) = rig.refused(PLAIN, form(&parts)).await;
        assert_eq!(code, 1);
        assert!(
            reason.starts_with("file: the image of a QR code"),
            "{reason}"
        );
    }
    rig.nothing_is_kept().await;
}

#[tokio::test]
async fn too_large_a_file_is_refused_as_http() {
    let rig = rig().await;
    let max = policy().file_bytes_max as usize;
    rig.ask("wxid_a", "f").await;
    let file = vec![b'x'; max + 1];
    for parts in [
        [("file_index", &b"f"[..]), ("@file", &file)],
        [("@file", &file), ("file_index", b"f")],
    ] {
        // Announced, and found out on the way.
        let body = form(&parts);
        let (status, _) = rig.send(PLAIN, body.clone()).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        let pieces: Vec<_> = body.chunks(10_000).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
        let (status, _) = rig
            .send(PLAIN, Body::from_stream(stream::iter(pieces)))
            .await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let huge = vec![b'x'; max + 100_000];
    let (status, _) = rig.send(PLAIN, form(&[("@file", &huge)])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    rig.nothing_is_kept().await;
}

/// A body of these bytes, of which nothing more ever comes.
fn stalling(bytes: Vec<u8>) -> Body {
    let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from(bytes))]);
    Body::from_stream(stream::StreamExt::chain(begun, stream::pending()))
}

#[tokio::test(start_paused = true)]
async fn uploads_that_stall_end_and_others_are_told_to_wait() {
    let policy = FilePolicy {
        uploads_max: 1,
        ..policy()
    };
    let rig = rig_with(Config::default(), policy).await;
    rig.ask("wxid_a", IMAGE_INDEX).await;
    rig.ask("wxid_a", VOICE_INDEX).await;
    let stalls = rig.send(QT, stalling(IMAGE[..300].to_vec()));
    let other = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.refused(QT, VOICE).await
    };
    let ((status, _), (code, reason)) = tokio::join!(stalls, other);
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(code, 4);
    assert!(reason.contains("too many uploads"), "{reason}");
    rig.accepts(QT, IMAGE).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_takes_no_place_of_others() {
    let policy = FilePolicy {
        uploads_max: 2,
        ..policy()
    };
    let rig = rig_with(Config::default(), policy).await;
    rig.ask("wxid_a", IMAGE_INDEX).await;
    let begun = b"--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    let idle = |n| match n {
        // Some even begin with a file of which nobody knows.
        0..4 => rig.send(PLAIN, stalling(begun.to_vec())),
        _ => rig.send(PLAIN, stalling(Vec::new())),
    };
    let all = futures_util::future::join_all((0..100).map(idle));
    let awaited = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.accepts(QT, IMAGE).await;
    };
    let (all, ()) = tokio::join!(all, awaited);
    let told = |expected| all.iter().filter(|(status, _)| *status == expected).count();
    assert_eq!(told(StatusCode::REQUEST_TIMEOUT), 97);
    assert_eq!(told(StatusCode::OK), 3);
}

#[tokio::test(start_paused = true)]
async fn a_file_comes_in_once_at_a_time() {
    let rig = rig().await;
    rig.ask("wxid_a", IMAGE_INDEX).await;
    let stalls = rig.send(QT, stalling(IMAGE[..300].to_vec()));
    let other = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        rig.refused(QT, IMAGE).await
    };
    let (_, (code, reason)) = tokio::join!(stalls, other);
    assert_eq!(code, 4);
    assert!(reason.contains("being uploaded already"), "{reason}");
    rig.accepts(QT, IMAGE).await;
}

/// A body of these bytes, and then one byte every four seconds without end.
fn dripping(bytes: &[u8]) -> Body {
    let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(bytes))]);
    let drops = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        Some((Ok(Bytes::from_static(b"x")), ()))
    });
    Body::from_stream(stream::StreamExt::chain(begun, drops))
}

#[tokio::test(start_paused = true)]
async fn who_is_awaited_may_be_slow_and_strangers_may_not() {
    let rig = rig().await;
    rig.ask("wxid_a", IMAGE_INDEX).await;
    let file = b"--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    for (content_type, body, seconds) in [(QT, &IMAGE[..300], 600), (PLAIN, &file[..], 10)] {
        let began = tokio::time::Instant::now();
        let (status, _) = rig.send(content_type, dripping(body)).await;
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(began.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn what_never_becomes_a_part_takes_no_memory_without_end() {
    let rig = rig().await;
    let endless = |start: &[u8]| {
        let mut body = start.to_vec();
        body.resize(1_500_000, b'x');
        body
    };
    for start in [&b""[..], b"--XX\r\nContent-Disposition: ", b"--XX  "] {
        let (code, reason) = rig.refused(PLAIN, endless(start)).await;
        assert_eq!(code, 1);
        assert!(reason.starts_with("body: "), "{reason}");
    }
}

#[tokio::test]
async fn the_path_secret_guards_uploads_too() {
    let config = Config {
        path_secret: Some("1234567890abcdef".into()),
        ..Config::default()
    };
    let rig = rig_with(config, policy()).await;
    rig.ask("wxid_a", IMAGE_INDEX).await;
    for path in ["/upload", "/1234567890abcdeX/upload"] {
        assert_eq!(rig.send_to(path, QT, IMAGE).await.0, 404, "{path}");
    }
    let (status, text) = rig.send_to("/1234567890abcdef/upload", QT, IMAGE).await;
    assert_eq!(status, 200);
    assert!(text.starts_with(r#"{"error_code":0,"#), "{text}");
    for (path, status) in [
        ("/1234567890abcdef/upload", 200),
        ("/1234567890abcdeX/upload", 404),
    ] {
        let request = HttpRequest::get(path).body(Body::empty()).unwrap();
        let response = rig.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
}

/// Where a body ends that is whole: at its closing boundary.
fn whole(body: &[u8]) -> usize {
    body.len() - b"\r\n".len()
}

/// What a body became, in pieces of these sizes.
fn pieces(body: &[u8], sizes: &[usize]) -> Body {
    let (mut rest, mut all) = (body, Vec::new());
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes
            .next()
            .map_or(rest.len(), |size| (*size).min(rest.len()));
        let (piece, after) = rest.split_at(size);
        all.push(Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
        rest = after;
    }
    Body::from_stream(stream::iter(all))
}

fn runner() -> (TestRunner, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    (TestRunner::default(), runtime)
}

#[test]
fn a_body_that_is_cut_off_anywhere_stores_nothing() {
    let (mut runner, runtime) = runner();
    let rig = runtime.block_on(rig());
    let sizes = prop::collection::vec(1..200_usize, 1..5);
    let cases = (0..=IMAGE.len(), sizes);
    let tried = runner.run(&cases, |(cut, sizes)| {
        runtime.block_on(async {
            rig.ask("wxid_a", IMAGE_INDEX).await;
            let (status, _) = rig.send(QT, pieces(&IMAGE[..cut], &sizes)).await;
            prop_assert_eq!(status, 200);
            let state = rig.request("wxid_a", IMAGE_INDEX).await.state;
            let expected = match cut >= whole(IMAGE) {
                true => FileState::Ready,
                false => FileState::Asked,
            };
            prop_assert_eq!(state, expected);
            Ok(())
        })
    });
    tried.unwrap();
    assert!(rig.on_disk() <= 1);
}

#[test]
fn a_body_that_is_changed_anywhere_is_answered() {
    let (mut runner, runtime) = runner();
    let rig = runtime.block_on(rig());
    let change = (0..IMAGE.len(), any::<u8>(), 0..3_u8);
    let changes = prop::collection::vec(change, 1..6);
    let tried = runner.run(&changes, |changes| {
        let mut body = IMAGE.to_vec();
        for (at, byte, how) in changes {
            let at = at.min(body.len() - 1);
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => drop(body.remove(at)),
            }
        }
        runtime.block_on(async {
            rig.ask("wxid_a", IMAGE_INDEX).await;
            let (status, answer) = rig.send(QT, body).await;
            prop_assert_eq!(status, 200);
            prop_assert_eq!(&answer["ack_type"], "upload_file_ack");
            let ready = rig.request("wxid_a", IMAGE_INDEX).await.state == FileState::Ready;
            prop_assert_eq!(ready, answer["error_code"] == 0);
            Ok(())
        })
    });
    tried.unwrap();
}
