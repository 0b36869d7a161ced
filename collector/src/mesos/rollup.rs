//! Statistics of five minutes each, made where the samples are written. The file of the samples is the
//! memory: what a window was made of is read back from it after a restart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::facts::{ContainerKey, ID_BYTES_MAX, Ids};
use super::generated::{GeneratedFiles, STATS, STATS_5M};
use super::known::CONTAINERS_MAX;
use super::sample::{Sample, parse_time};
use super::spread::SPREAD_BYTES_MAX;
use super::window::{ROLLED_UP, Track, WINDOW, Window};

/// Samples further apart than this have a gap between them, unless they are meant to be: then it is
/// so many pauses.
const GAP_MIN: Duration = Duration::from_secs(60);
const GAP_PAUSES: u32 = 4;
/// How much of the samples is read back, from the end, at least: ten minutes of long lines, one each 15 s.
const SAMPLES_BYTES_MIN: u64 = 128 * 1024;
/// A long line of a sample, in bytes.
const SAMPLE_BYTES: u64 = 3 * 1024 + 256;
/// How much of the windows is read back, from the end: the last one.
const WINDOWS_BYTES_MAX: u64 = 16 * 1024;

/// What a line says of the window that it tells of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WrittenLine {
    time: String,
    event: String,
}

/// A container's windows.
struct Rolling {
    ids: Ids,
    track: Track,
    /// When the last sample came, by the monotonic clock.
    fed: Duration,
}

/// What one container takes at most, in bytes; all together so many times as many are remembered.
const ROLLING_BYTES_MAX: usize = 4096;
const _: () = {
    let ids = 4 * ID_BYTES_MAX;
    assert!(size_of::<Rolling>() + ids + 2 * SPREAD_BYTES_MAX <= ROLLING_BYTES_MAX);
};

/// The open windows of all containers.
pub(super) struct Rollups {
    rolling: HashMap<ContainerKey, Rolling>,
    containers_max: usize,
    gap_max: Duration,
    /// How much of the samples is read back, in bytes.
    samples_bytes_max: u64,
    /// Whether the containers of an earlier process were looked at.
    has_taken_up: bool,
    /// Containers whose samples could not be read back or whose last window could not be written, by
    /// their runs' paths: nothing else would have that done again once they are gone.
    owed: HashMap<PathBuf, Ids>,
}

impl Rollups {
    /// `every` is the pause between samples.
    pub(super) fn new(every: Duration) -> Self {
        let gap_max = GAP_MIN.max(every.saturating_mul(GAP_PAUSES));
        Self {
            rolling: HashMap::new(),
            containers_max: CONTAINERS_MAX,
            gap_max,
            samples_bytes_max: samples_bytes_max(every),
            has_taken_up: false,
            owed: HashMap::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn limit(&mut self, containers_max: usize) {
        self.containers_max = containers_max;
    }

    /// Writes a sample of a container, and the window that it closes. `now` is the monotonic clock.
    ///
    /// # Errors
    /// A file cannot be read or written. A window that could not be written is made again from the
    /// samples at the next call.
    pub(super) fn write(
        &mut self,
        ids: &Ids,
        line: &[u8],
        files: &mut GeneratedFiles,
        now: Duration,
    ) -> io::Result<()> {
        let gap_max = self.gap_max;
        let Some(rolling) = self.of(ids, files, now)? else {
            return files.append(ids, "", STATS, line);
        };
        files.append(ids, "", STATS, line)?;
        let Some(sample) = Sample::parse(line) else { return Ok(()) };
        rolling.fed = now;
        let closed = rolling.track.take(&sample, gap_max);
        self.put(ids, closed, files)
    }

    /// A container has ended: what is open of it is written.
    ///
    /// # Errors
    /// As of [`Self::write`].
    pub(super) fn end(
        &mut self,
        ids: &Ids,
        files: &mut GeneratedFiles,
        now: Duration,
    ) -> io::Result<()> {
        let Some(rolling) = self.of(ids, files, now)? else { return Ok(()) };
        let last = rolling.track.close();
        self.put(ids, last, files)
    }

    /// Writes what is open of containers that are gone, and of those of which nothing comes any more;
    /// the first call also takes up those of an earlier process. `now` is the monotonic clock.
    ///
    /// # Errors
    /// As of [`Self::write`], of one container; the others are written all the same. The next call takes
    /// up again what could not be written: until then the samples must stay ([`Self::owes`]).
    pub(super) fn close_idle(
        &mut self,
        files: &mut GeneratedFiles,
        exists: impl Fn(&Ids) -> bool,
        now: Duration,
    ) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut left: Vec<Ids> = std::mem::take(&mut self.owed).into_values().collect();
        if !std::mem::replace(&mut self.has_taken_up, true) {
            left.extend(files.runs_with(STATS));
        }
        for ids in left {
            match self.of(&ids, files, now).map(|of| of.is_some_and(|it| it.track.is_open())) {
                Ok(true) => {}
                Ok(false) => drop(self.rolling.remove(&ids.key())),
                Err(error) => {
                    self.owed.insert(ids.path(), ids);
                    outcome = Err(error);
                }
            }
        }
        let silence = WINDOW.saturating_add(self.gap_max);
        let mut closed: Vec<(Ids, Window)> = Vec::new();
        self.rolling.retain(|_, rolling| {
            let is_there = exists(&rolling.ids);
            if !is_there || now.saturating_sub(rolling.fed) > silence {
                closed.extend(rolling.track.close().map(|window| (rolling.ids.clone(), window)));
            }
            is_there
        });
        for (ids, window) in closed {
            if let Err(error) = self.put(&ids, Some(window), files) {
                self.owed.insert(ids.path(), ids);
                outcome = Err(error);
            }
        }
        outcome
    }

    /// Whether a window of a run is to be made from its samples once more.
    pub(super) fn owes(&self, run: &Path) -> bool {
        self.owed.contains_key(run)
    }

    /// A container's windows, read back if they are not known; `None` if there are too many.
    fn of(
        &mut self,
        ids: &Ids,
        files: &mut GeneratedFiles,
        now: Duration,
    ) -> io::Result<Option<&mut Rolling>> {
        let is_full = self.rolling.len() >= self.containers_max;
        match self.rolling.entry(ids.key()) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(_) if is_full => Ok(None),
            Entry::Vacant(unknown) => {
                let track = read_back(ids, files, self.gap_max, self.samples_bytes_max)?;
                let rolling = Rolling { ids: ids.clone(), track, fed: now };
                Ok(Some(unknown.insert(rolling)))
            }
        }
    }

