//! The directories that may hold logs: a tree kept up to date by inotify, and checked by listing.
//!
//! Events only say where to look. What is there is always read from the directory itself, so that
//! a lost event costs time and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::fs::FileType;
use sawlog_transport::{FileIdentity, StreamId};

use crate::directory;
use crate::identity::{Facts, InodeKey, facts, facts_at, facts_of_path};
use crate::metrics::Metrics;
use crate::place::Place;
use crate::rotation::Age;

pub(crate) type NodeId = u64;

/// Bytes of events taken from the kernel at once.
const EVENT_BUFFER_BYTES: usize = 64 * 1024;
/// How often that is done before the loop goes on with other work.
const EVENT_ROUNDS_MAX: usize = 16;
/// Among how many of the last changes a repetition is looked for.
const REPETITIONS_AMONG: usize = 8;

/// A log file's name, and the file behind it when it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: OsString,
    pub age: Age,
    pub facts: Facts,
}

/// A directory's log files, by log.
pub(crate) type Logs = BTreeMap<OsString, Vec<Named>>;

/// What a listing found.
pub(crate) struct Listing {
    pub directory: OwnedFd,
    pub path: PathBuf,
    pub place: Place,
    pub logs: Logs,
}

/// The names of interest in a directory.
#[derive(Default)]
struct Names {
    logs: Logs,
    children: Vec<OsString>,
    /// What is behind the names that could be logs, also those that are left out.
    present: HashSet<InodeKey>,
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
    /// Those of which the kernel does not tell.
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
    /// The directory's modification time at the last listing, and whether a rescan listed it again
    /// at that time: two changes can share one tick of the clock.
    listed: Option<(i64, bool)>,
    /// The next listing is a rescan's.
    rescanned: bool,
    warned: bool,
    dirty: bool,
}

/// What is known of files that are not open.
#[derive(Default)]
pub(crate) struct Memory {
    /// Read to their end, acknowledged, and without a writer.
    pub settled: HashMap<InodeKey, Settled>,
    /// Left out.
    pub skipped: HashSet<InodeKey>,
}

/// A file that was closed because it is finished, as it was then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub identity: FileIdentity,
    pub size: u64,
    pub modified: i64,
}

impl Memory {
    /// Whether a file need not be opened.
    pub(crate) fn knows(&self, found: &Facts) -> bool {
        self.skipped.contains(&found.key)
            || self.settled.get(&found.key).is_some_and(|settled| {
                (settled.size, settled.modified) == (found.size, found.modified)
            })
    }

    fn keep_only(&mut self, present: &HashSet<InodeKey>) {
        self.settled.retain(|key, _| present.contains(key));
        self.skipped.retain(|key| present.contains(key));
    }
}

/// All directories on the way to logs.
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    inotify: Option<Inotify>,
    /// Overlapping globs give one directory more than one node.
    watched: HashMap<WatchDescriptor, Vec<NodeId>>,
    dirty: VecDeque<NodeId>,
    /// Streams whose directory is gone.
    orphans: Vec<StreamId>,
    buffer: Vec<u8>,
    /// Whether the end of the watches was told.
    warned_of_watches: bool,
    metrics: Metrics,
}

impl Tree {
    /// A tree with these roots, all to be listed.
    pub(crate) fn new(roots: Vec<(PathBuf, Place)>, metrics: Metrics) -> Self {
        let inotify = Inotify::init().inspect_err(|error| {
            tracing::warn!(
                "inotify is not available, new files are found by listing only: {error}"
            );
        });
        let mut this = Self {
            nodes: HashMap::new(),
            next: 0,
            inotify: inotify.ok(),
            watched: HashMap::new(),
            dirty: VecDeque::new(),
            orphans: Vec::new(),
            buffer: vec![0; EVENT_BUFFER_BYTES],
            warned_of_watches: false,
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
            rescanned: false,
            warned: false,
            dirty: false,
        };
        self.nodes.insert(id, node);
        self.mark(id);
        id
    }

