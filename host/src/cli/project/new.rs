//! `wxhost new`: a project that builds at once. All that it needs is in this binary, so
//! that nobody has to have wxhost's own sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Project, World, language::Language};
use crate::{
    cli::{failure::Failure, output::Printed, parse},
    domain::HandlerName,
};

/// The SDKs, the interfaces and the templates: see host/build.rs.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// The folder of a project that `--update` writes anew.
const OURS: &str = "wxhost";

/// `wxhost new`.
#[derive(Args)]
pub struct NewArgs {
    /// What it is called, and the folder that is made: lower case letters, digits and hyphens
    #[arg(value_parser = parse::handler_name, required_unless_present = "update")]
    name: Option<HandlerName>,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// What it is for: a bot serves accounts, an endpoint answers HTTP requests
    #[arg(long, value_enum, default_value_t = World::Bot)]
    world: World,
    /// Writes the folder `wxhost` of the project that we are in anew, with what this binary
    /// brings, and changes nothing else
    #[arg(long, conflicts_with_all = ["name", "lang", "world"])]
    update: bool,
}

impl NewArgs {
    /// Writes the project.
    pub fn run(self) -> Result<Printed, Failure> {
        let Some(name) = self.name else {
            return update();
        };
        let checked = self.lang.check_name(name.as_str());
        checked.map_err(Failure::Usage)?;
        if self.world == World::Callback {
            let problem = "there is no project to begin a callback component with: see \
                           guests/gatekeeper of wxhost's sources, which is one in Rust";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let dir = PathBuf::from(name.as_str());
        if dir.exists() {
            let problem = format!("{} is there already: take another name", dir.display());
            return Err(Failure::Usage(problem));
        }
        write_all(&dir, &files(name.as_str(), self.lang, self.world))?;
        let (setup, _) = self.lang.setup();
        let (made, next) = match self.world {
            World::Endpoint => ("an endpoint", "wxhost build"),
            _ => ("a bot", "wxhost dev"),
        };
        Ok(Printed::ok(format!(
            "made {name}, {made} in {}\n\n  cd {name}\n  {setup}\n  {next}\n\n{name}/README.md \
             says more\n",
            self.lang.names().1
        )))
    }
}

fn update() -> Result<Printed, Failure> {
    let project = Project::open(None)?;
    let language = Language::of(&project.dir).ok_or_else(|| {
        Failure::Usage(
            "neither Cargo.toml, package.json, src/bot.py nor src/serve.py is here".to_owned(),
        )
    })?;
    let folder = project.dir.join(OURS);
    // What a newer version left out must go, too.
    if folder.is_dir() {
        fs::remove_dir_all(&folder).map_err(|error| Failure::local(folder.display(), error))?;
    }
    write_all(&project.dir, &ours(language, project.toml.world))?;
    Ok(Printed::ok(format!(
        "{} is that of wxhost {} now",
        folder.display(),
        env!("CARGO_PKG_VERSION")
    )))
}

/// A file of a project: where it lies, and what is in it.
type File = (String, Vec<u8>);

fn write_all(dir: &Path, files: &[File]) -> Result<(), Failure> {
    for (name, bytes) in files {
        let path = dir.join(name);
        let failed = |error| Failure::local(path.display(), error);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, bytes).map_err(failed)?;
    }
    Ok(())
}

/// All files of a new project.
fn files(name: &str, language: Language, world: World) -> Vec<File> {
    let (folder, spoken) = language.names();
    let (setup, why) = language.setup();
    let words = [
        ("{{name}}", name),
        ("{{language}}", spoken),
        ("{{source}}", language.source(world)),
        ("{{test}}", language.test()),
        ("{{tools}}", &format!("{why}\n\n    {setup}")),
    ];
    let templates = match world {
        World::Endpoint => "templates/endpoint",
        _ => "templates",
    };
    let own = format!("{templates}/{folder}/");
    let common = ["README.md", "handler.toml"].map(|file| (file, format!("{templates}/{file}")));
    let templates = under(&own).chain(common.iter().flat_map(|(file, path)| {
        let found = under(path);
        found.map(move |(_, bytes)| (*file, bytes))
    }));
    let mut files: Vec<_> = templates
        .map(|(path, bytes)| {
            // With the dot it would be one for our own tree.
            let path = match path {
                "gitignore" => ".gitignore",
                path => path,
            };
            (path.to_owned(), filled(bytes, &words))
        })
        .collect();
    files.extend(ours(language, world));
    files
}

/// The files of the folder that is ours: the SDK of a language, and the interfaces.
fn ours(language: Language, world: World) -> Vec<File> {
    let sdk = language.sdk();
    let mut files = Vec::new();
    let mut take = |from: &str, to: &str| {
        for (path, bytes) in under(from) {
            files.push((format!("{OURS}/{to}{path}"), bytes.to_vec()));
        }
    };
    take("wit/", "wit/");
    take("LICENSE", "LICENSE");
    // Those for JavaScript and Python import what endpoints do not have.
    if language == Language::Rust || world != World::Endpoint {
        take(&format!("{sdk}/"), &format!("{sdk}/"));
    }
    for (path, bytes) in under("templates/wxhost/") {
        let words = [("{{version}}", env!("CARGO_PKG_VERSION"))];
        files.push((format!("{OURS}/{path}"), filled(bytes, &words)));
    }
    if language == Language::Rust {
        for (path, bytes) in &mut files {
            match path.strip_prefix("wxhost/sdk/") {
                Some("Cargo.toml") => *bytes = standing_alone(bytes),
                // In our own tree the interfaces lie one folder higher.
                Some(_) => *bytes = filled(bytes, &[("\"../../wit", "\"../wit")]),
                None => {}
            }
        }
    }
    files
}

