//! What of the journal's files need not stay: acknowledged, idle, or beyond the limit of all of them.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::files::{Files, Key, Open};
use super::tree;
use crate::directory;
use crate::pipe::log::Log;
use crate::why::AcknowledgedFile;

/// How many open logs are asked about each time, those first that were asked about longest ago: each
/// question waits for the collector.
const OPEN_AT_ONCE: usize = if cfg!(test) { 4 } else { 32 };
/// All files are summed up each time such a part of what they may take was written.
const SUMMED_EVERY: u64 = 64;
/// How many logs that are not open are looked at each time.
const CLOSED_AT_ONCE: usize = 32;
/// A log that got nothing for so long is removed once it is acknowledged: its container has ended, or
/// begins another file.
pub(super) const IDLE: Duration = Duration::from_secs(600);

impl Files {
    /// Asks how far logs are acknowledged that have rotated files or got nothing for long, removes
    /// what need not stay, and what is beyond the limit of all files.
    pub(super) fn tidy(
        &mut self,
        now: Instant,
        ask: impl Fn(PathBuf) -> Vec<AcknowledgedFile>,
    ) -> io::Result<()> {
        let mut over = Vec::new();
        let is_idle = |open: &Open| now.saturating_duration_since(open.used) >= IDLE;
        let mut due: Vec<(&Key, &mut Open)> = self
            .open
            .iter_mut()
            .filter(|(_, open)| is_idle(open) || open.log.rotated.is_anything_awaited())
            .collect();
        due.sort_unstable_by_key(|(_, open)| open.asked);
        for (key, open) in due.into_iter().take(OPEN_AT_ONCE) {
            let is_idle = is_idle(open);
            open.asked = Some(now);
            let known = ask(self.root.join(&key.0).join(key.1));
            if is_over(&mut open.log, &known)? && is_idle {
                over.push(key.clone());
            }
        }
        for key in &over {
            self.open.remove(key);
        }
        if !over.is_empty() {
            self.save_always()?;
        }
        over.extend(self.closed_over(now, ask)?);
        for key in over {
            self.remove(&key)?;
        }
        self.keep_within_limit()
    }

    /// The logs that are not open any more and of no more use. Of the idle ones a few are looked at
    /// each time, and again after as long a time.
    fn closed_over(
        &mut self,
        now: Instant,
        ask: impl Fn(PathBuf) -> Vec<AcknowledgedFile>,
    ) -> io::Result<Vec<Key>> {
        let idle =
            self.closed.iter().filter(|(_, used)| now.saturating_duration_since(**used) >= IDLE);
        let idle: Vec<Key> = idle.map(|(key, _)| key.clone()).take(CLOSED_AT_ONCE).collect();
        let mut over = Vec::new();
        for key in idle {
            let sandbox = self.root.join(&key.0);
            let Ok(directory) = directory::open_root(&sandbox) else {
                self.closed.remove(&key);
                continue;
            };
            let mut log = Log::open(&self.settings(&key), directory)?;
            if is_over(&mut log, &ask(sandbox.join(key.1)))? {
                self.closed.remove(&key);
                over.push(key);
            } else {
                self.closed.insert(key, now);
            }
        }
        Ok(over)
    }

    /// Removes a log's last file, and the directories that nothing is in any more.
    fn remove(&self, (directory, name): &Key) -> io::Result<()> {
        std::fs::remove_file(self.root.join(directory).join(name))?;
        let mut empty = directory.ancestors().filter(|path| !path.as_os_str().is_empty());
        while empty.next().is_some_and(|path| std::fs::remove_dir(self.root.join(path)).is_ok()) {}
        Ok(())
    }

    /// Removes the oldest files beyond the limit, each time some of it has been written: to look at all
    /// files takes the longer the more there are. Lines that were not read are lost, which the
    /// collector counts.
    fn keep_within_limit(&mut self) -> io::Result<()> {
        if self.unsummed_bytes < self.tree_bytes_max / SUMMED_EVERY {
            return Ok(());
        }
        let beyond = tree::beyond(tree::files(&self.root), self.tree_bytes_max);
        if beyond.is_empty() {
            self.unsummed_bytes = 0;
            return Ok(());
        }
        let mut dropped = 0;
        for file in &beyond {
            if file.is_rotated {
                std::fs::remove_file(&file.path)?;
            } else {
                self.open.remove(&file.key);
                self.save_always()?;
                self.remove(&file.key)?;
            }
            dropped += file.size;
        }
        for open in self.open.values_mut() {
            open.log.rotated.forget_removed();
        }
        self.dropped_bytes += dropped;
        // Not before: what could not be removed is tried again.
        self.unsummed_bytes = 0;
        tracing::warn!(
            bytes = dropped,
            in_all = self.dropped_bytes,
            "the journal's oldest files were removed: all together took more than {} bytes",
            self.tree_bytes_max
        );
        Ok(())
    }
}

/// Takes in how far a log is acknowledged; whether nothing of it need stay.
fn is_over(log: &mut Log, known: &[AcknowledgedFile]) -> io::Result<bool> {
    let (inode, size) = (log.inode()?, log.size());
    log.acknowledged(known);
    let is_stored = |file: &AcknowledgedFile| file.inode == inode && file.acknowledged >= size;
    Ok(log.rotated.is_empty() && known.iter().any(is_stored))
}
