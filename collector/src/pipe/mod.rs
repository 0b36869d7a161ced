//! `sawlog pipe`: writes one stream of a container into its sandbox and rotates the file by itself, at
//! line ends, and removes a rotated file only when the collector has it.
//!
//! What it holds is what it has read and not yet written: nothing between two reads. It ends when its
//! input ends, and not before: an agent that restarts, or a session that is told to end, must not end
//! the container's output.

mod acknowledgements;
mod cut;
mod listeners;
pub(crate) mod log;
#[cfg(test)]
mod log_tests;
mod open;
mod process;
mod rotated;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::directory;
use acknowledgements::Acknowledgements;
pub use listeners::Trusted;
use log::Log;

/// The most that is read at once: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;
/// How often the collector is asked while rotated files wait for it and nothing else happens.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long the input is left alone while rotated files take as much as they may.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// What happens when rotated files that are not acknowledged take as much as they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest is removed. Its lines are lost, which the collector counts.
    DropOldest,
    /// Nothing more is read: the container waits when it writes.
    Block,
    /// As [`Self::DropOldest`], and a full disk on which nothing can be removed is an error: nobody
    /// can be made to wait.
    DropOldestOrFail,
}

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The container's sandbox.
    pub sandbox: PathBuf,
    /// The file's name: `stdout` or `stderr`.
    pub name: &'static str,
    /// Bytes from which a file is rotated at the last line end that fits. A file gets larger by the
    /// rest of a line that does not fit, at most twice as large.
    pub size_max: u64,
    /// How many rotated files stay after they were acknowledged.
    pub keep: usize,
    /// Bytes of rotated files that are not acknowledged.
    pub keep_bytes_max: u64,
    pub when_full: WhenFull,
    /// The permissions of new files.
    pub mode: u32,
    /// Where the collector may listen; the first that answers and may be believed is.
    pub collectors: Vec<String>,
    /// Who may be the collector.
    pub trusted: Trusted,
}

/// Why a stream cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PipeError {
    #[error("cannot use the sandbox '{}': name a directory with --sandbox or MESOS_LOG_SANDBOX_DIRECTORY", path.display())]
    Sandbox {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot become the owner of the sandbox '{}': run as root or as that user", path.display())]
    Owner {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write '{}': {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read the container's stream")]
    Read(#[source] io::Error),
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    pub rotations: u64,
    /// Bytes of files that were removed although they were not acknowledged.
    pub dropped_bytes: u64,
}

/// Writes `input` to its end. Where this process is root, it becomes the sandbox's owner first and
/// for good; SIGTERM, SIGINT and SIGHUP are ignored from then on.
///
/// # Errors
/// The sandbox or the file cannot be used; a full disk is waited for.
pub fn run(settings: &Settings, input: OwnedFd) -> Result<Written, PipeError> {
    process::ignore_signals();
    let path = &settings.sandbox;
    let wrong = |source| PipeError::Sandbox { path: path.clone(), source };
    let absolute = std::fs::canonicalize(path).map_err(wrong)?;
    let directory = directory::open_root(&absolute).map_err(wrong)?;
    process::become_owner(&directory)
        .map_err(|source| PipeError::Owner { path: path.clone(), source })?;
    let log_path = absolute.join(settings.name);
    let log = Log::open(settings, directory)
        .map_err(|source| PipeError::Write { path: log_path.clone(), source })?;
    let mut pipe = Pipe { log, log_path, input: input.into(), asked: None };
    pipe.copy(settings)
}

struct Pipe {
    log: Log,
    log_path: PathBuf,
    input: File,
    /// Begun with the first rotation: most containers never need it.
    asked: Option<Acknowledgements>,
}

impl Pipe {
    fn copy(&mut self, settings: &Settings) -> Result<Written, PipeError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.look_after_rotated(settings);
            if settings.when_full == WhenFull::Block && self.log.rotated.is_full() {
                std::thread::sleep(FULL_PAUSE);
                continue;
            }
            if !self.wait().map_err(PipeError::Read)? {
                continue;
            }
            let read = match self.input.read(&mut buffer) {
                Ok(0) => return Ok(self.log.written),
                Ok(read) => read,
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(PipeError::Read(error)),
            };
            let written = self.log.write(&buffer[..read]);
            written.map_err(|source| PipeError::Write { path: self.log_path.clone(), source })?;
        }
    }

    /// Removes rotated files that need not stay.
    fn look_after_rotated(&mut self, settings: &Settings) {
        if self.log.rotated.is_empty() {
            return;
        }
        let asked = self.asked.get_or_insert_with(|| {
            let (collectors, trusted) = (settings.collectors.clone(), settings.trusted.clone());
            Acknowledgements::start(collectors, trusted, self.log_path.clone())
        });
        if let Some(files) = asked.take() {
            self.log.acknowledged(&files);
        }
        if self.log.rotated.is_anything_awaited() {
            asked.ask();
        }
    }

    /// Waits for input; `false` if it is time for something else.
    fn wait(&self) -> io::Result<bool> {
        if !self.log.rotated.is_anything_awaited() {
            return Ok(true);
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(ASK_EVERY.subsec_nanos()) };
        let mut sources = [PollFd::new(&self.input, PollFlags::IN)];
        match poll(&mut sources, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
