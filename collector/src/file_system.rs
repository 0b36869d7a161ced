//! Which file system a file lies in: by names that stay over a restart of the machine, where there are any.
//!
//! Device numbers are given out in the order in which devices are found, so a machine that restarts may
//! renumber them. A UUID stays. Before Linux 6.9 the kernel does not tell it; `statfs` then gives 64 bits,
//! which some file systems derive from it, and others from the device number, or from nothing.

use std::os::fd::AsFd;

use crate::sys;

/// `f_type` of file systems whose `f_fsid` stays as long as the file system does.
///
/// ext2 to ext4, bcachefs: their UUID, folded. btrfs: that and the subvolume. ZFS: the data set's own
/// number. overlayfs: what the upper file system says, or a UUID that it keeps there. Not XFS, F2FS and
/// FAT, which give the device number, nor tmpfs, whose files do not outlive it, nor NFS and FUSE, which
/// mostly give nothing.
const STABLE: [u64; 5] = [0xef53, 0xca45_1a4e, 0x9123_683e, 0x2fc1_2fc1, 0x794c_7630];

/// What the system says of the file system of an open file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub uuid: Option<[u8; 16]>,
    /// Which kind of file system it is, by Linux' number (`f_type` of statfs).
    pub kind: u64,
    /// `f_fsid` of statfs.
    pub fsid: u64,
    /// The device number.
    pub device: u64,
}

impl Answer {
    /// Asks the system about the file system of an open file or directory with this device number.
    pub(crate) fn of(file: impl AsFd, device: u64) -> Self {
        let uuid = sys::file_system_uuid(&file);
        // Linux' numbers of kinds have 32 bits, whatever the type's sign is.
        let kind = rustix::fs::fstatfs(&file).map_or(0, |stat| stat.f_type as u64 & 0xffff_ffff);
        let fsid = rustix::fs::fstatvfs(&file).map_or(0, |stat| stat.f_fsid);
        Self { uuid, kind, fsid, device }
    }

    /// What the file system may be called, the best name first. A file that is known by a later one was
    /// first seen by a kernel, or by a version of this program, that told less: it keeps that name.
    pub(crate) fn names(&self) -> impl Iterator<Item = [u8; 16]> + use<> {
        let is_stable = STABLE.contains(&self.kind) && self.fsid != 0;
        let fsid = is_stable.then(|| of_halves(0, self.fsid));
        [self.uuid, fsid, Some(of_halves(self.device, 0))].into_iter().flatten()
    }
}

/// A device number stands in the first half and an `f_fsid` in the second, so that none is another's.
fn of_halves(first: u64, second: u64) -> [u8; 16] {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&first.to_le_bytes());
    name[8..].copy_from_slice(&second.to_le_bytes());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXT4: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;

    fn first(answer: Answer) -> [u8; 16] {
        answer.names().next().expect("there is always the device")
    }

    #[test]
    fn a_device_that_is_renumbered_keeps_its_name_where_there_is_a_better_one() {
        let uuid = Some([7; 16]);
        for (kind, fsid, uuid, stays) in [
            (EXT4, 0x1234, uuid, true),
            (EXT4, 0x1234, None, true),
            (0x9123_683e, 0x1234, None, true),
            // A new kernel.
            (XFS, 0x800, uuid, true),
            // An older one: nothing but the device tells.
            (XFS, 0x800, None, false),
            (0x6969, 0, None, false),
            (EXT4, 0, None, false),
        ] {
            let before = Answer { uuid, kind, fsid, device: 0x800 };
            // XFS says the new device here.
            let fsid = if kind == XFS { 0x810 } else { fsid };
            let after = Answer { fsid, device: 0x810, ..before };
            assert_eq!(first(before) == first(after), stays, "{before:?}");
        }
    }

    #[test]
    fn two_file_systems_have_no_name_in_common() {
        let one = Answer { uuid: None, kind: EXT4, fsid: 5, device: 6 };
        let other = Answer { uuid: None, kind: EXT4, fsid: 6, device: 5 };
        assert!(one.names().all(|name| other.names().all(|of_other| name != of_other)));
    }

    #[test]
    fn a_kernel_that_tells_more_still_knows_the_older_names() {
        let old = Answer { uuid: None, kind: EXT4, fsid: 5, device: 6 };
        let new = Answer { uuid: Some([7; 16]), ..old };
        let names: Vec<_> = new.names().collect();
        assert_eq!(names[0], [7; 16]);
        assert!(old.names().all(|name| names.contains(&name)));
        assert_eq!(names.len(), 3);
    }

    #[test]
    fn the_system_answers_for_files_and_directories_alike() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "").expect("write");
        let [file, dir] = [&path, dir.path()].map(|path| std::fs::File::open(path).expect("open"));
        assert_eq!(Answer::of(&file, 1), Answer::of(&dir, 1));
        assert_ne!(Answer::of(&file, 1).kind, 0);
    }
}
