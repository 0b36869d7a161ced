//! Reads rows of a group's matrix, and checks every page that it looks at.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::file::Group;
use super::group::{PAGE_BYTES, PAGE_DATA_BYTES};

/// Blocks of a group, one bit each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns(Vec<u64>);

impl Columns {
    pub(super) fn none(n_blocks: usize) -> Self {
        Self(vec![0; n_blocks.div_ceil(64)])
    }

    pub(super) fn set(&mut self, column: usize) {
        self.0[column >> 6] |= 1 << (column & 63);
    }

    pub(super) fn has(&self, column: usize) -> bool {
        self.0[column >> 6] >> (column & 63) & 1 == 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn add(&mut self, other: &Columns) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    /// Keeps those whose bit is set in `row`, whose first bit is bit `shift` of its first byte.
    fn keep(&mut self, row: &[u8], shift: u32) {
        for (n, word) in self.0.iter_mut().enumerate() {
            let mut nine = [0; 16];
            let part = &row[(n * 8).min(row.len())..(n * 8 + 9).min(row.len())];
            nine[..part.len()].copy_from_slice(part);
            *word &= (u128::from_le_bytes(nine) >> shift) as u64;
        }
    }
}

/// The pages of one group, for one query.
pub(super) struct Rows<'a> {
    file: &'a File,
    group: &'a Group,
    /// Pages that are in memory, as stored: which is the first.
    first_page: usize,
    pages: Vec<u8>,
    /// One row, with the bits around it in its first and last byte.
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// `n_keys` is how many rows may be asked for: if the group is not much longer than that many
    /// pages it is read at once.
    pub(super) fn new(file: &'a File, group: &'a Group, n_keys: usize) -> Result<Self, RowError> {
        let mut rows = Self { file, group, first_page: 0, pages: Vec::new(), row: Vec::new() };
        let n_pages = group.shape.n_pages();
        if n_pages <= n_keys {
            rows.load(0, n_pages)?;
        }
        Ok(rows)
    }

    /// Keeps the blocks that have the bit of a row.
    pub(super) fn keep(&mut self, row: u32, columns: &mut Columns) -> Result<(), RowError> {
        let n_blocks = self.group.shape.n_blocks as usize;
        let first_bit = row as usize * n_blocks;
        let bytes = first_bit / 8..(first_bit + n_blocks).div_ceil(8);
        let mut out = std::mem::take(&mut self.row);
        out.clear();
        for page in bytes.start / PAGE_DATA_BYTES..=(bytes.end - 1) / PAGE_DATA_BYTES {
            let start = page * PAGE_DATA_BYTES;
            let data = self.page(page)?;
            let from = bytes.start.saturating_sub(start);
            out.extend_from_slice(&data[from..(bytes.end - start).min(data.len())]);
        }
        columns.keep(&out, (first_bit % 8) as u32);
        self.row = out;
        Ok(())
    }

    /// The data of a page, checked.
    fn page(&mut self, page: usize) -> Result<&[u8], RowError> {
        let loaded = self.first_page..self.first_page + self.pages.len().div_ceil(PAGE_BYTES);
        if !loaded.contains(&page) {
            self.load(page, 1)?;
        }
        let start = (page - self.first_page) * PAGE_BYTES;
        let stored = &self.pages[start..(start + PAGE_BYTES).min(self.pages.len())];
        let (data, crc) = stored.split_last_chunk::<4>().ok_or(RowError::Damaged(page))?;
        if crc32c::crc32c(data) != u32::from_le_bytes(*crc) {
            return Err(RowError::Damaged(page));
        }
        Ok(data)
    }

    fn load(&mut self, first_page: usize, n_pages: usize) -> Result<(), RowError> {
        let start = first_page * PAGE_BYTES;
        let end = (start + n_pages * PAGE_BYTES).min(self.group.shape.pages_bytes());
        self.pages.clear();
        self.pages.resize(end - start, 0);
        self.first_page = first_page;
        let at = self.group.pages_at + start as u64;
        let read = self.file.read_exact_at(&mut self.pages, at);
        if read.is_err() {
            self.pages.clear();
        }
        Ok(read?)
    }
}

/// Why a row is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error("page {0} of the group is damaged")]
    Damaged(usize),
    #[error("it cannot be read")]
    Io(#[from] std::io::Error),
}
