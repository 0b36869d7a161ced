//! Which files of a directory a writer closed, told by name: the name that the file had at that moment.
//!
//! Events come in order, but names are known as of the last listing. What is told of a name that was
//! given to another file since then concerns that other file, which may not even be open here yet: it is
//! remembered until the next listing.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};

/// The most names of one directory that are remembered, of at most 255 bytes each.
const NAMES_MAX: usize = 256;

/// Whether a writer closed a file that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    No,
    /// Somebody closed a file that has this name now, or has had it.
    Perhaps,
    Yes,
}

/// What was told of a directory's names since it was listed.
#[derive(Debug, Default)]
pub(super) struct Closes {
    names: HashMap<OsString, Told>,
    /// More was told than is remembered: nothing is believed until the next listing.
    is_lost: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The name may be another file's than at the last listing.
    is_others: bool,
    /// A writer closed the file, and nothing was told since.
    is_closed: bool,
}

impl Closes {
    /// The name is another file's from now on, or nobody's.
    pub(super) fn renamed(&mut self, name: &OsStr) {
        if let Some(told) = self.told(name) {
            *told = Told { is_others: true, is_closed: false };
        }
    }

    /// The file of this name was written.
    pub(super) fn written(&mut self, name: &OsStr) {
        if let Some(told) = self.names.get_mut(name) {
            told.is_closed = false;
        }
    }

    /// A writer closed the file of this name: is that the one which had the name at the last listing?
    pub(super) fn closed(&mut self, name: &OsStr) -> Close {
        match self.told(name) {
            Some(told) => {
                told.is_closed = true;
                if told.is_others { Close::Perhaps } else { Close::Yes }
            }
            None => Close::Perhaps,
        }
    }

    /// Whoever had the name at the last listing was told.
    pub(super) fn forget(&mut self, name: &OsStr) {
        self.names.remove(name);
    }

    /// Events were lost.
    pub(super) fn lose(&mut self) {
        *self = Self { names: HashMap::new(), is_lost: true };
    }

    /// The directory was listed: gives the names of files that a writer has closed.
    pub(super) fn take(&mut self) -> HashSet<OsString> {
        let Self { names, .. } = std::mem::take(self);
        names.into_iter().filter(|(_, told)| told.is_closed).map(|(name, _)| name).collect()
    }

    fn told(&mut self, name: &OsStr) -> Option<&mut Told> {
        if !self.names.contains_key(name) {
            if self.names.len() >= NAMES_MAX {
                self.lose();
            }
            if self.is_lost {
                return None;
            }
        }
        Some(self.names.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(closes: &mut Closes) -> Vec<OsString> {
        let mut names: Vec<OsString> = closes.take().into_iter().collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_told_of_a_name_concerns_the_file_that_has_it_then() {
        let [out, err] = ["stdout", "stderr"].map(OsStr::new);
        let mut closes = Closes::default();
        assert_eq!(closes.closed(out), Close::Yes);
        closes.renamed(out);
        assert!(closes.names.values().all(|told| !told.is_closed));
        assert_eq!(closes.closed(out), Close::Perhaps, "that is the next file");
        closes.closed(err);
        closes.written(err);
        assert_eq!(names(&mut closes), [out]);
        assert_eq!(closes.closed(out), Close::Yes, "it is listed");
        closes.forget(out);
        assert!(names(&mut closes).is_empty());
    }

    #[test]
    fn names_are_bounded_and_nothing_is_believed_beyond() {
        let mut closes = Closes::default();
        for n in 0..=NAMES_MAX {
            closes.renamed(OsStr::new(&n.to_string()));
        }
        assert_eq!(closes.closed(OsStr::new("0")), Close::Perhaps);
        assert!(names(&mut closes).is_empty());
        assert_eq!(closes.closed(OsStr::new("0")), Close::Yes);
    }
}
