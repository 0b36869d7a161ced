//! The lines of containers whose logger writes to journald: `journalctl` tells them, and they become
//! files in the layout of a Mesos agent, which the collector tails as it tails sandboxes.

mod export;
mod files;
#[cfg(test)]
mod files_tests;
#[cfg(test)]
pub(crate) mod fuzz_tests;
mod place;
mod program;
mod record;
mod resume;
mod tidying;
mod tree;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::why::Asker;
#[cfg(test)]
pub(crate) use export::tests::exported;
use export::{Entry, Parser};
use files::{Files, SIZE_MAX};
pub use program::JournalSource;
use program::Run;
use resume::{Resume, Seen};

/// How often the cursor is written, and how long a stop waits at most.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// How often rotated and idle files are looked at.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// The pause before `journalctl` is started again; doubled while it tells nothing.
const RESTART_AFTER: Duration = Duration::from_secs(1);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(60);
/// How often the thread's end is looked for.
const END_POLL: Duration = Duration::from_millis(2);
const READ_BYTES: usize = 64 * 1024;

/// Where the journal's files are, in the collector's data directory.
pub(crate) fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// A thread that follows the journal. Dropping it ends the thread and its child process.
pub(crate) struct Journal {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Journal {
    /// Follows the journal into files below `root`. `gaps` counts how often it had deleted the entry up
    /// to which it was read.
    ///
    /// # Errors
    /// The files cannot be used. That the program cannot be started is told and tried again.
    pub(crate) fn start(
        source: JournalSource,
        gaps: IntCounter,
        root: &Path,
        asker: Asker,
    ) -> io::Result<Self> {
        let files = Files::open(root, SIZE_MAX, Instant::now())?;
        let stop = Arc::new(AtomicBool::new(false));
        let root = root.to_owned();
        let follower = Follower { source, gaps, root, asker, stop: stop.clone() };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || follower.run(files))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Tells the thread to end, and waits for it until `deadline`.
    pub(crate) fn end(&self, deadline: Instant) {
        self.stop.store(true, Ordering::Relaxed);
        let is_running = || self.thread.as_ref().is_some_and(|thread| !thread.is_finished());
        while is_running() && Instant::now() < deadline {
            std::thread::sleep(END_POLL);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's thread has panicked");
        }
    }
}

struct Follower {
    source: JournalSource,
    gaps: IntCounter,
    root: PathBuf,
    asker: Asker,
    stop: Arc<AtomicBool>,
}

impl Follower {
    fn run(self, mut files: Files) {
        let mut pause = RESTART_AFTER;
        while !self.is_stopped() {
            let before = files.cursor().to_owned();
            let ended = self.follow(&mut files).and_then(|ended| files.save().map(|()| ended));
            let program = self.source.program.display();
            match ended {
                Err(error) => {
                    tracing::warn!(
                        "cannot follow the journal by '{program}', it is tried again: {error}"
                    );
                    // What a failed write left behind is found as after a crash.
                    let Some(again) = self.open_again() else { return };
                    files = again;
                }
                Ok(Ended::Stopped) => {}
                Ok(Ended::Exited(status)) => {
                    tracing::warn!("'{program}' has ended ({status}), it is started again");
                }
            }
            let has_told = files.cursor() != before;
            pause = if has_told { RESTART_AFTER } else { (pause * 2).min(RESTART_AFTER_MAX) };
            self.sleep(pause);
        }
    }

    /// Opens the files as soon as they can be used; `None` if it is to stop before that. The old ones
    /// are no more to be used: they do not know what of an entry is in them.
    fn open_again(&self) -> Option<Files> {
        while !self.is_stopped() {
            match Files::open(&self.root, SIZE_MAX, Instant::now()) {
                Ok(files) => return Some(files),
                Err(error) => tracing::warn!("cannot use the journal's files: {error}"),
            }
            self.sleep(RESTART_AFTER);
        }
        None
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < until {
            std::thread::sleep(SAVE_EVERY.min(time));
        }
    }

    fn follow(&self, files: &mut Files) -> io::Result<Ended> {
        let mut shows_cursor = true;
        for run in self.source.runs() {
            let mut resume = Resume::new(files.cursor(), shows_cursor);
            let mut command = self.source.command(*run, files.cursor());
            let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            let ended = self.take_in(&mut Running(child), &mut resume, files)?;
            if *run == Run::Follow || !ended.is_success() {
                return Ok(ended);
            }
            // If nothing came, the next run has to tell.
            shows_cursor = resume.is_open();
        }
        Ok(Ended::Stopped)
    }

    /// Until the program's output ends, or it is to stop.
    fn take_in(
        &self,
        running: &mut Running,
        resume: &mut Resume,
        files: &mut Files,
    ) -> io::Result<Ended> {
        let Some(mut output) = running.0.stdout.take() else { return Ok(Ended::Stopped) };
        let (mut parser, mut buffer) = (Parser::default(), vec![0; READ_BYTES]);
        let (mut saved, mut tidied) = (Instant::now(), Instant::now());
        while !self.is_stopped() {
            let now = Instant::now();
            if now >= saved + SAVE_EVERY {
                files.save()?;
                saved = now;
            }
            if now >= tidied + TIDY_EVERY {
                files.tidy(now, |log| self.asker.acknowledged(log).unwrap_or_default())?;
                tidied = now;
            }
            if !is_readable(&output)? {
                continue;
            }
            let read = output.read(&mut buffer)?;
            if read == 0 {
                return running.0.wait().map(Ended::Exited);
            }
            for entry in parser.feed(&buffer[..read]) {
                self.add(&entry, resume.see(&entry), files, now)?;
            }
        }
        Ok(Ended::Stopped)
    }

    fn add(&self, entry: &Entry, seen: Seen, files: &mut Files, now: Instant) -> io::Result<()> {
        match seen {
            Seen::New => {}
            Seen::Known => return Ok(()),
            Seen::BehindGap => {
                self.gaps.inc();
                tracing::warn!(
                    "the journal has deleted the entry up to which it was read; what it deleted behind it is lost (raise SystemMaxUse in journald.conf)"
                );
            }
        }
        match (place::of(entry), &entry.message) {
            (Some(key), Some(text)) => files.add(key, text, &entry.cursor, now),
            _ => Ok(()),
        }
    }
}

/// How a run came to its end.
enum Ended {
    /// It was told to.
    Stopped,
    Exited(ExitStatus),
}

impl Ended {
    fn is_success(&self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }
}

/// A child process that does not outlive this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        if let Err(error) = self.0.wait() {
            tracing::debug!("cannot wait for journalctl: {error}");
        }
    }
}

/// Waits for up to [`SAVE_EVERY`].
fn is_readable(output: &impl std::os::fd::AsFd) -> io::Result<bool> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(SAVE_EVERY.subsec_nanos()) };
    match poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
