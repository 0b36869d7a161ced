//! The thread that asks an agent, and reads its files when it does not answer.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::asking::Asking;
use super::config::MesosConfig;
use super::containers::Surroundings;
use super::events::Events;
use super::facts::Ids;
use super::generated::GeneratedFiles;
use super::known::Metadata;
use super::meta::Meta;
use super::metrics::MesosMetrics;
use super::rollup::Rollups;
use super::secrets::Secrets;
use super::state::State;
use super::status::Status;
use crate::clock::Now;
use crate::config::Config;

mod statistics;

/// How often what is of no more use is deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// The longest pause after failures, unless polls are rarer by themselves.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What asks an agent.
pub(crate) struct Watcher {
    config: MesosConfig,
    data_dir: PathBuf,
    asking: Asking,
    metas: Vec<Meta>,
    files: GeneratedFiles,
    events: Events,
    rollups: Rollups,
    secrets: Secrets,
    around: Surroundings,
    /// The live containers with others nested in them, by their ids.
    pods: HashMap<String, Ids>,
    metrics: MesosMetrics,
    state_due: Duration,
    stats_due: Duration,
    nested_due: Duration,
    sweep_due: Duration,
}

/// A running watcher. Dropping it ends it: from then on it writes nothing, even if it still waits for
/// an answer.
pub(crate) struct WatcherHandle {
    alive: Arc<Mutex<bool>>,
    metadata: Arc<Metadata>,
    data_dir: PathBuf,
    _stop: Sender<()>,
}

impl Drop for WatcherHandle {
    fn drop(&mut self) {
        *self.alive.lock() = false;
        save(&self.metadata, &self.data_dir);
    }
}

impl Watcher {
    /// `None` if there is no agent to be asked about.
    pub(crate) fn new(config: &Config, metrics: MesosMetrics) -> Option<Self> {
        let mesos = config.mesos.clone().filter(|_| !config.mesos_work_dirs.is_empty())?;
        Some(Self {
            asking: Asking::new(&mesos, metrics.polls.clone()),
            metas: config.mesos_work_dirs.iter().cloned().map(Meta::new).collect(),
            files: GeneratedFiles::new(&config.data_dir, metrics.clone()),
            events: Events::default(),
            rollups: Rollups::new(mesos.stats_every),
            secrets: Secrets::default(),
            around: Surroundings::default(),
            pods: HashMap::new(),
            metrics,
            state_due: Duration::ZERO,
            stats_due: Duration::ZERO,
            nested_due: Duration::ZERO,
            sweep_due: SWEEP_EVERY,
            data_dir: config.data_dir.clone(),
            config: mesos,
        })
    }

    /// What takes secrets out of all that is told.
    pub(crate) fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(self, metadata: Arc<Metadata>) -> io::Result<WatcherHandle> {
        let alive = Arc::new(Mutex::new(true));
        let (stop, stopped) = channel();
        let handle = WatcherHandle {
            alive: alive.clone(),
            metadata: metadata.clone(),
            data_dir: self.data_dir.clone(),
            _stop: stop,
        };
        // Not joined: it may be waiting for an answer, and nobody is to wait for it.
        std::thread::Builder::new()
            .name("mesos".into())
            .spawn(move || self.run(&metadata, &alive, &stopped))?;
        Ok(handle)
    }

