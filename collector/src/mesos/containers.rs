//! Reads the answer of `GET /containers`, and makes a line of statistics for each container. What the
//! agent does not tell is left out: it is unknown, not 0.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::events::{line, rfc3339};
use super::facts::{ContainerKey, Ids};
use super::json::{self, List, Text};
use super::state::Resources;
use super::statistics::Statistics;
use super::status::nanos;

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ContainerJson {
    framework_id: Text,
    executor_id: Text,
    container_id: Text,
    statistics: Statistics,
}

/// What the statistics are of, besides what `/containers` tells.
#[derive(Default)]
pub(super) struct Surroundings {
    pub agent: String,
    pub total: Resources,
    pub allocated: Resources,
    /// What each executor was given.
    pub requests: HashMap<ContainerKey, Resources>,
}

/// The line of one container. Memory and disk of Mesos' resources are in MiB, what is measured is in
/// bytes, each under Mesos' own name.
#[derive(Serialize)]
struct Line {
    time: String,
    level: &'static str,
    event: &'static str,
    /// Set if what was measured is also part of the line of another container.
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<bool>,
    /// Set if nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<&'static str>,
    #[serde(flatten)]
    amounts: BTreeMap<String, f64>,
    #[serde(flatten)]
    measured: BTreeMap<String, serde_json::Number>,
}

/// The containers in an answer, and the line of each; those that are not told apart are left out.
/// `now` is nanoseconds since the epoch.
///
/// # Errors
/// It is no JSON of this form.
pub(super) fn lines(
    body: &[u8],
    around: &Surroundings,
    now: i64,
) -> Result<Vec<(Ids, Vec<u8>)>, serde_json::Error> {
    let list: List<ContainerJson> = json::read(body)?;
    let of = |container: ContainerJson| {
        let ids = Ids {
            agent: around.agent.clone(),
            framework: container.framework_id.0,
            executor: container.executor_id.0,
            container: container.container_id.0,
        };
        let ids = ids.checked()?;
        let line = line_of(&ids, container.statistics, around, now);
        Some((ids, line))
    };
    Ok(list.0.into_iter().filter_map(of).collect())
}

fn line_of(ids: &Ids, statistics: Statistics, around: &Surroundings, now: i64) -> Vec<u8> {
    let Statistics { timestamp, measured } = statistics;
    let time = timestamp.map_or(now, nanos);
    let mut amounts = BTreeMap::new();
    if let Some(request) = around.requests.get(&ids.key()) {
        put(&mut amounts, "allocated", request);
    }
    put(&mut amounts, "agent", &around.total);
    put(&mut amounts, "agent_allocated", &around.allocated);
    line(&Line {
        time: rfc3339(time),
        level: "info",
        event: "statistics",
        nested: None,
        statistics: is_unmeasured(&measured).then_some("unknown"),
        amounts,
        measured,
    })
}

/// Limits are known of what nobody measures, too.
fn is_unmeasured(measured: &BTreeMap<String, serde_json::Number>) -> bool {
    measured.keys().all(|name| name.contains("limit"))
}

/// The line of a container in another one; `None` if nothing is measured of it by itself, which is so
/// where it shares the other's cgroup.
pub(super) fn nested_line(
    statistics: Statistics,
    around: &Surroundings,
    now: i64,
) -> Option<Vec<u8>> {
    let Statistics { timestamp, measured } = statistics;
    if is_unmeasured(&measured) {
        return None;
    }
    let mut amounts = BTreeMap::new();
    put(&mut amounts, "agent", &around.total);
    put(&mut amounts, "agent_allocated", &around.allocated);
    Some(line(&Line {
        time: rfc3339(timestamp.map_or(now, nanos)),
        level: "info",
        event: "statistics",
        nested: Some(true),
        statistics: None,
        amounts,
        measured,
    }))
}

