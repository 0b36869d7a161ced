//! The collector on the files of two streams, and each action on them.

use std::collections::HashSet;
use std::time::Duration;

use super::super::fixture::{Fixture, inode};
use super::super::store::Mode;
use super::Action;
use super::check::stored;
use super::tally::Tally;
use super::written::Written;

const NAMES: [&str; 2] = ["stdout", "stderr"];

/// After it what was acknowledged is in the checkpoints.
const CHECKPOINTS_AFTER: Duration = Duration::from_millis(300);

/// After it an unterminated line without a writer is stored.
const LINES_END_AFTER: Duration = Duration::from_secs(6);

/// A fixture, what was written, and whether the collector runs.
pub(super) struct World {
    pub f: Fixture,
    pub written: [Written; 2],
    pub tally: Tally,
    is_up: bool,
}

impl World {
    pub(super) fn new(f: Fixture) -> Self {
        f.recorder.store.lock().lenient = true;
        let tally = Tally { histories: 1, ..Tally::default() };
        Self { f, written: NAMES.map(Written::new), tally, is_up: true }
    }

    fn look(&mut self) {
        if self.is_up {
            while self.f.step() {}
            self.written.iter_mut().for_each(Written::look);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.written.iter_mut().for_each(Written::close);
        // An unterminated line that is read once more is in no checkpoint before it has ended.
        if self.is_up && self.settle(time) && time >= LINES_END_AFTER {
            self.written.iter_mut().for_each(Written::recorded);
        }
    }

    /// Lets so much time pass; tells whether the checkpoints then tell of all that was sent.
    fn settle(&mut self, time: Duration) -> bool {
        self.f.wait(time);
        self.written.iter_mut().for_each(Written::look);
        self.f.collector().is_all_acknowledged()
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        self.f.kill();
        for one in &mut self.written {
            let stored = stored(&self.f, one.name);
            let there: HashSet<usize> = stored.iter().flatten().copied().collect();
            for (number, token) in one.tokens.iter_mut().enumerate() {
                token.unknowable |= token.destroyed && !there.contains(&number);
            }
        }
    }

    /// Kills the collector, with `settled` after it had the time to write its checkpoints.
    fn kill_after(&mut self, settled: bool) {
        if self.written.iter().any(|one| one.is_emptied) {
            self.look();
        }
        if self.is_up {
            let is_recorded = settled && self.settle(CHECKPOINTS_AFTER);
            self.kill();
            if is_recorded {
                self.written.iter_mut().for_each(Written::killed);
            } else {
                self.mark_unrecorded();
            }
        }
    }

    fn mark_unrecorded(&mut self) {
        for one in &mut self.written {
            one.mark_unrecorded(stored(&self.f, one.name).into_iter().flatten());
        }
    }

    fn start(&mut self) {
        if !std::mem::replace(&mut self.is_up, true) {
            self.f.start();
            self.tally.starts += 1;
            // What another process has seen is forgotten.
            for token in self.written.iter_mut().flat_map(|one| &mut one.tokens) {
                token.seen = false;
            }
        }
    }

    pub(super) fn apply(&mut self, action: &Action) {
        let is_up = self.is_up;
        match action {
            Action::Append(stream, ends) => self.written[*stream].append(&self.f, ends),
            Action::Close(stream) => self.written[*stream].close(),
            Action::Rotate(stream) => self.written[*stream].rotate(&self.f),
            Action::Truncate(stream) => {
                let one = &self.written[*stream];
                if one.files[0].is_some() && !one.fragile {
                    self.tally.truncations += 1;
                    self.written[*stream].truncate(&self.f, is_up);
                }
            }
            Action::CopyTruncate { stream, look, late } => {
                self.copy_truncate(*stream, *look, *late);
            }
            Action::CopyOver(stream) => self.copy_over(*stream),
            Action::Unlink(stream, age) => self.unlink(*stream, *age),
            Action::Recreate(stream, ends) => self.recreate(*stream, ends),
            Action::Gzip(stream, age) => {
                let one = &mut self.written[*stream];
                if one.files.len() > *age {
                    self.tally.compressed += u64::from(one.gzip(&self.f, *age));
                }
            }
            Action::Step => {
                if is_up {
                    self.f.step();
                }
            }
            Action::Look => self.look(),
            Action::Pump => {
                if is_up {
                    self.f.pump();
                    self.written.iter_mut().for_each(Written::look);
                }
            }
            Action::Wait => self.wait(LINES_END_AFTER),
            Action::LongWait => self.wait(Duration::from_secs(60)),
            Action::Kill(settled) => self.kill_after(*settled),
            Action::Start => self.start(),
            Action::Forget => self.forget(),
            Action::Acks(mode) => self.f.recorder.set(*mode),
        }
    }

    fn copy_truncate(&mut self, stream: usize, look: bool, late: bool) {
        let one = &self.written[stream];
        if one.files[0].is_none() || one.fragile {
            return;
        }
        self.written[stream].copy(&self.f);
        self.tally.copies += 1;
        if look {
            self.look();
        }
        if late {
            self.written[stream].append(&self.f, &[true]);
        }
        self.written[stream].truncate(&self.f, self.is_up);
    }

    fn copy_over(&mut self, stream: usize) {
        let one = &mut self.written[stream];
        if one.files[0].is_none() || one.fragile {
            return;
        }
        if one.copy_over(&self.f, self.is_up) {
            self.tally.overwritten += 1;
        } else {
            one.copy(&self.f);
            self.tally.copies += 1;
        }
        one.truncate(&self.f, self.is_up);
    }

    /// Deletes a file and makes it anew.
    fn recreate(&mut self, stream: usize, ends: &[bool]) {
        let path = self.f.path(&self.written[stream].path(0));
        let before = path.exists().then(|| inode(&path));
        self.unlink(stream, 0);
        if let Some(before) = before {
            self.tally.reused += u64::from(self.f.make_again(&path, before));
        }
        self.written[stream].append(&self.f, ends);
    }

    fn unlink(&mut self, stream: usize, age: usize) {
        let one = &mut self.written[stream];
        if one.files.get(age).is_none_or(Option::is_none) {
            return;
        }
        if age == 0 {
            one.close();
            one.files.iter_mut().flatten().for_each(|file| file.is_copy = false);
            one.leave_copies(0);
        } else if one.is_emptied {
            one.leave_copies(age);
        }
        self.f.remove(&one.path(age));
        one.destroy(age, self.is_up);
    }

    /// While the collector is down and its checkpoints are gone, it can know nothing of what
    /// happens: nothing does.
    fn forget(&mut self) {
        if self.is_up {
            self.look();
            self.kill();
            self.f.forget_checkpoints();
            self.start();
            self.mark_unrecorded();
            self.look();
            if *self.f.recorder.mode.lock() == Mode::Acknowledge {
                self.settle(CHECKPOINTS_AFTER);
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.start();
        self.f.recorder.set(Mode::Acknowledge);
        for _ in 0..3 {
            self.wait(Duration::from_secs(20));
        }
    }

    pub(super) fn tally(mut self) -> Tally {
        self.tally.resent = self.f.duplicates();
        self.tally
    }
}
