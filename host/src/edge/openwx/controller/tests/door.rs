//! Who is let in.

use axum::{body::Body, http::Request};

use super::{ADMIN, Rig, rig, rig_with};
use crate::domain::client::Auth;

/// Without the token, but for what these headers hold.
async fn status(rig: &Rig, line: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/openwx/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    rig.send(request).await.status.as_u16()
}

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

#[tokio::test]
async fn nothing_is_done_without_a_token() {
    let rig = rig().await;
    rig.clients.add("a1", |_| {});
    for line in [
        "GET check_client",
        "HEAD check_client",
        "GET start_client?client=a2",
        "POST start_client?client=a2",
        "HEAD start_client?client=a2",
        "GET stop_client?client=a1",
        "GET get_qrcode",
        "GET get_user_info?client=a1",
        "OPTIONS get_user_info?client=a1",
        "GET anything/else",
        "GET ",
    ] {
        for headers in [
            &[][..],
            &[("Authorization", "Bearer wrong")],
            &[("Authorization", ADMIN)],
            &[("Authorization", "Basic eDp5")],
        ] {
            assert_eq!(status(&rig, line, headers, "").await, 403, "{line}");
        }
        let separator = if line.contains('?') { '&' } else { '?' };
        let wrong = format!("{line}{separator}token=wrong");
        assert_eq!(status(&rig, &wrong, &[], "").await, 403, "{wrong}");
    }
    assert_eq!(rig.clients.count(), 1);
    let wrong_form = status(&rig, "POST start_client", &[FORM], "client=a&token=x").await;
    assert_eq!(wrong_form, 403);
}

#[tokio::test]
async fn a_refusal_says_where_the_token_goes() {
    let rig = rig().await;
    let request = Request::get("/openwx/check_client").body(Body::empty());
    let got = rig.send(request.unwrap()).await;
    assert_eq!((got.status.as_u16(), got.code()), (403, -1));
    assert!(got.reason().contains("Authorization"), "{}", got.reason());
}

#[tokio::test]
async fn both_tokens_are_taken_wherever_they_stand() {
    let rig = rig().await;
    for token in [ADMIN, rig.token.as_str()] {
        let bearer = format!("bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        assert_eq!(status(&rig, "GET check_client", &headers, "").await, 200);
        let query = format!("GET check_client?token={token}");
        assert_eq!(status(&rig, &query, &[], "").await, 200);
        let form = format!("client=x&token={token}");
        let started = status(&rig, "POST start_client", &[FORM], &form).await;
        assert_eq!(started, 200);
    }
}

#[tokio::test]
async fn of_strangers_little_is_read() {
    let rig = rig().await;
    let early = |length: usize| format!("client=a1&token={}&x={}", rig.token, "y".repeat(length));
    let started = status(&rig, "POST start_client", &[FORM], &early(100)).await;
    assert_eq!(started, 200);
    // Once it is known who asks, the rest is read.
    let long = status(&rig, "POST check_client", &[FORM], &early(200_000)).await;
    assert_ne!(long, 403);
    let late = format!("x={}&token={}", "y".repeat(70_000), rig.token);
    assert_eq!(status(&rig, "POST start_client", &[FORM], &late).await, 403);
}

#[tokio::test]
async fn with_auth_none_programs_here_are_let_in_and_web_pages_are_not() {
    let rig = rig_with(|it| it.auth = Auth::None).await;
    let line = "GET start_client?client=a1";
    for (headers, expected) in [
        (&[("Host", "evil.example")][..], 403),
        (
            &[("Host", "127.0.0.1"), ("Origin", "http://evil.example")],
            403,
        ),
        (
            &[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "cross-site")],
            403,
        ),
        (&[("Host", "127.0.0.1:2000")], 200),
        (&[], 200),
    ] {
        let started = status(&rig, line, headers, "").await;
        assert_eq!(started, expected, "{headers:?}");
        assert_eq!(rig.clients.count(), usize::from(expected == 200));
    }
}
