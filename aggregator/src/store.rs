//! The store: what is hot, what is sealed, who the streams are and which bytes are held. Shared by
//! the threads that write it (`ingest`, `seal`) and by queries.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

use crate::catalog::{self, Catalog, CatalogMark};
use crate::clock::Clock;
use crate::clock_step::ClockSeen;
use crate::error::StoreError;
use crate::hot::HotRun;
use crate::ledger::Ledger;
use crate::manifest::{Expired, LastTwo, Manifest, ManifestRecord, SLICES_DIR};
use crate::metrics::Metrics;
use crate::open_entries::OpenEntries;
use crate::record_file::sync_dir;
use crate::seal::Sealer;
use crate::slice::{Slice, SliceView, dir_of, ensure_dir};
use crate::streams::StreamTable;
use crate::subscribe::Subscribers;

/// The folder of what a damaged manifest no longer names, inside the store's: for people to look at.
pub(crate) const ASIDE_DIR: &str = "aside";

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub dir: PathBuf,
    /// Hot memory at which a seal begins: bytes. Consuming waits at twice as much.
    pub seal_bytes: usize,
    /// A seal begins at latest this long after the first unsealed run.
    pub seal_interval: Duration,
    /// A slice with this much text (bytes) or this age is followed by a new one.
    pub slice_bytes: u64,
    pub slice_age: Duration,
    /// Whole slices are dropped this long after their last line was stored; `None`: never. See
    /// [`StoreConfig::with_retention`].
    pub retention_age: Option<Duration>,
    /// The oldest slices are dropped while the store takes more bytes on disk; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// What tells how old slices are.
    pub clock: Clock,
}

impl StoreConfig {
    /// The defaults: 64 MiB, 10 min; slices of 4 GiB or a day.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            seal_bytes: 64 << 20,
            seal_interval: Duration::from_secs(600),
            slice_bytes: 4 << 30,
            slice_age: Duration::from_secs(24 * 3600),
            retention_age: None,
            retention_bytes: None,
            clock: Clock::system(),
        }
    }
}

/// The store of one process.
pub struct Store {
    pub(crate) config: StoreConfig,
    pub(crate) metrics: Metrics,
    pub(crate) tables: RwLock<Tables>,
    pub(crate) data: RwLock<Data>,
    /// Locked after `data` where both are.
    pub(crate) subscribers: Subscribers,
    /// Partition → offset of the next message to be consumed, and a bell for it.
    consumed: (Mutex<BTreeMap<u32, u64>>, Condvar),
    /// What of it the manifest names.
    pub(crate) sealed: Mutex<BTreeMap<u32, u64>>,
    ready: AtomicBool,
    /// See [`Store::waiting_partitions`].
    pub(crate) waiting: RwLock<BTreeMap<u32, u64>>,
    /// How often the store was read from disk.
    recoveries: AtomicU64,
    /// The clocks when the sealer last looked at them.
    pub(crate) clock_seen: Mutex<ClockSeen>,
    /// Most of the catalog is stale: the next seal writes all of it into a new file.
    pub(crate) rewrite_catalog: AtomicBool,
    /// Held for as long as the store is open.
    _lock: File,
}

/// See [`Store::whole`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole(u64);

/// Who the streams are and which bytes are held, including what is hot.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) streams: StreamTable,
    pub(crate) ledger: Ledger,
}

/// All lines, each in exactly one of the three.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) hot: Vec<Arc<HotRun>>,
    pub(crate) hot_bytes: usize,
    /// Of the streams with lines in `hot`.
    pub(crate) open: OpenEntries,
    /// Being sealed: still read from memory, until the manifest names their blocks.
    pub(crate) sealing: Vec<Arc<HotRun>>,
    pub(crate) slices: Vec<Arc<SliceView>>,
    /// What retention has dropped so far.
    pub(crate) expired: Expired,
}

