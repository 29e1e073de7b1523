//! The directory of all clients. It may lie in one that everybody can write to, as the
//! seed's `/tmp`: what lies there is then ours alone, or not used.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    process::geteuid,
};

use crate::{domain::client::Places, files};

/// Permission bits that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The one that lets everybody write.
const WRITABLE_BY_ALL: u32 = 0o002;
/// The bit by which nobody can remove what another one has put into a directory.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Makes the directories, and holds them for this host as long as what comes out is
/// open: two hosts would end each other's clients. Blocks.
pub fn hold(places: &Places) -> io::Result<fs::File> {
    let (tmpdir, clients) = (&places.tmpdir, places.tmpdir.join("clients"));
    make(tmpdir)?;
    make(&clients)?;
    let found = fs::metadata(tmpdir)?;
    let writable = found.mode() & WRITABLE_BY_OTHERS != 0;
    if writable && !is_sticky(&found) {
        return Err(unfit(tmpdir, "others can write to it"));
    }
    if !is_own(&clients)? {
        return Err(unfit(&clients, "it is not this user's alone"));
    }
    let held = fs::File::open(&clients)?;
    flock(&held, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| unfit(tmpdir, "another host keeps its clients here"))?;
    files::remove_leftovers(&clients);
    Ok(held)
}

/// Whether a file may be run: where everybody can put files, only one that is ours or the
/// system's. Blocks.
pub fn is_trusted(file: &Path) -> bool {
    let parent = file.parent().map(fs::metadata);
    let shared = parent.is_some_and(|it| it.is_ok_and(|it| it.mode() & WRITABLE_BY_ALL != 0));
    !shared
        || fs::symlink_metadata(file).is_ok_and(|it| {
            let known = it.uid() == geteuid().as_raw() || it.uid() == ROOT;
            it.is_file() && known && it.mode() & WRITABLE_BY_ALL == 0
        })
}

fn make(path: &Path) -> io::Result<()> {
    let mut dirs = fs::DirBuilder::new();
    let made = dirs.recursive(true).mode(0o700).create(path);
    made.map_err(|error| unfit(path, &error.to_string()))
}

fn is_sticky(found: &fs::Metadata) -> bool {
    let known = found.uid() == ROOT || found.uid() == geteuid().as_raw();
    known && found.mode() & STICKY != 0
}

/// A link is nobody's.
fn is_own(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    let ours = found.uid() == geteuid().as_raw();
    Ok(found.is_dir() && ours && found.mode() & WRITABLE_BY_OTHERS == 0)
}

fn unfit(path: &Path, problem: &str) -> io::Error {
    let path = path.display();
    io::Error::other(format!(
        "openwx.tmpdir: {path}: {problem}: give a directory of your own"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::domain::client::ClientPolicy;
    use std::os::unix::fs::PermissionsExt;

    fn places(mode: u32) -> (tempfile::TempDir, Places) {
        let data = tempfile::tempdir().unwrap();
        let places = ClientPolicy::default().places(data.path());
        make(&places.tmpdir).unwrap();
        set_mode(&places.tmpdir, mode);
        (data, places)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn problem(places: &Places) -> String {
        hold(places).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_that_all_share_is_fine_when_nobody_can_remove_what_is_ours() {
        let (_data, shared) = places(0o1777);
        let held = hold(&shared).unwrap();
        let clients = fs::metadata(shared.tmpdir.join("clients")).unwrap();
        assert_eq!(clients.mode() & 0o777, 0o700);
        assert!(problem(&shared).contains("another host"));
        drop(held);
        hold(&shared).unwrap();
        let (_data, open) = places(0o777);
        let problem = problem(&open);
        assert!(problem.contains("openwx.tmpdir"), "{problem}");
        assert!(problem.contains("a directory of your own"), "{problem}");
    }

    #[test]
    fn clients_of_somebody_else_are_left_alone() {
        let (data, shared) = places(0o1777);
        std::os::unix::fs::symlink(data.path(), shared.tmpdir.join("clients")).unwrap();
        assert!(problem(&shared).contains("not this user's alone"));
        let (_data, open) = places(0o1777);
        make(&open.tmpdir.join("clients")).unwrap();
        set_mode(&open.tmpdir.join("clients"), 0o777);
        assert!(problem(&open).contains("not this user's alone"));
    }

    #[test]
    fn where_everybody_can_put_files_only_ours_are_run() {
        let (data, shared) = places(0o1777);
        let script = shared.tmpdir.join("a.pl");
        fs::write(&script, "").unwrap();
        set_mode(&script, 0o644);
        assert!(is_trusted(&script));
        set_mode(&script, 0o666);
        assert!(!is_trusted(&script));
        let link = shared.tmpdir.join("link.pl");
        std::os::unix::fs::symlink(data.path().join("b.pl"), &link).unwrap();
        assert!(!is_trusted(&link));
        assert!(is_trusted(&data.path().join("b.pl")));
    }
}
