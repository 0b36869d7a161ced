//! One directory of the tree.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use inotify::WatchDescriptor;
use sawlog_transport::StreamId;

use super::NodeId;
use super::names::Memory;
use crate::identity::{InodeKey, facts_of_path};
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
    /// The directory's modification time at the last listing, and whether another change at that
    /// very time was impossible by then: two changes can share one tick of the clock.
    pub(super) listed: Option<(i64, bool)>,
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
        let Ok(found) = facts_of_path(&self.path) else { return true };
        // A root may be a symlink, whose own times tell nothing.
        self.parent.is_none()
            || self.directory != Some(found.key)
            || self.listed != Some((found.modified, true))
    }
}
