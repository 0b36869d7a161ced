//! Which directories are to be listed, and which of them first.

use std::collections::VecDeque;

use super::node::Node;
use super::{NodeId, Tree};

/// Directories that are looked at before something else is listed.
const CHECKS_AT_ONCE: usize = 256;
/// A watched directory that was found unchanged so many times in a row is checked more rarely…
const STILL_AFTER: u32 = 2;
/// … at every so many checks, each time others: so far the kernel has told of everything there.
const STILL_EVERY: u64 = 10;

/// Which directories a rescan lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rescan {
    /// Those of which the kernel does not tell, and those that could not be read completely.
    Unwatched,
    /// Also those that changed without the kernel having told. Directories that have not changed for
    /// some checks have their turn at every tenth.
    Changed,
    /// Also those in which a finished file may have grown.
    EventsLost,
}

impl Tree {
    /// Says that a directory is to be listed before what a rescan found.
    pub(crate) fn mark(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.urgent) {
            node.dirty = true;
            node.urgent = true;
            self.urgent.push_back(id);
        }
    }

    /// Says that a directory is to be listed, and that its finished files are to be opened again: one of
    /// them may hold what a truncated file has lost.
    pub(crate) fn look_for_copies(&mut self, id: NodeId) {
        if let Some(memory) = self.memory(id) {
            memory.settled.clear();
        }
        self.mark(id);
    }

    /// Says that a directory is to be listed at the next rescan, even if it stays the same.
    pub(crate) fn distrust(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.listed = None;
            self.uncertain.insert(id);
        }
    }

    /// A directory could not be read completely for want of descriptors: it is listed again when
    /// there are some, or at the next rescan.
    pub(crate) fn starve(&mut self, id: NodeId) {
        self.distrust(id);
        self.starved.insert(id);
    }

    /// Whether any directory waits for descriptors.
    pub(crate) fn has_starved(&self) -> bool {
        !self.starved.is_empty()
    }

    /// There are descriptors again.
    pub(crate) fn mark_starved(&mut self) {
        let starved = std::mem::take(&mut self.starved);
        self.mark_all(starved.into_iter().collect());
    }

    /// The system gives no more descriptors: counted, and said once.
    pub(crate) fn out_of_descriptors(&mut self, id: NodeId) {
        self.metrics.load.descriptor_shortages.inc();
        self.starve(id);
        if !std::mem::replace(&mut self.warned_of_descriptors, true) {
            tracing::warn!(
                "too many files are open, quiet log files are closed to make room (raise the process' limit of open files)"
            );
        }
    }

    /// The next directory to be listed.
    pub(crate) fn next_dirty(&mut self) -> Option<NodeId> {
        while let Some(id) = self.urgent.pop_front().or_else(|| self.routine.pop_front()) {
            // It may be gone, or have been listed as urgent before its routine turn came.
            if let Some(node) = self.nodes.get_mut(&id).filter(|node| node.dirty) {
                node.dirty = false;
                node.urgent = false;
                return Some(id);
            }
        }
        self.next_changed()
    }

    /// The next directory that changed without the kernel having told, among those that are looked
    /// at in one go.
    fn next_changed(&mut self) -> Option<NodeId> {
        for _ in 0..CHECKS_AT_ONCE {
            let id = self.unchecked.pop_front()?;
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            self.metrics.load.directory_checks.inc();
            if node.is_changed() {
                return Some(id);
            }
            node.unchanged = node.unchanged.saturating_add(1);
        }
        None
    }

    /// Directories whose turn has come and which were not listed after all: they are the next.
    pub(crate) fn mark_again(&mut self, nodes: VecDeque<NodeId>) {
        for id in nodes.into_iter().rev() {
            if let Some(node) = self.nodes.get_mut(&id)
                && !std::mem::replace(&mut node.urgent, true)
            {
                node.dirty = true;
                self.urgent.push_front(id);
            }
        }
    }

    /// Whether any directory waits to be listed, or to be looked at.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.urgent.is_empty() || !self.routine.is_empty() || !self.unchecked.is_empty()
    }

    /// Marks the directories that are due, and has those checked that may have changed.
    pub(crate) fn rescan(&mut self, which: Rescan) {
        let nodes = &self.nodes;
        self.uncertain.retain(|id| nodes.get(id).is_some_and(Node::is_uncertain));
        let mut due: Vec<NodeId> = self.uncertain.iter().copied().collect();
        if which == Rescan::EventsLost {
            self.unchecked.clear();
            let finished = nodes.iter().filter(|(_, node)| !node.memory.settled.is_empty());
            due.extend(finished.map(|(id, _)| *id));
        }
        if which != Rescan::Unwatched && self.unchecked.is_empty() {
            self.checks += 1;
            let (checks, is_full) = (self.checks, which == Rescan::EventsLost);
            let wanted = nodes.iter().filter(|(id, node)| {
                let is_its_turn = (**id + checks).is_multiple_of(STILL_EVERY);
                is_full || node.unchanged < STILL_AFTER || is_its_turn
            });
            let mut wanted: Vec<NodeId> = wanted.map(|(id, _)| *id).collect();
            wanted.sort_unstable();
            self.unchecked.extend(wanted);
        }
        // Parents first: their numbers are smaller.
        due.sort_unstable();
        for id in due {
            if let Some(node) = self.nodes.get_mut(&id)
                && !std::mem::replace(&mut node.dirty, true)
            {
                self.routine.push_back(id);
            }
        }
    }

    pub(super) fn mark_all(&mut self, ids: Vec<NodeId>) {
        for id in ids {
            self.mark(id);
        }
    }
}
