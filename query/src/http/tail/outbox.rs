//! What waits for one tail's reader: a few frames of entries, and what was left out between them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use prometheus::IntCounter;
use sawlog_transport::Labels;
use tokio::sync::Notify;

use crate::engine::Entry;

/// Frames that wait for a reader at most, and entries in one: Loki's numbers.
const FRAMES_MAX: usize = 10;
const FRAME_ENTRIES_MAX: usize = 100;
/// A frame takes no further entry that would make it larger than this: bytes.
const FRAME_BYTES_MAX: usize = 512 * 1024;
/// Left out entries of one gap that are told one by one: Loki's number.
pub(super) const NAMED_MAX: usize = 1000;
/// How often a writer that waits for room asks whether it may go on waiting.
const PATIENCE_CHECK: Duration = Duration::from_millis(20);

/// Entries that are sent together.
#[derive(Debug, Default)]
pub(super) struct Frame {
    /// What was left out before the entries.
    pub(super) gap: Gap,
    pub(super) entries: Vec<Entry>,
    bytes: usize,
}

/// Lines that were not sent because the reader was slow.
#[derive(Debug, Default)]
pub(super) struct Gap {
    pub(super) lines: u64,
    /// The time of the last one: nanoseconds since the epoch.
    pub(super) last_time: i64,
    /// The first of them, each with labels and time; lines beyond these are only counted.
    pub(super) named: Vec<(Arc<Labels>, i64)>,
}

/// What a reader gets next.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// The tail cannot go on, and why.
    Failed(String),
}

/// The frames between the thread that finds entries and the task that sends them.
pub(super) struct Outbox {
    state: Mutex<State>,
    room: Condvar,
    arrived: Notify,
    dropped_total: IntCounter,
    /// A reader that asks for nothing for so long is given up.
    patience: Duration,
}

struct State {
    /// When the reader asked last.
    asked: Instant,
    frames: VecDeque<Frame>,
    /// What was left out since the last frame.
    gap: Gap,
    failed: Option<String>,
    is_closed: bool,
}

impl Gap {
    fn add(&mut self, entry: &Entry) {
        self.lines += 1;
        self.last_time = entry.time;
        if self.named.len() < NAMED_MAX {
            // Entries of a stream share their labels, so that a gap holds few label sets.
            let labels = match self.named.last() {
                Some((last, _)) if **last == *entry.labels => last.clone(),
                _ => entry.labels.clone(),
            };
            self.named.push((labels, entry.time));
        }
    }

    /// Lines that are not told one by one.
    pub(super) fn has_unnamed(&self) -> bool {
        self.lines > self.named.len() as u64
    }
}

impl Frame {
    fn has_room(&self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= FRAME_BYTES_MAX;
        self.entries.is_empty() || (fits && self.entries.len() < FRAME_ENTRIES_MAX)
    }
}

impl State {
    /// Puts the entry into the last frame or a new one; gives it back where there is no room.
    fn add(&mut self, entry: Entry) -> Option<Entry> {
        let bytes = entry.memory_bytes();
        // What was left out stands between the last frame and this entry.
        let last = self.frames.back_mut().filter(|_| self.gap.lines == 0);
        if let Some(frame) = last.filter(|frame| frame.has_room(bytes)) {
            frame.bytes += bytes;
            frame.entries.push(entry);
        } else if self.frames.len() < FRAMES_MAX {
            let gap = std::mem::take(&mut self.gap);
            self.frames.push_back(Frame { gap, entries: vec![entry], bytes });
        } else {
            return Some(entry);
        }
        None
    }

    /// Whether nobody will read any more. A reader that was given up finds out why when it comes back.
    fn is_over(&mut self, patience: Duration) -> bool {
        if !self.is_closed && self.asked.elapsed() > patience {
            self.is_closed = true;
            self.frames.clear();
            self.failed = Some(format!("the reader took nothing for {patience:?}"));
        }
        self.is_closed
    }

    fn next(&mut self) -> Option<Next> {
        if let Some(frame) = self.frames.pop_front() {
            return Some(Next::Frame(frame));
        }
        if self.gap.lines > 0 {
            let gap = std::mem::take(&mut self.gap);
            return Some(Next::Frame(Frame { gap, ..Frame::default() }));
        }
        self.failed.take().map(Next::Failed)
    }
}

impl Outbox {
    /// A reader must ask for the next frame at least each `patience`.
    pub(super) fn new(dropped_total: IntCounter, patience: Duration) -> Self {
        let state = Mutex::new(State {
            asked: Instant::now(),
            frames: VecDeque::new(),
            gap: Gap::default(),
            failed: None,
            is_closed: false,
        });
        let (room, arrived) = (Condvar::new(), Notify::new());
        Self { state, room, arrived, dropped_total, patience }
    }

    /// Puts an entry behind the others. Where there is no room it waits for as long as `may_wait`
    /// says yes; then the entry is left out and counted.
    pub(super) fn offer(&self, entry: Entry, may_wait: impl Fn() -> bool) {
        let mut state = self.state.lock();
        let mut entry = entry;
        while !state.is_over(self.patience) {
            match state.add(entry) {
                None => break,
                Some(back) => entry = back,
            }
            if !may_wait() {
                state.gap.add(&entry);
                self.dropped_total.inc();
                break;
            }
            // Room or not: it is looked again.
            self.room.wait_for(&mut state, PATIENCE_CHECK);
        }
        self.arrived.notify_one();
    }

    /// Counts lines that nobody has looked at: whether they match is not known.
    pub(super) fn missed(&self, lines: u64, last_time: i64) {
        let mut state = self.state.lock();
        state.gap.lines += lines;
        state.gap.last_time = last_time;
        self.dropped_total.inc_by(lines);
        self.arrived.notify_one();
    }

    /// Ends the tail behind what is waiting.
    pub(super) fn fail(&self, why: impl Into<String>) {
        self.state.lock().failed = Some(why.into());
        self.arrived.notify_one();
    }

    /// The reader is gone: nobody waits for room any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.frames.clear();
        self.room.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_over(self.patience)
    }

    /// Waits for what comes next. Nothing is lost if the caller gives up waiting.
    pub(super) async fn next(&self) -> Next {
        loop {
            let next = {
                let mut state = self.state.lock();
                state.asked = Instant::now();
                state.next()
            };
            if let Some(next) = next {
                self.room.notify_all();
                return next;
            }
            self.arrived.notified().await;
        }
    }
}
