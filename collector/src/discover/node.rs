//! One directory of the tree.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use inotify::WatchDescriptor;
use sawlog_transport::StreamId;

use super::NodeId;
use super::closes::Closes;
use super::names::Memory;
use crate::identity::{InodeKey, facts_behind, facts_of_path};
use crate::place::Place;

/// A directory.
pub(super) struct Node {
    pub(super) parent: Option<NodeId>,
    /// The outermost directory of the sandbox that it belongs to.
    pub(super) sandbox: Option<NodeId>,
    pub(super) path: PathBuf,
    pub(super) place: Place,
    /// The directory behind the path when it was listed last.
    pub(super) directory: Option<InodeKey>,
    pub(super) watch: Option<WatchDescriptor>,
    pub(super) children: HashMap<OsString, NodeId>,
    /// The streams fed from here, by log.
    pub(super) logs: HashMap<OsString, StreamId>,
    pub(super) memory: Memory,
    pub(super) closes: Closes,
    /// The directory's modification time at the last listing, and whether another change at that
    /// very time was impossible by then: two changes can share one tick of the clock.
    pub(super) listed: Option<(i64, bool)>,
    /// How often in a row it was found as it had been listed.
    pub(super) unchanged: u32,
    pub(super) warned: bool,
    /// How many files were remembered when it was listed.
    pub(super) remembered: usize,
    /// How many files that are left out were told of.
    pub(super) told: usize,
    /// Whether it waits to be listed, and whether as urgent.
    pub(super) dirty: bool,
    pub(super) urgent: bool,
}

impl Node {
    /// Whether a listing could find something new.
    pub(super) fn is_changed(&self) -> bool {
        // Of all directories only a root may be a symlink.
        let is_root = self.parent.is_none();
        let found = if is_root { facts_behind(&self.path) } else { facts_of_path(&self.path) };
        let Ok(found) = found else { return true };
        self.directory != Some(found.key) || self.listed != Some((found.modified, true))
    }

    /// Whether the kernel does not tell what happens there, or not all of it could be read.
    pub(super) fn is_uncertain(&self) -> bool {
        self.watch.is_none() || self.listed.is_none()
    }
}
