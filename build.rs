//! Tells the binary which commit and which compiler made it. Without git, or outside of a checkout of
//! its own, the commit is "unknown" and the build goes on.

use std::path::Path;
use std::process::Command;

const UNKNOWN: &str = "unknown";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let checkout = is_own_checkout();
    let ask = |args: &[&str]| if checkout { git(args) } else { None };
    set("SAWLOG_GIT_COMMIT", ask(&["rev-parse", "--short=12", "HEAD"]));
    set("SAWLOG_COMMIT_DATE", ask(&["log", "-1", "--format=%cI", "HEAD"]));
    set("SAWLOG_RUSTC", std::env::var("RUSTC").ok().and_then(|rustc| run(&rustc, &["-V"])));
    set("SAWLOG_TARGET", std::env::var("TARGET").ok());
    set("SAWLOG_PROFILE", std::env::var("PROFILE").ok());
    if checkout {
        watch_head();
    }
}

fn set(name: &str, value: Option<String>) {
    println!("cargo:rustc-env={name}={}", value.as_deref().unwrap_or(UNKNOWN));
}

/// Whether the sources are a checkout, and not a copy that lies inside of another one.
fn is_own_checkout() -> bool {
    let real = |path: &str| Path::new(path).canonicalize().ok();
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|top| real(&top));
    top.is_some() && top == real(".")
}

/// Runs this script again when HEAD moves. `git` says where its files are: in a worktree, `.git` is
/// a file. A path that is not there would run it each time, so it is left out; the log of HEAD grows
/// with each move.
fn watch_head() {
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    run("git", args)
}

/// The first line of what a program says; `None` if there is no such program or it fails.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next().unwrap_or_default().trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
