//! Plays the Mesos agent: starts containers as processes of this very program, starts ended ones
//! again as a scheduler would, and ends them all when told.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::kinds::Kind;
use super::logger;
use super::sandboxes::Sandboxes;

/// How often it is looked whether a container has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long after its end a container is started again.
const RELAUNCH_AFTER: Duration = Duration::from_secs(6);
/// How long containers may take to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
const GRACE_POLL: Duration = Duration::from_millis(10);

/// This program, also after its file was replaced by a newer one.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The agent's state. The kernel ends the containers together with the thread that started them, so
/// one thread does all of it.
pub(super) struct Agent {
    sandboxes: Sandboxes,
    rotate_bytes: usize,
    running: Vec<Container>,
    /// What to start, and when.
    due: Vec<(Instant, Kind)>,
    rng: fastrand::Rng,
}

/// A running container with the two loggers of its output.
struct Container {
    kind: Kind,
    executor: PathBuf,
    process: Child,
    loggers: Vec<JoinHandle<()>>,
}

impl Agent {
    /// An agent that is to start a container of each kind.
    pub(super) fn new(sandboxes: Sandboxes, rotate_bytes: usize) -> Self {
        let now = Instant::now();
        let due = Kind::ALL.into_iter().map(|kind| (now, kind)).collect();
        Self { sandboxes, rotate_bytes, running: Vec::new(), due, rng: fastrand::Rng::new() }
    }

    /// Runs containers until `stop` is used or its other end is gone; then ends them.
    pub(super) fn run(mut self, stop: &Receiver<()>) {
        loop {
            self.launch_due();
            match stop.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => self.reap(),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end_all();
    }

    fn launch_due(&mut self) {
        let now = Instant::now();
        let due: Vec<Kind> =
            self.due.extract_if(.., |(at, _)| *at <= now).map(|(_, kind)| kind).collect();
        for kind in due {
            if let Err(error) = self.launch(kind) {
                tracing::warn!("cannot start the demo's container {}: {error}", kind.name());
                self.due.push((now + RELAUNCH_AFTER, kind));
            }
        }
    }

    fn launch(&mut self, kind: Kind) -> io::Result<()> {
        let sandbox = self.sandboxes.create(kind, &mut self.rng)?;
        let mut process = Command::new(THIS_PROGRAM)
            .arg0("sawlog")
            .args(["demo-container", kind.name()])
            .current_dir(&sandbox.dir)
            // Ctrl-C is for the agent, which then ends its containers.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut loggers = Vec::new();
        if let Some(pipe) = process.stdout.take() {
            loggers.push(logger::spawn(pipe, sandbox.stdout, self.rotate_bytes)?);
        }
        if let Some(pipe) = process.stderr.take() {
            loggers.push(logger::spawn(pipe, sandbox.stderr, self.rotate_bytes)?);
        }
        self.running.push(Container { kind, executor: sandbox.executor, process, loggers });
        Ok(())
    }

    /// Takes note of ended containers and plans their successors.
    fn reap(&mut self) {
        let has_ended =
            |container: &mut Container| !matches!(container.process.try_wait(), Ok(None));
        let ended: Vec<Container> =
            self.running.extract_if(.., |container| has_ended(container)).collect();
        for container in ended {
            self.due.push((Instant::now() + RELAUNCH_AFTER, container.kind));
            self.sandboxes.end(container.executor.clone());
            container.close();
        }
    }

    /// Ends all containers, waits for them, and until their last lines are in the sandboxes.
    fn end_all(&mut self) {
        for container in &self.running {
            container.signal(Signal::TERM);
        }
        let deadline = Instant::now() + GRACE;
        for container in &mut self.running {
            while matches!(container.process.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(GRACE_POLL);
            }
        }
        for container in self.running.drain(..) {
            container.close();
        }
    }
}

impl Container {
    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process(Pid::from_child(&self.process), signal) {
            tracing::debug!("the container {} has ended: {error}", self.kind.name());
        }
    }

    /// Waits for the process, which is killed if it still runs, and for its loggers.
    fn close(mut self) {
        // It may have ended and been waited for: then there is nothing to kill.
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            tracing::warn!("cannot end the demo's container {}: {error}", self.kind.name());
        }
        for logger in self.loggers {
            if logger.join().is_err() {
                tracing::error!("a logger of the demo's container {} panicked", self.kind.name());
            }
        }
    }
}
