//! The form of the answer of `GET /state`: only what becomes a label, an event or a number of statistics.
//! What tasks are to run, and in which environment, is not even parsed.

use std::collections::HashMap;

use serde::Deserialize;

use super::json::{Flag, List, Number, Text};
use super::state::Resources;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StateJson {
    pub(super) id: Text,
    pub(super) resources: Resources,
    pub(super) unreserved_resources_allocated: Resources,
    pub(super) reserved_resources_allocated: HashMap<String, Resources>,
    pub(super) frameworks: List<FrameworkJson>,
    pub(super) completed_frameworks: List<FrameworkJson>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FrameworkJson {
    pub(super) id: Text,
    pub(super) name: Text,
    pub(super) user: Text,
    pub(super) principal: Text,
    pub(super) checkpoint: Flag,
    pub(super) executors: List<ExecutorJson>,
    pub(super) completed_executors: List<ExecutorJson>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ExecutorJson {
    pub(super) id: Text,
    pub(super) source: Text,
    pub(super) container: Text,
    pub(super) directory: Text,
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) labels: List<LabelJson>,
    pub(super) resources: Resources,
    pub(super) tasks: List<TaskJson>,
    pub(super) completed_tasks: List<TaskJson>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TaskJson {
    pub(super) id: Text,
    pub(super) name: Text,
    pub(super) user: Text,
    pub(super) labels: List<LabelJson>,
    pub(super) statuses: List<StatusJson>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StatusJson {
    pub(super) state: Text,
    pub(super) timestamp: Number,
    pub(super) healthy: Flag,
    pub(super) message: Text,
    pub(super) reason: Text,
    pub(super) source: Text,
    pub(super) container_status: Option<ContainerStatusJson>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerStatusJson {
    pub(super) container_id: Option<ContainerIdJson>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerIdJson {
    pub(super) value: Text,
    pub(super) parent: Option<Box<ContainerIdJson>>,
}

impl ContainerIdJson {
    /// The outermost container, and the names on the way from there to this one.
    pub(super) fn place(&self) -> (&str, Vec<&str>) {
        let mut at = self;
        let mut below = Vec::new();
        while let Some(parent) = &at.parent {
            below.push(at.value.0.as_str());
            at = parent;
        }
        below.reverse();
        (&at.value.0, below)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LabelJson {
    pub(super) key: Text,
    pub(super) value: Text,
}
