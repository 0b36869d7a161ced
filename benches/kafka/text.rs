//! The corpus as files, one a stream.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::SEED;
use crate::corpus::Corpus;

/// Writes a corpus below `dir`; gives the count of its lines.
pub(crate) fn write(corpus: Corpus, bytes: u64, dir: &Path) -> u64 {
    let mut chunks = corpus.chunks(SEED, bytes, usize::MAX).expect("it is generated");
    let mut text = Vec::new();
    let mut lines = 0;
    while let Some(name) = chunks.next_chunk(&mut text) {
        let path = dir.join(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(&text)).expect("text can be written");
        lines += memchr::memchr_iter(b'\n', &text).count() as u64;
    }
    lines
}
