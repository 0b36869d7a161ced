//! What the answer of `GET /state` says of each container.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::facts::{Facts, Ids, Task, is_name};
use super::json::{self, List, Number};
use super::state_json::{ExecutorJson, FrameworkJson, LabelJson, StateJson, StatusJson, TaskJson};
use super::status::{Status, nanos};

/// What an agent told.
#[derive(Debug, Default)]
pub(super) struct State {
    pub agent: String,
    /// What the agent offers.
    pub total: Resources,
    /// What of it executors have.
    pub allocated: Resources,
    pub seen: Vec<Seen>,
}

/// What was told of one container.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub ids: Ids,
    pub facts: Facts,
    pub resources: Resources,
    /// State changes, the oldest first.
    pub statuses: Vec<Status>,
    /// Whether the agent also keeps state changes on disk.
    pub is_checkpointed: bool,
}

/// Amounts; `None` is unknown. Memory and disk are in MiB, as Mesos counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Resources {
    pub cpus: Number,
    pub mem: Number,
    pub disk: Number,
    pub gpus: Number,
}

impl Resources {
    fn plus(self, other: Self) -> Self {
        let sum = |a: Number, b: Number| {
            Number(match (a.0, b.0) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            })
        };
        Self {
            cpus: sum(self.cpus, other.cpus),
            mem: sum(self.mem, other.mem),
            disk: sum(self.disk, other.disk),
            gpus: sum(self.gpus, other.gpus),
        }
    }
}

impl State {
    /// The containers that run and have others nested in them, by their ids.
    pub(super) fn live_pods(&self) -> HashMap<String, Ids> {
        let is_pod =
            |facts: &Facts| facts.is_pod || facts.tasks.iter().any(|task| !task.nested.is_empty());
        let pods = self.seen.iter().filter(|seen| !seen.facts.ended && is_pod(&seen.facts));
        pods.map(|seen| (seen.ids.container.clone(), seen.ids.clone())).collect()
    }
}

/// Reads an answer.
///
/// # Errors
/// It is no JSON of this form.
pub(super) fn parse(body: &[u8], allowed: &[String]) -> Result<State, serde_json::Error> {
    let state: StateJson = json::read(body)?;
    let reserved = state.reserved_resources_allocated.into_values();
    let allocated = reserved.fold(state.unreserved_resources_allocated, Resources::plus);
    let running = state.frameworks.0.into_iter().map(|framework| (framework, false));
    let completed = state.completed_frameworks.0.into_iter().map(|framework| (framework, true));
    let agent = state.id.0;
    let seen = running.chain(completed).flat_map(|(mut framework, ended)| {
        let executors = std::mem::take(&mut framework.executors.0).into_iter();
        let executors = executors.map(|executor| (executor, ended));
        let completed = std::mem::take(&mut framework.completed_executors.0).into_iter();
        let all: Vec<_> = executors.chain(completed.map(|executor| (executor, true))).collect();
        let reader = Reader { agent: &agent, framework: &framework, allowed };
        all.into_iter()
            .filter_map(|(executor, ended)| reader.seen(&executor, ended))
            .collect::<Vec<_>>()
    });
    let seen = seen.collect();
    Ok(State { agent, total: state.resources, allocated, seen })
}

struct Reader<'a> {
    agent: &'a str,
    framework: &'a FrameworkJson,
    allowed: &'a [String],
}

