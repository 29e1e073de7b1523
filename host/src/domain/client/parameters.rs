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
/// How many names `load` may have.
const PLUGINS_MAX: usize = 32;

/// What a parameter means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Number,
    LogLevel,
    Encoding,
    /// A file in the client's own directory.
    File,
    /// A directory there.
    Dir,
    Url,
    Plugins,
    /// Whatever it is: the configuration names it.
    Text,
}

/// The parameters that are documented for Mojo-Weixin's `new`, and for its plugin
/// Openwx.
const DOCUMENTED: [(&str, Meaning); 44] = [
    ("cookie_path", Meaning::File),
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
    ("log_path", Meaning::File),
    ("log_unicode", Meaning::Number),
    ("media_chunk_size", Meaning::Number),
    ("media_dir", Meaning::Dir),
    ("media_size_max", Meaning::Number),
    ("pid_path", Meaning::File),
    ("poll_api", Meaning::Url),
    ("poll_interval", Meaning::Number),
    ("post_api", Meaning::Url),
    ("post_event", Meaning::Number),
    ("post_media_data", Meaning::Number),
    ("qrcode_count_max", Meaning::Number),
    ("qrcode_path", Meaning::File),
    ("send_interval", Meaning::Number),
    ("state_path", Meaning::File),
    ("stop_with_mobile", Meaning::Number),
    ("sync_interval", Meaning::Number),
    ("synccheck_delay", Meaning::Number),
    ("synccheck_interval", Meaning::Number),
    ("tmpdir", Meaning::Dir),
    ("ua_connect_timeout", Meaning::Number),
    ("ua_debug", Meaning::Number),
    ("ua_debug_req_body", Meaning::Number),
    ("ua_debug_res_body", Meaning::Number),
    ("ua_inactivity_timeout", Meaning::Number),
    ("ua_request_timeout", Meaning::Number),
    ("ua_retry_times", Meaning::Number),
];

