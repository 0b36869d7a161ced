//! State changes of tasks as lines of JSON, each written once, also through `kill -9`: what was
//! written is read back from the files.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::facts::{ContainerKey, Ids, cut};
use super::generated::{EVENTS, GeneratedFiles};
use super::state::Seen;
use super::status::{MESSAGE_BYTES_MAX, Status};

/// The longest name of a signal in a line, in bytes.
const SIGNAL_BYTES_MAX: usize = 64;

/// The line of one event. The time comes first: it is looked for in the beginning of a line.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    task: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    task_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy: Option<bool>,
    #[serde(skip_serializing_if = "str::is_empty")]
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

/// What of a line tells events apart.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenLine {
    time: String,
    event: String,
    task: String,
    state: String,
}

const TASK: &str = "task_status";
const ENDED: &str = "container_ended";

/// Which events were written, and which wait.
#[derive(Default)]
pub(super) struct Events {
    written: HashMap<ContainerKey, HashSet<u64>>,
    /// Events that have waited once for what the agent's files say of them.
    waited: HashSet<u64>,
}

impl Events {
    /// Writes what is new of a container. `updates` gives what the agent's files say of a task,
    /// `None` if they say nothing of the container. `clean` takes the secrets out of what is
    /// written. `now` is nanoseconds since the epoch.
    ///
    /// # Errors
    /// A file cannot be read or written; the next call tries again.
    pub(super) fn write(
        &mut self,
        seen: &Seen,
        files: &mut GeneratedFiles,
        updates: impl Fn(&Ids, &str) -> Option<Vec<Status>>,
        mut clean: impl FnMut(&mut Status),
        now: i64,
    ) -> io::Result<()> {
        let written = match self.written.entry(seen.ids.key()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(read_back(files, &seen.ids)?),
        };
        let mut new: Vec<Status> = seen.statuses.clone();
        new.retain(|status| !written.contains(&event_key(status)));
        complete(&mut new, seen, updates, &mut self.waited);
        new.retain(|status| !written.contains(&event_key(status)));
        new.sort_by_key(|status| status.time);
        for status in new {
            let mut shown = status.clone();
            clean(&mut shown);
            files.append(&seen.ids, &status.nested, EVENTS, &line_of(&shown))?;
            written.insert(event_key(&status));
        }
        let waits = seen.statuses.iter().any(|status| !written.contains(&event_key(status)));
        if seen.facts.ended && !waits && !written.contains(&ended_key()) {
            let last = seen.statuses.iter().map(|status| status.time).max();
            files.append(&seen.ids, "", EVENTS, &ended_line(last.unwrap_or(now)))?;
            written.insert(ended_key());
        }
        Ok(())
    }

    /// Whether the end of a container was written: nothing more comes of it.
    pub(super) fn is_over(&self, ids: &Ids) -> bool {
        self.written.get(&ids.key()).is_some_and(|written| written.contains(&ended_key()))
    }

    /// Forgets the containers that are gone.
    pub(super) fn keep_only(&mut self, exists: impl Fn(&ContainerKey) -> bool) {
        self.written.retain(|key, _| exists(key));
        self.waited.clear();
    }
}

/// Adds what the agent's files say: reasons, messages, and changes that its answer has left out. What
/// they do not know yet waits once, if they are to know it.
fn complete(
    new: &mut Vec<Status>,
    seen: &Seen,
    updates: impl Fn(&Ids, &str) -> Option<Vec<Status>>,
    waited: &mut HashSet<u64>,
) {
    let tasks: HashSet<String> = new.iter().map(|status| status.task.clone()).collect();
    let mut known: HashMap<String, Vec<Status>> = HashMap::new();
    for task in tasks {
        known.extend(updates(&seen.ids, &task).map(|updates| (task, updates)));
    }
    let mut more = Vec::new();
    new.retain_mut(|status| {
        let Some(updates) = known.get_mut(&status.task) else { return true };
        if let Some(at) = updates.iter().position(|update| update.is_same(status)) {
            status.complete(&updates.remove(at));
            return true;
        }
        let may_come = status.is_terminal() && status.message.is_empty();
        !may_come || !waited.insert(event_key(status))
    });
    for (task, updates) in known {
        let told = seen.facts.tasks.iter().find(|known| known.id == task);
        for mut update in updates {
            let name = told.map(|task| task.name.clone()).unwrap_or_default();
            let nested = told.map(|task| task.nested.clone()).unwrap_or_default();
            update.complete(&Status { task_name: name, nested, ..Status::default() });
            more.push(update.limited());
        }
    }
    // A change that waits is told neither by its answer nor by a part of it.
    more.retain(|update| !new.iter().any(|status| status.is_same(update)));
    new.extend(more);
}

fn event_key(status: &Status) -> u64 {
    key(&status.task, &status.state, status.time / 1_000_000)
}

fn key(task: &str, state: &str, milliseconds: i64) -> u64 {
    xxh3_64(format!("{task}\0{state}\0{milliseconds}").as_bytes())
}

fn ended_key() -> u64 {
    key("", ENDED, 0)
}

/// The events that are in a container's files.
fn read_back(files: &GeneratedFiles, ids: &Ids) -> io::Result<HashSet<u64>> {
    let mut written = HashSet::new();
    files.lines(ids, EVENTS, |line| {
        let Ok(line) = serde_json::from_slice::<WrittenLine>(line) else { return };
        if line.event == ENDED {
            written.insert(ended_key());
        } else if let Ok(time) = DateTime::parse_from_rfc3339(&line.time) {
            written.insert(key(&line.task, &line.state, time.timestamp_millis()));
        }
    })?;
    Ok(written)
}

fn line_of(status: &Status) -> Vec<u8> {
    line(&Line {
        time: rfc3339(status.time),
        level: status.level(),
        event: TASK,
        task: &status.task,
        task_name: &status.task_name,
        state: &status.state,
        reason: &status.reason,
        exit_status: status.exit_status(),
        signal: status.signal().map(|signal| cut(signal, SIGNAL_BYTES_MAX)),
        healthy: status.healthy,
        source: &status.source,
        message: cut(&status.message, MESSAGE_BYTES_MAX),
    })
}

fn ended_line(time: i64) -> Vec<u8> {
    line(&Line {
        time: rfc3339(time),
        level: "info",
        event: ENDED,
        task: "",
        task_name: "",
        state: "",
        reason: "",
        exit_status: None,
        signal: None,
        healthy: None,
        source: "",
        message: "",
    })
}

/// A record with its terminator.
pub(super) fn line(record: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("records have text keys and finite numbers");
    line.push(b'\n');
    line
}

/// A time as lines have it, to the microsecond.
pub(super) fn rfc3339(time: i64) -> String {
    DateTime::from_timestamp_nanos(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}
