//! Entries from lines as they arrive: the last one of each stream waits for a moment for the next line,
//! which may continue it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sawlog_aggregator::{HotRun, HotSource, StreamNumber};
use sawlog_transport::entries::{EntryCutter, may_continue};

/// How long an entry waits after its last line, and after its first.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// Memory of all entries that wait, in bytes; beyond it none does.
const BYTES_MAX: usize = 4 << 20;

/// The last entries of all streams that arrive.
#[derive(Default)]
pub(super) struct Joiner {
    waiting: HashMap<(u32, StreamNumber), Waiting>,
    bytes: usize,
    /// No entry is to be given before; `None` if none waits.
    due_at: Option<Instant>,
}

/// An entry whose next line may come.
struct Waiting {
    /// All their lines are the entry's. There is one at least.
    runs: Vec<Arc<HotRun>>,
    cutter: EntryCutter,
    /// When it was begun and when it is given at latest.
    since: Instant,
    until: Instant,
}

impl Waiting {
    fn into_source(self) -> Option<HotSource> {
        let mut runs = self.runs.into_iter();
        let mut source = HotSource::from(runs.next()?);
        for run in runs {
            let lines = 0..run.lines.len();
            source.push(run, lines);
        }
        Some(source)
    }

    fn bytes(&self) -> usize {
        self.runs.iter().map(|run| run.memory_bytes()).sum()
    }

    /// Waits for the line behind the last one, which came now.
    fn wait_on(&mut self, now: Instant) {
        self.until = (now + WAIT.0).min(self.since + WAIT.1);
    }
}

impl Joiner {
    /// Takes the next run; gives what is complete by it, in order.
    pub(super) fn add(&mut self, run: &Arc<HotRun>, now: Instant) -> Vec<HotSource> {
        let key = (run.partition, run.number);
        let before = self.waiting.remove(&key);
        self.bytes -= before.as_ref().map_or(0, Waiting::bytes);
        let mut given = Vec::new();
        let (first, last, cutter) = match before {
            Some(mut before) if continues(&before, run) => {
                let (first, last) = begins(&mut before.cutter, run);
                let Some(first) = first else {
                    before.runs.push(run.clone());
                    before.wait_on(now);
                    return self.wait(key, before);
                };
                let cutter = before.cutter;
                if let Some(mut source) = before.into_source() {
                    if first > 0 {
                        source.push(run.clone(), 0..first);
                    }
                    given.push(source);
                }
                (first, last, cutter)
            }
            before => {
                given.extend(before.and_then(Waiting::into_source));
                let mut cutter = EntryCutter::default();
                let (_, last) = begins(&mut cutter, run);
                (0, last, cutter)
            }
        };
        if first < last {
            given.push(HotSource::new(run.clone(), first..last));
        }
        let runs = vec![Arc::new(run.part(last..run.lines.len()))];
        let mut waiting = Waiting { runs, cutter, since: now, until: now };
        waiting.wait_on(now);
        given.extend(self.wait(key, waiting));
        given
    }

    /// Lets an entry wait; gives all that do where there is no room for it.
    fn wait(&mut self, key: (u32, StreamNumber), waiting: Waiting) -> Vec<HotSource> {
        self.bytes += waiting.bytes();
        self.due_at = Some(self.due_at.map_or(waiting.until, |at| at.min(waiting.until)));
        self.waiting.insert(key, waiting);
        if self.bytes > BYTES_MAX { self.take_all() } else { Vec::new() }
    }

    /// When it is to be looked for entries that have waited long enough; `None` if none waits.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// What has waited long enough, the oldest first.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<HotSource> {
        if self.due_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let due = self.waiting.extract_if(|_, waiting| waiting.until <= now);
        let due: Vec<Waiting> = due.map(|(_, waiting)| waiting).collect();
        self.due_at = self.waiting.values().map(|waiting| waiting.until).min();
        self.give(due)
    }

    /// All that wait.
    pub(super) fn take_all(&mut self) -> Vec<HotSource> {
        let all = std::mem::take(&mut self.waiting).into_values().collect();
        self.due_at = None;
        self.give(all)
    }

    fn give(&mut self, mut entries: Vec<Waiting>) -> Vec<HotSource> {
        self.bytes -= entries.iter().map(Waiting::bytes).sum::<usize>();
        entries.sort_by_key(|waiting| waiting.since);
        entries.into_iter().filter_map(Waiting::into_source).collect()
    }
}

fn continues(before: &Waiting, run: &HotRun) -> bool {
    before.runs.last().is_some_and(|last| may_continue(&last.pieces, &run.pieces))
}

/// The first line of a run that begins an entry, if one does, and the last one.
fn begins(cutter: &mut EntryCutter, run: &HotRun) -> (Option<usize>, usize) {
    let (mut first, mut last) = (None, 0);
    for (n, (flags, len)) in run.lines.flags.iter().zip(&run.lines.text_lens).enumerate() {
        if cutter.begins(*flags, *len) {
            first.get_or_insert(n);
            last = n;
        }
    }
    (first, last)
}