    /// Writes a window. What cannot be written is forgotten, and so read back.
    fn put(
        &mut self,
        ids: &Ids,
        window: Option<Window>,
        files: &mut GeneratedFiles,
    ) -> io::Result<()> {
        let Some(window) = window else { return Ok(()) };
        let put = files.append(ids, "", STATS_5M, &window.line());
        if put.is_err() {
            self.rolling.remove(&ids.key());
        }
        put
    }
}

/// What two windows of samples take, that are taken with such a pause between them: a window that was
/// closed and not written is made again with the open one.
fn samples_bytes_max(every: Duration) -> u64 {
    let samples = 2 * WINDOW.as_millis() as u64 / (every.as_millis() as u64).max(1);
    samples.saturating_mul(SAMPLE_BYTES).max(SAMPLES_BYTES_MIN)
}

/// What is open of a container, from its samples; what was closed and not written any more before a
/// crash is written.
fn read_back(
    ids: &Ids,
    files: &mut GeneratedFiles,
    gap_max: Duration,
    samples_bytes_max: u64,
) -> io::Result<Track> {
    let rolled_up = last_rolled_up(&files.tail(ids, STATS_5M, WINDOWS_BYTES_MAX)?);
    let tail = files.tail(ids, STATS, samples_bytes_max)?;
    let samples: Vec<Sample> =
        tail.split(|byte| *byte == b'\n').filter_map(Sample::parse).collect();
    let is_last = |sample: &Sample| Some(sample.time) == rolled_up;
    // By its place, since clocks may have been set back; if it is not there any more, by its time.
    let known = samples.iter().rposition(is_last).map(|at| at + 1);
    let is_older = |sample: &Sample| rolled_up.is_some_and(|time| sample.time <= time);
    let known = known.or_else(|| samples.iter().rposition(is_older).map(|at| at + 1));
    let (known, new) = samples.split_at(known.unwrap_or(0));
    let mut track = Track::default();
    for sample in known {
        drop(track.take(sample, gap_max));
    }
    drop(track.close());
    for sample in new {
        if let Some(window) = track.take(sample, gap_max) {
            files.append(ids, "", STATS_5M, &window.line())?;
        }
    }
    Ok(track)
}

/// The time of the last sample that a written window was made of.
fn last_rolled_up(windows: &[u8]) -> Option<i64> {
    windows.rsplit(|byte| *byte == b'\n').find_map(|line| {
        let line: WrittenLine = serde_json::from_slice(line).ok()?;
        (line.event == ROLLED_UP).then(|| parse_time(&line.time)).flatten()
    })
}
