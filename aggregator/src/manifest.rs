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
/// A manifest longer than this is rewritten with its last record only: bytes.
const REWRITE_BYTES: u64 = 1024 * 1024;

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
}

impl ManifestRecord {
    /// The state of an empty store.
    pub(crate) fn empty(catalog: CatalogMark) -> Self {
        Self { version: VERSION, seal: 0, positions: BTreeMap::new(), catalog, slices: Vec::new() }
    }
}

/// The open manifest of a store.
#[derive(Debug)]
pub(crate) struct Manifest {
    dir: PathBuf,
    file: RecordFile,
}

impl Manifest {
    /// Opens the manifest and gives its last good record; what lies behind it is cut and reported.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Option<ManifestRecord>), StoreError> {
        let path = dir.join(FILE_NAME);
        let (mut file, contents) = RecordFile::open(&path, None)?;
        if let Some(damage) = &contents.damage {
            tracing::warn!(
                path = %path.display(),
                damage,
                "the manifest's tail is cut; what it named is replayed from the transport"
            );
        }
        file.cut()?;
        let last = match contents.records.last() {
            // A torn first record is that of a store which never held anything.
            None if contents.damage.is_some() && dir.join(SLICES_DIR).exists() => {
                let what = "no record of it is readable; restore the store from a backup, or \
                            remove it to start empty and replay what the transport still holds";
                return Err(StoreError::damaged(&path, what));
            }
            None => None,
            Some((body, _)) => Some(decode(&path, body)?),
        };
        let mut manifest = Self { dir: dir.to_owned(), file };
        if let Some(last) = &last
            && manifest.file.len() > REWRITE_BYTES
        {
            manifest.rewrite(last)?;
        }
        Ok((manifest, last))
    }

    /// Appends a record: when this returns, it is what the store holds.
    pub(crate) fn append(&mut self, record: &ManifestRecord) -> Result<(), StoreError> {
        fail::fail_point!("seal::before_manifest");
        self.file.append([encode(record).as_slice()])?;
        fail::fail_point!("seal::manifest_written");
        self.file.sync()?;
        fail::fail_point!("seal::manifest_synced");
        Ok(())
    }

    fn rewrite(&mut self, last: &ManifestRecord) -> Result<(), StoreError> {
        let new = self.dir.join("manifest.new");
        let (mut file, _) = RecordFile::open(&new, Some(0))?;
        file.cut()?;
        file.append([encode(last).as_slice()])?;
        file.sync()?;
        let path = self.dir.join(FILE_NAME);
        std::fs::rename(&new, &path).map_err(|source| StoreError::io("rename", &new, source))?;
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
