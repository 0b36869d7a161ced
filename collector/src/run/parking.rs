//! Descriptors for all: where they are short, quiet files are closed, and opened again when they grow.

use std::collections::BTreeMap;
use std::time::Duration;

use sawlog_transport::StreamId;

use super::Loop;
use crate::clock::Now;
use crate::discover::NodeId;
use crate::identity::InodeKey;
use crate::intake::Streams;
use crate::stream::{Closed, Why, is_busy};
use crate::sys::Writers;
use crate::tail::TailFile;

/// Of what may be open, so much is kept free for files that are new: a share.
const FREE_SHARE: usize = 8;
/// When files are closed, so much is made free: a share of what is open.
const PARKED_SHARE: usize = 4;

/// A file that could be closed.
struct Quiet {
    changed_at: Duration,
    stream: StreamId,
    key: InodeKey,
}

impl Loop {
    /// Closes the quietest files if too many are open or something could not be opened.
    pub(super) fn park(&mut self, now: Now) {
        let open = self.streams.open.len();
        let most = self.config.open_files_max;
        let is_short = open >= most - most / FREE_SHARE || self.tree.has_starved();
        let crowded = self.tree.crowded().len();
        self.metrics.sandboxes.crowded.set(crowded as i64);
        if !is_short && crowded == 0 {
            return;
        }
        let Some(count) = self.parkings.due(now.monotonic) else { return };
        if is_short && self.park_quietest(None, now) > 0 {
            self.tree.mark_starved();
        }
        // One of them at a time: all files are looked through for it.
        let turn = count as usize % crowded.max(1);
        if let Some(sandbox) = self.tree.crowded().iter().nth(turn).copied() {
            self.make_room_in(sandbox, now);
        }
    }

    /// Only its own files give way to the files of a sandbox that has its share.
    fn make_room_in(&mut self, sandbox: NodeId, now: Now) {
        let most = self.config.open_files_max;
        let has_share = |this: &Self| this.streams.open.has_share(Some(sandbox), 0, most);
        if !self.tree.may_remember(sandbox) {
            return;
        }
        if !has_share(self) {
            self.park_quietest(Some(sandbox), now);
        }
        if has_share(self) {
            self.tree.mark_crowded(sandbox);
        }
    }

    /// Closes a share of the files, or of those of one sandbox; tells how many.
    fn park_quietest(&mut self, sandbox: Option<NodeId>, now: Now) -> usize {
        let mut wanted = 0;
        let mut parked = 0;
        // What nobody writes to loses nothing. Others may get lines and vanish before they are opened
        // again: they are closed only if nothing else is.
        for (_, mut quiet) in self.quiet_files(sandbox, &mut wanted, now) {
            if parked > 0 {
                break;
            }
            quiet.sort_unstable_by_key(|file| file.changed_at);
            let closed = quiet.into_iter().filter(|file| self.park_file(file, now));
            parked += closed.take(wanted).count();
        }
        self.metrics.load.parked_files.inc_by(parked as u64);
        parked
    }

    /// Files that give nothing for now: read, acknowledged, and of a known name; by who writes. `wanted`
    /// becomes the number of those to be closed.
    fn quiet_files(
        &mut self,
        sandbox: Option<NodeId>,
        wanted: &mut usize,
        now: Now,
    ) -> BTreeMap<u8, Vec<Quiet>> {
        let mut by_writers: BTreeMap<u8, Vec<Quiet>> = BTreeMap::new();
        let mut open = 0;
        let Streams { by_id, open: files, .. } = &mut self.streams;
        for (id, stream) in by_id {
            let is_meant =
                |file: &TailFile| sandbox.is_none() || files.sandbox(&file.key()) == sandbox;
            open += stream.files.iter().filter(|file| is_meant(file)).count();
            let keys: Vec<InodeKey> = stream
                .quiet_files(&self.checkpoints)
                .filter(|file| is_meant(file))
                .map(TailFile::key)
                .collect();
            for file in stream.files.iter_mut().filter(|file| keys.contains(&file.key())) {
                let writers = file.writers(now.monotonic).0;
                let (changed_at, key) = (file.changed_at, file.key());
                let quiet = Quiet { changed_at, stream: *id, key };
                by_writers.entry(rank(writers)).or_default().push(quiet);
            }
        }
        *wanted = (open / PARKED_SHARE).max(1);
        by_writers
    }

    fn park_file(&mut self, quiet: &Quiet, now: Now) -> bool {
        let Some(mut stream) = self.streams.by_id.remove(&quiet.stream) else { return false };
        let at = stream.files.iter().position(|file| file.key() == quiet.key);
        // It may have got something since it was looked at.
        let at = at.filter(|at| matches!(stream.files[*at].is_changed(), Ok(false)));
        // An older file's last line may go on in it.
        let at = at.filter(|at| !stream.files[..*at].iter().any(is_busy));
        if let Some(at) = at.filter(|at| stream.files[*at].read_to > 0) {
            // What older files get from now on does not go on behind this one.
            stream.files[..at].iter_mut().for_each(|older| older.passed = true);
        }
        let file = at.map(|at| stream.files.remove(at));
        let closed: Option<Closed> = file.map(|mut file| {
            // The last answer may be old.
            file.doubt_writers();
            let is_finished = file.writers(now.monotonic).0 == Writers::None;
            Closed { file, why: if is_finished { Why::Finished } else { Why::Parked } }
        });
        let is_parked = closed.is_some();
        self.put_back(stream, closed.into_iter().collect(), None, now);
        is_parked
    }
}

/// Whose writers may still write comes last.
fn rank(writers: Writers) -> u8 {
    match writers {
        Writers::None => 0,
        Writers::Unknown => 1,
        Writers::Some => 2,
    }
}
