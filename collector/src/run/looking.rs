//! Looking around: what changed in the directories, and which streams are woken by it.

use std::cmp::Reverse;
use std::collections::VecDeque;

use sawlog_transport::StreamId;

use super::Loop;
use crate::clock::Now;
use crate::discover::{Change, Close, NodeId, Rescan};
use crate::intake::Intake;
use crate::relabel;
use crate::schedule::Class;
use crate::stream::Stream;
use crate::tail::TailFile;
use crate::vanished;

/// Directories listed before the loop looks at everything else again.
const STEP_DIRECTORIES: usize = 64;
/// Names in them after which it does so too.
const STEP_NAMES: usize = 16 * 1024;
/// Watched directories are checked at every so many rescans.
const RESCANS_WATCHED: u64 = 6;

impl Loop {
    pub(super) fn look_around(&mut self, now: Now) {
        for change in self.tree.take_events() {
            self.changed(&change, now);
        }
        self.look_at_hot(now);
        if let Some(count) = self.rescans.due(now.monotonic) {
            let watched = count.is_multiple_of(RESCANS_WATCHED);
            self.tree.rescan(if watched { Rescan::Changed } else { Rescan::Unwatched });
            self.compact_checkpoints(now);
        }
        if let Some(count) = self.sweeps.due(now.monotonic) {
            self.sweep(count, now);
        }
        self.check_streams(now);
        for stream in self.take_in(now) {
            self.account(stream, now);
            self.wake(stream, now);
        }
        for id in self.tree.take_orphans() {
            self.lose_names(id, now);
        }
        self.relabel(now);
        self.wake_due(now);
    }

    /// Hands on the labels that the agent's metadata gives to streams.
    fn relabel(&mut self, now: Now) {
        if let Some(keys) = self.relabelling.due(&self.metadata, self.tree.is_dirty()) {
            let sources = self.tree.sources(&self.config.host, &keys);
            let checkpoints = &self.checkpoints;
            relabel::announce(sources, &mut self.streams, checkpoints, &mut self.batcher, now);
        }
    }

    /// Lists the directories that are due; gives the streams that changed.
    fn take_in(&mut self, now: Now) -> Vec<StreamId> {
        // What is to be listed again because it changes too fast waits for the next turn, and so do
        // the many directories of a rescan: files are read in between.
        let mut due: VecDeque<NodeId> =
            std::iter::from_fn(|| self.tree.next_dirty()).take(STEP_DIRECTORIES).collect();
        let names_max = self.tree.names_listed() + STEP_NAMES;
        let mut intake = Intake {
            tree: &mut self.tree,
            streams: &mut self.streams,
            checkpoints: &mut self.checkpoints,
            metrics: &self.metrics,
            config: &self.config,
            now,
            started: self.started,
            finished: Vec::new(),
            vanished: Vec::new(),
            lost: Vec::new(),
        };
        let mut changed = Vec::new();
        while intake.tree.names_listed() < names_max
            && let Some(node) = due.pop_front()
        {
            changed.extend(intake.directory(node));
        }
        intake.tree.mark_again(due);
        changed.extend(intake.accept_pending_of_gone());
        intake.lose_gone_with_directories();
        for (source, piece, has_birth) in intake.lost {
            let (metrics, batcher) = (&self.metrics, &mut self.batcher);
            vanished::declare(&source, piece, has_birth, metrics, batcher, now);
        }
        changed
    }

    fn changed(&mut self, change: &Change, now: Now) {
        let Change::Written { node, name, closed } = change else {
            self.metrics.load.event_overflows.inc();
            self.events_lost = true;
            return;
        };
        let id = self.tree.log_of(*node, name).and_then(|log| self.tree.stream(*node, log));
        let file = id.and_then(|id| self.streams.by_id.get_mut(&id)).and_then(|stream| {
            let is_it =
                |known: &&mut TailFile| known.name.as_ref().is_some_and(|(known, _)| known == name);
            stream.files.iter_mut().find(is_it)
        });
        if *closed == Close::No {
            self.hot.told(&mut self.tree, *node, now.monotonic);
        }
        match (file, id) {
            (Some(file), Some(id)) => {
                match closed {
                    Close::No => {}
                    Close::Perhaps => file.doubt_writers(),
                    Close::Yes => {
                        self.tree.forget_close(*node, name);
                        file.closed_by_a_writer();
                    }
                }
                self.wake(id, now);
            }
            // The file was finished and closed, or is new.
            _ => self.tree.mark(*node),
        }
    }

    /// Wakes the streams that have news in directories of whose writes the kernel does not tell.
    fn look_at_hot(&mut self, now: Now) {
        let mut awake = Vec::new();
        let Self { hot, tree, streams, .. } = self;
        hot.look(tree, now.monotonic, |id| {
            let stream = streams.by_id.get(&id);
            let has_news = stream.is_some_and(Stream::has_news);
            awake.extend(has_news.then_some(id));
            has_news
        });
        awake.into_iter().for_each(|id| self.wake(id, now));
    }

    fn lose_names(&mut self, id: StreamId, now: Now) {
        if let Some(stream) = self.streams.by_id.get_mut(&id) {
            for file in &mut stream.files {
                file.name = None;
                file.doubt_writers();
            }
            stream.listings += 1;
            self.streams.unnamed.insert(id);
        }
        self.account(id, now);
        self.wake(id, now);
    }

    pub(super) fn wake(&mut self, id: StreamId, now: Now) {
        if let Some(stream) = self.streams.by_id.get_mut(&id) {
            self.schedule.wait(id, Class::of(stream, now.monotonic));
        }
    }

    fn wake_due(&mut self, now: Now) {
        while let Some(Reverse((at, id))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now.monotonic)
        {
            self.timers.pop();
            let Some(stream) = self.streams.by_id.get_mut(&id) else { continue };
            if stream.due == Some(at) {
                stream.due = None;
                self.wake(id, now);
            }
        }
        for id in self.rates.due(now.monotonic) {
            self.wake(id, now);
        }
    }
}
