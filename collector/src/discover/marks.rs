//! Which directories are to be listed, and which of them first.

use std::collections::VecDeque;

use super::{NodeId, Tree};

/// Which directories a rescan lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rescan {
    /// Those of which the kernel does not tell, and those that could not be read completely.
    Unwatched,
    /// Also those that changed without the kernel having told.
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

    /// Whether any directory waits to be listed.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.urgent.is_empty() || !self.routine.is_empty()
    }

    /// Marks the directories that are due.
    pub(crate) fn rescan(&mut self, which: Rescan) {
        let mut due = Vec::new();
        for (id, node) in &mut self.nodes {
            let is_due = match which {
                Rescan::Unwatched => node.watch.is_none() || node.listed.is_none(),
                Rescan::Changed => node.watch.is_none() || node.is_changed(),
                Rescan::EventsLost => {
                    node.watch.is_none() || !node.memory.settled.is_empty() || node.is_changed()
                }
            };
            if is_due && !std::mem::replace(&mut node.dirty, true) {
                due.push(*id);
            }
        }
        // Parents first: their numbers are smaller.
        due.sort_unstable();
        self.routine.extend(due);
    }

    pub(super) fn mark_all(&mut self, ids: Vec<NodeId>) {
        for id in ids {
            self.mark(id);
        }
    }
}
