//! A process that writes lines all the while, and opens its file again when it gets SIGHUP, as daemons do.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::writer::{Log, append_to};
use crate::node::eventually;

/// The environment variable that makes a process of this test program such a writer.
const JOB: &str = "SAWLOG_TEST_REOPENER";
/// Lines between two looks at what it was told.
const LINES_AT_ONCE: usize = 20;
const PAUSE: Duration = Duration::from_millis(2);

/// Killed when dropped.
pub(super) struct Reopener {
    child: Child,
    control: PathBuf,
    pub(super) log: Log,
}

impl Reopener {
    /// A writer of lines of `tag`; `dir` gets its own files, none of which is a log.
    pub(super) fn start(dir: &Path, file: &Path, tag: &str) -> Self {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let control = dir.join(format!("control-{tag}"));
        std::fs::create_dir(&control).unwrap();
        let job = [file.to_str().unwrap(), control.to_str().unwrap(), tag].join("\n");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scenarios::reopener::reopening_process", "--ignored"])
            .env(JOB, job)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { child, control, log: log(tag) };
        eventually("the writer runs", || this.control.join("again").exists(), |ready| *ready);
        this
    }

    /// Commands of a shell that tell it to open its file again, and wait until it has.
    pub(super) fn script(&self) -> String {
        let (pid, again) = (self.child.id(), self.control.join("again"));
        let again = again.display();
        format!(
            "rm '{again}' && kill -HUP {pid}\n\
             while [ ! -e '{again}' ]; do kill -0 {pid} || exit 1; sleep 0.01; done\n"
        )
    }

    pub(super) fn reopen(&self) {
        let status = Command::new("sh").arg("-c").arg(self.script()).status().unwrap();
        assert!(status.success());
    }

    /// Ends it; gives how many lines it has written.
    pub(super) fn end(mut self) -> u32 {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
        std::fs::read_to_string(self.control.join("lines")).unwrap().parse().unwrap()
    }
}

impl Drop for Reopener {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

fn log(tag: &str) -> Log {
    Log::new(tag, 50..=300)
}

#[test]
#[ignore = "not a test: the body of a writer process"]
fn reopening_process() {
    let text = std::env::var(JOB).expect("started by `Reopener::start` only");
    let parts: Vec<&str> = text.split('\n').collect();
    let (path, control, log) = (Path::new(parts[0]), Path::new(parts[1]), log(parts[2]));
    let (is_told, is_over) = (hangups(), end_of_input());
    let mut file = append_to(path);
    File::create(control.join("again")).unwrap();
    let mut lines = 0;
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..LINES_AT_ONCE {
            file.write_all(&log.line(lines)).unwrap();
            lines += 1;
        }
        if is_told.swap(false, Ordering::Relaxed) {
            file = append_to(path);
            File::create(control.join("again")).unwrap();
        }
        std::thread::sleep(PAUSE);
    }
    std::fs::write(control.join("lines"), lines.to_string()).unwrap();
}

/// Set whenever SIGHUP comes; it does no harm from here on.
fn hangups() -> Arc<AtomicBool> {
    let is_told = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let told = is_told.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut hangups = signal(SignalKind::hangup()).unwrap();
            ready.send(()).unwrap();
            while hangups.recv().await.is_some() {
                told.store(true, Ordering::Relaxed);
            }
        });
    });
    is_ready.recv().unwrap();
    is_told
}

/// Set when whoever started this closes its input, or ends.
fn end_of_input() -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        over.store(true, Ordering::Relaxed);
    });
    is_over
}
