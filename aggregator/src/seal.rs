//! The seal: turns hot runs into blocks, in an order of writes that leaves the old store intact
//! until the manifest's record is durable.
//!
//! block file → filters → catalog (streams, ledger) → tantivy commit → directory syncs → manifest

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::carry::{self, Carried, LastEntries};
use crate::catalog::{Catalog, Changes};
use crate::error::StoreError;
use crate::hot::HotRun;
use crate::manifest::{Manifest, ManifestRecord, SLICES_DIR};
use crate::pack::{PackedBlock, pack};
use crate::slice::{Slice, SliceView};
use crate::store::{Data, Store};

/// The one writer of a store's files.
pub struct Sealer {
    pub(crate) store: Arc<Store>,
    manifest: Manifest,
    pub(crate) catalog: Catalog,
    pub(crate) active: Option<Slice>,
    /// The manifest's last record.
    pub(crate) record: ManifestRecord,
    /// The record before it: what it names is kept, in case the last one is damaged.
    pub(crate) before: Option<ManifestRecord>,
}

/// What a seal is to write: everything consumed up to some positions.
pub(crate) struct SealJob {
    runs: Vec<Arc<HotRun>>,
    positions: BTreeMap<u32, u64>,
    changes: Changes,
}

impl Store {
    /// Begins a seal: what is hot now moves to `sealing`. `None` if there is nothing new.
    ///
    /// Called only by the consuming thread, between two messages, so that runs, positions, ledger
    /// and streams belong to the same moment.
    pub(crate) fn begin_seal(
        &self,
        even_of_nothing: bool,
        last_entries: LastEntries,
    ) -> Option<SealJob> {
        let mut positions = self.positions();
        let mut tables = self.tables.write();
        let tables = &mut *tables;
        let complete = self.rewrite_catalog.swap(false, Ordering::AcqRel);
        let mut data = self.data.write();
        assert!(data.sealing.is_empty(), "one seal at a time");
        let (runs, carried) = self.part_hot(&mut data, last_entries);
        carry::hold_positions(&mut positions, &carried);
        let without = Carried::of(&carried);
        let changes = Changes::take(&mut tables.streams, &mut tables.ledger, &without, complete);
        data.hot_bytes = carried.iter().map(|run| run.memory_bytes()).sum();
        self.metrics.hot_bytes.set(data.hot_bytes as i64);
        data.hot = carried;
        // Also a seal of nothing but redelivered lines counts: the transport may forget them then.
        let nothing = runs.is_empty() && changes.is_empty() && positions == *self.sealed.lock();
        if nothing && !even_of_nothing {
            return None;
        }
        data.sealing = runs.clone();
        Some(SealJob { runs, positions, changes })
    }

    /// What is hot now, parted into what is sealed and what stays.
    fn part_hot(
        &self,
        data: &mut Data,
        last_entries: LastEntries,
    ) -> (Vec<Arc<HotRun>>, Vec<Arc<HotRun>>) {
        let hot = std::mem::take(&mut data.hot);
        match last_entries {
            LastEntries::StayHot => carry::part(hot, &mut data.open, &self.config),
            LastEntries::AreSealed => {
                data.open.clear();
                (hot, Vec::new())
            }
        }
    }
}

impl Sealer {
    pub(crate) fn new(
        store: Arc<Store>,
        manifest: Manifest,
        catalog: Catalog,
        active: Option<Slice>,
        record: ManifestRecord,
        before: Option<ManifestRecord>,
    ) -> Self {
        Self { store, manifest, catalog, active, record, before }
    }

    /// The positions that the manifest names: everything below them is in the store for good.
    pub(crate) fn sealed_positions(&self) -> &BTreeMap<u32, u64> {
        &self.record.positions
    }

    /// The positions that the record before the last one names.
    pub(crate) fn positions_before(&self) -> BTreeMap<u32, u64> {
        self.before.as_ref().map(|before| before.positions.clone()).unwrap_or_default()
    }

    /// Seals what is hot now. For those who consume by themselves, without an
    /// [`Aggregator`](crate::Aggregator): no other thread may be ingesting.
    ///
    /// # Errors
    /// Nothing of the seal counts then; the store must be opened again.
    pub fn seal_now(&mut self) -> Result<(), StoreError> {
        let job = self.store.begin_seal(false, LastEntries::AreSealed);
        job.map_or(Ok(()), |job| self.seal(job))
    }

    /// The same, but the last entry of each stream stays hot if its last line came less than 10 s ago,
    /// as when an [`Aggregator`](crate::Aggregator) seals: the next line may continue it.
    ///
    /// # Errors
    /// As for [`Self::seal_now`].
    pub fn seal_but_last_entries(&mut self) -> Result<(), StoreError> {
        let job = self.store.begin_seal(false, LastEntries::StayHot);
        job.map_or(Ok(()), |job| self.seal(job))
    }

