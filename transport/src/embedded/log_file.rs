//! The name and the first eight bytes of a log file.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::{Disk, append_all};

/// The format's version: the last byte of the header.
pub(super) const VERSION: u8 = 1;

/// What every log file begins with.
pub(super) const FILE_HEADER: [u8; 8] = *b"SAWLOGE\x01";

/// Where the first record begins.
pub(super) const FILE_HEADER_BYTES: u64 = FILE_HEADER.len() as u64;

const DIGITS: usize = 20;

/// The largest first offset of a file: Kafka's largest offset. Far from where counting overflows.
const FIRST_OFFSET_MAX: u64 = i64::MAX as u64;

/// The directory of a partition.
pub(super) fn partition_dir(dir: &Path, partition: u32) -> PathBuf {
    dir.join(partition.to_string())
}

/// The log file whose first record has the offset `first`.
pub(super) fn path(partition_dir: &Path, first: u64) -> PathBuf {
    partition_dir.join(format!("{first:0DIGITS$}.log"))
}

/// The first offset, from the name of a log file; `None` for other names.
fn first_offset(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(".log")?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    let first = plain.then(|| digits.parse().ok()).flatten()?;
    (first <= FIRST_OFFSET_MAX).then_some(first)
}

/// The first offsets of a partition's files, rising. Other files are left alone.
pub(super) fn list(partition_dir: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in std::fs::read_dir(partition_dir)? {
        let name = entry?.file_name();
        match first_offset(&name) {
            Some(first) => firsts.push(first),
            None => tracing::warn!(
                dir = %partition_dir.display(), ?name, "a file that is no log file is left alone"
            ),
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Creates a file, with its header, so that both survive a crash.
pub(super) fn create(disk: &dyn Disk, partition_dir: &Path, first: u64) -> io::Result<File> {
    let file = disk.create(&path(partition_dir, first))?;
    append_all(disk, &file, &mut [IoSlice::new(&FILE_HEADER)])?;
    disk.sync_data(&file)?;
    disk.sync_dir(partition_dir)?;
    Ok(file)
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Known,
    /// Written by another version of the format.
    Version(u8),
    /// Too short or not of a log file: a crash while it was made, or damage.
    Damaged,
}

/// Reads the header of a file.
pub(super) fn begin(file: &File) -> io::Result<Begin> {
    let mut header = [0; FILE_HEADER.len()];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Begin::Damaged),
        Err(error) => return Err(error),
    }
    let [magic @ .., version] = header;
    let [known @ .., _] = FILE_HEADER;
    Ok(match version {
        _ if magic != known => Begin::Damaged,
        VERSION => Begin::Known,
        other => Begin::Version(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_like_offsets() {
        let name = path(Path::new("0"), 42);
        assert_eq!(name, Path::new("0/00000000000000000042.log"));
        assert_eq!(first_offset(name.file_name().expect("a name")), Some(42));
        for other in ["42.log", "0000000000000000004x.log", "99999999999999999999.log", "meta"] {
            assert_eq!(first_offset(OsStr::new(other)), None, "{other}");
        }
    }
}
