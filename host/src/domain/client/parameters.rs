//! What may be told to a client at its start: documented parameters only, and paths
//! within its own directory.
//!
//! Whoever may start clients has a token, and still is not to read or write files of
//! the host through them, nor to run code: so nothing passes that is not known.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

/// What a client is started with, checked.
pub type Parameters = BTreeMap<String, String>;

/// The longest value. It becomes part of the process's environment.
pub const VALUE_MAX_BYTES: usize = 2048;
/// The files in a client's directory that the host keeps what it prints in: the newer
/// one, and the one before it.
pub const LOG_FILES: [&str; 2] = ["console.log", "console.1.log"];
/// How many names `load` may have.
const PLUGINS_MAX: usize = 32;

/// What a parameter means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Number,
    LogLevel,
    Encoding,
    /// A file or directory in the client's own directory.
    Place,
    Url,
    Plugins,
    /// Whatever it is: the configuration names it.
    Text,
}

/// The parameters that are documented for Mojo-Weixin's `new`, and for its plugin
/// Openwx.
const DOCUMENTED: [(&str, Meaning); 44] = [
    ("cookie_path", Meaning::Place),
    ("disable_color", Meaning::Number),
    ("download_media", Meaning::Number),
    ("emoji_to_text", Meaning::Number),
    ("fix_media_loop", Meaning::Number),
    ("http_debug", Meaning::Number),
    ("http_max_message_size", Meaning::Number),
    ("is_fetch_notice", Meaning::Number),
    ("is_init_group_member", Meaning::Number),
    ("is_update_all_friend", Meaning::Number),
    ("is_update_group_member", Meaning::Number),
    ("json_codec_mode", Meaning::Number),
    ("keep_cookie", Meaning::Number),
    ("load", Meaning::Plugins),
    ("log_console", Meaning::Number),
    ("log_encoding", Meaning::Encoding),
    ("log_level", Meaning::LogLevel),
    ("log_path", Meaning::Place),
    ("log_unicode", Meaning::Number),
    ("media_chunk_size", Meaning::Number),
    ("media_dir", Meaning::Place),
    ("media_size_max", Meaning::Number),
    ("pid_path", Meaning::Place),
    ("poll_api", Meaning::Url),
    ("poll_interval", Meaning::Number),
    ("post_api", Meaning::Url),
    ("post_event", Meaning::Number),
    ("post_media_data", Meaning::Number),
    ("qrcode_count_max", Meaning::Number),
    ("qrcode_path", Meaning::Place),
    ("send_interval", Meaning::Number),
    ("state_path", Meaning::Place),
    ("stop_with_mobile", Meaning::Number),
    ("sync_interval", Meaning::Number),
    ("synccheck_delay", Meaning::Number),
    ("synccheck_interval", Meaning::Number),
    ("tmpdir", Meaning::Place),
    ("ua_connect_timeout", Meaning::Number),
    ("ua_debug", Meaning::Number),
    ("ua_debug_req_body", Meaning::Number),
    ("ua_debug_res_body", Meaning::Number),
    ("ua_inactivity_timeout", Meaning::Number),
    ("ua_request_timeout", Meaning::Number),
    ("ua_retry_times", Meaning::Number),
];

/// What clients know as levels of their log.
const LOG_LEVELS: [&str; 6] = ["debug", "info", "msg", "warn", "error", "fatal"];

/// Which parameters are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterPolicy {
    names: BTreeSet<String>,
}

/// Why a parameter is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct BadParameter {
    /// Which one.
    pub name: String,
    /// What is wrong with it, and what is right.
    pub problem: String,
}

impl ParameterPolicy {
    /// The documented ones and these.
    pub fn with(more: &[String]) -> Self {
        Self {
            names: more.iter().cloned().collect(),
        }
    }

    /// Checks what somebody gave, for a client whose own directory is `dir`, an
    /// absolute path. Paths come out absolute.
    pub fn check(
        &self,
        given: impl IntoIterator<Item = (String, String)>,
        dir: &Path,
    ) -> Result<Parameters, BadParameter> {
        let mut checked = Parameters::new();
        for (name, value) in given {
            let value = self.check_one(&name, value, dir);
            let value = value.map_err(|problem| bad(&name, problem))?;
            if checked.contains_key(&name) {
                return Err(bad(&name, "is given twice: give it once".to_owned()));
            }
            checked.insert(name, value);
        }
        Ok(checked)
    }

