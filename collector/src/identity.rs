//! Which file an open descriptor is, from the inode and never from its content.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, Statx, StatxFlags, statx};
use sawlog_transport::FileIdentity;

use crate::file_system::Answer;
use crate::sys;

/// In such blocks the system counts what a file has on the disk, whatever the file system's are.
const BLOCK_BYTES: u64 = 512;

/// What tells two inodes apart at one moment without opening them. An inode that is open cannot be
/// used again; for one that is not, the birth time tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InodeKey {
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds since the epoch; 0 where the file system keeps none.
    pub birth_time: i64,
}

/// What a file's inode says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub key: InodeKey,
    pub kind: FileType,
    /// Bytes.
    pub size: u64,
    /// Bytes on the disk: holes have none.
    pub allocated: u64,
    /// Nanoseconds since the epoch.
    pub modified: i64,
    /// Names the file still has.
    pub links: u32,
    /// The user to whom it belongs.
    pub owner: u32,
    /// Who may do what.
    pub mode: Mode,
}

/// The facts of an open file or directory.
pub(crate) fn facts(file: impl AsFd) -> io::Result<Facts> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(Facts::of(&statx(file, "", AtFlags::EMPTY_PATH, wanted)?))
}

/// The facts of a name in a directory; a symlink's own.
pub(crate) fn facts_at(directory: impl AsFd, name: &std::ffi::OsStr) -> io::Result<Facts> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(Facts::of(&statx(directory, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW, wanted)?))
}

/// The facts of what a path leads to through symlinks.
pub(crate) fn facts_behind(path: &std::path::Path) -> io::Result<Facts> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(Facts::of(&statx(rustix::fs::CWD, path, AtFlags::empty(), wanted)?))
}

/// The facts of a path; a symlink's own.
pub(crate) fn facts_of_path(path: &std::path::Path) -> io::Result<Facts> {
    facts_at(rustix::fs::CWD, path.as_os_str())
}

impl Facts {
    fn of(stat: &Statx) -> Self {
        let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        let birth_time = if has_birth { nanos(&stat.stx_btime) } else { 0 };
        let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Self {
            key: InodeKey { device, inode: stat.stx_ino, birth_time },
            kind: FileType::from_raw_mode(u32::from(stat.stx_mode)),
            size: stat.stx_size,
            allocated: stat.stx_blocks.saturating_mul(BLOCK_BYTES),
            modified: nanos(&stat.stx_mtime),
            links: stat.stx_nlink,
            owner: stat.stx_uid,
            mode: Mode::from_raw_mode(u32::from(stat.stx_mode)),
        }
    }
}

fn nanos(time: &rustix::fs::StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
}

/// The identities by which the file's generations may be named, from its descriptor, its facts and what
/// is known of its file system: by the first, unless it is known by another one.
pub(crate) fn identities(
    file: &File,
    facts: &Facts,
    answer: &Answer,
) -> impl Iterator<Item = FileIdentity> + use<> {
    let InodeKey { inode, birth_time, .. } = facts.key;
    let inode_generation = sys::inode_generation(file);
    answer.names().map(move |file_system| FileIdentity {
        file_system,
        inode,
        inode_generation,
        birth_time,
    })
}

/// The identity that names the generations of a file that is not known.
#[cfg(test)]
pub(crate) fn identify(file: &File, facts: &Facts) -> FileIdentity {
    let answer = Answer::of(file, facts.key.device);
    identities(file, facts, &answer).next().expect("a device has a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_of(path: &std::path::Path) -> FileIdentity {
        let file = File::open(path).expect("open");
        identify(&file, &facts(&file).expect("stat"))
    }

    #[test]
    fn follows_a_rename_and_tells_a_new_file_from_an_old_one() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (old, new) = (dir.path().join("stdout"), dir.path().join("stdout.1"));
        std::fs::write(&old, "same").expect("write");
        let first = identity_of(&old);
        std::fs::rename(&old, &new).expect("rename");
        assert_eq!(identity_of(&new), first);
        std::fs::remove_file(&new).expect("remove");
        // Most file systems give the same inode number again.
        std::fs::write(&old, "same").expect("write");
        assert_ne!(identity_of(&old), first);
    }

    #[test]
    fn the_facts_of_a_name_are_those_of_its_file() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::write(dir.path().join("f"), "12345").expect("write");
        std::os::unix::fs::symlink("f", dir.path().join("link")).expect("symlink");
        let directory = File::open(dir.path()).expect("open");
        let found = facts_at(&directory, "f".as_ref()).expect("stat");
        assert_eq!(found, facts(File::open(dir.path().join("f")).expect("open")).expect("stat"));
        assert_eq!((found.size, found.links), (5, 1));
        let link = facts_at(&directory, "link".as_ref()).expect("stat");
        assert_eq!(link.kind, FileType::Symlink);
    }
}
