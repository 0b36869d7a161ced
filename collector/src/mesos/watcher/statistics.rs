//! Asks the agent what its containers use, and those of pods one by one.

use std::time::Duration;

use parking_lot::Mutex;

use super::super::generated::STATS;
use super::{Watcher, has_sandbox};
use crate::clock::Now;

/// When an agent is asked again that does not tell of nested containers: many let nobody use the calls.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);

impl Watcher {
    pub(super) fn poll_stats(&mut self, alive: &Mutex<bool>, now: Now) {
        self.poll_containers(alive, now);
        if !self.pods.is_empty() && now.monotonic >= self.nested_due {
            self.poll_nested(alive, now);
        }
    }

    fn poll_containers(&mut self, alive: &Mutex<bool>, now: Now) {
        let lines = self.asking.containers(&self.around, now.wall);
        let alive = alive.lock();
        if !*alive {
            return;
        }
        for (ids, line) in lines {
            if !self.metas.iter().any(|meta| has_sandbox(meta, &ids)) {
                continue;
            }
            let written = self.rollups.write(&ids, &line, &mut self.files, now.monotonic);
            written.unwrap_or_else(|error| self.write_failed(&error));
        }
    }

    /// What is nested is part of its pod, which has windows of five minutes: it has none of its own.
    fn poll_nested(&mut self, alive: &Mutex<bool>, now: Now) {
        let Some(lines) = self.asking.nested(&self.pods, &self.around, now.wall) else {
            self.nested_due = now.monotonic + REFUSED_PAUSE;
            return;
        };
        let alive = alive.lock();
        if !*alive {
            return;
        }
        for (ids, nested, line) in lines {
            if !self.metas.iter().any(|meta| has_sandbox(meta, &ids)) {
                continue;
            }
            let written = self.files.append(&ids, &nested, STATS, &line);
            written.unwrap_or_else(|error| self.write_failed(&error));
        }
    }
}
