//! What one sandbox may take of the tree: so many directories and watches, however many its task makes,
//! and a queue of its own for files that wait until others of it are closed.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use super::NodeId;
use super::node::Node;
use crate::metrics::Metrics;

/// The most directories of one sandbox, those of its nested containers included. Pods have a few
/// dozen; what a nested container leaves behind stays until its executor's sandbox goes.
pub(crate) const SANDBOX_DIRECTORIES_MAX: usize = 4_096;
/// The most of them that are watched; the others are listed at each rescan.
pub(super) const SANDBOX_WATCHES_MAX: usize = 1_024;
/// Bytes of the paths of a sandbox's directories: those of nested containers may be long.
const SANDBOX_PATH_BYTES_MAX: usize = 4 << 20;
/// The most finished and left out files of one sandbox that are remembered, counted when its directories
/// are listed; beyond it no file of it is opened.
const SANDBOX_FILES_MAX: usize = 20_000;
/// The directories of a sandbox that are listed again at once when there is room for waiting files.
const WOKEN_AT_ONCE: usize = 16;

/// What the sandboxes have, by the node of each one's outermost directory.
pub(super) struct Shares {
    by_sandbox: HashMap<NodeId, Share>,
    crowded: BTreeSet<NodeId>,
    metrics: Metrics,
}

#[derive(Default)]
struct Share {
    path: PathBuf,
    directories: usize,
    path_bytes: usize,
    watches: usize,
    /// Files that are remembered.
    files: usize,
    /// Directories below which some were left out, and how many.
    left_out: BTreeMap<NodeId, usize>,
    /// Directories with files that wait because the sandbox has its share of open ones.
    crowded: VecDeque<NodeId>,
    is_told: bool,
    is_crowd_told: bool,
}

impl Shares {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { by_sandbox: HashMap::new(), crowded: BTreeSet::new(), metrics }
    }

    /// A directory was added to its sandbox, or is a sandbox itself.
    pub(super) fn added(&mut self, sandbox: Option<NodeId>, path: &Path) {
        let Some(sandbox) = sandbox else { return };
        let share = self.by_sandbox.entry(sandbox).or_default();
        if share.directories == 0 {
            share.path = path.to_owned();
        }
        share.directories += 1;
        share.path_bytes += path.as_os_str().len();
    }

    /// A directory of a sandbox is gone; gives those that are to be listed again, as there may be room
    /// for what was left out of them.
    pub(super) fn removed(&mut self, id: NodeId, node: &Node) -> Vec<NodeId> {
        let Some(sandbox) = node.sandbox else { return Vec::new() };
        self.set_left_out(Some(sandbox), id, 0);
        self.remember(Some(sandbox), node.remembered, 0);
        let Some(share) = self.by_sandbox.get_mut(&sandbox) else { return Vec::new() };
        share.directories = share.directories.saturating_sub(1);
        share.path_bytes = share.path_bytes.saturating_sub(node.path.as_os_str().len());
        share.crowded.retain(|crowded| *crowded != id);
        if share.crowded.is_empty() {
            self.crowded.remove(&sandbox);
        }
        if share.directories == 0 {
            self.by_sandbox.remove(&sandbox);
            return Vec::new();
        }
        share.left_out.keys().copied().collect()
    }

    /// Whether one more directory may belong to the sandbox.
    pub(super) fn has_room(&self, sandbox: Option<NodeId>) -> bool {
        self.share(sandbox).is_none_or(|share| {
            share.directories < SANDBOX_DIRECTORIES_MAX && share.path_bytes < SANDBOX_PATH_BYTES_MAX
        })
    }

    /// A directory of the sandbox has another number of files that are remembered.
    pub(super) fn remember(&mut self, sandbox: Option<NodeId>, before: usize, now: usize) {
        if let Some(share) = sandbox.and_then(|id| self.by_sandbox.get_mut(&id)) {
            share.files = share.files.saturating_sub(before) + now;
        }
    }

    /// Whether more files of the sandbox may be remembered.
    pub(super) fn may_remember(&self, sandbox: Option<NodeId>) -> bool {
        self.share(sandbox).is_none_or(|share| share.files < SANDBOX_FILES_MAX)
    }

    /// Notes how many directories were left out of one; said once of each sandbox.
    pub(super) fn set_left_out(&mut self, sandbox: Option<NodeId>, node: NodeId, count: usize) {
        let Some(share) = sandbox.and_then(|id| self.by_sandbox.get_mut(&id)) else { return };
        let before = match count {
            0 => share.left_out.remove(&node),
            count => share.left_out.insert(node, count),
        };
        let change = count as i64 - before.unwrap_or(0) as i64;
        self.metrics.sandboxes.left_out_directories.add(change);
        if count > 0 && !std::mem::replace(&mut share.is_told, true) {
            tracing::warn!(
                limit = SANDBOX_DIRECTORIES_MAX,
                "the sandbox '{}' has too many directories, what is written in those beyond the limit is not collected until others are gone",
                share.path.display()
            );
        }
    }

    /// The sandboxes of which directories are left out, and how many.
    pub(super) fn left_out(&self) -> impl Iterator<Item = (&Path, usize)> {
        let shares = self.by_sandbox.values().filter(|share| !share.left_out.is_empty());
        shares.map(|share| (share.path.as_path(), share.left_out.values().sum()))
    }

    /// Takes one of the sandbox's watches, if any is left.
    pub(super) fn take_watch(&mut self, sandbox: Option<NodeId>) -> bool {
        let Some(share) = sandbox.and_then(|id| self.by_sandbox.get_mut(&id)) else { return true };
        let has_one = share.watches < SANDBOX_WATCHES_MAX;
        share.watches += usize::from(has_one);
        has_one
    }

    pub(super) fn give_watch_back(&mut self, sandbox: Option<NodeId>) {
        if let Some(share) = sandbox.and_then(|id| self.by_sandbox.get_mut(&id)) {
            share.watches = share.watches.saturating_sub(1);
        }
    }

    /// Files of a directory wait until its sandbox has fewer; said once of each sandbox.
    pub(super) fn crowd(&mut self, sandbox: Option<NodeId>, node: NodeId) {
        let Some(sandbox) = sandbox else { return };
        let Some(share) = self.by_sandbox.get_mut(&sandbox) else { return };
        if share.crowded.back() == Some(&node) || share.crowded.contains(&node) {
            return;
        }
        share.crowded.push_back(node);
        self.crowded.insert(sandbox);
        if !std::mem::replace(&mut share.is_crowd_told, true) {
            tracing::warn!(
                "the sandbox '{}' has its share of the log files that may be in use, others of it wait until those are finished (raise open_files_max and the process' limit of open files)",
                share.path.display()
            );
        }
    }

    /// The sandboxes with files that wait for others of the same sandbox.
    pub(super) fn crowded(&self) -> &BTreeSet<NodeId> {
        &self.crowded
    }

    /// Those of a sandbox's directories whose files wait longest.
    pub(super) fn take_crowded(&mut self, sandbox: NodeId) -> Vec<NodeId> {
        let Some(share) = self.by_sandbox.get_mut(&sandbox) else { return Vec::new() };
        let count = share.crowded.len().min(WOKEN_AT_ONCE);
        let woken = share.crowded.drain(..count).collect();
        if share.crowded.is_empty() {
            self.crowded.remove(&sandbox);
        }
        woken
    }

    fn share(&self, sandbox: Option<NodeId>) -> Option<&Share> {
        self.by_sandbox.get(&sandbox?)
    }
}
