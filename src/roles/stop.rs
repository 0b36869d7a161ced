//! What ends a role: a signal, or a part of it that ended by itself.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// How often it is looked whether the parts still run.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The signals that end a role.
pub(super) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// From now on the signals do not end the process by themselves.
    pub(super) fn new() -> anyhow::Result<Self> {
        let install = |kind| signal(kind).context("cannot handle signals");
        Ok(Self {
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
        })
    }

    /// Waits for a signal; `check` is asked now and then, and an error of its ends the wait.
    pub(super) async fn wait(
        &mut self,
        check: impl Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut watch = tokio::time::interval(WATCH_INTERVAL);
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                _ = self.interrupt.recv() => return Ok(()),
                _ = watch.tick() => check()?,
            }
        }
    }
}
