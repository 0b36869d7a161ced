//! Which lines of a stream are one entry: a line with those that continue it (a stack trace).

use crate::limits::{ENTRY_BYTES_MAX, ENTRY_LINES_MAX};
use crate::lines::LineFlags;
use crate::run::Piece;

/// Finds where entries begin, line by line. What it says depends on the lines alone, not on how they
/// are spread over runs, batches and blocks, if it begins where an entry does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCutter {
    lines: usize,
    bytes: usize,
}

impl EntryCutter {
    /// Takes the stream's next line; whether it begins an entry. It does if it continues none, if it
    /// is the first one, or where the entry would get larger than entries may be.
    pub fn begins(&mut self, flags: LineFlags, text_len: u32) -> bool {
        let len = text_len as usize;
        let continues = flags.has(LineFlags::CONTINUES)
            && (1..ENTRY_LINES_MAX).contains(&self.lines)
            && self.bytes + 1 + len <= ENTRY_BYTES_MAX;
        (self.lines, self.bytes) =
            if continues { (self.lines + 1, self.bytes + 1 + len) } else { (1, len) };
        !continues
    }

    /// Bytes of the last entry so far: its lines, with a `\n` between two of them.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether a run of the pieces `after` may continue the entry that the run before it, of the pieces
/// `before`, ends with. What stands earlier in the same file does not: it came late.
pub fn may_continue(before: &[Piece], after: &[Piece]) -> bool {
    match (before.last(), after.first()) {
        (Some(before), Some(after)) => {
            before.generation != after.generation || after.from >= before.to
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GenerationId;
    use crate::run::PieceKind;

    const MORE: LineFlags = LineFlags(LineFlags::CONTINUES);
    const FIRST: LineFlags = LineFlags(0);

    /// The lengths of the entries, in lines.
    fn entries(lines: impl IntoIterator<Item = (LineFlags, u32)>) -> Vec<usize> {
        let mut cutter = EntryCutter::default();
        let mut entries = Vec::new();
        for (flags, len) in lines {
            match entries.last_mut() {
                Some(last) if !cutter.begins(flags, len) => *last += 1,
                None => {
                    assert!(cutter.begins(flags, len), "the first line begins an entry");
                    entries.push(1);
                }
                _ => entries.push(1),
            }
        }
        entries
    }

    #[test]
    fn a_line_and_what_continues_it_are_an_entry() {
        let lines = [(MORE, 1), (MORE, 1), (FIRST, 1), (FIRST, 1), (MORE, 0)];
        assert_eq!(entries(lines), [2, 1, 2]);
    }

    #[test]
    fn an_entry_has_a_largest_size() {
        assert_eq!(entries(vec![(MORE, 3); 2500]), [1024, 1024, 452]);
        let half = (ENTRY_BYTES_MAX / 2) as u32;
        assert_eq!(entries([(FIRST, half), (MORE, half - 1), (MORE, 0)]), [2, 1]);
        assert_eq!(entries([(FIRST, half), (MORE, half)]), [1, 1]);
    }

    #[test]
    fn what_came_late_continues_nothing() {
        let piece = |generation: u128, from: u64, to: u64| {
            [Piece { generation: GenerationId(generation), from, to, kind: PieceKind::Text }]
        };
        assert!(may_continue(&piece(1, 0, 5), &piece(1, 5, 9)));
        assert!(may_continue(&piece(1, 0, 5), &piece(2, 0, 9)), "rotated");
        assert!(may_continue(&piece(1, 0, 5), &piece(1, 7, 9)), "with a hole between");
        assert!(!may_continue(&piece(1, 5, 9), &piece(1, 0, 5)));
    }
}
