//! The directories that may hold logs: a tree kept up to date by inotify, and checked by listing.
//!
//! Events only say where to look. What is there is always read from the directory itself, so that
//! a lost event costs time and nothing else.

mod look;
mod names;
mod watches;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use inotify::{EventMask, WatchDescriptor};
use rustix::fs::FileType;
use sawlog_transport::{FileIdentity, StreamId};

use crate::directory;
use crate::identity::{Facts, InodeKey, facts, facts_of_path};
use crate::mesos::ContainerKey;
use crate::metrics::Metrics;
use crate::place::{Place, Source};
pub(crate) use look::Known;
use names::Names;
pub(crate) use names::{Logs, Memory, Named, Settled};
use watches::{Event, Watches};

pub(crate) type NodeId = u64;

/// A change is surely seen by a directory's modification time this long after the one before, in
/// nanoseconds: more than a tick of any file system's clock.
const CLOCK_TICK_MAX: i64 = 2_000_000_000;

/// Among how many of the last changes a repetition is looked for.
const REPETITIONS_AMONG: usize = 8;

/// What a listing found.
pub(crate) struct Listing {
    pub directory: OwnedFd,
    pub path: PathBuf,
    pub place: Place,
    pub logs: Logs,
}

/// What the kernel told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A log file was written, or closed by a writer.
    Written { node: NodeId, name: OsString, closed: bool },
    /// Events were lost: anything may have changed.
    Overflow,
}

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

/// A directory.
struct Node {
    parent: Option<NodeId>,
    path: PathBuf,
    place: Place,
    /// The directory behind the path when it was listed last.
    directory: Option<InodeKey>,
    watch: Option<WatchDescriptor>,
    children: HashMap<OsString, NodeId>,
    /// The streams fed from here, by log.
    logs: HashMap<OsString, StreamId>,
    memory: Memory,
    /// The directory's modification time at the last listing, and whether another change at that
    /// very time was impossible by then: two changes can share one tick of the clock.
    listed: Option<(i64, bool)>,
    warned: bool,
    /// Whether it waits to be listed, and whether as urgent.
    dirty: bool,
    urgent: bool,
}

/// All directories on the way to logs.
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    watches: Watches,
    /// To be listed: something happened there.
    urgent: VecDeque<NodeId>,
    /// To be listed when there is nothing urgent.
    routine: VecDeque<NodeId>,
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
            warned: false,
            dirty: false,
            urgent: false,
        };
        self.nodes.insert(id, node);
        self.mark(id);
        id
    }

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

    /// Whether a directory is (still) part of the tree.
    pub(crate) fn has(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Whether any directory waits to be listed.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.urgent.is_empty() || !self.routine.is_empty()
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
        for (name, key, kind) in others {
            self.skip(id, &name, key, kind);
        }
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(None) };
        node.memory.keep_only(&present);
        node.listed = Some((found.modified, now.saturating_sub(found.modified) > CLOCK_TICK_MAX));
        node.warned = false;
        self.set_children(id, &path, &place, children);
        Ok(Some(Listing { directory, path, place, logs }))
    }

    /// The log files in a directory now.
    pub(crate) fn relist(listing: &Listing) -> io::Result<Logs> {
        Ok(names::read(&listing.directory, &listing.place)?.logs)
    }

    /// Opens a directory from its root on, never following a symlink below the root.
    fn open(&self, id: NodeId) -> io::Result<OwnedFd> {
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
        let watch = self.watches.add(id, directory, &path);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.watch = watch;
        }
    }

    fn unwatch(&mut self, id: NodeId) {
        if let Some(watch) = self.nodes.get_mut(&id).and_then(|node| node.watch.take()) {
            self.watches.remove(watch, id);
        }
    }

    fn mark_all(&mut self, ids: Vec<NodeId>) {
        for id in ids {
            self.mark(id);
        }
    }

    fn skip(&mut self, id: NodeId, name: &OsStr, key: InodeKey, kind: FileType) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.memory.skipped.insert(key) {
            let reason = if kind == FileType::Symlink { "symlink" } else { "not_regular" };
            self.metrics.skipped_files.with_label_values(&[reason]).inc();
            let path = node.path.join(name);
            tracing::warn!(reason, "'{}' is left out: it is no regular file", path.display());
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
        for name in new {
            let Some(child) = place.child(&name) else { continue };
            let child = self.add(Some(id), path.join(&name), child);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.children.insert(name, child);
            }
        }
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
            changes.push(Change::Overflow);
        }
        changes
    }

    /// Something happened in a directory.
    fn event_in(&mut self, id: NodeId, mask: EventMask, name: &OsStr, changes: &mut Vec<Change>) {
        let Some(node) = self.nodes.get(&id) else { return };
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
            let closed = mask.contains(EventMask::CLOSE_WRITE);
            let is_told = changes.iter().rev().take(REPETITIONS_AMONG).any(|change| {
                matches!(change, Change::Written { node, name: known, closed: was_closed }
                    if *node == id && known == name && *was_closed == closed)
            });
            if !is_told {
                changes.push(Change::Written { node: id, name: name.to_owned(), closed });
            }
        } else {
            self.mark(id);
        }
    }

    /// Something happened to a directory itself.
    fn event_of(&mut self, id: NodeId, mask: EventMask) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if mask.contains(EventMask::IGNORED) {
            node.watch = None;
        }
        let parent = node.parent;
        self.mark(id);
        if let Some(parent) = parent {
            self.mark(parent);
        }
    }
}

