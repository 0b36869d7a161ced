//! Who writes to a file: asked ever more rarely, since each question costs system calls.

use std::fs::File;
use std::time::Duration;

use super::TailFile;
use crate::identity::facts;
use crate::sys::{self, Writers};

/// How long the answer to "who writes?" is believed at first; doubled while the answer is "somebody".
const BELIEVED: Duration = Duration::from_millis(100);
const BELIEVED_MAX: Duration = Duration::from_secs(300);
/// No directory tells when a file without a name is closed.
const BELIEVED_UNNAMED_MAX: Duration = Duration::from_secs(5);
/// A file that is being written is asked about again when it was quiet for so many times as long.
const QUIET_TIMES: u32 = 7;
/// Whoever closes a file is told of by the kernel. The longest time until it is seen otherwise.
const ASKED_EVERY_MAX: Duration = Duration::from_secs(15 * 60);

/// The last answer to "who writes?".
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    answer: Writers,
    next: Duration,
    pause: Duration,
    /// Size and modification time when a writer was last seen to close the file.
    closed_as: Option<(u64, i64)>,
    #[cfg(test)]
    has_no_leases: bool,
}

impl Probe {
    pub(super) fn new() -> Self {
        Self {
            answer: Writers::Unknown,
            next: Duration::ZERO,
            pause: BELIEVED,
            closed_as: None,
            #[cfg(test)]
            has_no_leases: false,
        }
    }

    /// The answer is not believed any more.
    pub(super) fn doubt(&mut self) {
        self.answer = Writers::Unknown;
        self.next = Duration::ZERO;
        self.pause = BELIEVED;
    }

    fn ask(&self, file: &File) -> Writers {
        #[cfg(test)]
        if self.has_no_leases {
            return Writers::Unknown;
        }
        sys::writers(file)
    }
}

impl TailFile {
    /// Whether anybody has the file open for writing, and when asking again may give another answer.
    pub(crate) fn writers(&mut self, now: Duration) -> (Writers, Duration) {
        let probe = &mut self.probe;
        if now >= probe.next {
            probe.answer = probe.ask(&self.file);
            probe.next = now + probe.pause;
            let longest = if self.name.is_none() { BELIEVED_UNNAMED_MAX } else { BELIEVED_MAX };
            probe.pause = (probe.pause * 2).min(longest);
        }
        (probe.answer, probe.next)
    }

    /// When to ask again about a file that is read to its end and has writers (monotonic): the longer
    /// it was quiet, the rarer, as most containers run for days.
    pub(crate) fn ask_again(&self, now: Duration) -> Duration {
        let quiet = self.quiet_for(now);
        let is_current = self.name.as_ref().is_some_and(|(_, age)| *age == 0);
        // A rotated file is soon closed, and keeps disk space if it is deleted before we close it.
        let pause = if is_current { quiet.saturating_mul(QUIET_TIMES - 1) } else { quiet };
        let at = now + pause.min(ASKED_EVERY_MAX);
        // Files that fell silent together are asked about together, not each in a round of its own.
        let at = if is_current { Duration::from_secs(at.as_secs() + 1) } else { at };
        at.max(self.probe.next)
    }

    /// Somebody may have closed the file: who writes is an open question again.
    pub(crate) fn doubt_writers(&mut self) {
        self.probe.doubt();
    }

    /// The kernel told that somebody who could write to the file closed it.
    pub(crate) fn closed_by_a_writer(&mut self) {
        self.probe.doubt();
        let found = facts(&self.file).ok();
        self.probe.closed_as = found.map(|found| (found.size, found.modified));
    }

    /// Whether a writer closed the file and nothing was written since. Where the kernel does not tell who
    /// writes this is the best sign that nobody does, though not a proof: there may be two writers that
    /// opened the file by themselves.
    pub(crate) fn was_closed_as_it_is(&self) -> bool {
        self.probe.closed_as == Some(self.on_disk())
    }

    /// Whether the last answer was that nobody can tell.
    pub(crate) fn has_unknown_writers(&self) -> bool {
        self.probe.answer == Writers::Unknown
    }

    /// As if this process could take no leases.
    #[cfg(test)]
    pub(crate) fn pretend_no_leases(&mut self, pretend: bool) {
        self.probe.has_no_leases = pretend;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::tests::open;

    #[test]
    fn asks_for_writers_ever_more_rarely() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        let writer = File::create(&path).expect("create");
        let mut file = open(&path);
        let at = Duration::from_millis;
        assert_eq!(file.writers(at(0)), (Writers::Some, at(100)));
        assert_eq!(file.writers(at(100)), (Writers::Some, at(300)));
        drop(writer);
        assert_eq!(file.writers(at(200)), (Writers::Some, at(300)));
        file.closed_by_a_writer();
        assert_eq!(file.writers(at(200)).0, Writers::None);
    }

    #[test]
    fn a_close_tells_something_until_the_file_changes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("f");
        std::fs::write(&path, "half").expect("write");
        let mut file = open(&path);
        assert!(!file.was_closed_as_it_is());
        file.closed_by_a_writer();
        assert!(file.was_closed_as_it_is());
        file.doubt_writers();
        assert!(file.was_closed_as_it_is());
        std::fs::write(&path, "half a line").expect("write");
        file.observe(Duration::ZERO).expect("stat");
        assert!(!file.was_closed_as_it_is());
    }

    #[test]
    fn a_file_quiet_for_an_hour_was_asked_about_six_times_and_a_day_later_still_is() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("stdout");
        std::fs::write(&path, "").expect("write");
        let mut file = open(&path);
        let asked = |file: &TailFile| -> Vec<u64> {
            let first = Duration::from_secs(10);
            let next = |at: &Duration| Some(file.ask_again(*at));
            let all = std::iter::successors(Some(first), next);
            let day = Duration::from_secs(24 * 3600);
            all.take_while(|at| *at <= day).map(|at| at.as_secs()).collect()
        };
        file.name = Some(("stdout".into(), 0));
        let current = asked(&file);
        assert_eq!(current[..6], [10, 71, 498, 1399, 2300, 3201]);
        assert!(current.windows(2).all(|two| two[1] - two[0] <= 901), "{current:?}");
        file.name = Some(("stdout.1".into(), 1));
        assert_eq!(asked(&file)[..6], [10, 20, 40, 80, 160, 320]);
        assert!(asked(&file).windows(2).all(|two| two[1] - two[0] <= 900));
    }
}
