//! What containers write: lines that can be checked one by one, and the logger that rotates them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

/// A page: the most that the Mesos logger moves at once.
const PIECE_BYTES: usize = 4096;
/// All padding is cut from this: many lines end alike, as those of real programs do.
const PADDING: &[u8] = b"GET /cart timeout after some while user=alice state=done retry=false ";
/// What stands before the padding, without the tag: three blanks, the number, the checksum.
const HEAD_BYTES: usize = 3 + 8 + 8;

/// The lines of one writer.
#[derive(Clone, Debug)]
pub(super) struct Log {
    tag: String,
    sizes: RangeInclusive<usize>,
}

impl Log {
    /// `sizes`: bytes of a line, its terminator included.
    pub(super) fn new(tag: &str, sizes: RangeInclusive<usize>) -> Self {
        assert!(*sizes.start() > tag.len() + HEAD_BYTES, "no room for number and checksum");
        assert!(!tag.contains(' '), "a tag is one word");
        Self { tag: tag.to_owned(), sizes }
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// Line `n`, with its terminator.
    pub(super) fn line(&self, n: u32) -> Vec<u8> {
        let span = (self.sizes.end() - self.sizes.start() + 1) as u64;
        let mixed = (u64::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let size = self.sizes.start() + (mixed % span) as usize;
        let padding = size - HEAD_BYTES - self.tag.len() - 1;
        let padding: Vec<u8> = PADDING.iter().copied().cycle().take(padding).collect();
        let mut line = format!("{} {n:08} {:08x} ", self.tag, checksum(&self.tag, n)).into_bytes();
        line.extend_from_slice(&padding);
        line.push(b'\n');
        line
    }

    /// Lines one behind the other.
    pub(super) fn lines(&self, numbers: Range<u32>) -> Vec<u8> {
        numbers.flat_map(|n| self.line(n)).collect()
    }

    /// The number in a line without its terminator, if it is one of this log, whole and alone.
    pub(super) fn number_of(&self, line: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(line).ok()?;
        let mut words = text.strip_prefix(self.tag.as_str())?.strip_prefix(' ')?.splitn(3, ' ');
        let number: u32 = words.next()?.parse().ok()?;
        let known = u32::from_str_radix(words.next()?, 16).ok()?;
        let whole = self.line(number);
        (known == checksum(&self.tag, number) && whole[..whole.len() - 1] == *line)
            .then_some(number)
    }
}

fn checksum(tag: &str, n: u32) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(tag.as_bytes()), &n.to_le_bytes())
}

/// Opens a file as containers do: created if need be, written at its end.
pub(super) fn append_to(path: &Path) -> File {
    std::fs::create_dir_all(path.parent().expect("a file is in a directory")).unwrap();
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// Appends bytes and closes the file.
pub(super) fn append(path: &Path, bytes: &[u8]) {
    append_to(path).write_all(bytes).unwrap();
}

/// The path with a suffix to its name.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// The Mesos logrotate logger of one file: pieces of at most a page, a rename before the piece that would
/// make the file too large, and logrotate's `rotate N`.
pub(super) struct Logger {
    path: PathBuf,
    rotate_bytes: usize,
    /// How many rotated files stay; 0: each is unlinked at once.
    keep: u32,
    file: File,
    /// Bytes of the file that is not rotated yet.
    pub(super) written: usize,
    /// Whether what was written ends inside a line.
    inside_line: bool,
    pub(super) rotations: u32,
    /// Lines that a rotation cut in two.
    pub(super) cut: u32,
}

impl Logger {
    pub(super) fn new(path: &Path, rotate_bytes: usize, keep: u32) -> Self {
        let path = path.to_owned();
        let file = append_to(&path);
        let (written, rotations, cut) = (0, 0, 0);
        Self { path, rotate_bytes, keep, file, written, inside_line: false, rotations, cut }
    }

    /// Takes what came through the pipe.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            if self.written + piece.len() > self.rotate_bytes {
                self.rotate()?;
            }
            self.file.write_all(piece)?;
            self.written += piece.len();
            self.inside_line = piece.last() != Some(&b'\n');
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let name = |n: u32| suffixed(&self.path, &format!(".{n}"));
        for n in (1..self.keep).rev() {
            match std::fs::rename(name(n), name(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, name(1))?;
        if self.keep == 0 {
            std::fs::remove_file(name(1))?;
        }
        self.file = append_to(&self.path);
        self.written = 0;
        self.rotations += 1;
        self.cut += u32::from(self.inside_line);
        Ok(())
    }
}