    fn check_one(&self, name: &str, value: String, dir: &Path) -> Result<String, String> {
        let meaning = self.meaning(name)?;
        if value.is_empty() {
            return Err("is empty: leave it out".to_owned());
        }
        if value.len() > VALUE_MAX_BYTES {
            return Err(format!("has more than {VALUE_MAX_BYTES} bytes"));
        }
        if value.contains(char::is_control) {
            return Err("holds a control character".to_owned());
        }
        match meaning {
            Meaning::Place => place(&value, dir),
            Meaning::Plugins => plugins(&value, dir),
            meaning => check_plain(meaning, &value).map(|()| value),
        }
    }

    fn meaning(&self, name: &str) -> Result<Meaning, String> {
        let documented = DOCUMENTED.iter().find(|(known, _)| *known == name);
        match documented {
            Some((_, meaning)) => Ok(*meaning),
            None if self.names.contains(name) && check_parameter_name(name).is_ok() => {
                Ok(Meaning::Text)
            }
            None => Err(
                "is no documented parameter of a client: leave it out, or add its name \
                         to openwx.parameters"
                    .to_owned(),
            ),
        }
    }
}

fn bad(name: &str, problem: String) -> BadParameter {
    // It comes from outside, and goes into answers and logs.
    let name = name.chars().take(64).collect::<String>();
    BadParameter {
        name: name.escape_debug().to_string(),
        problem,
    }
}

fn check_plain(meaning: Meaning, value: &str) -> Result<(), String> {
    match meaning {
        Meaning::Number => check_number(value),
        Meaning::LogLevel => check_log_level(value),
        Meaning::Encoding => check_encoding(value),
        Meaning::Url => check_url(value),
        Meaning::Place | Meaning::Plugins | Meaning::Text => Ok(()),
    }
}

/// Whether a client can have a parameter of this name in its environment, beside
/// what the host tells it there.
pub fn check_parameter_name(name: &str) -> Result<(), String> {
    let odd = |c: char| !(c.is_ascii_lowercase() || c == '_');
    if name.is_empty() || name.len() > 64 || name.starts_with('_') || name.contains(odd) {
        return Err("a name has 1 to 64 of the letters a-z and _, and begins with a letter".into());
    }
    let ours = matches!(
        name,
        "account" | "client" | "controller_pid" | "log_head" | "template" | "token"
    );
    match ours || name.starts_with("plugin_") {
        true => Err(format!("{name} is what the host itself decides")),
        false => Ok(()),
    }
}

/// A level of a client's log.
pub(super) fn check_log_level(level: &str) -> Result<(), String> {
    match LOG_LEVELS.contains(&level) {
        true => Ok(()),
        false => Err(format!("takes one of {}", LOG_LEVELS.join(", "))),
    }
}

/// The name of an encoding.
pub(super) fn check_encoding(name: &str) -> Result<(), String> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    match name.is_empty() || name.len() > 40 || name.contains(odd) {
        true => Err("takes the name of an encoding, such as utf8".to_owned()),
        false => Ok(()),
    }
}

/// An address that clients or the host speak to.
pub(super) fn check_url(text: &str) -> Result<(), String> {
    const RIGHT: &str = "takes an address that begins with http:// or https://";
    // Some of these the parser would skip.
    if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(format!("{RIGHT}, without spaces"));
    }
    let url = url::Url::parse(text).map_err(|error| format!("{RIGHT} ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(RIGHT.to_owned());
    }
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(()),
        false => Err("takes no user and no password: put a key into the query".to_owned()),
    }
}

