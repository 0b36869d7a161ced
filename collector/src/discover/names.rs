//! The names in a directory that matter, and what is remembered of the files behind them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use sawlog_transport::FileIdentity;

use crate::directory;
use crate::file_system::Answer;
use crate::identity::{Facts, InodeKey, facts_at};
use crate::place::{Place, Source};
use crate::rotation::Age;

/// A log file's name, and the file behind it when it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: OsString,
    pub age: Age,
    pub facts: Facts,
}

/// A directory's log files, by log.
pub(crate) type Logs = BTreeMap<OsString, Vec<Named>>;

/// The names of interest in a directory.
#[derive(Default)]
pub(crate) struct Names {
    pub logs: Logs,
    pub children: Vec<OsString>,
    /// What is behind the names that could be logs, also those that are left out.
    pub present: HashSet<InodeKey>,
    /// What could be a log by its name and is no regular file.
    pub others: Vec<(OsString, InodeKey, FileType)>,
}

/// Log files and directories that lead to some.
pub(super) fn read(directory: &OwnedFd, place: &Place) -> io::Result<Names> {
    let wanted = |name: &OsStr| place.log(name).is_some() || place.child(name).is_some();
    let Names { mut logs, mut children, mut present, mut others } = Names::default();
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
            kind => others.push((entry.name, found.key, kind)),
        }
    }
    for names in logs.values_mut() {
        names.sort_by(|a, b| b.age.cmp(&a.age).then_with(|| a.name.cmp(&b.name)));
    }
    Ok(Names { logs, children, present, others })
}

/// What is known of files that are not open.
#[derive(Default)]
pub(crate) struct Memory {
    /// Read to their end, acknowledged, and without a writer.
    pub settled: HashMap<InodeKey, Settled>,
    /// Left out, and why.
    pub skipped: HashMap<InodeKey, Skipped>,
    /// Not open yet for want of descriptors, as they were seen.
    waiting: HashMap<InodeKey, Waiting>,
    /// Those of them that are gone.
    gone: Vec<Waiting>,
}

/// A file that waits to be opened, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub source: Source,
    pub facts: Facts,
    /// Its file system, which nothing tells any more once the directory is gone.
    pub file_system: Answer,
}

/// Why a file is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skipped {
    Symlink,
    NotRegular,
    /// It is somebody else's file under another name.
    HardLink,
    NotText,
}

impl Skipped {
    /// Its name in metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::NotRegular => "not_regular",
            Self::HardLink => "hard_link",
            Self::NotText => "not_text",
        }
    }

    /// What is said to people.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Symlink | Self::NotRegular => "it is no regular file",
            Self::HardLink => {
                "it is a hard link to a file that does not belong to the owner of its directory: it \
                 may be any file, so it is never read (forbid such links with \
                 fs.protected_hardlinks=1)"
            }
            Self::NotText => "it is not text",
        }
    }
}

/// A file that was closed because it is finished, as it was then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub identity: FileIdentity,
    pub size: u64,
    pub modified: i64,
    /// It was closed only to make room: somebody may write to it still.
    pub is_parked: bool,
}

impl Memory {
    /// Whether a file need not be opened.
    pub(crate) fn knows(&self, found: &Facts) -> bool {
        self.skipped.contains_key(&found.key)
            || self.settled.get(&found.key).is_some_and(|settled| {
                (settled.size, settled.modified) == (found.size, found.modified)
            })
    }

    /// Forgets files that have no name here any more; tells how many of them were parked.
    pub(super) fn keep_only(&mut self, present: &HashSet<InodeKey>) -> usize {
        let parked = self.parked();
        let is_gone = |key: &InodeKey| !present.contains(key);
        self.gone.extend(self.waiting.extract_if(|key, _| is_gone(key)).map(|(_, seen)| seen));
        self.settled.retain(|key, _| present.contains(key));
        self.skipped.retain(|key, _| present.contains(key));
        parked - self.parked()
    }

    /// How many files are remembered.
    pub(super) fn len(&self) -> usize {
        self.settled.len() + self.skipped.len() + self.waiting.len()
    }

    /// A file waits until others are closed.
    pub(super) fn waits(&mut self, file: Waiting) {
        let key = file.facts.key;
        self.waits_no_more(&key);
        self.waiting.insert(key, file);
    }

    /// A file is being opened that may have waited, or was closed to make room.
    pub(super) fn waits_no_more(&mut self, key: &InodeKey) {
        self.waiting.remove(key);
        if let Some(settled) = self.settled.get_mut(key) {
            settled.is_parked = false;
        }
    }

    /// Files that are gone and were never opened.
    pub(super) fn take_gone(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.gone)
    }

    /// The same when the directory is gone, and all that waited in it.
    pub(super) fn into_gone(self) -> impl Iterator<Item = Waiting> {
        self.gone.into_iter().chain(self.waiting.into_values())
    }

    /// How many of the files were closed only to make room.
    pub(super) fn parked(&self) -> usize {
        self.settled.values().filter(|settled| settled.is_parked).count()
    }
}
