//! The manifest: the one commit point. Its last good record says what the store holds: the next
//! position of every partition, the slices with their lengths, the catalog with its length.
//!
//! Each record is complete in itself, so a damaged tail costs one seal, which is replayed (the
//! transport keeps the messages of the last two seals).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::catalog::CatalogMark;
use crate::error::StoreError;
use crate::record_file::{RecordFile, sync_dir};

const FILE_NAME: &str = "manifest";
/// The folder of the slices, inside the store's.
pub(crate) const SLICES_DIR: &str = "slices";
/// The version this build writes, and the newest it reads.
const VERSION: u64 = 1;
/// A manifest longer than this is rewritten with its last two records only: bytes.
const REWRITE_BYTES: u64 = if cfg!(test) { 2048 } else { 1024 * 1024 };

/// What a seal made true.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ManifestRecord {
    pub(crate) version: u64,
    /// Counts the seals, from 1.
    pub(crate) seal: u64,
    /// Partition → offset of the first message that is not part of the store.
    pub(crate) positions: BTreeMap<u32, u64>,
    pub(crate) catalog: CatalogMark,
    /// In order of id; the last one is written to.
    pub(crate) slices: Vec<SliceMark>,
    /// The highest id that a slice ever had: ids are not given again.
    #[serde(default)]
    pub(crate) last_slice: u64,
    /// What retention has dropped in the life of the store.
    #[serde(default)]
    pub(crate) expired: Expired,
}

/// A slice and how much of its files counts.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SliceMark {
    pub(crate) id: u64,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    pub(crate) opstamp: u64,
    pub(crate) blocks_len: u64,
    pub(crate) n_blocks: u64,
    /// Bytes of text before compression.
    pub(crate) raw_bytes: u64,
    /// 0 for a slice without filters, as they were before there were any.
    #[serde(default)]
    pub(crate) filters_len: u64,
    /// When its last line was stored: nanoseconds since the epoch; 0 in records of older builds.
    #[serde(default)]
    pub(crate) stored_at: i64,
}

/// Slices that retention dropped, and their text before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Expired {
    pub(crate) slices: u64,
    pub(crate) bytes: u64,
}

impl ManifestRecord {
    /// The state of an empty store.
    pub(crate) fn empty(catalog: CatalogMark) -> Self {
        Self {
            version: VERSION,
            seal: 0,
            positions: BTreeMap::new(),
            catalog,
            slices: Vec::new(),
            last_slice: 0,
            expired: Expired::default(),
        }
    }
}

/// What the manifest says, and what it said before: the fallback if the last record is damaged.
#[derive(Clone, Debug)]
pub(crate) struct LastTwo {
    pub(crate) last: Option<ManifestRecord>,
    pub(crate) before: Option<ManifestRecord>,
}

/// The open manifest of a store.
#[derive(Debug)]
pub(crate) struct Manifest {
    dir: PathBuf,
    file: RecordFile,
    two: LastTwo,
    was_damaged: bool,
}

impl Manifest {
    /// Opens the manifest and gives its last good record and the one before it; damage is reported,
    /// and stays in the file until [`Self::repair`]. A new store gets a first record before anything else is made, so
    /// that later a manifest without a record is known to be damaged.
    pub(crate) fn open(dir: &Path, empty: &ManifestRecord) -> Result<(Self, LastTwo), StoreError> {
        let path = dir.join(FILE_NAME);
        let (mut file, contents) = RecordFile::open(&path, None)?;
        if let Some(damage) = &contents.damage {
            tracing::warn!(
                path = %path.display(),
                damage,
                "the manifest is damaged; what a lost last record named is replayed from the transport"
            );
        }
        if contents.records.is_empty() && dir.join(SLICES_DIR).exists() {
            let what = "it names nothing, yet there are slices; restore it from a backup, or move \
                        the store away to start empty and replay what the transport still holds";
            return Err(StoreError::damaged(&path, what));
        }
        let was_damaged = contents.damage.is_some();
        if !was_damaged || contents.records.is_empty() {
            file.cut()?;
        }
        let mut newest = contents.records.iter().rev().map(|(body, _)| decode(&path, body));
        let mut manifest = Self {
            dir: dir.to_owned(),
            file,
            two: LastTwo { last: newest.next().transpose()?, before: newest.next().transpose()? },
            was_damaged,
        };
        if manifest.two.last.is_none() {
            manifest.append(empty)?;
            sync_dir(dir)?;
        }
        let two = manifest.two.clone();
        Ok((manifest, two))
    }

    /// Whether something could not be read at open: files that seem to belong to nobody may then be
    /// all that is left.
    pub(crate) fn was_damaged(&self) -> bool {
        self.was_damaged
    }

    /// Writes the manifest anew without its damage, before anything is appended. Only once nothing
    /// is left that it may have named: the next open knows of no damage.
    pub(crate) fn repair(&mut self) -> Result<(), StoreError> {
        if self.was_damaged {
            self.rewrite()?;
            self.was_damaged = false;
        }
        Ok(())
    }

    /// Appends a record: when this returns, it is what the store holds.
    pub(crate) fn append(&mut self, record: &ManifestRecord) -> Result<(), StoreError> {
        fail::fail_point!("seal::before_manifest");
        let before = self.file.len();
        let written = self.file.append([encode(record).as_slice()]).and_then(|()| {
            fail::fail_point!("seal::manifest_written", |_| Ok(()));
            self.file.sync()
        });
        if let Err(err) = written {
            // A record whose sync failed must not be believed by the next open.
            self.file.cut_to(before)?;
            self.file.sync()?;
            return Err(err);
        }
        fail::fail_point!("seal::manifest_synced", |_| Ok(()));
        self.two = LastTwo { before: self.two.last.take(), last: Some(record.clone()) };
        if self.file.len() > REWRITE_BYTES {
            self.rewrite()?;
        }
        Ok(())
    }

    fn rewrite(&mut self) -> Result<(), StoreError> {
        let new = self.dir.join("manifest.new");
        let (mut file, _) = RecordFile::open(&new, Some(0))?;
        file.cut()?;
        let records: Vec<Vec<u8>> =
            self.two.before.iter().chain(&self.two.last).map(encode).collect();
        file.append(records.iter().map(Vec::as_slice))?;
        file.sync()?;
        fail::fail_point!("manifest::rewritten", |_| Ok(()));
        let path = self.dir.join(FILE_NAME);
        std::fs::rename(&new, &path).map_err(|source| StoreError::io("rename", &new, source))?;
        fail::fail_point!("manifest::renamed", |_| Ok(()));
        sync_dir(&self.dir)?;
        self.file = RecordFile::open(&path, None)?.0;
        Ok(())
    }
}

fn encode(record: &ManifestRecord) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has only text keys")
}

fn decode(path: &Path, body: &[u8]) -> Result<ManifestRecord, StoreError> {
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|err| StoreError::damaged(path, format!("its last record is no JSON: {err}")))?;
    let found = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
    if found > VERSION {
        return Err(StoreError::Version { path: path.to_owned(), found, known: VERSION });
    }
    serde_json::from_value(value)
        .map_err(|err| StoreError::damaged(path, format!("its last record is unreadable: {err}")))
}
