//! What people find of an agent's containers, whatever the agent does meanwhile.

use super::answers::{RUNNING_AT, containers, sawtooth, state};
use super::server::{Mood, Server};
use super::work_dir::{AGENT, CHECKOUT, ETL, Expected, MARATHON, WorkDir, out_of_memory};
use crate::node::{Node, Setup, assert_same_bytes, eventually};
use crate::redaction::places::on_disk;

const RUNNING: [(&str, f64); 1] = [("TASK_RUNNING", RUNNING_AT)];
const DIED_AT: f64 = RUNNING_AT + 3600.25;

fn setup(work: &WorkDir, url: &str) -> Setup {
    Setup::new(&work.data())
        .arg("--mesos-work-dir", work.path())
        .arg("--mesos-agent-url", url)
        .arg("--mesos-poll-interval", "200ms")
        .arg("--mesos-stats-interval", "200ms")
        .arg("--task-label", "team")
}

fn selector(labels: &[(&str, String)]) -> String {
    let pairs = labels.iter().map(|(name, value)| format!("{name}={value:?}"));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn assert_all_found(node: &Node, expected: &[Expected]) {
    for file in expected {
        let query = selector(&file.labels);
        let lines = file.content.lines().count() as u64;
        eventually(&query, || node.count(&query), |found| *found == lines);
        assert_same_bytes(&node.export(&query), file.content.as_bytes(), &query);
    }
}

const EVERYTHING: &str = r#"{stream=~"stdout|stderr"}"#;

#[test]
fn nothing_waits_for_an_agent_that_hangs_and_what_it_tells_labels_older_lines() {
    let work = WorkDir::new();
    let server = Server::start(state(&RUNNING, false), containers());
    server.set_mood(Mood::Hangs);
    let node = setup(&work, &server.url()).start();
    let all: u64 = work.expected.iter().map(|file| file.content.lines().count() as u64).sum();
    eventually("lines", || node.count(EVERYTHING), |found| *found == all);
    assert_eq!(node.count(r#"{app="etl executor #7"}"#), 40);
    assert_eq!(node.count(r#"{framework="marathon"}"#), 0);
    assert!(server.questions() > 0, "the agent was asked");

    server.set_mood(Mood::Compresses);
    assert_all_found(&node, &work.expected);
    assert_eq!(node.count(r#"{app="etl executor #7", container="c5b", stream="stdout"}"#), 0);
    assert_eq!(node.count(EVERYTHING), all, "no line came twice, none of what is no log");
    for absent in [r#"{hidden=~".+"}"#, r#"{container=~".*check.*"}"#, r#"{container="c6"}"#] {
        assert_eq!(node.count(absent), 0, "{absent}");
    }
    let found = node.export(r#"{agent=~".+"}"#);
    assert!(memchr::memmem::find(&found, b"never-seen").is_none(), "commands stay where they are");
}

#[test]
fn events_say_why_a_task_died_once_also_through_kill_9() {
    let work = WorkDir::new();
    work.checkpoint(&[]);
    let server = Server::start(state(&RUNNING, false), containers());
    let setup = setup(&work, &server.url());
    let mut node = setup.start();
    let events = r#"{container="c1", app="/shop/checkout", stream="events"}"#;
    eventually("the start", || node.count(events), |found| *found == 1);
    work.checkpoint(&[out_of_memory(DIED_AT)]);
    server.set_state(state(&[RUNNING[0], ("TASK_FAILED", DIED_AT)], true));
    let why = format!(r#"{events} |= "REASON_CONTAINER_LIMITATION_MEMORY" |= "137""#);
    eventually("the death", || node.count(&why), |found| *found == 1);
    eventually("the end", || node.count(events), |found| *found == 3);
    let asked = server.questions();
    node.kill();
    let node = setup.start().ready();
    eventually("questions", || server.questions(), |now| *now > asked + 8);
    assert_eq!(node.count(events), 3, "the same events again are no new ones");
    let text = String::from_utf8(node.export(events)).unwrap();
    let death: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&death["task"], &death["task_name"]), (&CHECKOUT.into(), &"checkout.shop".into()));
    assert_eq!((&death["exit_status"], &death["level"]), (&137.into(), &"error".into()));
    assert_eq!(death["message"], "Memory limit exceeded; Command exited with status 137");
    // Its time is the status', however old that is: a minute around it has all of it.
    let around = format!("{}", DIED_AT as u64 + 30);
    let query = format!(r#"count_over_time({why}[1m])"#);
    let (_, body) = node.get("/loki/api/v1/query", &[("query", &query), ("time", &around)]);
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["data"]["result"][0]["value"][1], "1", "{answer}");
}

/// What leaks in messages, names and labels.
const LEAKS: [&str; 5] = [
    "hunter2hunter2",
    "correct horse battery",
    "label-pass-word-1",
    "swordfish and more",
    "MIIEabcdefgh",
];

#[test]
fn no_secret_of_what_an_agent_tells_is_kept() {
    let work = WorkDir::new();
    let secrets = work.temp().join("secrets");
    std::fs::write(&secrets, "correct horse battery\n").unwrap();
    let mut told = state(&[RUNNING[0], ("TASK_FAILED", DIED_AT)], true);
    let task = &mut told["frameworks"][0]["completed_executors"][1]["tasks"][0];
    assert_eq!(task["id"], CHECKOUT);
    task["statuses"][1]["message"] = "cannot start: password=hunter2hunter2\n\
        -----BEGIN PRIVATE KEY-----\nMIIEabcdefgh\n-----END PRIVATE KEY-----\nsaid the executor"
        .into();
    task["name"] = "with the correct horse battery".into();
    task["labels"] = serde_json::json!([
        {"key": "team", "value": "git clone https://u:label-pass-word-1@h/"},
        {"key": "DB_PASSWORD", "value": "swordfish and more"}]);
    let text = told.to_string();
    assert!(LEAKS.iter().all(|leak| text.contains(leak)), "the agent tells them all: {text}");
    let server = Server::start(told, containers());
    let setup = setup(&work, &server.url())
        .arg("--task-label", "DB_PASSWORD")
        .arg("--secret-file", &secrets)
        .arg("--seal-interval", "1s")
        .says("trace");
    let node = setup.start();
    let events = r#"{container="c1", stream="events"}"#;
    let death = format!(r#"{events} |= "said the executor""#);
    eventually("the death", || node.count(&death), |found| *found == 1);
    let labelled = r#"{container="c1", stream="stdout", DB_PASSWORD=~".+"}"#;
    eventually("labels", || node.count(labelled), |found| *found > 0);
    let clean = |place: &str, bytes: &[u8]| {
        for leak in LEAKS {
            assert!(memchr::memmem::find(bytes, leak.as_bytes()).is_none(), "{leak} in {place}");
        }
    };
    for (path, name, value) in [
        ("/api/v1/export", "query", events),
        ("/loki/api/v1/series", "match[]", events),
        ("/loki/api/v1/label/team/values", "", ""),
        ("/loki/api/v1/label/task_name/values", "", ""),
        ("/api/v1/why", "q", "c1"),
        ("/metrics", "", ""),
    ] {
        clean(path, &node.get(path, &[(name, value)]).1);
    }
    let exported = String::from_utf8(node.export(events)).unwrap();
    assert!(
        exported.contains("[redacted:pair:") && exported.contains("[redacted:pem:"),
        "{exported}"
    );
    assert!(node.metric("sawlog_collector_redacted_total") >= 4.0);
    clean("standard error", node.log().as_bytes());
    assert_eq!(node.terminate(), Some(0));
    let files = on_disk(&setup.data);
    let generated = files.iter().filter(|(name, _)| name.contains("generated/")).count();
    assert!(generated > 0, "events are files");
    files.iter().for_each(|(name, bytes)| clean(name, bytes));
}

#[test]
fn statistics_are_there_for_a_container_without_lines() {
    let work = WorkDir::new();
    let server = Server::start(state(&RUNNING, false), containers());
    let node = setup(&work, &server.url()).start();
    let stats = r#"{app="etl-pipeline", executor="quiet", stream="stats"}"#;
    eventually("statistics", || node.count(stats), |found| *found >= 2);
    let text = String::from_utf8(node.export(stats)).unwrap();
    let one: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(one["cpus_user_time_secs"], 100.25);
    assert_eq!((&one["mem_rss_bytes"], &one["net_rx_bytes"]), (&314_572_800.into(), &7.into()));
    assert_eq!((&one["allocated_cpus"], &one["agent_cpus"]), (&1.1.into(), &8.0.into()));
    assert!(one.get("mem_limit_bytes").is_none(), "no limit is no number");
    let unknown = r#"{container="c1", stream="stats"} |= "unknown""#;
    eventually("a container that could not be measured", || node.count(unknown), |n| *n >= 1);
}

/// The windows of the container with the sawtooth, the first of them first.
fn windows(node: &Node) -> Vec<serde_json::Value> {
    let found = node.export(r#"{app="etl-pipeline", executor="quiet", stream="stats_5m"}"#);
    let text = String::from_utf8(found).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_known_sawtooth_gives_exact_windows_also_through_kill_9() {
    let work = WorkDir::new();
    let mut told = state(&RUNNING, false);
    told["unreserved_resources_allocated"]["cpus"] = 7.2.into();
    let server = Server::start(told, containers());
    server.demand("Bearer abc.def");
    let token = work.temp().join("token");
    std::fs::write(&token, "abc.def\n").unwrap();
    let url = format!("{}/slave(1)", server.url());
    let setup = setup(&work, &url).arg("--mesos-token-file", &token);
    // 15 s pass from one question to the next.
    server.set_containers(sawtooth);
    for asked in [29, 51] {
        let mut node = setup.start();
        eventually("questions", || server.looks(), |looks| *looks >= asked);
        // Who asks again has written what it was told before.
        server.set_mood(Mood::Refuses(503));
        let questions = server.questions();
        eventually("refusals", || server.questions(), |now| *now >= questions + 2);
        node.kill();
        server.set_mood(Mood::Fine);
    }
    let node = setup.start();
    let windows = eventually("windows", || windows(&node), |windows| windows.len() >= 4);
    for (n, window) in windows.iter().enumerate() {
        let of = |name: &str| window[name].as_f64().unwrap();
        let start = format!("2026-08-20T10:{:02}:00.000000Z", 5 * n);
        assert_eq!(window["window_start"], start);
        assert_eq!((of("gaps"), of("resets")), (0.0, 0.0), "{window}");
        assert_eq!((of("agent_cpus"), of("agent_allocated_cpus")), (8.0, 7.2));
        // Of the first nothing is known before its first sample.
        let covered = if n == 0 { 285.0 } else { 300.0 };
        assert_eq!(of("covered_secs"), covered, "{window}");
        let used = of("cpus_user_time_secs_delta") + of("cpus_system_time_secs_delta");
        assert_eq!(used, if n == 0 { 45.0 } else { 54.0 }, "{window}");
        assert_eq!((of("cpus_busy_max"), of("cpus_limit")), (0.6, 1.0));
        assert_eq!(of("net_rx_bytes_delta"), covered / 15.0 * 1000.0);
        assert_eq!((of("mem_rss_bytes_max"), of("samples")), (119e6, 20.0), "{window}");
        if n > 0 {
            assert_eq!(
                (used / covered, of("agent_allocated_cpus") / of("agent_cpus")),
                (0.18, 0.9)
            );
        }
    }
}

#[test]
fn a_task_of_a_pod_has_statistics_and_events_of_its_own() {
    let work = WorkDir::new();
    let server = Server::start(state(&RUNNING, false), containers());
    let node = setup(&work, &server.url()).start();
    let stats = r#"{app="/shop/cart", container="c2.n1", task_name="web", stream="stats"}"#;
    eventually("statistics", || node.count(stats), |found| *found >= 2);
    let text = String::from_utf8(node.export(stats)).unwrap();
    let one: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&one["cpus_user_time_secs"], &one["nested"]), (&12.5.into(), &true.into()));
    assert!(one.get("allocated_cpus").is_none(), "that is the pod's");
    let events = r#"{container="c2.n1", task_name="web", stream="events"}"#;
    eventually("the start", || node.count(events), |found| *found == 1);
    let others = r#"{stream="stats"} |= "12.5""#;
    assert_eq!(node.count(others), node.count(stats), "neither a check's nor the pod's");
    assert_eq!(node.count(r#"{container="c2.n2", stream="stats"}"#), 0, "it shares a cgroup");
}

#[test]
fn an_agent_that_allows_no_calls_is_measured_without_them() {
    let work = WorkDir::new();
    let server = Server::start(state(&RUNNING, false), containers());
    server.refuse_calls();
    let node = setup(&work, &server.url()).start();
    let told = "no statistics of the single tasks of pods";
    eventually("the refusal", || node.log().matches(told).count(), |times| *times == 1);
    let stats = r#"{executor="quiet", stream="stats"}"#;
    let before = node.count(stats);
    eventually("statistics", || node.count(stats), |found| *found >= before + 3);
    assert_eq!(node.log().matches(told).count(), 1, "it is asked again only much later");
}

#[test]
fn an_agents_troubles_are_told_once_and_cost_nothing() {
    let work = WorkDir::new();
    let server = Server::start(state(&RUNNING, false), containers());
    server.demand("Basic c2F3bG9nOnMzY3JldA==");
    let credential = work.temp().join("credential");
    std::fs::write(&credential, "sawlog wrong\n").unwrap();
    let node = setup(&work, &server.url()).arg("--mesos-credential-file", &credential).start();
    let told = |what: &'static str| {
        let asked = server.questions();
        eventually("questions", || server.questions(), |now| *now > asked + 3);
        eventually(what, || node.log().matches(what).count(), |times| *times == 1);
    };
    told("wants to know who asks (401): set mesos_credential_file");
    server.set_mood(Mood::Refuses(503));
    told("has not finished its recovery");
    server.set_mood(Mood::Refuses(403));
    told("refuses this to our principal (403)");
    server.set_mood(Mood::CutsNames);
    // The file is read again: no restart is needed.
    std::fs::write(&credential, r#"{"principal": "sawlog", "secret": "s3cret"}"#).unwrap();
    assert_all_found(&node, &work.expected);
    assert!(!node.log().contains("s3cret"));
    assert!(node.metric("sawlog_collector_mesos_polls_total") >= 8.0);
}

#[test]
fn a_new_id_of_the_agent_is_followed_and_the_old_one_not_forgotten() {
    let work = WorkDir::new();
    let server = Server::start(state(&RUNNING, false), containers());
    let node = setup(&work, &server.url()).start();
    assert_all_found(&node, &work.expected);
    let new_id = "3c7a9f52-1d0e-4b58-9a67-5e2f0c8d4b11-S44";
    let told = state(&RUNNING, false).to_string().replace(AGENT, new_id);
    server.set_state(serde_json::from_str(&told).unwrap());
    let run = work.run(new_id, MARATHON, CHECKOUT, "c1");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("stdout"), "the same ids below another agent\n").unwrap();
    let labels = format!(r#"{{agent="{new_id}", task_name="checkout.shop", stream="stdout"}}"#);
    eventually("a line of the new id", || node.count(&labels), |found| *found == 1);
    let stats = format!(r#"{{agent="{new_id}", container="c1", stream="stats"}}"#);
    eventually("statistics of the new id", || node.count(&stats), |found| *found >= 1);
    for file in &work.expected {
        let mut labels = file.labels.clone();
        let has_agent = labels.iter().any(|(name, _)| *name == "agent");
        if !has_agent && !labels.iter().any(|(_, value)| value == "metrics-probe") {
            labels.push(("agent", AGENT.to_owned()));
        }
        let lines = file.content.lines().count() as u64;
        assert_eq!(node.count(&selector(&labels)), lines, "{labels:?}");
    }
}

#[test]
fn without_an_agent_its_files_tell_and_what_it_told_outlives_it() {
    let work = WorkDir::new();
    work.checkpoint(&[out_of_memory(DIED_AT)]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let node = setup(&work, &format!("http://{closed}")).start();
    let named =
        r#"{container="c1", framework="marathon", task_name="checkout.shop", stream="stdout"}"#;
    eventually("names from meta/", || node.count(named), |found| *found == 23);
    let why = r#"{container="c1", stream="events"} |= "Memory limit exceeded""#;
    eventually("the death", || node.count(why), |found| *found == 1);
    assert_eq!(node.terminate(), Some(0));

    let server = Server::start(state(&RUNNING, false), containers());
    let node = setup(&work, &server.url()).start().ready();
    assert_all_found(&node, &work.expected);
    assert_eq!(node.terminate(), Some(0));
    // The agent has forgotten all; new lines still have their labels.
    let node = setup(&work, "none").start().ready();
    let etl = work.run(AGENT, ETL, "etl executor #7", "c5b");
    std::fs::write(etl.join("stderr"), "a line after all that\n").unwrap();
    let query = r#"{app="etl-pipeline", container="c5b", stream="stderr"}"#;
    eventually("a line of a container that nobody tells of", || node.count(query), |n| *n == 1);
}