    fn run(mut self, metadata: &Metadata, alive: &Mutex<bool>, stopped: &Receiver<()>) {
        let started = Instant::now();
        if let Err(error) = self.files.create() {
            self.write_failed(&error);
        }
        loop {
            self.turn(metadata, alive, Now::read(started));
            let pause = self.next_due().saturating_sub(started.elapsed());
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn next_due(&self) -> Duration {
        self.state_due.min(self.stats_due).min(self.sweep_due)
    }

    /// Does what is due.
    pub(super) fn turn(&mut self, metadata: &Metadata, alive: &Mutex<bool>, now: Now) {
        if now.monotonic >= self.state_due {
            self.poll_state(metadata, alive, now);
            let pause = self.config.state_every * self.asking.patience();
            self.state_due = now.monotonic + pause.min(BACKOFF_MAX.max(self.config.state_every));
        }
        if now.monotonic >= self.stats_due {
            self.stats_due = now.monotonic + self.config.stats_every;
            // An agent that does not answer one question is not asked another.
            if self.config.ask && self.asking.is_answered() && !self.around.agent.is_empty() {
                self.poll_stats(alive, now);
            }
        }
        if now.monotonic >= self.sweep_due {
            self.sweep_due = now.monotonic + SWEEP_EVERY;
            let alive = alive.lock();
            if *alive {
                self.sweep(metadata, now);
            }
        }
    }

    fn poll_state(&mut self, metadata: &Metadata, alive: &Mutex<bool>, now: Now) {
        let told = if self.config.ask { self.asking.state() } else { None };
        let is_told = told.is_some();
        let states = match told {
            Some(state) => vec![state],
            None => self.read_meta(metadata),
        };
        let alive = alive.lock();
        if !*alive {
            return;
        }
        self.secrets.refresh();
        for state in states {
            self.learn(state, is_told, metadata, now);
        }
        self.metrics.containers.set(i64::try_from(metadata.len()).unwrap_or(i64::MAX));
        save(metadata, &self.data_dir);
    }

    fn read_meta(&self, metadata: &Metadata) -> Vec<State> {
        // What has ended and was told of does not change any more.
        let is_over = |ids: &Ids| self.events.is_over(ids) && metadata.get(ids.key()).is_some();
        let read = |meta: &Meta| meta.read(&self.config.task_labels, is_over);
        self.metas.iter().filter_map(read).collect()
    }

    /// Takes over what was told, by the agent (`is_told`) or by its files, and writes what happened.
    fn learn(&mut self, state: State, is_told: bool, metadata: &Metadata, now: Now) {
        if is_told {
            self.pods = state.live_pods();
            let requests = state.seen.iter().filter(|seen| !seen.facts.ended);
            self.around = Surroundings {
                requests: requests.map(|seen| (seen.ids.key(), seen.resources)).collect(),
                agent: state.agent,
                total: state.total,
                allocated: state.allocated,
            };
        }
        for mut seen in state.seen {
            let Some(meta) = self.metas.iter().find(|meta| has_sandbox(meta, &seen.ids)) else {
                continue;
            };
            meta.link_tasks(&seen.ids, &mut seen.facts);
            self.secrets.clean(&mut seen.facts);
            metadata.learn(&seen.ids, &seen.facts);
            let updates = |ids: &Ids, task: &str| {
                let wanted = is_told && seen.is_checkpointed;
                wanted.then(|| meta.updates(ids, task)).flatten()
            };
            let clean = |status: &mut Status| self.secrets.clean_status(status);
            let written = self.events.write(&seen, &mut self.files, updates, clean, now.wall);
            if let Err(error) = written {
                self.write_failed(&error);
            }
            if seen.facts.ended {
                let ended = self.rollups.end(&seen.ids, &mut self.files, now.monotonic);
                ended.unwrap_or_else(|error| self.write_failed(&error));
            }
        }
    }

    fn sweep(&mut self, metadata: &Metadata, now: Now) {
        let metas = &self.metas;
        let listable: Vec<bool> = metas.iter().map(|meta| is_listable(meta.work_dir())).collect();
        // What cannot be looked at, because it is not mounted or not ours to read, may be there.
        let exists = |run: &Path| {
            let mut dirs = metas.iter().zip(&listable);
            dirs.any(|(meta, listable)| !listable || !is_gone(&meta.work_dir().join(run)))
        };
        metadata.keep_only(|ids| exists(&ids.path()));
        self.events.keep_only(|key| metadata.get(*key).is_some());
        let (rollups, files) = (&mut self.rollups, &mut self.files);
        let closed = rollups.close_idle(files, |ids| exists(&ids.path()), now.monotonic);
        files.sweep(metadata, |run| exists(run) || rollups.owes(run), now.wall);
        closed.unwrap_or_else(|error| self.write_failed(&error));
        save(metadata, &self.data_dir);
    }

    fn write_failed(&self, error: &io::Error) {
        self.metrics.write_errors.inc();
        if self.metrics.write_errors.get().is_power_of_two() {
            tracing::warn!(
                "cannot write events and statistics in '{}', tried again: {error}",
                self.data_dir.display()
            );
        }
    }
}

fn has_sandbox(meta: &Meta, ids: &Ids) -> bool {
    meta.work_dir().join(ids.path()).is_dir()
}

/// Whether a work directory says which runs it has.
fn is_listable(work_dir: &Path) -> bool {
    std::fs::read_dir(work_dir.join("slaves")).is_ok()
}

fn is_gone(run: &Path) -> bool {
    run.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn save(metadata: &Metadata, data_dir: &Path) {
    if let Err(error) = metadata.save(data_dir) {
        tracing::warn!("cannot write '{}': {error}", data_dir.join("metadata").display());
    }
}