impl Reader<'_> {
    fn seen(&self, executor: &ExecutorJson, ended: bool) -> Option<Seen> {
        let ids = ids_of_directory(&executor.directory.0).or_else(|| {
            let ids = Ids {
                agent: self.agent.to_owned(),
                framework: self.framework.id.0.clone(),
                executor: executor.id.0.clone(),
                container: executor.container.0.clone(),
            };
            ids.checked()
        })?;
        let mut facts = Facts {
            framework_name: self.framework.name.0.clone(),
            principal: self.framework.principal.0.clone(),
            user: self.framework.user.0.clone(),
            source: executor.source.0.clone(),
            is_pod: executor.kind.0 == "DEFAULT",
            labels: allow(&executor.labels, self.allowed),
            labels_are_cleaned: false,
            tasks: Vec::new(),
            ended,
        };
        let mut statuses = Vec::new();
        // Those that ended are the older ones.
        for task in executor.completed_tasks.0.iter().chain(&executor.tasks.0) {
            let Some((task, changes)) = self.task(task, &ids.container) else { continue };
            statuses.extend(changes);
            facts.tasks.push(task);
        }
        let is_checkpointed = self.framework.checkpoint.0 == Some(true);
        let resources = executor.resources;
        Some(Seen { ids, facts, resources, statuses, is_checkpointed })
    }

    /// `None` if the id is none that an agent can have made a directory of.
    fn task(&self, task: &TaskJson, container: &str) -> Option<(Task, Vec<Status>)> {
        if !is_name(&task.id.0) {
            return None;
        }
        let nested = task.statuses.0.iter().rev().find_map(|status| nested(status, container));
        let nested = nested.unwrap_or_default();
        let changes = task.statuses.0.iter().filter_map(|status| {
            let status = Status {
                task: task.id.0.clone(),
                task_name: task.name.0.clone(),
                nested: nested.clone(),
                state: Some(&status.state.0).filter(|state| !state.is_empty())?.clone(),
                time: nanos(status.timestamp.0?),
                healthy: status.healthy.0,
                reason: status.reason.0.clone(),
                source: status.source.0.clone(),
                message: status.message.0.clone(),
            };
            Some(status.limited())
        });
        let changes = changes.collect();
        let task = Task {
            id: task.id.0.clone(),
            name: task.name.0.clone(),
            user: task.user.0.clone(),
            nested,
            labels: allow(&task.labels, self.allowed),
            labels_are_cleaned: false,
        };
        Some((task, changes))
    }
}

/// The ids in the last parts of a sandbox's path, which is the agent's own word for it.
fn ids_of_directory(directory: &str) -> Option<Ids> {
    let parts: Vec<&str> = directory.split('/').collect();
    match parts[parts.len().checked_sub(8)?..] {
        ["slaves", agent, "frameworks", framework, "executors", executor, "runs", container] => {
            let [agent, framework, executor, container] =
                [agent, framework, executor, container].map(str::to_owned);
            Ids { agent, framework, executor, container }.checked()
        }
        _ => None,
    }
}

/// The container of a task below the run's.
fn nested(status: &StatusJson, container: &str) -> Option<String> {
    let id = status.container_status.as_ref()?.container_id.as_ref()?;
    let (outermost, below) = id.place();
    (outermost == container).then(|| below.join("."))
}

