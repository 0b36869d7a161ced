//! Batches of any runs, divided until nothing is left to be divided, hold what they held.

use proptest::prelude::*;

use super::*;
use crate::run::Addresses;
use crate::{CollectorId, GenerationId, LineFlags};

const CODEC: Codec = Codec::Zstd(1);

const HEADER: BatchHeader =
    BatchHeader { collector: CollectorId(7), incarnation: 3, number: 9, config_generation: 0 };

/// A line, and what happens to its file around it.
#[derive(Clone, Debug)]
struct Wanted {
    text: Vec<u8>,
    /// Bytes of its end that were left out.
    cut: u64,
    /// The file is rotated behind so many of its bytes.
    rotated: Option<u64>,
    /// Bytes lost behind it.
    lost: u64,
    continues: bool,
    metadata: bool,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let text = proptest::collection::vec(b'a'..=b'z', 0..300);
    let rotated = proptest::option::weighted(0.1, 0u64..300);
    let (cut, lost) = (0u64..3, 0u64..3);
    let flags = (any::<bool>(), proptest::bool::weighted(0.1));
    (text, cut, rotated, lost, flags).prop_map(
        |(text, cut, rotated, lost, (continues, metadata))| Wanted {
            text,
            cut,
            rotated,
            lost,
            continues,
            metadata,
        },
    )
}

/// Where a stream's file stands.
struct Place {
    stream: StreamId,
    generation: u128,
    offset: u64,
}

impl Place {
    fn piece(&mut self, bytes: u64, kind: PieceKind) -> Option<Piece> {
        let (generation, from) = (GenerationId(self.generation), self.offset);
        self.offset += bytes;
        (bytes > 0).then_some(Piece { generation, from, to: self.offset, kind })
    }
}

fn push(builder: &mut BatchBuilder, place: &mut Place, run: &[Wanted]) {
    let (mut pieces, mut lines, mut text) = (Vec::new(), LineColumns::default(), Vec::new());
    for one in run {
        let source_len = one.text.len() as u64 + 1;
        let flags = if one.continues { LineFlags::CONTINUES } else { 0 };
        if one.metadata {
            lines.metadata.push((lines.len() as u32, Bytes::from_static(b"\x01k\x01v")));
        }
        let time = text.len() as i64;
        lines.push(time, one.text.len() as u32, source_len as u32, LineFlags(flags));
        text.extend_from_slice(&one.text);
        text.push(b'\n');
        let before = one.rotated.unwrap_or(source_len).min(source_len);
        pieces.extend(place.piece(before, PieceKind::Text));
        if before < source_len {
            (place.generation, place.offset) = (place.generation + 1000, 0);
            pieces.extend(place.piece(source_len - before, PieceKind::Text));
        }
        pieces.extend(place.piece(one.cut, PieceKind::Cut));
        pieces.extend(place.piece(one.lost, PieceKind::Truncated));
    }
    let run = RunInput { read_time: 5, pieces: &pieces, lines: &lines, text: &text };
    builder.push_run(place.stream, &Arc::default(), run).expect("it fits");
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    stream: StreamId,
    text: Vec<u8>,
    time: i64,
    flags: LineFlags,
    metadata: Vec<u8>,
    pieces: Vec<Piece>,
}

/// What stands in batches: each line with its source, and what has none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    lines: Vec<Line>,
    left_out: Vec<(StreamId, Piece)>,
}

impl Content {
    fn of(messages: &[Bytes]) -> Self {
        let mut this = Self::default();
        for message in messages {
            let batch = Batch::decode(message.clone()).expect("a batch");
            assert_eq!(batch.header, HEADER);
            let columns: Vec<_> =
                batch.frames.iter().map(|frame| frame.lines().expect("lines")).collect();
            assert!(batch.runs_cover(&columns));
            runs(&batch).expect("runs").iter().for_each(|part| this.add(part));
        }
        this
    }

    fn add(&mut self, part: &Part) {
        let mut addresses = Addresses::new(&part.pieces);
        let mut texts = part.text.split(|byte| *byte == b'\n');
        for line in 0..part.lines.len() {
            let mut pieces = Vec::new();
            addresses.next_pieces(part.lines.source_lens[line].into(), &mut pieces);
            self.lines.push(Line {
                stream: part.stream,
                text: texts.next().expect("a text").to_vec(),
                time: part.lines.times[line],
                flags: part.lines.flags[line],
                metadata: part.lines.metadata_of(line).to_vec(),
                pieces,
            });
        }
        let without = part.pieces.iter().filter(|piece| piece.kind != PieceKind::Text);
        self.left_out.extend(without.map(|piece| (part.stream, *piece)));
    }
}

/// Divides until nothing is larger than `most`, or nothing can be divided.
fn split_down(message: Bytes, most: usize) -> Vec<Bytes> {
    if message.len() <= most {
        return vec![message];
    }
    match split(message.clone(), CODEC) {
        Ok(parts) => {
            assert!(parts.len() >= 2);
            parts.into_iter().flat_map(|part| split_down(part, most)).collect()
        }
        Err(SplitError::SingleLine) => vec![message],
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #[test]
    fn parts_hold_the_same_lines_and_pieces_in_the_same_order(
        runs in proptest::collection::vec(
            (0u128..3, proptest::collection::vec(wanted(), 0..8)), 1..12),
        most in prop_oneof![Just(0usize), 0usize..4000],
    ) {
        let mut builder = BatchBuilder::new(HEADER, CODEC);
        let mut places: Vec<Place> =
            (0..3).map(|n| Place { stream: StreamId(n), generation: n, offset: 0 }).collect();
        for (stream, run) in &runs {
            push(&mut builder, &mut places[*stream as usize], run);
        }
        let whole = builder.finish();
        let parts = split_down(whole.clone(), most);
        prop_assert_eq!(Content::of(&parts), Content::of(&[whole]));
        if most == 0 {
            for part in parts {
                let batch = Batch::decode(part).expect("a batch");
                prop_assert!(batch.runs.len() == 1 && batch.runs[0].n_lines <= 1);
            }
        }
    }
}

#[test]
fn what_only_says_what_is_lost_is_divided_too() {
    let mut builder = BatchBuilder::new(HEADER, CODEC);
    let mut place = Place { stream: StreamId(1), generation: 1, offset: 0 };
    let pieces: Vec<Piece> = (0..9).filter_map(|_| place.piece(3, PieceKind::OverBudget)).collect();
    let run = RunInput { read_time: 5, pieces: &pieces, lines: &LineColumns::default(), text: b"" };
    builder.push_run(place.stream, &Arc::default(), run).expect("it fits");
    let whole = builder.finish();
    let parts = split_down(whole.clone(), 0);
    assert_eq!(parts.len(), 9);
    assert_eq!(Content::of(&parts), Content::of(&[whole]));
}

#[test]
fn a_single_line_and_what_is_no_batch_stay_whole() {
    let mut builder = BatchBuilder::new(HEADER, CODEC);
    let mut place = Place { stream: StreamId(1), generation: 1, offset: 0 };
    let (text, metadata) = (b"alone".to_vec(), false);
    let alone = Wanted { text, cut: 0, rotated: None, lost: 0, continues: false, metadata };
    push(&mut builder, &mut place, &[alone]);
    let single = builder.finish();
    assert!(matches!(split(single, CODEC), Err(SplitError::SingleLine)));
    assert!(matches!(split(Bytes::from_static(b"nonsense"), CODEC), Err(SplitError::Decode(_))));
}