fn check_number(value: &str) -> Result<(), String> {
    let (whole, rest) = value.split_once('.').unwrap_or((value, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    match digits(whole, 10) && digits(rest, 6) {
        true => Ok(()),
        false => Err("takes a number, such as 1 or 0.5".to_owned()),
    }
}

/// The absolute form of a path that lies in the directory, as far as its text tells.
fn place(value: &str, dir: &Path) -> Result<String, String> {
    let outside = || {
        Err("must lie in the client's own directory: give a path relative to it, without ..".into())
    };
    let given = Path::new(value);
    let below = match given.strip_prefix(dir) {
        Ok(below) => below,
        Err(_) if given.is_absolute() => return outside(),
        Err(_) => given,
    };
    let mut path = PathBuf::from(dir);
    for component in below.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return outside(),
        }
    }
    let first = below_dir(&path, dir).unwrap_or_default();
    if let Some(name) = LOG_FILES.iter().find(|name| first == **name) {
        return Err(format!("{name} is the host's own file: give another name"));
    }
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(_) => Err("needs a data directory whose name is UTF-8".to_owned()),
    }
}

/// What a path begins with below a directory.
fn below_dir<'a>(path: &'a Path, dir: &Path) -> Option<&'a std::ffi::OsStr> {
    let mut below = path.strip_prefix(dir).ok()?.components();
    below.next().map(Component::as_os_str)
}

/// Names of plugins, or one path of a plugin in the directory.
fn plugins(value: &str, dir: &Path) -> Result<String, String> {
    let names: Vec<&str> = value.split(',').collect();
    if names.len() <= PLUGINS_MAX && names.iter().all(|name| is_plugin(name)) {
        return Ok(value.to_owned());
    }
    let prefix = format!("{}/", dir.display());
    let below = value.strip_prefix(&prefix).unwrap_or(value);
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    let is_path = value.contains('/') && !below.contains(odd);
    let path = match is_path {
        true => place(value, dir)?,
        false => String::new(),
    };
    match path.starts_with(&prefix) {
        true => Ok(path),
        false => Err(
            "takes names of plugins with commas between them, such as ShowMsg,UploadQRcode, or \
             one path in the client's own directory, such as ./Own.pm"
                .to_owned(),
        ),
    }
}

