//! How far the files of one log are acknowledged, for whoever rotates them and removes them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::View;
use crate::discover::Known;
use crate::identity::InodeKey;

/// A file of a log, told by its inode: its name may be another by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcknowledgedFile {
    pub device: u64,
    pub inode: u64,
    /// Nanoseconds since the epoch; 0 where the file system keeps none.
    pub birth_time: i64,
    /// Every byte before it is stored where it survives.
    pub acknowledged: u64,
}

impl AcknowledgedFile {
    fn new(key: InodeKey, acknowledged: u64) -> Self {
        let InodeKey { device, inode, birth_time } = key;
        Self { device, inode, birth_time, acknowledged }
    }

    /// What is answered over HTTP.
    pub fn list_to_json(files: &[Self]) -> String {
        serde_json::to_string(files).expect("numbers are JSON")
    }
}

impl View<'_> {
    /// The files of the log at this path, rotated ones too (closed ones of its directory, whatever
    /// their log); none of a log that is not collected.
    pub(crate) fn acknowledged(&self, log: &Path) -> Vec<AcknowledgedFile> {
        let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else {
            return Vec::new();
        };
        let Some(known) = self.find_directory(directory) else { return Vec::new() };
        let Some(id) = known.logs.get(name) else { return Vec::new() };
        let open =
            self.streams.by_id.get(id).map(|stream| &stream.files[..]).unwrap_or_default().iter();
        let open = open.map(|file| AcknowledgedFile::new(file.key(), self.acknowledged_to(file)));
        let settled = &known.memory.settled;
        open.chain(settled.iter().map(|(key, file)| AcknowledgedFile::new(*key, file.size)))
            .collect()
    }

    /// The directory at a path, also where the way to its root has other names than those that the
    /// operator gave.
    fn find_directory(&self, path: &Path) -> Option<Known<'_>> {
        self.tree.roots().find_map(|root| {
            let below = |root: &Path| path.strip_prefix(root).ok();
            let rest = match below(root.path) {
                Some(rest) => rest,
                None => below(&std::fs::canonicalize(root.path).ok()?)?,
            };
            let id = rest.iter().try_fold(root.id, |at, name| self.tree.child(at, name))?;
            self.tree.directory(id)
        })
    }
}
