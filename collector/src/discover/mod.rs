//! The directories that may hold logs: a tree kept up to date by inotify, and checked by listing.
//!
//! Events only say where to look. What is there is always read from the directory itself, so that
//! a lost event costs time and nothing else.

mod listing;
mod look;
mod marks;
mod names;
mod node;
mod told;
mod watches;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use sawlog_transport::{FileIdentity, StreamId};

use crate::mesos::ContainerKey;
use crate::metrics::Metrics;
use crate::place::{Place, Source};
pub(crate) use listing::Listing;
pub(crate) use look::Known;
pub(crate) use marks::Rescan;
pub(crate) use names::{Logs, Memory, Named, Settled};
use node::Node;
pub(crate) use told::Change;
use watches::Watches;

pub(crate) type NodeId = u64;

/// All directories on the way to logs.
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    watches: Watches,
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
            urgent: VecDeque::new(),
            routine: VecDeque::new(),
            unchecked: VecDeque::new(),
            checks: 0,
            uncertain: HashSet::new(),
            orphans: Vec::new(),
            starved: HashSet::new(),
            warned_of_descriptors: false,
            metrics,
        };
        for (path, place) in roots {
            this.add(None, path, place);
        }
        this
    }

    fn add(&mut self, parent: Option<NodeId>, path: PathBuf, place: Place) -> NodeId {
        let id = self.next;
        self.next += 1;
        let node = Node {
            parent,
            path,
            place,
            directory: None,
            watch: None,
            children: HashMap::new(),
            logs: HashMap::new(),
            memory: Memory::default(),
            listed: None,
            unchanged: 0,
            warned: false,
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

    /// Whether the kernel tells when something changes in any of the directories.
    pub(crate) fn is_all_watched(&self) -> bool {
        self.watches.is_complete()
    }

    pub(crate) fn memory(&mut self, id: NodeId) -> Option<&mut Memory> {
        self.nodes.get_mut(&id).map(|node| &mut node.memory)
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
