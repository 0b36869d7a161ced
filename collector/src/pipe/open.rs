//! Opens the file that is written, whatever stands at its name: the sandbox is the container's.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::rotated::Rotated;
use crate::identity::facts_at;

/// Makes a new file; it is an error if there is something of that name.
pub(super) fn create(directory: &OwnedFd, name: &str, mode: Mode) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags | OFlags::NOFOLLOW, mode)?.into())
}

/// Opens the file to append to it. What is no file (a symlink, a FIFO) is removed, and a file that is
/// not ours to write is rotated away.
pub(super) fn open_or_create(
    directory: &OwnedFd,
    name: &str,
    mode: Mode,
    rotated: &mut Rotated,
) -> io::Result<File> {
    let Ok(found) = facts_at(directory, name.as_ref()) else {
        return create(directory, name, mode);
    };
    match found.kind {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => {
            unlinkat(directory, name, AtFlags::empty())?;
            return create(directory, name, mode);
        }
    }
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        Err(Errno::ACCESS | Errno::PERM) => {
            rotated.push(&found)?;
            create(directory, name, mode)
        }
        Err(error) => Err(error.into()),
    }
}
