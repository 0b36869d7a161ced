//! `sawlog pipe`: a container's logger that rotates without losing a line, whatever the collector does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use rustix::process::{Pid, Signal, kill_process};

use crate::mesos_logger::line;
use crate::node::{Node, Setup, assert_same_bytes, eventually, sawlog};

const SIZE_MAX: usize = 64 * 1024;
const ROTATIONS: usize = 200;

struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(this.path()).unwrap();
        this
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("work/slaves/S1/frameworks/F1/executors/E1/runs/c1")
    }

    fn node(&self) -> Node {
        Setup::new(&self.dir.path().join("data"))
            .arg("--mesos-work-dir", self.dir.path().join("work"))
            .start()
            .ready()
    }

    /// The environment is as blank as Mesos' module leaves it.
    fn pipe(&self, collector: &str, args: &[&str]) -> Pipe {
        let mut child = sawlog()
            .env_clear()
            .env("MESOS_LOG_STREAM", "STDOUT")
            .env("MESOS_LOG_SANDBOX_DIRECTORY", self.path())
            .args(["pipe", "--collector", collector, "--max-size", &SIZE_MAX.to_string()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        Pipe { child, input }
    }

    /// Sizes of the log's files, of the current one first.
    fn sizes(&self) -> Vec<u64> {
        let entries = std::fs::read_dir(self.path()).unwrap().map(Result::unwrap);
        // A file may be renamed or removed meanwhile.
        let sizes = entries
            .filter(|entry| is_log(&entry.path()))
            .filter_map(|entry| entry.metadata().ok().map(|found| found.len()));
        sizes.collect()
    }
}

fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"stdout"))
}

struct Pipe {
    child: Child,
    input: Option<ChildStdin>,
}

impl Pipe {
    fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Ends the stream; what the process said.
    fn end(mut self) -> String {
        self.input = None;
        assert!(self.child.wait().unwrap().success());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}

fn check(node: &Node, truth: &[u8]) {
    let lines = truth.iter().filter(|byte| **byte == b'\n').count() as u64;
    let found = || node.count(r#"{container="c1"}"#);
    eventually("lines found", found, |n| *n >= lines);
    assert_eq!(found(), lines);
    assert_same_bytes(&node.export(r#"{container="c1"}"#), truth, "the container");
}

/// At full speed, 200 files; for a third of them the collector stands still.
#[test]
fn two_hundred_rotations_lose_nothing_while_the_collector_stands_still() {
    let sandbox = Sandbox::new();
    let node = sandbox.node();
    let mut pipe = sandbox.pipe(&node.addr, &[]);
    let mut truth = Vec::new();
    let (mut most, mut n) = (0, 0);
    while truth.len() < (ROTATIONS + 1) * SIZE_MAX {
        let before = truth.len() * 3 / (ROTATIONS * SIZE_MAX);
        let line = line(1, n);
        n += 1;
        pipe.write(&line);
        truth.extend_from_slice(&line);
        match (before, truth.len() * 3 / (ROTATIONS * SIZE_MAX)) {
            (0, 1) => node.pause(),
            (1, 2) => {
                most = sandbox.sizes().len();
                node.resume();
            }
            _ => {}
        }
    }
    assert!(most >= ROTATIONS / 3, "nothing was removed while nobody acknowledged: {most} files");
    check(&node, &truth);
    // The current one, and two to keep.
    eventually("removed", || sandbox.sizes().len(), |files| *files == 3);
    let said = pipe.end();
    assert!(!said.contains("unacknowledged") && !said.contains("WARN"), "{said}");
    check(&node, &truth);
    for size in sandbox.sizes() {
        assert!(size <= SIZE_MAX as u64 + 8192, "{size}");
    }
}

#[test]
fn a_container_waits_rather_than_lose_if_told_so() {
    let sandbox = Sandbox::new();
    let node = sandbox.node();
    let limit = 4 * SIZE_MAX;
    let mut pipe =
        sandbox.pipe(&node.addr, &["--when-full", "block", "--keep-bytes-max", &limit.to_string()]);
    node.pause();
    let truth: Vec<u8> = (0..20_000).flat_map(|n| line(2, n)).collect();
    assert!(truth.len() > 8 * limit);
    let mut input = pipe.input.take().unwrap();
    let written = truth.clone();
    let writer = std::thread::spawn(move || input.write_all(&written));
    // It fills up, and then stays as it is.
    let total = || sandbox.sizes().iter().sum::<u64>();
    eventually("full", total, |bytes| *bytes > limit as u64);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(total() <= (limit + 3 * SIZE_MAX) as u64, "{} bytes", total());
    assert!(!writer.is_finished());
    node.resume();
    writer.join().unwrap().unwrap();
    check(&node, &truth);
    assert!(!pipe.end().contains("unacknowledged"));
}

#[test]
fn without_a_collector_the_newest_lines_stay() {
    let sandbox = Sandbox::new();
    let mut pipe = sandbox.pipe("http://127.0.0.1:1", &["--keep-bytes-max", "256KiB"]);
    let truth: Vec<u8> = (0..20_000).flat_map(|n| line(3, n)).collect();
    pipe.write(&truth);
    let said = pipe.end();
    assert!(said.contains("unacknowledged"), "{said}");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(sandbox.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // stdout.5 … stdout.1, stdout: the oldest first.
    names.sort_by_key(|path| {
        let age = path.extension().map_or(0, |age| age.to_str().unwrap().parse::<u32>().unwrap());
        std::cmp::Reverse(age)
    });
    let kept: Vec<u8> = names.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    assert!(kept.len() > 128 * 1024, "{} bytes", kept.len());
    assert!(truth.ends_with(&kept), "what is kept is the end, without a gap");
    assert_eq!(truth[truth.len() - kept.len() - 1], b'\n', "it begins with a line");
}

/// A session that ends takes its processes along, but not a container's logger.
#[test]
fn only_the_end_of_the_stream_ends_it() {
    let sandbox = Sandbox::new();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(sandbox.path(), Some(65534), Some(65534)).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(sandbox.dir.path(), open).unwrap();
    }
    let mut pipe = sandbox.pipe("http://127.0.0.1:1", &[]);
    pipe.write(b"one\n");
    let file = sandbox.path().join("stdout");
    let text = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("written at once", text, |text| text == "one\n");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(Pid::from_child(&pipe.child), signal).unwrap();
    }
    pipe.write(b"two, and no end");
    assert_eq!(pipe.end(), "");
    assert_eq!(text(), "one\ntwo, and no end");
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&file), owner(&sandbox.path()), "the sandbox's owner wrote it");
}

/// Somebody who listens where the collector should, and says that every file is acknowledged.
struct Impostor {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Impostor {
    /// Its socket is another user's, as if that one had made it.
    fn of_user(uid: u32, sandbox: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        std::os::unix::fs::fchown(&listener, Some(uid), None).unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        // It ends with the tests.
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                // Who hangs up is asked again.
                answer(connection, &all_acknowledged(&sandbox)).unwrap_or_default();
            }
        });
        Self { addr, asked }
    }
}

