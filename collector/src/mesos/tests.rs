//! Events and the files that keep them: what is written, once, and what is deleted.

use std::fs;
use std::path::PathBuf;

use prometheus::Registry;
use serde_json::Value;
use tempfile::TempDir;

use super::events::Events;
use super::facts::{Facts, Ids};
use super::generated::{EVENTS, GeneratedFiles, STATS};
use super::known::Metadata;
use super::metrics::MesosMetrics;
use super::state::{Resources, Seen};
use super::status::Status;

pub(super) fn ids(executor: &str, container: &str) -> Ids {
    Ids {
        agent: "S1".into(),
        framework: "F1".into(),
        executor: executor.into(),
        container: container.into(),
    }
}

pub(super) fn metrics() -> MesosMetrics {
    MesosMetrics::register(&Registry::new()).expect("metrics")
}

struct Bed {
    dir: TempDir,
    files: GeneratedFiles,
    events: Events,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let files = GeneratedFiles::new(dir.path(), metrics());
        files.create().expect("root");
        Self { dir, files, events: Events::default() }
    }

    /// A process that died and started again.
    fn restart(&mut self) {
        self.events = Events::default();
    }

    fn write(&mut self, seen: &Seen, updates: Option<Vec<Status>>) {
        let updates = |_: &Ids, task: &str| {
            let of_task = |all: &Vec<Status>| {
                all.iter().filter(|status| status.task == task).cloned().collect()
            };
            updates.as_ref().map(of_task)
        };
        self.events.write(seen, &mut self.files, updates, |_| {}, 9_000_000_000).expect("written");
    }

    fn path(&self, ids: &Ids, below: &str) -> PathBuf {
        self.dir.path().join("generated").join(ids.path()).join(below)
    }

    fn lines(&self, ids: &Ids, below: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(ids, below)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn status(task: &str, state: &str, seconds: i64) -> Status {
    Status {
        task: task.into(),
        state: state.into(),
        time: seconds * 1_000_000_000,
        ..Status::default()
    }
}

fn seen(ids: &Ids, statuses: Vec<Status>, ended: bool) -> Seen {
    let facts = Facts { ended, ..Facts::default() };
    let resources = Resources::default();
    Seen { ids: ids.clone(), facts, resources, statuses, is_checkpointed: true }
}

#[test]
fn events_are_written_once_and_tell_why_a_task_died() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    let running = seen(&ids, vec![status("t", "TASK_RUNNING", 5)], false);
    bed.write(&running, Some(vec![status("t", "TASK_RUNNING", 5)]));
    bed.write(&running, None);
    let died =
        seen(&ids, vec![status("t", "TASK_RUNNING", 5), status("t", "TASK_FAILED", 8)], true);
    let update = Status {
        reason: "REASON_CONTAINER_LIMITATION_MEMORY".into(),
        source: "SOURCE_SLAVE".into(),
        message: "Memory limit exceeded; Command exited with status 137".into(),
        ..status("t", "TASK_FAILED", 8)
    };
    bed.restart();
    bed.write(&died, Some(vec![status("t", "TASK_RUNNING", 5), update]));
    bed.restart();
    bed.write(&died, None);
    let lines = bed.lines(&ids, EVENTS);
    let states: Vec<&Value> = lines.iter().map(|line| &line["state"]).collect();
    assert_eq!(states, [&Value::from("TASK_RUNNING"), &"TASK_FAILED".into(), &Value::Null]);
    let death = &lines[1];
    assert_eq!(death["time"], "1970-01-01T00:00:08.000000Z");
    assert_eq!((&death["level"], &death["exit_status"]), (&"error".into(), &137.into()));
    assert_eq!(death["reason"], "REASON_CONTAINER_LIMITATION_MEMORY");
    assert_eq!(
        (&lines[2]["event"], &lines[2]["time"]),
        (&"container_ended".into(), &death["time"])
    );
    assert!(bed.events.is_over(&ids));
}

#[test]
fn a_death_waits_once_for_its_message() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    let died = seen(&ids, vec![status("t", "TASK_FAILED", 8)], true);
    bed.write(&died, Some(Vec::new()));
    assert!(bed.lines(&ids, EVENTS).is_empty(), "neither the death nor the end");
    let told = Status { message: "oops".into(), ..status("t", "TASK_FAILED", 8) };
    bed.write(&died, Some(vec![told]));
    assert_eq!(bed.lines(&ids, EVENTS)[0]["message"], "oops");
    let other = super::facts::Ids { container: "c2".into(), ..ids.clone() };
    let died = seen(&other, vec![status("t", "TASK_FAILED", 9)], true);
    bed.write(&died, Some(Vec::new()));
    bed.write(&died, Some(Vec::new()));
    assert_eq!(bed.lines(&other, EVENTS).len(), 2, "it waits once only");
}

