//! A run: consecutive lines of one stream, and the byte ranges of files that they came from.

use crate::ids::GenerationId;
use crate::lines::LineColumns;

/// What a piece says about its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PieceKind {
    /// The lines of the run come from these bytes.
    Text = 0,
    /// Left out because a line was longer than `LINE_BYTES_MAX`.
    Cut = 1,
    /// Left out by a rule, or never written: the hole before a writer that does not append, in a file
    /// that was truncated.
    Dropped = 2,
    /// Lost: the file was truncated before it was read.
    Truncated = 3,
    /// Lost: the file vanished before it was read.
    Vanished = 4,
    /// Lost: what was kept of deleted files went beyond its budget.
    OverBudget = 5,
    /// Lost: it could not be read, or what kept it was damaged.
    Corrupt = 6,
}

impl PieceKind {
    const ALL: [Self; 7] = [
        Self::Text,
        Self::Cut,
        Self::Dropped,
        Self::Truncated,
        Self::Vanished,
        Self::OverBudget,
        Self::Corrupt,
    ];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Why the bytes are lost, as metrics and reports name it; `None` if they are not.
    pub fn loss(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Cut | Self::Dropped => None,
            Self::Truncated => Some("truncated"),
            Self::Vanished => Some("vanished"),
            Self::OverBudget => Some("budget"),
            Self::Corrupt => Some("corrupt"),
        }
    }
}

/// The bytes `from..to` of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    pub generation: GenerationId,
    pub from: u64,
    pub to: u64,
    pub kind: PieceKind,
}

impl Piece {
    pub fn bytes(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

/// Consecutive lines of one stream in one frame. The source bytes of its lines, in order, are its
/// text pieces, in order: Σ source lengths = Σ bytes of text pieces. A run may have no line at all
/// and only tell what was cut, dropped or lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Index into the batch's (or block's) table of streams.
    pub stream: u32,
    /// Index of the frame that holds the lines.
    pub frame: u32,
    /// The run's first line within the frame.
    pub first_line: u32,
    pub n_lines: u32,
    /// When the collector read the bytes: nanoseconds since the epoch.
    pub read_time: i64,
    /// The earliest and the latest time of a line; both 0 without lines.
    pub min_time: i64,
    pub max_time: i64,
    pub pieces: Vec<Piece>,
}

impl Run {
    /// The lines' range in the columns of the frame.
    pub fn lines(&self) -> std::ops::Range<usize> {
        self.first_line as usize..(self.first_line + self.n_lines) as usize
    }
}

/// Where each line of a run begins in its source: walks lines along the text pieces.
///
/// A line that spans pieces (cut in two by a rotation) has the address of its first byte.
#[derive(Clone, Debug)]
pub struct Addresses<'a> {
    pieces: &'a [Piece],
    /// Bytes of `pieces[0]` that are already behind.
    inside: u64,
}

impl<'a> Addresses<'a> {
    pub fn new(pieces: &'a [Piece]) -> Self {
        let mut this = Self { pieces, inside: 0 };
        this.skip_exhausted();
        this
    }

    fn skip_exhausted(&mut self) {
        while let Some(first) = self.pieces.first() {
            if first.kind == PieceKind::Text && self.inside < first.bytes() {
                break;
            }
            self.pieces = &self.pieces[1..];
            self.inside = 0;
        }
    }

    /// The address of the next line, which covers `source_len` bytes; `None` when the pieces end.
    pub fn next_line(&mut self, source_len: u32) -> Option<(GenerationId, u64)> {
        let first = self.pieces.first()?;
        let address = (first.generation, first.from + self.inside);
        self.advance(u64::from(source_len));
        Some(address)
    }

    /// The pieces that `source_len` bytes from here cover.
    pub fn next_pieces(&mut self, source_len: u64, out: &mut Vec<Piece>) {
        let mut left = source_len;
        while left > 0 {
            let Some(first) = self.pieces.first() else { return };
            let from = first.from + self.inside;
            let taken = left.min(first.to - from);
            out.push(Piece { from, to: from + taken, ..*first });
            left -= taken;
            self.advance(taken);
        }
    }

    fn advance(&mut self, mut bytes: u64) {
        while bytes > 0 {
            let Some(first) = self.pieces.first() else { return };
            let step = bytes.min(first.bytes() - self.inside);
            self.inside += step;
            bytes -= step;
            self.skip_exhausted();
        }
    }
}

/// Whether lines and text pieces cover the same number of source bytes.
pub fn covers(pieces: &[Piece], lines: &LineColumns) -> bool {
    let text: u64 =
        pieces.iter().filter(|piece| piece.kind == PieceKind::Text).map(Piece::bytes).sum();
    text == lines.source_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(generation: u128, from: u64, to: u64, kind: PieceKind) -> Piece {
        Piece { generation: GenerationId(generation), from, to, kind }
    }

    #[test]
    fn a_line_across_a_rotation_has_the_address_of_its_first_byte() {
        let pieces = [
            piece(1, 90, 100, PieceKind::Text),
            piece(1, 100, 120, PieceKind::Cut),
            piece(2, 0, 30, PieceKind::Text),
        ];
        let mut addresses = Addresses::new(&pieces);
        assert_eq!(addresses.next_line(4), Some((GenerationId(1), 90)));
        assert_eq!(addresses.next_line(10), Some((GenerationId(1), 94)));
        assert_eq!(addresses.next_line(26), Some((GenerationId(2), 4)));
        assert_eq!(addresses.next_line(1), None);
    }

    #[test]
    fn pieces_are_split_where_lines_end() {
        let pieces = [piece(1, 0, 10, PieceKind::Text), piece(2, 5, 25, PieceKind::Text)];
        let mut out = Vec::new();
        let mut addresses = Addresses::new(&pieces);
        addresses.next_pieces(12, &mut out);
        assert_eq!(out, [piece(1, 0, 10, PieceKind::Text), piece(2, 5, 7, PieceKind::Text)]);
    }
}
