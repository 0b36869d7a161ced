//! The parts together: an agent's files and answers in, lines, labels and deletions out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::Registry;
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;

use super::events::Events;
use super::facts::{Facts, Ids, Task};
use super::generated::{EVENTS, GeneratedFiles, STATS};
use super::known::Metadata;
use super::meta::Meta;
use super::metrics::MesosMetrics;
use super::state::{Resources, Seen};
use super::status::Status;
use super::wire;

fn ids(executor: &str, container: &str) -> Ids {
    Ids {
        agent: "S1".into(),
        framework: "F1".into(),
        executor: executor.into(),
        container: container.into(),
    }
}

fn metrics() -> MesosMetrics {
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
        self.events.write(seen, &mut self.files, updates, 9_000_000_000).expect("written");
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
    bed.files.sweep(&metadata, |_| true);
    assert_eq!(names(&bed).len(), 3, "nothing is read yet");
    let read = |bed: &Bed, name: &str| {
        let facts = crate::identity::facts_of_path(&bed.path(&here, name)).expect("facts");
        metadata.drained(facts.key, facts.size);
    };
    read(&bed, "stats.2");
    read(&bed, "stats");
    bed.files.sweep(&metadata, |_| true);
    assert_eq!(names(&bed), ["stats", "stats.1"], "the newest is still written to");
    bed.files.limit(1_000_000);
    bed.files.sweep(&metadata, |_| true);
    assert_eq!(names(&bed), ["stats"]);
    assert_eq!(bed.files.lost_bytes(), 900_000);
    // The sandbox is gone: what is read goes with it, and the directories too.
    bed.files.sweep(&metadata, |_| false);
    assert_eq!(fs::read_dir(bed.dir.path().join("generated")).expect("list").count(), 0);
}

/// A message behind its length, as agents write them.
fn checkpoint(path: &Path, messages: &[Vec<u8>]) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("mkdir");
    let framed = messages
        .iter()
        .flat_map(|message| [&(message.len() as u32).to_ne_bytes()[..], message].concat());
    fs::write(path, framed.collect::<Vec<u8>>()).expect("write");
}

fn meta_dir() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("temp dir");
    let slaves = dir.path().join("meta/slaves");
    let framework = slaves.join("S1/frameworks/F1");
    let info = wire::FrameworkInfo {
        user: b"root".to_vec(),
        name: b"mara\xffthon".to_vec(),
        principal: b"marathon".to_vec(),
    };
    checkpoint(&framework.join("framework.info"), &[info.encode_to_vec()]);
    std::os::unix::fs::symlink("/elsewhere/meta/slaves/S1", slaves.join("latest")).expect("link");
    (dir, framework)
}