#[test]
fn events_of_a_nested_container_stand_beside_its_lines() {
    let mut bed = Bed::new();
    let ids = ids("pod", "c2");
    let mut web = status("t.web", "TASK_RUNNING", 5);
    web.nested = "n1".into();
    bed.write(&seen(&ids, vec![web.clone()], false), None);
    bed.restart();
    bed.write(&seen(&ids, vec![web], false), None);
    assert_eq!(bed.lines(&ids, "containers/n1/events").len(), 1);
    assert_eq!(bed.lines(&ids, EVENTS).len(), 0);
}

#[test]
fn events_of_a_container_that_nobody_looks_for_stand_beside_the_runs_own() {
    let mut bed = Bed::new();
    let nested = |levels: usize| vec!["n"; levels].join(".");
    let cases = [("check-1".to_owned(), true), ("n1.check-2".into(), true), (nested(32), true)];
    for (n, (nested, is_own)) in cases.into_iter().chain([(nested(31), false)]).enumerate() {
        let ids = ids("pod", &format!("c{n}"));
        let running = Status { nested, ..status("t", "TASK_RUNNING", 5) };
        bed.write(&seen(&ids, vec![running], false), None);
        assert_eq!(bed.lines(&ids, EVENTS).len(), usize::from(is_own), "case {n}");
        let deep = format!("{}{EVENTS}", "containers/n/".repeat(31));
        assert_eq!(bed.lines(&ids, &deep).len(), usize::from(!is_own), "case {n}");
    }
}

#[test]
fn texts_that_are_too_long_are_one_event_over_a_restart() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    let long = Status { message: "oops".into(), ..status("t", &"S".repeat(5000), 5) }.limited();
    bed.write(&seen(&ids, vec![long.clone()], false), None);
    bed.restart();
    bed.write(&seen(&ids, vec![long], false), None);
    let lines = bed.lines(&ids, EVENTS);
    assert_eq!((lines.len(), lines[0]["state"].as_str().map(str::len)), (1, Some(1024)));
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    bed.files.append(&ids, "", EVENTS, b"{\"time\":\"2026").expect("a torn write");
    bed.write(&seen(&ids, vec![status("t", "TASK_RUNNING", 5)], false), None);
    let text = fs::read_to_string(bed.path(&ids, EVENTS)).expect("read");
    assert_eq!(text.lines().count(), 2);
    assert!(text.starts_with("{\"time\":\"2026\n{\"time\":\"1970"), "{text}");
}

#[test]
fn read_files_go_unread_ones_stay_and_the_oldest_go_beyond_the_limit() {
    let mut bed = Bed::new();
    let metadata = Metadata::default();
    let here = ids("e", "c1");
    let line = [&[b'x'; 299_999][..], b"\n"].concat();
    let later = i64::MAX;
    for _ in 0..8 {
        bed.files.append(&here, "", STATS, &line).expect("append");
    }
    let names = |bed: &Bed| -> Vec<String> {
        let dir = fs::read_dir(bed.path(&here, "")).expect("list");
        let mut names: Vec<String> = dir
            .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&bed), ["stats", "stats.1", "stats.2"]);
    bed.files.sweep(&metadata, |_| true, later);
    assert_eq!(names(&bed).len(), 3, "nothing is read yet");
    let read = |bed: &Bed, name: &str| {
        let facts = crate::identity::facts_of_path(&bed.path(&here, name)).expect("facts");
        metadata.drained(facts.key, facts.size);
    };
    read(&bed, "stats.2");
    read(&bed, "stats");
    bed.files.sweep(&metadata, |_| true, 0);
    assert_eq!(names(&bed).len(), 3, "a window that is open may be made of it");
    bed.files.sweep(&metadata, |_| true, later);
    assert_eq!(names(&bed), ["stats", "stats.1"], "the newest is still written to");
    bed.files.limit(1_000_000);
    bed.files.sweep(&metadata, |_| true, later);
    assert_eq!(names(&bed), ["stats"]);
    assert_eq!(bed.files.lost_bytes(), 900_000);
    // The sandbox is gone: what is read goes with it, and the directories too.
    bed.files.sweep(&metadata, |_| false, later);
    assert_eq!(fs::read_dir(bed.dir.path().join("generated")).expect("list").count(), 0);
}
