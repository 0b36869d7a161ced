//! The batch format: round trips, golden bytes, and foreign bytes.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ids::{GenerationId, StreamId};
use crate::labels::Labels;
use crate::limits::*;
use crate::lines::{Level, LineColumns, LineFlags, decode_metadata, encode_metadata};
use crate::run::{Piece, PieceKind};

const HEADER: BatchHeader = BatchHeader {
    collector: CollectorId(0x0102_0304),
    incarnation: 5,
    number: 6,
    config_generation: 7,
};

fn labels() -> Arc<Labels> {
    Arc::new(Labels::from_pairs([("app", "/shop/checkout"), ("stream", "stdout")]).unwrap())
}

fn columns(texts: &[&[u8]], time: i64) -> (LineColumns, Vec<u8>) {
    let mut lines = LineColumns::default();
    let mut text = Vec::new();
    for (n, line) in texts.iter().enumerate() {
        let len = line.len() as u32;
        lines.push(time + n as i64, len, len + 1, LineFlags::new(Level::Info, 0));
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    (lines, text)
}

fn text_piece(generation: u128, from: u64, lines: &LineColumns) -> Piece {
    Piece {
        generation: GenerationId(generation),
        from,
        to: from + lines.source_bytes(),
        kind: PieceKind::Text,
    }
}

/// One batch with everything version 1 has: shared and own frames, metadata, a cut, a partial line.
fn sample(codec: Codec) -> Bytes {
    let mut builder = BatchBuilder::new(HEADER, codec);
    let (mut lines, text) = columns(&[b"first line", b"", b"\xff\x00 bytes"], 1_000);
    lines.metadata.push((1, encode_metadata([("trace_id", &b"0af7"[..])]).into()));
    let mut pieces = vec![text_piece(1, 100, &lines)];
    pieces.push(Piece { generation: GenerationId(1), from: 200, to: 250, kind: PieceKind::Cut });
    let run = RunInput { read_time: 9, pieces: &pieces, lines: &lines, text: &text };
    builder.push_run(StreamId(11), &labels(), run).unwrap();
    let big = vec![b'x'; OWN_FRAME_BYTES_MIN];
    let (mut lines, text) = columns(&[&big], 5_000);
    lines.source_lens[0] -= 1;
    lines.flags[0] = LineFlags::new(Level::Unknown, LineFlags::PARTIAL);
    let pieces = [text_piece(2, 0, &lines)];
    let run = RunInput { read_time: 10, pieces: &pieces, lines: &lines, text: &text };
    builder.push_run(StreamId(12), &labels(), run).unwrap();
    builder.finish()
}

/// A stream's labels may become known when no line follows, and while a batch is being filled.
#[test]
fn a_run_of_nothing_tells_labels_and_the_last_ones_count() {
    let newer = Labels::from_pairs([("app", "/shop/checkout"), ("task_name", "checkout.shop")]);
    let newer = Arc::new(newer.unwrap());
    let nothing = RunInput { read_time: 9, pieces: &[], lines: &LineColumns::default(), text: &[] };
    let mut builder = BatchBuilder::new(HEADER, Codec::Zstd(1));
    builder.push_run(StreamId(11), &labels(), nothing).unwrap();
    let alone = Batch::decode(builder.finish()).unwrap();
    assert_eq!((alone.streams.len(), alone.runs[0].n_lines), (1, 0));
    assert!(alone.runs_cover(&[alone.frames[0].lines().unwrap()]));

    let mut builder = BatchBuilder::new(HEADER, Codec::Zstd(1));
    let (lines, text) = columns(&[b"first line"], 1_000);
    let pieces = [text_piece(1, 0, &lines)];
    let run = RunInput { read_time: 9, pieces: &pieces, lines: &lines, text: &text };
    builder.push_run(StreamId(11), &labels(), run).unwrap();
    builder.push_run(StreamId(12), &labels(), nothing).unwrap();
    builder.push_run(StreamId(11), &newer, nothing).unwrap();
    let batch = Batch::decode(builder.finish()).unwrap();
    assert_eq!((batch.streams.len(), batch.runs.len()), (2, 3));
    assert_eq!(*batch.streams[0].labels, *newer);
    assert_eq!(*batch.streams[1].labels, *labels());
    assert_eq!(&batch.frames[0].text().unwrap()[..], b"first line\n");
}

/// Labels that change all the time fill the tables, but never beyond their limit.
#[test]
fn labels_that_change_are_counted_each_time() {
    let mut builder = BatchBuilder::new(HEADER, Codec::None);
    let nothing = RunInput { read_time: 9, pieces: &[], lines: &LineColumns::default(), text: &[] };
    let mut taken = 0;
    for n in 0.. {
        let value = format!("{n:04000}");
        let labels = Arc::new(Labels::from_pairs([("a", &value), ("b", &value)]).unwrap());
        match builder.push_run(StreamId(1), &labels, nothing) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert_eq!(error, PushError::Full);
                break;
            }
        }
    }
    assert!(taken > 10, "{taken}");
    assert_eq!(Batch::decode(builder.finish()).unwrap().runs.len(), taken);
}