fn allow(labels: &List<LabelJson>, allowed: &[String]) -> BTreeMap<String, String> {
    let wanted = labels.0.iter().filter(|label| allowed.contains(&label.key.0));
    wanted.map(|label| (label.key.0.clone(), label.value.0.clone())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATE: &str = r#"{"id":"S3","resources":{"cpus":8.0,"mem":15021.0,"ports":"[1-2]"},
      "unreserved_resources_allocated":{"cpus":4.0},"reserved_resources_allocated":{"etl":{"cpus":0.5}},
      "frameworks":[{"id":"F0","name":"marathon","user":"root","checkpoint":true,"principal":"marathon","roles":["a"],
        "executors":[
          {"id":"pod","name":"","source":"","container":"c2","type":"DEFAULT","directory":"/x/slaves/S3/frameworks/F0/executors/pod/runs/c2",
           "labels":[{"key":"team","value":"shop"},{"key":"secret","value":"no"}],"resources":{"cpus":0.7,"mem":352.0},
           "tasks":[{"id":"t.web","name":"web","limits":{"cpus":"Infinity"},"labels":[{"key":"team","value":"web"}],
             "statuses":[{"state":"TASK_RUNNING","timestamp":1787216400.25,"healthy":true,
               "container_status":{"container_id":{"value":"n1","parent":{"value":"c2"}}}}]}],
           "queued_tasks":[{"id":"q","name":"queued","command":{"value":"SECRET=hunter2"}}],"completed_tasks":[]},
          {"id":"..","container":"c9","directory":"/elsewhere"}],
        "completed_executors":[{"id":"old","container":"c3","directory":"","tasks":null,
           "completed_tasks":[{"id":"old","name":"report","statuses":[{"state":"TASK_FAILED","timestamp":5.0}]}]}]}],
      "completed_frameworks":[{"id":"F9","name":"chronos","executors":[{"id":"e","container":"c4","directory":null}]}]}"#;

    #[test]
    fn finds_what_is_known_of_each_container() {
        let state = parse(STATE.as_bytes(), &["team".into()]).expect("a state");
        assert_eq!((state.agent.as_str(), state.total.cpus.0), ("S3", Some(8.0)));
        assert_eq!(state.allocated.cpus.0, Some(4.5));
        assert_eq!(state.total.gpus.0, None);
        let found: Vec<_> = state
            .seen
            .iter()
            .map(|seen| (seen.ids.container.as_str(), seen.facts.ended, seen.facts.is_pod))
            .collect();
        assert_eq!(found, [("c2", false, true), ("c3", true, false), ("c4", true, false)]);
        let pod = &state.seen[0];
        assert_eq!(pod.facts.tasks.len(), 1, "what is queued is no business of ours");
        assert_eq!(pod.facts.tasks[0].nested, "n1");
        assert_eq!(pod.facts.labels.len(), 1);
        assert_eq!(pod.facts.tasks[0].labels["team"], "web");
        assert!(!format!("{state:?}").contains("hunter2"));
        let status = &pod.statuses[0];
        assert_eq!((status.time, status.healthy), (1_787_216_400_250_000_000, Some(true)));
        assert_eq!((pod.is_checkpointed, pod.resources.cpus.0), (true, Some(0.7)));
        assert_eq!(state.seen[1].statuses[0].state, "TASK_FAILED");
    }

    #[test]
    fn tasks_whose_id_is_no_name_are_left_out_and_long_texts_are_cut() {
        for id in ["..", "/etc", "a/b", &"x".repeat(256)] {
            let body = STATE.replace("\"id\":\"t.web\"", &format!("\"id\":\"{id}\""));
            let state = parse(body.as_bytes(), &[]).expect("a state");
            assert!(state.seen[0].facts.tasks.is_empty(), "{id}");
            assert!(state.seen[0].statuses.is_empty(), "{id}");
        }
        let long = format!("TASK_{}", "F".repeat(5000));
        let state = parse(STATE.replace("TASK_FAILED", &long).as_bytes(), &[]).expect("a state");
        assert_eq!(state.seen[1].statuses[0].state, long[..1024]);
    }

    #[test]
    fn names_that_are_cut_inside_a_character_cost_nothing() {
        let mut body = STATE.as_bytes().to_vec();
        let at = memchr::memmem::find(&body, b"report").expect("is there");
        body[at + 5] = 0xe6;
        let state = parse(&body, &[]).expect("a state");
        assert_eq!(state.seen[1].facts.tasks[0].name, "repor\u{fffd}");
    }

    #[test]
    fn what_is_no_state_is_an_error_and_what_is_empty_is_not() {
        assert!(parse(b"{}", &[]).expect("empty").seen.is_empty());
        for body in ["", "Agent has not finished recovery", "7", r#"{"frameworks":[7]}"#] {
            assert!(parse(body.as_bytes(), &[]).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(at in 0..STATE.len(), byte in any::<u8>(), cut in 0..STATE.len()) {
            let mut body = STATE.as_bytes().to_vec();
            body[at] = byte;
            drop(parse(&body, &[]));
            drop(parse(&body[..cut], &[]));
        }
    }
}
