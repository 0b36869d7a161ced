//! Programs of others that tests play with, where they are installed.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Where programs are that are no user's: not in everybody's `PATH`.
const ELSEWHERE: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"];

/// A program of the Debian package. `None` without it: the test then returns, and what it would have
/// shown has loudly been said to be skipped. Panics instead if `CI=true`.
pub(crate) fn find(program: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(ELSEWHERE.map(PathBuf::from));
    let found = dirs.map(|dir| dir.join(program)).find(|path| is_program(path));
    if found.is_none() {
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "in CI the tests with {program} must run: install {package}");
        // Written past the test harness, which would keep it to itself.
        let mut out = std::io::stderr().lock();
        writeln!(out, "\nTESTS WITH {program} SKIPPED: install {package}\n").unwrap();
    }
    found
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}
