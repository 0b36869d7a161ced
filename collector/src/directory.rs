//! Opening and listing directories and log files without ever following a symlink below a root, and
//! without opening anything that is not a regular file.
//!
//! The kernel itself is told to stay beneath the directory (`openat2`, since Linux 5.6); where it has no
//! such call, or a seccomp filter forbids it, each name is opened by itself and may be no symlink, which
//! is as safe. Mounts may be crossed: persistent volumes and sandboxes in memory are mounts of their
//! own, and only root makes one that we see. A hard link cannot be told from the file itself; that a
//! user may link only what is theirs is the kernel's `fs.protected_hardlinks`.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, open, openat, openat2};
use rustix::io::Errno;

use crate::identity::facts;

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

const PRIVATE: u32 = 0o700;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A file that is only looked at: a device or a FIFO is told nothing.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
/// Resolves below the directory only, and through no symlink, also none of `/proc`'s.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

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

/// Makes a directory, with those above it, that only its owner may use; one that is there becomes so.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(PRIVATE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::set_permissions(path, Permissions::from_mode(PRIVATE))
        }
        made => made,
    }
}

/// Opens a directory below a root: what a task wrote may be a symlink to anywhere.
pub(crate) fn open_beneath<'a>(
    root: OwnedFd,
    names: impl Iterator<Item = &'a OsStr>,
) -> io::Result<OwnedFd> {
    let path: PathBuf = names.collect();
    if path.as_os_str().is_empty() {
        return Ok(root);
    }
    match openat2(&root, &path, DIRECTORY | OFlags::NOFOLLOW, Mode::empty(), BENEATH) {
        Err(error) if is_no_answer(error) => descend(root, &path),
        other => Ok(other?),
    }
}

/// Whether the kernel's refusal is about the call and not about the path: no such call, forbidden to
/// us, too long a path for one call, or something was renamed meanwhile.
fn is_no_answer(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOSYS
            | Errno::PERM
            | Errno::INVAL
            | Errno::TOOBIG
            | Errno::NAMETOOLONG
            | Errno::AGAIN
    )
}

/// The same name by name.
fn descend(root: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut directory = root;
    for name in path {
        if name == ".." || name == "/" {
            return Err(Errno::XDEV.into());
        }
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

/// Opens a regular file for reading. Anything else is an error (`ELOOP`, as for a symlink) and is not
/// even opened, since opening a device can have effects. Reading leaves no trace in the access time
/// where that is permitted.
pub(crate) fn open_file(directory: impl AsFd, name: &OsStr) -> io::Result<File> {
    let looked_at = look_at(&directory, name)?;
    if facts(&looked_at)?.kind != FileType::RegularFile {
        return Err(Errno::LOOP.into());
    }
    // What was looked at and nothing else: the name may be another file's by now.
    let link = format!("/proc/self/fd/{}", looked_at.as_raw_fd());
    let opened = read_only(|flags| open(&link, flags, Mode::empty()));
    let file: File = match opened {
        // Without /proc; the same file, or nothing.
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let name = name.as_bytes();
            let again = read_only(|flags| {
                openat(&directory, name, flags | OFlags::NOFOLLOW, Mode::empty())
            });
            again?.into()
        }
        other => other?.into(),
    };
    if facts(&file)?.key != facts(&looked_at)?.key {
        return Err(Errno::LOOP.into());
    }
    Ok(file)
}

fn look_at(directory: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    match openat2(&directory, name.as_bytes(), LOOK, Mode::empty(), BENEATH) {
        Err(error) if is_no_answer(error) && !name.as_bytes().contains(&b'/') => {
            Ok(openat(&directory, name.as_bytes(), LOOK, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

/// Opens without a trace in the access time, or with one where that is not permitted.
fn read_only(open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    match open(READ | OFlags::NOATIME) {
        Err(Errno::PERM) => open(READ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn without_openat2_the_same_is_refused() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("real/inner")).expect("mkdir");
        symlink("real", dir.path().join("link")).expect("symlink");
        let descend = |path: &str| descend(open_root(dir.path()).expect("root"), Path::new(path));
        assert!(descend("real/inner").is_ok());
        for path in ["link", "link/inner", "real/..", "real/../../etc", "/", "/etc", "none"] {
            assert!(descend(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_private_directory_is_its_owners_alone_even_if_it_was_not() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("above/private");
        create_private(&path).expect("made");
        let mode = || path.metadata().expect("stat").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
        create_private(&path).expect("tightened");
        assert_eq!(mode(), 0o700);
    }

    #[test]
    fn the_longest_path_is_opened_whatever_a_call_takes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let name = "d".repeat(250);
        let mut at = open_root(dir.path()).expect("root");
        for _ in 0..20 {
            rustix::fs::mkdirat(&at, name.as_str(), Mode::RWXU).expect("mkdir");
            at = openat(&at, name.as_str(), DIRECTORY, Mode::empty()).expect("open");
        }
        let root = open_root(dir.path()).expect("root");
        let names = std::iter::repeat_n(OsStr::new(name.as_str()), 20);
        let found = open_beneath(root, names).expect("opened");
        assert_eq!(facts(&found).expect("stat").key, facts(&at).expect("stat").key);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("f"), "x").expect("write");
        symlink("/etc/passwd", dir.path().join("link")).expect("symlink");
        std::fs::create_dir(dir.path().join("dir")).expect("mkdir");
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR).expect("fifo");
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket"));
        let root = open_root(dir.path()).expect("root");
        assert!(open_file(&root, OsStr::new("f")).is_ok());
        for name in ["link", "dir", "fifo", "socket", "../f"] {
            assert!(open_file(&root, OsStr::new(name)).is_err(), "{name}");
        }
        // Nobody was told that somebody reads: a writer that does not wait finds no reader.
        let writer = open(&fifo, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
        assert_eq!(writer.err(), Some(Errno::NXIO));
    }

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
