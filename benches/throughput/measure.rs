//! The tasks, each measured in a process of its own.

use std::ffi::OsStr;
use std::path::Path;

use crate::process::{self, Measured};
use crate::{aggregate, baseline, collect, floor};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Reading the text and finding its lines.
    Read,
    /// zstd level 1 alone.
    Compress,
    /// The collector: files to acknowledged batches.
    Collect,
    /// The aggregator: batches of a log to sealed blocks.
    Aggregate,
    /// One tantivy document per line.
    Lines,
    /// Its segments merged to one.
    Merge,
}

impl Task {
    const ALL: [(Task, &str); 6] = [
        (Task::Read, "read"),
        (Task::Compress, "compress"),
        (Task::Collect, "collect"),
        (Task::Aggregate, "aggregate"),
        (Task::Lines, "lines"),
        (Task::Merge, "merge"),
    ];

    pub(crate) fn parse(name: &str) -> Self {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.expect("a task names itself").0
    }

    fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(task, _)| *task == self);
        found.expect("each task has a name").1
    }

    /// Does it, in this process, and says what was done.
    pub(crate) fn run(self, dir: &Path) {
        match self {
            Task::Read => floor::read(dir),
            Task::Compress => floor::compress(dir),
            Task::Collect => collect::run(dir),
            Task::Aggregate => aggregate::run(dir),
            Task::Lines => baseline::run(dir),
            Task::Merge => baseline::merge(dir),
        }
    }

    /// Does it in a process of its own.
    pub(crate) fn measure(self, dir: &Path) -> Measured {
        process::measure([OsStr::new(self.name()), dir.as_os_str()])
    }
}
