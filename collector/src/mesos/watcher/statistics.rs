//! Asks the agent what its containers use, and those of pods one by one.

use std::time::Duration;

use parking_lot::Mutex;

use super::super::client::AskError;
use super::super::containers;
use super::super::facts::Ids;
use super::super::generated::STATS;
use super::super::nested;
use super::{Watcher, has_sandbox};
use crate::clock::Now;

/// When an agent is asked again that does not tell of nested containers: many let nobody use the calls.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);

impl Watcher {
    pub(super) fn poll_stats(&mut self, alive: &Mutex<bool>, now: Now) {
        let answer = self.client.get("/containers").and_then(|body| {
            containers::lines(&body, &self.around, now.wall)
                .map_err(|error| self.malformed("/containers", &error))
        });
        self.note("/containers", answer.as_ref().err());
        let lines = answer.unwrap_or_default();
        self.write_stats(alive, lines.into_iter().map(|(ids, line)| (ids, String::new(), line)));
        if !self.pods.is_empty() && now.monotonic >= self.nested_due {
            self.poll_nested(alive, now);
        }
    }

    fn poll_nested(&mut self, alive: &Mutex<bool>, now: Now) {
        let answer = self.client.post(nested::ENDPOINT, nested::CALL).and_then(|body| {
            nested::lines(&body, &self.pods, &self.around, now.wall)
                .map_err(|error| self.malformed(nested::ENDPOINT, &error))
        });
        match answer {
            Ok(lines) => {
                self.note(nested::ENDPOINT, None);
                self.write_stats(alive, lines.into_iter());
            }
            Err(error) => self.nested_refused(&error, now),
        }
    }

    /// Told once, and no fault: the pods themselves are measured all the same.
    fn nested_refused(&mut self, error: &AskError, now: Now) {
        self.nested_due = now.monotonic + REFUSED_PAUSE;
        let outcome = error.outcome();
        if self.outcomes.insert(nested::ENDPOINT, outcome) != Some(outcome) {
            tracing::info!("no statistics of the single tasks of pods: {error}");
        }
    }

    fn write_stats(
        &mut self,
        alive: &Mutex<bool>,
        lines: impl Iterator<Item = (Ids, String, Vec<u8>)>,
    ) {
        let alive = alive.lock();
        if !*alive {
            return;
        }
        for (ids, nested, line) in lines {
            if !self.metas.iter().any(|meta| has_sandbox(meta, &ids)) {
                continue;
            }
            if let Err(error) = self.files.append(&ids, &nested, STATS, &line) {
                self.write_failed(&error);
            }
        }
    }
}
