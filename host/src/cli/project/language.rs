//! The languages that bots are written in, and what each is built with.

use std::path::Path;

use clap::ValueEnum;

use super::World;

/// A language with an SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Built by cargo.
    Rust,
    /// JavaScript, built by npm and componentize-qjs.
    #[value(alias = "javascript")]
    Js,
    /// Built by componentize-py.
    Python,
}

/// Words that cargo takes for no package: keywords of Rust, and its own.
const NO_CRATES: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "wxhost-sdk",
    "yield",
];

impl Language {
    /// The one that a project is written in, by the file that its tool wants.
    pub fn of(dir: &Path) -> Option<Self> {
        let files = [
            ("Cargo.toml", Self::Rust),
            ("package.json", Self::Js),
            ("src/bot.py", Self::Python),
            ("src/serve.py", Self::Python),
        ];
        let found = files.into_iter().find(|(file, _)| dir.join(file).is_file());
        found.map(|(_, language)| language)
    }

    /// The folder of its templates, and how it is called in sentences.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => ("rust", "Rust"),
            Self::Js => ("js", "JavaScript"),
            Self::Python => ("python", "Python"),
        }
    }

    /// The folder of its SDK.
    pub fn sdk(self) -> &'static str {
        match self {
            Self::Rust => "sdk",
            Self::Js => "sdk-js",
            Self::Python => "sdk-python",
        }
    }

    /// The file that says what the component does.
    pub fn source(self, world: World) -> &'static str {
        match (self, world) {
            (Self::Rust, _) => "src/lib.rs",
            (Self::Js, World::Endpoint) => "src/endpoint.js",
            (Self::Js, _) => "src/bot.js",
            // componentize-py takes no module that is called as the world.
            (Self::Python, World::Endpoint) => "src/serve.py",
            (Self::Python, _) => "src/bot.py",
        }
    }

    /// What runs a project's tests.
    pub fn test(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Js => "npm test",
            Self::Python => "python3 -m unittest discover -s tests",
        }
    }

    /// What is done once before the first build, and why.
    pub fn setup(self) -> (&'static str, &'static str) {
        match self {
            Self::Rust => (
                "rustup target add wasm32-wasip2",
                "Once on this machine (Rust comes by https://rustup.rs):",
            ),
            Self::Js => (
                "npm install",
                "Once in this folder (npm comes with Node.js, https://nodejs.org):",
            ),
            Self::Python => (
                "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
                "Once in this folder (componentize-py makes components of Python):",
            ),
        }
    }

    /// Says why the language's tools would not take a handler's name.
    pub fn check_name(self, name: &str) -> Result<(), String> {
        let begins_with_digit = name.starts_with(|c: char| c.is_ascii_digit());
        if self == Self::Rust && (begins_with_digit || NO_CRATES.contains(&name)) {
            return Err(format!(
                "cargo takes no package called {name}: begin with a letter, and take no word of \
                 Rust's own"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_must_suit_the_tools() {
        for name in ["7up", "fn", "test", "std"] {
            assert!(Language::Rust.check_name(name).is_err(), "{name}");
            assert_eq!(Language::Python.check_name(name), Ok(()));
        }
        assert_eq!(Language::Rust.check_name("hello-7"), Ok(()));
    }

    #[test]
    fn words_are_in_order_to_be_found() {
        assert!(NO_CRATES.is_sorted());
    }
}
