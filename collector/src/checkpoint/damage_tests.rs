//! Damage to the headers of `checkpoints` and `generations`: what stands behind them is not forgotten.

use std::path::Path;

use super::history::{Before, GenerationRef};
use super::record::tests::progress;
use super::*;
use crate::tail_hash::Held;

const RECORD: usize = 128;
const FILES: [&str; 2] = ["checkpoints", "generations"];

fn generation(inode: u64, truncations: u64) -> GenerationRef {
    GenerationRef { file: progress(inode, 0).file, truncations }
}

/// Both files with some records.
fn write(dir: &Path) {
    let mut checkpoints = Checkpoints::open(dir).expect("open");
    for inode in 1..=3 {
        checkpoints.advance(progress(inode, 10 * inode), 0);
    }
    let before = Before { size: 7, ..Before::default() };
    checkpoints.history.note_truncation(&generation(1, 2), before, 0);
    checkpoints.history.note_copy(&generation(2, 0), generation(1, 1), Held::UNKNOWN, 0);
    checkpoints.history.flush().expect("flush");
    checkpoints.flush(0).expect("flush");
}

fn assert_known(checkpoints: &Checkpoints, what: &str) {
    let offsets = [1, 2, 3].map(|inode| {
        checkpoints.get(&progress(inode, 0).file).map_or(0, |progress| progress.offset)
    });
    assert_eq!(offsets, [10, 20, 30], "{what}");
    let (truncations, before) = checkpoints.history.truncations(&generation(1, 0).file);
    assert_eq!((truncations, before.size), (2, 7), "{what}");
    let copy = checkpoints.history.copy_of(&generation(2, 0).file, 0);
    assert_eq!(copy, Some(generation(1, 1)), "{what}");
}

fn damage(path: &Path, at: std::ops::Range<usize>, how: impl Fn(u8) -> u8) {
    let mut bytes = std::fs::read(path).expect("read");
    bytes[at].iter_mut().for_each(|byte| *byte = how(*byte));
    std::fs::write(path, bytes).expect("write");
}

#[test]
fn a_flipped_byte_of_a_header_costs_no_record() {
    for name in FILES {
        for at in 0..20 {
            for bits in [1, 2, 3, 0x80, 0xff] {
                let dir = tempfile::tempdir().expect("temp dir");
                write(dir.path());
                damage(&dir.path().join(name), at..at + 1, |byte| byte ^ bits);
                let what = format!("{name}, byte {at} ^ {bits:#x}");
                let mut checkpoints = Checkpoints::open(dir.path()).expect("open");
                assert_known(&checkpoints, &what);
                assert_eq!(checkpoints.damaged(), u64::from(at < 16), "{what}");
                // It is whole again, and goes on.
                checkpoints.advance(progress(4, 40), 0);
                checkpoints.flush(0).expect("flush");
                let checkpoints = Checkpoints::open(dir.path()).expect("open");
                assert_known(&checkpoints, &what);
                let added = checkpoints.get(&progress(4, 0).file).map(|progress| progress.offset);
                assert_eq!((added, checkpoints.damaged()), (Some(40), 0), "{what}");
            }
        }
    }
}

/// Files of before the header told twice what they are.
#[test]
fn a_header_that_tells_only_once_is_believed_and_mended() {
    for name in FILES {
        let dir = tempfile::tempdir().expect("temp dir");
        write(dir.path());
        let path = dir.path().join(name);
        damage(&path, 16..RECORD, |_| 0);
        let checkpoints = Checkpoints::open(dir.path()).expect("open");
        assert_known(&checkpoints, name);
        assert_eq!(checkpoints.damaged(), 0);
        drop(checkpoints);
        damage(&path, 16..RECORD, |_| 0);
        damage(&path, 0..16, |_| 0);
        let checkpoints = Checkpoints::open(dir.path()).expect("open");
        assert_known(&checkpoints, name);
        assert_eq!(checkpoints.damaged(), 1);
    }
}

#[test]
fn a_file_of_another_version_is_not_read_as_one_of_this() {
    for name in FILES {
        let dir = tempfile::tempdir().expect("temp dir");
        write(dir.path());
        let path = dir.path().join(name);
        for at in [13, 29] {
            damage(&path, at..at + 1, |_| b'3');
        }
        let checkpoints = Checkpoints::open(dir.path()).expect("open");
        assert_eq!(checkpoints.damaged(), 1);
        assert!(path.with_extension("damaged").exists());
        let is_known = checkpoints.get(&progress(1, 0).file).is_some();
        assert_eq!(is_known, name != "checkpoints");
    }
}
