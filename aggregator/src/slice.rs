//! A slice: one stretch of the store. Its blocks follow each other in one file, its index says
//! which of them may hold what.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Block, BlockError, BlockTable, HEADER_BYTES};
use crate::error::StoreError;
use crate::filter::Filters;
use crate::index::{BlockAddress, BlockIndex, IndexView};
use crate::manifest::SliceMark;
use crate::pack::PackedBlock;
use crate::record_file::sync_dir;

const BLOCKS_FILE: &str = "blocks";
const FILTERS_FILE: &str = "filters";
const INDEX_DIR: &str = "index";

/// A slice open for writing.
pub(crate) struct Slice {
    mark: SliceMark,
    dir: PathBuf,
    blocks: Arc<File>,
    filters: Filters,
    index: BlockIndex,
}

/// The folder of a slice.
pub(crate) fn dir_of(slices: &Path, id: u64) -> PathBuf {
    slices.join(format!("{id:08}"))
}

impl Slice {
    /// Makes an empty slice in a new folder.
    pub(crate) fn create(slices: &Path, id: u64, created_at: i64) -> Result<Self, StoreError> {
        let dir = dir_of(slices, id);
        std::fs::create_dir_all(dir.join(INDEX_DIR))
            .map_err(|source| StoreError::io("create", &dir, source))?;
        let mark = SliceMark {
            id,
            created_at,
            opstamp: 0,
            blocks_len: 0,
            n_blocks: 0,
            raw_bytes: 0,
            stored_at: created_at,
            filters_len: 0,
        };
        BlockIndex::create(&dir.join(INDEX_DIR))?;
        let slice = Self::open(slices, &mark, 0)?;
        sync_dir(&dir)?;
        sync_dir(slices)?;
        Ok(slice)
    }

    /// Opens a slice as the manifest names it and cuts what lies behind.
    pub(crate) fn open(slices: &Path, mark: &SliceMark, seal: u64) -> Result<Self, StoreError> {
        let dir = dir_of(slices, mark.id);
        let path = dir.join(BLOCKS_FILE);
        let blocks = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| StoreError::io("open", &path, source))?;
        let len = blocks.metadata().map_err(|source| StoreError::io("stat", &path, source))?.len();
        if len < mark.blocks_len {
            let what = format!("it has {len} bytes, the manifest names {}", mark.blocks_len);
            return Err(StoreError::damaged(&path, what));
        }
        blocks
            .set_len(mark.blocks_len)
            .map_err(|source| StoreError::io("truncate", &path, source))?;
        let path = dir.join(FILTERS_FILE);
        let is_new = mark.filters_len == 0 && !path.exists();
        let filters = Filters::open_to_append(path, mark.filters_len)?;
        if is_new {
            // A slice of a build without filters: a manifest that names them must find the file.
            sync_dir(&dir)?;
        }
        let index = BlockIndex::open(&dir.join(INDEX_DIR), seal)?;
        index.view()?.expect_blocks(mark.n_blocks)?;
        Ok(Self { mark: mark.clone(), dir, blocks: Arc::new(blocks), filters, index })
    }

    pub(crate) fn mark(&self) -> &SliceMark {
        &self.mark
    }

    /// Takes over the times of a mark that was set with the clock.
    pub(crate) fn set_times(&mut self, mark: &SliceMark) {
        self.mark.created_at = mark.created_at;
        self.mark.stored_at = mark.stored_at;
    }

    /// Appends blocks to the block file and their filters beside it, makes them durable, then adds
    /// the blocks to the index; `now` is when their lines are stored.
    pub(crate) fn append(&mut self, blocks: &[PackedBlock], now: i64) -> Result<(), StoreError> {
        let mut places = Vec::with_capacity(blocks.len());
        for packed in blocks {
            places.push(self.write_block(&packed.block)?);
        }
        fail::fail_point!("seal::blocks_written");
        self.blocks
            .sync_data()
            .map_err(|source| StoreError::io("sync", &self.dir.join(BLOCKS_FILE), source))?;
        fail::fail_point!("seal::blocks_synced");
        self.append_filters(blocks, &places)?;
        for (packed, (at, len)) in blocks.iter().zip(places) {
            self.index.add(&packed.block, at, len, &packed.terms.words)?;
            self.mark.n_blocks += 1;
            self.mark.raw_bytes += u64::from(packed.block.frame.text_len());
        }
        // Not the later of the two: a time in the future is that of a wrong clock.
        self.mark.stored_at = now;
        fail::fail_point!("seal::index_added");
        Ok(())
    }

    fn append_filters(
        &mut self,
        blocks: &[PackedBlock],
        places: &[(u64, u64)],
    ) -> Result<(), StoreError> {
        let Some(first) = blocks.first() else { return Ok(()) };
        let filters = blocks.iter().map(|packed| &packed.terms.filter);
        let placed: Vec<_> = places.iter().map(|(at, _)| *at).zip(filters).collect();
        self.filters.append(first.block.seal, &placed)?;
        fail::fail_point!("seal::filters_written");
        self.filters.sync()?;
        fail::fail_point!("seal::filters_synced");
        self.mark.filters_len = self.filters.len();
        Ok(())
    }

    /// Ends the writing: see [`BlockIndex::close`].
    pub(crate) fn close(self) {
        self.index.close();
    }

    /// Commits the index under the seal's number.
    pub(crate) fn commit(&mut self, seal: u64) -> Result<(), StoreError> {
        self.mark.opstamp = self.index.commit(seal)?;
        Ok(())
    }

    fn write_block(&mut self, block: &Block) -> Result<(u64, u64), StoreError> {
        let mut bytes = Vec::new();
        block.write(&mut bytes);
        let at = self.mark.blocks_len;
        self.blocks
            .write_all_at(&bytes, at)
            .map_err(|source| StoreError::io("append to", &self.dir.join(BLOCKS_FILE), source))?;
        self.mark.blocks_len += bytes.len() as u64;
        Ok((at, bytes.len() as u64))
    }

    /// What is committed now.
    pub(crate) fn view(&self) -> Result<SliceView, StoreError> {
        Ok(SliceView {
            id: self.mark.id,
            mark: self.mark.clone(),
            path: self.dir.join(BLOCKS_FILE),
            blocks: self.blocks.clone(),
            filters: self.filters.clone(),
            index: self.index.view()?,
        })
    }
}

