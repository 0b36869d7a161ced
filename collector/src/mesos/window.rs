//! What a container used in five minutes, from the samples of them. Only what lies between two
//! samples that follow each other is counted: no gap and no restart of a counter looks like use.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::events::{line, rfc3339};
use super::sample::{COUNTERS, MEMORY, PEAKS, SETTINGS, SYSTEM_TIME, Sample, USER_TIME};
use super::spread::{Spread, number};

/// How long a window is; windows begin at multiples of it since the epoch.
pub(super) const WINDOW: Duration = Duration::from_secs(300);
const WINDOW_NANOS: i64 = 300 * NANOS;
const NANOS: i64 = 1_000_000_000;
/// The event that a window's line tells of.
pub(super) const ROLLED_UP: &str = "statistics_5m";

/// One window of one container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Window {
    /// Nanoseconds since the epoch.
    start: i64,
    /// The time of the last sample.
    pub last: i64,
    samples: u32,
    unmeasured: u32,
    gaps: u32,
    resets: u32,
    covered_nanos: i64,
    deltas: Counts,
    peaks: [Option<f64>; PEAKS.len()],
    settings: [Option<f64>; SETTINGS.len()],
    memory: Spread,
    busy: Spread,
}

/// The amounts of all counters; `None` is unknown.
type Counts = [Option<f64>; COUNTERS.len()];

/// Why two samples that follow each other do not tell what was used between them.
enum Broken {
    /// They are too far apart, or backwards, or not of the same counters.
    Gap,
    /// A counter began anew.
    Reset,
}

/// A container's open window, and what the next interval begins with.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    open: Option<Window>,
    /// The time and the counters of the last sample that was measured.
    measured: Option<(i64, Counts)>,
    last: Option<i64>,
}

impl Track {
    /// Takes the next sample, and gives the window that it closes. Samples further apart than
    /// `gap_max` have a gap between them. A sample that comes again is none.
    pub(super) fn take(&mut self, sample: &Sample, gap_max: Duration) -> Option<Window> {
        if self.last.replace(sample.time) == Some(sample.time) {
            return None;
        }
        let closed = self.open.take_if(|open| !open.has_room_for(sample.time));
        let open = self.open.get_or_insert_with(|| Window::beginning_with(sample.time));
        open.look_at(sample);
        if !sample.is_unmeasured {
            if let Some((time, counters)) = &self.measured {
                open.pass(between(*time, counters, sample, gap_max));
            }
            self.measured = Some((sample.time, sample.counters));
        }
        closed
    }

    /// Whether there is an open window.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Gives the open window, if there is one: no more samples are expected for it.
    pub(super) fn close(&mut self) -> Option<Window> {
        self.open.take()
    }
}

/// The nanoseconds between a sample and the one before it, and what was used in them.
fn between(
    time: i64,
    counters: &Counts,
    sample: &Sample,
    gap_max: Duration,
) -> Result<(i64, Counts), Broken> {
    let nanos = sample.time.saturating_sub(time);
    let same_counters =
        counters.iter().zip(&sample.counters).all(|(a, b)| a.is_some() == b.is_some());
    if nanos <= 0 || nanos as u128 > gap_max.as_nanos() || !same_counters {
        return Err(Broken::Gap);
    }
    let mut deltas = Counts::default();
    for ((delta, before), after) in deltas.iter_mut().zip(counters).zip(&sample.counters) {
        *delta = before.zip(*after).map(|(before, after)| after - before);
    }
    if deltas.iter().flatten().any(|delta| *delta < 0.0) {
        return Err(Broken::Reset);
    }
    // Where nothing was counted, the time belongs to no increase.
    let is_counted = deltas.iter().any(Option::is_some);
    Ok((if is_counted { nanos } else { 0 }, deltas))
}

impl Window {
    fn beginning_with(time: i64) -> Self {
        Self {
            start: time.div_euclid(WINDOW_NANOS).saturating_mul(WINDOW_NANOS),
            last: time,
            samples: 0,
            unmeasured: 0,
            gaps: 0,
            resets: 0,
            covered_nanos: 0,
            deltas: [None; COUNTERS.len()],
            peaks: [None; PEAKS.len()],
            settings: [None; SETTINGS.len()],
            memory: Spread::default(),
            busy: Spread::default(),
        }
    }