fn is_plugin(name: &str) -> bool {
    name.split("::").all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    const DIR: &str = "/data/openwx/clients/小明";

    fn check(name: &str, value: &str) -> Result<String, String> {
        let policy = ParameterPolicy::with(&["nickname".to_owned(), "tmpdir".to_owned()]);
        let given = [(name.to_owned(), value.to_owned())];
        let checked = policy.check(given, Path::new(DIR));
        checked
            .map(|mut all| all.remove(name).unwrap())
            .map_err(|bad| bad.to_string())
    }

    fn taken(name: &str, values: &[&str]) {
        for value in values {
            assert_eq!(check(name, value).as_deref(), Ok(*value), "{name}");
        }
    }

    #[test]
    fn the_hosts_own_files_are_no_places_of_a_client() {
        refused("state_path", &["console.log", "./console.1.log"]);
        refused("media_dir", &["console.log/media"]);
        assert!(check("log_path", "logs/console.log").is_ok());
    }

    fn refused(name: &str, values: &[&str]) {
        for value in values {
            let problem = check(name, value).unwrap_err();
            assert!(problem.starts_with(&format!("{name}: ")), "{problem}");
        }
    }

    #[test]
    fn documented_parameters_pass() {
        taken("log_level", &["debug", "msg", "fatal"]);
        taken("log_encoding", &["utf8", "gbk", "UTF-16LE"]);
        taken("synccheck_interval", &["0", "1", "0.5", "30"]);
        taken(
            "post_api",
            &["http://h:1/cb?a=1#f", "https://例子.example/"],
        );
        taken("load", &["ShowMsg", "ShowMsg,UploadQRcode", "My::Own_2"]);
        taken("nickname", &["anything at all; $really"]);
    }

    #[test]
    fn what_is_not_documented_does_not_pass() {
        for name in [
            "account",
            "client",
            "template",
            "token",
            "code",
            "status",
            "plugin_openwx_port",
            "Log_Level",
            "log-level",
            "log_level2",
            "",
            "\n",
        ] {
            assert!(check(name, "1").is_err(), "{name}");
        }
        let long = check(&"x".repeat(10_000), "1").unwrap_err();
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn values_are_what_they_are_meant_to_be() {
        refused("log_level", &["", "loud", "info\n", "info "]);
        refused("log_encoding", &["utf8;rm", "a b"]);
        refused("http_debug", &["", "yes", "-1", "1e9", "1.", ".5", "1;2"]);
        refused("nickname", &["a\0b", "a\nb", "", &"x".repeat(2049)]);
        refused(
            "post_api",
            &[
                "h:1/cb",
                "file:///etc/passwd",
                "http://",
                "http://u:p@h/",
                "http://h/\ta",
                "javascript:alert(1)",
            ],
        );
    }

    #[test]
    fn nothing_is_loaded_that_could_be_code() {
        refused(
            "load",
            &[
                "ShowMsg;system('id')",
                "+Some::Module",
                "ShowMsg,",
                "::A",
                "../Own.pm",
                "/tmp/Own.pm",
                "a b",
                "`id`",
                "${x}",
                "2Fast",
                "a\\b;",
                ".",
                "./",
                DIR,
            ],
        );
        let own = check("load", "plugins/Own.pm").unwrap();
        assert_eq!(own, format!("{DIR}/plugins/Own.pm"));
        taken("load", &[&own]);
    }

    #[test]
    fn a_path_is_below_the_directory_and_comes_out_absolute() {
        for (given, expected) in [
            ("qr.jpg", "/qr.jpg"),
            ("./a//b/./c", "/a/b/c"),
            (".", ""),
            (DIR, ""),
            ("/data/openwx/clients/小明/x", "/x"),
            ("文件/码.jpg", "/文件/码.jpg"),
            ("..x", "/..x"),
        ] {
            let path = check("qrcode_path", given);
            assert_eq!(path, Ok(format!("{DIR}{expected}")), "{given}");
        }
    }

    #[test]
    fn a_path_elsewhere_is_refused_in_every_form() {
        for path in [
            "/etc/passwd",
            "/",
            "..",
            "../other/qr.jpg",
            "a/../../b",
            "a/..",
            "/data/openwx/clients/小明2/x",
            "/data/openwx/clients/小明/../other/x",
            "/data/openwx/clients/小明/..",
            "//etc/passwd",
        ] {
            for name in [
                "tmpdir",
                "qrcode_path",
                "state_path",
                "log_path",
                "media_dir",
            ] {
                let problem = check(name, path).unwrap_err();
                assert!(problem.contains("own directory"), "{problem}");
            }
        }
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let policy = ParameterPolicy::with(&[]);
        let one = ("http_debug".to_owned(), "1".to_owned());
        let bad = policy
            .check([one.clone(), one], Path::new(DIR))
            .unwrap_err();
        assert_eq!(bad.name, "http_debug");
    }

    #[test]
    fn the_list_is_in_order_and_has_names_that_can_be() {
        assert!(DOCUMENTED.is_sorted_by_key(|(name, _)| *name));
        for (name, _) in DOCUMENTED {
            assert_eq!(check_parameter_name(name), Ok(()), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_path_that_is_taken_leaves_the_directory(
            path in r"(/data/openwx/clients/小明)?([/.]{0,3}[a-z.]{0,3}){0,5}|.*"
        ) {
            for name in ["tmpdir", "load"] {
                let Ok(taken) = check(name, &path) else { continue };
                if name == "load" && !taken.contains('/') {
                    continue;
                }
                let taken = Path::new(&taken);
                prop_assert!(taken.starts_with(DIR), "{}", taken.display());
                let plain = |it: Component<'_>| matches!(it, Component::RootDir | Component::Normal(_));
                prop_assert!(taken.components().all(plain), "{}", taken.display());
                // What came out is taken as it is.
                let again = check(name, taken.to_str().unwrap());
                prop_assert_eq!(again.as_deref(), Ok(taken.to_str().unwrap()));
            }
        }

        #[test]
        fn no_value_that_is_taken_holds_what_an_environment_can_not(value in "\\PC*|.*") {
            for (name, _) in DOCUMENTED {
                if let Ok(taken) = check(name, &value) {
                    prop_assert!(!taken.contains(['\0', '\n', '\r']));
                }
            }
        }
    }
}
