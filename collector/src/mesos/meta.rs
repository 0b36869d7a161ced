//! What an agent left on disk below `meta/`, for when it does not answer, and the messages of state
//! changes, which it tells nowhere else.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::facts::{Facts, Ids, TASKS_MAX, TEXT_BYTES_MAX, Task, cut};
use super::known::CONTAINERS_MAX;
use super::meta_files::{descend, link_name, message, messages, subdirectories};
use super::state::{Resources, Seen, State};
use super::status::{Status, nanos, reason_name, source_name, state_name};
use super::wire;
use crate::directory;

/// The most records of one task that are looked at: the last ones.
const UPDATES_MAX: usize = 1000;
/// The most bytes of state changes that one look gives: executors write what they like into them.
/// What does not fit is told when those before it are over.
const CHANGES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The checkpoints of one work directory.
pub(super) struct Meta {
    work_dir: PathBuf,
}

impl Meta {
    pub(super) fn new(work_dir: PathBuf) -> Self {
        Self { work_dir }
    }

    /// What is known of the containers of the agent's present id; those for which `skip` says yes
    /// are not read. `None` without such a directory, or without the right to read it.
    pub(super) fn read(&self, allowed: &[String], skip: impl Fn(&Ids) -> bool) -> Option<State> {
        let slaves = self.open(&["meta", "slaves"])?;
        let agent = link_name(&slaves, "latest")?;
        let frameworks = descend(&slaves, &[&agent, "frameworks"]).ok();
        let (seen, room) = (Vec::new(), CHANGES_BYTES_MAX);
        let mut reader = Reader { agent: &agent, allowed, skip: &skip, seen, room };
        for name in frameworks.iter().flat_map(subdirectories) {
            let Some(all) = &frameworks else { break };
            if let Ok(framework) = descend(all, &[&name]) {
                reader.framework(&name, &framework);
            }
        }
        let mut seen = reader.seen;
        for one in &mut seen {
            self.link_tasks(&one.ids, &mut one.facts);
        }
        Some(State { agent, seen, ..State::default() })
    }

    /// The state changes of a task that the agent keeps; `None` if it keeps none of the container.
    pub(super) fn updates(&self, ids: &Ids, task: &str) -> Option<Vec<Status>> {
        let run = self.open(&["meta"]).and_then(|meta| {
            let path = ids.path();
            let names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
            descend(&meta, &names).ok()
        })?;
        let task_dir = descend(&run, &["tasks", task]).ok();
        Some(task_dir.map(|dir| updates(&dir, task, &ids.container)).unwrap_or_default())
    }

    /// The containers of a pod's tasks, by the links that its executor makes.
    pub(super) fn link_tasks(&self, ids: &Ids, facts: &mut Facts) {
        if !facts.is_pod || facts.tasks.iter().all(|task| !task.nested.is_empty()) {
            return;
        }
        let path = ids.path().join("tasks");
        let names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
        let Some(tasks) = self.open(&names) else { return };
        for task in facts.tasks.iter_mut().filter(|task| task.nested.is_empty()) {
            task.nested = link_name(&tasks, &task.id).unwrap_or_default();
        }
    }

    fn open(&self, names: &[&str]) -> Option<OwnedFd> {
        descend(&directory::open_root(&self.work_dir).ok()?, names).ok()
    }

    pub(super) fn work_dir(&self) -> &Path {
        &self.work_dir
    }
}

struct Reader<'a> {
    agent: &'a str,
    allowed: &'a [String],
    skip: &'a dyn Fn(&Ids) -> bool,
    seen: Vec<Seen>,
    /// For state changes, in bytes.
    room: usize,
}

