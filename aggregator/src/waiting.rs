//! Partitions that wait: what stands in them from some message on is not read, so answers lack it.

use std::collections::BTreeMap;

use crate::store::Store;

impl Store {
    /// The partitions that wait (for a newer version, or because their log ends before this store's
    /// position) → the offset at which they do. Lines behind it are missing from answers, and a retry of
    /// a push that stands there cannot be told.
    pub fn waiting_partitions(&self) -> BTreeMap<u32, u64> {
        self.waiting.read().clone()
    }

    /// Whether a partition waits.
    pub fn is_waiting(&self, partition: u32) -> bool {
        self.waiting.read().contains_key(&partition)
    }

    /// Tells which partitions wait, all of them.
    pub(crate) fn set_waiting(&self, waiting: &BTreeMap<u32, u64>) {
        self.waiting.write().clone_from(waiting);
        self.metrics.waiting_partitions.set(waiting.len() as i64);
    }
}
