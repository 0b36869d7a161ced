//! Collects runs of many streams into batches, and remembers with each batch how far its files are
//! acknowledged once it is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sawlog_transport::batch::{PushError, RunInput};
use sawlog_transport::limits::BATCH_TEXT_BYTES_TARGET;
use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{BatchBuilder, BatchHeader, Codec, FileIdentity, LineColumns};

use crate::checkpoint::Progress;
use crate::collector_id::Incarnation;
use crate::place::Source;

/// How batches are compressed.
pub(crate) const CODEC: Codec = Codec::Zstd(1);

/// An encoded batch.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Counts the batches of this incarnation, from 0.
    pub number: u64,
    pub message: Bytes,
    /// Text in the batch before compression.
    pub text_bytes: usize,
    /// Bytes of files that the batch accounts for.
    pub source_bytes: u64,
    /// Where its files stand with this batch; of one stream, the last has the newest clock.
    pub progress: Vec<Progress>,
}

/// The batch being filled, and those that wait to be sent.
pub(crate) struct Batcher {
    incarnation: Incarnation,
    /// The number of the batch being filled.
    number: u64,
    filling: Option<Filling>,
    encoded: VecDeque<Encoded>,
    encoded_text_bytes: usize,
    /// Whether lines are left out and only their bytes accounted for.
    is_dropping: bool,
    dropped_bytes: u64,
}

struct Filling {
    builder: BatchBuilder,
    /// When the first run came (monotonic).
    since: Duration,
    source_bytes: u64,
    /// In the order of the runs; `None` where a later run of the same file took over.
    progress: Vec<Option<Progress>>,
    latest: HashMap<FileIdentity, usize>,
}

impl Batcher {
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            number: 0,
            filling: None,
            encoded: VecDeque::new(),
            encoded_text_bytes: 0,
            is_dropping: false,
            dropped_bytes: 0,
        }
    }

    /// Whether the lines of the runs that follow are left out: their bytes are declared dropped.
    pub(crate) fn set_dropping(&mut self, dropping: bool) {
        self.is_dropping = dropping;
    }

    /// Bytes dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_bytes)
    }

    /// Text held, in bytes.
    pub(crate) fn text_bytes(&self) -> usize {
        let filling = self.filling.as_ref().map_or(0, |filling| filling.builder.text_bytes());
        filling + self.encoded_text_bytes
    }

    /// Whether nothing waits here, neither to be encoded nor to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.filling.is_none() && self.encoded.is_empty()
    }

    /// Takes a run, and where its files stand after it.
    pub(crate) fn push(
        &mut self,
        source: &Source,
        run: RunInput<'_>,
        progress: &[Progress],
        now: Duration,
    ) {
        if self.is_dropping {
            self.drop_lines(source, run, progress, now);
        } else {
            self.take_run(source, run, progress, now);
        }
    }

    /// Takes of a run only which bytes it stands for. It ends where its lines end.
    fn drop_lines(
        &mut self,
        source: &Source,
        run: RunInput<'_>,
        progress: &[Progress],
        now: Duration,
    ) {
        let mut pieces = run.pieces.to_vec();
        for piece in pieces.iter_mut().filter(|piece| piece.kind == PieceKind::Text) {
            piece.kind = PieceKind::Dropped;
            self.dropped_bytes += piece.bytes();
        }
        let lines = LineColumns::default();
        let run = RunInput { read_time: run.read_time, pieces: &pieces, lines: &lines, text: b"" };
        self.take_run(source, run, progress, now);
    }

    fn take_run(
        &mut self,
        source: &Source,
        run: RunInput<'_>,
        progress: &[Progress],
        now: Duration,
    ) {
        let taken = self.filling(now).builder.push_run(source.id, &source.labels, run);
        match taken {
            Ok(()) => {}
            Err(PushError::Full) => {
                self.close();
                let retried = self.filling(now).builder.push_run(source.id, &source.labels, run);
                retried.expect("an empty batch takes any run that keeps the limits");
            }
            Err(error) => unreachable!("runs are made within the limits: {error}"),
        }
        let filling = self.filling(now);
        filling.source_bytes +=
            run.pieces.iter().filter(|p| p.kind.loss().is_none()).map(Piece::bytes).sum::<u64>();
        filling.note(progress);
        if filling.builder.text_bytes() >= BATCH_TEXT_BYTES_TARGET {
            self.close();
        }
    }

    fn filling(&mut self, now: Duration) -> &mut Filling {
        let header = BatchHeader {
            collector: self.incarnation.collector,
            incarnation: self.incarnation.number,
            number: self.number,
            config_generation: 0,
        };
        self.filling.get_or_insert_with(|| Filling {
            builder: BatchBuilder::new(header, CODEC),
            since: now,
            source_bytes: 0,
            progress: Vec::new(),
            latest: HashMap::new(),
        })
    }

    /// Closes the batch if its first run has waited for `linger`; tells when that will be.
    pub(crate) fn close_if_due(&mut self, now: Duration, linger: Duration) -> Option<Duration> {
        let due = self.filling.as_ref()?.since + linger;
        if now < due {
            return Some(due);
        }
        self.close();
        None
    }

    /// Encodes what there is.
    pub(crate) fn close(&mut self) {
        let Some(filling) = self.filling.take() else { return };
        let text_bytes = filling.builder.text_bytes();
        self.encoded_text_bytes += text_bytes;
        self.encoded.push_back(Encoded {
            number: self.number,
            message: filling.builder.finish(),
            text_bytes,
            source_bytes: filling.source_bytes,
            progress: filling.progress.into_iter().flatten().collect(),
        });
        self.number += 1;
    }

    /// The oldest batch that waits to be sent.
    pub(crate) fn take(&mut self) -> Option<Encoded> {
        let batch = self.encoded.pop_front()?;
        self.encoded_text_bytes -= batch.text_bytes;
        Some(batch)
    }
}

