//! What a client's process is told by its environment (protocol section 2). Pure.
//!
//! Nothing is inherited but what is named here: what is meant for the host, or for
//! another client, reaches no client by mistake.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use super::files::Paths;
use crate::domain::{
    ClientName,
    client::{ApiUrl, ClientPolicy, Parameters, StartId, merged_url, report_url},
};

/// What programs need to run as they do elsewhere on this machine.
const INHERITED: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "PERL5LIB",
    "PERL_LOCAL_LIB_ROOT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];
/// What names of the language settings begin with.
const LOCALE: &str = "LC_";
/// What the names of everything begin with that is said to a client.
const PREFIX: &str = "MOJO_WEIXIN_";
/// The same for what is said to the part of it that serves its API.
const PLUGIN: &str = "MOJO_WEIXIN_PLUGIN_OPENWX_";
/// The parameters that are for that part.
const OF_PLUGIN: [&str; 5] = [
    "post_api",
    "poll_api",
    "poll_interval",
    "post_event",
    "post_media_data",
];
/// Whose clients a process belongs to: the directory in which they live. No name of a
/// setting, which begin with `WXHOST_`: a client may run `wxhost`.
pub const CLIENTS_OF: &str = "WX_CLIENTS_OF";
/// Which client a process belongs to.
pub const CLIENT: &str = "WX_CLIENT";
/// Which start of it: none but this process and what it starts knows it, so nobody
/// says by mistake that they belong to another.
pub const START: &str = "WX_CLIENT_START";
/// Which variables name hosts that are spoken to without a proxy.
const UNPROXIED: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// The hosts that a client speaks to on this machine. What this host listens on comes
/// to them.
const OWN_HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// What a process is told.
pub type Environment = BTreeMap<OsString, OsString>;

/// Who is told what.
pub struct Told<'a> {
    /// The settings.
    pub policy: &'a ClientPolicy,
    /// Where clients live.
    pub tmpdir: &'a Path,
    /// This host's own address.
    pub base_url: &'a str,
    /// Which client.
    pub name: &'a ClientName,
    /// What it was started with.
    pub parameters: &'a Parameters,
    /// Where its files lie.
    pub paths: &'a Paths,
    /// The port of its API.
    pub port: u16,
    /// What it reports to the host with.
    pub key: &'a str,
    /// Which start of it this is.
    pub start: &'a StartId,
}

