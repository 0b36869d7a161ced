//! Processes that write into sandboxes as a Mesos agent's rotating logger does: the container's
//! output in pieces of at most a page, the file renamed before the piece that would make it too
//! large, so that lines are cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The environment variable that makes a process of this test program a writer.
const JOB: &str = "SAWLOG_TEST_WRITER";
/// A page: the most that the logger moves at once.
const PIECE_BYTES: usize = 4096;

/// What one writer process does.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The container's sandbox.
    pub(crate) sandbox: PathBuf,
    /// A file that gets the same lines in one piece: what must come out.
    pub(crate) truth: PathBuf,
    pub(crate) writer: u32,
    pub(crate) lines: u32,
    pub(crate) rotate_bytes: usize,
    /// Pause after each hundred lines.
    pub(crate) pause: Duration,
}

/// Starts a process that does the job.
pub(crate) fn spawn(job: &Job) -> Child {
    let text = [
        job.sandbox.to_str().expect("test paths are text").to_owned(),
        job.truth.to_str().expect("test paths are text").to_owned(),
        job.writer.to_string(),
        job.lines.to_string(),
        job.rotate_bytes.to_string(),
        job.pause.as_micros().to_string(),
    ]
    .join("\n");
    Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", "mesos_logger::writer_process", "--ignored", "--test-threads=1"])
        .env(JOB, text)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("this program starts")
}

#[test]
#[ignore = "not a test: the body of a writer process"]
fn writer_process() {
    let text = std::env::var(JOB).expect("started by `spawn` only");
    let parts: Vec<&str> = text.split('\n').collect();
    let number = |n: usize| parts[n].parse::<u64>().expect("a number");
    let job = Job {
        sandbox: parts[0].into(),
        truth: parts[1].into(),
        writer: number(2) as u32,
        lines: number(3) as u32,
        rotate_bytes: number(4) as usize,
        pause: Duration::from_micros(number(5)),
    };
    write(&job).expect("a writer can write");
}

fn write(job: &Job) -> io::Result<()> {
    std::fs::create_dir_all(&job.sandbox)?;
    let mut truth = io::BufWriter::new(File::create(&job.truth)?);
    let mut logger = Logger::new(&job.sandbox.join("stdout"), job.rotate_bytes);
    let mut pipe = Vec::new();
    for n in 0..job.lines {
        let line = line(job.writer, n);
        truth.write_all(&line)?;
        pipe.extend_from_slice(&line);
        while pipe.len() >= PIECE_BYTES {
            let rest = pipe.split_off(PIECE_BYTES);
            logger.write(&pipe)?;
            pipe = rest;
        }
        if n % 100 == 99 {
            // What is in the pipe is read in pieces of any size.
            logger.write(&pipe)?;
            pipe.clear();
            std::thread::sleep(job.pause);
        }
    }
    logger.write(&pipe)?;
    truth.flush()
}

/// A line of 20 to some hundred bytes, now and then of some thousand; all kinds of bytes occur.
pub(crate) fn line(writer: u32, n: u32) -> Vec<u8> {
    let mut seed = u64::from(writer) << 32 | u64::from(n) | 1 << 63;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut line = format!("w{writer:02} n{n:06} ").into_bytes();
    let words: [&[u8]; 8] = [
        b"GET /cart",
        b"timeout after 30s",
        b"user=alice",
        b"caf\xc3\xa9",
        b"\xff\xfe\x00",
        b"ERROR",
        b"tab\there",
        b"carriage\rreturn",
    ];
    let count = if random() % 500 == 0 { 700 } else { random() % 60 };
    for _ in 0..count {
        line.extend_from_slice(words[(random() % 8) as usize]);
        line.push(b' ');
    }
    line.push(b'\n');
    line
}

/// The rotating logger of one file.
struct Logger {
    path: PathBuf,
    rotate_bytes: usize,
    file: Option<File>,
    written: usize,
    rotations: u32,
}

impl Logger {
    fn new(path: &Path, rotate_bytes: usize) -> Self {
        Self { path: path.to_owned(), rotate_bytes, file: None, written: 0, rotations: 0 }
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.written + piece.len() > self.rotate_bytes {
            self.file = None;
            self.rotate()?;
            self.written = 0;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
                self.file.insert(file)
            }
        };
        file.write_all(piece)?;
        self.written += piece.len();
        Ok(())
    }

    /// Renames `.N` to `.N+1`, highest first, then the file to `.1`; all are kept.
    fn rotate(&mut self) -> io::Result<()> {
        let name = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
        for n in (1..=self.rotations).rev() {
            std::fs::rename(name(n), name(n + 1))?;
        }
        std::fs::rename(&self.path, name(1))?;
        self.rotations += 1;
        Ok(())
    }
}
