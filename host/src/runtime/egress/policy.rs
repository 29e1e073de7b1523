//! Who may be asked: the rules of a version against an address and what its name was
//! found to be. Pure.

use std::net::IpAddr;

use url::Url;

use super::{Refusal, address::Kind};
use crate::domain::handler::{HostRule, Origin, Reach};

/// How long an address may be. Servers take 8 KiB.
const URL_BYTES_MAX: usize = 8 * 1024;

/// An address that a rule is about, and how far that rule reaches.
#[derive(Debug)]
pub struct Target {
    /// The address; without a user and a fragment.
    pub url: Url,
    /// Where it leads.
    pub origin: Origin,
    reach: Reach,
}

impl Target {
    /// Reads an address and finds the rule that is about it.
    pub fn of(url: &str, rules: &[HostRule]) -> Result<Self, Refusal> {
        if url.len() > URL_BYTES_MAX {
            let problem = format!("url: has more than {URL_BYTES_MAX} bytes");
            return Err(Refusal::BadRequest(problem));
        }
        let url = Url::parse(url).map_err(|error| Refusal::BadRequest(format!("url: {error}")))?;
        let Some(origin) = Origin::of(&url) else {
            let problem = "url: begins with http:// or https://".to_owned();
            return Err(Refusal::BadRequest(problem));
        };
        if !url.username().is_empty() || url.password().is_some() {
            let problem = "url: has a user: send the header authorization instead".to_owned();
            return Err(Refusal::BadRequest(problem));
        }
        let about = rules.iter().filter(|rule| rule.matches(&origin));
        match about.map(HostRule::reach).max() {
            Some(reach) => Ok(Self { url, origin, reach }),
            None => Err(Refusal::Denied(format!(
                "no rule allows {origin}: deploy the bot with --allow-host {origin} \
                 (allowed_hosts in handler.toml)"
            ))),
        }
    }

    /// Of the addresses that the host was found to have, those that may be connected
    /// to.
    pub fn allowed(&self, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        let Some(first) = found.first().copied() else {
            let problem = format!("{} has no address", self.origin.host);
            return Err(Refusal::Unreachable(problem));
        };
        let within = |address: &IpAddr| Kind::of(*address).needs() <= self.reach;
        let allowed: Vec<_> = found.into_iter().filter(within).collect();
        match allowed.is_empty() {
            false => Ok(allowed),
            true => Err(self.out_of_reach(Kind::of(first))),
        }
    }

    fn out_of_reach(&self, kind: Kind) -> Refusal {
        let (origin, what) = (&self.origin, kind.describe());
        let grant = match kind.needs() {
            // With its port, though it may be the scheme's own.
            Reach::Internal => format!(
                "a rule with this very host and its port reaches them: --allow-host \
                 {}://{}:{}",
                origin.scheme.as_str(),
                origin.host,
                origin.port
            ),
            Reach::Public | Reach::Listed => {
                "only a rule with the very address reaches them".to_owned()
            }
        };
        Refusal::Denied(format!("{origin} has {what} only; {grant}"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// What becomes of a request to this URL under this rule, when its name has these
    /// addresses: those that may be connected to, or the code of the refusal.
    fn judged(rule: &str, url: &str, found: &str) -> Result<String, &'static str> {
        let rules = [rule.parse().unwrap()];
        let target = Target::of(url, &rules).map_err(|refusal| refusal.code())?;
        let found = found.split_whitespace().map(|it| it.parse().unwrap());
        let allowed = target.allowed(found.collect()).map_err(|it| it.code())?;
        let words: Vec<_> = allowed.iter().map(IpAddr::to_string).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn a_rule_reaches_what_it_names_and_nothing_else() {
        let denied = Err("denied");
        for (rule, url, found, outcome) in [
            ("https://a.com", "https://a.com/x", "1.1.1.1", Ok("1.1.1.1")),
            ("https://a.com", "https://b.com", "1.1.1.1", denied),
            ("https://a.com", "http://a.com", "1.1.1.1", denied),
            ("https://a.com", "https://a.com:8443", "1.1.1.1", denied),
            // What its name points to may change at any time.
            ("https://a.com", "https://a.com", "127.0.0.1", denied),
            (
                "https://a.com",
                "https://a.com",
                "10.0.0.1 1.1.1.1",
                Ok("1.1.1.1"),
            ),
            (
                "https://a.com:443",
                "https://a.com",
                "10.0.0.1",
                Ok("10.0.0.1"),
            ),
            (
                "https://a.com:443",
                "https://a.com",
                "169.254.169.254",
                denied,
            ),
            ("https://*.a.com:443", "https://b.a.com", "10.0.0.1", denied),
            ("https://*", "https://b.a.com", "::1", denied),
            (
                "https://*",
                "https://b.a.com",
                "2606:4700::1",
                Ok("2606:4700::1"),
            ),
            ("http://*", "http://10.0.0.1", "10.0.0.1", denied),
            (
                "http://*",
                "http://[::ffff:10.0.0.1]",
                "::ffff:10.0.0.1",
                denied,
            ),
            (
                "http://*",
                "http://169.254.169.254",
                "169.254.169.254",
                denied,
            ),
            ("http://*", "http://localhost", "127.0.0.1", denied),
            (
                "http://localhost",
                "http://localhost",
                "127.0.0.1",
                Ok("127.0.0.1"),
            ),
            (
                "http://127.0.0.1",
                "http://0x7f000001",
                "127.0.0.1",
                Ok("127.0.0.1"),
            ),
            ("http://127.0.0.1", "http://127.0.0.2", "127.0.0.2", denied),
            (
                "http://169.254.169.254",
                "http://169.254.169.254",
                "169.254.169.254",
                Ok("169.254.169.254"),
            ),
            ("http://a.com", "http://a.com", "", Err("unreachable")),
            ("http://a.com", "ftp://a.com", "1.1.1.1", Err("bad-request")),
            (
                "http://a.com",
                "http://me:pw@a.com",
                "1.1.1.1",
                Err("bad-request"),
            ),
            (
                "http://a.com",
                "http://me@a.com",
                "1.1.1.1",
                Err("bad-request"),
            ),
            ("http://a.com", "/a.com", "1.1.1.1", Err("bad-request")),
        ] {
            let judged = judged(rule, url, found);
            assert_eq!(
                judged.as_deref(),
                outcome.as_ref().copied(),
                "{rule} {url} {found}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_rule_that_is_missing() {
        let refusal = Target::of("https://a.com:8443/secret", &[]).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains("--allow-host https://a.com:8443 "), "{text}");
        let target = Target::of("http://a.com/", &["http://*".parse().unwrap()]).unwrap();
        let inside = target
            .allowed(vec!["10.0.0.1".parse().unwrap()])
            .unwrap_err();
        let text = inside.to_string();
        assert!(text.contains("--allow-host http://a.com:80"), "{text}");
        assert!(!text.contains("10.0.0.1"), "{text}");
    }
}
