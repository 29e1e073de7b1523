//! Host rules: whom a version may call over HTTP. Pure.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

/// How many rules a version can have: a bot calls a handful of systems.
pub const HOST_RULES_MAX: usize = 64;
/// How long a rule may be: a name has at most 253 characters.
pub const HOST_RULE_BYTES_MAX: usize = 256;

/// The name that means this machine wherever it is asked.
const LOCALHOST: &str = "localhost";

/// One rule, such as `https://api.example.com`, `http://127.0.0.1:8080`,
/// `https://*.example.com` or `https://*`. Kept in its canonical form: lower case, names
/// as IDNA writes them, addresses as they are usually written.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostRule {
    scheme: Scheme,
    host: Pattern,
    /// None for the scheme's own. Kept as it was written: a name with a port is a
    /// particular service, which may be an internal one.
    port: Option<u16>,
}

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// By TLS.
    Https,
}

/// What a rule says of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Pattern {
    /// `*`: every host.
    Any,
    /// `*.example.com`: every name below it, and not itself.
    Below(String),
    /// This one.
    Exactly(Host),
}

/// A host as an address names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name that has to be looked up; without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Where a request goes: what rules are about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Who it is.
    pub host: Host,
    /// Which port, in any case.
    pub port: u16,
}

/// How far a rule reaches, once a name has been looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Addresses of the Internet at large.
    Public,
    /// This machine and private networks too.
    Internal,
    /// The one address that the rule names, whatever it is.
    Listed,
}

impl Scheme {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Http, Self::Https];
        all.into_iter()
            .find(|scheme| scheme.as_str().eq_ignore_ascii_case(name))
    }
}

impl Host {
    fn of(host: url::Host<&str>) -> Self {
        match host {
            url::Host::Domain(name) => Self::Name(name.strip_suffix('.').unwrap_or(name).into()),
            url::Host::Ipv4(address) => Self::Address(address.into()),
            url::Host::Ipv6(address) => Self::Address(address.into()),
        }
    }
}

impl Origin {
    /// Where this address leads. None when it is no http or https address of a host.
    pub fn of(url: &Url) -> Option<Self> {
        let scheme = Scheme::named(url.scheme())?;
        Some(Self {
            scheme,
            host: Host::of(url.host()?),
            port: url.port().unwrap_or(scheme.port()),
        })
    }
}

impl HostRule {
    /// Whether it is about this origin.
    pub fn matches(&self, origin: &Origin) -> bool {
        self.scheme == origin.scheme
            && self.port.unwrap_or(self.scheme.port()) == origin.port
            && self.host.matches(&origin.host)
    }

    /// How far it reaches. What anybody may have a name point to is public; internal
    /// are `localhost` and a name with a port, which somebody has written down as this
    /// very service.
    pub fn reach(&self) -> Reach {
        match &self.host {
            Pattern::Exactly(Host::Address(_)) => Reach::Listed,
            Pattern::Exactly(Host::Name(name)) if name == LOCALHOST => Reach::Internal,
            Pattern::Exactly(Host::Name(_)) if self.port.is_some() => Reach::Internal,
            Pattern::Exactly(Host::Name(_)) | Pattern::Below(_) | Pattern::Any => Reach::Public,
        }
    }
}

impl Pattern {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Below(_), Host::Address(_)) => false,
            (Self::Below(domain), Host::Name(name)) => name
                .strip_suffix(domain.as_str())
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
            (Self::Exactly(listed), host) => listed == host,
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err("a * stands alone or before a name: *.example.com".to_owned());
        }
        match (below, parse_host(name)?) {
            (true, Host::Name(name)) => Ok(Self::Below(name)),
            (true, Host::Address(_)) => Err("after *. there is a name, no address".to_owned()),
            (false, host) => Ok(Self::Exactly(host)),
        }
    }
}

fn parse_host(text: &str) -> Result<Host, String> {
    // The parser would decode them, and read another name than people do.
    if text.contains(['%', '@', '\\', '/', '?', '#']) {
        return Err("it ends with the host and its port, and begins with no user".to_owned());
    }
    let host = url::Host::parse(text).map_err(|error| error.to_string())?;
    let host = match &host {
        url::Host::Domain(name) => Host::of(url::Host::Domain(name)),
        url::Host::Ipv4(address) => Host::Address((*address).into()),
        url::Host::Ipv6(address) => Host::Address((*address).into()),
    };
    match &host {
        Host::Name(name) if name.split('.').any(str::is_empty) => {
            Err("a label is empty".to_owned())
        }
        _ => Ok(host),
    }
}

/// The host, and the port behind it if there is one.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match text.rsplit_once(':') {
        // The last of an address of version 6 without a port.
        Some((_, behind)) if behind.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    match port {
        None => Ok((host, None)),
        Some(port) => match Some(port).filter(digits).map(str::parse) {
            Some(Ok(number @ 1..)) => Ok((host, Some(number))),
            _ => Err(format!("the port is a number from 1 to 65535, no {port:?}")),
        },
    }
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no host rule such as https://api.example.com or http://127.0.0.1:8080: {problem}"
)]
pub struct BadHostRule {
    text: String,
    problem: String,
}

impl FromStr for HostRule {
    type Err = BadHostRule;

    fn from_str(text: &str) -> Result<Self, BadHostRule> {
        parse(text).map_err(|problem| BadHostRule {
            text: text.chars().take(HOST_RULE_BYTES_MAX).collect(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<HostRule, String> {
    let too_long = || Err(format!("it has more than {HOST_RULE_BYTES_MAX} bytes"));
    if text.len() > HOST_RULE_BYTES_MAX {
        return too_long();
    }
    let scheme = text
        .split_once("://")
        .and_then(|(scheme, rest)| Some((Scheme::named(scheme)?, rest)));
    let Some((scheme, rest)) = scheme else {
        return Err("it begins with http:// or https://".to_owned());
    };
    let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest))?;
    let rule = HostRule {
        scheme,
        host: Pattern::parse(host)?,
        port,
    };
    if rule.to_string().len() > HOST_RULE_BYTES_MAX {
        return too_long();
    }
    Ok(rule)
}

/// Reads the rules of a version: sorted, each once, and not too many.
pub fn deserialize_rules<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<HostRule>, D::Error> {
    let rules = Vec::<HostRule>::deserialize(from)?;
    if rules.len() > HOST_RULES_MAX {
        let problem = format!("takes {HOST_RULES_MAX} rules, these are {}", rules.len());
        return Err(serde::de::Error::custom(problem));
    }
    Ok(sorted(rules))
}

/// The same rules, sorted and each once, so that equal grants are equal.
pub fn sorted(mut rules: Vec<HostRule>) -> Vec<HostRule> {
    rules.sort();
    rules.dedup();
    rules
}

impl TryFrom<String> for HostRule {
    type Error = BadHostRule;

    fn try_from(text: String) -> Result<Self, BadHostRule> {
        text.parse()
    }
}

impl From<HostRule> for String {
    fn from(rule: HostRule) -> String {
        rule.to_string()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            Pattern::Any => f.write_str("*")?,
            Pattern::Below(domain) => write!(f, "*.{domain}")?,
            Pattern::Exactly(host) => write!(f, "{host}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// As the rule would be written that grants it: without the scheme's own port.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
