//! Starting a collector on a thread of its own, and stopping it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::Registry;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, getrlimit, setrlimit};
use sawlog_transport::Producer;
use sawlog_transport::embedded::OpenError;

use crate::clock::Now;
use crate::collector_id::IdentityError;
use crate::config::{Config, ConfigError};
use crate::directory;
use crate::journal::{self, Journal};
use crate::mesos::{Metadata, Secrets, Watcher, WatcherHandle, generated_root};
use crate::metrics::Metrics;
use crate::paths::{self, Glob};
use crate::place::Place;
use crate::redact::{Redactor, RedactorError};
use crate::run::Loop;
use crate::sandbox;
use crate::status::Status;
use crate::why::{Asker, Desk};

/// How long events gather before they are looked at, lest every write of a busy container wake us.
const GATHER: Duration = Duration::from_millis(1);
/// How long reading on waits at most for the journal's thread to end.
const JOURNAL_END: Duration = Duration::from_secs(2);
/// How often the end is looked for while stopping.
const STOP_POLL: Duration = Duration::from_millis(2);

/// Why a collector did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "cannot read mesos_work_dir '{}': name the directory given to the Mesos agent as --work_dir, and let the collector read it",
        path.display()
    )]
    WorkDir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use '{}' in data_dir", path.display())]
    DataDir {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "data_dir '{}' is in use by another collector: stop it, or give this one a directory of its own",
        path.display()
    )]
    Locked { path: PathBuf },
    #[error(transparent)]
    Redactor(#[from] RedactorError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "cannot open the spool: move the directory 'spool' out of data_dir to start without it (the lines in it are missing then)"
    )]
    Spool(#[from] OpenError),
    #[error("cannot register the collector's metrics, does the process have two collectors?")]
    Metrics(#[from] prometheus::Error),
    #[error("cannot start the collector's thread")]
    Thread(#[source] io::Error),
}

/// Starts collectors.
pub struct Collector;

/// A running collector. Dropping it stops it at once, without waiting for acknowledgements; what is
/// not acknowledged is read again by the next start.
pub struct CollectorHandle {
    shared: Arc<Shared>,
    asker: Asker,
    journal: Option<Journal>,
    thread: Option<JoinHandle<()>>,
    watcher: Option<WatcherHandle>,
}

/// How a collector ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Text that was read and not acknowledged by the deadline. It is read again by the next start.
    pub unacknowledged_bytes: usize,
}

/// A collector ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[error("the collector's thread has panicked: its last messages in the log say why")]
pub struct Panicked;

struct Shared {
    /// Wakes the thread.
    wake: Arc<OwnedFd>,
    /// Until when to wait for acknowledgements; `None` while running.
    stop: Mutex<Option<Instant>>,
    status: Mutex<Status>,
    trouble: Mutex<Option<String>>,
    /// Turns of the loop whose status is set.
    turns: AtomicU64,
}

impl Collector {
    /// Starts a collector that sends to `producer` and counts in `registry`.
    ///
    /// # Errors
    /// The configuration cannot be used; see [`StartError`].
    pub fn start(
        config: Config,
        producer: Arc<dyn Producer>,
        registry: &Registry,
    ) -> Result<CollectorHandle, StartError> {
        config.validate()?;
        let mut config = config;
        config.open_files_max = config.open_files_max.min(raise_open_files_limit() / 4 * 3);
        crate::leases::warn_if_missing();
        let started = Instant::now();
        let metrics = Metrics::register(registry)?;
        let watcher = Watcher::new(&config, metrics.mesos.clone());
        let (journal, data_dir) = (config.journal.clone(), config.data_dir.clone());
        let gaps = metrics.journal_gaps.clone();
        let (redaction, secret_files) = (config.redaction, config.secret_files.clone());
        let collector = Loop::open(config, producer, metrics.clone(), Now::read(started))?;
        let watcher = match watcher {
            Some(watcher) => {
                let redactor = redaction.then(|| Redactor::open(&data_dir, &secret_files));
                let secrets = Secrets::new(redactor.transpose()?, metrics);
                Some(watcher.with_secrets(secrets).start(collector.metadata()))
            }
            None => None,
        };
        let watcher = watcher.transpose().map_err(StartError::Thread)?;
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| StartError::Thread(error.into()))?;
        let wake = Arc::new(wake);
        let (desk, asker) = Desk::new(wake.clone());
        let shared = Arc::new(Shared {
            wake,
            stop: Mutex::new(None),
            status: Mutex::new(Status::default()),
            trouble: Mutex::new(None),
            turns: AtomicU64::new(0),
        });
        let thread = std::thread::Builder::new()
            .name("collector".into())
            .spawn({
                let shared = shared.clone();
                move || run(collector, started, &shared, &desk)
            })
            .map_err(StartError::Thread)?;
        let mut handle =
            CollectorHandle { shared, asker, journal: None, thread: Some(thread), watcher };
        if let Some(source) = journal {
            let path = journal::directory(&data_dir);
            let started = Journal::start(source, gaps, &path, handle.asker());
            handle.journal = Some(started.map_err(|source| StartError::DataDir { path, source })?);
        }
        Ok(handle)
    }
}

impl CollectorHandle {
    /// The state after the last turn of the loop.
    pub fn status(&self) -> Status {
        *self.shared.status.lock()
    }

    /// What asks the collector about single files; it may outlive the collector.
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Tells, whenever it is asked, what keeps lines from being sent until somebody does something about
    /// it: a sentence for people.
    pub fn trouble(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.trouble.lock().clone()
    }

