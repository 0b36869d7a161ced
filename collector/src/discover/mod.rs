//! The directories that may hold logs: a tree kept up to date by inotify, and checked by listing.
//!
//! Events only say where to look. What is there is always read from the directory itself, so that
//! a lost event costs time and nothing else.

mod closes;
mod hot;
mod listing;
mod look;
mod marks;
mod names;
mod node;
mod shares;
mod told;
mod watches;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use sawlog_transport::{FileIdentity, StreamId};

use crate::identity::InodeKey;
use crate::mesos::ContainerKey;
use crate::metrics::Metrics;
use crate::place::{Place, Source};
pub(crate) use closes::Close;
use closes::Closes;
pub(crate) use hot::Hot;
pub(crate) use listing::Listing;
pub(crate) use look::Known;
pub(crate) use marks::Rescan;
pub(crate) use names::{Logs, Memory, Named, Settled, Skipped, Waiting};
use node::Node;
pub(crate) use shares::SANDBOX_DIRECTORIES_MAX;
use shares::Shares;
pub(crate) use told::Change;
use watches::Watches;

pub(crate) type NodeId = u64;

/// All directories on the way to logs.
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    watches: Watches,
    /// Directories of which the kernel does not tell.
    unwatched: HashSet<NodeId>,
    shares: Shares,
    /// Names of interest in all listings so far.
    names_listed: usize,
    /// To be listed: something happened there.
    urgent: VecDeque<NodeId>,
    /// To be listed when there is nothing urgent.
    routine: VecDeque<NodeId>,
    /// To be listed if they changed, when there is nothing else to list.
    unchecked: VecDeque<NodeId>,
    /// How often all were to be checked: whose turn it is of those that stay the same.
    checks: u64,
    /// Those that are unwatched or not completely read, and some that no longer are.
    uncertain: HashSet<NodeId>,
    /// Streams whose directory is gone.
    orphans: Vec<StreamId>,
    /// Files that waited in directories that are gone.
    gone: Vec<Waiting>,
    /// Directories that, or whose files, could not be opened for want of descriptors.
    starved: HashSet<NodeId>,
    warned_of_descriptors: bool,
    metrics: Metrics,
}

impl Tree {
    /// A tree with these roots, all to be listed.
    pub(crate) fn new(roots: Vec<(PathBuf, Place)>, metrics: Metrics) -> Self {
        let mut this = Self {
            nodes: HashMap::new(),
            next: 0,
            watches: Watches::new(metrics.clone()),
            unwatched: HashSet::new(),
            shares: Shares::new(metrics.clone()),
            names_listed: 0,
            urgent: VecDeque::new(),
            routine: VecDeque::new(),
            unchecked: VecDeque::new(),
            checks: 0,
            uncertain: HashSet::new(),
            orphans: Vec::new(),
            gone: Vec::new(),
            starved: HashSet::new(),
            warned_of_descriptors: false,
            metrics,
        };
        for (path, place) in roots {
            this.add(None, path, place);
        }
        this
    }

    /// As on a system with so few watches.
    #[cfg(test)]
    pub(crate) fn limit_watches(&mut self, most: usize) {
        self.watches.limit(most);
    }

    fn add(&mut self, parent: Option<NodeId>, path: PathBuf, place: Place) -> NodeId {
        let id = self.next;
        self.next += 1;
        let sandbox = match parent {
            _ if place.is_sandbox() => Some(id),
            parent => self.sandbox(parent),
        };
        self.shares.added(sandbox, &path);
        let node = Node {
            parent,
            sandbox,
            path,
            place,
            directory: None,
            watch: None,
            children: HashMap::new(),
            logs: HashMap::new(),
            memory: Memory::default(),
            closes: Closes::default(),
            listed: None,
            unchanged: 0,
            warned: false,
            remembered: 0,
            told: 0,
            dirty: false,
            urgent: false,
        };
        self.nodes.insert(id, node);
        self.uncertain.insert(id);
        self.mark(id);
        id
    }

    /// Whether a directory is (still) part of the tree.
    pub(crate) fn has(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Streams that lost their directory since the last call.
    pub(crate) fn take_orphans(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.orphans)
    }

    /// The streams fed from directories of which the kernel does not tell.
    pub(crate) fn unwatched_streams(&self) -> impl Iterator<Item = StreamId> {
        let nodes = self.unwatched.iter().filter_map(|id| self.nodes.get(id));
        nodes.flat_map(|node| node.logs.values().copied())
    }

    /// The outermost directory of the sandbox that a directory belongs to, if a task made it.
    pub(crate) fn sandbox(&self, id: impl Into<Option<NodeId>>) -> Option<NodeId> {
        self.nodes.get(&id.into()?)?.sandbox
    }

