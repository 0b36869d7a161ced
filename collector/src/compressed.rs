//! Compressed rotated files among the files of a stream: whose bytes they hold, and from where on they
//! are read.
//!
//! Only content tells. As long as the original is open its descriptor is the better source; what is
//! known of a file that is gone tells from where on its compressed copy is read; any other is a file of
//! its own.

use std::io;
use std::time::Duration;

use sawlog_transport::run::{Piece, PieceKind};

use crate::checkpoint::{Progress, StreamClock};
use crate::gz::{Inflated, Place};
use crate::stream::{Stream, Turn};
use crate::tail::{Copied, TailFile};

/// How much of one file is inflated before others have their turn, in bytes.
const PASS_BYTES: usize = 1024 * 1024;
/// Files inflated at once, some 1.2 MiB of memory each; more wait.
const INFLATING_MAX: usize = 8;
/// How long a file waits for others.
const SLOT_AFTER: Duration = Duration::from_millis(100);

impl Stream {
    /// Whether a compressed file may turn out to hold what a truncated one has lost.
    pub(crate) fn is_inflating(&self) -> bool {
        self.files.iter().any(TailFile::is_compressed_unknown)
    }

    /// Goes on with the first pass over a compressed file; tells when to look again.
    pub(crate) fn judge_compressed(
        &mut self,
        index: usize,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<Option<Duration>> {
        self.observe(index, turn)?;
        if let Some(at) = self.being_compressed(index, turn) {
            return Ok(Some(at));
        }
        let now = turn.reader.now.monotonic;
        let file = &self.files[index];
        let Some(gz) = &file.gz else { return Ok(None) };
        if !gz.borrow().is_begun() {
            let slot = turn.reader.inflating();
            // The reader holds one of them itself.
            if std::sync::Arc::strong_count(&slot) > INFLATING_MAX + 2 {
                return Ok(Some(now + SLOT_AFTER));
            }
            gz.borrow_mut().begin(&file.file, self.places(turn), slot)?;
        }
        let inflated = gz.borrow_mut().pass(&file.file, PASS_BYTES)?;
        let Some(inflated) = inflated else { return Ok(Some(now)) };
        self.inflated(index, &inflated, turn)?;
        if let Some(gz) = &self.files[index].gz {
            gz.borrow_mut().forget_places();
        }
        Ok(None)
    }

    /// Half a file tells nothing: a compressed file is left alone while somebody writes it.
    fn being_compressed(&mut self, index: usize, turn: &Turn<'_, '_>) -> Option<Duration> {
        let now = turn.reader.now.monotonic;
        let file = &mut self.files[index];
        match file.writers(now) {
            (crate::sys::Writers::None, _) => None,
            (crate::sys::Writers::Some, again) => Some(again),
            (crate::sys::Writers::Unknown, _) => {
                let settled_at = file.changed_at + turn.config.join_after;
                (now < settled_at).then_some(settled_at)
            }
        }
    }

    /// What is known of files that are not open, or no longer hold their bytes; the newest first.
    fn places(&self, turn: &Turn<'_, '_>) -> Vec<Place> {
        let open = |progress: &&Progress| {
            self.files.iter().all(|file| {
                file.identity != progress.file || file.truncations != progress.truncations
            })
        };
        let ended = self.files.iter().flat_map(|file| &file.ended);
        let mut places: Vec<Place> = ended
            .map(|ended| Place::new(ended.of, ended.read_to, ended.tail, ended.prefix))
            .collect();
        let known = turn.checkpoints.of_stream(self.source.id).into_iter().filter(open);
        let history = &turn.checkpoints.history;
        let known = known.filter(|known| !known.finished);
        places.extend(known.map(|known| Place::of_progress(known, history)));
        let begun = turn.checkpoints.begun.of_stream(self.source.id).filter(open);
        places.extend(begun.map(|begun| Place::begun(begun, history)));
        places
    }

    fn inflated(
        &mut self,
        index: usize,
        inflated: &Inflated,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<()> {
        let file = &mut self.files[index];
        file.inflated(inflated.size)?;
        if file.copy == Copied::Unknown {
            self.name_compressed(index, inflated, turn)?;
        }
        if let Some((error, promised)) = &inflated.damage {
            let file = &self.files[index];
            turn.reader.metrics.scan_errors.inc();
            let name = file.name.as_ref().map(|(name, _)| name);
            tracing::warn!(labels = %self.source.labels, ?name, "a compressed log file is damaged, what inflates is read: {error}");
            if let Some(to) = *promised {
                let (generation, kind) = (file.generation, PieceKind::Corrupt);
                self.declare(&[Piece { generation, from: inflated.size, to, kind }], &[], turn);
            }
        }
        Ok(())
    }

    fn name_compressed(
        &mut self,
        index: usize,
        inflated: &Inflated,
        turn: &mut Turn<'_, '_>,
    ) -> io::Result<()> {
        if let Some(original) = self.open_original_of(index, inflated)? {
            let of = self.files[original].generation_ref();
            self.files[index].set_copy(Copied::Idle(of));
            self.files[index].is_compared = true;
            self.note_copy(index, turn);
            return Ok(());
        }
        let Some(place) = self.place_in(index, turn) else { return Ok(()) };
        let is_ended = self.files.iter().flat_map(|file| &file.ended).any(|e| e.of == place.of);
        if is_ended {
            // The truncated file goes on here once all is known of it.
            self.files[index].set_copy(Copied::Idle(place.of));
            self.files[index].is_compared = true;
            self.note_copy(index, turn);
            return Ok(());
        }
        let file = &mut self.files[index];
        file.set_copy(Copied::Active(place.of));
        if !place.is_given {
            // The store leaves out what it has.
            self.note_copy(index, turn);
            return Ok(());
        }
        file.stand_at(place.offset, place.tail, place.prefix, place.inside_cut);
        let progress = file.progress(self.source.id, StreamClock::default());
        self.note_copy(index, turn);
        self.declare(&[], &[progress], turn);
        Ok(())
    }

    /// An open file with the same content, as far as its size, beginning and end tell.
    fn open_original_of(&self, index: usize, inflated: &Inflated) -> io::Result<Option<usize>> {
        let Some(gz) = &self.files[index].gz else { return Ok(None) };
        let first = gz.borrow().first.clone();
        for (at, file) in self.files.iter().enumerate() {
            if at == index
                || file.facts.size != inflated.size
                || inflated.size == 0
                || matches!(file.copy, Copied::Idle(_))
            {
                continue;
            }
            let last_at = inflated.size - inflated.last.len() as u64;
            if file.has_at(&first, 0)? && file.has_at(&inflated.last, last_at)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The place from which on the file holds what was not read; rather one of which no other file is a
    /// copy.
    fn place_in(&self, index: usize, turn: &Turn<'_, '_>) -> Option<Place> {
        let gz = self.files[index].gz.as_ref()?.borrow();
        let history = &turn.checkpoints.history;
        let key = |place: &Place| (!history.has_copy_of(&place.of), place.is_given, place.offset);
        let is_free = |place: &&Place| place.is_given || !history.has_copy_of(&place.of);
        gz.matches().filter(is_free).copied().max_by_key(key)
    }
}
