//! What an agent left on disk, read by itself and through the watcher.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message;
use tempfile::TempDir;

use super::facts::Task;
use super::known::Metadata;
use super::meta::Meta;
use super::tests::{ids, metrics};
use super::wire;

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
    again.load(data.path(), |_| {});
    assert_eq!(again.len(), 1);
}

#[test]
fn runs_are_gone_only_where_their_work_directory_can_be_read() {
    let work = tempfile::tempdir().expect("temp dir");
    let data = tempfile::tempdir().expect("temp dir");
    let config = crate::Config {
        mesos_work_dirs: vec![work.path().to_owned()],
        mesos: Some(super::MesosConfig { ask: false, ..super::MesosConfig::default() }),
        ..crate::Config::new(data.path(), "h")
    };
    let metadata = Metadata::default();
    metadata.learn(&ids("e", "c1"), &super::facts::Facts { ended: true, ..Default::default() });
    let mut watcher = super::Watcher::new(&config, metrics()).expect("an agent");
    let sweep_at =
        |seconds| crate::clock::Now { monotonic: std::time::Duration::from_secs(seconds), wall: 0 };
    let alive = Mutex::new(true);
    watcher.turn(&metadata, &alive, sweep_at(1000));
    assert_eq!(metadata.len(), 1, "not mounted");
    let run = work.path().join(ids("e", "c1").path());
    fs::create_dir_all(&run).expect("mkdir");
    watcher.turn(&metadata, &alive, sweep_at(2000));
    assert_eq!(metadata.len(), 1);
    fs::remove_dir(&run).expect("rmdir");
    watcher.turn(&metadata, &alive, sweep_at(3000));
    assert_eq!(metadata.len(), 0);
}
