//! The command line by which a client's process is started, and the program of the
//! seed, which is written when it is missing.

use std::{
    env,
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::directory;
use crate::{
    domain::{
        ClientName,
        client::{ClientPolicy, Places},
        ports::StartError,
    },
    files,
};

/// The program of the seed.
const SEED: &str = include_str!("template.pl");
/// Where programs are looked for when nothing says so.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";
/// How the names of files end that an interpreter is given to run.
const SCRIPTS: [&str; 5] = ["pl", "py", "js", "rb", "sh"];

/// A program, found, and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Where the program is.
    pub program: PathBuf,
    /// What it is given.
    pub arguments: Vec<String>,
}

/// How this template starts this client now. Blocks while it looks for files and
/// writes the one that may be missing.
pub fn command_line(
    policy: &ClientPolicy,
    places: &Places,
    template: &str,
    name: &ClientName,
) -> Result<CommandLine, StartError> {
    let words = policy.command(template).ok_or_else(|| {
        let cure = format!("add [openwx.template.{template}] to the configuration");
        bad(template, format!("there is no such template: {cure}"))
    })?;
    if name.as_str().starts_with('-') && words.iter().any(|it| it == "{client}") {
        let cure = "write the argument as --name={client}, or take another name";
        let problem = format!("its program would take the name {name} for an option: {cure}");
        return Err(bad(template, problem));
    }
    let mut words = words.iter().map(|word| expanded(word, places, name));
    let Some(program) = words.next().filter(|it| !it.is_empty()) else {
        return Err(bad(template, "its command is empty: name a program"));
    };
    let arguments: Vec<String> = words.collect();
    for script in arguments.iter().map(Path::new).filter(|it| is_script(it)) {
        have(script, places).map_err(|problem| bad(template, problem))?;
    }
    let program = found(&program).ok_or_else(|| {
        let cure = "install it, or give its whole path in the template's command";
        bad(template, format!("there is no program {program}: {cure}"))
    })?;
    Ok(CommandLine { program, arguments })
}

fn bad(template: &str, problem: impl AsRef<str>) -> StartError {
    let problem = problem.as_ref();
    StartError::Template(format!("openwx.template.{template}: {problem}"))
}

fn expanded(word: &str, places: &Places, name: &ClientName) -> String {
    let shown = |path: &Path| path.display().to_string();
    word.replace("{data}", &shown(&places.data))
        .replace("{tmpdir}", &shown(&places.tmpdir))
        .replace("{template_path}", &shown(&places.template_path))
        .replace("{dir}", &shown(&places.client_dir(name)))
        .replace("{client}", name.as_str())
}

/// Whether it is surely meant to be a file with a program in it.
fn is_script(path: &Path) -> bool {
    let ending = path.extension().and_then(|it| it.to_str());
    path.is_absolute() && ending.is_some_and(|it| SCRIPTS.contains(&it))
}

/// Sees to it that a script is there.
fn have(script: &Path, places: &Places) -> Result<(), String> {
    let shown = script.display();
    if script.exists() {
        return match directory::is_trusted(script) {
            true => Ok(()),
            false => Err(format!(
                "{shown} lies where others can write, and is not surely this user's: put it \
                 elsewhere"
            )),
        };
    }
    if !is_ours(script, places) {
        return Err(format!(
            "{shown} is missing: put it there, or correct the template's command"
        ));
    }
    files::write_durably_blocking(script, SEED.as_bytes())
        .map_err(|error| format!("{shown} is missing and can't be written: {error}"))
}

/// Whether it is the seed's program that is meant, and a place where we may write.
fn is_ours(script: &Path, places: &Places) -> bool {
    let below = |dir: &Path| script.starts_with(dir) && !climbs(script);
    let perl = script.extension().is_some_and(|it| it == "pl");
    let ours = script == places.template_path || below(&places.data) || below(&places.tmpdir);
    perl && ours
}

fn climbs(path: &Path) -> bool {
    path.components()
        .any(|part| part == std::path::Component::ParentDir)
}