fn answer(connection: TcpStream, body: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(&connection).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n";
    write!(&connection, "{head}content-length: {}\r\n\r\n{body}", body.len())
}

fn all_acknowledged(sandbox: &Path) -> String {
    let files = std::fs::read_dir(sandbox).unwrap().map(Result::unwrap);
    let files = files.filter_map(|entry| entry.metadata().ok()).map(|found| {
        let birth =
            found.created().map_or(0, |at| at.duration_since(UNIX_EPOCH).unwrap().as_nanos());
        let (device, inode) = (found.dev(), found.ino());
        format!(
            r#"{{"device":{device},"inode":{inode},"birth_time":{birth},"acknowledged":{}}}"#,
            i64::MAX
        )
    });
    format!("[{}]", files.collect::<Vec<_>>().join(","))
}

/// A task that has the host's network can listen there while the collector is away.
#[test]
fn whoever_else_listens_where_the_collector_should_removes_nothing() {
    const TASK_USER: u32 = 12_345;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: this test needs root");
        return;
    }
    let believed: [(u32, &[&str], bool); 4] = [
        (0, &[], true),
        (TASK_USER, &[], false),
        (TASK_USER, &["--collector-user", "12345"], true),
        (TASK_USER, &["--collector-user", "any"], true),
    ];
    for (uid, args, is_believed) in believed {
        let sandbox = Sandbox::new();
        let impostor = Impostor::of_user(uid, sandbox.path());
        let mut pipe = sandbox.pipe(&format!("http://{}", impostor.addr), args);
        let said = BufReader::new(pipe.child.stderr.take().unwrap());
        let truth: Vec<u8> = (0..10_000).flat_map(|n| line(4, n)).collect();
        pipe.write(&truth);
        let files = || sandbox.sizes().len();
        if is_believed {
            // The current one, and two to keep: this is how it would be.
            eventually("removed", files, |files| *files == 3);
            assert!(impostor.asked.load(Ordering::Relaxed) > 0);
            continue;
        }
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            said.lines().map_while(Result::ok).try_for_each(|line| tell.send(line).map_err(drop))
        });
        let warning = told.recv_timeout(crate::node::PATIENCE).unwrap();
        assert!(warning.contains("user 12345 listens at"), "{warning}");
        assert!(warning.contains("--collector-user"), "{warning}");
        pipe.input = None;
        assert!(pipe.child.wait().unwrap().success());
        let written: u64 = sandbox.sizes().iter().sum();
        assert!(files() > 5 && written == truth.len() as u64, "{} files", files());
        assert_eq!(impostor.asked.load(Ordering::Relaxed), 0, "it is not even asked");
        assert_eq!(told.iter().collect::<Vec<_>>(), Vec::<String>::new(), "it is told once");
    }
}
