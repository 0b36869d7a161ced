//! What the agent answers: the state of its frameworks, and the statistics of its containers.

use serde_json::{Value, json};

use super::work_dir::{
    AGENT, AURORA, CART, CART_WEB, CHECKOUT, CHRONOS, ETL, HELLO, MARATHON, NIGHTLY, REPORT,
};

/// When things began: two days before the clock of any test that runs these days.
pub(super) const RUNNING_AT: f64 = 1_787_216_400.0;

fn status(state: &str, at: f64, container: Option<Value>) -> Value {
    let mut status = json!({"state": state, "timestamp": at});
    if let Some(id) = container {
        status["container_status"] = json!({"container_id": id, "network_infos": []});
    }
    status
}

fn task(id: &str, name: &str, statuses: Vec<Value>) -> Value {
    json!({"id": id, "name": name, "slave_id": AGENT, "state": "TASK_RUNNING",
           "resources": {"cpus": 1.0, "mem": 512.0}, "limits": {"cpus": "Infinity", "mem": 512.0},
           "role": "*", "statuses": statuses})
}

fn executor(framework: &str, id: &str, container: &str, tasks: Vec<Value>) -> Value {
    json!({"id": id, "name": "", "source": "", "container": container,
           "directory": format!("/mnt/elsewhere/slaves/{AGENT}/frameworks/{framework}/executors/{id}/runs/{container}"),
           "resources": {"cpus": 1.1, "mem": 544.0, "disk": 0.0, "gpus": 0.0}, "tasks": tasks,
           "queued_tasks": [{"id": "q", "name": "q", "command": {"value": "PASSWORD=never-seen"}}],
           "completed_tasks": []})
}

/// The state; `checkout` is what became of the shop's task.
pub(super) fn state(checkout: &[(&str, f64)], ended: bool) -> Value {
    let report = executor(MARATHON, REPORT, "c3", vec![task(REPORT, "report.batch", vec![])]);
    let (mut running, mut completed) = (vec![cart()], vec![report]);
    if ended { &mut completed } else { &mut running }.push(shop(checkout));
    let hello_running = task(HELLO, "", vec![status("TASK_RUNNING", RUNNING_AT, None)]);
    let mut hello = executor(AURORA, &format!("thermos-{HELLO}"), "c4", vec![hello_running]);
    hello["source"] = "www-data.prod.hello.0".into();
    let stages = vec![task("0", "stage 0", vec![]), task("1", "stage 1", vec![])];
    let etl = executor(ETL, "etl executor #7", "c5b", stages);
    let quiet = executor(ETL, "quiet", "c8", vec![]);
    let failed = task("warm", "warmup", vec![status("TASK_FAILED", 5.0, None)]);
    let gone = executor(ETL, "etl-warmup", "c6", vec![failed]);
    let nightly = task(NIGHTLY, "ChronosTask:nightly-report", vec![]);
    let nightly = executor(CHRONOS, NIGHTLY, "c7", vec![nightly]);
    json!({"id": AGENT, "hostname": "agent-01",
        "resources": {"cpus": 8.0, "mem": 15021.0, "disk": 204_800.0},
        "unreserved_resources_allocated": {"cpus": 4.15, "mem": 1728.0},
        "reserved_resources_allocated": {},
        "frameworks": [
            {"id": MARATHON, "name": "marathon", "user": "root", "principal": "marathon",
             "checkpoint": true, "role": "*", "executors": running, "completed_executors": completed},
            {"id": AURORA, "name": "Aurora", "user": "www-data", "executors": [hello],
             "completed_executors": []},
            {"id": ETL, "name": "etl-pipeline", "user": "etl", "roles": ["etl"],
             "executors": [etl, quiet], "completed_executors": [gone]}],
        "completed_frameworks": [
            {"id": CHRONOS, "name": "chronos", "user": "root", "executors": [],
             "completed_executors": [nightly]}]})
}