impl Reader<'_> {
    fn framework(&mut self, id: &str, framework: &OwnedFd) {
        let info: wire::FrameworkInfo = message(framework, "framework.info").unwrap_or_default();
        let Ok(executors) = descend(framework, &["executors"]) else { return };
        for executor in subdirectories(&executors) {
            let Ok(dir) = descend(&executors, &[&executor]) else { continue };
            let about: wire::ExecutorInfo = message(&dir, "executor.info").unwrap_or_default();
            let facts = Facts {
                framework_name: text(&info.name),
                principal: text(&info.principal),
                user: text(&info.user),
                source: text(&about.source),
                is_pod: about.kind == 1,
                labels: self.allow(about.labels.as_ref()),
                ..Facts::default()
            };
            let Ok(runs) = descend(&dir, &["runs"]) else { continue };
            for container in subdirectories(&runs) {
                let ids = Ids {
                    agent: self.agent.to_owned(),
                    framework: id.to_owned(),
                    executor: executor.clone(),
                    container,
                };
                self.run(ids, &facts, &runs);
            }
        }
    }

    fn run(&mut self, ids: Ids, facts: &Facts, runs: &OwnedFd) {
        let Some(ids) = ids.checked().filter(|ids| !(self.skip)(ids)) else { return };
        if self.seen.len() >= CONTAINERS_MAX {
            return;
        }
        let Ok(run) = descend(runs, &[&ids.container]) else { return };
        let mut facts = facts.clone();
        facts.ended = crate::identity::facts_at(&run, "executor.sentinel".as_ref()).is_ok();
        let mut statuses = Vec::new();
        if let Ok(tasks) = descend(&run, &["tasks"]) {
            for id in subdirectories(&tasks).into_iter().take(TASKS_MAX) {
                let Ok(dir) = descend(&tasks, &[&id]) else { continue };
                let (task, changes) = self.task(&id, &dir, &ids.container);
                facts.tasks.push(task);
                statuses.extend(changes);
            }
        }
        let bytes = statuses.iter().map(Status::bytes).sum();
        match self.room.checked_sub(bytes) {
            Some(room) => self.room = room,
            // Its end is told when its changes are.
            None => (statuses, facts.ended) = (Vec::new(), false),
        }
        let resources = Resources::default();
        self.seen.push(Seen { ids, facts, resources, statuses, is_checkpointed: true });
    }

    fn task(&self, id: &str, dir: &OwnedFd, container: &str) -> (Task, Vec<Status>) {
        let info: wire::Task = message(dir, "task.info").unwrap_or_default();
        let mut changes = updates(dir, id, container);
        let name = text(&info.name);
        for change in &mut changes {
            cut(&name, TEXT_BYTES_MAX).clone_into(&mut change.task_name);
        }
        let nested = changes.iter().rev().find(|change| !change.nested.is_empty());
        let nested = nested.map(|change| change.nested.clone()).unwrap_or_default();
        let labels = self.allow(info.labels.as_ref());
        let user = text(&info.user);
        let id = id.to_owned();
        (Task { id, name, user, nested, labels, labels_are_cleaned: false }, changes)
    }

    fn allow(&self, labels: Option<&wire::Labels>) -> BTreeMap<String, String> {
        let all = labels.iter().flat_map(|labels| &labels.labels);
        let texts = all.map(|label| (text(&label.key), text(&label.value)));
        texts.filter(|(key, _)| self.allowed.contains(key)).collect()
    }
}

/// The state changes in a task's directory. One that is sent again is the same change.
fn updates(dir: &OwnedFd, task: &str, container: &str) -> Vec<Status> {
    let records: VecDeque<wire::StatusUpdateRecord> = messages(dir, "task.updates", UPDATES_MAX);
    let mut changes: Vec<Status> = Vec::new();
    for update in records.into_iter().filter_map(|record| record.update) {
        let Some(status) = update.status else { continue };
        let change = Status {
            task: task.to_owned(),
            task_name: String::new(),
            nested: nested(&status, container).unwrap_or_default(),
            state: state_name(status.state),
            time: nanos(status.timestamp.unwrap_or(update.timestamp)),
            healthy: status.healthy,
            reason: status.reason.map(reason_name).unwrap_or_default(),
            source: status.source.map(source_name).unwrap_or_default(),
            message: text(&status.message),
        }
        .limited();
        if !changes.iter().any(|known| known.is_same(&change)) {
            changes.push(change);
        }
    }
    changes
}

/// The task's container below the run's.
fn nested(status: &wire::TaskStatus, container: &str) -> Option<String> {
    let mut at = status.container_status.as_ref()?.container_id.as_ref()?;
    let mut below = Vec::new();
    while let Some(parent) = &at.parent {
        below.push(text(&at.value));
        at = parent;
    }
    below.reverse();
    (text(&at.value) == container).then(|| below.join("."))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
