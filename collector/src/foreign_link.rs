//! Whether a log may be another's file under a second name: a hard link cannot be told from the file, but
//! who owns it can.
//!
//! Where the kernel's `fs.protected_hardlinks` is off, a user may link whatever lies on the same file
//! system into a sandbox, also what only root may read, as we may.

use rustix::fs::Mode;

use crate::identity::Facts;

const ROOT: u32 = 0;

/// Whether a file with several names is somebody else's than the directory's owner. Only in one's own
/// directory one makes links, unless others may write there too.
pub(crate) fn is_foreign_link(file: &Facts, directory: &Facts) -> bool {
    let others_write = Mode::WGRP | Mode::WOTH;
    let is_shared = directory.owner == ROOT && directory.mode.intersects(others_write);
    file.links > 1 && (file.owner != directory.owner || is_shared)
}

#[cfg(test)]
mod tests {
    use rustix::fs::FileType;

    use super::*;
    use crate::identity::InodeKey;

    fn facts(owner: u32, mode: u32, links: u32) -> Facts {
        let key = InodeKey { device: 1, inode: 2, birth_time: 3 };
        let mode = Mode::from_raw_mode(mode);
        let kind = FileType::RegularFile;
        Facts { key, kind, size: 0, allocated: 0, modified: 0, links, owner, mode }
    }

    #[test]
    fn only_the_directorys_owner_may_have_several_names_for_a_file() {
        let (own, roots, shared) = (facts(7, 0o755, 2), facts(0, 0o750, 2), facts(0, 0o1777, 2));
        let is_foreign =
            |owner, links, directory| is_foreign_link(&facts(owner, 0o600, links), directory);
        assert!(is_foreign(0, 2, &own) && is_foreign(8, 2, &own));
        assert!(!is_foreign(7, 2, &own) && !is_foreign(0, 1, &own));
        assert!(!is_foreign(0, 2, &roots) && is_foreign(7, 2, &roots));
        assert!(is_foreign(0, 2, &shared) && !is_foreign(0, 1, &shared));
    }
}
