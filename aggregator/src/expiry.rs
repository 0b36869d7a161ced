//! What leaves the store with a slice: which bytes of which files, and how many lines of which
//! streams. It is read from the tables of the slice's blocks, one at a time; the lines themselves are
//! not read.

use std::collections::{BTreeMap, HashMap};

use sawlog_transport::{Piece, Run};

use crate::error::{StoreError, error_chain};
use crate::ledger::Key;
use crate::prune::Formula;
use crate::ranges::{Fate, Ranges};
use crate::slice::SliceView;
use crate::streams::StreamNumber;

/// What expires. It takes about the memory that the ledger takes for the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    ranges: HashMap<Key, Ranges>,
    /// Lines, and bytes of text without terminators.
    streams: BTreeMap<StreamNumber, (u64, u64)>,
}

/// Lines and source bytes of the streams of one slice.
type Counts = BTreeMap<StreamNumber, (u64, u64)>;

impl Expiry {
    /// Adds all lines of a slice. A block that cannot be read is reported and passed over: its bytes
    /// stay *held* in the ledger, so that they are not taken again, which is all that it costs.
    ///
    /// # Errors
    /// The slice's index cannot be searched.
    pub(crate) fn add(&mut self, slice: &SliceView) -> Result<(), StoreError> {
        let mut blocks = slice.index.blocks(&Formula::Any, None, i64::MIN, i64::MAX)?;
        blocks.sort_unstable_by_key(|block| block.at);
        let mut counts = Counts::new();
        for block in &blocks {
            match slice.read_table(block) {
                Ok(table) => {
                    for run in &table.runs {
                        let stream = table.streams[run.stream as usize];
                        self.add_pieces(stream.id, run);
                        let count = counts.entry(stream.number).or_default();
                        count.0 += u64::from(run.n_lines);
                        count.1 += run.pieces.iter().map(Piece::bytes).sum::<u64>();
                    }
                }
                Err(err) => tracing::warn!(
                    error = error_chain(&err),
                    "the ledger goes on calling held what a damaged block held that expires"
                ),
            }
        }
        self.add_counts(&counts, slice.mark.raw_bytes);
        Ok(())
    }

    fn add_pieces(&mut self, stream: sawlog_transport::StreamId, run: &Run) {
        for piece in &run.pieces {
            let ranges = self.ranges.entry((stream, piece.generation)).or_default();
            ranges.insert(piece.from, piece.to, Fate::Expired);
        }
    }

    /// Block tables count source bytes; how much text they became is known of the slice as a whole.
    fn add_counts(&mut self, counts: &Counts, raw_bytes: u64) {
        let source: u64 = counts.values().map(|(_, source)| source).sum();
        for (number, (lines, bytes)) in counts {
            let text = u128::from(*bytes) * u128::from(raw_bytes) / u128::from(source.max(1));
            let text = u64::try_from(text).unwrap_or(u64::MAX).saturating_sub(*lines);
            let stream = self.streams.entry(*number).or_default();
            stream.0 += lines;
            stream.1 += text;
        }
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&Key, &Ranges)> {
        self.ranges.iter()
    }

    /// Number, lines and bytes of text of each stream.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (StreamNumber, u64, u64)> {
        self.streams.iter().map(|(number, (lines, bytes))| (*number, *lines, *bytes))
    }
}
