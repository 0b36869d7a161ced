//! What the kernel told: which directories to list, and which log files were written.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;

use inotify::EventMask;

use super::closes::Close;
use super::watches::Event;
use super::{NodeId, Tree};

/// Among how many of the last changes a repetition is looked for.
const REPETITIONS_AMONG: usize = 8;

/// What the kernel told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A log file was written; `closed`: or closed by a writer, if it is the one that the last listing
    /// found under this name.
    Written { node: NodeId, name: OsString, closed: Close },
    /// Events were lost: anything may have changed.
    Overflow,
}

impl Tree {
    /// Becomes readable when something changes.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.watches.events()
    }

    /// Takes what the kernel told: marks directories, and gives what concerns log files.
    pub(crate) fn take_events(&mut self) -> Vec<Change> {
        let mut events = Vec::new();
        let overflow = self.watches.take(|event| events.push(event));
        let mut changes = Vec::new();
        for Event { nodes, mask, name } in events {
            for id in nodes {
                match &name {
                    Some(name) => self.event_in(id, mask, name, &mut changes),
                    None => self.event_of(id, mask),
                }
            }
        }
        if overflow {
            self.nodes.values_mut().for_each(|node| node.closes.lose());
            changes.push(Change::Overflow);
        }
        changes
    }

    /// A file knows that a writer has closed it.
    pub(crate) fn forget_close(&mut self, id: NodeId, name: &OsStr) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.closes.forget(name);
        }
    }

    /// The names, as of a listing just made, of files that a writer has closed. They are told once.
    pub(crate) fn take_closes(&mut self, id: NodeId) -> HashSet<OsString> {
        self.nodes.get_mut(&id).map(|node| node.closes.take()).unwrap_or_default()
    }

    /// Something happened in a directory.
    fn event_in(&mut self, id: NodeId, mask: EventMask, name: &OsStr, changes: &mut Vec<Change>) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if mask.contains(EventMask::ISDIR) {
            if node.place.child(name).is_some() {
                self.mark(id);
            }
            return;
        }
        if node.place.log(name).is_none() {
            return;
        }
        if mask.intersects(EventMask::MODIFY | EventMask::CLOSE_WRITE) {
            let closed = if mask.contains(EventMask::CLOSE_WRITE) {
                node.closes.closed(name)
            } else {
                node.closes.written(name);
                Close::No
            };
            let is_told = changes.iter().rev().take(REPETITIONS_AMONG).any(|change| {
                matches!(change, Change::Written { node, name: known, closed: was_closed }
                    if *node == id && known == name && *was_closed == closed)
            });
            if !is_told {
                changes.push(Change::Written { node: id, name: name.to_owned(), closed });
            }
        } else {
            node.closes.renamed(name);
            self.mark(id);
        }
    }

    /// Something happened to a directory itself.
    fn event_of(&mut self, id: NodeId, mask: EventMask) {
        let Some(node) = self.nodes.get(&id) else { return };
        let parent = node.parent;
        if mask.contains(EventMask::IGNORED) {
            self.lost_watch(id);
        }
        self.mark(id);
        if let Some(parent) = parent {
            self.mark(parent);
        }
    }
}
