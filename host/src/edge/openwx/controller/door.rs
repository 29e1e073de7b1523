//! Who may use the controller API: whoever has its token or the admin token, or,
//! if the settings say so, everybody on this machine but web pages of others.

use axum::http::{HeaderMap, HeaderValue, header, request::Parts};
use url::Url;

use super::answer::Answer;
use crate::{
    domain::client::Auth,
    edge::{
        auth::{self, AdminToken, ControllerToken},
        loopback::is_own_host,
    },
};

/// The parameter that holds a token.
pub(super) const TOKEN: &str = "token";
/// Tells from what kind of page a browser asks. All of today's send it.
const SITE: &str = "sec-fetch-site";

/// Lets requests in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    auth: Auth,
    admin: AdminToken,
    own: Option<ControllerToken>,
    /// The host's name for clients elsewhere.
    public_host: Option<String>,
}

impl From<AdminToken> for Door {
    /// For the admin token alone.
    fn from(admin: AdminToken) -> Self {
        Self {
            auth: Auth::Token,
            admin,
            own: None,
            public_host: None,
        }
    }
}

impl Door {
    /// For these tokens, or for everybody here.
    pub(crate) fn new(
        auth: Auth,
        admin: AdminToken,
        own: ControllerToken,
        public_url: Option<&str>,
    ) -> Self {
        let url = public_url.and_then(|url| Url::parse(url).ok());
        Self {
            auth,
            admin,
            own: Some(own),
            public_host: url.and_then(|url| url.host_str().map(str::to_owned)),
        }
    }

    /// Whether a token is asked for.
    pub(super) fn asks_for_token(&self) -> bool {
        self.auth == Auth::Token
    }

    /// Whether this is one of our tokens. Takes the same time whatever differs.
    pub(super) fn knows(&self, token: &str) -> bool {
        let own = self.own.as_ref().is_some_and(|own| own.verify(token));
        self.admin.verify(token) | own
    }

    /// Whether this value of `Authorization` holds one of our tokens.
    pub(super) fn knows_bearer(&self, value: &HeaderValue) -> bool {
        auth::bearer_of(value).is_some_and(|token| self.knows(token))
    }

    /// Whether this value of `Referer` holds one: browsers name the page that they
    /// come from with its query.
    pub(super) fn knows_page(&self, value: &HeaderValue) -> bool {
        let query = value.as_bytes().splitn(2, |&byte| byte == b'?').nth(1);
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default());
        pairs.any(|(_, value)| self.knows(&value))
    }

    /// Refuses what a web page of somebody else has a browser send: without a token,
    /// the browser's being on this machine is all that it takes.
    pub(super) fn check_origin(&self, parts: &Parts) -> Result<(), Answer> {
        let headers = &parts.headers;
        let host = header_text(headers, header::HOST.as_str());
        if host.is_some_and(|host| !is_own_host(host, self.public_host.as_deref())) {
            // A name that somebody else has pointed to this machine.
            return Err(Answer::forbidden(
                "the header Host names a host that is not this machine: use 127.0.0.1, [::1], \
                 localhost, or the name in server.public_url",
            ));
        }
        let site = header_text(headers, SITE);
        let origin = header_text(headers, header::ORIGIN.as_str());
        let foreign_site = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let foreign_origin = origin.is_some_and(|origin| !is_origin_of(origin, host));
        // Browsers tell hosts without TLS no site, and of a picture no origin.
        let referer = header_text(headers, header::REFERER.as_str());
        let foreign_referer = referer.is_some_and(|page| !is_origin_of(origin_of(page), host));
        match foreign_site || foreign_origin || foreign_referer {
            true => Err(Answer::forbidden(
                "web pages of other sites may not use the controller API: set openwx.auth = \
                 \"token\" and send the token",
            )),
            false => Ok(()),
        }
    }
}

/// The origin of a page's address.
fn origin_of(page: &str) -> &str {
    let host = page.find("://").map_or(0, |at| at + 3);
    let rest = page.get(host..).unwrap_or_default();
    let end = rest
        .find(['/', '?', '#'])
        .map_or(page.len(), |at| host + at);
    page.get(..end).unwrap_or_default()
}

/// Whether a page of this origin asks its own host.
fn is_origin_of(origin: &str, host: Option<&str>) -> bool {
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| host.is_some_and(|host| rest.eq_ignore_ascii_case(host)))
}

/// The header's text; of one that is no text, a text that is nobody's.
fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use axum::http::Request;

    use super::*;

    fn door(public_host: Option<&str>) -> Door {
        Door {
            auth: Auth::None,
            public_host: public_host.map(str::to_owned),
            ..AdminToken::of("wxh_admin").into()
        }
    }

    fn lets_in(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::get("/openwx/check_client");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        door(Some("bots.example")).check_origin(&parts).is_ok()
    }

    #[test]
    fn programs_on_this_machine_are_let_in() {
        for host in [
            "127.0.0.1:2000",
            "[::1]:2000",
            "localhost:2000",
            "LOCALHOST",
            "bots.example",
            "127.8.9.10:2000",
        ] {
            assert!(lets_in(&[("host", host)]), "{host}");
        }
        assert!(lets_in(&[]));
        let own_page = [
            ("host", "localhost:2000"),
            ("origin", "http://localhost:2000"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert!(lets_in(&own_page));
        assert!(lets_in(&[
            ("host", "localhost"),
            ("sec-fetch-site", "none")
        ]));
        for page in ["http://localhost:2000", "http://localhost:2000/a?b=://c"] {
            let headers = [("host", "localhost:2000"), ("referer", page)];
            assert!(lets_in(&headers), "{page}");
        }
    }

    #[test]
    fn web_pages_of_others_are_not() {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("referer", "http://evil.example/page"),
            ("referer", "http://localhost:3000/"),
            ("referer", "http://evil.example?http://localhost:2000"),
            ("referer", "localhost:2000"),
            ("referer", ""),
        ] {
            let headers = [("host", "localhost:2000"), (name, value)];
            assert!(!lets_in(&headers), "{name}: {value}");
        }
    }

    #[test]
    fn a_name_that_was_pointed_here_is_not_ours() {
        for host in [
            "evil.example:2000",
            "localhost.evil.example",
            "",
            "127.0.0.1.nip.io",
            "user@evil.example",
            "10.1.2.3",
            "0.0.0.0:2000",
            "0",
            "[::]:2000",
            "[::ffff:7f00:1]:2000",
        ] {
            assert!(!lets_in(&[("host", host)]), "{host}");
        }
    }
}
