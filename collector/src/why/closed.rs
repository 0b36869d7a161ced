//! Files that were closed a while ago, also those that are gone: the last thousand.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::{Decision, Decisions};
use crate::place::Source;
use crate::tail::TailFile;

/// How many are remembered, some 400 bytes each.
const REMEMBERED_MAX: usize = 1000;

/// A file as it was when it was closed.
#[derive(Debug)]
pub(crate) struct ClosedFile {
    pub path: PathBuf,
    pub source: Source,
    pub facts: crate::identity::Facts,
    pub identity: sawlog_transport::FileIdentity,
    pub generation: sawlog_transport::GenerationId,
    pub truncations: u64,
    pub read_to: u64,
    pub decisions: Decisions,
}

/// The last closed files, the newest at the end.
#[derive(Debug, Default)]
pub(crate) struct ClosedFiles(VecDeque<ClosedFile>);

impl ClosedFiles {
    /// Remembers a file that is about to be closed, by its name in `directory`.
    pub(crate) fn remember(
        &mut self,
        directory: &std::path::Path,
        source: Source,
        file: &TailFile,
        decision: Decision,
        now: i64,
    ) {
        if self.0.len() >= REMEMBERED_MAX {
            self.0.pop_front();
        }
        let mut decisions = file.decisions.clone();
        decisions.note(now, decision);
        self.0.push_back(ClosedFile {
            path: super::file::path_of(directory, file),
            source,
            facts: file.facts,
            identity: file.identity,
            generation: file.generation,
            truncations: file.truncations,
            read_to: file.read_to,
            decisions,
        });
    }

    /// The newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ClosedFile> {
        self.0.iter().rev()
    }
}
