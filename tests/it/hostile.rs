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

#[test]
fn what_tasks_put_into_sandboxes_harms_nobody_else() {
    let hostile = Hostile::new();
    let _socket = put_what_is_no_file(&hostile);
    put_what_is_too_much(&hostile);
    let node = hostile.node();
    let writer = write_good_lines(&hostile.sandbox("good"));
    let mut highest = (0, 0);
    while !writer.is_finished() {
        highest = (highest.0.max(node.rss_anon()), highest.1.max(node.open_files()));
        std::thread::sleep(Duration::from_millis(20));
    }
    writer.join().unwrap();
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
