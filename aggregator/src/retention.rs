//! Retention: drops whole slices that are too old, or the oldest while the store is too big. Their
//! bytes turn from *held* into *expired* in the ledger, and streams without lines leave the table.
//!
//! catalog → manifest → readers let go → manifest once more → folders removed

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::Changes;
use crate::disk_usage::DiskUsage;
use crate::error::{StoreError, error_chain};
use crate::expiry::Expiry;
use crate::manifest::{ManifestRecord, SLICES_DIR, SliceMark};
use crate::seal::Sealer;
use crate::slice::{SliceView, dir_of};
use crate::store::{StoreConfig, entries};
use crate::streams::StreamNumber;

/// A retention is cut into this many slices, so that dropping whole ones is fine enough.
const SLICES_PER_RETENTION: u32 = 10;
/// Slices are not made smaller or younger than this for it.
const SLICE_BYTES_MIN: u64 = 1 << 20;
const SLICE_AGE_MIN: Duration = Duration::from_secs(60);
/// Slices of builds that did not note when their last line was stored took lines for a day.
const SLICE_AGE_UNNOTED: i64 = 24 * 3_600_000_000_000;

impl StoreConfig {
    /// Drops slices by age, by bytes on disk, by both, or (with `None` twice) never.
    ///
    /// Age counts from when a slice's last line was stored, not from the times in the lines: nothing
    /// is dropped before its age, and old lines that arrive today are kept as long as any. Lines are
    /// kept longer than that by at most the age of a slice, for which slices get a tenth of the age
    /// (at least a minute, at most a day) and a tenth of the bytes (of text, at least 1 MiB, at most
    /// 4 GiB). The slice that is written to is never dropped for its bytes.
    pub fn with_retention(self, age: Option<Duration>, bytes: Option<u64>) -> Self {
        let tenth = |age: Duration| (age / SLICES_PER_RETENTION).max(SLICE_AGE_MIN);
        let tenth_of_bytes =
            |bytes: u64| (bytes / u64::from(SLICES_PER_RETENTION)).max(SLICE_BYTES_MIN);
        Self {
            slice_age: age.map_or(self.slice_age, |age| self.slice_age.min(tenth(age))),
            slice_bytes: bytes
                .map_or(self.slice_bytes, |bytes| self.slice_bytes.min(tenth_of_bytes(bytes))),
            retention_age: age,
            retention_bytes: bytes,
            ..self
        }
    }
}

impl Sealer {
    /// Drops what is too old or too much, removes the files of what was dropped before, and measures
    /// what is left. Between two seals only.
    ///
    /// # Errors
    /// The catalog or the manifest cannot be written; the store must be recovered and replayed.
    pub(crate) fn retain(&mut self) -> Result<(), StoreError> {
        let now = self.follow_clock()?;
        let doomed = self.doomed(now);
        if !doomed.is_empty() {
            self.drop_slices(&doomed)?;
        }
        self.settle()?;
        self.measure();
        Ok(())
    }

    /// The ids of slices that are to be dropped, the oldest first.
    pub(crate) fn doomed(&self, now: i64) -> BTreeSet<u64> {
        let config = &self.store.config;
        let too_old =
            |mark: &&SliceMark| config.retention_age.is_some_and(|age| is_older(mark, now, age));
        let mut doomed: BTreeSet<u64> =
            self.record.slices.iter().filter(too_old).map(|mark| mark.id).collect();
        let Some(limit) = config.retention_bytes else { return doomed };
        let sizes: Vec<(u64, u64)> = self
            .record
            .slices
            .iter()
            .map(|mark| {
                let usage = self.usage_of(mark.id);
                (mark.id, usage.total())
            })
            .collect();
        let mut total = self.usage_of_catalog().total();
        total += sizes.iter().filter(|(id, _)| !doomed.contains(id)).map(|(_, n)| n).sum::<u64>();
        // The last slice is the one that is written to.
        for (id, size) in sizes.iter().take(sizes.len().saturating_sub(1)) {
            if total > limit && doomed.insert(*id) {
                total -= size;
            }
        }
        doomed
    }

    /// Drops slices: when this returns they are neither named by the manifest nor found by queries.
    /// Queries that hold them go on reading; their files stay for [`Self::settle`].
    pub(crate) fn drop_slices(&mut self, doomed: &BTreeSet<u64>) -> Result<(), StoreError> {
        fail::fail_point!("retention::begin");
        let (dropped, left) = self.views(doomed);
        let mut expiry = Expiry::default();
        for slice in &dropped {
            if let Err(err) = expiry.add(slice) {
                let error = error_chain(&err);
                tracing::warn!(
                    slice = slice.id,
                    error,
                    "the ledger goes on calling held what it held"
                );
            }
        }
        let gone = self.streams_without_lines(&left);
        let seal = self.record.seal + 1;
        let catalog = self.catalog.append(&Changes::of_expiry(&expiry, &gone), seal)?;
        fail::fail_point!("retention::catalog_synced");
        let mut record = ManifestRecord { seal, catalog, ..self.record.clone() };
        record.last_slice = record.slices.iter().fold(record.last_slice, |id, s| id.max(s.id));
        for mark in record.slices.extract_if(.., |mark| doomed.contains(&mark.id)) {
            record.expired.slices += 1;
            record.expired.bytes += mark.raw_bytes;
        }
        let stale = self.commit(record)?;
        fail::fail_point!("retention::committed");
        if let Some(dropped) = self.active.take_if(|active| doomed.contains(&active.mark().id)) {
            dropped.close();
        }
        self.let_go(doomed, &expiry, &gone);
        self.remove_stale_catalog(stale);
        tracing::info!(slices = doomed.len(), "dropped what retention no longer keeps");
        Ok(())
    }

