//! What is remembered of the journal over a restart, in a file of its own.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable;

/// What is remembered over a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) cursor: String,
    pub(super) files: Vec<Recorded>,
}

/// A file as it was when the record was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) directory: PathBuf,
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) size: u64,
}

/// The name of the record's file.
const FILE_NAME: &str = "cursor";

impl Record {
    /// What was stored last below `root`; nothing if that is damaged or was never.
    pub(super) fn load(root: &Path) -> io::Result<Self> {
        match std::fs::read(root.join(FILE_NAME)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(
                    "the journal's cursor is damaged, it is read from its start: {error}"
                );
                Self::default()
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// Stores it durably, all or nothing.
    pub(super) fn store(&self, root: &Path) -> io::Result<()> {
        durable::replace(&root.join(FILE_NAME), &serde_json::to_vec(self)?).map(drop)
    }
}