/// Where a program is, as a shell would find it.
fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        let path = std::path::absolute(program).ok()?;
        return is_program(&path).then_some(path);
    }
    let path = env::var_os("PATH").unwrap_or(OsString::from(PATH_DEFAULT));
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_absolute() && is_program(path))
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::client::Template;

    /// The command line of a template with these words, in an empty data directory.
    fn of(words: &[&str], data: &Path) -> Result<CommandLine, StartError> {
        let mut policy = ClientPolicy::default();
        let command = words.iter().map(|it| it.to_string()).collect();
        policy.template.insert("t".to_owned(), Template { command });
        let places = policy.places(data);
        std::fs::create_dir_all(&places.tmpdir).unwrap();
        let name = ClientName::try_from("a1").unwrap();
        command_line(&policy, &places, "t", &name)
    }

    #[test]
    fn a_name_is_never_an_option() {
        let data = tempfile::tempdir().unwrap();
        let mut policy = ClientPolicy::default();
        for (number, word) in ["{client}", "--name={client}"].into_iter().enumerate() {
            let command = vec!["sh".to_owned(), word.to_owned()];
            policy
                .template
                .insert(format!("t{number}"), Template { command });
        }
        let places = policy.places(data.path());
        let name = ClientName::try_from("-e").unwrap();
        let refused = command_line(&policy, &places, "t0", &name).unwrap_err();
        assert!(
            refused.to_string().contains("take another name"),
            "{refused}"
        );
        let line = command_line(&policy, &places, "t1", &name).unwrap();
        assert_eq!(line.arguments, ["--name=-e"]);
    }

    fn problem(words: &[&str], data: &Path) -> String {
        of(words, data).unwrap_err().to_string()
    }

    #[test]
    fn placeholders_stand_for_what_they_say() {
        let data = tempfile::tempdir().unwrap();
        let shown = data.path().display();
        let line = of(&["sh", "{data}|{tmpdir}|{client}|{dir}"], data.path()).unwrap();
        assert!(line.program.ends_with("sh"));
        assert!(line.program.is_absolute());
        assert_eq!(
            line.arguments,
            [format!(
                "{shown}|{shown}/openwx|a1|{shown}/openwx/clients/a1"
            )]
        );
    }

    #[test]
    fn the_seeds_program_is_written_where_it_is_missing_and_never_over_another() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("template.pl");
        of(&["sh", "{data}/template.pl"], data.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), SEED);
        assert!(SEED.starts_with("use Mojo::Weixin;\n"));
        std::fs::write(&path, "mine").unwrap();
        of(&["sh", "{data}/template.pl"], data.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        of(&["sh", "{template_path}"], data.path()).unwrap();
        let usual = "openwx/mojo_weixin_controller_template.pl";
        assert!(data.path().join(usual).exists());
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let data = tempfile::tempdir().unwrap();
        let outside = problem(&["sh", "/nowhere/x.pl"], data.path());
        assert!(outside.contains("openwx.template.t: /nowhere/x.pl is missing"));
        let other = problem(&["sh", "{data}/x.py"], data.path());
        assert!(other.contains("x.py is missing"), "{other}");
        let climbing = problem(&["sh", "{data}/../x.pl"], data.path());
        assert!(climbing.contains("x.pl is missing"), "{climbing}");
        let program = problem(&["no-such-program"], data.path());
        assert!(program.contains("there is no program no-such-program: install it"));
        let path = problem(&["/nowhere/x"], data.path());
        assert!(path.contains("there is no program /nowhere/x"));
        assert!(problem(&[], data.path()).contains("its command is empty"));
    }

    #[test]
    fn a_template_that_nobody_wrote_is_named() {
        let policy = ClientPolicy::default();
        let places = policy.places(Path::new("/d"));
        let name = ClientName::try_from("a1").unwrap();
        let error = command_line(&policy, &places, "odd", &name).unwrap_err();
        assert!(error.to_string().contains("[openwx.template.odd]"));
    }
}
