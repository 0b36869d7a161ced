//! Directories whose files are written all the time: the kernel need not tell of each write.
//!
//! Telling costs who writes nearly as much again as a short write itself. So writes in a directory that
//! is written often are not told of: its files are looked at every few milliseconds instead, until
//! nothing has come for a while.

use std::collections::HashMap;
use std::time::Duration;

use sawlog_transport::StreamId;

use super::{NodeId, Tree};

/// A directory is hot once writes were told of so often within [`COUNTED_FOR`].
const WRITES_MIN: u32 = 32;
const COUNTED_FOR: Duration = Duration::from_secs(1);
/// How often the files of hot directories are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(10);
/// When nothing has come for so long a directory is hot no more.
const COLD_AFTER: Duration = Duration::from_secs(1);
/// How often a hot directory is listed: of files that are not open, a look at open ones tells nothing.
const LISTED_EVERY: Duration = Duration::from_millis(500);
/// A directory with more logs stays watched: to look at all of them would cost more than it saves.
const LOGS_MAX: usize = 16;
/// The most directories that are hot at once.
const HOT_MAX: usize = 256;

/// The directories that are hot, and those that may become it.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    nodes: HashMap<NodeId, Since>,
    /// How often was told of writes since `counted_from`.
    counts: HashMap<NodeId, u32>,
    counted_from: Duration,
    looked_at: Duration,
}

/// Monotonic moments.
#[derive(Clone, Copy, Debug)]
struct Since {
    news: Duration,
    listing: Duration,
}

impl Hot {
    /// The kernel told of a write in a directory.
    pub(crate) fn told(&mut self, tree: &mut Tree, node: NodeId, now: Duration) {
        if now >= self.counted_from + COUNTED_FOR {
            self.counts.clear();
            self.counted_from = now;
        }
        let count = self.counts.entry(node).or_default();
        *count += 1;
        let is_often = *count == WRITES_MIN;
        if is_often && self.nodes.len() < HOT_MAX && tree.tell_of_writes(node, false) {
            self.nodes.insert(node, Since { news: now, listing: now });
        }
    }

    /// When to look next (monotonic), if anything is hot.
    pub(crate) fn next_look(&self) -> Option<Duration> {
        (!self.nodes.is_empty()).then(|| self.looked_at + LOOKED_AT_EVERY)
    }

    /// Looks at hot directories, if it is time: `has_news` tells whether a stream's files changed. What
    /// has no news for long enough is told of again.
    pub(crate) fn look(
        &mut self,
        tree: &mut Tree,
        now: Duration,
        mut has_news: impl FnMut(StreamId) -> bool,
    ) {
        if self.next_look().is_none_or(|at| now < at) {
            return;
        }
        self.looked_at = now;
        self.nodes.retain(|node, since| {
            let streams = tree.streams_of(*node);
            if streams.iter().filter(|id| has_news(**id)).count() > 0 {
                since.news = now;
            }
            let is_small = streams.len() <= LOGS_MAX;
            let stays = is_small && tree.has(*node) && now < since.news + COLD_AFTER;
            if !stays {
                tree.tell_of_writes(*node, true);
                // What came before that may be in any of its files.
                for id in streams {
                    has_news(id);
                }
            }
            if !stays || now >= since.listing + LISTED_EVERY {
                since.listing = now;
                tree.mark(*node);
            }
            stays
        });
    }

    /// How many directories are hot.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Tree {
    fn streams_of(&self, id: NodeId) -> Vec<StreamId> {
        self.nodes.get(&id).map(|node| node.logs.values().copied().collect()).unwrap_or_default()
    }

    /// Lets the kernel tell of writes in a directory, or not. `false` if it goes on as before.
    fn tell_of_writes(&mut self, id: NodeId, tell: bool) -> bool {
        let Some(node) = self.nodes.get(&id) else { return false };
        let Some(watch) = node.watch.clone() else { return false };
        if !tell && node.logs.len() > LOGS_MAX {
            return false;
        }
        let told = self.open(id).is_ok_and(|dir| self.watches.tell_of_writes(&watch, &dir, tell));
        if tell && !told {
            self.watch_anew(id);
        }
        told
    }
}
