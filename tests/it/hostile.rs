//! Tasks that mean harm: what they put into their sandboxes makes the collector read nothing that is
//! not theirs, wait for nothing, and grow no larger; and other tasks' lines all arrive.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

use crate::node::{Node, Setup, eventually};

const SECRET: &str = "not-for-your-eyes-4711";
const RSS_ANON_MAX: u64 = 300 << 20;
const OPEN_FILES_MAX: usize = 2_000;
/// Lines of the task that means no harm.
const GOOD_LINES: u32 = 2_000;
const SWAPS: u32 = 3_000;

struct Hostile {
    dir: tempfile::TempDir,
}

impl Hostile {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(this.runs()).unwrap();
        std::fs::create_dir(this.outside()).unwrap();
        for name in ["stdout", "stderr"] {
            std::fs::write(this.outside().join(name), format!("{SECRET}\n")).unwrap();
        }
        this
    }

    fn runs(&self) -> PathBuf {
        self.dir.path().join("work/slaves/S1/frameworks/F1/executors/E1/runs")
    }

    /// A directory that no task may read.
    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    fn sandbox(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let path = self.runs().join(name.as_ref());
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// The secret is not redacted: it must not have been read.
    fn node(&self) -> Node {
        Setup::new(&self.dir.path().join("data"))
            .arg("--mesos-work-dir", self.dir.path().join("work"))
            .flag("--no-redaction")
            .start()
            .ready()
    }

    /// Nothing of the secret in any file that the node keeps, nor in what it answers.
    fn assert_secret_is_kept(&self, node: &Node) {
        assert_eq!(node.count(&format!(r#"{{stream=~".+"}} |= "{SECRET}""#)), 0);
        let mut shadow = std::fs::read("/etc/shadow").unwrap_or_default();
        shadow.truncate(40);
        let mut looked_at = vec![node.export(r#"{stream=~".+"}"#)];
        let mut directories = vec![self.dir.path().join("data")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    directories.push(entry.path());
                } else {
                    // A file may be replaced meanwhile.
                    looked_at.push(std::fs::read(entry.path()).unwrap_or_default());
                }
            }
        }
        for bytes in looked_at {
            let has = |needle: &[u8]| memchr::memmem::find(&bytes, needle).is_some();
            assert!(!has(SECRET.as_bytes()), "the secret was stored");
            assert!(shadow.is_empty() || !has(&shadow), "/etc/shadow was stored");
        }
    }
}

/// What can stand where a log should.
fn put_what_is_no_file(hostile: &Hostile) -> UnixListener {
    symlink(hostile.outside().join("stdout"), hostile.sandbox("link").join("stdout")).unwrap();
    symlink("/etc/shadow", hostile.sandbox("link").join("stderr")).unwrap();
    symlink(hostile.outside(), hostile.runs().join("linked-sandbox")).unwrap();
    symlink(hostile.outside(), hostile.sandbox("linked-containers").join("containers")).unwrap();
    symlink("stdout", hostile.sandbox("loop").join("stdout")).unwrap();
    symlink("/proc/self/environ", hostile.sandbox("proc").join("stdout")).unwrap();
    let fifo = hostile.sandbox("fifo").join("stdout");
    rustix::fs::mkfifoat(CWD, fifo, Mode::from_raw_mode(0o666)).unwrap();
    let directory = hostile.sandbox("directory").join("stdout");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("stdout"), format!("{SECRET}\n")).unwrap();
    if rustix::process::geteuid().is_root() {
        for (name, minor) in [("stdout", 5), ("stderr", 8)] {
            // /dev/zero and /dev/random never end.
            let path = hostile.sandbox("device").join(name);
            let device = rustix::fs::makedev(1, minor);
            let made =
                rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, device);
            if let Err(error) = made {
                eprintln!("SKIPPED: no device nodes here: {error}");
            }
        }
    } else {
        eprintln!("SKIPPED: device nodes need root");
    }
    UnixListener::bind(hostile.sandbox("socket").join("stdout")).unwrap()
}

/// Regular files of sizes, numbers and names that nobody wants.
fn put_what_is_too_much(hostile: &Hostile) {
    let sparse = File::create(hostile.sandbox("sparse").join("stdout")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let mut long = File::create(hostile.sandbox("long").join("stdout")).unwrap();
    for _ in 0..40 {
        long.write_all(&vec![b'x'; 1 << 20]).unwrap();
    }
    long.write_all(b"\nok after a long line\n").unwrap();
    let many = hostile.sandbox("many");
    for n in 0..100_000 {
        File::create(many.join(format!("core.{n}"))).unwrap();
    }
    for n in 1..=3_000 {
        std::fs::write(many.join(format!("stdout.{n}")), format!("rotated {n}\n")).unwrap();
    }
    for name in
        [&b"line\nfeed"[..], b"esc\x1b]0;title\x07", b"not\xffutf8\xfe", b"-rf", b"a b'\"`$(x)"]
    {
        let path = hostile.sandbox(OsStr::from_bytes(name)).join("stdout");
        std::fs::write(path, "of a strange name\n").unwrap();
    }
}

/// The task whose lines must all arrive, in time.
fn write_good_lines(sandbox: &Path) -> std::thread::JoinHandle<()> {
    let mut file = File::create(sandbox.join("stdout")).unwrap();
    std::thread::spawn(move || {
        for n in 0..GOOD_LINES {
            file.write_all(format!("good {n}\n").as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

/// The most memory in bytes, and the most files, that a node had until a writer was done.
fn highest_until(node: &Node, writer: std::thread::JoinHandle<()>) -> (u64, usize) {
    let mut highest = (0, 0);
    while !writer.is_finished() {
        highest = (highest.0.max(node.rss_anon()), highest.1.max(node.open_files()));
        std::thread::sleep(Duration::from_millis(20));
    }
    writer.join().unwrap();
    highest
}

#[test]
fn what_tasks_put_into_sandboxes_harms_nobody_else() {
    let hostile = Hostile::new();
    let _socket = put_what_is_no_file(&hostile);
    put_what_is_too_much(&hostile);
    let node = hostile.node();
    let writer = write_good_lines(&hostile.sandbox("good"));
    let mut highest = highest_until(&node, writer);
    let count = |container: &str| node.count(&format!(r#"{{container="{container}"}}"#));
    eventually("good lines", || count("good"), |n| *n == u64::from(GOOD_LINES));
    eventually("rotated files", || count("many"), |n| *n == 3_000);
    let strange = || node.count(r#"{stream="stdout"} |= "of a strange name""#);
    eventually("strange names", strange, |n| *n == 5);
    let ok = || node.count(r#"{container="long"} |= "ok after a long line""#);
    eventually("the line after the long one", ok, |n| *n == 1);
    highest = (highest.0.max(node.rss_anon()), highest.1.max(node.open_files()));
    println!("RssAnon at most {} MiB, {} files open", highest.0 >> 20, highest.1);
    assert!(highest.0 < RSS_ANON_MAX, "RssAnon reached {} bytes", highest.0);
    assert!(highest.1 < OPEN_FILES_MAX, "{} files were open", highest.1);
    let (_, body) = node.get("/api/v1/why", &[("q", "fifo")]);
    assert!(String::from_utf8_lossy(&body).contains("it is a FIFO"));
    for left_out in
        ["link", "linked-sandbox", "loop", "proc", "fifo", "directory", "device", "socket"]
    {
        assert_eq!(count(left_out), 0, "{left_out}");
    }
    hostile.assert_secret_is_kept(&node);
}

/// A name is a good file's when it is listed and a symlink's when it is opened, and the other way
/// round, some thousand times: of the file, and of the directory.
#[test]
fn names_that_change_while_they_are_opened_lead_nowhere_else() {
    let hostile = Hostile::new();
    let (file, directory) = (hostile.sandbox("swap"), hostile.runs().join("race"));
    let aside = hostile.dir.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let node = hostile.node();
    let good = write_good_lines(&hostile.sandbox("good"));
    let outside = hostile.outside();
    for n in 0..SWAPS {
        // The file: a fresh one, then a link to the secret, each put in place at once.
        std::fs::write(file.join("fresh"), format!("swap {n}\n")).unwrap();
        std::fs::rename(file.join("fresh"), file.join("stdout")).unwrap();
        symlink(outside.join("stdout"), file.join("link")).unwrap();
        std::fs::rename(file.join("link"), file.join("stdout")).unwrap();
        // The directory.
        let real = aside.join("real");
        std::fs::create_dir_all(&real).unwrap();
        std::fs::write(real.join("stdout"), format!("race {n}\n")).unwrap();
        std::fs::rename(&real, &directory).unwrap();
        std::fs::rename(&directory, &real).unwrap();
        symlink(&outside, &directory).unwrap();
        std::fs::remove_file(&directory).unwrap();
    }
    good.join().unwrap();
    let count = |container: &str| node.count(&format!(r#"{{container="{container}"}}"#));
    eventually("good lines", || count("good"), |n| *n == u64::from(GOOD_LINES));
    println!("{} of {SWAPS} files were caught between two swaps", count("swap"));
    hostile.assert_secret_is_kept(&node);
    assert!(node.open_files() < OPEN_FILES_MAX);
}

const NESTED: usize = 20_000;
/// So many of their files have a writer as long as the test lasts.
const ENDLESS: usize = 500;
/// Some task's user.
const TASK_USER: u32 = 12_345;

fn put_nested_containers(sandbox: &Path) -> Vec<File> {
    let mut endless = Vec::new();
    for n in 0..NESTED {
        let nested = sandbox.join(format!("containers/n{n}"));
        std::fs::create_dir_all(&nested).unwrap();
        let mut file = File::create(nested.join("stdout")).unwrap();
        file.write_all(b"x").unwrap();
        if n % (NESTED / ENDLESS) == 0 {
            endless.push(file);
        }
    }
    endless
}

/// A sandbox full of containers that wait for ever for the end of a line, and few descriptors.
#[test]
fn a_sandbox_of_too_many_containers_harms_nobody_else() {
    let hostile = Hostile::new();
    let greedy = hostile.sandbox("greedy");
    let endless = put_nested_containers(&greedy);
    let setup = Setup::new(&hostile.dir.path().join("data")).open_files(1024);
    let node = setup.arg("--mesos-work-dir", hostile.dir.path().join("work")).start().ready();
    let left_out = || node.metric("sawlog_collector_left_out_directories");
    // The sandbox and its `containers` count too.
    eventually("most are left out", left_out, |count| *count == NESTED as f64 + 2.0 - 4_096.0);
    let writer = write_good_lines(&hostile.sandbox("good"));
    let nested = hostile.sandbox("pod/containers/web");
    std::fs::write(nested.join("stdout"), "of a pod\n").unwrap();
    let highest = highest_until(&node, writer);
    let count = |container: &str| node.count(&format!(r#"{{container="{container}"}}"#));
    eventually("good lines", || count("good"), |n| *n == u64::from(GOOD_LINES));
    eventually("a pod's line", || count("pod.web"), |n| *n == 1);
    println!("RssAnon at most {} MiB, {} files open", highest.0 >> 20, highest.1);
    assert!(highest.0 < RSS_ANON_MAX, "RssAnon reached {} bytes", highest.0);
    assert!(highest.1 < 768, "{} files were open", highest.1);
    let (_, body) = node.get("/api/v1/why", &[("q", "greedy.unheard")]);
    let told = String::from_utf8_lossy(&body).into_owned();
    assert!(told.contains("15906 more directories") && told.contains("greedy"), "{told}");
    drop(endless);
    std::fs::remove_dir_all(&greedy).unwrap();
    eventually("all is forgotten", left_out, |count| *count == 0.0);
}

/// Where the kernel lets tasks link files of others, they are left out all the same.
#[test]
fn a_hard_link_to_a_file_of_root_is_not_read() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: files of two owners need root");
        return;
    }
    let hostile = Hostile::new();
    let sandbox = hostile.sandbox("linked");
    std::fs::hard_link(hostile.outside().join("stdout"), sandbox.join("stdout")).unwrap();
    std::fs::write(sandbox.join("stderr"), "its own\n").unwrap();
    std::os::unix::fs::chown(&sandbox, Some(TASK_USER), Some(TASK_USER)).unwrap();
    let node = hostile.node();
    // The agent writes as root: one name is as good as any.
    let own = || node.count(r#"{container="linked"} |= "its own""#);
    eventually("its own line", own, |count| *count == 1);
    let left_out = || node.metric("sawlog_collector_skipped_files_total");
    eventually("the link is left out", left_out, |count| *count == 1.0);
    let (_, body) = node.get("/api/v1/why", &[("q", "linked")]);
    assert!(String::from_utf8_lossy(&body).contains("it is a hard link"));
    hostile.assert_secret_is_kept(&node);
}

/// A tebibyte of nothing behind one byte, deleted and not: nobody reads it, and nothing is spilled.
#[test]
fn holes_behind_a_byte_are_not_read() {
    let hostile = Hostile::new();
    let node = hostile.node();
    let with_hole = |name: &str| {
        let path = hostile.sandbox(name).join("stdout");
        std::fs::write(&path, "x").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        (path, file)
    };
    let (path, deleted) = with_hole("deleted");
    let has_it = || node.has_open(path.parent().unwrap());
    eventually("the file is open", has_it, |is_open| *is_open);
    std::fs::remove_file(&path).unwrap();
    drop(deleted);
    let (_, mut kept) = with_hole("kept");
    kept.write_all(b"\nbehind the hole\n").unwrap();
    let line = || node.count(r#"{container="kept"} |= "behind the hole""#);
    eventually("the line behind the hole", line, |count| *count == 1);
    let cut = || node.metric("sawlog_collector_cut_bytes_total");
    eventually("both are passed over", cut, |bytes| *bytes > 1.99 * (1u64 << 40) as f64);
    eventually("the deleted file is closed", has_it, |is_open| !is_open);
    let turns = node.metric("sawlog_collector_turns_total");
    assert!(turns < 1000.0, "{turns} turns");
    assert_eq!(node.metric("sawlog_collector_spilled_bytes_total"), 0.0);
}