#[test]
fn everything_comes_back() {
    for codec in [Codec::None, Codec::Zstd(1)] {
        let batch = Batch::decode(sample(codec)).unwrap();
        assert_eq!(batch.header, HEADER);
        assert_eq!(batch.streams[1].id, StreamId(12));
        assert_eq!(*batch.streams[0].labels, *labels());
        assert_eq!(batch.frames.len(), 2);
        assert_eq!(&batch.frames[0].text().unwrap()[..], b"first line\n\n\xff\x00 bytes\n");
        let lines = batch.frames[0].lines().unwrap();
        assert_eq!(lines.times, [1_000, 1_001, 1_002]);
        let metadata = decode_metadata(lines.metadata_of(1));
        assert_eq!(metadata, [("trace_id".to_owned(), b"0af7".to_vec())]);
        assert_eq!(batch.runs[0].pieces[1].kind, PieceKind::Cut);
        let own = batch.frames[1].lines().unwrap();
        assert!(own.flags[0].has(LineFlags::PARTIAL));
        assert_eq!(own.source_lens[0] as usize, OWN_FRAME_BYTES_MIN);
        assert!(batch.runs_cover(&[lines, own]));
    }
}

/// The bytes of version 1 without compression never change: they are on people's disks.
#[test]
fn golden_bytes_of_version_1() {
    let bytes = sample(Codec::None);
    assert_eq!(crc32c::crc32c(&bytes), GOLDEN_CRC, "{} bytes", bytes.len());
    let head: String = bytes[..HEADER_BYTES].iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(head, GOLDEN_HEADER);
}

/// What zstd wrote for version 1 is read for ever, though another zstd may write other bytes.
#[test]
fn golden_zstd_bytes_are_read() {
    let stored = Bytes::from_static(include_bytes!("golden-v1-zstd.bin"));
    let batch = Batch::decode(stored).unwrap();
    let plain = Batch::decode(sample(Codec::None)).unwrap();
    assert_eq!((&batch.streams, &batch.runs), (&plain.streams, &plain.runs));
    for (zstd, none) in batch.frames.iter().zip(&plain.frames) {
        assert_eq!(zstd.text().unwrap(), none.text().unwrap());
        assert_eq!(zstd.lines().unwrap(), none.lines().unwrap());
    }
}

const GOLDEN_CRC: u32 = 2_547_201_024;
const GOLDEN_HEADER: &str = concat!(
    "5341574201000000b3010100dd000000dd00000002000000160001002800000004030201000000000000000000000000",
    "05000000000000000600000000000000070000000000000094ba91820c2dcdd1",
);

