//! Takes secrets out of lines before they leave the process: most blocks pass in place after one look,
//! suspicious lines are judged one by one, and what cannot be judged is not handed on.

mod anchors;
mod card_starts;
mod cards;
mod commands;
mod encoded_urls;
mod exact;
#[cfg(test)]
pub(crate) mod fuzz_tests;
mod headers;
mod keys;
mod kind;
mod line;
mod names;
#[cfg(test)]
mod near_secrets;
mod needles;
mod pairs;
mod pem;
mod pem_blocks;
mod prefilter;
mod scan;
mod secret_files;
#[cfg(test)]
mod shown;
mod tag;
#[cfg(test)]
mod tests;
mod urls;
mod view;

use std::io;
use std::path::{Path, PathBuf};

use sawlog_transport::limits::{FRAME_LINES_MAX, FRAME_TEXT_BYTES_MAX};

use anchors::Anchors;
use exact::Exact;
pub use kind::Kind;
use line::{Judge, Searches};
use needles::Needles;
pub use pem::PemBlock;
pub(crate) use pem_blocks::PemBlocks;
use prefilter::Prefilter;
pub use secret_files::SecretFileError;
use secret_files::SecretFiles;
use tag::TagKey;

use crate::group::Side;

/// What a redactor did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Redacted(Kind),
    /// A line was replaced as a whole, because it could not be judged.
    Unscanned,
    /// A PEM block had no end within its limits.
    EndlessPem,
}

/// A line of a block whose text was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Where the line starts in the block.
    pub start: usize,
    /// The length of its new text, in bytes without the terminator.
    pub text_len: usize,
}

/// A block of lines without its secrets. Reused for all blocks.
#[derive(Debug, Default)]
pub struct Block {
    /// Bytes of the block, whole lines, that may be handed on; the rest did not fit a frame.
    pub taken: usize,
    /// The new text of these lines. Without edits it is empty, and the lines stay as they are.
    pub text: Vec<u8>,
    /// In the order of the lines.
    pub edits: Vec<Edit>,
    /// Bytes of the block that `text` covers.
    copied: usize,
}

/// Finds and replaces secrets.
pub struct Redactor {
    searches: Searches,
    files: SecretFiles,
    judge: Judge,
}

/// Why a redactor cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RedactorError {
    #[error("cannot keep the key of the redaction's hashes in '{}': let the collector write there", dir.display())]
    Key {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
}

impl Redactor {
    /// A redactor whose key is kept in `data_dir`, and that knows the values in `secret_files`.
    ///
    /// # Errors
    /// The key or a secret file cannot be used.
    pub fn open(data_dir: &Path, secret_files: &[PathBuf]) -> Result<Self, RedactorError> {
        let key = TagKey::open(data_dir)
            .map_err(|source| RedactorError::Key { dir: data_dir.to_owned(), source })?;
        let (files, secrets) = SecretFiles::open(secret_files.to_vec())?;
        let exact = Exact::new(secrets).map_err(SecretFileError::TooMany)?;
        let searches = Searches { anchors: Anchors::new(), needles: Needles::new(), exact };
        Ok(Self { searches, files, judge: Judge::new(key) })
    }

    /// Reads secret files that changed. While one cannot be used, the values known before stay.
    ///
    /// # Errors
    /// A file changed and cannot be used: also at the next call, until it can.
    pub fn refresh(&mut self) -> Result<(), SecretFileError> {
        if let Some(secrets) = self.files.read_changed() {
            self.searches.exact = Exact::new(secrets?).map_err(SecretFileError::TooMany)?;
        }
        Ok(())
    }

    /// Whether somebody should be told of what [`Redactor::refresh`] could not use: it says the same
    /// again as long as it is so.
    pub(crate) fn is_news(&mut self, error: &SecretFileError) -> bool {
        self.files.is_news(error)
    }

    /// Takes the secrets out of the whole lines at the start of `data`, at most as many as a frame takes
    /// before and after. `pem` is the state of the stream, `told` hears what was done.
    pub fn block(
        &mut self,
        data: &[u8],
        pem: &mut PemBlock,
        out: &mut Block,
        told: impl FnMut(Event),
    ) {
        let mut blocks = PemBlocks::of_one(*pem);
        self.block_of_sides(data, &mut blocks, |_| Some(Side::Out), out, told);
        *pem = blocks.of(Some(Side::Out));
    }