/// Embedded files below a path, or the file of this path, without it.
fn under(path: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let all = embedded::FILES.iter();
    all.filter_map(move |(name, bytes)| Some((name.strip_prefix(path)?, *bytes)))
}

fn filled(bytes: &[u8], words: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    for (word, value) in words {
        text = text.replace(word, value);
    }
    text.into_bytes()
}

/// The SDK's Cargo.toml, without what it has from our workspace.
fn standing_alone(bytes: &[u8]) -> Vec<u8> {
    // The longer word goes first: the shorter one is a part of it.
    let words = [
        (
            "rust-version.workspace = true",
            concat!("rust-version = \"", env!("CARGO_PKG_RUST_VERSION"), "\""),
        ),
        (
            "version.workspace = true",
            concat!("version = \"", env!("CARGO_PKG_VERSION"), "\""),
        ),
        ("edition.workspace = true", "edition = \"2024\""),
        ("license.workspace = true", "license = \"Apache-2.0\""),
        ("[lints]\nworkspace = true\n", ""),
    ];
    filled(bytes, &words)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::cli::project::HandlerToml;

    fn text<'a>(files: &'a [File], name: &str) -> &'a str {
        let found = files.iter().find(|(path, _)| path == name);
        std::str::from_utf8(&found.unwrap_or_else(|| unreachable!("{name}")).1).unwrap()
    }

    #[test]
    fn every_language_has_a_whole_project() {
        for (language, needed) in [
            (
                Language::Rust,
                &[
                    "Cargo.toml",
                    "wxhost/sdk/src/lib.rs",
                    "wxhost/sdk/Cargo.toml",
                ],
            ),
            (
                Language::Js,
                &[
                    "package.json",
                    "wxhost/sdk-js/index.d.ts",
                    "wxhost/sdk-js/src/kv.js",
                ],
            ),
            (
                Language::Python,
                &[
                    "requirements.txt",
                    "wxhost/sdk-python/wxhost_sdk/kv.py",
                    "src/asked.py",
                ],
            ),
        ] {
            let files = files("hello-7", language, World::Bot);
            let common = [
                "README.md",
                ".gitignore",
                "handler.toml",
                "wxhost/wit/bot.wit",
            ];
            let more = [
                "wxhost/wit/callback/deps/keyvalue",
                "wxhost/LICENSE",
                "wxhost/README.md",
            ];
            for name in needed
                .iter()
                .chain(&common)
                .chain(&more)
                .chain(&[language.source(World::Bot)])
            {
                let there = files.iter().any(|(path, _)| path.starts_with(name));
                assert!(there, "{language:?}: {name}");
            }
            for (path, bytes) in &files {
                let text = String::from_utf8_lossy(bytes);
                assert!(!text.contains("{{"), "{language:?}: {path}");
                let is_left = path.contains("__pycache__") || path.contains("node_modules");
                assert!(!is_left, "{path}");
            }
            let toml = HandlerToml::parse(text(&files, "handler.toml")).unwrap();
            assert_eq!(toml.name.as_str(), "hello-7");
            let readme = text(&files, "README.md");
            assert!(readme.contains(language.setup().0), "{readme}");
        }
    }

    #[test]
    fn an_endpoint_can_be_begun_in_every_language() {
        for language in [Language::Rust, Language::Js, Language::Python] {
            let files = files("hook", language, World::Endpoint);
            let needed = [
                language.source(World::Endpoint),
                ".gitignore",
                "README.md",
                "wxhost/wit/endpoint/endpoint.wit",
                "wxhost/wit/endpoint/deps/http/package.wit",
            ];
            for name in needed {
                assert!(!text(&files, name).contains("{{"), "{language:?}: {name}");
            }
            let toml = HandlerToml::parse(text(&files, "handler.toml")).unwrap();
            assert_eq!((toml.name.as_str(), toml.world), ("hook", World::Endpoint));
        }
    }

    #[test]
    fn the_sdk_for_rust_needs_no_workspace() {
        let files = ours(Language::Rust, World::Bot);
        let cargo = text(&files, "wxhost/sdk/Cargo.toml");
        assert!(!cargo.contains("workspace"), "{cargo}");
        let parsed: toml::Table = toml::from_str(cargo).unwrap();
        let package = parsed.get("package").unwrap();
        assert_eq!(package.get("version").unwrap().as_str(), Some("0.1.0"));
        assert_eq!(package.get("rust-version").unwrap().as_str(), Some("1.95"));
        let bindings = text(&files, "wxhost/sdk/src/bindings.rs");
        assert!(bindings.contains("\"../wit\"") && !bindings.contains("../../wit"));
    }

    #[test]
    fn the_documented_file_is_read() {
        let files = ours(Language::Python, World::Bot);
        let readme = text(&files, "wxhost/README.md");
        let (_, rest) = readme.split_once("```toml\n").unwrap();
        let (toml, _) = rest.split_once("```").unwrap();
        HandlerToml::parse(toml).unwrap();
    }
}