#[test]
fn a_flipped_bit_anywhere_is_found() {
    for codec in [Codec::None, Codec::Zstd(1)] {
        let good = sample(codec);
        for at in 0..good.len().min(1_500) {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << (at % 8);
            let found = match Batch::decode(bad.into()) {
                Err(_) => true,
                Ok(batch) => batch.frames.iter().any(|f| f.text().is_err() || f.lines().is_err()),
            };
            assert!(found, "byte {at} of {codec:?}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let good = sample(Codec::Zstd(1));
    for len in 0..good.len() {
        assert!(Batch::decode(good.slice(..len)).is_err(), "{len}");
    }
}

#[test]
fn a_newer_version_is_told_apart_from_garbage() {
    let mut newer = sample(Codec::None).to_vec();
    newer[4] = 2;
    let flipped = Batch::decode(newer.clone().into());
    assert!(matches!(flipped, Err(DecodeError::Checksum { what: "header" })));
    let crc = crc32c::crc32c(&newer[..76]);
    newer[76..80].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(Batch::decode(newer.into()), Err(DecodeError::Version { found: 2 })));
    let garbage = Bytes::from_static(&[7; 200]);
    assert!(matches!(Batch::decode(garbage), Err(DecodeError::Magic { .. })));
}

#[test]
fn a_lie_about_sizes_is_refused_before_allocating() {
    let mut bomb = sample(Codec::Zstd(1)).to_vec();
    bomb[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c::crc32c(&bomb[..76]);
    bomb[76..80].copy_from_slice(&crc.to_le_bytes());
    assert!(matches!(
        Batch::decode(bomb.into()),
        Err(DecodeError::Limit { what: "bytes of tables", .. })
    ));
}

#[test]
fn full_means_full_and_changes_nothing() {
    let mut builder = BatchBuilder::new(HEADER, Codec::Zstd(1));
    let big = vec![b'y'; LINE_BYTES_MAX];
    let (lines, text) = columns(&[&big], 0);
    let pieces = [text_piece(1, 0, &lines)];
    let run = RunInput { read_time: 0, pieces: &pieces, lines: &lines, text: &text };
    for _ in 0..BATCH_FRAMES_MAX {
        builder.push_run(StreamId(1), &labels(), run).unwrap();
    }
    assert_eq!(builder.push_run(StreamId(1), &labels(), run), Err(PushError::Full));
    let batch = Batch::decode(builder.finish()).unwrap();
    assert_eq!(batch.runs.len(), BATCH_FRAMES_MAX);
}

#[test]
fn the_worst_batch_fits_a_message() {
    let mut builder = BatchBuilder::new(HEADER, Codec::None);
    let mut seed = 1u64;
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut runs = 0;
    loop {
        let mut lines = LineColumns::default();
        for _ in 0..FRAME_LINES_MAX / 4 {
            lines.push(noise() as i64, 0, noise() as u32 | 1 << 31, LineFlags(noise() as u8));
        }
        let text = vec![b'\n'; lines.len()];
        let pieces = [text_piece(1, u64::MAX >> 2, &lines)];
        let run = RunInput { read_time: 0, pieces: &pieces, lines: &lines, text: &text };
        match builder.push_run(StreamId(runs), &labels(), run) {
            Ok(()) => runs += 1,
            Err(err) => break assert_eq!(err, PushError::Full),
        }
    }
    assert_eq!(runs as usize, 4 * BATCH_FRAMES_MAX);
    let message = builder.finish();
    assert!(message.len() <= MESSAGE_BYTES_MAX);
    Batch::decode(message).unwrap();
}

#[test]
fn lines_and_pieces_must_agree() {
    let mut builder = BatchBuilder::new(HEADER, Codec::None);
    let (lines, text) = columns(&[b"one"], 0);
    let mut piece = text_piece(1, 0, &lines);
    piece.to += 1;
    let run = RunInput { read_time: 0, pieces: &[piece], lines: &lines, text: &text };
    assert_eq!(builder.push_run(StreamId(1), &labels(), run), Err(PushError::NotCovered));
    assert!(builder.is_empty());
}

prop_compose! {
    fn any_run()(
        stream in 0u128..4,
        read_time: i64,
        lines in proptest::collection::vec(
            (any::<i64>(), proptest::collection::vec(any::<u8>(), 0..60), any::<u8>(),
             proptest::option::of(0u32..500), proptest::option::of("[a-z]{1,5}")), 0..40),
    ) -> (u128, i64, LineColumns, Vec<u8>) {
        let mut columns = LineColumns::default();
        let mut text = Vec::new();
        for (n, (time, line, flags, source, metadata)) in lines.into_iter().enumerate() {
            let len = line.len() as u32;
            columns.push(time, len, source.unwrap_or(len + 1), LineFlags(flags));
            text.extend_from_slice(&line);
            text.push(b'\n');
            if let Some(value) = metadata {
                let pairs = encode_metadata([("k", value.as_bytes())]);
                columns.metadata.push((n as u32, pairs.into()));
            }
        }
        (stream, read_time, columns, text)
    }
}

proptest! {
    #[test]
    fn any_runs_come_back(runs in proptest::collection::vec(any_run(), 0..12), zstd: bool) {
        let codec = if zstd { Codec::Zstd(1) } else { Codec::None };
        let mut builder = BatchBuilder::new(HEADER, codec);
        for (stream, read_time, lines, text) in &runs {
            let pieces = [text_piece(*stream, 3, lines)];
            let run = RunInput { read_time: *read_time, pieces: &pieces, lines, text };
            builder.push_run(StreamId(*stream), &labels(), run).unwrap();
        }
        let batch = Batch::decode(builder.finish()).unwrap();
        prop_assert_eq!(batch.runs.len(), runs.len());
        for (run, (stream, read_time, lines, text)) in batch.runs.iter().zip(&runs) {
            prop_assert_eq!(batch.streams[run.stream as usize].id, StreamId(*stream));
            prop_assert_eq!(run.read_time, *read_time);
            let frame = &batch.frames[run.frame as usize];
            let all = frame.lines().unwrap();
            let mut own = LineColumns::default();
            own.extend_from(&all, run.lines());
            prop_assert_eq!(&own, lines);
            let start: usize = all.text_lens[..run.first_line as usize]
                .iter().map(|len| *len as usize + 1).sum();
            prop_assert_eq!(&frame.text().unwrap()[start..start + text.len()], &text[..]);
        }
    }

    #[test]
    fn any_bytes_never_panic(mut bytes: Vec<u8>, with_magic: bool) {
        if with_magic && bytes.len() >= HEADER_BYTES {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4] = VERSION;
            bytes[6] = 0;
            let crc = crc32c::crc32c(&bytes[..76]);
            bytes[76..80].copy_from_slice(&crc.to_le_bytes());
        }
        if let Ok(batch) = Batch::decode(bytes.into()) {
            for frame in &batch.frames {
                drop((frame.text(), frame.lines()));
            }
        }
    }
}
