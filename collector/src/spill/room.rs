//! How large the spool may grow: as the operator said, but never until the disk is full.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::periodic::Periodic;

/// So much of the disk stays free, in bytes, or a twentieth of it if that is less.
const FREE_BYTES_MIN: u64 = 1 << 30;
const FREE_SHARE: u64 = 20;
/// How often the disk is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The room of a spool.
pub(super) struct Room {
    dir: PathBuf,
    limit: u64,
    /// How large the disk lets the spool become, as last looked at, in bytes. Between two looks it stays
    /// the same, whatever the spool gives up: what is removed is free for what comes.
    most: Option<u64>,
    looks: Periodic,
}

impl Room {
    pub(super) fn new(dir: &Path, limit: u64, now: Duration) -> Self {
        Self { dir: dir.to_owned(), limit, most: None, looks: Periodic::new(LOOK_EVERY, now) }
    }

    /// How many bytes the spool may have, which has `used` now.
    pub(super) fn bytes_max(&mut self, used: u64, now: Duration) -> u64 {
        let is_due = self.looks.due(now).is_some();
        let most = match self.most.filter(|_| !is_due) {
            Some(most) => most,
            // Where the disk does not tell, the write itself will.
            None => used.saturating_add(spare(&self.dir).unwrap_or(self.limit)),
        };
        self.most = Some(most);
        self.limit.min(most)
    }

    /// As if the last look had found that the disk lets the spool become so large.
    #[cfg(test)]
    pub(super) fn set_most(&mut self, most: u64) {
        self.most = Some(most);
    }
}

/// What may still be written to a directory's disk.
fn spare(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    let total = found.f_blocks.saturating_mul(found.f_frsize);
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    Some(spare_of(total, free))
}

fn spare_of(total: u64, free: u64) -> u64 {
    free.saturating_sub(FREE_BYTES_MIN.min(total / FREE_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_or_a_gibibyte_stays_free() {
        const GIB: u64 = 1 << 30;
        assert_eq!(spare_of(1000 * GIB, 10 * GIB), 9 * GIB);
        assert_eq!(spare_of(2 * GIB, GIB), GIB - 2 * GIB / 20);
        assert_eq!(spare_of(1000 * GIB, GIB / 2), 0);
    }

    #[test]
    fn the_limit_counts_where_the_disk_has_more() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut room = Room::new(dir.path(), 1000, Duration::ZERO);
        assert!(room.bytes_max(500, Duration::from_secs(5)) <= 1000);
        room.set_most(507);
        assert_eq!(room.bytes_max(500, Duration::from_secs(5)), 507);
        assert_eq!(room.bytes_max(20, Duration::from_secs(5)), 507, "until it looks again");
        let looked = room.bytes_max(500, Duration::from_secs(7));
        assert!((500..=1000).contains(&looked) && looked != 507, "{looked}");
    }
}