/// A slice as it was at one moment, for reading.
#[derive(Clone)]
pub struct SliceView {
    pub id: u64,
    pub(crate) mark: SliceMark,
    path: PathBuf,
    blocks: Arc<File>,
    pub(crate) filters: Filters,
    pub(crate) index: IndexView,
}

impl SliceView {
    /// Opens a slice that is not written to any more.
    pub(crate) fn open(slices: &Path, mark: &SliceMark) -> Result<Self, StoreError> {
        let dir = dir_of(slices, mark.id);
        let path = dir.join(BLOCKS_FILE);
        let blocks = File::open(&path).map_err(|source| StoreError::io("open", &path, source))?;
        let filters = Filters::open(dir.join(FILTERS_FILE), mark.filters_len)?;
        let index = IndexView::open(&dir.join(INDEX_DIR))?;
        index.expect_blocks(mark.n_blocks)?;
        let (mark, blocks) = (mark.clone(), Arc::new(blocks));
        Ok(Self { id: mark.id, mark, path, blocks, filters, index })
    }

    /// Reads a block; text and columns are not inflated yet.
    ///
    /// # Errors
    /// The file cannot be read there, or the bytes are damaged: the block is lost, others are not.
    pub fn read(&self, address: &BlockAddress) -> Result<Block, SliceReadError> {
        let fail = |source| self.damaged(address, source);
        let mut header = [0; HEADER_BYTES];
        self.blocks.read_exact_at(&mut header, address.at).map_err(|err| fail(err.into()))?;
        let len = Block::stored_len(&header).map_err(fail)?;
        if len as u64 != address.len {
            return Err(fail(BlockError::Damaged("length")));
        }
        let mut bytes = vec![0; len];
        self.blocks.read_exact_at(&mut bytes, address.at).map_err(|err| fail(err.into()))?;
        Block::read(Bytes::from(bytes)).map_err(fail)
    }

    /// Reads a block's table and nothing else of it.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn read_table(&self, address: &BlockAddress) -> Result<BlockTable, SliceReadError> {
        let fail = |source| self.damaged(address, source);
        let mut header = [0; HEADER_BYTES];
        self.blocks.read_exact_at(&mut header, address.at).map_err(|err| fail(err.into()))?;
        let (len, table_len) =
            (Block::stored_len(&header).map_err(fail)?, Block::table_len(&header));
        if len as u64 != address.len || table_len > len - HEADER_BYTES {
            return Err(fail(BlockError::Damaged("length")));
        }
        let mut table = vec![0; table_len];
        let at = address.at + HEADER_BYTES as u64;
        self.blocks.read_exact_at(&mut table, at).map_err(|err| fail(err.into()))?;
        Block::read_table(&header, &table).map_err(fail)
    }

    pub(crate) fn damaged(&self, address: &BlockAddress, source: BlockError) -> SliceReadError {
        SliceReadError { path: self.path.clone(), at: address.at, source }
    }
}

/// A block that cannot be read: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the block at byte {at} of {path}")]
pub struct SliceReadError {
    pub path: PathBuf,
    pub at: u64,
    #[source]
    pub source: BlockError,
}

/// Makes sure that a folder exists, also after a crash of the machine.
pub(crate) fn ensure_dir(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).map_err(|source| StoreError::io("create", dir, source))?;
    dir.parent().map_or(Ok(()), sync_dir)
}
