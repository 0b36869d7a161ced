//! Cuts read bytes into lines: where each ends, when it was written, its level, and whether it continues
//! the entry before it.

use sawlog_transport::limits::FRAME_LINES_MAX;
use sawlog_transport::{LineColumns, LineFlags};

use crate::group::{Groups, Side};
use crate::parse::{self, Timestamp};
use crate::times::{ReadContext, StreamTimes};

/// What a stream's lines before say of the next ones, and when these were read.
pub(crate) struct Reading<'a, 'c> {
    pub times: &'a mut StreamTimes,
    pub groups: &'a mut Groups,
    pub context: &'a ReadContext<'c>,
}

/// Adds the complete lines at the start of `data` to `columns`, at most as many as a frame takes;
/// gives the bytes they cover, terminators included. Text and source of these lines are the same.
pub(crate) fn cut(data: &[u8], reading: &mut Reading<'_, '_>, columns: &mut LineColumns) -> usize {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', data).take(FRAME_LINES_MAX) {
        let line = &data[start..end];
        push(line, line.len() + 1, 0, reading, columns);
        start = end + 1;
    }
    start
}

/// Adds one line, whose text is `line` and which covers `source_bytes` of its source.
pub(crate) fn push(
    line: &[u8],
    source_bytes: usize,
    flags: u8,
    reading: &mut Reading<'_, '_>,
    columns: &mut LineColumns,
) {
    let envelope = Stamp { time: None, side: Side::Out };
    push_stamped(line, source_bytes, flags, envelope, reading, columns);
}

/// What the envelope of a line says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// When the runtime took the line: nanoseconds since the epoch.
    pub time: Option<i64>,
    pub side: Side,
}

/// As [`push`], for a line out of an envelope. The envelope's time counts rather than the line's own:
/// it has a zone, and it is there for each line.
pub(crate) fn push_stamped(
    line: &[u8],
    source_bytes: usize,
    flags: u8,
    envelope: Stamp,
    reading: &mut Reading<'_, '_>,
    columns: &mut LineColumns,
) {
    let head = parse::head(line);
    let (time, continues) = if reading.groups.continues(envelope.side, line, &head) {
        (reading.times.stamp_continued(reading.context), LineFlags::CONTINUES)
    } else {
        let claim = envelope.time.map(Timestamp::Instant).or(head.timestamp);
        (reading.times.stamp_parsed(claim, reading.context), 0)
    };
    let flags = LineFlags::new(head.level, flags | continues);
    columns.push(time, line.len() as u32, source_bytes as u32, flags);
}

/// Gives lines whose text was replaced its length: each by where it starts in the text of the columns,
/// in the order of the lines.
pub(crate) fn replace_texts(
    columns: &mut LineColumns,
    lines: impl Iterator<Item = (usize, usize)>,
) {
    let (mut line, mut at) = (0, 0);
    for (start, text_len) in lines {
        while at < start {
            at += columns.text_lens[line] as usize + 1;
            line += 1;
        }
        at += columns.text_lens[line] as usize + 1;
        columns.text_lens[line] = text_len as u32;
        line += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sawlog_transport::Level;

    use super::*;

    fn cut_all(data: &[u8]) -> (usize, LineColumns) {
        let context = ReadContext { read_time: 1_000, live: true, zone: &|_| 0 };
        let mut columns = LineColumns::default();
        let (mut times, mut groups) = (StreamTimes::default(), Groups::default());
        let mut reading = Reading { times: &mut times, groups: &mut groups, context: &context };
        let consumed = cut(data, &mut reading, &mut columns);
        (consumed, columns)
    }

    #[test]
    fn only_complete_lines_are_taken_and_carriage_returns_stay() {
        let (consumed, columns) = cut_all(b"one\n\nERROR two\r\nrest");
        assert_eq!(consumed, 16);
        assert_eq!(columns.text_lens, [3, 0, 10]);
        assert_eq!(columns.source_lens, [4, 1, 11]);
        assert_eq!(columns.flags[2].level(), Some(Level::Error));
    }

    #[test]
    fn a_frame_takes_so_many_lines() {
        let (consumed, columns) = cut_all(&vec![b'\n'; FRAME_LINES_MAX + 5]);
        assert_eq!((consumed, columns.len()), (FRAME_LINES_MAX, FRAME_LINES_MAX));
    }

    proptest! {
        #[test]
        fn lines_cover_what_was_consumed(data in proptest::collection::vec(prop_oneof![
            3 => any::<u8>(), 1 => Just(b'\n')], 0..400)) {
            let (consumed, columns) = cut_all(&data);
            prop_assert_eq!(columns.source_bytes(), consumed as u64);
            prop_assert_eq!(columns.text_bytes(), consumed);
            let expected = data.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            prop_assert_eq!(consumed, expected);
            prop_assert!(columns.times.is_sorted_by(|a, b| a < b));
        }
    }
}
