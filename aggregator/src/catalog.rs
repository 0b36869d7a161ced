//! The durable form of the streams table and the ledger: a log of changed records, cut at open to
//! the length that the manifest names, and rewritten when most of it is stale.

use std::path::Path;

use sawlog_transport::varint;

use crate::carry::Carried;
use crate::error::StoreError;
use crate::expiry::Expiry;
use crate::ledger::{Ledger, encode_ranges};
use crate::record_file::{RecordFile, sync_dir};
use crate::streams::{StreamNumber, StreamTable};

/// The first byte of a record's body.
const STREAM: u8 = 1;
const LEDGER: u8 = 2;
/// What retention appends. These say what happened, not how things stand: how they stand includes
/// what is hot, which must not be on disk before it is sealed.
const EXPIRED: u8 = 3;
const STREAM_SHRANK: u8 = 4;
const STREAM_GONE: u8 = 5;

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
                Some((&EXPIRED, rest)) => ledger.restore_merged(rest),
                Some((&STREAM_SHRANK, rest)) => restore_shrunk(&mut streams, rest),
                Some((&STREAM_GONE, rest)) => restore_gone(&mut streams, rest),
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
    /// What changed since the last call; everything if `complete`. All of it without what is
    /// `carried`, which counts as changed from now on.
    pub(crate) fn take(
        streams: &mut StreamTable,
        ledger: &mut Ledger,
        carried: &Carried,
        complete: bool,
    ) -> Self {
        let changed = (streams.take_changes(carried), ledger.take_changes(carried));
        let last_gone = streams.last_gone().filter(|_| complete);
        let (streams, ledger) = if complete {
            (streams.encode_all(carried), ledger.encode_all(carried))
        } else {
            changed
        };
        let tagged = |kind: u8, records: Vec<Vec<u8>>| {
            records.into_iter().map(move |mut body| {
                body.insert(0, kind);
                body
            })
        };
        let records = tagged(STREAM, streams).chain(tagged(LEDGER, ledger));
        let records = records.chain(last_gone.map(|number| numbers(STREAM_GONE, &[number.into()])));
        Self { records: records.collect(), complete }
    }

    /// What retention did: to be appended with nothing else between, and to be applied to the tables
    /// in memory when it counts.
    pub(crate) fn of_expiry(expiry: &Expiry, gone: &[StreamNumber]) -> Self {
        let mut records = Vec::new();
        for (key, ranges) in expiry.ranges() {
            let mut body = encode_ranges(key, ranges);
            body.insert(0, EXPIRED);
            records.push(body);
        }
        for (number, lines, bytes) in expiry.streams() {
            records.push(numbers(STREAM_SHRANK, &[number.into(), lines, bytes]));
        }
        records.extend(gone.iter().map(|number| numbers(STREAM_GONE, &[u64::from(*number)])));
        Self { records, complete: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// A record of varints.
fn numbers(kind: u8, values: &[u64]) -> Vec<u8> {
    let mut out = vec![kind];
    values.iter().for_each(|value| varint::put(&mut out, *value));
    out
}

fn restore_shrunk(streams: &mut StreamTable, mut bytes: &[u8]) -> Option<()> {
    let number = StreamNumber::try_from(varint::take(&mut bytes)?).ok()?;
    let (lines, len) = (varint::take(&mut bytes)?, varint::take(&mut bytes)?);
    streams.shrink(number, lines, len);
    bytes.is_empty().then_some(())
}

fn restore_gone(streams: &mut StreamTable, mut bytes: &[u8]) -> Option<()> {
    streams.remove(StreamNumber::try_from(varint::take(&mut bytes)?).ok()?);
    bytes.is_empty().then_some(())
}