#[test]
fn what_an_agent_left_on_disk_names_containers_and_their_tasks() {
    let (dir, framework) = meta_dir();
    let executor = framework.join("executors/pod");
    let about = wire::ExecutorInfo { kind: 1, ..wire::ExecutorInfo::default() };
    checkpoint(&executor.join("executor.info"), &[about.encode_to_vec()]);
    let run = executor.join("runs/c2");
    fs::create_dir_all(&run).expect("mkdir");
    std::os::unix::fs::symlink("/elsewhere/c2", executor.join("runs/latest")).expect("link");
    let task = wire::Task {
        name: b"web".to_vec(),
        labels: Some(wire::Labels {
            labels: vec![wire::Label { key: b"team".to_vec(), value: b"shop".to_vec() }],
        }),
        ..wire::Task::default()
    };
    checkpoint(&run.join("tasks/t.web/task.info"), &[task.encode_to_vec()]);
    let update = wire::StatusUpdateRecord {
        update: Some(wire::StatusUpdate {
            status: Some(wire::TaskStatus {
                state: 3,
                message: b"Command exited with status 1".to_vec(),
                timestamp: Some(5.5),
                reason: Some(0),
                ..wire::TaskStatus::default()
            }),
            timestamp: 6.0,
        }),
    };
    let acknowledged = wire::StatusUpdateRecord::default();
    let records = [update.encode_to_vec(), acknowledged.encode_to_vec(), update.encode_to_vec()];
    checkpoint(&run.join("tasks/t.web/task.updates"), &records);
    checkpoint(&run.join("tasks/t.torn/task.info"), &[]);
    fs::write(run.join("executor.sentinel"), "").expect("write");
    let sandbox = dir.path().join("slaves/S1/frameworks/F1/executors/pod/runs/c2/tasks");
    fs::create_dir_all(&sandbox).expect("mkdir");
    std::os::unix::fs::symlink("/elsewhere/containers/n1", sandbox.join("t.web")).expect("link");

    let meta = Meta::new(dir.path().to_owned());
    let state = meta.read(&["team".into()], |_| false).expect("a state");
    assert_eq!((state.agent.as_str(), state.seen.len()), ("S1", 1));
    let seen = &state.seen[0];
    assert_eq!(seen.ids, ids("pod", "c2"));
    assert_eq!(seen.facts.framework_name, "mara\u{fffd}thon");
    assert!(seen.facts.ended && seen.facts.is_pod);
    let [torn, web] = &seen.facts.tasks[..] else { panic!("{:?}", seen.facts.tasks) };
    assert_eq!((torn.id.as_str(), torn.name.as_str()), ("t.torn", ""));
    assert_eq!((web.name.as_str(), web.nested.as_str()), ("web", "n1"));
    assert_eq!(web.labels["team"], "shop");
    assert_eq!(seen.statuses.len(), 1, "what was sent again is the same change");
    assert_eq!(seen.statuses[0].reason, "REASON_COMMAND_EXECUTOR_FAILED");
    assert_eq!(seen.statuses[0].time, 5_500_000_000);
    assert_eq!(meta.updates(&ids("pod", "c2"), "t.web").map(|all| all.len()), Some(1));
    assert_eq!(meta.updates(&ids("pod", "c9"), "t.web"), None);
    assert!(meta.read(&[], |_| true).expect("a state").seen.is_empty());
}

#[test]
fn without_meta_there_is_nothing_to_read() {
    let dir = tempfile::tempdir().expect("temp dir");
    assert!(Meta::new(dir.path().to_owned()).read(&[], |_| false).is_none());
}

#[test]
fn a_watcher_learns_from_disk_when_nobody_answers_and_stops_when_it_is_told() {
    let (dir, framework) = meta_dir();
    let run = framework.join("executors/e/runs/c1/tasks/t");
    let task = wire::Task { name: b"stage 0".to_vec(), ..wire::Task::default() };
    checkpoint(&run.join("task.info"), &[task.encode_to_vec()]);
    fs::create_dir_all(dir.path().join(ids("e", "c1").path())).expect("mkdir");
    let data = tempfile::tempdir().expect("temp dir");
    let mesos = super::MesosConfig { ask: false, ..super::MesosConfig::default() };
    let config = crate::Config {
        mesos_work_dirs: vec![dir.path().to_owned()],
        mesos: Some(mesos),
        ..crate::Config::new(data.path(), "h")
    };
    let metadata = Arc::new(Metadata::default());
    let alive = Mutex::new(false);
    let now = crate::clock::Now { monotonic: std::time::Duration::ZERO, wall: 0 };
    let mut watcher = super::Watcher::new(&config, metrics()).expect("an agent");
    watcher.turn(&metadata, &alive, now);
    assert_eq!(metadata.len(), 0, "who was told to stop writes nothing");
    let mut watcher = super::Watcher::new(&config, metrics()).expect("an agent");
    *alive.lock() = true;
    watcher.turn(&metadata, &alive, now);
    let known = metadata.get(ids("e", "c1").key()).expect("known");
    assert_eq!(known.facts.principal, "marathon");
    assert_eq!(
        known.facts.tasks,
        [Task { id: "t".into(), name: "stage 0".into(), ..Task::default() }]
    );
    let again = Metadata::default();
    again.load(data.path());
    assert_eq!(again.len(), 1);
}
