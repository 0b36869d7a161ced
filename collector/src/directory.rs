//! Opening and listing directories and log files without ever following a symlink below a root, and
//! without waiting on anything that is not a regular file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, open, openat};
use rustix::io::Errno;

/// The most names of interest in one directory; more are left out with a warning.
pub(crate) const DIRECTORY_NAMES_MAX: usize = 100_000;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: OsString,
    pub inode: u64,
    /// `Unknown` where the file system does not say.
    pub kind: FileType,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What helps against an error, to be put behind it; empty if nothing is known to.
pub(crate) fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            " (run as root or with the capability CAP_DAC_READ_SEARCH)"
        }
        _ => "",
    }
}

/// Whether the process or the system has too many files open.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Opens a directory that the operator named: symlinks on the way are the operator's.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, DIRECTORY, Mode::empty())?)
}

/// Opens a directory below a root, name by name: what a task wrote may be a symlink to anywhere.
pub(crate) fn open_beneath<'a>(
    root: OwnedFd,
    names: impl Iterator<Item = &'a OsStr>,
) -> io::Result<OwnedFd> {
    let mut directory = root;
    for name in names {
        directory =
            openat(&directory, name.as_bytes(), DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(directory)
}

/// The names for which `keep` says yes, in the directory's own order.
pub(crate) fn list(
    directory: &OwnedFd,
    mut keep: impl FnMut(&OsStr) -> bool,
) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    // `read_from` opens the directory anew, so that each listing begins at its start.
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." || !keep(name) {
            continue;
        }
        if entries.len() >= DIRECTORY_NAMES_MAX {
            tracing::warn!(limit = DIRECTORY_NAMES_MAX, "a directory holds too many log files");
            break;
        }
        entries.push(Entry { name: name.to_owned(), inode: entry.ino(), kind: entry.file_type() });
    }
    Ok(entries)
}

/// Opens a file for reading. A FIFO does not make us wait, a symlink is an error (`ELOOP`), and
/// reading leaves no trace in the access time where that is permitted.
pub(crate) fn open_file(directory: impl AsFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = name.as_bytes();
    match openat(&directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(openat(&directory, name, flags, Mode::empty())?.into()),
        other => Ok(other?.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_below_the_root_are_not_followed() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("real/inner")).expect("mkdir");
        std::fs::write(dir.path().join("real/f"), "x").expect("write");
        symlink("real", dir.path().join("link")).expect("symlink");
        symlink("f", dir.path().join("real/g")).expect("symlink");
        let root = || open_root(dir.path()).expect("root");
        let descend = |names: &[&'static str]| {
            open_beneath(root(), names.iter().map(|name| OsStr::new(*name)))
        };
        let real = descend(&["real"]).expect("real");
        assert!(descend(&["real", "inner"]).is_ok());
        assert!(descend(&["link"]).is_err());
        assert!(descend(&["link", "inner"]).is_err());
        assert!(open_file(&real, OsStr::new("f")).is_ok());
        assert!(open_file(&real, OsStr::new("g")).is_err());
    }

    #[test]
    fn lists_what_is_kept() {
        let dir = tempfile::tempdir().expect("temp dir");
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), "x").expect("write");
        }
        let root = open_root(dir.path()).expect("root");
        for _ in 0..2 {
            let mut entries = list(&root, |name| name != "b").expect("list");
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            let names: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
            assert_eq!(names, ["a", "c"]);
            assert!(entries.iter().all(|entry| entry.kind == FileType::RegularFile));
        }
    }
}
