//! Lines as they are: cut, with their times, levels and trace ids, and which of them are one entry.

use sawlog_transport::LineColumns;
use sawlog_transport::limits::{FRAME_LINES_MAX, FRAME_METADATA_BYTES_MAX};
use sawlog_transport::lines::decode_metadata;

use super::Random;
use crate::group::{ENTRY_BYTES_MAX, ENTRY_LINES_MAX, Groups};
use crate::lines::{self, Reading};
use crate::parse;
use crate::times::{ReadContext, StreamTimes};
use crate::trace_id;

const CONTEXT: ReadContext<'static> =
    ReadContext { read_time: 1_800_000_000_000_000_000, live: false, zone: &|_| 3600 };

/// Looks at all of an input's lines.
pub(super) fn check(input: &[u8], random: &mut Random) {
    for line in input.split(|byte| *byte == b'\n') {
        head(line);
    }
    let mut whole = LineColumns::default();
    let (mut times, mut groups) = (StreamTimes::default(), Groups::default());
    let consumed = cut(input, &mut times, &mut groups, &mut whole);
    assert_eq!(whole.source_bytes(), consumed as u64);
    assert_eq!(whole.text_bytes(), consumed);
    if whole.len() < FRAME_LINES_MAX.min(ENTRY_LINES_MAX as usize) && consumed < ENTRY_BYTES_MAX {
        assert_eq!(cut_in_parts(input, random), whole);
    }
    trace_ids(&input[..consumed], &mut whole);
}

/// What a line says of itself stands in its first bytes, whoever asks.
fn head(line: &[u8]) {
    let found = parse::head(line);
    assert_eq!(found.timestamp, parse::timestamp(line));
    assert_eq!(found.level, parse::level(line));
    let start = &line[..line.len().min(parse::STRUCTURED_PREFIX_BYTES)];
    assert_eq!(found, parse::head(start));
    if let Some((_, rest)) = parse::leading_instant(line) {
        assert!(line.ends_with(rest));
    }
}

fn cut(
    data: &[u8],
    times: &mut StreamTimes,
    groups: &mut Groups,
    columns: &mut LineColumns,
) -> usize {
    lines::cut(data, &mut Reading { times, groups, context: &CONTEXT }, columns)
}

/// The same with pauses at any point, in each of which the grouper's state is kept and restored.
fn cut_in_parts(input: &[u8], random: &mut Random) -> LineColumns {
    let mut columns = LineColumns::default();
    let (mut times, mut groups) = (StreamTimes::default(), Groups::default());
    let (mut from, mut to) = (0, 0);
    while to < input.len() {
        to += 1 + random.below(input.len() - to);
        from += cut(&input[from..to], &mut times, &mut groups, &mut columns);
        groups = Groups::restore(groups.code(), from > 0);
    }
    columns
}

/// Ids lie within their lines, and each line has its own whatever stands around it.
fn trace_ids(text: &[u8], columns: &mut LineColumns) {
    columns.metadata.clear();
    trace_id::note(text, columns);
    let bytes: usize = columns.metadata.iter().map(|(_, pairs)| pairs.len()).sum();
    assert!(bytes <= FRAME_METADATA_BYTES_MAX);
    assert!(columns.metadata.is_sorted_by(|one, next| one.0 < next.0));
    let is_full = bytes + 128 > FRAME_METADATA_BYTES_MAX;
    let mut found = columns.metadata.iter().peekable();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate().take(columns.len()) {
        let mut alone = LineColumns::default();
        let length = line.len() as u32;
        alone.push(0, length, length + 1, sawlog_transport::LineFlags::default());
        trace_id::note(&text_of(line), &mut alone);
        let pairs = found.next_if(|(at, _)| *at as usize == number).map(|(_, pairs)| pairs);
        assert!(is_full || pairs == alone.metadata.first().map(|(_, pairs)| pairs));
        for (_, id) in pairs.map(|pairs| decode_metadata(pairs)).unwrap_or_default() {
            assert!(memchr::memmem::find(line, &id).is_some());
        }
    }
    assert_eq!(found.next(), None);
}

fn text_of(line: &[u8]) -> Vec<u8> {
    [line, b"\n"].concat()
}
