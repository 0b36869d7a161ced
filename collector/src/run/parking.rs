//! Descriptors for all: where they are short, quiet files are closed, and opened again when they grow.

use std::time::Duration;

use sawlog_transport::StreamId;

use super::Loop;
use crate::clock::Now;
use crate::identity::InodeKey;
use crate::stream::{Closed, Why};

/// Of what may be open, so much is kept free for files that are new: a share.
const FREE_SHARE: usize = 8;
/// When files are closed, so much is made free: a share of what is open.
const PARKED_SHARE: usize = 4;

impl Loop {
    /// Closes the quietest files if too many are open or something could not be opened.
    pub(super) fn park(&mut self, now: Now) {
        let open = self.streams.open.len();
        let most = self.config.open_files_max;
        let is_starved = self.tree.has_starved();
        if (open < most - most / FREE_SHARE && !is_starved)
            || self.parkings.due(now.monotonic).is_none()
        {
            return;
        }
        let mut quiet = self.quiet_files();
        quiet.sort_unstable_by_key(|(changed_at, ..)| *changed_at);
        let wanted = (open / PARKED_SHARE).max(1);
        let parked = quiet
            .into_iter()
            .filter(|(_, stream, key)| self.park_file(*stream, *key, now))
            .take(wanted)
            .count();
        self.metrics.load.parked_files.inc_by(parked as u64);
        if parked > 0 {
            self.tree.mark_starved();
        }
    }

    /// Files that give nothing for now: read, acknowledged, and of a known name.
    fn quiet_files(&self) -> Vec<(Duration, StreamId, InodeKey)> {
        let streams = self.streams.by_id.iter();
        let files = streams.flat_map(|(id, stream)| {
            let quiet = stream.quiet_files(&self.checkpoints);
            quiet.map(|file| (file.changed_at, *id, file.key()))
        });
        files.collect()
    }

    fn park_file(&mut self, id: StreamId, key: InodeKey, now: Now) -> bool {
        let Some(mut stream) = self.streams.by_id.remove(&id) else { return false };
        let at = stream.files.iter().position(|file| file.key() == key);
        // It may have got something since it was looked at.
        let at = at.filter(|at| matches!(stream.files[*at].is_changed(), Ok(false)));
        let file = at.map(|at| stream.files.remove(at));
        let closed: Vec<Closed> =
            file.map(|file| Closed { file, why: Why::Finished }).into_iter().collect();
        let is_parked = !closed.is_empty();
        self.put_back(stream, closed, None, now);
        is_parked
    }
}
