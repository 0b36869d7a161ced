//! Why a log file is, or is not, where people look for its lines: answers about single files, put
//! together from the state of the loop only when somebody asks.

mod acknowledged;
mod closed;
mod decisions;
mod desk;
mod file;
mod look;
mod uncovered;
mod wanted;

use crate::checkpoint::Checkpoints;
use crate::clock::Now;
use crate::config::Config;
use crate::discover::Tree;
use crate::intake::Streams;

pub use acknowledged::AcknowledgedFile;
pub(crate) use closed::ClosedFiles;
pub(crate) use decisions::{Decision, Decisions, Waits};
pub(crate) use desk::Desk;
pub use desk::{AskError, Asker};
pub use file::{Decided, Details, FileState, Identity, State};
pub use look::Explained;

/// The state of the loop at one moment, to be asked and not to be changed.
pub(crate) struct View<'a> {
    pub tree: &'a Tree,
    pub streams: &'a Streams,
    pub checkpoints: &'a Checkpoints,
    pub config: &'a Config,
    pub closed: &'a ClosedFiles,
    pub now: Now,
}
