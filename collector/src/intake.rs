//! Opens the log files that a listing found, and puts them into the chains of their streams.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::FileType;
use sawlog_transport::run::Piece;
use sawlog_transport::{FileIdentity, StreamId};

use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::config::Config;
use crate::directory;
use crate::discover::{Listing, Logs, Memory, Named, NodeId, Settled, Skipped, Tree, Waiting};
use crate::file_system::Answer;
use crate::foreign_link::is_foreign_link;
use crate::group::Groups;
use crate::identity::{Facts, InodeKey, facts, identities};
use crate::mesos_logger;
use crate::metrics::Metrics;
use crate::open_files::OpenFiles;
use crate::order;
use crate::place::Source;
use crate::rotation;
use crate::stream::{Stream, is_busy};
use crate::stream_text::StreamText;
use crate::tail::{Ended, TailFile};
use crate::times::StreamTimes;
use crate::unfinished::{LeftUnfinished, UnfinishedLines};
use crate::vanished;
use crate::why::Decision;

/// How often a directory is listed again at once because files were renamed meanwhile.
const LISTINGS_MAX: usize = 5;

/// The most open files of one stream: a task that makes more must not use up what others need.
pub(crate) const STREAM_FILES_MAX: usize = 1000;

/// The most paths about which was warned and is remembered.
const WARNED_PATHS_MAX: usize = 10_000;

/// All streams, and which of them has which file open.
#[derive(Default)]
pub(crate) struct Streams {
    pub by_id: HashMap<StreamId, Stream>,
    /// A file belongs to one stream only, whatever its other names are.
    pub open: OpenFiles,
    /// Streams that may have files without a name, of which no directory tells.
    pub unnamed: HashSet<StreamId>,
    /// Lines without an end of streams that have no file open.
    pub unfinished: LeftUnfinished,
    pending: HashMap<NodeId, Pending>,
    warned: HashSet<PathBuf>,
    warned_of_too_many: bool,
}

/// What opening files needs of the loop.
pub(crate) struct Intake<'a> {
    pub tree: &'a mut Tree,
    pub streams: &'a mut Streams,
    pub checkpoints: &'a mut Checkpoints,
    pub metrics: &'a Metrics,
    pub config: &'a Config,
    pub now: Now,
    /// When the collector started: nanoseconds since the epoch.
    pub started: i64,
    /// Compressed files that hold nothing new.
    pub finished: Vec<(Facts, FileIdentity)>,
    /// Files that were listed and gone before they were opened.
    pub vanished: Vec<(Source, Facts)>,
    /// What of these is lost, and whether the file has a time of birth.
    pub lost: Vec<(Source, Piece, bool)>,
}

/// Files that were opened while their directory changed too fast to tell their order. They are open,
/// so nothing of them is lost; they are not read before a listing is sound.
struct Pending {
    since: Duration,
    files: Vec<(Source, TailFile)>,
}

