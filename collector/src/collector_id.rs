//! The collector's persistent name and the count of its starts, which together number its batches.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sawlog_transport::CollectorId;

use crate::durable;

const FILE: &str = "collector";

/// Who this process is, until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub collector: CollectorId,
    /// Grows with each start; durable before it is used. Also when the directory comes from a backup it
    /// is one that was not used before, unless the clock is wrong too: it is at least the time in seconds.
    pub number: u64,
}

/// Why the collector does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read or write the collector's id '{}'", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the collector's id '{}' is damaged: restore it, or delete it to go on as a new collector",
        path.display()
    )]
    Damaged { path: PathBuf },
}

impl Incarnation {
    /// Reads the id in `data_dir`, or makes one, and counts this start.
    pub fn begin(data_dir: &Path) -> Result<Self, IdentityError> {
        let path = data_dir.join(FILE);
        let io_error = |source| IdentityError::Io { path: path.clone(), source };
        let before = match std::fs::read(&path) {
            Ok(bytes) => {
                parse(&bytes).ok_or_else(|| IdentityError::Damaged { path: path.clone() })?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self { collector: random_id().map_err(io_error)?, number: 0 }
            }
            Err(error) => return Err(io_error(error)),
        };
        let this = Self { number: next_number(before.number), ..before };
        durable::replace(&path, &this.encode()).map_err(io_error)?;
        Ok(this)
    }

    fn encode(self) -> Vec<u8> {
        let facts = format!("{} {}", self.collector, self.number);
        format!("{facts} {:08x}\n", crc32c::crc32c(facts.as_bytes())).into_bytes()
    }
}

/// `<id, 32 hex digits> <starts> <CRC32C of both, 8 hex digits>`.
fn parse(bytes: &[u8]) -> Option<Incarnation> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (facts, crc) = text.rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32c::crc32c(facts.as_bytes()) {
        return None;
    }
    let (id, number) = facts.split_once(' ')?;
    let collector = CollectorId(u128::from_str_radix(id, 16).ok()?);
    Some(Incarnation { collector, number: number.parse().ok()? })
}

fn next_number(before: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    before.saturating_add(1).max(now.as_secs())
}

fn random_id() -> io::Result<CollectorId> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(CollectorId(u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_stays_and_each_start_counts() {
        let dir = tempfile::tempdir().expect("temp dir");
        let first = Incarnation::begin(dir.path()).expect("first");
        let second = Incarnation::begin(dir.path()).expect("second");
        assert_eq!(second.collector, first.collector);
        assert!(second.number > first.number);
        let other = tempfile::tempdir().expect("temp dir");
        let stranger = Incarnation::begin(other.path()).expect("stranger");
        assert_ne!(stranger.collector, first.collector);
    }

    /// A push is stored once under each number: one that is used again would hide new lines.
    #[test]
    fn a_directory_from_a_backup_counts_on_beyond_what_it_knows() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(next_number(6) >= now);
        assert_eq!(next_number(u64::MAX - 1), u64::MAX);
    }

    #[test]
    fn a_damaged_id_is_not_guessed() {
        let dir = tempfile::tempdir().expect("temp dir");
        Incarnation::begin(dir.path()).expect("first");
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[3] ^= 1;
        std::fs::write(&path, &bytes).expect("write");
        let error = Incarnation::begin(dir.path()).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("delete it"), "{error}");
    }
}
