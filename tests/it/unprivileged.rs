//! A collector that is not root: with one capability it reads all sandboxes, without it says why not.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use crate::node::{Node, Setup, eventually};

const RUN: &str = "work/slaves/S1/frameworks/F1/executors/E1/runs/c1";
/// Some task's user.
const TASK_USER: u32 = 12_345;
/// Who has these is told by the kernel whether anybody writes a file.
const WITH_LEASES: &str = "dac_read_search,+lease";
/// And who has only this is not.
pub(crate) const WITHOUT_LEASES: &str = "dac_read_search";

/// Whether processes can be given single capabilities; says so, loudly, where they cannot.
pub(crate) fn can_restrict() -> bool {
    let has_setpriv = std::process::Command::new("setpriv").arg("--version").output().is_ok();
    let can = rustix::process::geteuid().is_root() && has_setpriv;
    if !can {
        eprintln!("SKIPPED: this test needs root and setpriv");
    }
    can
}

/// A sandbox that only its owner and root look into. `None`, loudly, where that cannot be had.
fn closed_sandbox() -> Option<tempfile::TempDir> {
    if !can_restrict() {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join(RUN);
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("stdout"), "one\ntwo\n").unwrap();
    restrict(&run.join("stdout"), 0o600);
    restrict(&run, 0o750);
    Some(dir)
}