impl Encoded {
    /// What the batch takes in memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let progress = self.progress.len() * std::mem::size_of::<Progress>();
        std::mem::size_of::<Self>() + self.message.len() + progress
    }
}

impl Filling {
    fn note(&mut self, progress: &[Progress]) {
        for one in progress {
            if let Some(before) = self.latest.insert(one.file, self.progress.len()) {
                self.progress[before] = None;
            }
            self.progress.push(Some(*one));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ffi::OsStr;

    use sawlog_transport::{Batch, CollectorId, GenerationId, LineFlags, StreamId};

    use super::*;
    use crate::checkpoint::StreamClock;
    use crate::tail_hash::{PrefixHash, TailHash};

    pub(crate) const INCARNATION: Incarnation =
        Incarnation { collector: CollectorId(7), number: 3 };

    pub(crate) fn progress(inode: u64, offset: u64) -> Progress {
        let file = FileIdentity { file_system: [0; 16], inode, inode_generation: 0, birth_time: 0 };
        Progress {
            file,
            truncations: 0,
            stream: StreamId(1),
            offset,
            inside_cut: false,
            tail: TailHash::start(),
            prefix: PrefixHash::UNKNOWN,
            finished: false,
            clock: StreamClock::default(),
        }
    }

    /// A batch of single lines: the stream of each, where it begins in generation 1, its text.
    pub(crate) fn batch_of(runs: &[(u128, u64, &[u8])]) -> Bytes {
        let header = BatchHeader {
            collector: INCARNATION.collector,
            incarnation: INCARNATION.number,
            number: 0,
            config_generation: 0,
        };
        let mut builder = BatchBuilder::new(header, CODEC);
        let labels = std::sync::Arc::new(sawlog_transport::Labels::default());
        for (stream, from, text) in runs {
            let mut lines = LineColumns::default();
            lines.push(1, text.len() as u32 - 1, text.len() as u32, LineFlags::default());
            let to = from + text.len() as u64;
            let generation = GenerationId(1);
            let pieces = [Piece { generation, from: *from, to, kind: PieceKind::Text }];
            let run = RunInput { read_time: 1, pieces: &pieces, lines: &lines, text };
            builder.push_run(StreamId(*stream), &labels, run).expect("it fits");
        }
        builder.finish()
    }

    fn push(batcher: &mut Batcher, inode: u64, from: u64, text: &[u8], now: Duration) {
        let mut lines = LineColumns::default();
        lines.push(1, text.len() as u32 - 1, text.len() as u32, LineFlags::default());
        let to = from + text.len() as u64;
        let generation = GenerationId(inode.into());
        let pieces = [Piece { generation, from, to, kind: PieceKind::Text }];
        let run = RunInput { read_time: 1, pieces: &pieces, lines: &lines, text };
        let source = crate::paths::source("h", std::path::Path::new(OsStr::new("/x.log")));
        batcher.push(&source, run, &[progress(inode, to)], now);
    }

    #[test]
    fn closes_when_the_first_run_has_waited() {
        let mut batcher = Batcher::new(INCARNATION);
        let linger = Duration::from_millis(50);
        let at = Duration::from_millis;
        assert_eq!(batcher.close_if_due(at(0), linger), None);
        push(&mut batcher, 1, 0, b"a\n", at(10));
        push(&mut batcher, 1, 2, b"bb\n", at(40));
        assert_eq!(batcher.close_if_due(at(59), linger), Some(at(60)));
        assert!(batcher.take().is_none());
        assert_eq!(batcher.close_if_due(at(60), linger), None);
        let batch = batcher.take().expect("closed");
        assert_eq!((batch.number, batch.text_bytes, batch.source_bytes), (0, 5, 5));
        assert_eq!(batcher.text_bytes(), 0);
        let header = Batch::decode(batch.message).expect("valid").header;
        assert_eq!((header.collector, header.incarnation), (CollectorId(7), 3));
    }

    #[test]
    fn only_the_last_word_on_a_file_stays_and_it_comes_last() {
        let mut batcher = Batcher::new(INCARNATION);
        push(&mut batcher, 1, 0, b"a\n", Duration::ZERO);
        push(&mut batcher, 2, 0, b"b\n", Duration::ZERO);
        push(&mut batcher, 1, 2, b"c\n", Duration::ZERO);
        batcher.close();
        let batch = batcher.take().expect("closed");
        assert_eq!(batch.progress, [progress(2, 2), progress(1, 4)]);
    }

    #[test]
    fn closes_at_the_target_and_counts_what_waits() {
        let mut batcher = Batcher::new(INCARNATION);
        let text = [&[b'x'; 200_000][..], b"\n"].concat();
        for n in 0..4 {
            push(&mut batcher, 1, n * 200_001, &text, Duration::ZERO);
        }
        assert!(batcher.filling.is_none() && !batcher.is_empty());
        assert_eq!(batcher.text_bytes(), 4 * 200_001);
        assert_eq!(batcher.take().expect("closed").number, 0);
        push(&mut batcher, 1, 800_004, b"a\n", Duration::ZERO);
        batcher.close();
        assert_eq!(batcher.take().expect("closed").number, 1);
    }

    #[test]
    fn what_is_dropped_is_accounted_for_without_its_lines() {
        let mut batcher = Batcher::new(INCARNATION);
        batcher.set_dropping(true);
        push(&mut batcher, 1, 0, b"left out\n", Duration::ZERO);
        batcher.set_dropping(false);
        push(&mut batcher, 1, 9, b"kept\n", Duration::ZERO);
        assert_eq!((batcher.take_dropped(), batcher.take_dropped()), (9, 0));
        batcher.close();
        let batch = batcher.take().expect("closed");
        assert_eq!((batch.source_bytes, &batch.progress[..]), (14, &[progress(1, 14)][..]));
        let runs = Batch::decode(batch.message).expect("valid").runs;
        let found: Vec<_> = runs.iter().map(|run| (run.n_lines, run.pieces[0].kind)).collect();
        assert_eq!(found, [(0, PieceKind::Dropped), (1, PieceKind::Text)]);
    }
}
