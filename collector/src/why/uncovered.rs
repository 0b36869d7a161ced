//! Why a file is not collected: told component by component, so that whoever asks sees where the way
//! from a source to the file ends.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::FileType;

use super::wanted::Wanted;
use super::{State, View};
use crate::content;
use crate::directory::way_out;
use crate::discover::{Known, Named, SANDBOX_DIRECTORIES_MAX, Skipped};
use crate::identity::facts_of_path;
use crate::intake::STREAM_FILES_MAX;
use crate::place::Place;

/// How much of a file is looked at to tell text.
const LOOKED_AT: usize = 8 * 1024;
/// Of so many sandboxes with too many directories is told where nothing was found.
const LEFT_OUT_TOLD: usize = 10;

/// Why something of this kind is left out.
pub(super) fn why_not(kind: FileType) -> &'static str {
    match kind {
        FileType::Symlink => {
            "it is a symbolic link, which is never followed: a task could let it point anywhere"
        }
        FileType::Fifo => "it is a FIFO: reading would take from others, or wait for ever",
        FileType::Socket => "it is a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "it is a device",
        FileType::Directory => "it is a directory",
        _ => "it is no regular file",
    }
}

impl View<'_> {
    /// Why a regular file with the name of a log is not open.
    pub(super) fn not_open(&self, known: Known<'_>, named: &Named) -> (State, String) {
        if let Some(settled) = known.memory.settled.get(&named.facts.key) {
            let why = format!("read to byte {} and acknowledged, and nobody wrote", settled.size);
            return (State::Finished, why);
        }
        if known.memory.skipped.get(&named.facts.key) == Some(&Skipped::HardLink) {
            return (State::Skipped, Skipped::HardLink.why().to_owned());
        }
        let opened = self.tree.open_log(known.id, &named.name);
        let start = opened.and_then(|file| {
            let mut start = vec![0; LOOKED_AT];
            let read = std::os::unix::fs::FileExt::read_at(&file, &mut start, 0)?;
            start.truncate(read);
            Ok(start)
        });
        match start {
            Err(error) => {
                let why = format!("it cannot be read: {error}{}", way_out(&error));
                return (State::Unreadable, why);
            }
            Ok(start) if known.memory.skipped.contains_key(&named.facts.key) => {
                let what = content::not_text(&start).unwrap_or("binary");
                return (State::Skipped, format!("it is not text but {what}"));
            }
            Ok(_) => {}
        }
        let limit = self.config.open_files_max;
        if self.streams.open.len() >= limit {
            let why = format!(
                "too many log files are in use, it waits until others are finished (at most {limit}: raise the process' limit of open files)"
            );
            return (State::Waiting, why);
        }
        let sandbox = self.tree.sandbox(known.id);
        let has_share = self.streams.open.has_share(sandbox, 0, limit);
        if !has_share || !self.tree.may_remember(known.id) {
            let why = "its sandbox has its share of the log files that may be in use, it waits until others of the same sandbox are finished or gone".to_owned();
            return (State::Waiting, why);
        }
        let id = known.place.log(&named.name).and_then(|(log, _)| known.logs.get(log));
        let stream = id.and_then(|id| self.streams.by_id.get(id));
        if stream.is_some_and(|stream| stream.files.len() >= STREAM_FILES_MAX) {
            let why = format!(
                "its log has too many files, it waits until older ones are finished (at most {STREAM_FILES_MAX} at once)"
            );
            return (State::Waiting, why);
        }
        (State::NotOpen, "it was not opened yet: ask again in a second".to_owned())
    }

    /// What to say where no file was found.
    pub(super) fn nothing_found(&self, wanted: &Wanted) -> Vec<String> {
        let first = match wanted {
            Wanted::Path(path) => self.path(path),
            Wanted::Name(name) if name.rsplit(['.', '/']).next().is_some_and(is_check) => {
                format!(
                    "'{name}' is a command health check: the output of check-… is not collected"
                )
            }
            Wanted::Name(name) => {
                format!("nothing that is collected is a container, task, app or stream '{name}'")
            }
        };
        let left_out = self.tree.left_out().take(LEFT_OUT_TOLD).map(|(path, count)| {
            format!("{count} more directories in '{}' are left out: {}", path.display(), too_many())
        });
        [first, self.sources()].into_iter().chain(left_out).collect()
    }

    /// What is collected here.
    fn sources(&self) -> String {
        let work_dirs = &self.config.mesos_work_dirs;
        let work_dirs = work_dirs.iter().map(|dir| format!("mesos_work_dir '{}'", dir.display()));
        let globs = self.config.paths.iter().map(|glob| format!("path '{glob}'"));
        let journal = self.config.journal.iter().map(|_| "the journal".to_owned());
        let sources: Vec<String> = work_dirs.chain(globs).chain(journal).collect();
        format!("collected are: {}", sources.join(", "))
    }

    fn path(&self, path: &Path) -> String {
        let covering = self.tree.roots().filter_map(|root| {
            let rest = path.strip_prefix(root.path).ok()?;
            Some(self.descend(root, rest))
        });
        // The source that leads furthest says most.
        let best = covering.max_by_key(|(depth, _)| *depth);
        best.map_or_else(|| format!("no source covers '{}'", path.display()), |(_, why)| why)
    }

    /// Where the way from a root down ends, and why.
    fn descend(&self, root: Known<'_>, rest: &Path) -> (usize, String) {
        let mut known = root;
        let names: Vec<&OsStr> = rest.iter().collect();
        for (depth, name) in names.iter().enumerate() {
            let is_last = depth + 1 == names.len();
            match self.next(known, name, is_last) {
                Ok(child) => known = child,
                Err(why) => return (depth, why),
            }
        }
        let why = format!("'{}' is looked into, no log of it was found", known.path.display());
        (names.len(), why)
    }

    /// The directory of this name, or why the way ends.
    fn next<'a>(
        &'a self,
        known: Known<'a>,
        name: &OsStr,
        is_last: bool,
    ) -> Result<Known<'a>, String> {
        let path = known.path.join(name);
        let shown = path.display();
        let found = facts_of_path(&path).map_err(|error| {
            format!("'{shown}' cannot be looked at: {error}{}", way_out(&error))
        })?;
        match found.kind {
            FileType::Directory => {}
            kind if is_last && known.place.log(name).is_none() => {
                let also = if kind == FileType::Symlink { ", and a symbolic link" } else { "" };
                return Err(format!("{}{also}", no_log(known.place, &path)));
            }
            FileType::RegularFile if is_last => {
                return Err(format!("'{shown}' is known by another name, or was just created"));
            }
            kind => return Err(format!("'{shown}' is not collected: {}", why_not(kind))),
        }
        if known.place.child(name).is_none() {
            return Err(no_directory(known.place, name, &path));
        }
        let child = self.tree.child(known.id, name).and_then(|id| self.tree.directory(id));
        child.ok_or_else(|| match self.tree.is_full(known.id) {
            true => format!("'{shown}' is not looked into: {}", too_many()),
            false => format!("'{shown}' was not looked into yet: ask again in a second"),
        })
    }
}

fn too_many() -> String {
    format!(
        "its sandbox has too many directories, it waits until others are gone (at most {SANDBOX_DIRECTORIES_MAX})"
    )
}

fn is_check(name: &str) -> bool {
    name.starts_with("check-")
}

fn no_log(place: &Place, path: &Path) -> String {
    let shown = path.display();
    match place {
        Place::Mesos(_) => format!(
            "'{shown}' is no log of a container: in sandboxes stdout, stderr and their rotated siblings are collected; add --path for others"
        ),
        Place::Glob(_) => format!("'{shown}' matches no path that is collected"),
    }
}

fn no_directory(place: &Place, name: &OsStr, path: &Path) -> String {
    let shown = path.display();
    match place {
        Place::Mesos(_) if name.to_str().is_some_and(is_check) => {
            format!("'{shown}' is a command health check's: their output is not collected")
        }
        Place::Mesos(_) => format!("'{shown}' leads to no sandbox of a container"),
        Place::Glob(_) => format!("no path that is collected leads through '{shown}'"),
    }
}
