//! An append-only file of checksummed records: what the manifest and the catalog are made of.
//!
//! `length u32 | crc32c u32 over length and body | body`, little endian.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The longest record, in bytes: bounds what a flipped length can make us allocate.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A record file open for appending.
#[derive(Debug)]
pub(crate) struct RecordFile {
    path: PathBuf,
    file: File,
    len: u64,
}

/// What was read of a record file.
pub(crate) struct Contents {
    /// Each record's body and the file's length behind it.
    pub(crate) records: Vec<(Vec<u8>, u64)>,
    /// Why reading stopped before `len`, if it did.
    pub(crate) damage: Option<String>,
}

impl RecordFile {
    /// Opens or creates a file and reads its records up to `len` bytes (or its end).
    pub(crate) fn open(path: &Path, len: Option<u64>) -> Result<(Self, Contents), StoreError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| StoreError::io("open", path, source))?;
        let mut bytes = Vec::new();
        let limit = len.unwrap_or(u64::MAX);
        (&mut file)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|source| StoreError::io("read", path, source))?;
        let mut contents = parse(&bytes);
        if let Some(len) = len
            && (bytes.len() as u64) < len
            && contents.damage.is_none()
        {
            contents.damage = Some(format!("the file ends at byte {}, not {len}", bytes.len()));
        }
        let len = contents.records.last().map_or(0, |(_, end)| *end);
        Ok((Self { path: path.to_owned(), file, len }, contents))
    }

    /// Cuts everything behind the last good record.
    pub(crate) fn cut(&mut self) -> Result<(), StoreError> {
        self.file
            .set_len(self.len)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.len)).map(drop))
            .map_err(|source| StoreError::io("truncate", &self.path, source))
    }

    /// Cuts the file to a length that it had before.
    pub(crate) fn cut_to(&mut self, len: u64) -> Result<(), StoreError> {
        self.len = len;
        self.cut()
    }

    /// Appends records with one write; not yet durable.
    pub(crate) fn append<'a>(
        &mut self,
        bodies: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), StoreError> {
        let mut out = Vec::new();
        for body in bodies {
            if body.len() > RECORD_BYTES_MAX {
                let what = format!("a record of {} bytes is too long to be read again", body.len());
                return Err(StoreError::damaged(&self.path, what));
            }
            let len = (body.len() as u32).to_le_bytes();
            let crc = crc32c::crc32c_append(crc32c::crc32c(&len), body);
            out.extend_from_slice(&len);
            out.extend_from_slice(&crc.to_le_bytes());
            out.extend_from_slice(body);
        }
        self.file
            .seek(SeekFrom::Start(self.len))
            .and_then(|_| self.file.write_all(&out))
            .map_err(|source| StoreError::io("append to", &self.path, source))?;
        self.len += out.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync_data().map_err(|source| StoreError::io("sync", &self.path, source))
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn parse(bytes: &[u8]) -> Contents {
    let mut records = Vec::new();
    let mut damage = None;
    let mut at = 0;
    while at < bytes.len() {
        match record_at(bytes, at) {
            Ok(body) => {
                at += 8 + body.len();
                records.push((body.to_vec(), at as u64));
            }
            Err(what) => {
                damage = Some(format!("{what} at byte {at} of {}", bytes.len()));
                match next_good(bytes, at) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    Contents { records, damage }
}

/// Where a damaged record ends, if its length can be believed: a good record stands there.
fn next_good(bytes: &[u8], at: usize) -> Option<usize> {
    let len = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
    let next = at.checked_add(8)?.checked_add(len)?;
    record_at(bytes, next).ok().map(|_| next)
}

fn record_at(bytes: &[u8], at: usize) -> Result<&[u8], &'static str> {
    let header = bytes.get(at..at + 8).ok_or("a record's header is incomplete")?;
    let word =
        |n: usize| u32::from_le_bytes([header[n], header[n + 1], header[n + 2], header[n + 3]]);
    let len = word(0) as usize;
    if len > RECORD_BYTES_MAX {
        return Err("a record's length is impossible");
    }
    let body = bytes.get(at + 8..at + 8 + len).ok_or("a record is incomplete")?;
    if crc32c::crc32c_append(crc32c::crc32c(&header[..4]), body) != word(4) {
        return Err("a record's checksum does not hold");
    }
    Ok(body)
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(|source| StoreError::io("sync directory", dir, source))
}
