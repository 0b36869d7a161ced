//! What the tree says to somebody who asks about one directory or file; nothing here changes it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;

use sawlog_transport::StreamId;

use super::names::{self, Memory, Names};
use super::{NodeId, Tree};
use crate::directory;
use crate::place::Place;

/// A directory as it is known.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub id: NodeId,
    pub path: &'a Path,
    pub place: &'a Place,
    /// The streams fed from here, by log.
    pub logs: &'a HashMap<OsString, StreamId>,
    pub memory: &'a Memory,
}

impl Tree {
    /// All directories, in no order.
    pub(crate) fn directories(&self) -> impl Iterator<Item = Known<'_>> {
        self.nodes.keys().filter_map(|id| self.directory(*id))
    }

    pub(crate) fn directory(&self, id: NodeId) -> Option<Known<'_>> {
        let node = self.nodes.get(&id)?;
        let (path, place) = (node.path.as_path(), &node.place);
        Some(Known { id, path, place, logs: &node.logs, memory: &node.memory })
    }

    /// The directories that the operator named.
    pub(crate) fn roots(&self) -> impl Iterator<Item = Known<'_>> {
        let roots = self.nodes.iter().filter(|(_, node)| node.parent.is_none());
        roots.filter_map(|(id, _)| self.directory(*id))
    }

    /// The directory of this name in another, if logs may be below it.
    pub(crate) fn child(&self, id: NodeId, name: &OsStr) -> Option<NodeId> {
        self.nodes.get(&id)?.children.get(name).copied()
    }

    /// Lists a directory without taking anything in.
    ///
    /// # Errors
    /// It is gone or cannot be read.
    pub(crate) fn look(&self, id: NodeId) -> io::Result<Names> {
        let place = &self.nodes.get(&id).ok_or(io::ErrorKind::NotFound)?.place;
        names::read(&self.open(id)?, place)
    }

    /// Opens a file in a directory.
    ///
    /// # Errors
    /// It is gone, no regular file, or cannot be read.
    pub(crate) fn open_log(&self, id: NodeId, name: &OsStr) -> io::Result<File> {
        directory::open_file(self.open(id)?, name)
    }
}
