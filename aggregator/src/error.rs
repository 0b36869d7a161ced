//! Why the store cannot do something: the file, the place and the cause.

use std::path::{Path, PathBuf};

/// An error of the store. After one from a seal the store must be reopened and replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the store {path} is in use by another process: stop it, or choose another --data")]
    InUse { path: PathBuf },
    /// Positions of one log mean nothing in another.
    #[error(
        "the store {path} is filled from '{held}', and its positions mean nothing in '{given}': choose another --data, or go back to '{held}'"
    )]
    Source { path: PathBuf, held: String, given: String },
    #[error("cannot {action} the index {path}")]
    Index {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Box<tantivy::TantivyError>,
    },
    #[error("{path} is damaged: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{path} has format version {found}, this build reads up to {known}: upgrade sawlog")]
    Version { path: PathBuf, found: u64, known: u64 },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn index(
        action: &'static str,
        path: &Path,
    ) -> impl Fn(tantivy::TantivyError) -> StoreError {
        move |source| Self::Index { action, path: path.to_owned(), source: Box::new(source) }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}

/// An error and its causes in one line, each after a colon.
pub fn error_chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        text = format!("{text}: {err}");
        cause = err.source();
    }
    text
}
