//! The three questions that only raw system calls answer: a file's inode generation, its file
//! system's UUID, and whether anybody has it open for writing.
#![expect(unsafe_code, reason = "no safe crate offers these ioctls and leases")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

/// Linux' `FS_IOC_GETFSUUID`, `_IOR(0x15, 0, struct fsuuid2)`; since 6.9.
const FS_IOC_GETFSUUID: libc::Ioctl = 0x8011_1500;
/// Linux' `F_SETSIG`, which libc does not name on all targets.
const F_SETSIG: libc::c_int = 10;

/// Whether any process has a file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    None,
    Some,
    /// The file system or our permissions do not tell (a lease needs the file's owner or
    /// `CAP_LEASE`).
    Unknown,
}

/// The inode's generation number, which changes when the inode number is used again; 0 where the
/// file system has none.
pub(crate) fn inode_generation(file: &File) -> u64 {
    // The request is declared with a long, file systems write an int: the rest stays zero.
    let mut generation = [0u32; 2];
    // SAFETY: the kernel writes at most eight bytes, which `generation` has.
    let result =
        unsafe { libc::ioctl(file.as_raw_fd(), libc::FS_IOC_GETVERSION, generation.as_mut_ptr()) };
    if result == 0 { u64::from(generation[0]) } else { 0 }
}

/// The file system's UUID, if it has one and the kernel gives it.
pub(crate) fn file_system_uuid(file: impl AsFd) -> Option<[u8; 16]> {
    let mut answer = [0u8; 17];
    // SAFETY: the kernel writes `struct fsuuid2`: a length byte and 16 bytes.
    let result =
        unsafe { libc::ioctl(file.as_fd().as_raw_fd(), FS_IOC_GETFSUUID, answer.as_mut_ptr()) };
    let uuid: [u8; 16] = answer[1..].try_into().expect("16 of 17 bytes");
    (result == 0 && answer[0] == 16 && uuid != [0; 16]).then_some(uuid)
}

/// Takes a read lease, which the kernel grants only if nobody has the file open for writing, and
/// gives it back at once.
///
/// Should somebody open the file in these microseconds, the kernel tells us by a signal and lets
/// them wait until the lease is back; SIGURG, since its default is to do nothing.
pub(crate) fn writers(file: &File) -> Writers {
    let fd = file.as_raw_fd();
    // SAFETY: fcntl with integer arguments on a descriptor that `file` keeps open.
    unsafe {
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) != 0 {
            return Writers::Unknown;
        }
        if libc::fcntl(fd, libc::F_SETLEASE, libc::c_int::from(libc::F_RDLCK as i16)) == 0 {
            libc::fcntl(fd, libc::F_SETLEASE, libc::c_int::from(libc::F_UNLCK as i16));
            return Writers::None;
        }
    }
    match std::io::Error::last_os_error().kind() {
        std::io::ErrorKind::WouldBlock => Writers::Some,
        _ => Writers::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_tells_whether_there_are_writers() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        let writer = File::create(&path).expect("create");
        let reader = File::open(&path).expect("open");
        assert_eq!(writers(&reader), Writers::Some);
        drop(writer);
        assert_eq!(writers(&reader), Writers::None);
        // The lease is back: a writer that does not wait can open the file.
        let writer = rustix::fs::open(
            &path,
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
            rustix::fs::Mode::empty(),
        );
        assert!(writer.is_ok());
        std::fs::remove_file(&path).expect("unlink");
        assert_eq!(writers(&reader), Writers::Some);
    }
}
