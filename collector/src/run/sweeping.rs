//! Files of which the kernel does not tell: those without a name at each sweep, all of them now and then.

use sawlog_transport::StreamId;

use super::Loop;
use crate::clock::Now;
use crate::discover::Rescan;
use crate::intake::Streams;

/// Open files in watched directories are checked at every so many sweeps.
const SWEEPS_WATCHED: u64 = 60;
/// Streams that are checked before the loop looks at everything else again.
const STEP_CHECKS: usize = 1024;

impl Loop {
    /// Begins the `count`th sweep.
    pub(super) fn sweep(&mut self, count: u64, now: Now) {
        // At most once a sweep, lest a storm of events be answered by a storm of listings.
        let events_lost = std::mem::take(&mut self.events_lost);
        if events_lost {
            self.tree.rescan(Rescan::EventsLost);
            self.doubt_writers();
            self.unchecked.clear();
            // Who wrote is an open question for all of them, which only a turn asks.
            let all: Vec<StreamId> = self.streams.by_id.keys().copied().collect();
            all.into_iter().for_each(|id| self.wake(id, now));
        }
        let is_all = events_lost || count.is_multiple_of(SWEEPS_WATCHED);
        if self.unchecked.is_empty() {
            if is_all {
                self.unchecked.extend(self.streams.by_id.keys());
            } else {
                self.unchecked.extend(self.tree.unwatched_streams());
            }
        }
        for id in self.nameless() {
            self.account(id, now);
            self.wake(id, now);
        }
    }

    /// Gives a turn to the next streams of a sweep that are not as they were left: one look at each
    /// file tells, where a turn would ask and count a lot more.
    pub(super) fn check_streams(&mut self, now: Now) {
        for _ in 0..STEP_CHECKS {
            let Some(id) = self.unchecked.pop_front() else { return };
            let Some(stream) = self.streams.by_id.get(&id) else { continue };
            self.metrics.load.file_checks.inc();
            if !stream.is_at_rest(&self.checkpoints) {
                self.account(id, now);
                self.wake(id, now);
            }
        }
    }

    /// Somebody may have closed a file without our having been told.
    fn doubt_writers(&mut self) {
        let files = self.streams.by_id.values_mut().flat_map(|stream| &mut stream.files);
        files.for_each(|file| file.doubt_writers());
    }

    /// The streams with a file that no name leads to.
    fn nameless(&mut self) -> Vec<StreamId> {
        let Streams { by_id, unnamed, .. } = &mut self.streams;
        unnamed.retain(|id| {
            let files = by_id.get(id).map(|stream| &stream.files[..]).unwrap_or_default();
            files.iter().any(|file| file.name.is_none())
        });
        unnamed.iter().copied().collect()
    }
}
