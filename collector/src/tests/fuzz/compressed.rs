//! Gzip'd files as somebody left them: inflated in steps and in parts of any size.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use sawlog_transport::FileIdentity;

use super::Random;
use crate::checkpoint::GenerationRef;
use crate::gz::{Gz, Inflated, Place};
use crate::tail_hash::{PrefixHash, TailHash};

/// No compressed byte stands for more than this many.
const RATIO_MAX: u64 = 1032;
/// How much of what inflates is read a second time.
const READ_BYTES_MAX: usize = 1 << 20;

/// Inflates an input in steps of any size.
pub(super) fn check(dir: &Path, input: &[u8], random: &mut Random) {
    let path = dir.join("input.gz");
    std::fs::write(&path, input).expect("write");
    let file = File::open(&path).expect("open");
    let mut gz = Gz::new((input.len() as u64, 0));
    let whole = pass(&mut gz, &file, 1 << 20);
    assert!(whole.size <= (input.len() as u64 + 1) * RATIO_MAX);
    if let Some((_, Some(promised))) = whole.damage {
        assert!(promised > whole.size && promised <= input.len() as u64 * RATIO_MAX);
    }
    let mut again = Gz::new((input.len() as u64, 0));
    let parts = pass(&mut again, &file, 1 + random.below(100_000));
    assert_eq!((parts.size, &parts.last), (whole.size, &whole.last));
    assert_eq!(gz.first, again.first);
    read(&mut gz, &file, whole.size, random);
}

fn pass(gz: &mut Gz, file: &File, step: usize) -> Inflated {
    let of = GenerationRef {
        file: FileIdentity { file_system: [1; 16], inode: 1, inode_generation: 1, birth_time: 1 },
        truncations: 0,
    };
    let place = Place::new(of, 1, TailHash::of(b"2"), PrefixHash::of(b"2"));
    gz.begin(file, vec![place], Arc::new(())).expect("the file opens again");
    loop {
        if let Some(inflated) = gz.pass(file, step).expect("what is damaged is no error") {
            return inflated;
        }
    }
}

/// Parts in any order are those of the whole.
fn read(gz: &mut Gz, file: &File, size: u64, random: &mut Random) {
    let mut whole = vec![0; READ_BYTES_MAX.min(size as usize)];
    gz.rest();
    let read = gz.read_at(file, &mut whole, 0, size).expect("read");
    assert_eq!(read, whole.len());
    for _ in 0..3 {
        let part = random.part(whole.len());
        let mut buffer = vec![0; part.len()];
        let read = gz.read_at(file, &mut buffer, part.start as u64, size).expect("read");
        assert!(buffer[..read] == whole[part.start..part.start + read]);
        assert_eq!(read, part.len());
    }
}
