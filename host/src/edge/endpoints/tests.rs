//! What of a request reaches a guest.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::{body::Body, extract::Request};
use http::HeaderMap;

use super::{base_path, inward};
use crate::edge::auth::HostTokens;

fn path(text: &str) -> Option<(String, String)> {
    let path = inward::Path::of(text)?;
    Some((path.name.to_string(), path.below))
}

#[test]
fn a_path_is_split_and_never_resolved() {
    let hook = |below: &str| Some(("hook".to_owned(), below.to_owned()));
    for (text, expected) in [
        ("/x/hook", hook("/")),
        ("/x/hook/", hook("/")),
        ("/x/hook/a/b", hook("/a/b")),
        ("/x/hook//a", hook("//a")),
        ("/x/hook/../../api", hook("/../../api")),
        ("/x/hook/%2e%2e/%2f", hook("/%2e%2e/%2f")),
        ("/x/hook%2fa", None),
        ("/x/%68ook/", None),
        ("/x/../api/v1", None),
        ("/x//hook", None),
        ("/x/", None),
        ("/X/hook", None),
        ("/api/x/hook", None),
    ] {
        assert_eq!(path(text), expected, "{text}");
    }
}

fn passed(
    request: http::request::Builder,
    query: Option<&str>,
) -> crate::domain::endpoint::Request {
    let request: Request = request.body(Body::empty()).unwrap();
    let path = inward::Path::of(request.uri().path()).unwrap();
    inward::request(request, &path, query.map(str::to_owned), "/wx").unwrap()
}

#[test]
fn a_guest_sees_its_own_root_and_whom_the_client_asked() {
    let request = http::Request::get("/x/hook//other/a?b=c")
        .header("host", "bots.example:8443")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-prefix", "/forged")
        .header("wxhost-trial", "1");
    let request = passed(request, Some("b=c"));
    let uri = request.uri();
    assert_eq!(uri.path_and_query().unwrap(), "//other/a?b=c");
    assert_eq!(uri.authority().unwrap(), "bots.example:8443");
    assert_eq!(uri.scheme_str(), Some("https"));
    assert_eq!(
        request.headers().get("x-forwarded-prefix").unwrap(),
        "/wx/x/hook"
    );
    assert!(request.headers().get("wxhost-trial").is_none());
}

#[test]
fn what_is_the_connection_s_stays_here() {
    let request = http::Request::get("/x/hook/")
        .header("connection", "close, X-Hop, content-length")
        .header("x-hop", "1")
        .header("cookie", "session=another-endpoint-s")
        .header("upgrade", "websocket")
        .header("te", "trailers")
        .header("content-length", "0")
        .header("x-end", "2");
    let request = passed(request, None);
    let mut names: Vec<_> = request.headers().keys().map(|it| it.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-end", "x-forwarded-prefix"]);
}

#[test]
fn a_token_is_found_and_taken_out() {
    let (tokens, rest) = inward::split_tokens(Some("a=1&token=wxe_x&b&token=&tokens=2"));
    assert_eq!(tokens, ["wxe_x", ""]);
    assert_eq!(rest.as_deref(), Some("a=1&b&tokens=2"));
    assert_eq!(inward::split_tokens(Some("token=t")).1, None);
    assert_eq!(inward::split_tokens(None), (Vec::new(), None));

    let headers = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", value.parse().unwrap());
        headers
    };
    let mut right = headers("bearer  t1 ");
    assert!(inward::take_token(&mut right, |token| token == "t1"));
    assert!(right.is_empty());
    let mut other = headers("Basic dXNlcg==");
    assert!(!inward::take_token(&mut other, |_| true));
    let tokens = HostTokens::of("by-hand", "by+hand", "hand/made");
    inward::drop_tokens_of_this_host(&mut other, &tokens);
    assert_eq!(other.len(), 1, "the guest's own");
    for ours in [
        "wxh_abc",
        "wxo_",
        "wxm_x",
        "wxe_other",
        "by-hand",
        "by+hand",
        "hand/made",
    ] {
        let mut headers = headers(&format!("Bearer {ours}"));
        inward::drop_tokens_of_this_host(&mut headers, &tokens);
        assert!(headers.is_empty(), "{ours}");
    }
}

#[test]
fn a_public_endpoint_s_query_keeps_its_own_tokens_only() {
    let tokens = HostTokens::of("by-hand", "by+hand", "hand/made");
    for (query, left) in [
        ("a=1&token=mine&b", Some("a=1&token=mine&b")),
        ("a=1&token=wxm_x&b=%20", Some("a=1&b=%20")),
        ("token=by-hand", None),
        ("a&token=by%2Bhand", Some("a")),
        ("%74oken=hand%2fmade&token=", Some("token=")),
        ("other=wxh_x", Some("other=wxh_x")),
    ] {
        let found = inward::without_tokens_of_this_host(query, &tokens);
        assert_eq!(found.as_deref(), left, "{query}");
    }
}

#[test]
fn the_path_of_an_address_is_what_follows_its_host() {
    assert_eq!(base_path("http://127.0.0.1:2000"), "");
    assert_eq!(base_path("https://bots.example/wx"), "/wx");
}

proptest::proptest! {
    #[test]
    fn whatever_follows_the_name_is_passed_on_as_it_came(below in "(/[a-zA-Z0-9._~%/-]{0,40})?") {
        let text = format!("/x/hook{below}");
        let passed = if below.is_empty() { "/" } else { below.as_str() };
        proptest::prop_assert_eq!(path(&text), Some(("hook".to_owned(), passed.to_owned())));
    }

    #[test]
    fn what_is_left_of_a_query_is_in_its_order_and_holds_no_token(
        pairs in proptest::collection::vec("(token|tokens|a|)(=[a-z0-9%]{0,4})?", 0..6),
    ) {
        let query = pairs.join("&");
        let (tokens, rest) = inward::split_tokens(Some(&query));
        let left: Vec<_> = pairs.iter().filter(|it| !it.starts_with("token=")).collect();
        // An empty query is one pair that is empty.
        proptest::prop_assert_eq!(tokens.len(), pairs.len() - left.len());
        let rest = rest.unwrap_or_default();
        proptest::prop_assert!(rest.split('&').all(|pair| !pair.starts_with("token=")));
    }
}