    /// Whether a sample of this time belongs here: also one that a clock set back a little puts
    /// before the window, which may be written already.
    fn has_room_for(&self, time: i64) -> bool {
        let before = self.start.saturating_sub(WINDOW_NANOS);
        let end = self.start.saturating_add(WINDOW_NANOS);
        (before..end).contains(&time)
    }

    fn look_at(&mut self, sample: &Sample) {
        self.last = sample.time;
        self.samples = self.samples.saturating_add(1);
        for (known, new) in self.settings.iter_mut().zip(sample.settings) {
            *known = new.or(*known);
        }
        if sample.is_unmeasured {
            self.unmeasured = self.unmeasured.saturating_add(1);
            return;
        }
        for (peak, new) in self.peaks.iter_mut().zip(sample.peaks) {
            *peak = [*peak, new].into_iter().flatten().reduce(f64::max);
        }
        if let Some(memory) = sample.memory {
            self.memory.add(memory);
        }
    }

    fn pass(&mut self, interval: Result<(i64, Counts), Broken>) {
        let (nanos, deltas) = match interval {
            Err(Broken::Gap) => return self.gaps = self.gaps.saturating_add(1),
            Err(Broken::Reset) => return self.resets = self.resets.saturating_add(1),
            Ok(covered) => covered,
        };
        self.covered_nanos = self.covered_nanos.saturating_add(nanos);
        for (sum, delta) in self.deltas.iter_mut().zip(deltas) {
            *sum = delta.map(|delta| sum.unwrap_or_default() + delta).or(*sum);
        }
        if let Some((user, system)) = deltas[USER_TIME].zip(deltas[SYSTEM_TIME]) {
            self.busy.add((user + system) / seconds(nanos));
        }
    }

    /// The window's line.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut amounts = BTreeMap::new();
        put(&mut amounts, "_delta", &COUNTERS, &self.deltas);
        put(&mut amounts, "_max", &PEAKS, &self.peaks);
        put(&mut amounts, "", &SETTINGS, &self.settings);
        spread(&mut amounts, "cpus_busy", &self.busy);
        spread(&mut amounts, MEMORY, &self.memory);
        line(&Line {
            time: rfc3339(self.last),
            level: "info",
            event: ROLLED_UP,
            window_start: rfc3339(self.start),
            window_secs: WINDOW.as_secs(),
            samples: self.samples,
            unmeasured: self.unmeasured,
            gaps: self.gaps,
            resets: self.resets,
            covered_secs: number(seconds(self.covered_nanos)),
            amounts,
        })
    }
}

/// The line of a window. What is not known is left out.
#[derive(Serialize)]
struct Line {
    /// That of the last sample: never later than what is known.
    time: String,
    level: &'static str,
    event: &'static str,
    window_start: String,
    window_secs: u64,
    samples: u32,
    unmeasured: u32,
    gaps: u32,
    resets: u32,
    covered_secs: serde_json::Number,
    #[serde(flatten)]
    amounts: BTreeMap<String, Value>,
}

fn put(into: &mut BTreeMap<String, Value>, suffix: &str, names: &[&str], found: &[Option<f64>]) {
    let known = names.iter().zip(found);
    into.extend(known.filter_map(|(name, amount)| {
        Some((format!("{name}{suffix}"), Value::Number(number((*amount)?))))
    }));
}

fn spread(into: &mut BTreeMap<String, Value>, name: &str, spread: &Spread) {
    let percentile = |percent| spread.percentile(percent);
    for (suffix, value) in [("p50", percentile(50)), ("p95", percentile(95)), ("max", spread.max())]
    {
        into.extend(value.map(|value| (format!("{name}_{suffix}"), Value::Number(number(value)))));
    }
    into.extend(spread.json().map(|values| (format!("{name}_values"), values)));
}

fn seconds(nanos: i64) -> f64 {
    // Of minutes: far below the numbers that are not exact.
    nanos as f64 / NANOS as f64
}
