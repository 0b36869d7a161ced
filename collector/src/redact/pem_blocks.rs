//! The open PEM blocks of a stream whose two sides (standard output and error) are in one file.

use super::pem::{LINES_MAX, PemBlock};
use crate::group::Side;

/// The open block of each side: the end of one side's key closes nothing of the other's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PemBlocks([PemBlock; 2]);

impl PemBlocks {
    /// Both sides are inside the same block.
    pub(crate) fn of_both(block: PemBlock) -> Self {
        Self([block; 2])
    }

    pub(super) fn of_one(block: PemBlock) -> Self {
        Self([block, PemBlock::default()])
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.iter().any(PemBlock::is_open)
    }

    /// One state for both sides: inside a block if one of them is, and no nearer to the limits of a
    /// block than any side that is.
    pub(crate) fn merged(&self) -> PemBlock {
        let open = self.0.into_iter().filter(PemBlock::is_open);
        let least = |a: PemBlock, b: PemBlock| PemBlock {
            lines: a.lines.min(b.lines),
            bytes: a.bytes.min(b.bytes),
        };
        open.reduce(least).unwrap_or_default()
    }

    /// The block that a line goes on; one of neither side may be of any.
    pub(crate) fn of(&self, side: Option<Side>) -> PemBlock {
        side.map_or_else(|| self.merged(), |side| self.0[side as usize])
    }

    /// How far the block is behind a line.
    pub(crate) fn set(&mut self, side: Option<Side>, after: PemBlock) {
        let [out, err] = self.0;
        match (side, out.is_open(), err.is_open()) {
            (Some(side), ..) => self.0[side as usize] = after,
            (None, true, false) => self.0[0] = after,
            (None, false, true) => self.0[1] = after,
            (None, true, true) if out != err && !after.is_open() => {
                // Nobody knows whose end it is: both stay open, for as long as blocks may.
                let mut block = self.merged();
                block.lines += 1;
                let ends = block.lines >= LINES_MAX;
                self.0 = [if ends { PemBlock::default() } else { block }; 2];
            }
            (None, ..) => self.0 = [after; 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: u32) -> PemBlock {
        PemBlock { lines, bytes: lines * 64 }
    }

    #[test]
    fn sides_have_blocks_of_their_own() {
        let mut blocks = PemBlocks::default();
        blocks.set(Some(Side::Out), block(5));
        blocks.set(Some(Side::Err), block(3));
        assert_eq!(blocks.merged(), block(3));
        blocks.set(Some(Side::Err), PemBlock::default());
        assert_eq!((blocks.merged(), blocks.of(Some(Side::Err)).is_open()), (block(5), false));
        blocks.set(Some(Side::Out), PemBlock::default());
        assert_eq!((blocks.merged(), blocks.is_open()), (PemBlock::default(), false));
    }

    #[test]
    fn a_line_of_neither_side_closes_only_what_it_may() {
        let mut blocks = PemBlocks::default();
        blocks.set(None, block(1));
        assert_eq!(blocks, PemBlocks::of_both(block(1)));
        blocks.set(None, PemBlock::default());
        assert!(!blocks.is_open());
        blocks.set(Some(Side::Err), block(4));
        blocks.set(None, PemBlock::default());
        assert!(!blocks.is_open());
        blocks.set(Some(Side::Out), block(198));
        blocks.set(Some(Side::Err), block(199));
        blocks.set(None, PemBlock::default());
        assert!(blocks.of(Some(Side::Out)).is_open() && blocks.of(Some(Side::Err)).is_open());
        assert_eq!(blocks.merged().lines, LINES_MAX - 1);
        blocks.set(Some(Side::Out), block(1));
        blocks.set(Some(Side::Err), block(LINES_MAX - 1));
        blocks.set(None, PemBlock::default());
        assert_eq!(blocks, PemBlocks::of_both(PemBlock { lines: 2, bytes: 64 }));
        blocks = PemBlocks([block(LINES_MAX - 1), block(LINES_MAX)]);
        blocks.set(None, PemBlock::default());
        assert!(!blocks.is_open());
    }
}
