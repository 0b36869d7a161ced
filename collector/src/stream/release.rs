//! Which files of a stream are done with: read, acknowledged, and written by nobody.

use std::time::Duration;

use super::{Closed, Stream, Turn, Why};
use crate::checkpoint::Checkpoints;
use crate::copies::is_undecided;
use crate::identity::InodeKey;
use crate::sys::Writers;
use crate::tail::{Copied, TailFile};

/// How many of a stream's files are asked about at each look at a directory that is hot.
const NEWEST_LOOKED_AT: usize = 16;

impl Stream {
    /// Closes files that are read, acknowledged and finished; tells when to look again.
    pub(crate) fn release(&mut self, turn: &mut Turn<'_, '_>) -> Option<Duration> {
        let mut due: Option<Duration> = None;
        let mut index = 0;
        while index < self.files.len() {
            match self.finished(index, turn) {
                Finished::Yes => {
                    let file = self.files.remove(index);
                    if file.is_deleted() && file.has_unknown_writers() {
                        turn.reader.metrics.sandboxes.unsure_releases.inc();
                    }
                    if file.read_to > 0 {
                        // What is read of older files from now on does not go on behind this one.
                        self.files[..index].iter_mut().for_each(|older| older.passed = true);
                    }
                    note_finished(&file, turn);
                    turn.closed.push(Closed { file, why: Why::Finished });
                    continue;
                }
                Finished::AskAt(at) => due = Some(due.map_or(at, |due| due.min(at))),
                Finished::No => {}
            }
            index += 1;
        }
        due
    }

    /// Whether a file is a copy of bytes that its original has lost, which will go on here.
    fn is_awaited(&self, index: usize) -> bool {
        let Copied::Idle(of) = self.files[index].copy else { return false };
        self.files.iter().flat_map(|file| &file.ended).any(|ended| ended.of == of)
    }

    fn finished(&mut self, index: usize, turn: &Turn<'_, '_>) -> Finished {
        let now = turn.reader.now.monotonic;
        let is_needed = self.is_in_head(index) || self.is_awaited(index);
        let file = &mut self.files[index];
        let is_target = self.head.as_ref().is_some_and(|head| head.continued_in == file.key());
        let has_more =
            is_undecided(file) || file.unread() > 0 || file.inside_cut || is_needed || is_target;
        if has_more || !is_acknowledged(file, turn.checkpoints) {
            return Finished::No;
        }
        let quiet_at = file.changed_at + turn.config.release_after;
        let unknown_at = file.changed_at + turn.config.release_after_unknown_writers;
        let is_current = file.name.as_ref().is_some_and(|(_, age)| *age == 0);
        // The file that is being written is closed only when it seems to be the last.
        if is_current && now < quiet_at {
            return Finished::AskAt(quiet_at);
        }
        match file.writers(now) {
            // Somebody may have written and closed it just before the question.
            (Writers::None, _) => match file.is_changed() {
                Ok(false) => Finished::Yes,
                Ok(true) | Err(_) => Finished::AskAt(now),
            },
            (Writers::Some, _) => Finished::AskAt(file.ask_again(now)),
            (Writers::Unknown, _) if is_current => Finished::No,
            (Writers::Unknown, _) if turn.is_tight && file.is_deleted() => Finished::Yes,
            (Writers::Unknown, _) if now >= unknown_at => Finished::Yes,
            (Writers::Unknown, _) => Finished::AskAt(unknown_at),
        }
    }

    /// The files that are read and acknowledged to their ends, with their sizes.
    pub(crate) fn drained(&self, checkpoints: &Checkpoints) -> Vec<(InodeKey, u64)> {
        let is_drained =
            |file: &&TailFile| file.unread() == 0 && is_acknowledged(file, checkpoints);
        self.files.iter().filter(is_drained).map(|file| (file.key(), file.facts.size)).collect()
    }

