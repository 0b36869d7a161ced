//! Says what a corpus is like, from its first part.

use std::collections::HashSet;

use crate::corpus::Chunks;

/// How much of a corpus is looked at: bytes.
const LOOKED_AT: usize = 32_000_000;
/// Digits, at least, of what counts as an id here.
const ID_BYTES_MIN: usize = 16;

/// One line about the corpus.
pub(crate) fn describe(mut chunks: Chunks) -> String {
    let mut words: HashSet<Vec<u8>> = HashSet::new();
    let (mut bytes, mut compressed, mut lines, mut with_id, mut n_chunks) = (0, 0, 0, 0, 0);
    let mut text = Vec::new();
    while let Some(_stream) = chunks.next_chunk(&mut text).filter(|_| bytes < LOOKED_AT) {
        n_chunks += 1;
        bytes += text.len();
        compressed += zstd::bulk::compress(&text, 1).expect("zstd takes all bytes").len();
        lines += memchr::memchr_iter(b'\n', &text).count();
        with_id += text.split(|byte| *byte == b'\n').filter(|line| has_id(line)).count();
        for word in text.split(|byte| !byte.is_ascii_alphabetic()).filter(|word| word.len() > 2) {
            if !words.contains(word) {
                words.insert(word.to_vec());
            }
        }
    }
    format!(
        "lines of {} bytes, {} % of them with an id of {ID_BYTES_MIN} or more hex digits; {} \
         distinct words in the first {} MB; chunks of {} KiB, which zstd-1 compresses to {:.1} %",
        bytes / lines,
        with_id * 100 / lines,
        words.len(),
        bytes / 1_000_000,
        bytes / n_chunks / 1024,
        compressed as f64 * 100.0 / bytes as f64,
    )
}

fn has_id(line: &[u8]) -> bool {
    let id = |run: &[u8]| run.len() >= ID_BYTES_MIN && run.iter().any(u8::is_ascii_digit);
    line.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')).any(id)
}
