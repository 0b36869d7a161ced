//! Who a container is, and what is known of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sawlog_transport::StreamId;
use serde::{Deserialize, Serialize};

/// The longest id, in bytes: ids are names of directories.
pub(super) const ID_BYTES_MAX: usize = 255;
/// The longest name or other text kept, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 1024;
/// The most tasks of one container that are kept; the oldest go first.
pub(super) const TASKS_MAX: usize = 256;

/// A run's container, without those nested in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContainerKey(u128);

impl ContainerKey {
    /// Ids are file names: any bytes.
    pub(crate) fn of(agent: &[u8], framework: &[u8], executor: &[u8], container: &[u8]) -> Self {
        Self(StreamId::of_file(agent, framework, executor, container, b"").0)
    }
}

/// The ids of a run's container, fit to be names of directories.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub agent: String,
    pub framework: String,
    pub executor: String,
    pub container: String,
}

impl Ids {
    /// `None` if one of them is no name that a directory can have.
    pub(crate) fn checked(self) -> Option<Self> {
        let all = [&self.agent, &self.framework, &self.executor, &self.container];
        let are_names = all.into_iter().all(|id| is_name(id));
        are_names.then_some(self)
    }

    pub(crate) fn key(&self) -> ContainerKey {
        let Self { agent, framework, executor, container } = self;
        ContainerKey::of(
            agent.as_bytes(),
            framework.as_bytes(),
            executor.as_bytes(),
            container.as_bytes(),
        )
    }

    /// Where the sandbox is, below a work directory.
    pub(crate) fn path(&self) -> PathBuf {
        let mut path = PathBuf::from("slaves");
        for name in [
            &self.agent,
            "frameworks",
            &self.framework,
            "executors",
            &self.executor,
            "runs",
            &self.container,
        ] {
            path.push(name);
        }
        path
    }
}

/// Whether an id may be the name of a directory of ours.
pub(crate) fn is_name(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id != "."
        && id != ".."
        && !id.bytes().any(|byte| matches!(byte, 0 | b'/'))
}

/// What is known of a container; empty texts are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    pub framework_name: String,
    pub principal: String,
    pub user: String,
    pub source: String,
    /// Whether each task has a container of its own, nested in this one.
    pub is_pod: bool,
    /// The labels that the operator allows.
    pub labels: BTreeMap<String, String>,
    /// Whether labels were left out of what was told: what is left stands for all of them.
    #[serde(skip)]
    pub labels_are_cleaned: bool,
    pub tasks: Vec<Task>,
    /// Whether the executor has ended.
    pub ended: bool,
}

/// A task of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Task {
    pub id: String,
    pub name: String,
    pub user: String,
    /// Its container below the run's, joined by `.`; empty for the run's own, or while unknown.
    pub nested: String,
    pub labels: BTreeMap<String, String>,
    /// As in [`Facts`].
    #[serde(skip)]
    pub labels_are_cleaned: bool,
}

impl Facts {
    /// Takes over what another source, or a later look, says. What it is silent about stays.
    pub(crate) fn learn(&mut self, newer: &Facts) {
        take_over(&mut self.framework_name, &newer.framework_name);
        take_over(&mut self.principal, &newer.principal);
        take_over(&mut self.user, &newer.user);
        take_over(&mut self.source, &newer.source);
        self.is_pod |= newer.is_pod;
        self.ended |= newer.ended;
        if !newer.labels.is_empty() || newer.labels_are_cleaned {
            self.labels = newer.labels.clone();
        }
        for task in &newer.tasks {
            match self.tasks.iter_mut().find(|known| known.id == task.id) {
                Some(known) => known.learn(task),
                None => self.tasks.push(Task::default().learned(task)),
            }
        }
        let excess = self.tasks.len().saturating_sub(TASKS_MAX);
        self.tasks.drain(..excess);
    }

    /// Whether labels made of both are the same.
    pub(crate) fn labels_as(&self, other: &Facts) -> bool {
        let same = Facts { ended: other.ended, ..self.clone() };
        same == *other
    }
}

impl Task {
    fn learn(&mut self, newer: &Task) {
        take_over(&mut self.id, &newer.id);
        take_over(&mut self.name, &newer.name);
        take_over(&mut self.user, &newer.user);
        take_over(&mut self.nested, &newer.nested);
        if !newer.labels.is_empty() || newer.labels_are_cleaned {
            self.labels = newer.labels.clone();
        }
    }

    fn learned(mut self, newer: &Task) -> Self {
        self.learn(newer);
        self
    }
}

fn take_over(known: &mut String, newer: &str) {
    if !newer.is_empty() {
        cut(newer, TEXT_BYTES_MAX).clone_into(known);
    }
}

/// The beginning of a text, whole characters of at most so many bytes.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_leave_the_directory_are_refused() {
        let ids = |executor: &str| Ids {
            agent: "A".into(),
            framework: "F".into(),
            executor: executor.into(),
            container: "c".into(),
        };
        for bad in ["", ".", "..", "a/b", "../x", "a\0", &"x".repeat(256)] {
            assert_eq!(ids(bad).checked(), None, "{bad:?}");
        }
        let good = ids("etl executor #7").checked().expect("spaces are legal");
        let path = "slaves/A/frameworks/F/executors/etl executor #7/runs/c";
        assert_eq!(good.path(), PathBuf::from(path));
    }

    #[test]
    fn what_a_later_look_does_not_say_stays() {
        let task = |id: &str, nested: &str| Task {
            id: id.into(),
            nested: nested.into(),
            ..Task::default()
        };
        let mut facts = Facts {
            framework_name: "marathon".into(),
            tasks: vec![task("t1", "n1")],
            ..Facts::default()
        };
        let before = facts.clone();
        facts.learn(&Facts { tasks: vec![task("t1", "")], ended: true, ..Facts::default() });
        assert!(facts.ended && facts.labels_as(&before));
        facts.learn(&Facts { tasks: vec![task("t2", "n2")], ..Facts::default() });
        assert!(!facts.labels_as(&before));
        assert_eq!(facts.tasks.len(), 2);
        facts.learn(&Facts { user: "é".repeat(1000), ..Facts::default() });
        assert_eq!(facts.user.len(), TEXT_BYTES_MAX);
        let many = (0..1000).map(|n| task(&n.to_string(), "")).collect();
        facts.learn(&Facts { tasks: many, ..Facts::default() });
        assert_eq!((facts.tasks.len(), facts.tasks[0].id.as_str()), (TASKS_MAX, "744"));
    }
}