/// What somebody has sent to a client.
const MEDIA: &str = "client's media";
/// How the usual names of a client's files begin, and which parameter names them.
const OWN_FILES: [(&str, &str); 5] = [
    ("mojo_weixin_cookie_", "cookie_path"),
    ("mojo_weixin_media_", MEDIA),
    ("mojo_weixin_pid_", "pid_path"),
    ("mojo_weixin_qrcode_", "qrcode_path"),
    ("mojo_weixin_state_", "state_path"),
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
        check_places(&checked, dir)?;
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
            Meaning::File | Meaning::Dir => place(&value, dir),
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
        Meaning::File | Meaning::Dir | Meaning::Plugins | Meaning::Text => Ok(()),
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

/// Whether a client may be told to send this file: one in its own directory, or one
/// of another host.
pub fn check_media(value: &str, dir: &Path) -> Result<(), String> {
    match value.starts_with("http://") || value.starts_with("https://") {
        true => Ok(()),
        false => own_file(value, dir),
    }
}

fn own_file(value: &str, dir: &Path) -> Result<(), String> {
    let path = place(value, dir)?;
    let below = Path::new(&path).strip_prefix(dir).unwrap_or(Path::new(""));
    match file_of(below) {
        None | Some(MEDIA | "qrcode_path") if !below.as_os_str().is_empty() => Ok(()),
        _ => Err("is what the client keeps for itself: send another file".to_owned()),
    }
}

/// Refuses paths by which a file would be taken for another, or be loaded that
/// somebody else has sent.
fn check_places(all: &Parameters, dir: &Path) -> Result<(), BadParameter> {
    let places: Vec<(&str, Meaning, &Path)> = all
        .iter()
        .filter_map(|(name, value)| {
            let (_, meaning) = DOCUMENTED.iter().find(|(known, _)| known == name)?;
            let path = Path::new(value);
            let is_place = matches!(meaning, Meaning::File | Meaning::Dir)
                || *meaning == Meaning::Plugins && path.starts_with(dir);
            is_place.then_some((name.as_str(), *meaning, path))
        })
        .collect();
    for &(name, meaning, path) in &places {
        check_place(name, meaning, path, dir).map_err(|problem| bad(name, problem))?;
        for &(other, other_meaning, other_path) in &places {
            let clash = other != name && clash((meaning, path), (other_meaning, other_path));
            if clash {
                let problem = format!("is, or lies in, what {other} names: give it another path");
                return Err(bad(name, problem));
            }
        }
    }
    Ok(())
}

fn check_place(name: &str, meaning: Meaning, path: &Path, dir: &Path) -> Result<(), String> {
    let below = path.strip_prefix(dir).unwrap_or(path);
    if name == "media_dir" && below.as_os_str().is_empty() {
        return Err("is where the client's own files lie: name a directory below it".to_owned());
    }
    match file_of(below) {
        Some(known) if meaning == Meaning::Plugins || known != name => Err(format!(
            "is, or lies below, the {known}: give it a name of its own"
        )),
        _ => Ok(()),
    }
}

/// Whether something can't be at the one path because of what is at the other. Files
/// hold nothing else, and what comes in by media is no plugin.
fn clash((meaning, path): (Meaning, &Path), (other, other_path): (Meaning, &Path)) -> bool {
    let may_hold = other == Meaning::Dir && meaning != Meaning::Plugins;
    path.starts_with(other_path) && !may_hold
}

/// The parameter that names a file of this kind, or what else it is: by the first
/// part of a path that has such a file's usual name.
fn file_of(below: &Path) -> Option<&'static str> {
    let mut names = below
        .components()
        .filter_map(|part| part.as_os_str().to_str());
    names.find_map(|name| {
        let known = OWN_FILES.iter().find(|(start, _)| name.starts_with(start));
        known.map(|(_, known)| *known)
    })
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
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(_) => Err("needs a data directory whose name is UTF-8".to_owned()),
    }
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

    fn check_all(given: &[(&str, &str)]) -> Result<Parameters, String> {
        let given = given
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        let checked = ParameterPolicy::with(&[]).check(given, Path::new(DIR));
        checked.map_err(|bad| bad.to_string())
    }

    #[test]
    fn no_file_of_the_client_is_taken_for_another() {
        for (name, value) in [
            ("qrcode_path", "mojo_weixin_cookie_小明.dat"),
            ("qrcode_path", "./mojo_weixin_cookie_小明.dat/x"),
            ("pid_path", "mojo_weixin_state_小明.json"),
            ("tmpdir", "mojo_weixin_state_小明.json"),
            ("load", "./mojo_weixin_media_ab.pm"),
            ("media_dir", "."),
            ("media_dir", DIR),
        ] {
            let problem = check_all(&[(name, value)]).unwrap_err();
            assert!(problem.starts_with(name), "{problem}");
        }
        taken("tmpdir", &[DIR]);
        let own = format!("{DIR}/x/mojo_weixin_cookie_小明.dat");
        taken("cookie_path", &[&own]);
    }

    #[test]
    fn no_two_parameters_name_one_file() {
        for (one, other) in [
            (("qrcode_path", "a"), ("state_path", "./a")),
            (("qrcode_path", "a"), ("state_path", "a/b")),
            (("cookie_path", "a/b"), ("qrcode_path", "a")),
            (("tmpdir", "a/b"), ("qrcode_path", "a")),
            (("media_dir", "a"), ("qrcode_path", "a")),
            (("media_dir", "a"), ("load", "a/Own.pm")),
            (("tmpdir", "."), ("load", "a/Own.pm")),
            (("load", "a/Own.pm"), ("log_path", "a/Own.pm")),
        ] {
            let problem = check_all(&[one, other]).unwrap_err();
            assert!(problem.contains("another path"), "{problem}");
        }
        for fit in [
            [("tmpdir", "a"), ("qrcode_path", "a/b")],
            [("tmpdir", "a"), ("media_dir", "a/b")],
            [("qrcode_path", "a"), ("state_path", "ab")],
            [("media_dir", "a"), ("load", "plugins/Own.pm")],
            [("tmpdir", "a"), ("load", "ShowMsg")],
        ] {
            assert!(check_all(&fit).is_ok(), "{fit:?}");
        }
    }

    #[test]
    fn media_comes_from_elsewhere_or_from_the_clients_own_directory() {
        let media = |value: &str| check_media(value, Path::new(DIR));
        for fit in [
            "http://h/1.png",
            "https://h/1",
            "out/1.png",
            "console.log",
            &format!("{DIR}/1.png"),
        ] {
            assert_eq!(media(fit), Ok(()), "{fit}");
        }
        for bad in [
            "/etc/passwd",
            "../x",
            "HTTP:/../../x",
            "",
            ".",
            "mojo_weixin_cookie_小明.dat",
        ] {
            assert!(media(bad).is_err(), "{bad:?}");
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