    /// Says that a directory is to be listed.
    pub(crate) fn mark(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.dirty) {
            node.dirty = true;
            self.dirty.push_back(id);
        }
    }

    /// Says that a directory is to be listed at the next rescan, even if it stays the same.
    pub(crate) fn distrust(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.listed = None;
        }
    }

    /// The next directory to be listed.
    pub(crate) fn next_dirty(&mut self) -> Option<NodeId> {
        while let Some(id) = self.dirty.pop_front() {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.dirty = false;
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
        !self.dirty.is_empty()
    }

    /// Streams that lost their directory since the last call.
    pub(crate) fn take_orphans(&mut self) -> Vec<StreamId> {
        std::mem::take(&mut self.orphans)
    }

    /// Whether the kernel tells when something changes in a directory.
    pub(crate) fn is_watched(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.watch.is_some())
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

    /// Marks the directories that are due.
    pub(crate) fn rescan(&mut self, which: Rescan) {
        let mut due = Vec::new();
        for (id, node) in &mut self.nodes {
            let is_due = match which {
                Rescan::Unwatched => node.watch.is_none(),
                Rescan::Changed => node.watch.is_none() || node.is_changed(),
                Rescan::EventsLost => {
                    node.watch.is_none() || !node.memory.settled.is_empty() || node.is_changed()
                }
            };
            if is_due {
                node.rescanned = true;
                due.push(*id);
            }
        }
        // Parents first: their numbers are smaller.
        due.sort_unstable();
        for id in due {
            self.mark(id);
        }
    }

    /// Lists a directory, watches it, and adds and removes what is below it. `None` if it cannot be
    /// listed; a directory that is gone is forgotten.
    pub(crate) fn list(&mut self, id: NodeId) -> Option<Listing> {
        match self.try_list(id) {
            Ok(listing) => listing,
            Err(error) => {
                self.failed(id, &error);
                None
            }
        }
    }

    fn try_list(&mut self, id: NodeId) -> io::Result<Option<Listing>> {
        let directory = self.open(id)?;
        let found = facts(&directory)?;
        self.watch(id, &directory, &found);
        let Some(node) = self.nodes.get(&id) else { return Ok(None) };
        let (path, place) = (node.path.clone(), node.place.clone());
        let Names { logs, children, present } = self.names(id, &directory, &place)?;
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(None) };
        node.memory.keep_only(&present);
        let again = node.listed.is_some_and(|(modified, _)| modified == found.modified);
        node.listed = Some((found.modified, again && node.rescanned));
        node.rescanned = false;
        node.warned = false;
        self.set_children(id, &path, &place, children);
        Ok(Some(Listing { directory, path, place, logs }))
    }

    /// The log files in a directory now.
    pub(crate) fn relist(&mut self, id: NodeId, listing: &Listing) -> io::Result<Logs> {
        Ok(self.names(id, &listing.directory, &listing.place)?.logs)
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
        let Some(added) = self.add_watch(directory, &path) else { return };
        match added {
            Ok(watch) => {
                self.watched.entry(watch.clone()).or_default().push(id);
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.watch = Some(watch);
                }
            }
            Err(error) if !self.warned_of_watches => {
                self.warned_of_watches = true;
                tracing::warn!(
                    "cannot watch '{}', directories without a watch are listed instead (raise fs.inotify.max_user_watches): {error}",
                    path.display()
                );
            }
            Err(_) => {}
        }
    }

    fn add_watch(
        &mut self,
        directory: &OwnedFd,
        path: &Path,
    ) -> Option<io::Result<WatchDescriptor>> {
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::DELETE
            | WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut watches = self.inotify.as_ref()?.watches();
        // The descriptor's own name leads to the directory that was opened, whatever its path is now.
        let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let added = match watches.add(opened, mask) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                watches.add(path, mask | WatchMask::DONT_FOLLOW)
            }
            other => other,
        };
        Some(added)
    }

    fn unwatch(&mut self, id: NodeId) {
        let Some(watch) = self.nodes.get_mut(&id).and_then(|node| node.watch.take()) else {
            return;
        };
        let Some(nodes) = self.watched.get_mut(&watch) else { return };
        nodes.retain(|other| *other != id);
        if nodes.is_empty() {
            self.watched.remove(&watch);
            if let Some(inotify) = &self.inotify {
                // The watch of a deleted directory is already gone.
                drop(inotify.watches().remove(watch));
            }
        }
    }

    fn mark_all(&mut self, ids: Vec<NodeId>) {
        for id in ids {
            self.mark(id);
        }
    }

    /// Log files and directories that lead to some.
    fn names(&mut self, id: NodeId, directory: &OwnedFd, place: &Place) -> io::Result<Names> {
        let wanted = |name: &OsStr| place.log(name).is_some() || place.child(name).is_some();
        let Names { mut logs, mut children, mut present } = Names::default();
        for entry in directory::list(directory, wanted)? {
            if entry.kind == FileType::Directory {
                children.push(entry.name);
                continue;
            }
            let Some((log, age)) = place.log(&entry.name) else {
                // Where the file system does not tell kinds, a directory may look like this.
                if entry.kind == FileType::Unknown {
                    children.push(entry.name);
                }
                continue;
            };
            // Gone meanwhile: the next listing will not have it.
            let Ok(found) = facts_at(directory, &entry.name) else { continue };
            present.insert(found.key);
            match found.kind {
                FileType::RegularFile => {
                    let log = log.to_owned();
                    let named = Named { name: entry.name, age, facts: found };
                    logs.entry(log).or_default().push(named);
                }
                FileType::Directory => children.push(entry.name),
                kind => self.skip(id, &entry.name, found.key, kind),
            }
        }
        for names in logs.values_mut() {
            names.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.name.cmp(&b.name)));
        }
        Ok(Names { logs, children, present })
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
            self.orphans.extend(node.logs.into_values());
            rest.extend(node.children.into_values());
        }
    }

    fn failed(&mut self, id: NodeId, error: &io::Error) {
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
                "cannot list '{}', its logs are not collected: {error}",
                node.path.display()
            );
        }
    }

    /// The descriptor that becomes readable when something changes.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Takes what the kernel told: marks directories, and gives what concerns log files.
    pub(crate) fn take_events(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..EVENT_ROUNDS_MAX {
            let Some(inotify) = &mut self.inotify else { break };
            let events: Vec<_> = match inotify.read_events(&mut buffer) {
                Ok(events) => events.map(|event| event.to_owned()).collect(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::warn!("cannot read inotify events: {error}");
                    changes.push(Change::Overflow);
                    break;
                }
            };
            for event in events {
                self.event(&event.wd, event.mask, event.name.as_deref(), &mut changes);
            }
        }
        self.buffer = buffer;
        changes
    }

    fn event(
        &mut self,
        watch: &WatchDescriptor,
        mask: EventMask,
        name: Option<&OsStr>,
        changes: &mut Vec<Change>,
    ) {
        if mask.contains(EventMask::Q_OVERFLOW) {
            changes.push(Change::Overflow);
            return;
        }
        for id in self.watched.get(watch).cloned().unwrap_or_default() {
            match name {
                Some(name) => self.event_in(id, mask, name, changes),
                None => self.event_of(id, mask),
            }
        }
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
        if mask.contains(EventMask::IGNORED)
            && let Some(watch) = node.watch.take()
        {
            self.watched.remove(&watch);
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
        Tree::new(vec![(dir.to_owned(), Place::Mesos(sandbox::Place::work_dir()))], metrics)
    }

    /// Lists all that is due; gives the log files found, with their directories below `dir`.
    fn found(tree: &mut Tree, dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(id) = tree.next_dirty() {
            let Some(listing) = tree.list(id) else { continue };
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
            if tree.list(id).is_some_and(|listing| !listing.logs.is_empty()) {
                tree.set_stream(id, OsStr::new("stdout"), StreamId(5));
            }
        }
        fs::remove_dir_all(temp.path().join("slaves")).expect("remove");
        tree.take_events();
        assert_eq!(found(&mut tree, temp.path()), [] as [&str; 0]);
        assert_eq!(tree.take_orphans(), [StreamId(5)]);
        assert_eq!(tree.nodes.len(), before);
        assert!(tree.watched.len() <= 1);
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
        tree.inotify = None;
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
