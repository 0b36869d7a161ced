//! A process from outside: stopped and continued, and what the kernel says of its files, reads and time.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::node::{Node, eventually};

fn pid(node: &Node) -> Pid {
    Pid::from_raw(node.pid() as i32).expect("a process has a number")
}

fn read(node: &Node, name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{}/{name}", node.pid())).unwrap()
}

/// Behind the name in parentheses, which may hold anything.
fn stat(node: &Node) -> Vec<String> {
    let stat = read(node, "stat");
    let (_, rest) = stat.rsplit_once(") ").expect("stat names the process");
    rest.split(' ').map(ToOwned::to_owned).collect()
}

/// SIGSTOP, and waits until it stands.
pub(super) fn stop(node: &Node) {
    kill_process(pid(node), Signal::STOP).expect("it runs");
    eventually("stopped", || stat(node)[0].clone(), |state| state == "T");
}

/// SIGCONT.
pub(super) fn go_on(node: &Node) {
    kill_process(pid(node), Signal::CONT).expect("it stands");
}

/// Reads and writes that the process asked the kernel for.
pub(super) fn io_calls(node: &Node) -> u64 {
    let io = read(node, "io");
    let calls = io.lines().filter(|line| line.starts_with("syscr:") || line.starts_with("syscw:"));
    calls.filter_map(|line| line.split(' ').nth(1)?.parse::<u64>().ok()).sum()
}

/// Processor time, in user mode and in the kernel.
pub(super) fn cpu_time(node: &Node) -> Duration {
    // The kernel's unit in this file is a hundredth of a second on every machine.
    const TICK: Duration = Duration::from_millis(10);
    let stat = stat(node);
    let ticks = |at: usize| stat[at].parse::<u32>().expect("a number");
    TICK * (ticks(11) + ticks(12))
}

/// Bytes on disk of files below `dir` that have no name any more and that the process holds.
pub(super) fn deleted_bytes(node: &Node, dir: &Path) -> u64 {
    deleted(node, dir).iter().map(|(_, bytes)| bytes).sum()
}

/// The same files one by one: what they were called, and their bytes on disk.
pub(super) fn deleted(node: &Node, dir: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap() {
        let path = entry.unwrap().path();
        // A file that was closed meanwhile is none.
        let Ok(target) = std::fs::read_link(&path) else { continue };
        let is_deleted = target.to_string_lossy().ends_with(" (deleted)");
        if target.starts_with(dir)
            && is_deleted
            && let Ok(file) = std::fs::metadata(&path)
        {
            found.push((target.display().to_string(), file.blocks() * 512));
        }
    }
    found
}
