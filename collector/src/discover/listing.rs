//! Listing a directory: it is watched, read, and what is below it added and removed.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::names::{self, Logs, Names, Skipped};
use super::{NodeId, Tree};
use crate::directory;
use crate::identity::{Facts, InodeKey, facts};
use crate::place::Place;

/// A change is surely seen by a directory's modification time this long after the one before, in
/// nanoseconds: more than a tick of any file system's clock.
const CLOCK_TICK_MAX: i64 = 2_000_000_000;

/// So many files that are left out are told of in each directory; the others are only counted.
const TOLD_MAX: usize = 16;

/// What a listing found.
pub(crate) struct Listing {
    pub directory: OwnedFd,
    pub path: PathBuf,
    pub place: Place,
    pub logs: Logs,
}

impl Tree {
    /// Lists a directory, watches it, and adds and removes what is below it. `None` if it cannot be
    /// listed; a directory that is gone is forgotten. `now` is nanoseconds since the epoch.
    pub(crate) fn list(&mut self, id: NodeId, now: i64) -> Option<Listing> {
        match self.try_list(id, now) {
            Ok(listing) => listing,
            Err(error) => {
                self.failed(id, &error);
                None
            }
        }
    }

    fn try_list(&mut self, id: NodeId, now: i64) -> io::Result<Option<Listing>> {
        self.metrics.load.listings.inc();
        let directory = self.open(id)?;
        let found = facts(&directory)?;
        self.watch(id, &directory, &found);
        let Some(node) = self.nodes.get(&id) else { return Ok(None) };
        let (path, place) = (node.path.clone(), node.place.clone());
        let Names { logs, children, present, others } = names::read(&directory, &place)?;
        self.names_listed += present.len() + children.len();
        for (name, key, kind) in others {
            let is_link = kind == FileType::Symlink;
            let why = if is_link { Skipped::Symlink } else { Skipped::NotRegular };
            self.skip(id, &name, key, why);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(None) };
        let vanished = node.memory.keep_only(&present);
        node.listed = Some((found.modified, now.saturating_sub(found.modified) > CLOCK_TICK_MAX));
        node.unchanged = 0;
        node.warned = false;
        let before = std::mem::replace(&mut node.remembered, node.memory.len());
        self.shares.remember(node.sandbox, before, node.remembered);
        self.parked_vanished(vanished, &path);
        self.set_children(id, &path, &place, children);
        Ok(Some(Listing { directory, path, place, logs }))
    }

    /// The log files in a directory now.
    pub(crate) fn relist(listing: &Listing) -> io::Result<Logs> {
        Ok(names::read(&listing.directory, &listing.place)?.logs)
    }

    /// Opens a directory from its root on, never following a symlink below the root.
    pub(super) fn open(&self, id: NodeId) -> io::Result<OwnedFd> {
        let mut names: Vec<&OsStr> = Vec::new();
        let mut at = self.nodes.get(&id).ok_or(io::ErrorKind::NotFound)?;
        while let Some(parent) = at.parent {
            names.push(at.path.file_name().ok_or(io::ErrorKind::NotFound)?);
            at = self.nodes.get(&parent).ok_or(io::ErrorKind::NotFound)?;
        }
        let root = directory::open_root(&at.path)?;
        directory::open_beneath(root, names.into_iter().rev())
    }