fn restrict(path: &Path, mode: u32) {
    chown(path, Some(TASK_USER), Some(TASK_USER)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn setup(dir: &Path) -> Setup {
    Setup::new(&dir.join("data")).arg("--mesos-work-dir", dir.join("work"))
}

#[test]
fn one_capability_is_enough_to_read_what_tasks_wrote() {
    let Some(dir) = closed_sandbox() else { return };
    let node = setup(dir.path()).capable(dir.path(), WITHOUT_LEASES).start().ready();
    let lines = || node.export(r#"{container="c1"}"#);
    eventually("both lines", lines, |lines| lines == b"one\ntwo\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("Uid:"), "65534");
    // Bit 2 is CAP_DAC_READ_SEARCH.
    assert_eq!(u64::from_str_radix(&field("CapEff:"), 16).unwrap(), 1 << 2);
    // And what is written later, in a new sandbox.
    let run = dir.path().join(RUN).with_file_name("c2");
    std::fs::create_dir(&run).unwrap();
    restrict(&run, 0o700);
    std::fs::write(run.join("stdout"), "three\n").unwrap();
    restrict(&run.join("stdout"), 0o600);
    eventually("a new sandbox", || node.export(r#"{container="c2"}"#), |lines| lines == b"three\n");
}

/// A file of the task's, open for appending as the task itself has it.
fn task_file(path: &Path) -> File {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::options().create(true).append(true).open(path).unwrap();
    restrict(path, 0o600);
    restrict(path.parent().unwrap(), 0o750);
    file
}

fn lines(node: &Node, line: &str) -> u64 {
    node.count(&format!(r#"{{stream="stdout"}} |~ "^{line}$""#))
}

/// What stands in a newer file does not go on with a line that somebody still writes, whether that
/// is known or not.
fn nothing_is_glued(capability: &'static str) {
    let Some(dir) = closed_sandbox() else { return };
    let stdout = dir.path().join(RUN).join("stdout");
    let mut writer = task_file(&stdout);
    writer.write_all(b"half").unwrap();
    std::fs::rename(&stdout, stdout.with_extension("1")).unwrap();
    task_file(&stdout).write_all(b"whole\n").unwrap();
    let node = setup(dir.path()).capable(dir.path(), capability).start().ready();
    eventually("the newer file's line", || lines(&node, "whole"), |lines| *lines == 1);
    let is_told = node.log().contains("grant CAP_LEASE");
    assert_eq!(is_told, capability == WITHOUT_LEASES, "{}", node.log());
    writer.write_all(b" done\n").unwrap();
    drop(writer);
    eventually("the rest of the older one's", || lines(&node, "half done"), |lines| *lines == 1);
    assert_eq!(node.count(r#"{container="c1"}"#), 4);
}

#[test]
fn with_leases_a_line_that_is_still_written_is_not_joined() {
    nothing_is_glued(WITH_LEASES);
}

#[test]
fn without_leases_a_line_that_is_still_written_is_not_joined() {
    nothing_is_glued(WITHOUT_LEASES);
}

/// The Mesos logger was here while nobody looked: what it cut is known by its size.
#[test]
fn without_leases_what_the_mesos_logger_cut_is_joined() {
    let Some(dir) = closed_sandbox() else { return };
    let stdout = dir.path().join(RUN).with_file_name("c2").join("stdout");
    let text: Vec<u8> =
        (0..).flat_map(|n| format!("line {n:05}\n").into_bytes()).take(8195).collect();
    let (older, newer) = text.split_at(8192);
    task_file(&stdout).write_all(older).unwrap();
    std::fs::rename(&stdout, stdout.with_extension("1")).unwrap();
    task_file(&stdout).write_all(newer).unwrap();
    let conf = "\"/sandbox/stdout\" {\n  rotate 3\n  size 4096\n}\n";
    task_file(&stdout.with_extension("logrotate.conf")).write_all(conf.as_bytes()).unwrap();
    let node = setup(dir.path()).capable(dir.path(), WITHOUT_LEASES).start().ready();
    let cut = text[8184..8194].escape_ascii().to_string();
    eventually("the line that was cut", || lines(&node, &cut), |lines| *lines == 1);
}

/// Scenario 5, a late writer, of tests/it/scenarios, and its last word without a newline.
fn late_writer(capability: &'static str) {
    let Some(dir) = closed_sandbox() else { return };
    let stdout = dir.path().join(RUN).join("stdout");
    let mut writer = task_file(&stdout);
    let node = setup(dir.path()).capable(dir.path(), capability).start().ready();
    let acknowledged = || node.metric("sawlog_collector_acked_bytes_total");
    eventually("the first lines", acknowledged, |bytes| *bytes == 8.0);
    let aside = dir.path().join("aside");
    std::fs::rename(&stdout, &aside).unwrap();
    std::fs::remove_file(&aside).unwrap();
    task_file(&stdout).write_all(b"new\n").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    writer.write_all(b"late\n").unwrap();
    // Longer than a file without news stays open that is known to be finished.
    std::thread::sleep(Duration::from_secs(12));
    writer.write_all(b"later\n").unwrap();
    drop(writer);
    for line in ["one", "two", "late", "later", "new"] {
        eventually(line, || lines(&node, line), |lines| *lines == 1);
    }
    assert_eq!(node.count(r#"{container="c1"}"#), 5);
}

#[test]
fn with_leases_a_late_writer_is_read() {
    late_writer(WITH_LEASES);
}

#[test]
fn without_leases_a_late_writer_is_read() {
    late_writer(WITHOUT_LEASES);
}

/// Scenario 1: the last line of a container that ended is told soon. One that somebody may go on with
/// is not: with leases never, without them after a minute, so that it comes later though it is older.
fn last_words(capability: &'static str) {
    let Some(dir) = closed_sandbox() else { return };
    let runs = dir.path().join(RUN);
    let mut pausing = task_file(&runs.join("stdout"));
    let mut ending = task_file(&runs.with_file_name("c2").join("stdout"));
    ending.write_all(b"begins\n").unwrap();
    let node = setup(dir.path()).capable(dir.path(), capability).start().ready();
    eventually("it is watched", || lines(&node, "begins"), |lines| *lines == 1);
    pausing.write_all(b"half").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    ending.write_all(b"the end").unwrap();
    drop(ending);
    eventually("the last words", || lines(&node, "the end"), |lines| *lines == 1);
    assert_eq!(lines(&node, "half"), 0);
    assert_eq!(node.metric("sawlog_collector_partial_lines_total"), 1.0);
    pausing.write_all(b" done\n").unwrap();
    eventually("the rest", || lines(&node, "half done"), |lines| *lines == 1);
}

#[test]
fn with_leases_last_words_come_soon() {
    last_words(WITH_LEASES);
}

#[test]
fn without_leases_last_words_come_soon() {
    last_words(WITHOUT_LEASES);
}

#[test]
fn without_it_the_reason_is_told() {
    let Some(dir) = closed_sandbox() else { return };
    let node = setup(dir.path()).unprivileged(dir.path()).start().ready();
    let path = dir.path().join(RUN).join("stdout");
    let told = || {
        let (_, body) = node.get("/api/v1/why", &[("q", path.to_str().unwrap())]);
        String::from_utf8(body).unwrap()
    };
    let told = eventually("the reason", told, |told| told.contains("ermission denied"));
    assert!(told.contains("CAP_DAC_READ_SEARCH"), "{told}");
    assert_eq!(node.count(r#"{container="c1"}"#), 0);
}
