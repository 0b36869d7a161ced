//! What a look at the files of a stream finds: whether they still hold what was seen of them.

use std::io;

use sawlog_transport::run::{Piece, PieceKind};

use super::{Stream, Turn};
use crate::checkpoint::Before;
use crate::line_head::LineHead;
use crate::tail::Observed;
use crate::why::Decision;

impl Stream {
    /// Looks at a file's inode; a truncation begins a new generation.
    pub(crate) fn observe(&mut self, index: usize, turn: &mut Turn<'_, '_>) -> io::Result<()> {
        match self.files[index].observe(turn.reader.now.monotonic)? {
            Observed::Same => {}
            Observed::Truncated => self.truncated(index, turn),
            Observed::Shrunk { from, to } => {
                turn.reader.metrics.truncations.inc();
                let (generation, kind) = (self.files[index].generation, PieceKind::Truncated);
                self.declare(&[Piece { generation, from, to, kind }], &[], turn);
            }
        }
        Ok(())
    }

    /// Files that have to wait for their turn are looked at all the same: what was seen of them and is
    /// gone then can be declared.
    pub(crate) fn observe_from(&mut self, first: usize, turn: &mut Turn<'_, '_>) {
        for index in first..self.files.len() {
            if let Err(error) = self.observe(index, turn) {
                self.cannot_read(index, turn, &error);
            }
        }
    }

    /// A new generation of a file has begun.
    pub(crate) fn truncated(&mut self, index: usize, turn: &mut Turn<'_, '_>) {
        turn.reader.metrics.truncations.inc();
        turn.relist = true;
        let file = &mut self.files[index];
        file.decisions.note(turn.reader.now.wall, Decision::Truncated(file.truncations));
        let (now, key) = (file.own_generation(), file.key());
        let before = file.truncations.checked_sub(1);
        let mut known = Before::default();
        // An idle copy has none: it was nobody's source. An older one goes on waiting.
        if let Some(ended) = file.ended.last_mut().filter(|one| Some(one.truncations) == before) {
            ended.listings = self.listings;
            if let Some(head) = &mut self.head {
                head.give_back(key, ended);
            }
            known = ended.known();
        }
        // Without it a restart would take the new bytes for what the file held before.
        let wall = turn.reader.now.wall;
        turn.checkpoints.history.note_truncation(&now, known, wall);
        if self.head.as_ref().is_some_and(LineHead::is_empty) {
            self.head = None;
        }
        let name = file.name.as_ref().map(|(name, _)| name);
        tracing::info!(labels = %self.source.labels, ?name, "a log file was truncated");
    }
}
