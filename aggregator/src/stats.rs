//! What the store holds, in numbers.

use std::time::Duration;

use crate::disk_usage::DiskUsage;
use crate::error::StoreError;
use crate::manifest::SLICES_DIR;
use crate::slice::{SliceView, dir_of};
use crate::store::Store;

/// The store at one moment; files that are written meanwhile may count in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Lines that queries find, hot ones included.
    pub lines: u64,
    pub streams: u64,
    /// Bytes of their text before compression, with terminators.
    pub raw_bytes: u64,
    /// Memory of what is not sealed yet: bytes.
    pub hot_bytes: u64,
    /// Of [`raw_bytes`](Self::raw_bytes), those that are not sealed yet.
    pub hot_text_bytes: u64,
    pub disk: DiskUsage,
    /// In order of age, the oldest first.
    pub slices: Vec<SliceStats>,
    /// See [`StoreConfig::retention_age`](crate::StoreConfig::retention_age).
    pub retention_age: Option<Duration>,
    pub retention_bytes: Option<u64>,
    /// Slices that retention dropped in the life of the store, and their text before compression.
    pub expired_slices: u64,
    pub expired_bytes: u64,
}

/// One slice of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceStats {
    pub id: u64,
    pub blocks: u64,
    /// Bytes of text before compression.
    pub raw_bytes: u64,
    pub disk_bytes: u64,
    /// Earliest and latest time of a line, nanoseconds since the epoch; `None` without lines.
    pub times: Option<(i64, i64)>,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
}

impl Store {
    /// Counts what the store holds. Lists the folders of all slices.
    ///
    /// # Errors
    /// A folder or an index cannot be read.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let (lines, streams) = {
            let streams = self.streams();
            (streams.iter().map(|(_, info)| info.lines).sum(), streams.len() as u64)
        };
        let (views, expired, hot_bytes, hot_text) = {
            let data = self.data.read();
            let hot = || data.hot.iter().chain(&data.sealing);
            let memory: usize = hot().map(|run| run.memory_bytes()).sum();
            let text: usize = hot().map(|run| run.text.len()).sum();
            (data.slices.clone(), data.expired, memory as u64, text as u64)
        };
        let dir = &self.config.dir;
        let mut disk = DiskUsage::of_catalog(dir).map_err(|e| StoreError::io("list", dir, e))?;
        disk.add(&DiskUsage::of_aside(dir).map_err(|e| StoreError::io("list", dir, e))?);
        let mut slices = Vec::with_capacity(views.len());
        for view in &views {
            let (stats, usage) = self.slice_stats(view)?;
            disk.add(&usage);
            slices.push(stats);
        }
        Ok(StoreStats {
            lines,
            streams,
            raw_bytes: hot_text + slices.iter().map(|slice| slice.raw_bytes).sum::<u64>(),
            hot_bytes,
            hot_text_bytes: hot_text,
            disk,
            slices,
            retention_age: self.config.retention_age,
            retention_bytes: self.config.retention_bytes,
            expired_slices: expired.slices,
            expired_bytes: expired.bytes,
        })
    }

    fn slice_stats(&self, view: &SliceView) -> Result<(SliceStats, DiskUsage), StoreError> {
        let dir = dir_of(&self.config.dir.join(SLICES_DIR), view.id);
        let usage = DiskUsage::of_slice(&dir).map_err(|e| StoreError::io("list", &dir, e))?;
        let stats = SliceStats {
            id: view.id,
            blocks: view.mark.n_blocks,
            raw_bytes: view.mark.raw_bytes,
            disk_bytes: usage.total(),
            times: view.index.times()?,
            created_at: view.mark.created_at,
        };
        Ok((stats, usage))
    }
}
