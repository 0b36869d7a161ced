//! A collector that is not root: with one capability it reads all sandboxes, without it says why not.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::node::{Setup, eventually};

const RUN: &str = "work/slaves/S1/frameworks/F1/executors/E1/runs/c1";
/// Some task's user.
const TASK_USER: u32 = 12_345;

/// A sandbox that only its owner and root look into. `None`, loudly, where that cannot be had.
fn closed_sandbox() -> Option<tempfile::TempDir> {
    let has_setpriv = std::process::Command::new("setpriv").arg("--version").output().is_ok();
    if !rustix::process::geteuid().is_root() || !has_setpriv {
        eprintln!("SKIPPED: this test needs root and setpriv");
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
    let node = setup(dir.path()).capable(dir.path(), "dac_read_search").start().ready();
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

/// With leases it knows that somebody still writes a line: what stands in a newer file does not go on
/// with it. It would be joined after 2 s if nobody could tell.
#[test]
fn with_leases_a_line_that_is_still_written_is_not_joined() {
    let Some(dir) = closed_sandbox() else { return };
    let stdout = dir.path().join(RUN).join("stdout");
    let mut writer = std::fs::File::options().append(true).open(&stdout).unwrap();
    writer.write_all(b"half").unwrap();
    std::fs::rename(&stdout, stdout.with_extension("1")).unwrap();
    std::fs::write(&stdout, "whole\n").unwrap();
    restrict(&stdout, 0o600);
    let node = setup(dir.path()).capable(dir.path(), "dac_read_search,+lease").start().ready();
    let whole = || node.count(r#"{container="c1"} |~ "^whole$""#);
    eventually("the newer file's line", whole, |lines| *lines == 1);
    drop(writer);
    let half = || node.count(r#"{container="c1"} |~ "^half$""#);
    eventually("the line that was not finished", half, |lines| *lines == 1);
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
