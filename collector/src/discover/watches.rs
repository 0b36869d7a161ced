//! The inotify watches: which directories the kernel tells about, and what it tells.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use super::NodeId;
use crate::metrics::Metrics;

/// Bytes of events taken from the kernel at once.
const EVENT_BUFFER_BYTES: usize = 64 * 1024;
/// How often that is done before the loop goes on with other work.
const EVENT_ROUNDS_MAX: usize = 16;

/// What happened to a directory, or to a name in it.
pub(super) struct Event {
    pub nodes: Vec<NodeId>,
    pub mask: EventMask,
    pub name: Option<OsString>,
}

/// All watches of a tree.
pub(super) struct Watches {
    /// `None` where the system has none to give.
    inotify: Option<Inotify>,
    /// Overlapping globs give one directory more than one node.
    watched: HashMap<WatchDescriptor, Vec<NodeId>>,
    buffer: Vec<u8>,
    /// Whether it was told that some directory cannot be watched.
    is_told: bool,
    /// As if the system had so many.
    #[cfg(test)]
    most: usize,
    metrics: Metrics,
}

impl Watches {
    pub(super) fn new(metrics: Metrics) -> Self {
        let inotify = Inotify::init().inspect_err(|error| {
            tracing::warn!("inotify is not available, new files are found by listing: {error}");
        });
        Self::of(inotify.ok(), metrics)
    }

    fn of(inotify: Option<Inotify>, metrics: Metrics) -> Self {
        Self {
            inotify,
            watched: HashMap::new(),
            buffer: vec![0; EVENT_BUFFER_BYTES],
            is_told: false,
            #[cfg(test)]
            most: usize::MAX,
            metrics,
        }
    }

    /// As on a system without inotify.
    #[cfg(test)]
    pub(super) fn none(metrics: Metrics) -> Self {
        Self::of(None, metrics)
    }

    /// As on a system that has no more than so many watches, of which those that are taken stay.
    #[cfg(test)]
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// Every directory is watched.
    pub(super) fn are_enough(&mut self) {
        if std::mem::take(&mut self.is_told) {
            tracing::info!("all directories are watched again");
        }
    }

    /// How many directories are watched.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.watched.len()
    }

    /// Watches an open directory for a node. `None` if the system has no watch for it.
    pub(super) fn add(
        &mut self,
        node: NodeId,
        directory: &OwnedFd,
        path: &Path,
    ) -> Option<WatchDescriptor> {
        let added = self.inotify.as_ref().map(|inotify| add(inotify, directory, path))?;
        #[cfg(test)]
        let added = added.and_then(|watch| self.within_limit(watch));
        match added {
            Ok(watch) => {
                self.watched.entry(watch.clone()).or_default().push(node);
                Some(watch)
            }
            Err(error) => {
                self.metrics.load.watch_errors.inc();
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(
                        "cannot watch '{}', directories without a watch are listed instead (raise fs.inotify.max_user_watches): {error}",
                        path.display()
                    );
                }
                None
            }
        }
    }

    #[cfg(test)]
    fn within_limit(&self, watch: WatchDescriptor) -> io::Result<WatchDescriptor> {
        if self.watched.len() < self.most || self.watched.contains_key(&watch) {
            return Ok(watch);
        }
        self.inotify.as_ref().expect("it gave a watch").watches().remove(watch)?;
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }

    /// Lets the kernel tell of writes in a watched directory, or of all but them: telling costs who
    /// writes. Of a directory that several nodes have it always tells. `false` if nothing was changed.
    pub(super) fn tell_of_writes(
        &mut self,
        watch: &WatchDescriptor,
        directory: &OwnedFd,
        tell: bool,
    ) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        if self.watched.get(watch).is_none_or(|nodes| nodes.len() != 1 && !tell) {
            return false;
        }
        let wanted = if tell { mask() } else { mask() - WatchMask::MODIFY };
        let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
        match inotify.watches().add(opened, wanted) {
            Ok(found) if found == *watch => true,
            Ok(another) => {
                // Another directory is there now, whose watch nobody would take care of.
                if !self.watched.contains_key(&another) {
                    drop(inotify.watches().remove(another));
                }
                false
            }
            Err(_) => false,
        }
    }

    /// Watches a directory no more for this node.
    pub(super) fn remove(&mut self, watch: WatchDescriptor, node: NodeId) {
        let Some(nodes) = self.watched.get_mut(&watch) else { return };
        nodes.retain(|other| *other != node);
        if nodes.is_empty() {
            self.watched.remove(&watch);
            if let Some(inotify) = &self.inotify {
                // The watch of a deleted directory is already gone.
                drop(inotify.watches().remove(watch));
            }
        }
    }

    /// The descriptor that becomes readable when something changes.
    pub(super) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Gives what the kernel told; `true` if it had more to tell than it could keep.
    pub(super) fn take(&mut self, mut each: impl FnMut(Event)) -> bool {
        for _ in 0..EVENT_ROUNDS_MAX {
            let Some(inotify) = &mut self.inotify else { return false };
            let events = match inotify.read_events(&mut self.buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    tracing::warn!("cannot read inotify events: {error}");
                    return true;
                }
            };
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    return true;
                }
                let nodes = if event.mask.contains(EventMask::IGNORED) {
                    self.watched.remove(&event.wd)
                } else {
                    self.watched.get(&event.wd).cloned()
                };
                let name = event.name.map(ToOwned::to_owned);
                each(Event { nodes: nodes.unwrap_or_default(), mask: event.mask, name });
            }
        }
        false
    }
}

/// What the kernel is to tell of a directory.
fn mask() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::MOVED_FROM
        | WatchMask::MOVED_TO
        | WatchMask::DELETE
        | WatchMask::MODIFY
        | WatchMask::CLOSE_WRITE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
}

fn add(inotify: &Inotify, directory: &OwnedFd, path: &Path) -> io::Result<WatchDescriptor> {
    let mask = mask();
    let mut watches = inotify.watches();
    // The descriptor's own name leads to the directory that was opened, whatever its path is now.
    let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
    match watches.add(opened, mask) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            watches.add(path, mask | WatchMask::DONT_FOLLOW)
        }
        other => other,
    }
}