    /// Watches the directory that was opened. Done before listing, so that nothing falls between.
    fn watch(&mut self, id: NodeId, directory: &OwnedFd, found: &Facts) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.directory == Some(found.key) && node.watch.is_some() {
            return;
        }
        let replaced = node.directory.is_some_and(|before| before != found.key);
        node.directory = Some(found.key);
        let (path, children) = (node.path.clone(), node.children.values().copied().collect());
        self.unwatch(id);
        if replaced {
            self.mark_all(children);
        }
        let sandbox = self.sandbox(id);
        if !self.shares.take_watch(sandbox) {
            self.is_unwatched(id);
            return;
        }
        match self.watches.add(id, directory, &path) {
            None => {
                self.shares.give_watch_back(sandbox);
                self.is_unwatched(id);
            }
            watch => {
                self.unwatched.remove(&id);
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.watch = watch;
                }
                if self.unwatched.is_empty() {
                    self.watches.are_enough();
                }
            }
        }
    }

    fn is_unwatched(&mut self, id: NodeId) {
        self.unwatched.insert(id);
        self.uncertain.insert(id);
    }

    /// The kernel has dropped a directory's watch by itself.
    pub(super) fn lost_watch(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.watch.take().is_some() {
            self.is_unwatched(id);
            self.shares.give_watch_back(self.sandbox(id));
        }
    }

    /// Whether a directory's watch still tells everything is not certain: the next listing makes another.
    pub(super) fn watch_anew(&mut self, id: NodeId) {
        self.unwatch(id);
        self.mark(id);
    }

    fn unwatch(&mut self, id: NodeId) {
        if let Some(watch) = self.nodes.get_mut(&id).and_then(|node| node.watch.take()) {
            self.watches.remove(watch, id);
            self.uncertain.insert(id);
            self.shares.give_watch_back(self.sandbox(id));
        }
    }

    /// Leaves a file out: counted, and said of the first ones in a directory.
    pub(crate) fn skip(&mut self, id: NodeId, name: &OsStr, key: InodeKey, why: Skipped) {
        // Nobody asks for so many, and each would be said and counted again and again.
        if !self.may_remember(id) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.memory.skipped.insert(key, why).is_some() {
            return;
        }
        self.metrics.skipped_files.with_label_values(&[why.reason()]).inc();
        node.told += 1;
        let (reason, path) = (why.reason(), node.path.join(name));
        if node.told <= TOLD_MAX {
            tracing::warn!(reason, "'{}' is left out: {}", path.display(), why.why());
        }
    }

    /// Files that were closed to make room are gone: what they got since, nobody knows.
    fn parked_vanished(&self, count: usize, directory: &Path) {
        if count > 0 {
            self.metrics.sandboxes.parked_files_vanished.inc_by(count as u64);
            tracing::warn!(
                count,
                "files in '{}' were closed to make room and are gone: what was written to them since, if anything, is lost (raise open_files_max and the process' limit of open files)",
                directory.display()
            );
        }
    }

    fn set_children(&mut self, id: NodeId, path: &Path, place: &Place, names: Vec<OsString>) {
        let names: HashSet<OsString> = names.into_iter().collect();
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let gone: Vec<NodeId> = node
            .children
            .iter()
            .filter(|(name, _)| !names.contains(*name))
            .map(|(_, child)| *child)
            .collect();
        let new: Vec<OsString> =
            names.into_iter().filter(|name| !node.children.contains_key(name)).collect();
        for child in gone {
            self.remove(child);
        }
        let sandbox = self.sandbox(id);
        let mut left_out = 0;
        for name in new {
            if !self.shares.has_room(sandbox) {
                left_out += 1;
                continue;
            }
            let Some(child) = place.child(&name) else { continue };
            let child = self.add(Some(id), path.join(&name), child);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.children.insert(name, child);
            }
        }
        self.shares.set_left_out(sandbox, id, left_out);
    }

    /// Forgets a directory and all below it.
    fn remove(&mut self, id: NodeId) {
        let mut rest = vec![id];
        if let Some(parent) = self.nodes.get(&id).and_then(|node| node.parent)
            && let Some(parent) = self.nodes.get_mut(&parent)
        {
            parent.children.retain(|_, child| *child != id);
        }
        while let Some(id) = rest.pop() {
            self.unwatch(id);
            let Some(node) = self.nodes.remove(&id) else { continue };
            self.starved.remove(&id);
            self.unwatched.remove(&id);
            self.parked_vanished(node.memory.parked(), &node.path);
            // At the next rescan, lest each directory that goes be answered by listings.
            for crowded in self.shares.removed(id, &node) {
                self.distrust(crowded);
            }
            // Their directory is gone too: no listing will tell of them.
            self.gone.extend(node.memory.into_gone());
            self.orphans.extend(node.logs.into_values());
            rest.extend(node.children.into_values());
        }
    }

    fn failed(&mut self, id: NodeId, error: &io::Error) {
        if directory::is_shortage(error) {
            self.out_of_descriptors(id);
            return;
        }
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.listed = None;
        self.uncertain.insert(id);
        let gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || error.raw_os_error() == Some(libc::ELOOP);
        if gone && node.parent.is_some() {
            self.remove(id);
            return;
        }
        if gone {
            // A root that is not there (yet) is looked for at each rescan.
            node.directory = None;
            self.orphans.extend(std::mem::take(&mut node.logs).into_values());
            let children: Vec<NodeId> = node.children.values().copied().collect();
            self.unwatch(id);
            for child in children {
                self.remove(child);
            }
            return;
        }
        self.metrics.scan_errors.inc();
        if !node.warned {
            node.warned = true;
            tracing::warn!(
                "cannot list '{}', its logs are not collected: {error}{}",
                node.path.display(),
                directory::way_out(error)
            );
        }
    }
}
