//! The first minute: `sawlog run --demo` has real containers, the searches that it prints find their
//! lines, and nothing of it is left when it has ended, however it ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::node::{Node, Setup, assert_same_bytes, eventually, run};

const CONTAINERS: usize = 6;
/// Small enough that logs are rotated within seconds, large enough that none is deleted as quickly.
const ROTATE_BYTES: &str = "16384";

fn demo(data: &Path) -> Setup {
    Setup::new(data).flag("--demo").arg("--demo-rotate-bytes", ROTATE_BYTES)
}

/// The container processes, once all run.
fn containers(node: &Node) -> Vec<u32> {
    let all = |children: &Vec<u32>| children.iter().all(|pid| is_container(*pid));
    eventually("containers", || node.children(), |found| found.len() == CONTAINERS && all(found))
}

/// Whether the process is a container of a demo; a number alone may be used again.
fn is_container(pid: u32) -> bool {
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.contains("demo-container")
}

/// The searches as they were printed, comments and all.
fn printed_searches(node: &Node) -> Vec<String> {
    let log = eventually("the invitation", || node.log(), |log| log.contains("Ctrl-C"));
    let commands = log.lines().filter(|line| line.starts_with("  ") && line.contains(" search "));
    commands.map(str::to_owned).collect()
}

/// Types a line into a shell: whether it succeeded, and what it wrote.
fn shell(line: &str) -> (bool, String) {
    let shell = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    (shell.status.success(), String::from_utf8_lossy(&shell.stdout).into_owned())
}

/// All logs below the work directory: the log's path, and its rotated files' text, oldest first.
/// Without those of which rotation may have deleted something.
fn whole_logs(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut logs = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            logs.extend(whole_logs(&path));
        } else if matches!(name, "stdout" | "stderr") {
            let rotated = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
            if rotated(4).exists() {
                continue;
            }
            let files =
                (1..4).rev().map(rotated).filter(|file| file.exists()).chain([path.clone()]);
            let text = files.flat_map(|file| std::fs::read(file).unwrap()).collect();
            logs.insert(path.clone(), text);
        }
    }
    logs
}

/// LogQL for the stream of a log in a sandbox, or in Thermos' tree inside of one.
fn selector(log: &Path) -> String {
    let names: Vec<&str> = log.iter().map(|name| name.to_str().unwrap()).collect();
    let runs = names.iter().position(|name| *name == "runs").unwrap();
    let (container, stream) = (names[runs + 1], names[names.len() - 1]);
    let file = match names.len() - runs {
        3 => String::new(),
        _ => names[runs + 2..].join("/"),
    };
    format!(r#"{{container="{container}", stream="{stream}", file="{file}"}}"#)
}

#[test]
fn the_printed_searches_find_lines_of_rotating_containers() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("own.log"));
    std::fs::write(&file, "collected beside the demo\n").unwrap();
    let begin = Instant::now();
    let node = demo(&data).arg("--path", &file).start();
    let searches = printed_searches(&node);
    assert_eq!(searches.len(), 3, "{}", node.log());
    let mut answers = Vec::new();
    for search in &searches {
        let (_, lines) =
            eventually(search, || shell(search), |(ok, lines)| *ok && !lines.is_empty());
        println!("{:?} after the start, {} lines:{search}", begin.elapsed(), lines.lines().count());
        answers.push(lines);
    }
    let payments = |line: &str| line.contains(" /shop/payments ") && line.contains("timeout");
    let refused = |line: &str| line.contains("connection refused");
    assert_entries(&answers[0], payments);
    assert_entries(&answers[1], refused);
    // The request went through three applications.
    let apps = ["/web/frontend", "/shop/api", "/shop/payments"];
    let of_all = |lines: &String| apps.iter().all(|app| lines.contains(&format!(" {app} ")));
    eventually("the request in three applications", || shell(&searches[2]).1, of_all);
    eventually("the file beside it", || node.count(r#"{app="own"}"#), |n| *n == 1);

    let work_dir = data.join("demo");
    let pids = containers(&node);
    let jobs = || node.count(r#"{app="order-export"} |= "begins""#);
    eventually("the job, started again", jobs, |n| *n >= 2);
    let rotated = || find(&work_dir, "stdout.1");
    eventually("rotated logs", rotated, |found| !found.is_empty());
    // Again: a container that was started since counts, too.
    let pids: Vec<u32> = pids.into_iter().chain(node.children()).collect();
    assert_eq!(node.terminate(), Some(0));
    let left: Vec<_> = pids.into_iter().filter(|pid| is_container(*pid)).collect();
    assert!(left.is_empty(), "{left:?} still run");

    // Nothing is read any more: what is found was collected before the end, the last lines too.
    let node = Setup::new(&data).start().ready();
    let mut last_lines = 0;
    let logs = whole_logs(&work_dir);
    for (log, text) in &logs {
        let found = node.export(&selector(log));
        assert_same_bytes(&found, text, &log.display().to_string());
    }
    for app in ["/web/frontend", "/shop/api", "/shop/payments", "/search/indexer"] {
        last_lines += node.count(&format!(r#"{{app="{app}"}} |= "SIGTERM""#));
    }
    assert_eq!(last_lines, 4, "each container's last line");
    assert!(logs.values().filter(|text| !text.is_empty()).count() >= 4, "{:?}", logs.keys());
}

/// All first lines of entries are as they should be; a stack trace goes on below its first line, and
/// only lines that are indented or name a cause do.
fn assert_entries(answer: &str, wanted: impl Fn(&str) -> bool) {
    let (firsts, traces): (Vec<&str>, Vec<&str>) =
        answer.lines().partition(|line| line.starts_with("20"));
    assert!(!firsts.is_empty() && firsts.into_iter().all(wanted), "{answer}");
    let of_a_trace = |line: &&str| line.starts_with([' ', '\t']) || line.contains("Exception");
    assert!(traces.iter().all(of_a_trace), "{answer}");
}

/// All files of this name below a directory.
fn find(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(find(&path, name));
        } else if path.ends_with(name) {
            found.push(path);
        }
    }
    found
}

#[test]
fn after_kill_9_no_process_is_left_and_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut node = demo(&data).start();
    let pids = containers(&node);
    eventually("lines", || node.count(r#"{app="/web/frontend"}"#), |n| *n > 0);
    node.kill();
    let left = || pids.iter().copied().filter(|pid| is_container(*pid)).collect::<Vec<_>>();
    eventually("an end of all containers", left, Vec::is_empty);

    let before = whole_logs(&data.join("demo"));
    let node = demo(&data).start().ready();
    let again = containers(&node);
    assert!(again.iter().all(|pid| !pids.contains(pid)), "{again:?}");
    // The old sandboxes are still there, and each of their lines is found once.
    for (log, text) in &before {
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let export = || node.export(&selector(log));
        let found = eventually("old lines", export, |found| found.len() >= whole);
        assert_same_bytes(&found[..whole], &text[..whole], &log.display().to_string());
    }
    assert!(before.values().any(|text| !text.is_empty()), "the first start left lines");
    assert_eq!(node.terminate(), Some(0));
    assert!(again.into_iter().all(|pid| !is_container(pid)));
}

#[test]
fn the_demos_inner_command_is_not_shown() {
    let help = run(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("config") && !help.contains("demo-container"), "{help}");
}
