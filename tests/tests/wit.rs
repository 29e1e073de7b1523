//! Every item of our WIT packages says what it is: they are what authors read.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What names something that is documented where it is.
const BARE: [&str; 4] = ["use ", "import ", "export ", "include "];

/// What a file has.
#[derive(Debug, Default)]
struct Items {
    documented: Vec<String>,
    undocumented: Vec<String>,
}

/// Takes a text apart: an item is what comes before a `;`, a `,`, a `{` or a `}`, and its
/// comment is what stands before it.
fn items(text: &str) -> Items {
    let mut items = Items::default();
    let (mut item, mut has_comment, mut nested) = (String::new(), false, 0);
    for line in text.lines() {
        has_comment |= line.trim_start().starts_with("///");
        let code = line.split("//").next().unwrap_or_default();
        let mut before = ' ';
        for c in code.chars().chain([' ']) {
            // Of what is in brackets nothing ends an item; nor what is in a `use`.
            let arrow = (before, c) == ('-', '>');
            let names = item.starts_with("use ");
            match c {
                '(' | '<' => nested += 1,
                ')' | '>' if !arrow => nested -= 1,
                '{' if names => nested += 1,
                '}' if names => nested -= 1,
                _ => {}
            }
            match nested == 0 && matches!(c, ';' | ',' | '{' | '}') && !(names && c != ';') {
                true => {
                    items.add(&item, has_comment);
                    (item, has_comment) = (String::new(), false);
                }
                false if item.is_empty() && c.is_whitespace() => {}
                false => item.push(c),
            }
            before = c;
        }
    }
    assert_eq!((nested, item.as_str()), (0, ""), "it does not end");
    items
}

impl Items {
    fn add(&mut self, item: &str, has_comment: bool) {
        let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
        let bare = BARE.iter().any(|word| item.starts_with(word));
        match has_comment {
            // A comment that stands before a bracket's end is nobody's.
            _ if item.is_empty() || bare => {}
            true => self.documented.push(item),
            false => self.undocumented.push(item),
        }
    }
}

/// The files of our own packages: those under `deps` are other people's.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("deps") {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|it| it == "wit") {
            files.push(path);
        }
    }
    files
}

#[test]
fn every_item_has_a_comment() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (mut documented, mut undocumented) = (Vec::new(), Vec::new());
    for file in files(&folder) {
        let items = items(&fs::read_to_string(&file).unwrap());
        documented.extend(items.documented);
        let of_file = |item: String| format!("{}: {item}", file.display());
        undocumented.extend(items.undocumented.into_iter().map(of_file));
    }
    assert!(undocumented.is_empty(), "{undocumented:#?}");
    // One of each kind was found, so nothing was passed over as a whole.
    for item in [
        "package wxhost:bot@0.1.0",
        "package wxhost:callback@0.1.0",
        "package wxhost:endpoint@0.1.0",
        "world endpoint",
        "interface web",
        "type timer-id = string",
        "record request",
        "headers: list<tuple<string, string>>",
        "variant login-decision",
        "refuse(string)",
        "enum sex",
        "female",
        "fetch: func(request: request) -> result<response, failure>",
    ] {
        assert!(documented.iter().any(|it| it == item), "no {item}");
    }
}

#[test]
fn an_item_without_a_comment_is_found() {
    let text = "package a:b;\n\
        interface i {\n  use c.{d, e};\n  use f.{\n    g,\n  };\n\
        \x20 record r {\n    /// Said.\n    one: list<tuple<u8, u8>>,\n    two: u8\n  }\n\
        \x20 /// Said.\n  variant v { x(u8), y }\n  flags f { z }\n  resource s {\n\
        \x20   /// Said.\n    constructor(a: u8);\n    m: func(\n      a: u8,\n    ) -> result<_, u8>;\n\
        \x20 }\n  // No comment for authors.\n  t: func();\n}\n\
        /// Said.\nworld w {\n  import i;\n  export a:b/i@1.0.0;\n}\n";
    let found = items(text);
    let bare: Vec<_> = found.undocumented.iter().map(String::as_str).collect();
    let wanted = [
        "package a:b",
        "interface i",
        "record r",
        "two: u8",
        "x(u8)",
        "y",
        "flags f",
        "z",
        "resource s",
        "m: func( a: u8, ) -> result<_, u8>",
        "t: func()",
    ];
    assert_eq!(bare, wanted);
    let said = [
        "one: list<tuple<u8, u8>>",
        "variant v",
        "constructor(a: u8)",
        "world w",
    ];
    assert_eq!(found.documented, said);
}