    /// The files that are read, acknowledged and have a name: to close them loses nothing, as long as
    /// somebody opens them again when they grow.
    pub(crate) fn quiet_files(&self, checkpoints: &Checkpoints) -> impl Iterator<Item = &TailFile> {
        let in_head = self.head.as_ref();
        self.files.iter().filter(move |file| {
            let is_joined =
                in_head.is_some_and(|head| head.holds(file) || head.continued_in == file.key());
            !is_busy(file) && !is_joined && is_acknowledged(file, checkpoints)
        })
    }

    /// Whether no turn would find anything to do: every file gives nothing for now, and is still as
    /// it was when it was looked at last.
    pub(crate) fn is_at_rest(&self, checkpoints: &Checkpoints) -> bool {
        let resting = self.quiet_files(checkpoints).filter(|file| file.is_as_observed());
        resting.count() == self.files.len()
    }

    /// Whether one of the newest files is not as it was when it was looked at last. Of a stream that has
    /// more of them open, the older ones wait to be read anyway.
    pub(crate) fn has_news(&self) -> bool {
        let mut newest = self.files.iter().rev().take(NEWEST_LOOKED_AT);
        !newest.all(TailFile::is_as_observed)
    }

    /// Bytes in the files that are not acknowledged.
    pub(crate) fn lag(&self, checkpoints: &Checkpoints) -> u64 {
        let behind = |file: &TailFile| {
            if matches!(file.copy, Copied::Idle(_)) {
                return 0;
            }
            let acknowledged = checkpoints
                .get(&file.identity)
                .filter(|progress| progress.truncations == file.truncations)
                .map_or(0, |progress| progress.offset);
            file.facts.size.saturating_sub(acknowledged)
        };
        self.files.iter().map(behind).sum()
    }
}

enum Finished {
    Yes,
    AskAt(Duration),
    /// Something else must happen first, which gives the stream a turn.
    No,
}

/// A compressed file that was read to its end need not be inflated again after a restart.
fn note_finished(file: &TailFile, turn: &mut Turn<'_, '_>) {
    if file.gz.is_none() {
        return;
    }
    let known = turn.checkpoints.get(&file.identity);
    if known.is_some_and(|progress| progress.offset >= file.facts.size) {
        let now = turn.reader.now.wall;
        turn.checkpoints.amend(&file.identity, now, |progress| progress.finished = true);
    }
}

/// Whether something of a file is still to be read or decided, or only its descriptor leads to it.
pub(crate) fn is_busy(file: &TailFile) -> bool {
    is_undecided(file) || file.unread() > 0 || file.inside_cut || file.name.is_none()
}

/// Whether everything that was read of a file is acknowledged, and what was declared of it: without a
/// checkpoint that tells it would be declared once more.
pub(super) fn is_acknowledged(file: &TailFile, checkpoints: &Checkpoints) -> bool {
    let known = checkpoints.get(&file.identity);
    if file.read_to == 0 {
        return known.map_or(0, |progress| progress.truncations) >= file.accounted;
    }
    known.is_some_and(|progress| {
        progress.truncations == file.truncations && progress.offset >= file.read_to
    })
}

#[cfg(test)]
mod tests {
    use crate::rotation::Age;
    use crate::tail::tests::{START, open};

    use super::*;

    #[test]
    fn a_file_of_which_something_is_undecided_is_not_quiet() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "one\n").expect("write");
        let read = || {
            let mut file = open(&path);
            let age: Age = 1;
            file.name = Some(("f".into(), age));
            file.copy = Copied::No;
            file.read_to = 4;
            file
        };
        assert!(!is_busy(&read()));
        let mut waits_for_inflation = read();
        waits_for_inflation.read_to = 0;
        waits_for_inflation.set_compressed();
        assert!(is_busy(&waits_for_inflation));
        let mut emptied = read();
        emptied.facts.size = 0;
        emptied.begin_again(START.monotonic);
        assert_eq!(emptied.unread(), 0);
        assert!(is_busy(&emptied));
    }
}