impl Intake<'_> {
    /// Lists a directory and takes in what is new; gives the streams that changed.
    pub(crate) fn directory(&mut self, node: NodeId) -> Vec<StreamId> {
        let Some(listing) = self.tree.list(node, self.now.wall) else {
            return self.accept_pending(node);
        };
        let gone = self.tree.take_gone(node).into_iter();
        self.vanished.extend(gone.map(|file| (file.source, file.facts)));
        let before = self.tree.logs(node);
        let pending = self.streams.pending.remove(&node);
        let since = pending.as_ref().map_or(self.now.monotonic, |pending| pending.since);
        let mut opened = pending.map(|pending| pending.files).unwrap_or_default();
        let (logs, agreed) = self.open_new(node, &listing, &mut opened);
        self.lose_vanished(&listing, &logs, &opened);
        if !agreed && self.now.monotonic < since + self.config.relist_for {
            self.streams.pending.insert(node, Pending { since, files: opened });
            self.tree.mark(node);
            return Vec::new();
        }
        let mut names: Vec<&OsString> = before.iter().chain(logs.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let none = Vec::new();
        let mut changed = self.accept(node, opened, &logs, agreed);
        let closed = self.tree.take_closes(node);
        for log in names {
            let source = listing.place.source(&self.config.host, &listing.path, log);
            self.tree.set_stream(node, log, source.id);
            if let Some(stream) = self.streams.by_id.get_mut(&source.id)
                && self.tree.sandbox(node).is_some()
            {
                mesos_logger::look_beside(stream, &listing.directory, log);
            }
            if self.name(&source, logs.get(log).unwrap_or(&none), &closed) {
                changed.push(source.id);
            }
        }
        changed.extend(logs.values().flatten().filter_map(|named| self.grown(&named.facts)));
        changed
    }

    /// The stream that has a file open which is not as it was looked at last. It may have been
    /// written under a name of which the events tell us nothing.
    fn grown(&self, found: &Facts) -> Option<StreamId> {
        let id = self.streams.open.get(&found.key)?;
        let files = &self.streams.by_id.get(id)?.files;
        let file = files.iter().find(|file| file.key() == found.key)?;
        (file.on_disk() != (found.size, found.modified)).then_some(*id)
    }

    /// What was seen of files that have no name any more, unless another name led to them.
    fn lose_vanished(&mut self, listing: &Listing, logs: &Logs, opened: &[(Source, TailFile)]) {
        let mut counted = HashSet::new();
        for (source, facts) in std::mem::take(&mut self.vanished) {
            let has_name = logs.values().flatten().any(|named| named.facts.key == facts.key);
            let is_open = self.streams.open.contains_key(&facts.key)
                || opened.iter().any(|(_, file)| file.key() == facts.key);
            if has_name || is_open || !counted.insert(facts.key) {
                continue;
            }
            let file_system = self.file_system(&listing.directory, facts.key.device);
            self.lose(Waiting { source, facts, file_system });
        }
    }

    /// What was seen of files that waited in directories that are gone, unless they are open by another
    /// name.
    pub(crate) fn lose_gone_with_directories(&mut self) {
        let mut counted = HashSet::new();
        for file in self.tree.take_gone_with_directories() {
            let key = file.facts.key;
            if !self.streams.open.contains_key(&key) && counted.insert(key) {
                self.lose(file);
            }
        }
    }

    fn lose(&mut self, Waiting { source, facts, file_system }: Waiting) {
        let InodeKey { inode, birth_time, .. } = facts.key;
        let names: Vec<_> = file_system.names().collect();
        let known = |name: &[u8; 16]| self.checkpoints.of_inode(*name, inode, birth_time);
        let known = names.iter().find_map(known);
        if let Some(piece) = vanished::lost(names[0], &facts, known) {
            self.lost.push((source, piece, birth_time != 0));
        }
    }

    /// A file cannot be opened for now.
    fn waits(&mut self, node: NodeId, listing: &Listing, source: &Source, named: &Named) {
        let (source, facts) = (source.clone(), named.facts);
        let file_system = self.file_system(&listing.directory, facts.key.device);
        self.tree.waits(node, Waiting { source, facts, file_system });
    }

    /// Takes in what waited for a sound listing of a directory that is gone.
    pub(crate) fn accept_pending_of_gone(&mut self) -> Vec<StreamId> {
        let tree = &self.tree;
        let gone: Vec<NodeId> =
            self.streams.pending.keys().copied().filter(|node| !tree.has(*node)).collect();
        gone.into_iter().flat_map(|node| self.accept_pending(node)).collect()
    }

    fn accept_pending(&mut self, node: NodeId) -> Vec<StreamId> {
        let Some(pending) = self.streams.pending.remove(&node) else { return Vec::new() };
        self.accept(node, pending.files, &Logs::new(), false)
    }

    /// Opens what is not known, until two listings agree (`true`): files are renamed while we look.
    fn open_new(
        &mut self,
        node: NodeId,
        listing: &Listing,
        opened: &mut Vec<(Source, TailFile)>,
    ) -> (Logs, bool) {
        let mut logs = listing.logs.clone();
        for _ in 0..LISTINGS_MAX {
            for (log, named) in &logs {
                self.reopen_originals(node, named);
                let source = listing.place.source(&self.config.host, &listing.path, log);
                for one in named {
                    self.open_one(node, listing, &source, one, opened);
                }
            }
            // What could not be opened may have another name by now, or none.
            if opened.is_empty() && self.vanished.is_empty() {
                return (logs, true);
            }
            match Tree::relist(listing) {
                Ok(again) if same_files(&again, &logs) => return (again, true),
                Ok(again) => logs = again,
                Err(error) => self.warn(&listing.path, &error),
            }
        }
        (logs, false)
    }

    /// A new file that may be a copy of a finished one can only be judged beside it.
    fn reopen_originals(&mut self, node: NodeId, named: &[Named]) {
        let open = &self.streams.open;
        let Some(memory) = self.tree.memory(node) else { return };
        for new in named.iter().filter(|new| !open.contains_key(&new.facts.key)) {
            if memory.knows(&new.facts) {
                continue;
            }
            for other in named.iter().filter(|other| other.age < new.age) {
                if order::is_born_after(&new.facts.key, &other.facts.key) {
                    memory.settled.remove(&other.facts.key);
                }
            }
        }
    }

    fn open_one(
        &mut self,
        node: NodeId,
        listing: &Listing,
        source: &Source,
        named: &Named,
        opened: &mut Vec<(Source, TailFile)>,
    ) {
        let key = named.facts.key;
        let is_known = self.streams.open.contains_key(&key)
            || opened.iter().any(|(_, file)| file.key() == key)
            || self.tree.memory(node).is_none_or(|memory| memory.knows(&named.facts));
        if is_known {
            return;
        }
        if !self.may_open(node, opened.len()) {
            self.waits(node, listing, source, named);
            return;
        }
        let of_stream = opened.iter().filter(|(of, _)| of.id == source.id).count()
            + self.streams.by_id.get(&source.id).map_or(0, |stream| stream.files.len());
        if of_stream >= STREAM_FILES_MAX {
            self.warn_of_full_stream(node, listing);
            self.waits(node, listing, source, named);
            return;
        }
        let settled = self.tree.memory(node).and_then(|memory| memory.settled.get(&key)).copied();
        self.tree.waits_no_more(node, &key);
        match self.open(node, listing, &named.name) {
            Ok(Some(file)) if opened.iter().all(|(_, known)| known.key() != file.key()) => {
                if file.key() != key {
                    // Another one has its name by now: it has another, or none.
                    self.vanished.push((source.clone(), named.facts));
                }
                if !self.streams.open.contains_key(&file.key()) {
                    let mut file = file;
                    if let Some(settled) = settled {
                        file.grew_since(settled.size);
                    }
                    opened.push((source.clone(), file));
                }
            }
            Ok(_) => {
                if let Some(memory) = self.tree.memory(node) {
                    for (Facts { key, size, modified, .. }, identity) in self.finished.drain(..) {
                        let is_parked = false;
                        memory.settled.insert(key, Settled { identity, size, modified, is_parked });
                    }
                }
            }
            Err(error) if is_gone(&error) => self.vanished.push((source.clone(), named.facts)),
            Err(error) if directory::is_shortage(&error) => {
                self.tree.out_of_descriptors(node);
                self.waits(node, listing, source, named);
            }
            Err(error) => {
                self.warn(&listing.path.join(&named.name), &error);
                self.tree.distrust(node);
            }
        }
    }

    /// Whether one more file may be open, besides those that are being opened; else it waits.
    fn may_open(&mut self, node: NodeId, opening: usize) -> bool {
        let (open, most) = (&self.streams.open, self.config.open_files_max);
        if open.len() + opening >= most {
            self.too_many(node);
            return false;
        }
        let has_share = open.has_share(self.tree.sandbox(node), opening, most);
        if !has_share || !self.tree.may_remember(node) {
            self.tree.crowd(node);
            return false;
        }
        true
    }

    /// The file waits: it is tried again at each rescan.
    fn too_many(&mut self, node: NodeId) {
        self.metrics.scan_errors.inc();
        if !std::mem::replace(&mut self.streams.warned_of_too_many, true) {
            let limit = self.config.open_files_max;
            tracing::warn!(
                limit,
                "too many log files are in use, some wait until others are finished (raise open_files_max and the process' limit of open files)"
            );
        }
        self.tree.starve(node);
    }

    /// The newest files of the log wait: they are tried again at each rescan.
    fn warn_of_full_stream(&mut self, node: NodeId, listing: &Listing) {
        if self.streams.warned.len() < WARNED_PATHS_MAX
            && self.streams.warned.insert(listing.path.clone())
        {
            let (path, limit) = (listing.path.display(), STREAM_FILES_MAX);
            tracing::warn!(
                limit,
                "too many rotated files in '{path}', the newest wait until older ones are finished"
            );
        }
        self.tree.distrust(node);
    }

    /// Opens a file where its checkpoint stands; `None` if it is no regular file any more.
    fn open(
        &mut self,
        node: NodeId,
        listing: &Listing,
        name: &OsStr,
    ) -> io::Result<Option<TailFile>> {
        let file = directory::open_file(&listing.directory, name)?;
        let found = facts(&file)?;
        if found.kind != FileType::RegularFile {
            return Ok(None);
        }
        let identity = self.identify(&file, &found);
        // What was read before was found to be its task's.
        let is_a_tasks = self.tree.sandbox(node).is_some();
        let is_settled = |memory: &mut Memory| memory.settled.contains_key(&found.key);
        let is_new = self.checkpoints.get(&identity).is_none()
            && !self.tree.memory(node).is_some_and(is_settled);
        if is_a_tasks && is_new && is_foreign_link(&found, &facts(&listing.directory)?) {
            self.tree.skip(node, name, found.key, Skipped::HardLink);
            return Ok(None);
        }
        let mut file = TailFile::new(file, found, identity, self.now);
        #[cfg(test)]
        file.pretend_no_leases(self.config.pretended.no_leases);
        file.young = found.key.birth_time > self.started;
        let known = self.checkpoints.get(&identity).copied();
        let opened = known.as_ref().map_or(Decision::Opened, |at| Decision::Resumed(at.offset));
        if is_compressed(name) {
            if self.checkpoints.is_finished_since(&identity, found.modified) {
                self.finished.push((found, identity));
                return Ok(None);
            }
            file.set_compressed();
        }
        self.note_predecessor(&identity);
        if file.resume(known.as_ref(), &self.checkpoints.history, self.now.monotonic)? {
            self.metrics.truncations.inc();
            file.decisions.note(self.now.wall, Decision::Truncated(file.truncations));
            let before = file.ended.last().map(Ended::known).unwrap_or_default();
            let history = &mut self.checkpoints.history;
            history.note_truncation(&file.own_generation(), before, self.now.wall);
            let path = listing.path.join(name);
            tracing::info!("'{}' was truncated while nobody looked", path.display());
        } else {
            file.decisions.note(self.now.wall, opened);
        }
        Ok(Some(file))
    }

    fn file_system(&self, file: impl AsFd, device: u64) -> Answer {
        let answer = Answer::of(file, device);
        #[cfg(test)]
        let answer = (self.config.pretended.file_system)(answer);
        answer
    }

    /// The identity by which a file is known; else the best there is.
    fn identify(&self, file: &File, found: &Facts) -> FileIdentity {
        let mut all = identities(file, found, &self.file_system(file, found.key.device));
        let best = all.next().expect("a device has a number");
        let is_known = |identity: &FileIdentity| self.checkpoints.get(identity).is_some();
        if is_known(&best) { best } else { all.find(is_known).unwrap_or(best) }
    }

    /// Counts an inode number that has another file behind it than when it was read last.
    fn note_predecessor(&self, identity: &FileIdentity) {
        if self.checkpoints.get(identity).is_some() {
            return;
        }
        if let Some(known) = self.checkpoints.predecessor(identity) {
            let by_generation = known.inode_generation != identity.inode_generation;
            let reason = if by_generation { "generation" } else { "birth" };
            self.metrics.identity_changed.with_label_values(&[reason]).inc();
        }
    }

    fn warn(&mut self, path: &std::path::Path, error: &io::Error) {
        self.metrics.scan_errors.inc();
        if self.streams.warned.len() < WARNED_PATHS_MAX
            && self.streams.warned.insert(path.to_owned())
        {
            self.metrics.skipped_files.with_label_values(&["unreadable"]).inc();
            let way_out = directory::way_out(error);
            tracing::warn!(
                "cannot read '{}', it is not collected: {error}{way_out}",
                path.display()
            );
        }
    }

    /// Gives streams their new files; gives the streams.
    fn accept(
        &mut self,
        node: NodeId,
        mut opened: Vec<(Source, TailFile)>,
        logs: &Logs,
        agreed: bool,
    ) -> Vec<StreamId> {
        let listing: Vec<InodeKey> = logs.values().flatten().map(|named| named.facts.key).collect();
        let rank = |file: &TailFile| listing.iter().position(|key| *key == file.key());
        // Those whose name is gone again are older than those that have one.
        opened.sort_by_key(|(_, file)| rank(file).map_or(0, |rank| rank + 1));
        let mut changed = Vec::new();
        for (source, mut file) in opened {
            let id = source.id;
            let sandbox = self.tree.sandbox(node);
            if !self.streams.open.insert(file.key(), id, sandbox) {
                // Overlapping globs: another directory's listing was faster.
                continue;
            }
            if !file.ended.is_empty() {
                self.tree.look_for_copies(node);
            }
            let stream = self.stream(node, source);
            for ended in &mut file.ended {
                // Finished files are not open: one more listing opens them.
                ended.listings = stream.listings + 1;
            }
            let known: Vec<InodeKey> = stream.files.iter().map(TailFile::key).collect();
            let at = order::place(&known, file.key(), &listing, agreed);
            stream.files.insert(at, file);
            self.streams.unnamed.insert(id);
            changed.push(id);
        }
        changed
    }

    fn stream(&mut self, node: NodeId, source: Source) -> &mut Stream {
        let (checkpoints, config) = (&*self.checkpoints, self.config);
        let Streams { by_id, unfinished, .. } = &mut *self.streams;
        by_id.entry(source.id).or_insert_with(|| {
            let clock = checkpoints.clock(source.id);
            let times = StreamTimes::restore(clock.last_time, clock.zone);
            let groups = Groups::restore(clock.groups, clock.last_time.is_some());
            let told = || UnfinishedLines::restore(clock.unfinished);
            let unfinished = unfinished.take(source.id).unwrap_or_else(told);
            let text = StreamText::new(&source, config, groups, unfinished);
            Stream::new(source, node, times, clock.pem, text)
        })
    }

    /// Gives a stream the labels, and its files the names, that they have now, and tells them which of
    /// these names are of files that a writer has closed; tells whether that may bring it on. In a directory
    /// of many quiet files, one that comes or goes is no news to the others.
    fn name(&mut self, source: &Source, named: &[Named], closed: &HashSet<OsString>) -> bool {
        let Some(stream) = self.streams.by_id.get_mut(&source.id) else { return false };
        stream.source.labels = source.labels.clone();
        stream.listings += 1;
        let mut is_news = stream.head.is_some();
        for file in &mut stream.files {
            let name = named.iter().rev().find(|named| named.facts.key == file.key());
            let name = name.map(|named| (named.name.clone(), named.age));
            if name != file.name {
                // Its writer may have closed it under a name that was not known yet.
                file.doubt_writers();
                is_news = true;
            }
            if name.as_ref().is_some_and(|(name, _)| closed.contains(name)) {
                file.closed_by_a_writer();
            }
            is_news |= is_busy(file);
            file.name = name;
        }
        if stream.files.iter().any(|file| file.name.is_none()) {
            self.streams.unnamed.insert(source.id);
        }
        is_news
    }
}

/// Whether two listings have the same files under the same names, whatever was written meanwhile.
fn same_files(a: &Logs, b: &Logs) -> bool {
    let names = |logs: &Logs| -> Vec<(OsString, InodeKey)> {
        logs.values().flatten().map(|named| (named.name.clone(), named.facts.key)).collect()
    };
    names(a) == names(b)
}

fn is_compressed(name: &OsStr) -> bool {
    rotation::split(name).1 > 0 && name.as_encoded_bytes().ends_with(b".gz")
}

/// What happens to a name between listing and opening is no error.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP)
}