    /// Turns of the loop since the start. The status of a turn knows what was written before the
    /// turn began.
    pub fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::Acquire)
    }

    /// Whether the thread still runs; it ends only when told, or by a panic.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Reads nothing more, sends what was read, waits until `deadline` for its acknowledgement, and
    /// writes the checkpoints.
    ///
    /// # Errors
    /// The collector had panicked.
    pub fn stop(mut self, deadline: Instant) -> Result<Stopped, Panicked> {
        self.end(deadline)?;
        Ok(Stopped { unacknowledged_bytes: self.status().in_flight_bytes })
    }

    fn end(&mut self, deadline: Instant) -> Result<(), Panicked> {
        // First, so that nothing is written any more when the directory is free for another collector.
        drop(self.watcher.take());
        // Best if nothing more is written that only the next start would read, but not at any price.
        let journal = self.journal.take();
        if let Some(journal) = &journal {
            journal.end(deadline.min(Instant::now() + JOURNAL_END));
        }
        let Some(thread) = self.thread.take() else { return Ok(()) };
        *self.shared.stop.lock() = Some(deadline);
        if let Err(error) = rustix::io::write(&self.shared.wake, &1u64.to_ne_bytes()) {
            tracing::debug!("the collector will see by itself that it is to stop: {error}");
        }
        let ended = thread.join().map_err(|_| Panicked);
        drop(journal);
        ended
    }
}

impl Drop for CollectorHandle {
    fn drop(&mut self) {
        if let Err(error) = self.end(Instant::now()) {
            tracing::error!("{error}");
        }
    }
}

fn run(mut collector: Loop, started: Instant, shared: &Shared, desk: &Desk) {
    loop {
        if let Some(deadline) = *shared.stop.lock() {
            return finish(collector, started, deadline, shared);
        }
        let sleep = collector.step(Now::read(started));
        *shared.status.lock() = collector.status();
        *shared.trouble.lock() = collector.trouble();
        shared.turns.fetch_add(1, Ordering::Release);
        let is_asked = desk.answer(|| collector.view(Now::read(started)));
        if !sleep.is_zero() && !is_asked {
            if !collector.is_all_acknowledged() {
                std::thread::sleep(GATHER);
            }
            wait(&collector, shared, sleep);
        }
    }
}

/// Sleeps until something changes, somebody wakes us, or the time is over.
fn wait(collector: &Loop, shared: &Shared, sleep: Duration) {
    let mut sources = vec![PollFd::new(&*shared.wake, PollFlags::IN)];
    let events = collector.events();
    if let Some(events) = &events {
        sources.push(PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN));
    }
    let timeout =
        Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: i64::from(sleep.subsec_nanos()) };
    let polled = poll(&mut sources, Some(&timeout));
    // Who wakes us has said by other means what for.
    rustix::io::read(&*shared.wake, &mut [0; 8]).unwrap_or_default();
    match polled {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => {
            tracing::warn!("cannot wait for events, sleeping instead: {error}");
            std::thread::sleep(sleep);
        }
    }
}

fn finish(mut collector: Loop, started: Instant, deadline: Instant, shared: &Shared) {
    loop {
        collector.step_to_end(Now::read(started));
        if collector.is_all_acknowledged() || Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(STOP_POLL);
    }
    collector.close(Now::read(started));
    *shared.status.lock() = collector.status();
}

/// Every log in use holds a descriptor: as many as the system allows this process; gives how many.
fn raise_open_files_limit() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!("cannot raise the limit of open files: {error}");
            limit.current = before;
        }
    }
    // No limit at all is told by `None`.
    limit.current.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Makes a directory for what containers wrote, which nobody else is to read; gives its full path.
/// What is not there cannot be watched, and would be looked for again and again.
fn private_root(path: PathBuf) -> Result<PathBuf, StartError> {
    let made = directory::create_private(&path).and_then(|()| std::path::absolute(&path));
    made.map_err(|source| StartError::DataDir { path, source })
}

/// Where logs are looked for.
pub(crate) fn roots(
    config: &Config,
    metadata: &Arc<Metadata>,
) -> Result<Vec<(PathBuf, Place)>, StartError> {
    let mut roots = Vec::new();
    for path in &config.mesos_work_dirs {
        let readable =
            directory::open_root(path).and_then(|directory| directory::list(&directory, |_| false));
        if let Err(source) = readable {
            return Err(StartError::WorkDir { path: path.clone(), source });
        }
        roots.push((path.clone(), Place::Mesos(sandbox::Place::work_dir(metadata.clone()))));
    }
    if !config.mesos_work_dirs.is_empty() {
        let path = private_root(generated_root(&config.data_dir))?;
        roots.push((path, Place::Mesos(sandbox::Place::generated(metadata.clone()))));
    }
    if config.journal.is_some() {
        let path = private_root(journal::directory(&config.data_dir))?;
        roots.push((path, Place::Mesos(sandbox::Place::journal(metadata.clone()))));
    }
    for path in &config.paths {
        let glob = Arc::new(Glob::parse(path).map_err(ConfigError::from)?);
        roots.push((glob.root.clone(), Place::Glob(paths::Place::root(glob))));
    }
    Ok(roots)
}

/// Makes the data directory and takes it for this process.
pub(crate) fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("lock");
    let failed = |source| StartError::DataDir { path: path.clone(), source };
    std::fs::create_dir_all(data_dir).map_err(failed)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked { path: data_dir.to_owned() }),
        Err(error) => Err(failed(error.into())),
    }
}
