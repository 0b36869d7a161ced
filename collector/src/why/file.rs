//! One file's state, as it is told.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use sawlog_transport::{FileIdentity, Labels};
use serde::Serialize;

use super::closed::ClosedFile;
use super::{Decision, Decisions, View, Waits};
use crate::identity::Facts;
use crate::place::Source;
use crate::stream::Stream;
use crate::sys::{self, Writers};
use crate::tail::TailFile;

/// In which state a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its log's current file.
    Live,
    /// Open under the name of a rotated file, or renamed to one that is not collected.
    Rotated,
    /// Open, without a name.
    Deleted,
    /// Its bytes wait for something else.
    Waiting,
    /// Read to its end, acknowledged and closed.
    Finished,
    /// Left out because of what it is.
    Skipped,
    Unreadable,
    /// Not opened (yet).
    NotOpen,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct FileState {
    /// Now; the last one of a file that has none any more. Bytes that are no UTF-8 are U+FFFD.
    pub path: String,
    pub state: State,
    /// A sentence.
    pub why: String,
    /// Of a file that is or was open.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// What is known of a file that is or was open.
#[derive(Clone, Debug, Serialize)]
pub struct Details {
    pub stream: String,
    pub labels: BTreeMap<String, String>,
    pub identity: Identity,
    pub generation: String,
    pub truncations: u64,
    /// Bytes, as last looked at.
    pub size: u64,
    /// Everything before it was handed on.
    pub read: u64,
    /// Everything before it is stored where it survives.
    pub acknowledged: u64,
    /// Bytes not acknowledged.
    pub lag_bytes: u64,
    /// At most so long ago was the oldest of these bytes written: since the stream's last
    /// acknowledged line, by its own time. `None` if the stream has none yet.
    pub lag_seconds: Option<f64>,
    /// Whether any process has it open for writing: `yes`, `no` or `unknown`.
    pub writers: &'static str,
    /// The last few, the oldest first.
    pub decisions: Vec<Decided>,
}

/// Which file it is, whatever its name.
#[derive(Clone, Debug, Serialize)]
pub struct Identity {
    /// The file system's UUID, or its device number where it has none; hex.
    pub file_system: String,
    pub device: u64,
    pub inode: u64,
    pub inode_generation: u64,
    pub birth_time: String,
}

/// A decision and its time.
#[derive(Clone, Debug, Serialize)]
pub struct Decided {
    pub time: String,
    pub what: String,
}

impl View<'_> {
    /// Everything before it is acknowledged.
    pub(super) fn acknowledged_to(&self, file: &TailFile) -> u64 {
        let progress = self.checkpoints.get(&file.identity);
        let current = progress.filter(|progress| progress.truncations == file.truncations);
        current.map_or(0, |progress| progress.offset)
    }

    /// An open file: the `index`-th of a stream.
    pub(super) fn open_file(&self, stream: &Stream, index: usize, path: &Path) -> FileState {
        let file = &stream.files[index];
        let acknowledged = self.acknowledged_to(file);
        let (state, why) = self.state(stream, index, acknowledged);
        let writers = match sys::writers(&file.file) {
            Writers::None => "no",
            Writers::Some => "yes",
            Writers::Unknown => "unknown",
        };
        let lag_bytes = file.facts.size.saturating_sub(acknowledged);
        let details = Details {
            generation: file.generation.to_string(),
            truncations: file.truncations,
            size: file.facts.size,
            read: file.read_to,
            acknowledged,
            lag_bytes,
            lag_seconds: self.lag_seconds(&stream.source, lag_bytes),
            writers,
            ..details(&stream.source, &file.identity, &file.facts, &file.decisions)
        };
        FileState { path: shown(path), state, why, details: Some(details) }
    }

    fn lag_seconds(&self, source: &Source, lag_bytes: u64) -> Option<f64> {
        if lag_bytes == 0 {
            return Some(0.0);
        }
        let last = self.checkpoints.clock(source.id).last_time?;
        Some(self.now.wall.saturating_sub(last).max(0) as f64 / 1e9)
    }

    fn state(&self, stream: &Stream, index: usize, acknowledged: u64) -> (State, String) {
        let file = &stream.files[index];
        if let Some(Decision::Unreadable(error)) = file.decisions.last() {
            return (State::Unreadable, format!("reading it failed, it is tried again: {error}"));
        }
        let holds = |older: &&TailFile| older.waits == Some(Waits::LineEndHoldingNewer);
        if let Some(older) = stream.files[..index].iter().find(holds) {
            let name = path_of(self.tree.path(stream.node), older);
            let why = format!(
                "waits for the end of '{}': whether its last line goes on here is not certain yet",
                name.display()
            );
            return (State::Waiting, why);
        }
        if stream.holds_in_head(file) {
            let why = "its last line was cut by a rotation: handed on with its rest, which the next file has";
            return (State::Waiting, why.to_owned());
        }
        let state = match &file.name {
            Some((_, 0)) => State::Live,
            None if file.is_deleted() => State::Deleted,
            _ => State::Rotated,
        };
        (state, self.progress(file, acknowledged))
    }

    fn progress(&self, file: &TailFile, acknowledged: u64) -> String {
        let unread = file.unread();
        if unread > 0 && file.waits.is_some() {
            return format!(
                "the last {unread} bytes are a line without an end, which is waited for"
            );
        }
        if unread > 0 {
            return format!("{unread} bytes are not read yet");
        }
        let under_way = file.read_to.saturating_sub(acknowledged);
        if under_way > 0 {
            return format!("read to its end; {under_way} bytes are sent and not acknowledged yet");
        }
        "read to its end and acknowledged".to_owned()
    }

    /// A file that is not open any more.
    pub(super) fn closed_file(&self, file: &ClosedFile, path: &Path) -> FileState {
        let state = match file.decisions.last() {
            Some(Decision::NotText(_)) => State::Skipped,
            _ => State::Finished,
        };
        let why = file.decisions.last().map(|decision| decision.to_string()).unwrap_or_default();
        let details = Details {
            generation: file.generation.to_string(),
            truncations: file.truncations,
            size: file.facts.size,
            read: file.read_to,
            acknowledged: if state == State::Finished { file.read_to } else { 0 },
            ..details(&file.source, &file.identity, &file.facts, &file.decisions)
        };
        FileState { path: shown(path), state, why, details: Some(details) }
    }
}