    /// Writes a seal. When this returns, its lines are read from blocks.
    ///
    /// # Errors
    /// Nothing of the seal counts then; the store must be recovered and replayed.
    pub(crate) fn seal(&mut self, job: SealJob) -> Result<(), StoreError> {
        fail::fail_point!("seal::begin");
        let now = self.follow_clock()?;
        let seal = self.record.seal + 1;
        let blocks = pack_partitions(&job.runs, seal);
        if !blocks.is_empty() {
            self.roll(now)?;
            self.active.as_mut().expect("rolled above").append(&blocks, now)?;
        }
        let catalog = self.catalog.append(&job.changes, seal)?;
        if let (Some(active), false) = (&mut self.active, blocks.is_empty()) {
            active.commit(seal)?;
        }
        let mut record =
            ManifestRecord { seal, positions: job.positions, catalog, ..self.record.clone() };
        if let Some(active) = &self.active {
            record.slices.retain(|mark| mark.id != active.mark().id);
            record.slices.push(active.mark().clone());
            record.last_slice = record.last_slice.max(active.mark().id);
        }
        let stale = self.commit(record)?;
        self.publish(&blocks)?;
        self.remove_stale_catalog(stale);
        let live_records = {
            let tables = self.store.tables.read();
            tables.streams.len() + tables.ledger.len()
        };
        let stale = self.catalog.is_stale(live_records);
        self.store.rewrite_catalog.store(stale, Ordering::Release);
        fail::fail_point!("seal::end");
        Ok(())
    }

    /// Appends a record to the manifest; gives the one that is no longer one of the last two.
    pub(crate) fn commit(
        &mut self,
        record: ManifestRecord,
    ) -> Result<Option<ManifestRecord>, StoreError> {
        self.manifest.append(&record)?;
        let now_before = std::mem::replace(&mut self.record, record);
        let stale = self.before.replace(now_before);
        *self.store.sealed.lock() = self.record.positions.clone();
        Ok(stale)
    }

    /// Starts a new slice when the active one is full, old, or there is none.
    fn roll(&mut self, now: i64) -> Result<(), StoreError> {
        let config = &self.store.config;
        let last_named = self.record.slices.last().map_or(0, |mark| mark.id);
        let last_id = self.record.last_slice.max(last_named);
        if let Some(active) = &self.active {
            let mark = active.mark();
            // Nobody knows how old a slice is that was made in the clock's future.
            let is_young = u128::try_from(now.saturating_sub(mark.created_at))
                .is_ok_and(|age| age < config.slice_age.as_nanos());
            if mark.raw_bytes < config.slice_bytes && is_young {
                return Ok(());
            }
        }
        let slices_dir = config.dir.join(SLICES_DIR);
        if let Some(full) = self.active.take() {
            let mark = full.mark().clone();
            full.close();
            self.view_again(&SliceView::open(&slices_dir, &mark)?);
        }
        self.active = Some(Slice::create(&slices_dir, last_id + 1, now)?);
        fail::fail_point!("seal::slice_created");
        Ok(())
    }

    /// Readers of a slice whose index was merged since its last seal are given the merged one: the old
    /// one's files are removed, and take room on disk until nobody reads them.
    fn view_again(&self, view: &SliceView) {
        let mut data = self.store.data.write();
        for slice in data.slices.iter_mut().filter(|slice| slice.id == view.id) {
            *slice = Arc::new(view.clone());
        }
    }

    /// Swaps the sealed runs for their blocks, in one step for readers.
    fn publish(&mut self, blocks: &[PackedBlock]) -> Result<(), StoreError> {
        let view = match &self.active {
            Some(active) if !blocks.is_empty() => Some(Arc::new(active.view()?)),
            _ => None,
        };
        let mut data = self.store.data.write();
        let Data { sealing, slices, .. } = &mut *data;
        sealing.clear();
        if let Some(view) = view {
            slices.retain(|slice| slice.id != view.id);
            slices.push(view);
        }
        drop(data);
        let adopted = blocks.iter().filter(|packed| packed.adopted).count();
        self.store.metrics.seals.inc();
        self.store.metrics.blocks.inc_by(blocks.len() as u64);
        self.store.metrics.adopted_frames.inc_by(adopted as u64);
        Ok(())
    }

    /// Removes the catalog of a record that is no longer one of the last two.
    pub(crate) fn remove_stale_catalog(&self, stale: Option<ManifestRecord>) {
        let Some(stale) = stale.map(|record| record.catalog.file) else { return };
        let before = self.before.as_ref().map(|before| &before.catalog.file);
        if before == Some(&stale) || stale == self.record.catalog.file {
            return;
        }
        let path = self.store.config.dir.join(stale);
        if let Err(err) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %err, "cannot remove an old catalog");
        }
    }
}

fn pack_partitions(runs: &[Arc<HotRun>], seal: u64) -> Vec<PackedBlock> {
    let mut by_partition: BTreeMap<u32, Vec<Arc<HotRun>>> = BTreeMap::new();
    for run in runs {
        by_partition.entry(run.partition).or_default().push(run.clone());
    }
    by_partition.iter().flat_map(|(partition, runs)| pack(runs, *partition, seal)).collect()
}
