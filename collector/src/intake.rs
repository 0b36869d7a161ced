//! Opens the log files that a listing found, and puts them into the chains of their streams.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

use rustix::fs::FileType;
use sawlog_transport::StreamId;

use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::directory;
use crate::discover::{Listing, Logs, Named, NodeId, Tree};
use crate::identity::{InodeKey, facts, identify};
use crate::metrics::Metrics;
use crate::order;
use crate::place::Source;
use crate::stream::Stream;
use crate::tail::TailFile;
use crate::times::StreamTimes;

/// How often a directory is listed again because files were renamed meanwhile, before the files'
/// birth times decide on their order.
const LISTINGS_MAX: usize = 5;

/// The most paths about which was warned and is remembered.
const WARNED_PATHS_MAX: usize = 10_000;

/// All streams, and which of them has which file open.
#[derive(Default)]
pub(crate) struct Streams {
    pub by_id: HashMap<StreamId, Stream>,
    /// A file belongs to one stream only, whatever its other names are.
    pub open: HashMap<InodeKey, StreamId>,
    warned: HashSet<PathBuf>,
}

/// What opening files needs of the loop.
pub(crate) struct Intake<'a> {
    pub tree: &'a mut Tree,
    pub streams: &'a mut Streams,
    pub checkpoints: &'a Checkpoints,
    pub metrics: &'a Metrics,
    pub host: &'a str,
    pub now: Now,
    /// When the collector started: nanoseconds since the epoch.
    pub started: i64,
}

impl Intake<'_> {
    /// Lists a directory and takes in what is new; gives the streams that changed.
    pub(crate) fn directory(&mut self, node: NodeId) -> Vec<StreamId> {
        let Some(listing) = self.tree.list(node) else { return Vec::new() };
        let before = self.tree.logs(node);
        let (logs, opened) = self.open_new(node, &listing);
        let mut opened_of: HashMap<OsString, Vec<TailFile>> = HashMap::new();
        for (log, file) in opened {
            opened_of.entry(log).or_default().push(file);
        }
        let none = Vec::new();
        let mut names: Vec<OsString> = before;
        names.extend(logs.names.keys().chain(opened_of.keys()).cloned());
        names.sort_unstable();
        names.dedup();
        let mut changed = Vec::new();
        for log in &names {
            let named = logs.names.get(log).unwrap_or(&none);
            let opened = opened_of.get_mut(log).map(std::mem::take).unwrap_or_default();
            let source = listing.place.source(self.host, &listing.path, log);
            changed.push(source.id);
            self.tree.set_stream(node, log, source.id);
            self.arrange(node, source, named, opened, logs.agreed);
        }
        changed
    }

    /// Opens what is not known, until two listings agree: files are renamed while we look.
    fn open_new(&mut self, node: NodeId, listing: &Listing) -> (Agreed, Vec<(OsString, TailFile)>) {
        let mut opened = Vec::new();
        let mut names = listing.logs.clone();
        for _ in 0..LISTINGS_MAX {
            let before = opened.len();
            for (log, named) in &names {
                for one in named {
                    self.open_one(node, listing, log, one, &mut opened);
                }
            }
            if opened.len() == before {
                return (Agreed { names, agreed: true }, opened);
            }
            match self.tree.relist(node, listing) {
                Ok(again) if same_files(&again, &names) => {
                    return (Agreed { names: again, agreed: true }, opened);
                }
                Ok(again) => names = again,
                Err(error) => self.warn(&listing.path, &error),
            }
        }
        (Agreed { names, agreed: false }, opened)
    }

    fn open_one(
        &mut self,
        node: NodeId,
        listing: &Listing,
        log: &OsStr,
        named: &Named,
        opened: &mut Vec<(OsString, TailFile)>,
    ) {
        let key = named.facts.key;
        let is_known = self.streams.open.contains_key(&key)
            || opened.iter().any(|(_, file)| file.key() == key)
            || self.tree.memory(node).is_none_or(|memory| memory.knows(&named.facts));
        if is_known {
            return;
        }
        match self.open(listing, &named.name) {
            Ok(Some(file)) if opened.iter().all(|(_, known)| known.key() != file.key()) => {
                if !self.streams.open.contains_key(&file.key()) {
                    opened.push((log.to_owned(), file));
                }
            }
            Ok(_) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                self.warn(&listing.path.join(&named.name), &error);
                self.tree.distrust(node);
            }
        }
    }

    /// Opens a file where its checkpoint stands; `None` if it is no regular file any more.
    fn open(&mut self, listing: &Listing, name: &OsStr) -> io::Result<Option<TailFile>> {
        let file = directory::open_file(&listing.directory, name)?;
        let found = facts(&file)?;
        if found.kind != FileType::RegularFile {
            return Ok(None);
        }
        let identity = identify(&file, &found);
        let mut file = TailFile::new(file, found, identity, self.now);
        file.young = found.key.birth_time > self.started;
        if let Some(progress) = self.checkpoints.get(&identity)
            && file.resume(progress)?
        {
            self.metrics.truncations.inc();
            let path = listing.path.join(name);
            tracing::info!("'{}' was truncated while nobody looked", path.display());
        }
        Ok(Some(file))
    }

    fn warn(&mut self, path: &std::path::Path, error: &io::Error) {
        self.metrics.scan_errors.inc();
        if self.streams.warned.len() < WARNED_PATHS_MAX
            && self.streams.warned.insert(path.to_owned())
        {
            self.metrics.skipped_files.with_label_values(&["unreadable"]).inc();
            tracing::warn!("cannot read '{}', it is not collected: {error}", path.display());
        }
    }

    /// Gives a stream its new files, and all of its files their present names.
    fn arrange(
        &mut self,
        node: NodeId,
        source: Source,
        named: &[Named],
        opened: Vec<TailFile>,
        agreed: bool,
    ) {
        let id = source.id;
        let stream = match self.streams.by_id.entry(id) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(_) if opened.is_empty() => return,
            std::collections::hash_map::Entry::Vacant(free) => {
                let clock = self.checkpoints.clock(id);
                let times = StreamTimes::restore(clock.last_time, clock.zone);
                free.insert(Stream::new(source, node, times))
            }
        };
        stream.node = node;
        let listing: Vec<InodeKey> = named.iter().map(|named| named.facts.key).collect();
        let rank = |file: &TailFile| listing.iter().position(|key| *key == file.key());
        let mut opened = opened;
        // Those whose name is gone again are older than those that have one.
        opened.sort_by_key(|file| rank(file).map_or(0, |rank| rank + 1));
        for file in opened {
            self.streams.open.insert(file.key(), id);
            let known: Vec<InodeKey> = stream.files.iter().map(TailFile::key).collect();
            let at = order::place(&known, file.key(), agreed.then_some(&listing[..]));
            stream.files.insert(at, file);
        }
        for file in &mut stream.files {
            let name = named.iter().rev().find(|named| named.facts.key == file.key());
            file.name = name.map(|named| (named.name.clone(), named.age));
        }
    }
}

/// The names that were found, and whether two listings agreed on them.
struct Agreed {
    names: Logs,
    agreed: bool,
}

/// Whether two listings have the same files under the same names, whatever was written meanwhile.
fn same_files(a: &Logs, b: &Logs) -> bool {
    let names = |logs: &Logs| -> Vec<(OsString, InodeKey)> {
        logs.values().flatten().map(|named| (named.name.clone(), named.facts.key)).collect()
    };
    names(a) == names(b)
}

/// What happens to a name between listing and opening is no error.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP)
}
