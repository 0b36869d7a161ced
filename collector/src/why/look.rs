//! Finds the files that somebody asks about, and those beside them that are left out.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sawlog_transport::StreamId;
use serde::Serialize;

use super::file::{path_of, shown};
use super::wanted::Wanted;
use super::{FileState, State, View};
use crate::discover::{Known, Named};
use crate::identity::InodeKey;

/// The most files of one answer.
const FILES_MAX: usize = 1000;
/// The most directories that are listed for one answer.
const DIRECTORIES_MAX: usize = 64;

/// The answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explained {
    pub files: Vec<FileState>,
    /// Whether there are more than are told.
    pub more: bool,
    /// What else is to be said, in sentences: above all why nothing was found.
    pub notes: Vec<String>,
}

impl Explained {
    /// What is answered over HTTP.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON")
    }
}

/// The answer while it grows.
#[derive(Default)]
struct Found {
    /// By path and inode.
    files: BTreeMap<(PathBuf, u64), FileState>,
    told: HashSet<InodeKey>,
    streams: HashSet<StreamId>,
    directories: usize,
    more: bool,
    notes: Vec<String>,
}

impl Found {
    fn add(&mut self, path: PathBuf, key: InodeKey, state: FileState) {
        if self.files.len() >= FILES_MAX {
            self.more = true;
        } else if self.told.insert(key) {
            self.files.insert((path, key.inode), state);
        }
    }
}

impl View<'_> {
    /// The state of each file that the query names.
    pub(crate) fn why(&self, query: &str) -> Explained {
        let wanted = Wanted::new(query);
        let mut found = Found::default();
        for known in self.tree.directories() {
            self.directory(&wanted, known, &mut found);
        }
        self.orphans(&wanted, &mut found);
        self.gone(&wanted, &mut found);
        if found.files.is_empty() {
            found.notes.extend(self.nothing_found(&wanted));
        }
        let Found { files, more, notes, .. } = found;
        Explained { files: files.into_values().collect(), more, notes }
    }

    /// Files in a directory of the tree.
    fn directory(&self, wanted: &Wanted, known: Known<'_>, found: &mut Found) {
        let is_around = wanted.is_around(known.path);
        let mut named = HashSet::new();
        for (log, id) in known.logs {
            found.streams.insert(*id);
            let is_named = match self.streams.by_id.get(id) {
                Some(stream) => wanted.names(*id, &stream.source.labels),
                None => {
                    let source = known.place.source(&self.config.host, known.path, log);
                    wanted.names(*id, &source.labels)
                }
            };
            if is_named {
                named.insert(log.clone());
            }
        }
        // What is left out feeds no stream.
        let has_left_out = !known.memory.skipped.is_empty();
        let is_named = |log: &OsStr| {
            let source = known.place.source(&self.config.host, known.path, log);
            wanted.names(source.id, &source.labels)
        };
        if has_left_out && named.is_empty() && is_named(OsStr::new("stdout")) {
            named.insert("stdout".into());
        }
        if !is_around && named.is_empty() {
            return;
        }
        if found.directories >= DIRECTORIES_MAX {
            found.more = true;
            return;
        }
        found.directories += 1;
        let is_wanted = |name: &OsStr, log: &OsStr| {
            named.contains(log)
                || (!named.is_empty() && is_named(log))
                || (is_around && wanted.is_file(known.path, name, log))
        };
        self.listed(known, found, &is_wanted);
        for (log, id) in known.logs {
            if is_wanted(log, log) {
                self.without_listed_name(*id, found);
            }
        }
    }

    /// What a fresh look into the directory shows.
    fn listed(
        &self,
        known: Known<'_>,
        found: &mut Found,
        is_wanted: &dyn Fn(&OsStr, &OsStr) -> bool,
    ) {
        let names = match self.tree.look(known.id) {
            Ok(names) => names,
            Err(error) => {
                let way_out = crate::directory::way_out(&error);
                let path = known.path.display();
                found.notes.push(format!("'{path}' cannot be listed: {error}{way_out}"));
                return;
            }
        };
        for (log, files) in &names.logs {
            for named in files.iter().filter(|named| is_wanted(&named.name, log)) {
                let path = known.path.join(&named.name);
                let state = self.named(known, named, &path);
                found.add(path, named.facts.key, state);
            }
        }
        for (name, key, kind) in &names.others {
            let log = known.place.log(name).map_or(name.as_os_str(), |(log, _)| log);
            if is_wanted(name, log) {
                let path = known.path.join(name);
                let why = super::uncovered::why_not(*kind).to_owned();
                let state =
                    FileState { path: shown(&path), state: State::Skipped, why, details: None };
                found.add(path, *key, state);
            }
        }
    }

    /// A regular file with the name of a log.
    fn named(&self, known: Known<'_>, named: &Named, path: &Path) -> FileState {
        let key = named.facts.key;
        let stream = self.streams.open.get(&key).and_then(|id| self.streams.by_id.get(id));
        if let Some(stream) = stream
            && let Some(index) = stream.files.iter().position(|file| file.key() == key)
        {
            return self.open_file(stream, index, path);
        }
        if let Some(closed) = self.closed.iter().find(|file| file.facts.key == key)
            && known.memory.knows(&named.facts)
        {
            return self.closed_file(closed, path);
        }
        let (state, why) = self.not_open(known, named);
        FileState { path: shown(path), state, why, details: None }
    }

    /// Open files of a stream that no listing named.
    fn without_listed_name(&self, id: StreamId, found: &mut Found) {
        let Some(stream) = self.streams.by_id.get(&id) else { return };
        for (index, file) in stream.files.iter().enumerate() {
            let path = path_of(self.tree.path(stream.node), file);
            found.add(path.clone(), file.key(), self.open_file(stream, index, &path));
        }
    }

    /// Open files of streams whose directory is gone.
    fn orphans(&self, wanted: &Wanted, found: &mut Found) {
        for (id, stream) in &self.streams.by_id {
            if found.streams.contains(id) {
                continue;
            }
            let is_named = wanted.names(*id, &stream.source.labels);
            let is_there = |path: &Path| path.parent().is_some_and(|of| wanted.is_around(of));
            let directory = self.tree.path(stream.node);
            for (index, file) in stream.files.iter().enumerate() {
                let path = path_of(directory, file);
                if is_named || is_there(&path) {
                    found.add(path.clone(), file.key(), self.open_file(stream, index, &path));
                }
            }
        }
    }

    /// Files that were closed and are gone.
    fn gone(&self, wanted: &Wanted, found: &mut Found) {
        for file in self.closed.iter() {
            let is_there = match (file.path.parent(), file.path.file_name()) {
                (Some(directory), Some(name)) => {
                    wanted.is_around(directory)
                        && wanted.is_file(directory, name, crate::rotation::split(name).0)
                }
                _ => false,
            };
            let is_listed = found.told.contains(&file.facts.key);
            if !is_listed && (is_there || wanted.names(file.source.id, &file.source.labels)) {
                let mut state = self.closed_file(file, &file.path);
                state.why += "; no file of this name is there now";
                found.add(file.path.clone(), file.facts.key, state);
            }
        }
    }
}