fn put(amounts: &mut BTreeMap<String, f64>, prefix: &str, resources: &Resources) {
    for (name, amount) in [
        ("cpus", resources.cpus),
        ("mem_mib", resources.mem),
        ("disk_mib", resources.disk),
        ("gpus", resources.gpus),
    ] {
        amounts.extend(amount.0.map(|amount| (format!("{prefix}_{name}"), amount)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::json::Number;
    use super::*;

    fn around() -> Surroundings {
        let resources = |cpus| Resources { cpus: Number(Some(cpus)), ..Resources::default() };
        let ids = Ids {
            agent: "A".into(),
            framework: "F".into(),
            executor: "e".into(),
            container: "c".into(),
        };
        Surroundings {
            agent: "A".into(),
            total: resources(8.0),
            allocated: resources(4.15),
            requests: HashMap::from([(ids.key(), resources(1.1))]),
        }
    }

    fn found(body: &str) -> Vec<Value> {
        let lines = lines(body.as_bytes(), &around(), 7_000_000_000).expect("an answer");
        lines
            .iter()
            .map(|(_, line)| {
                assert!(line.starts_with(b"{\"time\":\"") && line.ends_with(b"}\n"));
                serde_json::from_slice(line).expect("JSON")
            })
            .collect()
    }

    #[test]
    fn numbers_keep_their_names_and_infinite_ones_are_unknown() {
        let found = found(
            r#"[{"framework_id":"F","executor_id":"e","container_id":"c","statistics":{
              "timestamp":1787220000.5,"cpus_user_time_secs":100.25,"mem_rss_bytes":18446744073709551615,
              "cpus_limit":"Infinity","net_rx_bytes":7,"disk_statistics":[{"used_bytes":1}],"a\"b":1}}]"#,
        );
        let one = &found[0];
        assert_eq!(one["time"], "2026-08-20T10:00:00.500000Z");
        assert_eq!(one["cpus_user_time_secs"], 100.25);
        assert_eq!(one["mem_rss_bytes"].as_u64(), Some(u64::MAX));
        assert_eq!((&one["net_rx_bytes"], &one["allocated_cpus"]), (&7.into(), &1.1.into()));
        assert_eq!((&one["agent_cpus"], &one["agent_allocated_cpus"]), (&8.0.into(), &4.15.into()));
        for absent in ["cpus_limit", "statistics", "disk_statistics", "a\"b", "allocated_gpus"] {
            assert!(one.get(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn only_so_many_numbers_are_kept_whatever_else_there_is() {
        let numbers: Vec<String> = (0..500).map(|n| format!("\"n{n:03}\":{n}")).collect();
        let body = format!(
            r#"[{{"framework_id":"F","executor_id":"e","container_id":"c","statistics":{{
              "deep":[[{{"x":[1]}}]],{},"timestamp":5}}}},
              {{"framework_id":"F","executor_id":"e","container_id":"c","statistics":[{{}}, 3]}}]"#,
            numbers.join(",")
        );
        let found = found(&body);
        let kept = |n: usize| found[0].get(format!("n{n:03}")).is_some();
        assert_eq!((0..500).filter(|n| kept(*n)).collect::<Vec<_>>(), (0..128).collect::<Vec<_>>());
        assert_eq!(found[0]["time"], "1970-01-01T00:00:05.000000Z");
        assert_eq!(found[1]["statistics"], "unknown");
    }

    #[test]
    fn what_was_not_measured_is_unknown_and_not_zero() {
        let found = found(
            r#"[{"framework_id":"F","executor_id":"e","container_id":"c"},
                {"framework_id":"F","executor_id":"e","container_id":"../x","statistics":{}}]"#,
        );
        assert_eq!(found.len(), 1, "an id that is no name is left out");
        assert_eq!(found[0]["statistics"], "unknown");
        assert_eq!(found[0]["time"], "1970-01-01T00:00:07.000000Z");
        assert!(found[0].get("cpus_user_time_secs").is_none());
    }
}
