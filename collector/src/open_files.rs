//! Which files are open, for which stream, and how many of them are one sandbox's.

use std::collections::HashMap;

use sawlog_transport::StreamId;

use crate::discover::NodeId;
use crate::identity::InodeKey;

/// So many files each sandbox may have open whatever the others have, while there is any descriptor:
/// both logs and a rotated file of each.
const SANDBOX_FILES_SURE: usize = 4;
/// Beyond that, a sandbox may have this part of what is still free: whoever takes much leaves ever less to
/// itself.
const FREE_PART: usize = 2;
/// This part of all that may be open is kept for the sure files of others, however many sandboxes are
/// greedy.
const RESERVED_PART: usize = 4;

/// The open log files.
#[derive(Default)]
pub(crate) struct OpenFiles {
    by_key: HashMap<InodeKey, (StreamId, Option<NodeId>)>,
    of_sandbox: HashMap<NodeId, usize>,
}

impl OpenFiles {
    /// Notes an open file; `false` if it was noted before.
    pub(crate) fn insert(
        &mut self,
        key: InodeKey,
        stream: StreamId,
        sandbox: Option<NodeId>,
    ) -> bool {
        if self.by_key.contains_key(&key) {
            return false;
        }
        self.by_key.insert(key, (stream, sandbox));
        if let Some(sandbox) = sandbox {
            *self.of_sandbox.entry(sandbox).or_default() += 1;
        }
        true
    }

    /// A file was closed.
    pub(crate) fn remove(&mut self, key: &InodeKey) {
        let Some((_, Some(sandbox))) = self.by_key.remove(key) else { return };
        if let Some(count) = self.of_sandbox.get_mut(&sandbox) {
            *count -= 1;
            if *count == 0 {
                self.of_sandbox.remove(&sandbox);
            }
        }
    }

    /// The stream of an open file.
    pub(crate) fn get(&self, key: &InodeKey) -> Option<&StreamId> {
        self.by_key.get(key).map(|(stream, _)| stream)
    }

    pub(crate) fn contains_key(&self, key: &InodeKey) -> bool {
        self.by_key.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The sandbox to which an open file was counted.
    pub(crate) fn sandbox(&self, key: &InodeKey) -> Option<NodeId> {
        self.by_key.get(key).and_then(|(_, sandbox)| *sandbox)
    }

    /// Whether a sandbox may open one more file, besides `opening` that are not noted yet, of `most` that
    /// all may have open.
    pub(crate) fn has_share(&self, sandbox: Option<NodeId>, opening: usize, most: usize) -> bool {
        let Some(sandbox) = sandbox else { return true };
        let own = self.of_sandbox.get(&sandbox).copied().unwrap_or_default() + opening;
        let free = (most - most / RESERVED_PART).saturating_sub(self.len() + opening);
        own < SANDBOX_FILES_SURE || own < free / FREE_PART
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(inode: u64) -> InodeKey {
        InodeKey { device: 1, inode, birth_time: 0 }
    }

    #[test]
    fn a_greedy_sandbox_leaves_most_to_others() {
        let mut open = OpenFiles::default();
        let mut inode = 0;
        let mut fill = |open: &mut OpenFiles, sandbox| {
            let before = open.len();
            while open.len() < 1000 && open.has_share(Some(sandbox), 0, 1000) {
                inode += 1;
                assert!(open.insert(key(inode), StreamId(1), Some(sandbox)));
            }
            open.len() - before
        };
        assert_eq!(fill(&mut open, 1), 250);
        assert_eq!(fill(&mut open, 1), 0);
        // The next find less, and always something.
        assert_eq!(fill(&mut open, 2), 167);
        let rest: Vec<usize> = (3..50).map(|sandbox| fill(&mut open, sandbox)).collect();
        assert!(rest.iter().all(|files| *files >= SANDBOX_FILES_SURE), "{rest:?}");
        assert!(open.has_share(None, 0, 1000), "what the operator named has no share");
    }

    proptest! {
        #[test]
        fn files_are_counted_where_they_were_opened(
            steps in proptest::collection::vec((0..20u64, 0..4u64, any::<bool>()), 0..100),
        ) {
            let mut open = OpenFiles::default();
            let mut model = HashMap::new();
            for (inode, sandbox, is_opened) in steps {
                let sandbox = (sandbox > 0).then_some(sandbox);
                if is_opened {
                    let is_new = open.insert(key(inode), StreamId(1), sandbox);
                    prop_assert_eq!(is_new, !model.contains_key(&inode));
                    model.entry(inode).or_insert(sandbox);
                } else {
                    open.remove(&key(inode));
                    model.remove(&inode);
                }
                prop_assert_eq!(open.len(), model.len());
                for sandbox in 1..4 {
                    let count = model.values().filter(|of| **of == Some(sandbox)).count();
                    let found = open.of_sandbox.get(&sandbox).copied().unwrap_or_default();
                    prop_assert_eq!(found, count);
                }
                prop_assert!(open.of_sandbox.len() <= 3);
            }
        }
    }
}
