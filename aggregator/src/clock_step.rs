//! Steps of the wall clock: where somebody sets it, the marks of slices are set with it, so that a
//! slice's age stays what the steady clock measured.

use crate::clock::Clock;
use crate::error::StoreError;
use crate::manifest::{ManifestRecord, SliceMark};
use crate::retention::stored_at;
use crate::seal::Sealer;

/// A wall clock that went this much more or less than the steady one was set: nanoseconds.
const STEP_MIN: i64 = 60 * 1_000_000_000;
/// A clock that nobody set for this long is believed to be right: nanoseconds. Before, a mark that
/// lies in its future may well be right and the clock not, as on machines that start in 1970.
const SETTLES_AFTER: i64 = 600 * 1_000_000_000;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockSeen {
    wall: i64,
    steady: i64,
    /// When the wall clock was first seen, or was last seen to have been set, on the steady one.
    set_at: i64,
}

impl ClockSeen {
    pub(crate) fn first(clock: &Clock) -> Self {
        let steady = clock.steady();
        Self { wall: clock.now(), steady, set_at: steady }
    }

    /// The clocks now, and what the wall clock would say if it had not been set.
    fn next(&self, clock: &Clock) -> (Self, i64) {
        let (wall, steady) = (clock.now(), clock.steady());
        let expected = self.wall.saturating_add(steady.saturating_sub(self.steady));
        let stepped = wall.saturating_sub(expected).saturating_abs() > STEP_MIN;
        let set_at = if stepped { steady } else { self.set_at };
        (Self { wall, steady, set_at }, if stepped { expected } else { wall })
    }

    fn is_settled(&self) -> bool {
        self.steady.saturating_sub(self.set_at) >= SETTLES_AFTER
    }
}

impl Sealer {
    /// Sets the marks of slices with the wall clock, if that was set; gives the time. Between two
    /// seals only.
    ///
    /// # Errors
    /// The manifest cannot be written; the step is seen again once the store is recovered.
    pub(crate) fn follow_clock(&mut self) -> Result<i64, StoreError> {
        let before = *self.store.clock_seen.lock();
        let (seen, expected) = before.next(&self.store.config.clock);
        let step = seen.wall.saturating_sub(expected);
        if step != 0 {
            let seconds = step / 1_000_000_000;
            tracing::warn!(seconds, "the clock was set: slices stay as old as they are");
        }
        let mut slices = self.record.slices.clone();
        for mark in &mut slices {
            set_with_clock(mark, expected, step);
            if seen.is_settled() && stored_at(mark) > seen.wall {
                mark.stored_at = seen.wall;
            }
        }
        if slices != self.record.slices {
            if let Some(active) = &mut self.active
                && let Some(mark) = slices.iter().find(|mark| mark.id == active.mark().id)
            {
                active.set_times(mark);
            }
            let seal = self.record.seal + 1;
            let stale = self.commit(ManifestRecord { seal, slices, ..self.record.clone() })?;
            self.remove_stale_catalog(stale);
        }
        *self.store.clock_seen.lock() = seen;
        Ok(seen.wall)
    }
}

/// What lay in the clock's future before it was set was written under another setting: it stays.
fn set_with_clock(mark: &mut SliceMark, expected: i64, step: i64) {
    for time in [&mut mark.created_at, &mut mark.stored_at] {
        // 0 is no time: not noted.
        if *time != 0 && *time <= expected {
            *time = time.saturating_add(step);
        }
    }
}
