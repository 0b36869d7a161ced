//! Recorded lines, repeated until there are enough of them.
//!
//! There are some thousand lines of each system, so they are read again and again, and that is a
//! distortion. Each pass over a file is a stream of its own, like the next container of an
//! application, so that times do not go back within a stream. In each pass but the first, the digits
//! of longer ids (runs of hex digits of at least twelve, but not the thirteen decimals of a time)
//! are replaced from the fifth on, each digit by the one that this pass gives it: lines that shared
//! an id still share it, and no pass knows an id of another. Times, addresses and short numbers stay
//! as they were, and so do words: the vocabulary does not grow as that of a living system does.
//! Where a recording spans weeks in few lines, so does each pass.

use std::path::{Path, PathBuf};

use super::Streams;
use super::random::Random;

/// Names the folder of `*.log` files; by default `../shared/corpus` beside the clone.
const FOLDER_VARIABLE: &str = "SAWLOG_BENCH_RECORDED";
const ID_BYTES_MIN: usize = 12;
const EPOCH_MILLIS_BYTES: usize = 13;
/// Digits of an id that stay.
const HEAD_BYTES: usize = 4;

/// The files, each read from its start in each pass.
pub(crate) struct Recorded {
    files: Vec<(String, Vec<u8>)>,
    seed: u64,
    pass: u64,
    file: usize,
    at: usize,
    digits: [u8; 10],
}

impl Recorded {
    /// `None` if the folder is not there, or has no recorded lines.
    pub(crate) fn open(seed: u64) -> Option<Self> {
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
            PathBuf::from,
        );
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        paths.sort();
        let files: Vec<_> = paths.iter().filter_map(|path| read(path)).collect();
        let first = *b"0123456789";
        let this = Self { files, seed, pass: 0, file: 0, at: 0, digits: first };
        (!this.files.is_empty()).then_some(this)
    }

    fn next_file(&mut self) {
        self.at = 0;
        self.file += 1;
        if self.file < self.files.len() {
            return;
        }
        self.file = 0;
        self.pass += 1;
        let mut random = Random::of(self.seed ^ self.pass, "recorded");
        for last in (1..self.digits.len()).rev() {
            self.digits.swap(last, random.below(last as u64 + 1) as usize);
        }
    }
}

fn read(path: &Path) -> Option<(String, Vec<u8>)> {
    let mut text = std::fs::read(path).ok()?;
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let name = path.file_stem()?.to_string_lossy().to_lowercase();
    (text.len() > 1).then_some((name, text))
}

impl Streams for Recorded {
    fn next_chunk(&mut self, text: &mut Vec<u8>, bytes_max: usize) -> String {
        let (name, bytes) = &self.files[self.file];
        let name = format!("{name}-{}", self.pass);
        let rest = &bytes[self.at..];
        let window = &rest[..rest.len().min(bytes_max)];
        let end = memchr::memrchr(b'\n', window).expect("a line fits a chunk") + 1;
        text.extend_from_slice(&window[..end]);
        self.at += end;
        if self.pass > 0 {
            replace_ids(text, &self.digits);
        }
        if self.at == bytes.len() {
            self.next_file();
        }
        name
    }
}

fn replace_ids(text: &mut [u8], digits: &[u8; 10]) {
    for run in text.split_mut(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        let decimal = run.iter().all(u8::is_ascii_digit);
        if run.len() < ID_BYTES_MIN || decimal && run.len() == EPOCH_MILLIS_BYTES {
            continue;
        }
        for byte in run[HEAD_BYTES..].iter_mut().filter(|byte| byte.is_ascii_digit()) {
            *byte = digits[usize::from(*byte - b'0')];
        }
    }
}