/// What is the same for open and closed files.
fn details(
    source: &Source,
    identity: &FileIdentity,
    facts: &Facts,
    decisions: &Decisions,
) -> Details {
    let decided = |(at, what): (i64, Decision)| Decided { time: time(at), what: what.to_string() };
    Details {
        stream: source.id.to_string(),
        labels: texts(&source.labels),
        identity: Identity {
            file_system: identity.file_system.iter().map(|byte| format!("{byte:02x}")).collect(),
            device: facts.key.device,
            inode: identity.inode,
            inode_generation: identity.inode_generation,
            birth_time: time(identity.birth_time),
        },
        generation: String::new(),
        truncations: 0,
        size: facts.size,
        read: 0,
        acknowledged: 0,
        lag_bytes: 0,
        lag_seconds: Some(0.0),
        writers: "no",
        decisions: decisions.iter().map(decided).collect(),
    }
}

/// The path of an open file: by its name in its directory, else what the kernel says, which also
/// knows where it was moved to and what it was called before it was deleted.
pub(super) fn path_of(directory: &Path, file: &TailFile) -> PathBuf {
    if let Some((name, _)) = &file.name {
        return directory.join(name);
    }
    let link = format!("/proc/self/fd/{}", file.file.as_raw_fd());
    let told = std::fs::read_link(link).unwrap_or_default();
    let text = told.as_os_str().as_encoded_bytes();
    match text.strip_suffix(b" (deleted)") {
        Some(text) => {
            PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(text))
        }
        None => told,
    }
}

pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn texts(labels: &Labels) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

/// RFC 3339, in UTC.
fn time(nanos: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(nanos);
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