impl Told<'_> {
    /// All of it, on top of what is taken over from the host's own environment.
    pub fn environment(&self, host: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
        let mut all: Environment = host
            .into_iter()
            .filter(|(name, _)| inherited(name, &self.policy.environment))
            .collect();
        spare_own_hosts(&mut all, self.base_url);
        let texts = self.defaults().into_iter().chain(self.given());
        all.extend(texts.map(|(name, text)| (name.into(), text.into())));
        all.extend(self.files());
        all.extend(self.facts());
        all
    }

    /// What the settings say to all clients.
    fn defaults(&self) -> Vec<(String, String)> {
        let policy = self.policy;
        let log_path = policy.log_path.as_ref().map(|it| it.display().to_string());
        [
            ("LOG_LEVEL", policy.log_level.clone()),
            ("LOG_PATH", log_path),
            ("LOG_ENCODING", policy.log_encoding.clone()),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((format!("{PREFIX}{name}"), text?)))
        .collect()
    }

    /// What this client was started with. The addresses are put together elsewhere.
    fn given(&self) -> Vec<(String, String)> {
        let addresses = |name: &str| name == "post_api" || name == "poll_api";
        let parameters = self.parameters.iter().filter(|(name, _)| !addresses(name));
        let mut given: Vec<_> = parameters
            .map(|(name, text)| (variable(name), text.clone()))
            .collect();
        given.push((variable("post_api"), self.post_api()));
        if let Some(url) = self.parameters.get("poll_api").filter(|it| !it.is_empty()) {
            given.push((variable("poll_api"), merged_url(url, self.name)));
        }
        given
    }

    /// Where it reports to: to the host, unless somebody else is named and the host
    /// does not pass its reports on.
    fn post_api(&self) -> String {
        let own = self.parameters.get("post_api").filter(|it| !it.is_empty());
        let all = self.policy.post_api.as_ref().map(ApiUrl::expose);
        match own.map(String::as_str).or(all) {
            Some(url) if !self.policy.tee => merged_url(url, self.name),
            _ => report_url(self.base_url, self.name, self.key),
        }
    }

    fn files(&self) -> Vec<(OsString, OsString)> {
        let paths = self.paths;
        [
            ("TMPDIR", &paths.tmpdir),
            ("STATE_PATH", &paths.state),
            ("QRCODE_PATH", &paths.code),
            ("PID_PATH", &paths.pid),
            ("COOKIE_PATH", &paths.cookie),
        ]
        .map(|(name, path)| (format!("{PREFIX}{name}").into(), path.into()))
        .into()
    }

    fn facts(&self) -> Vec<(OsString, OsString)> {
        let text = |name: String, text: String| (name.into(), text.into());
        vec![
            text(format!("{PREFIX}ACCOUNT"), self.name.to_string()),
            text(
                format!("{PREFIX}CONTROLLER_PID"),
                std::process::id().to_string(),
            ),
            text(format!("{PLUGIN}PORT"), self.port.to_string()),
            text(CLIENT.to_owned(), self.name.to_string()),
            text(START.to_owned(), self.start.as_str().to_owned()),
            (CLIENTS_OF.into(), self.tmpdir.into()),
        ]
    }
}

/// The variable that a parameter becomes.
fn variable(parameter: &str) -> String {
    let prefix = match OF_PLUGIN.contains(&parameter) {
        true => PLUGIN,
        false => PREFIX,
    };
    format!("{prefix}{}", parameter.to_uppercase())
}

/// Sees to it that no proxy gets between a client and its host.
fn spare_own_hosts(all: &mut Environment, base_url: &str) {
    let is_unproxied = |name: &OsString| UNPROXIED.iter().any(|it| name == it);
    let is_proxy = |name: &OsString| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        name.ends_with("_proxy")
    };
    if !all.keys().any(|name| is_proxy(name) && !is_unproxied(name)) {
        return;
    }
    let either = UNPROXIED
        .iter()
        .find_map(|name| all.get(OsStr::new(name)).cloned());
    for name in UNPROXIED {
        let known = all.get(OsStr::new(name)).or(either.as_ref());
        let spared = with_own_hosts(known.cloned().unwrap_or_default(), base_url);
        all.insert(name.into(), spared);
    }
}

/// A star stands for all hosts, and only alone.
fn with_own_hosts(mut hosts: OsString, base_url: &str) -> OsString {
    let known = hosts.to_string_lossy().into_owned();
    let known = known.split(',').map(str::trim);
    if known.clone().eq(["*"]) {
        return hosts;
    }
    let this_host = host_of(base_url).filter(|host| !OWN_HOSTS.contains(host));
    let own_hosts = OWN_HOSTS.into_iter().chain(this_host);
    for own in own_hosts.filter(|own| !known.clone().any(|it| it == *own)) {
        if !hosts.is_empty() {
            hosts.push(",");
        }
        hosts.push(own);
    }
    hosts
}

