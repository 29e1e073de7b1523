//! The control API's own manners.

use reqwest::Method;
use serde_json::json;
use wxhost_tests::{Host, Result, check};

#[tokio::test]
async fn without_the_token_nothing_is_told() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    let reads = [
        "/accounts",
        "/handlers",
        "/tasks/a-1",
        "/bindings",
        "/no/such/path",
    ];
    for token in [None, Some("wrong"), Some("")] {
        let api = api.with_token(token);
        for path in reads {
            let answer = api.request(Method::GET, path, None).await?;
            answer.problem(401, "unauthorized")?;
        }
        let answer = api.deploy("echo", b"x".to_vec()).await?;
        answer.problem(401, "unauthorized")?;
    }
    let cut = &host.token()?[..host.token()?.len() - 1];
    let answer = api
        .with_token(Some(cut))
        .request(Method::GET, "/accounts", None)
        .await?;
    answer.problem(401, "unauthorized")?;
    host.end().await
}

#[tokio::test]
async fn errors_are_problem_details() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    host.wehub("wxid_a")?.login().await?;
    for path in [
        "/no/such/path",
        "/handlers/nobody",
        "/accounts/nobody",
        "/accounts/nobody/tasks",
        "/accounts/nobody/events",
        "/accounts/nobody/failures",
        "/accounts/nobody/contacts",
        "/accounts/wxid_a/events/nothing",
        "/tasks/wxid_a-1",
        "/tasks/nonsense",
    ] {
        let answer = api.request(Method::GET, path, None).await?;
        answer.problem(404, "not-found")?;
    }
    for (method, path) in [
        (Method::POST, "/handlers"),
        (Method::DELETE, "/accounts/wxid_a"),
        (Method::PATCH, "/handlers/echo"),
        (Method::PUT, "/tasks/wxid_a-1"),
    ] {
        let answer = api.request(method, path, None).await?;
        answer.problem(405, "method-not-allowed")?;
    }
    let put = api.raw(Method::PUT, "/bindings/*", Some(b"{broken".to_vec()), &[]);
    put.await?.problem(400, "bad-request")?;
    for query in ["limit=x", "limit=-1"] {
        let path = format!("/accounts?{query}");
        let answer = api.request(Method::GET, &path, None).await?;
        answer.problem(400, "bad-request")?;
    }
    host.end().await
}

#[tokio::test]
async fn listings_come_in_pages() -> Result<()> {
    let host = Host::start().await?;
    let api = host.api()?;
    for account in ["wxid_a", "wxid_b", "wxid_c"] {
        host.wehub(account)?.login().await?;
    }
    let first = api.get("/accounts?limit=2").await?;
    let next = first["next"].as_str().unwrap_or_default();
    let rest = api.get(&format!("/accounts?limit=2&after={next}")).await?;
    let ids: Vec<_> = [&first, &rest]
        .into_iter()
        .flat_map(|page| page["items"].as_array().into_iter().flatten())
        .map(|account| account["id"].clone())
        .collect();
    assert_eq!(ids, [json!("wxid_a"), json!("wxid_b"), json!("wxid_c")]);
    assert_eq!(rest["next"], json!(null));
    check!(
        first["items"][0].get("failures").is_none(),
        "a list item is short: {first}"
    );
    let whole = api.get("/accounts/wxid_a").await?;
    assert_eq!(whole["failures"], json!([]));
    host.end().await
}

#[tokio::test]
async fn a_bots_store_can_be_read() -> Result<()> {
    let host = Host::start().await?;
    host.serve_guest("*", "probe").await?;
    let a = host.wehub("wxid_a")?.login().await?;
    a.text_from("wxid_bob", "keyvalue.set greeting hello")
        .await?
        .ok()?;
    let page = host.api()?.get("/accounts/wxid_a/kv/probe").await?;
    assert_eq!(
        page["items"],
        json!([{
            "key": "greeting",
            "text": "hello",
            "value_base64": "aGVsbG8=",
            "size_bytes": 5,
        }])
    );
    host.end().await
}