    /// As [`Redactor::block`], for lines of two sides: `side_of` is asked for that of the line that
    /// starts at an offset, for one line after the other.
    pub(crate) fn block_of_sides(
        &mut self,
        data: &[u8],
        pem: &mut PemBlocks,
        mut side_of: impl FnMut(usize) -> Option<Side>,
        out: &mut Block,
        mut told: impl FnMut(Event),
    ) {
        let end = memchr::memrchr(b'\n', data).map_or(0, |end| end + 1);
        out.begin(end);
        let mut data = &data[..end];
        let mut prefilter =
            Prefilter::new(data, &self.searches.anchors, self.searches.exact.as_ref());
        let mut from = 0;
        while let Some(start) =
            if pem.is_open() && from < data.len() { Some(from) } else { prefilter.next(from) }
        {
            if from == 0 {
                // A frame takes so many lines, and the state must not run ahead of them.
                let last = memchr::memchr_iter(b'\n', data).nth(FRAME_LINES_MAX - 1);
                data = &data[..last.map_or(end, |last| last + 1)];
                out.taken = data.len();
            }
            let Some(length) = data.get(start..).and_then(|rest| memchr::memchr(b'\n', rest))
            else {
                break;
            };
            let line = &data[start..start + length];
            let side = side_of(start);
            let mut after = pem.of(side);
            if self.judge.line(&self.searches, line, 0, false, &mut after)
                && !out.replace(data, start, length, &self.judge.text)
            {
                return;
            }
            pem.set(side, after);
            self.judge.events.iter().copied().for_each(&mut told);
            from = start + length + 1;
        }
        out.finish(data);
    }

    /// How many of the whole lines of `data` the detectors would be asked about: the others cost only the
    /// look that says so.
    pub fn suspicious_lines(&self, data: &[u8]) -> usize {
        let mut prefilter =
            Prefilter::new(data, &self.searches.anchors, self.searches.exact.as_ref());
        let (mut from, mut lines) = (0, 0);
        while let Some(start) = prefilter.next(from) {
            let Some(length) = memchr::memchr(b'\n', &data[start..]) else { break };
            lines += 1;
            from = start + length + 1;
        }
        lines
    }

    /// Takes the secrets out of one line without its terminator. With `open` it goes on behind what is
    /// given: what reaches its end may be half of a secret. Gives the new text, if it must be another.
    pub fn line(
        &mut self,
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
        told: impl FnMut(Event),
    ) -> Option<&[u8]> {
        self.rest_of_line(b"", line, open, pem, told)
    }

    /// As [`Redactor::line`], for the rest of a line whose beginning was handed on and is not known any
    /// more: nothing of it is shown.
    pub(crate) fn rest_of_unknown(
        &mut self,
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
        mut told: impl FnMut(Event),
    ) -> Option<&[u8]> {
        // It may begin a block that goes on in the next line.
        self.judge.line(&self.searches, line, 0, open, pem);
        if line.is_empty() {
            return None;
        }
        told(Event::Unscanned);
        Some(tag::UNSCANNED)
    }

    /// As [`Redactor::line`], for the rest of a line whose beginning `before` was handed on when nobody
    /// knew how it goes on: a secret may lie across.
    pub(crate) fn rest_of_line(
        &mut self,
        before: &[u8],
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
        told: impl FnMut(Event),
    ) -> Option<&[u8]> {
        let changed = if before.is_empty() {
            self.judge.line(&self.searches, line, 0, open, pem)
        } else {
            let mut whole = std::mem::take(&mut self.judge.whole);
            whole.clear();
            whole.extend_from_slice(before);
            whole.extend_from_slice(line);
            let changed = self.judge.line(&self.searches, &whole, before.len(), open, pem);
            self.judge.whole = whole;
            changed
        };
        self.judge.events.iter().copied().for_each(told);
        changed.then_some(&self.judge.text)
    }

    /// What stands for the value of a name, if the name says that it is a secret.
    pub(crate) fn named_value(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        pairs::is_secret_value(name, value).then(|| self.judge.tag(Kind::Pair, value))
    }
}

impl Block {
    fn begin(&mut self, taken: usize) {
        self.text.clear();
        self.edits.clear();
        self.copied = 0;
        self.taken = taken;
    }

    /// Puts the new text of a line in its place; `false` if the frame is full, and ends before it.
    fn replace(&mut self, data: &[u8], start: usize, length: usize, text: &[u8]) -> bool {
        if !self.copy(data, start) {
            return false;
        }
        if self.text.len() + text.len() + 1 > FRAME_TEXT_BYTES_MAX {
            self.taken = start;
            return false;
        }
        self.text.extend_from_slice(text);
        self.text.push(b'\n');
        self.copied = start + length + 1;
        self.edits.push(Edit { start, text_len: text.len() });
        true
    }

    /// Copies lines that stay as they are; `false` if not all of them fit.
    fn copy(&mut self, data: &[u8], to: usize) -> bool {
        let lines = &data[self.copied..to];
        let room = FRAME_TEXT_BYTES_MAX - self.text.len();
        if lines.len() <= room {
            self.text.extend_from_slice(lines);
            self.copied = to;
            return true;
        }
        let fits = memchr::memrchr(b'\n', &lines[..room]).map_or(0, |end| end + 1);
        self.text.extend_from_slice(&lines[..fits]);
        self.copied += fits;
        self.taken = self.copied;
        false
    }

    fn finish(&mut self, data: &[u8]) {
        if !self.edits.is_empty() {
            self.copy(data, data.len());
        }
    }
}
