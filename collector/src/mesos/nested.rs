//! Reads the answer of the agent's call GET_CONTAINERS, for the containers that are nested in others: the
//! tasks of a pod. What is measured of them is part of what is measured of the pod, never beside it.

use std::collections::{HashMap, HashSet};

use super::containers::{Surroundings, nested_line};
use super::facts::{Ids, is_name};
use super::json::{self, List};
use super::state_json::{ContainerIdJson, ContainerStatusJson};
use super::statistics::Statistics;
use crate::sandbox::{CHECK, NESTING_MAX};

/// Where the call goes.
pub(super) const ENDPOINT: &str = "/api/v1";
/// The call.
pub(super) const CALL: &[u8] =
    br#"{"type":"GET_CONTAINERS","get_containers":{"show_nested":true,"show_standalone":false}}"#;

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct AnswerJson {
    get_containers: ContainersJson,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ContainersJson {
    containers: List<ContainerJson>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ContainerJson {
    /// Without its parents: those are in the status.
    container_id: Option<ContainerIdJson>,
    container_status: Option<ContainerStatusJson>,
    resource_statistics: Statistics,
}

/// A nested container's line: the run's ids, its name below the run's container, and the line.
pub(super) type NestedLine = (Ids, String, Vec<u8>);

/// The lines of the containers that are nested in one of `pods`, which are known by the ids of their
/// containers. Those that the agent does not measure by themselves, since they share their pod's cgroup,
/// are left out. `now` is nanoseconds since the epoch.
///
/// # Errors
/// It is no JSON of this form.
pub(super) fn lines(
    body: &[u8],
    pods: &HashMap<String, Ids>,
    around: &Surroundings,
    now: i64,
) -> Result<Vec<NestedLine>, serde_json::Error> {
    let answer: AnswerJson = json::read(body)?;
    let mut seen = HashSet::new();
    let of = |container: ContainerJson| {
        let (pod, nested) = container.place()?;
        let ids = pods.get(&pod)?.clone();
        let is_first = seen.insert((pod, nested.clone()));
        let line = is_first.then(|| nested_line(container.resource_statistics, around, now))??;
        Some((ids, nested, line))
    };
    Ok(answer.get_containers.containers.0.into_iter().filter_map(of).collect())
}

impl ContainerJson {
    /// The outermost container, and the way from there; `None` if it is not nested, or one that is not
    /// collected.
    fn place(&self) -> Option<(String, String)> {
        let status = self.container_status.as_ref().and_then(|status| status.container_id.as_ref());
        let (pod, nested) = status.or(self.container_id.as_ref())?.place();
        let is_collected = (1..NESTING_MAX).contains(&nested.len())
            && nested.iter().all(|name| is_name(name) && !name.starts_with(CHECK));
        is_collected.then(|| (pod.to_owned(), nested.join(".")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pods() -> HashMap<String, Ids> {
        let [agent, framework, executor, container] = ["A", "F", "pod", "c2"].map(str::to_owned);
        HashMap::from([("c2".to_owned(), Ids { agent, framework, executor, container })])
    }

    fn container(id: Value, statistics: Value) -> Value {
        json!({"container_id": {"value": id["value"]}, "container_status": {"container_id": id},
               "resource_statistics": statistics})
    }

    fn found(containers: &[Value]) -> Vec<(String, Value)> {
        let body = json!({"type": "GET_CONTAINERS", "get_containers": {"containers": containers}});
        let around = Surroundings { agent: "A".into(), ..Surroundings::default() };
        let lines = lines(body.to_string().as_bytes(), &pods(), &around, 5).expect("an answer");
        let line = |(ids, nested, line): NestedLine| {
            assert_eq!(ids.container, "c2");
            (nested, serde_json::from_slice(&line).expect("JSON"))
        };
        lines.into_iter().map(line).collect()
    }

    #[test]
    fn what_is_nested_in_a_pod_is_found_by_its_parents_and_what_is_not_is_none_of_ours() {
        let measured = json!({"timestamp": 5.0, "cpus_user_time_secs": 1.5, "cpus_limit": 1.0});
        let n1 = json!({"value": "n1", "parent": {"value": "c2"}});
        let found = found(&[
            container(json!({"value": "c2"}), measured.clone()),
            container(n1.clone(), measured.clone()),
            container(n1.clone(), measured.clone()),
            container(json!({"value": "m", "parent": n1}), measured.clone()),
            container(json!({"value": "check-7", "parent": n1}), measured.clone()),
            container(json!({"value": "..", "parent": n1}), measured.clone()),
            container(json!({"value": "x", "parent": {"value": "elsewhere"}}), measured),
            container(
                json!({"value": "shares", "parent": {"value": "c2"}}),
                json!({"timestamp": 5.0, "cpus_limit": 1.0, "mem_soft_limit_bytes": 7}),
            ),
        ]);
        let names: Vec<&str> = found.iter().map(|(nested, _)| nested.as_str()).collect();
        assert_eq!(names, ["n1", "n1.m"]);
        assert_eq!(found[0].1["cpus_user_time_secs"], 1.5);
        assert_eq!(
            (&found[0].1["nested"], &found[0].1["event"]),
            (&true.into(), &"statistics".into())
        );
        assert!(found[0].1.get("allocated_cpus").is_none(), "that is the pod's");
    }

    #[test]
    fn an_answer_of_another_form_is_an_error_or_tells_nothing() {
        let around = Surroundings::default();
        let lines = |body: &[u8]| lines(body, &pods(), &around, 5);
        assert!(lines(b"<html>").is_err());
        assert!(lines(b"{}").expect("JSON").is_empty());
        let odd = br#"{"get_containers":{"containers":[{"container_status":null},{"container_id":{"value":"c2"}}]}}"#;
        assert!(lines(odd).expect("JSON").is_empty());
    }
}