/// The host in an address that has a port, without the brackets of IPv6.
fn host_of(base_url: &str) -> Option<&str> {
    let (_, authority) = base_url.split_once("://")?;
    let (host, _) = authority.rsplit_once(':')?;
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

fn inherited(name: &OsStr, more: &[String]) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    if name.starts_with(PREFIX) {
        return false;
    }
    INHERITED.contains(&name) || name.starts_with(LOCALE) || more.iter().any(|it| it == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// What a client of this name is told with these settings and parameters, where
    /// the host's environment is as given.
    fn told(policy: &ClientPolicy, given: &[(&str, &str)], host: &[(&str, &str)]) -> Environment {
        let name = ClientName::try_from("a1").unwrap();
        let own = |(name, text): &(&str, &str)| (name.to_string(), text.to_string());
        let parameters: Parameters = given.iter().map(own).collect();
        let paths = Paths::new(Path::new("/t/clients/a1"), &name, &parameters);
        let told = Told {
            policy,
            tmpdir: Path::new("/t"),
            base_url: "http://127.0.0.1:7",
            name: &name,
            parameters: &parameters,
            paths: &paths,
            port: 3000,
            key: "k",
            start: &serde_json::from_value("7".into()).unwrap(),
        };
        let host = host.iter().map(|(a, b)| (a.into(), b.into()));
        told.environment(host)
    }

    fn get<'a>(told: &'a Environment, name: &str) -> Option<&'a str> {
        told.get(OsStr::new(name)).map(|it| it.to_str().unwrap())
    }

    #[test]
    fn a_client_is_told_what_the_contract_says() {
        let told = told(&ClientPolicy::default(), &[], &[]);
        let is = |name: &str, text: &str| assert_eq!(get(&told, name), Some(text), "{name}");
        is("MOJO_WEIXIN_ACCOUNT", "a1");
        is(
            "MOJO_WEIXIN_CONTROLLER_PID",
            &std::process::id().to_string(),
        );
        is("MOJO_WEIXIN_PLUGIN_OPENWX_PORT", "3000");
        is(
            "MOJO_WEIXIN_PLUGIN_OPENWX_POST_API",
            "http://127.0.0.1:7/openwx/report/a1?key=k&client=a1",
        );
        is("MOJO_WEIXIN_TMPDIR", "/t/clients/a1");
        is(
            "MOJO_WEIXIN_STATE_PATH",
            "/t/clients/a1/mojo_weixin_state_a1.json",
        );
        is(
            "MOJO_WEIXIN_QRCODE_PATH",
            "/t/clients/a1/mojo_weixin_qrcode_a1.jpg",
        );
        is(
            "MOJO_WEIXIN_PID_PATH",
            "/t/clients/a1/mojo_weixin_pid_a1.pid",
        );
        is(
            "MOJO_WEIXIN_COOKIE_PATH",
            "/t/clients/a1/mojo_weixin_cookie_a1.dat",
        );
        is("WX_CLIENTS_OF", "/t");
        is("WX_CLIENT", "a1");
        is("WX_CLIENT_START", "7");
        assert_eq!(get(&told, "MOJO_WEIXIN_PLUGIN_OPENWX_POLL_API"), None);
        assert_eq!(get(&told, "MOJO_WEIXIN_LOG_LEVEL"), None);
    }

    #[test]
    fn nothing_is_inherited_but_what_is_named() {
        let host = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("ALL_PROXY", "p"),
            ("MINE", "m"),
            ("TOKEN", "t"),
            ("MOJO_WEIXIN_ACCOUNT", "other"),
            ("MOJO_WEIXIN_LOG_HEAD", "other"),
        ];
        let policy = ClientPolicy {
            environment: vec!["MINE".to_owned(), "MOJO_WEIXIN_LOG_HEAD".to_owned()],
            ..ClientPolicy::default()
        };
        let told = told(&policy, &[], &host);
        for (name, expected) in [
            ("PATH", Some("/bin")),
            ("LC_ALL", Some("C")),
            ("ALL_PROXY", Some("p")),
            ("MINE", Some("m")),
            ("TOKEN", None),
            ("MOJO_WEIXIN_ACCOUNT", Some("a1")),
            ("MOJO_WEIXIN_LOG_HEAD", None),
        ] {
            assert_eq!(get(&told, name), expected, "{name}");
        }
    }

    #[test]
    fn no_proxy_gets_between_a_client_and_its_host() {
        let policy = ClientPolicy::default();
        let of = |host: &[(&str, &str)]| {
            let told = told(&policy, &[], host);
            UNPROXIED.map(|name| get(&told, name).map(str::to_owned))
        };
        let both = |text: &str| [Some(text.to_owned()), Some(text.to_owned())];
        assert_eq!(of(&[("no_proxy", "lan")])[0].as_deref(), Some("lan"));
        assert_eq!(of(&[]), [None, None]);
        let proxy = ("http_proxy", "http://p:1");
        assert_eq!(of(&[proxy]), both("127.0.0.1,localhost"));
        assert_eq!(
            of(&[proxy, ("NO_PROXY", "lan, localhost")]),
            both("lan, localhost,127.0.0.1")
        );
        assert_eq!(of(&[proxy, ("no_proxy", "*")]), both("*"));
    }

    #[test]
    fn no_proxy_gets_between_a_client_and_a_host_with_an_address_of_its_own() {
        for (base_url, spared) in [
            ("http://10.0.0.7:2000", "127.0.0.1,localhost,10.0.0.7"),
            ("http://[fd00::7]:2000", "127.0.0.1,localhost,fd00::7"),
            ("http://127.0.0.1:2000", "127.0.0.1,localhost"),
        ] {
            let mut all = Environment::from([("http_proxy".into(), "http://p:1".into())]);
            spare_own_hosts(&mut all, base_url);
            for name in UNPROXIED {
                assert_eq!(get(&all, name), Some(spared));
            }
        }
    }

    #[test]
    fn what_a_client_was_started_with_goes_before_the_settings() {
        let policy = ClientPolicy {
            log_level: Some("warn".to_owned()),
            log_encoding: Some("utf8".to_owned()),
            post_api: Some("http://all/cb".into()),
            ..ClientPolicy::default()
        };
        let given = [
            ("log_level", "debug"),
            ("poll_interval", "9"),
            ("poll_api", "http://h/p"),
            ("state_path", "/t/clients/a1/s.json"),
            ("account", "another"),
        ];
        let all = told(&policy, &given, &[]);
        for (name, expected) in [
            ("MOJO_WEIXIN_LOG_LEVEL", "debug"),
            ("MOJO_WEIXIN_LOG_ENCODING", "utf8"),
            ("MOJO_WEIXIN_PLUGIN_OPENWX_POLL_INTERVAL", "9"),
            ("MOJO_WEIXIN_PLUGIN_OPENWX_POLL_API", "http://h/p?client=a1"),
            (
                "MOJO_WEIXIN_PLUGIN_OPENWX_POST_API",
                "http://all/cb?client=a1",
            ),
            ("MOJO_WEIXIN_STATE_PATH", "/t/clients/a1/s.json"),
            ("MOJO_WEIXIN_ACCOUNT", "a1"),
        ] {
            assert_eq!(get(&all, name), Some(expected), "{name}");
        }
        assert_eq!(get(&all, "MOJO_WEIXIN_POLL_INTERVAL"), None);
        let own = told(&policy, &[("post_api", "http://mine")], &[]);
        let url = get(&own, "MOJO_WEIXIN_PLUGIN_OPENWX_POST_API");
        assert_eq!(url, Some("http://mine?client=a1"));
    }

    #[test]
    fn with_tee_reports_come_to_the_host_whoever_else_gets_them() {
        let policy = ClientPolicy {
            tee: true,
            post_api: Some("http://all/cb".into()),
            ..ClientPolicy::default()
        };
        let told = told(&policy, &[("post_api", "http://mine")], &[]);
        let url = get(&told, "MOJO_WEIXIN_PLUGIN_OPENWX_POST_API").unwrap();
        assert!(url.starts_with("http://127.0.0.1:7/openwx/report/a1?key=k"));
    }
}