impl Node {
    /// Whether a listing could find something new.
    fn is_changed(&self) -> bool {
        let Ok(found) = facts_of_path(&self.path) else { return true };
        // A root may be a symlink, whose own times tell nothing.
        self.parent.is_none()
            || self.directory != Some(found.key)
            || self.listed != Some((found.modified, true))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use prometheus::Registry;

    use super::*;
    use crate::sandbox;

    const RUN: &str = "slaves/S1/frameworks/F/executors/E/runs/c1";

    fn tree(dir: &Path) -> Tree {
        let metrics = Metrics::register(&Registry::new()).expect("metrics");
        Tree::new(
            vec![(dir.to_owned(), Place::Mesos(sandbox::Place::work_dir(Default::default())))],
            metrics,
        )
    }

    /// Lists all that is due; gives the log files found, with their directories below `dir`.
    fn found(tree: &mut Tree, dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(id) = tree.next_dirty() {
            let Some(listing) = tree.list(id, 0) else { continue };
            let below = listing.path.strip_prefix(dir).expect("below").display().to_string();
            for named in listing.logs.values().flatten() {
                found.push(format!("{below}/{}", named.name.to_string_lossy()));
            }
        }
        found
    }

    #[test]
    fn finds_logs_and_then_only_what_changes() {
        let temp = tempfile::tempdir().expect("temp dir");
        let run = temp.path().join(RUN);
        fs::create_dir_all(&run).expect("mkdir");
        fs::write(run.join("stdout"), "").expect("write");
        std::os::unix::fs::symlink(&run, run.with_file_name("latest")).expect("symlink");
        let mut tree = tree(temp.path());
        assert_eq!(found(&mut tree, temp.path()), [format!("{RUN}/stdout")]);
        assert_eq!(tree.take_events(), []);
        assert_eq!(tree.next_dirty(), None);

        fs::write(run.join("data"), "not a log").expect("write");
        assert_eq!(tree.take_events(), []);
        assert_eq!(tree.next_dirty(), None);

        fs::create_dir_all(run.join("containers/n1")).expect("mkdir");
        fs::write(run.join("containers/n1/stderr"), "").expect("write");
        assert_eq!(tree.take_events(), []);
        let logs = found(&mut tree, temp.path());
        assert_eq!(logs, [format!("{RUN}/stdout"), format!("{RUN}/containers/n1/stderr")]);
    }

    #[test]
    fn tells_of_writes() {
        let temp = tempfile::tempdir().expect("temp dir");
        let run = temp.path().join(RUN);
        fs::create_dir_all(&run).expect("mkdir");
        let mut file = fs::File::create(run.join("stdout")).expect("create");
        let mut tree = tree(temp.path());
        found(&mut tree, temp.path());
        io::Write::write_all(&mut file, b"x").expect("write");
        drop(file);
        let changes = tree.take_events();
        let closed: Vec<bool> = changes
            .iter()
            .map(|change| match change {
                Change::Written { name, closed, .. } if name == "stdout" => *closed,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(closed, [false, true]);
        assert_eq!(tree.next_dirty(), None);
    }

    #[test]
    fn a_directory_that_goes_leaves_its_streams_behind() {
        let temp = tempfile::tempdir().expect("temp dir");
        let run = temp.path().join(RUN);
        fs::create_dir_all(&run).expect("mkdir");
        fs::write(run.join("stdout"), "").expect("write");
        let mut tree = tree(temp.path());
        let before = tree.nodes.len();
        while let Some(id) = tree.next_dirty() {
            if tree.list(id, 0).is_some_and(|listing| !listing.logs.is_empty()) {
                tree.set_stream(id, OsStr::new("stdout"), StreamId(5));
            }
        }
        fs::remove_dir_all(temp.path().join("slaves")).expect("remove");
        tree.take_events();
        assert_eq!(found(&mut tree, temp.path()), [] as [&str; 0]);
        assert_eq!(tree.take_orphans(), [StreamId(5)]);
        assert_eq!(tree.nodes.len(), before);
        assert!(tree.watches.len() <= 1);
    }

    #[test]
    fn a_root_that_comes_later_is_found_by_a_rescan() {
        let temp = tempfile::tempdir().expect("temp dir");
        let root = temp.path().join("later");
        let mut tree = tree(&root);
        assert_eq!(found(&mut tree, &root), [] as [&str; 0]);
        fs::create_dir_all(root.join(RUN)).expect("mkdir");
        fs::write(root.join(RUN).join("stderr"), "").expect("write");
        tree.rescan(Rescan::Unwatched);
        assert_eq!(found(&mut tree, &root), [format!("{RUN}/stderr")]);
    }

    #[test]
    fn a_rescan_finds_what_the_kernel_did_not_tell() {
        let temp = tempfile::tempdir().expect("temp dir");
        let run = temp.path().join(RUN);
        fs::create_dir_all(&run).expect("mkdir");
        let mut tree = tree(temp.path());
        tree.watches = Watches::none(tree.metrics.clone());
        found(&mut tree, temp.path());
        fs::write(run.join("stdout"), "").expect("write");
        tree.rescan(Rescan::Unwatched);
        assert_eq!(found(&mut tree, temp.path()), [format!("{RUN}/stdout")]);
    }

    #[test]
    fn what_is_no_regular_file_is_left_out_and_counted_once() {
        let temp = tempfile::tempdir().expect("temp dir");
        let run = temp.path().join(RUN);
        fs::create_dir_all(run.join("stdout.1")).expect("mkdir");
        std::os::unix::fs::symlink("/etc/passwd", run.join("stdout")).expect("symlink");
        rustix::fs::mkfifoat(rustix::fs::CWD, run.join("stderr"), rustix::fs::Mode::RUSR)
            .expect("fifo");
        let mut tree = tree(temp.path());
        for _ in 0..2 {
            assert_eq!(found(&mut tree, temp.path()), [] as [&str; 0]);
            tree.rescan(Rescan::Changed);
        }
        let skipped = |reason: &str| tree.metrics.skipped_files.with_label_values(&[reason]).get();
        assert_eq!((skipped("symlink"), skipped("not_regular")), (1, 1));
    }
}
