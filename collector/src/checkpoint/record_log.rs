//! An append-only file of fixed-size records behind a header of the size of one: what is torn at its end
//! is overwritten, a damaged header is mended, and what is no such file is moved aside.
//!
//! The header is what the file is, twice, and zeros; that of older files told it once. Records begin with
//! the CRC32C of their rest.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::durable;

/// The open file.
#[derive(Debug)]
pub(super) struct RecordLog<const N: usize> {
    path: PathBuf,
    magic: &'static [u8; 16],
    file: File,
    /// Bytes that hold the header and whole records.
    length: u64,
}

/// What a file held when it was opened.
pub(super) struct Opened<const N: usize> {
    pub log: RecordLog<N>,
    /// All records, in the order in which they were written; damaged ones too.
    pub records: Vec<[u8; N]>,
    /// Records that are torn, and 1 for a file that was moved aside.
    pub damaged: u64,
}

impl<const N: usize> RecordLog<N> {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// The file cannot be read or created. Damaged content is no error.
    pub(super) fn open(path: &Path, magic: &'static [u8; 16]) -> io::Result<Opened<N>> {
        let content = match std::fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (records, torn) = content.as_chunks::<N>();
        let Some((head, records)) = records
            .split_first()
            .filter(|(head, records)| head.starts_with(magic) || is_damaged(head, magic, records))
        else {
            return Self::begin(path, magic, !content.is_empty());
        };
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut damaged = u64::from(!torn.is_empty());
        if head[..] != header::<N>(magic)[..] {
            file.write_all_at(&header::<N>(magic), 0)?;
            file.sync_data()?;
        }
        if !head.starts_with(magic) {
            tracing::warn!(
                "the beginning of '{}' was damaged; it is mended, and what follows it is kept",
                path.display()
            );
            damaged += 1;
        }
        let length = ((records.len() + 1) * N) as u64;
        let log = Self { path: path.to_owned(), magic, file, length };
        Ok(Opened { log, records: records.to_vec(), damaged })
    }

    fn begin(path: &Path, magic: &'static [u8; 16], damaged: bool) -> io::Result<Opened<N>> {
        if damaged {
            let aside = path.with_extension("damaged");
            std::fs::rename(path, &aside)?;
            tracing::warn!(
                "'{}' is no file of this version; it is now '{}', and what it told is forgotten",
                path.display(),
                aside.display()
            );
        }
        let file = durable::replace(path, &header::<N>(magic))?;
        let log = Self { path: path.to_owned(), magic, file, length: N as u64 };
        Ok(Opened { log, records: Vec::new(), damaged: u64::from(damaged) })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends records, and makes them durable.
    ///
    /// # Errors
    /// Nothing counts as appended then: the next call writes over it.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.write_all_at(records, self.length)?;
        self.file.sync_data()?;
        self.length += records.len() as u64;
        Ok(())
    }

    /// From here on the file can only be read, or again be written.
    #[cfg(test)]
    pub(super) fn refuse_writes(&mut self, refuse: bool) {
        let file = OpenOptions::new().read(true).write(!refuse).open(&self.path);
        self.file = file.expect("it is there");
    }

    /// Puts these records in the place of all.
    ///
    /// # Errors
    /// The old file stays in use.
    pub(super) fn replace(&mut self, records: &[u8]) -> io::Result<()> {
        let mut bytes = header::<N>(self.magic);
        bytes.extend_from_slice(records);
        self.file = durable::replace(&self.path, &bytes)?;
        self.length = bytes.len() as u64;
        Ok(())
    }
}

fn header<const N: usize>(magic: &[u8; 16]) -> Vec<u8> {
    let mut bytes = magic.repeat(2);
    bytes.resize(N, 0);
    bytes
}

/// Whether a header that does not say so is one of this file all the same: it says so where it tells it
/// again. One that tells nothing there is of an older file, and then the records must speak for it. Another
/// version would tell of itself twice.
fn is_damaged<const N: usize>(head: &[u8; N], magic: &[u8; 16], records: &[[u8; N]]) -> bool {
    let again = &head[magic.len()..2 * magic.len()];
    let tells_nothing = again.iter().all(|byte| *byte == 0);
    again == magic || (tells_nothing && records.iter().any(is_whole))
}

fn is_whole<const N: usize>(record: &[u8; N]) -> bool {
    record
        .split_first_chunk()
        .is_some_and(|(crc, rest)| u32::from_le_bytes(*crc) == crc32c::crc32c(rest))
}
