//! A bot's project: the folder with `handler.toml`, and what is done in it.

mod accounts;
pub mod build;
mod component;
mod language;
pub mod manifest;
mod new;
mod tools;

use std::{
    env,
    path::{Path, PathBuf},
};

pub use self::{build::BuildArgs, component::World, manifest::HandlerToml, new::NewArgs};
use super::failure::Failure;

/// The file that makes a folder a project.
pub const FILE: &str = "handler.toml";

/// A folder with what its `handler.toml` says.
#[derive(Debug)]
pub struct Project {
    /// The folder.
    pub dir: PathBuf,
    /// What the file says.
    pub toml: HandlerToml,
}

impl Project {
    /// The project of this file, or of the folder that we are in: the nearest
    /// `handler.toml`, here or above.
    pub fn open(manifest: Option<&Path>) -> Result<Self, Failure> {
        match manifest {
            Some(file) if file.is_dir() => Self::read(&file.join(FILE)),
            Some(file) => Self::read(file),
            None => {
                let here = env::current_dir().map_err(|error| Failure::local(".", error))?;
                let file = nearest(&here).ok_or_else(|| {
                    Failure::Usage(format!(
                        "there is no {FILE} here or above: `wxhost new NAME` makes a project, \
                         --manifest names one that is elsewhere"
                    ))
                })?;
                Self::read(&file)
            }
        }
    }

    fn read(file: &Path) -> Result<Self, Failure> {
        let toml = HandlerToml::read(file)?;
        let dir = file.parent().unwrap_or(Path::new(""));
        let dir = match dir.as_os_str().is_empty() {
            true => Path::new("."),
            false => dir,
        };
        Ok(Self {
            dir: dir.to_owned(),
            toml,
        })
    }

    /// Where the component is.
    pub fn component(&self) -> PathBuf {
        self.dir.join(&self.toml.component)
    }

    /// The component's bytes, once it is known to be of the world that the file says.
    pub fn read_component(&self) -> Result<Vec<u8>, Failure> {
        let path = self.component();
        let bytes = std::fs::read(&path).map_err(|error| {
            Failure::Usage(format!(
                "{}: {error}; `wxhost build` makes it, and `component` in {FILE} says where it is",
                path.display()
            ))
        })?;
        self.toml
            .world
            .check(&bytes)
            .map_err(|problem| Failure::Usage(format!("{}: {problem}", path.display())))?;
        Ok(bytes)
    }
}

fn nearest(from: &Path) -> Option<PathBuf> {
    let candidates = from.ancestors().map(|dir| dir.join(FILE));
    candidates.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_nearest_file_above_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(nearest(&deep), None);
        std::fs::write(dir.path().join("a").join(FILE), "").unwrap();
        std::fs::write(dir.path().join(FILE), "").unwrap();
        assert_eq!(nearest(&deep), Some(dir.path().join("a").join(FILE)));
    }
}
