//! The filters of a slice: one file beside its blocks, to which each seal appends groups. It only
//! ever rules blocks out: those of which it knows nothing, or nothing any more, stay.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::group::{self, HEADER_BYTES, MAGIC, Placed, Shape};
use crate::error::StoreError;

/// How much is read at once where the next group is looked for after damage: bytes.
const SEARCH_BYTES: usize = 64 * 1024;

/// The filters of a slice as they were at one moment. Headers are in memory, the matrices are read
/// when asked.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    pub(super) path: PathBuf,
    /// `None` for an old slice without any.
    pub(super) file: Option<Arc<File>>,
    pub(super) groups: Vec<Arc<Group>>,
    /// Bytes that count.
    len: u64,
    /// Groups that could not be read when the file was opened.
    damaged: u64,
}

/// A group whose header is known.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) shape: Shape,
    /// Byte offset of its pages.
    pub(super) pages_at: u64,
    /// Where its blocks stand, ascending.
    pub(super) addresses: Box<[u64]>,
    /// Its damage was reported: once is enough.
    pub(super) reported: AtomicBool,
}

impl Filters {
    /// Opens the file of a slice that is written to, and cuts what lies behind `len`.
    ///
    /// # Errors
    /// It cannot be opened, or is shorter than the manifest says.
    pub(crate) fn open_to_append(path: PathBuf, len: u64) -> Result<Self, StoreError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| StoreError::io("open", &path, source))?;
        expect_len(&path, &file, len)?;
        file.set_len(len).map_err(|source| StoreError::io("truncate", &path, source))?;
        Ok(Self::read(path, file, len))
    }

    /// Opens the file of a slice that is not written to any more. One sealed before there were
    /// filters has none: `len` is 0 then.
    ///
    /// # Errors
    /// It cannot be opened, or is shorter than the manifest says.
    pub(crate) fn open(path: PathBuf, len: u64) -> Result<Self, StoreError> {
        if len == 0 {
            return Ok(Self { path, file: None, groups: Vec::new(), len, damaged: 0 });
        }
        let file = File::open(&path).map_err(|source| StoreError::io("open", &path, source))?;
        expect_len(&path, &file, len)?;
        Ok(Self::read(path, file, len))
    }

    /// Reads all headers; passes over damaged ones.
    fn read(path: PathBuf, file: File, len: u64) -> Self {
        let mut groups = Vec::new();
        let mut damaged = 0;
        let mut at = 0;
        while at < len {
            let next = match read_group(&file, at, len) {
                Ok(group) => {
                    let next = at + group.shape.stored_bytes();
                    groups.push(Arc::new(group));
                    next
                }
                Err(what) => {
                    damaged += 1;
                    tracing::warn!(
                        path = %path.display(), at, what,
                        "a damaged group of filters: queries for ids read its blocks in vain"
                    );
                    next_group(&file, at + 1, len)
                }
            };
            at = next;
        }
        Self { path, file: Some(Arc::new(file)), groups, len, damaged }
    }

    /// How much of the file counts: bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Groups that were found damaged at open.
    pub(crate) fn damaged_at_open(&self) -> u64 {
        self.damaged
    }

    /// Appends the filters of a seal; not yet durable.
    pub(crate) fn append(&mut self, seal: u64, filters: &[Placed<'_>]) -> Result<(), StoreError> {
        let file = self.file.as_ref().expect("opened to append");
        for group in group::grouped(filters) {
            let mut bytes = Vec::new();
            let shape = group::write(seal, &group, &mut bytes);
            file.write_all_at(&bytes, self.len)
                .map_err(|source| StoreError::io("append to", &self.path, source))?;
            let pages_at = self.len + (HEADER_BYTES + shape.address_bytes()) as u64;
            let addresses = group.iter().map(|(at, _)| *at).collect();
            let reported = AtomicBool::new(false);
            self.groups.push(Arc::new(Group { shape, pages_at, addresses, reported }));
            self.len += bytes.len() as u64;
        }
        Ok(())
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.file.as_ref().map_or(Ok(()), |file| file.sync_data());
        synced.map_err(|source| StoreError::io("sync", &self.path, source))
    }
}

impl Group {
    /// True the first time.
    pub(super) fn report(&self) -> bool {
        !self.reported.swap(true, Ordering::Relaxed)
    }
}

fn expect_len(path: &Path, file: &File, len: u64) -> Result<(), StoreError> {
    let found = file.metadata().map_err(|source| StoreError::io("stat", path, source))?.len();
    if found < len {
        let what = format!("it has {found} bytes, the manifest names {len}");
        return Err(StoreError::damaged(path, what));
    }
    Ok(())
}

fn read_group(file: &File, at: u64, len: u64) -> Result<Group, &'static str> {
    let mut header = [0; HEADER_BYTES];
    if len - at < HEADER_BYTES as u64 {
        return Err("a group's header is incomplete");
    }
    file.read_exact_at(&mut header, at).map_err(|_| "a group's header cannot be read")?;
    let shape = Shape::read(&header)?;
    if shape.stored_bytes() > len - at {
        return Err("a group is incomplete");
    }
    let addresses_at = at + HEADER_BYTES as u64;
    let mut bytes = vec![0; shape.address_bytes()];
    file.read_exact_at(&mut bytes, addresses_at)
        .map_err(|_| "a group's addresses cannot be read")?;
    if crc32c::crc32c(&bytes) != shape.crc {
        return Err("a group's addresses are damaged");
    }
    let addresses: Box<[u64]> =
        bytes.as_chunks::<8>().0.iter().map(|at| u64::from_le_bytes(*at)).collect();
    if !addresses.is_sorted() {
        return Err("a group's addresses are not in order");
    }
    let pages_at = addresses_at + bytes.len() as u64;
    Ok(Group { shape, pages_at, addresses, reported: AtomicBool::new(false) })
}

/// Where the next good header stands from `at` on, or `len`.
fn next_group(file: &File, mut at: u64, len: u64) -> u64 {
    let mut bytes = vec![0; SEARCH_BYTES];
    while at + HEADER_BYTES as u64 <= len {
        let n = (len - at).min(SEARCH_BYTES as u64) as usize;
        if file.read_exact_at(&mut bytes[..n], at).is_err() {
            return len;
        }
        let good = memchr::memmem::find_iter(&bytes[..n], &MAGIC).find(|found| {
            let header = bytes[*found..n].first_chunk();
            header.is_some_and(|header| Shape::read(header).is_ok())
        });
        if let Some(good) = good {
            return at + good as u64;
        }
        // A header may begin in this part and end in the next one.
        at += (n - HEADER_BYTES + 1) as u64;
    }
    len
}
