//! The durable form of the streams table and the ledger: a log of changed records, cut at open to
//! the length that the manifest names, and rewritten when most of it is stale.

use std::path::Path;

use crate::error::StoreError;
use crate::ledger::Ledger;
use crate::record_file::{RecordFile, sync_dir};
use crate::streams::StreamTable;

/// The first byte of a record's body.
const STREAM: u8 = 1;
const LEDGER: u8 = 2;

/// A catalog shorter than this is never rewritten: bytes.
const REWRITE_BYTES_MIN: u64 = if cfg!(test) { 1024 } else { 8 * 1024 * 1024 };
/// It is rewritten when it has this many times the records that live.
const REWRITE_RATIO: usize = 4;

/// The open catalog file of a store.
#[derive(Debug)]
pub(crate) struct Catalog {
    file: RecordFile,
    n_records: usize,
}

/// Names a catalog file and how much of it counts, in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CatalogMark {
    pub(crate) file: String,
    pub(crate) len: u64,
}

impl Catalog {
    /// Opens the catalog that the manifest names, cuts what lies behind its length, and reads it.
    pub(crate) fn open(
        dir: &Path,
        mark: &CatalogMark,
    ) -> Result<(Self, StreamTable, Ledger), StoreError> {
        let path = dir.join(&mark.file);
        let (mut file, contents) = RecordFile::open(&path, Some(mark.len))?;
        if let Some(damage) = contents.damage {
            return Err(StoreError::damaged(&path, damage));
        }
        file.cut()?;
        let mut streams = StreamTable::default();
        let mut ledger = Ledger::default();
        for (n, (body, _)) in contents.records.iter().enumerate() {
            let taken = match body.split_first() {
                Some((&STREAM, rest)) => streams.restore(rest),
                Some((&LEDGER, rest)) => ledger.restore(rest),
                _ => None,
            };
            taken.ok_or_else(|| StoreError::damaged(&path, format!("record {n} is unreadable")))?;
        }
        let n_records = contents.records.len();
        Ok((Self { file, n_records }, streams, ledger))
    }

    /// Appends what changed; durable when this returns. A complete set goes into a new file, named
    /// after `seal`.
    pub(crate) fn append(
        &mut self,
        changes: &Changes,
        seal: u64,
    ) -> Result<CatalogMark, StoreError> {
        if changes.complete {
            let path = self.file.path().with_file_name(file_name(seal));
            (self.file, _) = RecordFile::open(&path, Some(0))?;
            self.file.cut()?;
            self.n_records = 0;
        }
        self.file.append(changes.records.iter().map(Vec::as_slice))?;
        self.n_records += changes.records.len();
        fail::fail_point!("seal::catalog_written");
        self.file.sync()?;
        if changes.complete
            && let Some(dir) = self.file.path().parent()
        {
            sync_dir(dir)?;
        }
        fail::fail_point!("seal::catalog_synced");
        Ok(self.mark())
    }

    /// Whether most of the file is stale, when this many records live.
    pub(crate) fn is_stale(&self, live_records: usize) -> bool {
        self.file.len() > REWRITE_BYTES_MIN && self.n_records > REWRITE_RATIO * live_records.max(1)
    }

    pub(crate) fn mark(&self) -> CatalogMark {
        let name = self.file.path().file_name().unwrap_or_default();
        CatalogMark { file: name.to_string_lossy().into_owned(), len: self.file.len() }
    }
}

/// The name of the catalog that the seal `seal` began.
pub(crate) fn file_name(seal: u64) -> String {
    format!("catalog-{seal}")
}

/// Records to be appended.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    records: Vec<Vec<u8>>,
    /// These are all records there are, not only those that changed.
    complete: bool,
}

impl Changes {
    /// What changed since the last call; everything if `complete`.
    pub(crate) fn take(streams: &mut StreamTable, ledger: &mut Ledger, complete: bool) -> Self {
        let changed = (streams.take_changes(), ledger.take_changes());
        let (streams, ledger) =
            if complete { (streams.encode_all(), ledger.encode_all()) } else { changed };
        let tagged = |kind: u8, records: Vec<Vec<u8>>| {
            records.into_iter().map(move |mut body| {
                body.insert(0, kind);
                body
            })
        };
        let records = tagged(STREAM, streams).chain(tagged(LEDGER, ledger)).collect();
        Self { records, complete }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}