impl Store {
    /// Opens or creates a store; gives the sealer, which its one writing thread owns.
    ///
    /// # Errors
    /// The directory cannot be used, is in use, or holds a store that cannot be read.
    pub fn open(
        config: StoreConfig,
        registry: &prometheus::Registry,
    ) -> Result<(Arc<Store>, Sealer), StoreError> {
        ensure_dir(&config.dir)?;
        let lock = lock(&config.dir)?;
        let metrics = Metrics::new(registry)
            .map_err(|err| StoreError::damaged(&config.dir, format!("metrics: {err}")))?;
        let clock_seen = Mutex::new(ClockSeen::first(&config.clock));
        let store = Arc::new(Store {
            config,
            metrics,
            tables: RwLock::default(),
            data: RwLock::default(),
            subscribers: Subscribers::default(),
            consumed: Default::default(),
            sealed: Mutex::default(),
            ready: AtomicBool::new(false),
            waiting: RwLock::default(),
            recoveries: AtomicU64::new(0),
            clock_seen,
            rewrite_catalog: AtomicBool::new(false),
            _lock: lock,
        });
        let sealer = store.recover()?;
        Ok((store, sealer))
    }

    /// Reads the store from disk as the manifest's last record names it, and forgets everything
    /// else: what was consumed since must be consumed again.
    pub(crate) fn recover(self: &Arc<Self>) -> Result<Sealer, StoreError> {
        let dir = &self.config.dir;
        let slices_dir = dir.join(SLICES_DIR);
        self.ready.store(false, Ordering::Release);
        self.recoveries.fetch_add(1, Ordering::AcqRel);
        let empty = ManifestRecord::empty(CatalogMark { file: catalog::file_name(0), len: 0 });
        let (mut manifest, LastTwo { last, before }) = Manifest::open(dir, &empty)?;
        ensure_dir(&slices_dir)?;
        let record = last.unwrap_or(empty);
        let (catalog, streams, ledger) = Catalog::open(dir, &record.catalog)?;
        let (slices, active) = open_slices(&slices_dir, &record)?;
        let strangers = strangers(dir, &slices_dir, &record, before.as_ref())?;
        clear(&self.config, strangers, manifest.was_damaged())?;
        sync_dir(dir)?;
        manifest.repair()?;
        self.metrics.streams.set(streams.len() as i64);
        self.metrics.hot_bytes.set(0);
        let damaged = slices.iter().map(|slice| slice.filters.damaged_at_open()).sum();
        self.metrics.damaged_filters.inc_by(damaged);
        *self.tables.write() = Tables { streams, ledger };
        let expired = record.expired;
        *self.data.write() = Data { slices, expired, ..Data::default() };
        self.metrics.set_expired(expired);
        *self.consumed.0.lock() = record.positions.clone();
        *self.sealed.lock() = record.positions.clone();
        for (partition, next) in &record.positions {
            self.subscribers.begin_at(*partition, *next);
        }
        Ok(Sealer::new(self.clone(), manifest, catalog, active, record, before))
    }

    /// The offset of the next message that the store has not consumed.
    pub fn position(&self, partition: u32) -> u64 {
        self.consumed.0.lock().get(&partition).copied().unwrap_or(0)
    }

    pub(crate) fn positions(&self) -> BTreeMap<u32, u64> {
        self.consumed.0.lock().clone()
    }

    pub(crate) fn set_position(&self, partition: u32, next: u64) {
        self.consumed.0.lock().insert(partition, next);
        self.consumed.1.notify_all();
    }

    /// Waits until the message at `offset` was consumed and its lines can be found; false if
    /// `timeout` passed first.
    pub fn wait_visible(&self, partition: u32, offset: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut consumed = self.consumed.0.lock();
        while consumed.get(&partition).copied().unwrap_or(0) <= offset {
            if self.consumed.1.wait_until(&mut consumed, deadline).timed_out() {
                return consumed.get(&partition).copied().unwrap_or(0) > offset;
            }
        }
        true
    }

