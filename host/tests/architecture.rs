//! Holds every `use crate::…` against the table in ARCHITECTURE.md.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// part → what it may use.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = text.split("| part | uses |").nth(1).unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let part = cells.next().unwrap().to_owned();
        (
            part,
            cells
                .next()
                .unwrap_or("")
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        )
    })
    .collect()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The parts that a source names after `crate::`, tests left out.
fn used(source: &str) -> BTreeSet<String> {
    let code = without_tests(source);
    let mut parts = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code.get(at + "crate::".len()..).unwrap();
        match rest.strip_prefix('{') {
            // `use crate::{a::b, c}`: the names at the first level of the braces.
            Some(group) => parts.extend(first_level(group)),
            None => parts.extend(first_word(rest)),
        }
    }
    parts
}

/// What stands before the module of tests within the file. `mod tests;` alone
/// names another file, and `use` lines may follow it.
fn without_tests(source: &str) -> &str {
    const MARK: &str = "#[cfg(test)]";
    for (at, _) in source.match_indices(MARK) {
        let (before, rest) = source.split_at(at);
        let item = rest[MARK.len()..].trim_start();
        let end = item.find([';', '{']).unwrap_or(item.len());
        if item.starts_with("mod ") && item[end..].starts_with('{') {
            return before;
        }
    }
    source
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

fn first_level(group: &str) -> Vec<String> {
    let (mut depth, mut item, mut items) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.extend(first_word(std::mem::take(&mut item).trim())),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    items.extend(first_word(item.trim()));
    items
}

#[test]
fn every_part_uses_only_what_the_table_allows() {
    let (allowed, src) = (allowed(), root().join("host/src"));
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut offences = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let part = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let part = part.trim_end_matches(".rs");
        if matches!(part, "main" | "lib")
            || file.ends_with("suite.rs")
            || file.ends_with("tests.rs")
            || inside.components().any(|part| part.as_os_str() == "tests")
        {
            continue;
        }
        let may = allowed
            .get(part)
            .unwrap_or_else(|| panic!("ARCHITECTURE.md does not say what {part} may use"));
        for other in used(&fs::read_to_string(&file).unwrap()) {
            if other != part && !may.contains(&other) {
                offences.push(format!("{}: uses {other}", inside.display()));
            }
        }
    }
    assert!(
        offences.is_empty(),
        "against ARCHITECTURE.md:\n{}",
        offences.join("\n")
    );
}

#[test]
fn the_domain_names_no_engine_server_or_store() {
    let mut files = Vec::new();
    sources(&root().join("host/src/domain"), &mut files);
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        for word in [
            "axum::",
            "wasmtime::",
            "sled::",
            "hyper::",
            "tokio::",
            "reqwest::",
        ] {
            assert!(!source.contains(word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn the_table_is_read() {
    let allowed = allowed();
    assert!(allowed["domain"].is_empty());
    assert!(allowed["edge"].contains("service"));
    assert_eq!(used("use crate::{a, b::{c, d}, e::f}; crate::g::h"), {
        ["a", "b", "e", "g"].map(str::to_owned).into()
    });
    let source = "#[cfg(test)]\nmod tests;\nuse crate::a;\n#[cfg(test)]\nmod own {\nuse crate::b;";
    assert_eq!(used(source), ["a"].map(str::to_owned).into());
}

// ------------------------------------------------------------ the contract

/// Whether a line of WIT begins something that an author may ask about.
fn is_item(line: &str) -> bool {
    const KEYWORDS: [&str; 9] = [
        "interface",
        "world",
        "type",
        "record",
        "variant",
        "enum",
        "flags",
        "resource",
        "package",
    ];
    let word = line.split_whitespace().next().unwrap_or_default();
    let (name, rest) = line.split_at(line.find([':', '(', ',']).unwrap_or(line.len()));
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    KEYWORDS.contains(&word) || (is_name && !rest.is_empty())
}

#[test]
fn every_item_of_the_contract_is_documented() {
    let wit = root().join("wit");
    let folders = [wit.join("callback"), wit.join("endpoint"), wit];
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    let (mut items, mut without) = (0, Vec::new());
    for file in files.map(|it| it.unwrap().path()) {
        if file.extension().is_none_or(|it| it != "wit") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let mut before = "";
        for line in text.lines().map(str::trim) {
            if is_item(line) {
                items += 1;
                // The package is told of once, where it is longest.
                if !before.starts_with("///") && !line.starts_with("package") {
                    without.push(format!("{}: {line}", file.display()));
                }
            }
            before = line;
        }
    }
    assert!(items > 300, "only {items} items were found");
    assert_eq!(without, Vec::<String>::new());
}
