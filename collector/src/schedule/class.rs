//! How soon what a stream has not given yet may be gone.

use std::time::Duration;

use super::QUANTUM;
use crate::stream::Stream;
use crate::sys::Writers;

/// How many classes there are.
pub(super) const CLASSES: usize = 5;

/// What a stream's oldest unread file is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Deleted, and newer files wait behind it: it is gone if this process dies, and it keeps its
    /// disk space until it is read.
    RotatedUnlinked = 0,
    /// Deleted.
    Unlinked = 1,
    /// The next rotations will delete it.
    Rotated = 2,
    /// Nobody writes to it any more: its sandbox will be deleted some day.
    Ended = 3,
    /// Being written.
    Live = 4,
}

impl Class {
    pub(super) const ALL: [Self; CLASSES] =
        [Self::RotatedUnlinked, Self::Unlinked, Self::Rotated, Self::Ended, Self::Live];

    /// The class of a stream, as far as its files were looked at.
    pub(crate) fn of(stream: &mut Stream, now: Duration) -> Self {
        let unread = stream.files.iter().position(|file| file.unread() > 0);
        let Some(index) = unread else { return Self::Live };
        let has_newer = index + 1 < stream.files.len();
        let file = &mut stream.files[index];
        if file.is_deleted() {
            return if has_newer { Self::RotatedUnlinked } else { Self::Unlinked };
        }
        if file.name.as_ref().is_none_or(|(_, age)| *age > 0) {
            return Self::Rotated;
        }
        // Who writes is worth a question only where there is more than one round to wait for.
        let is_backlog = file.unread() > QUANTUM as u64;
        if is_backlog && file.writers(now).0 == Writers::None { Self::Ended } else { Self::Live }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tail::tests::open;
    use crate::tests::streams::of_files;

    #[test]
    fn what_may_be_gone_first_is_most_urgent() {
        let temp = tempfile::tempdir().expect("temp dir");
        let path = |name: &str| temp.path().join(name);
        fs::write(path("old"), "unread\n").expect("write");
        fs::write(path("new"), vec![b'x'; QUANTUM as usize + 1]).expect("write");
        let mut old = open(&path("old"));
        let mut new = open(&path("new"));
        old.name = Some(("stdout.1".into(), 1));
        new.name = Some(("stdout".into(), 0));
        let mut stream = of_files(vec![old, new]);
        let class = |stream: &mut Stream, millis| {
            for file in &mut stream.files {
                file.look(Duration::from_millis(millis)).expect("stat");
            }
            Class::of(stream, Duration::from_millis(millis))
        };
        assert_eq!(class(&mut stream, 0), Class::Rotated);
        fs::remove_file(path("old")).expect("remove");
        stream.files[0].name = None;
        assert_eq!(class(&mut stream, 0), Class::RotatedUnlinked);
        stream.files[0].read_to = 7;
        assert_eq!(class(&mut stream, 0), Class::Ended);
        let writer = fs::File::options().append(true).open(path("new")).expect("open");
        assert_eq!(class(&mut stream, 1000), Class::Live);
        fs::remove_file(path("new")).expect("remove");
        assert_eq!(class(&mut stream, 1000), Class::Unlinked);
        drop(writer);
    }
}
