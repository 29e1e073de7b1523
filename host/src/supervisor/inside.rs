//! A client's own directory, entered without following a single link: what lies in
//! there is the client's to change at any time, and must not lead the host elsewhere.

use std::{
    ffi::OsStr,
    fs,
    io::{self, ErrorKind},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Component, Path},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, unlinkat},
    io::Errno,
};

/// A directory that is held open.
#[derive(Debug)]
pub struct Inside(OwnedFd);

impl Inside {
    /// Enters this directory. Blocks.
    pub fn of(dir: &Path) -> io::Result<Self> {
        enter(CWD, dir.as_os_str()).map(Self)
    }

    /// Makes the directories on this way, for this user only. Blocks.
    pub fn make_dirs(&self, way: &Path) -> io::Result<()> {
        self.walk(way, true).map(drop)
    }

    /// Removes a file, or a link and not what it leads to. Blocks.
    pub fn remove(&self, way: &Path) -> io::Result<()> {
        let (dir, name) = self.place(way)?;
        Ok(unlinkat(dir, name, AtFlags::empty())?)
    }

    /// Opens a file to be read, and nothing that one may wait at. Blocks.
    pub fn open(&self, way: &Path) -> io::Result<fs::File> {
        let (dir, name) = self.place(way)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        plain(openat(dir, name, flags, Mode::empty())?.into())
    }

    /// The directory in which something lies, and its name there.
    fn place<'a>(&self, way: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let name = way.file_name().ok_or_else(no_plain_file)?;
        let dir = self.walk(way.parent().unwrap_or(Path::new("")), false)?;
        Ok((dir, name))
    }

    fn walk(&self, way: &Path, make: bool) -> io::Result<OwnedFd> {
        let mut dir = self.0.try_clone()?;
        for step in way.components() {
            let name = match step {
                Component::Normal(name) => name,
                Component::CurDir => continue,
                _ => return Err(no_plain_file()),
            };
            if make {
                match mkdirat(&dir, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            dir = enter(&dir, name)?;
        }
        Ok(dir)
    }
}

fn enter(at: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, name, flags, Mode::empty())?)
}

/// Opens a file as these options say, but no link, and nothing that one may wait at
/// for ever. Blocks.
pub fn open_plain(options: &mut fs::OpenOptions, path: &Path) -> io::Result<fs::File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    plain(options.custom_flags(flags.bits() as i32).open(path)?)
}

fn plain(file: fs::File) -> io::Result<fs::File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(no_plain_file()),
    }
}

fn no_plain_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is no plain file")
}

/// Whether something was not opened because of a link, or because it is no file.
pub fn is_odd(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    error.kind() == ErrorKind::InvalidInput
        || matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::NXIO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_on_any_way() {
        let root = tempfile::tempdir().unwrap();
        let (own, victim) = (root.path().join("own"), root.path().join("victim"));
        fs::create_dir(&own).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("precious"), "p").unwrap();
        symlink(&victim, own.join("sub")).unwrap();
        let inside = Inside::of(&own).unwrap();
        let way = Path::new("sub/precious");
        assert!(is_odd(&inside.remove(way).unwrap_err()));
        assert!(is_odd(&inside.open(way).unwrap_err()));
        assert!(inside.make_dirs(Path::new("sub/more")).is_err());
        assert!(inside.open(Path::new("../victim/precious")).is_err());
        assert!(Inside::of(&own.join("sub")).is_err());
        inside.remove(Path::new("sub")).unwrap();
        assert!(victim.join("precious").exists() && !victim.join("more").exists());
    }

    #[test]
    fn directories_are_made_and_their_files_read_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let inside = Inside::of(root.path()).unwrap();
        inside.make_dirs(Path::new("a/b")).unwrap();
        inside.make_dirs(Path::new("./a/b")).unwrap();
        fs::write(root.path().join("a/b/c"), "c").unwrap();
        let way = Path::new("a/b/c");
        let read = io::read_to_string(inside.open(way).unwrap());
        assert_eq!(read.unwrap(), "c");
        inside.remove(way).unwrap();
        let gone = inside.open(way).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        assert!(is_odd(&inside.open(Path::new("a/b")).unwrap_err()));
    }
}