/// A command task.
fn shop(states: &[(&str, f64)]) -> Value {
    let statuses = states.iter().map(|(state, at)| status(state, *at, None)).collect();
    let mut task = task(CHECKOUT, "checkout.shop", statuses);
    task["labels"] = json!([{"key": "team", "value": "shop"}, {"key": "hidden", "value": "no"}]);
    let mut shop = executor(MARATHON, CHECKOUT, "c1", vec![task]);
    // Cut at a byte by the agent: its last character is not whole.
    shop["name"] = "Command Executor (Command: sh -c 'echo 日".into();
    shop
}

/// A pod: of one task its status tells the container, of the other only the link in the sandbox.
fn cart() -> Value {
    let container = json!({"value": "n1", "parent": {"value": "c2"}});
    let web = task(CART_WEB, "web", vec![status("TASK_RUNNING", RUNNING_AT, Some(container))]);
    let sidecar = task("shop_cart.sidecar", "sidecar", vec![]);
    let mut cart = executor(MARATHON, CART, "c2", vec![web, sidecar]);
    cart["type"] = "DEFAULT".into();
    cart
}

/// The statistics: of one container they are there, of one they are not.
pub(super) fn containers() -> Value {
    let of = |framework: &str, executor: &str, container: &str| {
        json!({"framework_id": framework, "executor_id": executor, "container_id": container,
               "status": {"container_id": {"value": container}}})
    };
    let mut quiet = of(ETL, "quiet", "c8");
    quiet["statistics"] = json!({"timestamp": 1_787_220_000.5, "cpus_user_time_secs": 100.25,
        "cpus_limit": 1.0, "cpus_nr_throttled": 12, "mem_rss_bytes": 314_572_800_u64,
        "disk_used_bytes": 12_582_912, "net_rx_bytes": 7, "mem_limit_bytes": "Infinity"});
    json!([quiet, of(MARATHON, CHECKOUT, "c1")])
}

/// The first sample of [`sawtooth`]: a multiple of five minutes.
const SAWTOOTH_AT: i64 = 1_787_220_000;

/// The statistics of a container that uses 18 % of a processor, in teeth of ten samples of 15 s; 90 %
/// of the agent's processors are allocated. `sample` is which of them this is.
pub(super) fn sawtooth(sample: u64) -> Value {
    let n = i64::try_from(sample).unwrap();
    // Of a tooth, the sixth to the tenth interval are used, 1.8 s to 9 s of each.
    let used: i64 = (0..n).map(|n| (n % 10 - 4).max(0)).sum();
    json!([{"framework_id": ETL, "executor_id": "quiet", "container_id": "c8",
        "statistics": {"timestamp": SAWTOOTH_AT + 15 * n, "cpus_limit": 1.0,
            "cpus_user_time_secs": used as f64 * 1.5, "cpus_system_time_secs": used as f64 * 0.3,
            "cpus_nr_periods": 150 * n, "cpus_nr_throttled": 3 * n, "net_rx_bytes": 1000 * n,
            "mem_rss_bytes": 100_000_000 + n % 20 * 1_000_000, "mem_limit_bytes": 536_870_912}}])
}

/// The same with what is nested, as calls tell it: its parents are in the status only. What shares the
/// pod's cgroup is not measured by itself.
pub(super) fn nested_containers() -> Value {
    let of = |name: &str, statistics: Value| {
        let id = json!({"value": name, "parent": {"value": "c2"}});
        json!({"container_id": {"value": name}, "container_status": {"container_id": id},
               "resource_statistics": statistics})
    };
    let measured = json!({"timestamp": 1_787_220_000.5, "cpus_user_time_secs": 12.5,
        "mem_rss_bytes": 1_048_576, "cpus_limit": 1.0});
    let shares = json!({"timestamp": 1_787_220_000.5, "mem_limit_bytes": 1_048_576});
    let pod = json!({"framework_id": {"value": MARATHON}, "executor_id": {"value": CART},
        "container_id": {"value": "c2"},
        "container_status": {"container_id": {"value": "c2"}},
        "resource_statistics": measured});
    let check = of("check-7", measured.clone());
    let containers = [pod, of("n1", measured), of("n2", shares), check];
    json!({"type": "GET_CONTAINERS", "get_containers": {"containers": containers}})
}
