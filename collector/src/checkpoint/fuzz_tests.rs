//! Checkpoint files as any bytes: opened all the same, and used again.

use std::path::Path;

use super::history::{Before, GenerationRef};
use super::record::RECORD_BYTES;
use super::record::tests::progress;
use super::*;
use crate::tail_hash::Held;

/// Both files as they are written, by their names.
pub(crate) fn samples() -> [(&'static str, Vec<u8>); 2] {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
    for inode in 1..=5 {
        checkpoints.advance(progress(inode, 10 * inode), 0);
    }
    let generation = |inode, truncations| {
        let file = progress(inode, 0).file;
        GenerationRef { file, truncations }
    };
    let before = Before { size: 7, ..Before::default() };
    checkpoints.history.note_truncation(&generation(1, 2), before, 0);
    checkpoints.history.note_copy(&generation(2, 0), generation(1, 1), Held::UNKNOWN, 0);
    checkpoints.history.flush().expect("flush");
    checkpoints.flush(0).expect("flush");
    ["checkpoints", "generations"]
        .map(|name| (name, std::fs::read(dir.path().join(name)).expect("read")))
}

/// Opens an input in the place of one of the files.
pub(crate) fn check(dir: &Path, name: &str, input: &[u8]) {
    let dir = dir.join("checkpoints-of-a-test");
    std::fs::create_dir_all(&dir).expect("mkdir");
    std::fs::write(dir.join(name), input).expect("write");
    let mut checkpoints = Checkpoints::open(&dir).expect("damage is no error");
    let whole = |record: &[u8; RECORD_BYTES]| match name {
        "checkpoints" => decode(record).is_some(),
        _ => crc32c::crc32c(&record[4..]).to_le_bytes() == record[..4],
    };
    let records = input.as_chunks::<RECORD_BYTES>().0;
    let damaged = records.iter().skip(1).filter(|record| !whole(record)).count();
    // The header, and the torn end.
    assert!(checkpoints.damaged() <= damaged as u64 + 2, "{} of {damaged}", checkpoints.damaged());
    checkpoints.advance(progress(77, 770), 0);
    checkpoints.flush(0).expect("flush");
    checkpoints.history.flush().expect("flush");
    let known = |checkpoints: &Checkpoints| {
        [1, 2, 3, 4, 5, 77]
            .map(|inode| checkpoints.get(&progress(inode, 0).file).map(|progress| progress.offset))
    };
    let before = known(&checkpoints);
    drop(checkpoints);
    let checkpoints = Checkpoints::open(&dir).expect("open");
    assert_eq!(known(&checkpoints), before);
    assert_eq!(before[5], Some(770));
    drop(checkpoints);
    std::fs::remove_dir_all(&dir).expect("remove");
}
