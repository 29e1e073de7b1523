//! Lists what `wxhost new` writes into a project, so that the binary brings it along: the
//! SDKs, the interfaces and the templates.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// Where each of them lies in the tree, and under which name the binary knows it.
const SOURCES: [(&str, &str); 6] = [
    ("wit", "wit"),
    ("guests/sdk/src", "sdk/src"),
    ("guests/sdk-js/src", "sdk-js/src"),
    ("guests/sdk-python/wxhost_sdk", "sdk-python/wxhost_sdk"),
    ("guests/templates", "templates"),
    ("LICENSE", "LICENSE"),
];
/// Single files beside them.
const FILES: [(&str, &str); 3] = [
    ("guests/sdk/Cargo.toml", "sdk/Cargo.toml"),
    ("guests/sdk-js/package.json", "sdk-js/package.json"),
    ("guests/sdk-js/index.d.ts", "sdk-js/index.d.ts"),
];
/// What tools leave behind.
const LEFT_OUT: [&str; 2] = ["__pycache__", "node_modules"];

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    let root = root.canonicalize()?;
    let mut found = Vec::new();
    for (from, name) in SOURCES.into_iter().chain(FILES) {
        println!("cargo::rerun-if-changed={}", root.join(from).display());
        collect(&root.join(from), name, &mut Vec::new(), &mut found)?;
    }
    found.sort();
    let mut code = String::from("pub const FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in found {
        code.push_str(&format!("({name:?}, include_bytes!({path:?})),\n"));
    }
    code.push_str("];\n");
    fs::write(Path::new(&variable("OUT_DIR")?).join("embedded.rs"), code)
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// Every file of a folder. Links are followed: a package of WIT holds its dependencies. One
/// that leads to a folder which it lies in stands for that folder's own files.
fn collect(
    path: &Path,
    name: &str,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    if !path.is_dir() {
        found.push((name.to_owned(), path.to_owned()));
        return Ok(());
    }
    let real = path.canonicalize()?;
    let is_loop = above.contains(&real);
    above.push(real);
    for entry in fs::read_dir(path)? {
        let entry = entry?.file_name();
        let entry = entry.to_string_lossy();
        let inner = path.join(entry.as_ref());
        if LEFT_OUT.contains(&entry.as_ref()) || (is_loop && inner.is_dir()) {
            continue;
        }
        collect(&inner, &format!("{name}/{entry}"), above, found)?;
    }
    above.pop();
    Ok(())
}