    /// Names of interest in all listings so far: what listing has cost.
    pub(crate) fn names_listed(&self) -> usize {
        self.names_listed
    }

    /// Files of a directory wait until its sandbox has fewer open.
    pub(crate) fn crowd(&mut self, id: NodeId) {
        self.distrust(id);
        self.shares.crowd(self.sandbox(id), id);
    }

    /// The sandboxes with files that wait for others of the same sandbox.
    pub(crate) fn crowded(&self) -> &BTreeSet<NodeId> {
        self.shares.crowded()
    }

    /// Lists some of a sandbox's directories again whose files wait.
    pub(crate) fn mark_crowded(&mut self, sandbox: NodeId) {
        let waiting = self.shares.take_crowded(sandbox);
        self.mark_all(waiting);
    }

    /// Whether more files of a directory's sandbox may be remembered.
    pub(crate) fn may_remember(&self, id: NodeId) -> bool {
        self.shares.may_remember(self.sandbox(id))
    }

    /// Whether the sandbox of a directory may have no more of them.
    pub(crate) fn is_full(&self, id: NodeId) -> bool {
        !self.shares.has_room(self.sandbox(id))
    }

    /// The sandboxes of which directories are left out, and how many.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.shares.left_out()
    }

    pub(crate) fn memory(&mut self, id: NodeId) -> Option<&mut Memory> {
        self.nodes.get_mut(&id).map(|node| &mut node.memory)
    }

    /// A file of a directory is being opened.
    pub(crate) fn waits_no_more(&mut self, id: NodeId, key: &InodeKey) {
        if let Some(memory) = self.memory(id) {
            memory.waits_no_more(key);
        }
    }

    /// A file waits until others are closed. It is remembered, in case it is gone by then.
    pub(crate) fn waits(&mut self, id: NodeId, file: Waiting) {
        if self.may_remember(id)
            && let Some(memory) = self.memory(id)
        {
            memory.waits(file);
        }
    }

    /// Files of a directory that waited and are gone.
    pub(crate) fn take_gone(&mut self, id: NodeId) -> Vec<Waiting> {
        self.memory(id).map(Memory::take_gone).unwrap_or_default()
    }

    /// Files that waited in directories that are gone.
    pub(crate) fn take_gone_with_directories(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.gone)
    }

    /// The logs of a directory that feed streams.
    pub(crate) fn logs(&self, id: NodeId) -> Vec<OsString> {
        self.nodes.get(&id).map(|node| node.logs.keys().cloned().collect()).unwrap_or_default()
    }

    /// The finished files of all directories.
    pub(crate) fn settled(&self) -> impl Iterator<Item = FileIdentity> {
        let memories = self.nodes.values().map(|node| &node.memory);
        memories.flat_map(|memory| memory.settled.values().map(|settled| settled.identity))
    }

    /// The directory's path; empty if it is gone.
    pub(crate) fn path(&self, id: NodeId) -> &Path {
        self.nodes.get(&id).map_or(Path::new(""), |node| &node.path)
    }

    /// The stream fed from a log in a directory.
    pub(crate) fn stream(&self, id: NodeId, log: &OsStr) -> Option<StreamId> {
        self.nodes.get(&id)?.logs.get(log).copied()
    }

    /// The log to which a name belongs.
    pub(crate) fn log_of<'a>(&self, id: NodeId, name: &'a OsStr) -> Option<&'a OsStr> {
        Some(self.nodes.get(&id)?.place.log(name)?.0)
    }

    pub(crate) fn set_stream(&mut self, id: NodeId, log: &OsStr, stream: StreamId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.logs.insert(log.to_owned(), stream);
        }
    }

    /// The streams fed from directories of these containers, with their labels of now.
    pub(crate) fn sources(&self, host: &str, keys: &HashSet<ContainerKey>) -> Vec<Source> {
        let is_one = |place: &Place| match place {
            Place::Mesos(place) => keys.contains(&place.container_key()),
            Place::Glob(_) => false,
        };
        let nodes = self.nodes.values().filter(|node| !node.logs.is_empty() && is_one(&node.place));
        let sources = nodes
            .flat_map(|node| node.logs.keys().map(|log| node.place.source(host, &node.path, log)));
        sources.collect()
    }

    /// Whether a directory holds files that we wrote ourselves.
    pub(crate) fn is_generated(&self, id: NodeId) -> bool {
        let place = self.nodes.get(&id).map(|node| &node.place);
        matches!(place, Some(Place::Mesos(place)) if place.is_generated())
    }
}

#[cfg(test)]
mod tests;