    /// The views of slices that are dropped, and of those that are left.
    fn views(&self, doomed: &BTreeSet<u64>) -> (Vec<Arc<SliceView>>, Vec<Arc<SliceView>>) {
        let slices = self.store.data.read().slices.clone();
        slices.into_iter().partition(|slice| doomed.contains(&slice.id))
    }

    /// Streams with lines neither in the slices that are left nor in memory.
    fn streams_without_lines(&self, left: &[Arc<SliceView>]) -> Vec<StreamNumber> {
        let mut numbers: BTreeSet<StreamNumber> =
            self.store.streams().iter().map(|(number, _)| number).collect();
        for slice in left {
            if let Err(err) = slice.index.strike_streams(&mut numbers) {
                let error = error_chain(&err);
                tracing::warn!(slice = slice.id, error, "streams without lines stay in the table");
                return Vec::new();
            }
        }
        // Whatever is hot was changed since the last seal began.
        let streams = self.store.streams();
        numbers.into_iter().filter(|number| !streams.is_changed(*number)).collect()
    }

    /// Takes slices from readers and tells the tables what is on disk already.
    fn let_go(&self, doomed: &BTreeSet<u64>, expiry: &Expiry, gone: &[StreamNumber]) {
        let mut tables = self.store.tables.write();
        for (key, ranges) in expiry.ranges() {
            tables.ledger.merge(*key, ranges);
        }
        for (number, lines, bytes) in expiry.streams() {
            tables.streams.shrink(number, lines, bytes);
        }
        for number in gone {
            // One that got lines meanwhile stays; the next seal writes it again.
            if !tables.streams.is_changed(*number) {
                tables.streams.remove(*number);
            }
        }
        self.store.metrics.streams.set(tables.streams.len() as i64);
        let mut data = self.store.data.write();
        data.slices.retain(|slice| !doomed.contains(&slice.id));
        data.expired = self.record.expired;
        self.store.metrics.set_expired(self.record.expired);
    }

    /// Removes the folders of dropped slices. The record before the last one still names them, and
    /// it is what counts if the last one is damaged: so one more record is written first.
    pub(crate) fn settle(&mut self) -> Result<(), StoreError> {
        let named = |record: &ManifestRecord, id: u64| record.slices.iter().any(|s| s.id == id);
        let still_named = self
            .before
            .as_ref()
            .is_some_and(|before| before.slices.iter().any(|slice| !named(&self.record, slice.id)));
        if still_named {
            let record = ManifestRecord { seal: self.record.seal + 1, ..self.record.clone() };
            let stale = self.commit(record)?;
            fail::fail_point!("retention::settled");
            self.remove_stale_catalog(stale);
        }
        self.remove_unnamed_slices();
        fail::fail_point!("retention::end");
        Ok(())
    }

    /// What cannot be removed is tried again next time and when the store is opened.
    fn remove_unnamed_slices(&self) {
        let slices_dir = self.store.config.dir.join(SLICES_DIR);
        let records = std::iter::once(&self.record).chain(&self.before);
        let named = records.flat_map(|record| &record.slices).map(|slice| slice.id);
        let active = self.active.iter().map(|active| active.mark().id);
        let known: Vec<_> = named.chain(active).map(|id| dir_of(&slices_dir, id)).collect();
        let found = entries(&slices_dir).unwrap_or_else(|err| {
            tracing::warn!(error = error_chain(&err), "cannot look for dropped slices");
            Vec::new()
        });
        for path in found.iter().filter(|path| !known.contains(path)) {
            if let Err(err) = std::fs::remove_dir_all(path) {
                tracing::warn!(path = %path.display(), %err, "cannot remove a dropped slice");
            }
            fail::fail_point!("retention::removed");
        }
    }

    fn measure(&self) {
        let mut usage = self.usage_of_catalog();
        let dir = &self.store.config.dir;
        usage.add(&listed(DiskUsage::of_aside(dir), dir));
        for mark in &self.record.slices {
            usage.add(&self.usage_of(mark.id));
        }
        let metrics = &self.store.metrics;
        metrics.store_bytes.set(i64::try_from(usage.total()).unwrap_or(i64::MAX));
        let (_, slices) = self.views(&BTreeSet::new());
        let times = slices.iter().filter_map(|slice| slice.index.times().ok().flatten());
        let oldest = times.map(|(min, _)| min).min().unwrap_or(0);
        metrics.oldest_record.set(oldest.div_euclid(1_000_000_000));
    }

    /// 0 for what cannot be listed: nothing is dropped because of it.
    fn usage_of(&self, id: u64) -> DiskUsage {
        let dir = dir_of(&self.store.config.dir.join(SLICES_DIR), id);
        listed(DiskUsage::of_slice(&dir), &dir)
    }

    fn usage_of_catalog(&self) -> DiskUsage {
        let dir = &self.store.config.dir;
        listed(DiskUsage::of_catalog(dir), dir)
    }
}

fn listed(usage: std::io::Result<DiskUsage>, dir: &std::path::Path) -> DiskUsage {
    usage.unwrap_or_else(|err| {
        tracing::warn!(dir = %dir.display(), %err, "cannot tell how many bytes it takes");
        DiskUsage::default()
    })
}

/// When the slice's last line was stored, at latest.
pub(crate) fn stored_at(mark: &SliceMark) -> i64 {
    match mark.stored_at {
        0 => mark.created_at.saturating_add(SLICE_AGE_UNNOTED),
        stored_at => stored_at,
    }
}

/// Whether the slice's last line was stored longer ago than `age`.
fn is_older(mark: &SliceMark, now: i64, age: Duration) -> bool {
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    now.saturating_sub(stored_at(mark)) > age
}