    /// Whether everything that the transport held at the start was consumed, but for partitions that
    /// [wait](Self::waiting_partitions).
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// A mark of the whole store's being there; `None` while it is not [ready](Self::is_ready). What
    /// is read between two equal marks misses nothing: no recovery, not even a whole one, lies
    /// between them. It says nothing of partitions that [wait](Self::waiting_partitions).
    pub fn whole(&self) -> Option<Whole> {
        let recoveries = self.recoveries.load(Ordering::Acquire);
        self.is_ready().then_some(Whole(recoveries))
    }

    pub(crate) fn set_ready(&self) {
        self.subscribers.set_live();
        self.ready.store(true, Ordering::Release);
    }

    /// The streams table; hold it shortly, consuming waits for it.
    pub fn streams(&self) -> MappedRwLockReadGuard<'_, StreamTable> {
        RwLockReadGuard::map(self.tables.read(), |tables| &tables.streams)
    }

    /// The ledger; hold it shortly, consuming waits for it.
    pub fn ledger(&self) -> MappedRwLockReadGuard<'_, Ledger> {
        RwLockReadGuard::map(self.tables.read(), |tables| &tables.ledger)
    }
}

/// Takes the lock of the store's directory.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| StoreError::io("open", &path, source))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: dir.to_owned() }),
        Err(err) => Err(StoreError::io("lock", &path, err.into())),
    }
}

/// Slices and catalogs that the manifest's last records do not name: a seal died before it was done,
/// or after it had replaced them.
fn strangers(
    dir: &Path,
    slices_dir: &Path,
    record: &ManifestRecord,
    before: Option<&ManifestRecord>,
) -> Result<Vec<PathBuf>, StoreError> {
    // The record before the last one may still name what retention dropped.
    let named = std::iter::once(record).chain(before).flat_map(|record| &record.slices);
    let known: Vec<PathBuf> = named.map(|slice| dir_of(slices_dir, slice.id)).collect();
    let mut found = entries(slices_dir)?;
    found.retain(|path| !known.contains(path));
    let keep = [Some(record), before].map(|record| record.map(|r| r.catalog.file.as_str()));
    found.extend(entries(dir)?.into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("catalog-") && !keep.contains(&Some(name.as_ref()))
    }));
    Ok(found)
}

/// Removes strangers; after damage to the manifest they are moved aside instead, since they may be
/// what it named.
fn clear(
    config: &StoreConfig,
    strangers: Vec<PathBuf>,
    was_damaged: bool,
) -> Result<(), StoreError> {
    for path in strangers {
        if was_damaged {
            let aside = config.dir.join(ASIDE_DIR);
            ensure_dir(&aside)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let to = aside.join(format!("{name}.{}", config.clock.now()));
            tracing::warn!(from = %path.display(), to = %to.display(), "moving aside what nothing names");
            std::fs::rename(&path, &to).map_err(|err| StoreError::io("move aside", &path, err))?;
            sync_dir(&aside)?;
            continue;
        }
        tracing::info!(path = %path.display(), "removing what an unfinished step left");
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.map_err(|err| StoreError::io("remove", &path, err))?;
    }
    Ok(())
}

pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let fail = |source| StoreError::io("list", dir, source);
    std::fs::read_dir(dir)
        .map_err(fail)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(fail))
        .collect()
}

/// Opens all slices for reading, the last one for writing too.
fn open_slices(
    slices_dir: &Path,
    record: &ManifestRecord,
) -> Result<(Vec<Arc<SliceView>>, Option<Slice>), StoreError> {
    let mut views = Vec::new();
    let mut active = None;
    for (n, mark) in record.slices.iter().enumerate() {
        if n + 1 == record.slices.len() {
            let slice = Slice::open(slices_dir, mark, record.seal)?;
            views.push(Arc::new(slice.view()?));
            active = Some(slice);
        } else {
            views.push(Arc::new(SliceView::open(slices_dir, mark)?));
        }
    }
    Ok((views, active))
}
