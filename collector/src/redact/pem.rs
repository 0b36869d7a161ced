//! Private keys in PEM blocks, which span lines: what was found open stays open in the next line.

use super::kind::Kind;
use super::scan::{Scan, Span};
use super::tag;

/// A block without an end is over after so many lines.
pub(super) const LINES_MAX: u32 = 200;
/// And after so many bytes of text.
pub(super) const BYTES_MAX: u32 = 64 * 1024;

/// What may stand between `-----BEGIN ` and `-----`, in bytes.
const LABEL_BYTES_MAX: usize = 64;

/// How far a stream is inside a PEM block: part of its checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PemBlock {
    /// Lines of the open block so far, its first included; 0 outside of blocks.
    pub lines: u32,
    /// Bytes of these lines.
    pub bytes: u32,
}

impl PemBlock {
    pub fn is_open(&self) -> bool {
        self.lines > 0
    }
}

/// Finds the parts of a line that belong to blocks; gives whether one was given up without its end.
pub(super) fn find(scan: &mut Scan<'_>, block: &mut PemBlock) -> bool {
    let text = scan.text;
    let mut at = 0;
    loop {
        let start = if block.is_open() { Some(at) } else { begin(text, at) };
        let Some(start) = start else { return false };
        match marker(text, start, b"-----END ") {
            Some(end) => {
                push(scan, start, end.1);
                *block = PemBlock::default();
                at = end.1;
            }
            None if block.is_open() || is_block(text, start) => {
                push(scan, start, text.len());
                block.lines += 1;
                block.bytes = block.bytes.saturating_add((text.len() - start) as u32);
                let is_endless = block.lines >= LINES_MAX || block.bytes >= BYTES_MAX;
                if is_endless {
                    *block = PemBlock::default();
                }
                return is_endless;
            }
            None => at = start + 1,
        }
    }
}

fn push(scan: &mut Scan<'_>, start: usize, end: usize) {
    let text = &scan.text[start..end];
    let left = text.len() - text.trim_ascii_start().len();
    let secret = text.trim_ascii();
    if !secret.is_empty() && !tag::is_tag(secret) {
        let start = start + left;
        scan.push(Span::new(start, start + secret.len(), Kind::Pem));
    }
}

fn begin(text: &[u8], from: usize) -> Option<usize> {
    marker(text, from, b"-----BEGIN ").map(|(start, _)| start)
}

/// The first marker of a private key from `from` on: where it starts and ends.
fn marker(text: &[u8], from: usize, opening: &[u8]) -> Option<(usize, usize)> {
    memchr::memmem::find_iter(&text[from..], opening).find_map(|at| {
        let start = from + at;
        let label = &text[start + opening.len()..];
        let label = &label[..label.len().min(LABEL_BYTES_MAX)];
        let end = memchr::memmem::find(label, b"-----")?;
        memchr::memmem::find(&label[..end], b"PRIVATE KEY")?;
        Some((start, start + opening.len() + end + 5))
    })
}

/// Whether a block begins here, and not a sentence that mentions one.
fn is_block(text: &[u8], start: usize) -> bool {
    let Some((_, end)) = marker(text, start, b"-----BEGIN ") else { return false };
    let words = text[end..].split(u8::is_ascii_whitespace);
    let is_word =
        |word: &&[u8]| (2..=12).contains(&word.len()) && word.iter().all(u8::is_ascii_lowercase);
    words.filter(is_word).take(2).count() < 2
}
