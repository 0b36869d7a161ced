//! What the machine does at best with the same bytes: reading them and finding line ends, and
//! compressing them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::prepare::FILES;
use crate::process::{cpu_seconds, say};

/// Text compressed at once: as much as the largest frame has.
const UNIT_BYTES: usize = 256 * 1024;

/// Reads all files and counts their lines.
pub(crate) fn read(dir: &Path) {
    let before = cpu_seconds();
    let mut lines = 0;
    let raw = for_each_unit(dir, |unit| lines += memchr::memchr_iter(b'\n', unit).count());
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
    say("lines", lines as f64);
}

/// Compresses all files in units, at the level that the pipeline uses.
pub(crate) fn compress(dir: &Path) {
    let before = cpu_seconds();
    let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd has level 1");
    let mut stored = Vec::with_capacity(2 * UNIT_BYTES);
    let mut disk = 0;
    let raw = for_each_unit(dir, |unit| {
        stored.clear();
        disk += zstd.compress_to_buffer(unit, &mut stored).expect("the buffer is large enough");
    });
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
    say("disk", disk as f64);
}

/// Shows all text, a unit of one stream at a time; gives its bytes.
fn for_each_unit(dir: &Path, mut see: impl FnMut(&[u8])) -> usize {
    let mut unit = Vec::with_capacity(UNIT_BYTES);
    let mut raw = 0;
    for entry in std::fs::read_dir(dir.join(FILES)).expect("the files are there") {
        let mut file = File::open(entry.expect("a file").path()).expect("the file opens");
        loop {
            unit.clear();
            let mut part = (&mut file).take(UNIT_BYTES as u64);
            if part.read_to_end(&mut unit).expect("the file is read") == 0 {
                break;
            }
            raw += unit.len();
            see(&unit);
        }
    }
    raw
}
