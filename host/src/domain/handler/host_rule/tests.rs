#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::domain::handler::Manifest;

fn rule(text: &str) -> HostRule {
    text.parse().unwrap()
}

fn origin(url: &str) -> Origin {
    Origin::of(&Url::parse(url).unwrap()).unwrap()
}

#[test]
fn rules_are_kept_in_one_form() {
    for (text, kept) in [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.COM./", "https://api.example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://0x7f.1", "http://127.0.0.1"),
        ("http://[0:0::1]:80", "http://[::1]:80"),
        ("http://[::1]", "http://[::1]"),
        (
            "https://b\u{fc}cher.example:443",
            "https://xn--bcher-kva.example:443",
        ),
        ("https://*", "https://*"),
        ("https://*:8443", "https://*:8443"),
        ("https://*.Example.com", "https://*.example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
    ] {
        assert_eq!(rule(text).to_string(), kept);
    }
}

#[test]
fn what_is_no_rule_is_refused_with_the_reason() {
    for (text, reason) in [
        ("", "it begins with"),
        ("example.com", "it begins with"),
        ("ftp://example.com", "it begins with"),
        ("https://", "empty"),
        ("https://a/path", "it ends with the host"),
        ("https://a?b", "it ends with the host"),
        ("https://user@a", "it ends with the host"),
        ("https://a%2eb", "it ends with the host"),
        ("https://a:", "the port"),
        ("https://a:0", "the port"),
        ("https://a:+80", "the port"),
        ("https://a:65536", "the port"),
        ("https://a..b", "a label is empty"),
        ("https://a.*.b", "a * stands alone"),
        ("https://*a.b", "a * stands alone"),
        ("https://*.10.0.0.1", "there is a name"),
        ("https://a b", "invalid"),
    ] {
        let error = text.parse::<HostRule>().unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let long = format!("https://{}", "a.".repeat(130));
    assert!(
        long.parse::<HostRule>()
            .unwrap_err()
            .to_string()
            .contains("256 bytes")
    );
}

#[test]
fn a_rule_is_about_its_scheme_host_and_port() {
    for (text, url, matches) in [
        ("https://a.com", "https://a.com/x?y", true),
        ("https://a.com", "https://A.COM.:443", true),
        ("https://a.com", "http://a.com", false),
        ("https://a.com", "https://a.com:444", false),
        ("https://a.com", "https://b.a.com", false),
        ("https://a.com:8443", "https://a.com:8443", true),
        ("https://a.com:8443", "https://a.com", false),
        ("https://*.a.com", "https://b.a.com", true),
        ("https://*.a.com", "https://c.b.a.com", true),
        ("https://*.a.com", "https://a.com", false),
        ("https://*.a.com", "https://ba.com", false),
        ("https://*.a.com", "https://b.a.com.evil.com", false),
        ("https://*", "https://a.com", true),
        ("https://*", "https://1.2.3.4", true),
        ("https://*", "http://a.com", false),
        ("http://127.0.0.1:80", "http://2130706433/", true),
        ("http://127.0.0.1", "http://[::ffff:127.0.0.1]/", false),
        ("http://localhost", "http://127.0.0.1", false),
    ] {
        assert_eq!(rule(text).matches(&origin(url)), matches, "{text} {url}");
    }
}

#[test]
fn only_what_names_one_service_reaches_further_than_the_internet() {
    for (text, reach) in [
        ("https://*", Reach::Public),
        ("https://*:8443", Reach::Public),
        ("https://*.a.com:8443", Reach::Public),
        ("https://a.com", Reach::Public),
        ("https://a.com:443", Reach::Internal),
        ("http://localhost", Reach::Internal),
        ("http://10.0.0.1", Reach::Listed),
        ("http://[::1]:1", Reach::Listed),
    ] {
        assert_eq!(rule(text).reach(), reach, "{text}");
    }
}

#[test]
fn a_manifest_has_its_rules_sorted_and_not_too_many() {
    let text = r#"{"allowed_hosts": ["https://b.com", "https://a.com", "https://B.com"]}"#;
    let manifest: Manifest = serde_json::from_str(text).unwrap();
    assert_eq!(
        serde_json::to_value(&manifest).unwrap(),
        serde_json::json!({"allowed_hosts": ["https://a.com", "https://b.com"]})
    );
    let many: Vec<_> = (0..=HOST_RULES_MAX)
        .map(|n| format!("https://a{n}.com"))
        .collect();
    let many = serde_json::json!({ "allowed_hosts": many });
    let error = serde_json::from_value::<Manifest>(many).unwrap_err();
    assert!(error.to_string().contains("takes 64 rules"), "{error}");
}

proptest! {
    #[test]
    fn any_text_is_a_rule_that_reads_back_or_none(text in "\\PC{0,40}", scheme in "(https?://)?") {
        if let Ok(rule) = format!("{scheme}{text}").parse::<HostRule>() {
            let kept = rule.to_string();
            prop_assert!(kept.len() <= HOST_RULE_BYTES_MAX);
            prop_assert_eq!(kept.parse::<HostRule>().unwrap(), rule);
        }
    }

    #[test]
    fn what_names_an_origin_matches_it_alone(
        host in "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,8}){0,3}",
        other in "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{0,8}){0,3}",
        port in 1u16..,
    ) {
        let asked = origin(&format!("https://{host}:{port}/"));
        prop_assert!(rule(&asked.to_string()).matches(&asked));
        let elsewhere = rule(&format!("https://{other}:{port}"));
        prop_assert_eq!(elsewhere.matches(&asked), host == other);
    }
}
