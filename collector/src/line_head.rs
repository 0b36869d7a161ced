//! The beginning of a line that a rotation cut: which bytes of older files hold it.
//!
//! The bytes stay in the files, which are held open until the whole line is acknowledged, so that
//! however many streams have cut lines, they take no memory.

use std::io;

use sawlog_transport::run::Piece;

use crate::identity::InodeKey;
use crate::tail::{Ended, TailFile};
use crate::tail_hash::{PrefixHash, TailHash};

/// A line that spans more files than this is ended: each piece keeps a file open.
pub(crate) const PARTS_MAX: usize = 128;

/// The unterminated ends of consecutive files.
#[derive(Debug)]
pub(crate) struct LineHead {
    /// The file in which the line goes on.
    pub continued_in: InodeKey,
    parts: Vec<Part>,
}

/// The unterminated end of one file.
#[derive(Debug)]
struct Part {
    file: InodeKey,
    piece: Piece,
    /// What lies before it.
    tail: TailHash,
    prefix: PrefixHash,
}

impl LineHead {
    pub(crate) fn new(continued_in: InodeKey) -> Self {
        Self { continued_in, parts: Vec::new() }
    }

    /// Adds the end of a file, whose position is still before it.
    pub(crate) fn push(&mut self, file: &TailFile, piece: Piece) {
        let TailFile { tail, prefix, .. } = *file;
        self.parts.push(Part { file: file.key(), piece, tail, prefix });
    }

    /// Takes a part out whose bytes are no longer where they were: its generation then ends before it.
    pub(crate) fn give_back(&mut self, file: InodeKey, ended: &mut Ended) {
        let is_it = |part: &Part| part.file == file && part.piece.generation == ended.generation;
        let Some(at) = self.parts.iter().position(is_it) else { return };
        let Part { piece, tail, prefix, .. } = self.parts.remove(at);
        ended.read_to = piece.from;
        (ended.tail, ended.prefix) = (tail, prefix);
    }

    /// Whether a file's end is part of the line.
    pub(crate) fn holds(&self, file: &TailFile) -> bool {
        self.parts
            .iter()
            .any(|part| part.file == file.key() && part.piece.generation == file.generation)
    }

    /// Which bytes of which file the line begins with.
    pub(crate) fn first(&self) -> Option<(InodeKey, Piece)> {
        self.parts.first().map(|part| (part.file, part.piece))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.parts.len() >= PARTS_MAX
    }

    /// Bytes of the line so far.
    pub(crate) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.piece.bytes()).sum::<u64>() as usize
    }

    /// Reads the bytes again. A part whose file was truncated or shortened meanwhile is left out.
    pub(crate) fn read(
        &self,
        files: &[TailFile],
        text: &mut Vec<u8>,
        pieces: &mut Vec<Piece>,
        mut each: impl FnMut(&TailFile),
    ) -> io::Result<()> {
        for Part { file: key, piece, .. } in &self.parts {
            let Some(file) =
                files.iter().find(|file| file.key() == *key && file.generation == piece.generation)
            else {
                continue;
            };
            let start = text.len();
            text.resize(start + piece.bytes() as usize, 0);
            if file.read_at(&mut text[start..], piece.from)? as u64 != piece.bytes() {
                text.truncate(start);
                continue;
            }
            pieces.push(*piece);
            each(file);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sawlog_transport::run::PieceKind;

    use super::*;
    use crate::tail::tests::open;

    #[test]
    fn reads_the_parts_in_order_and_leaves_out_what_is_gone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut files = Vec::new();
        for (name, content) in [("a", "x\nfirst "), ("b", "second "), ("c", "third")] {
            let path = dir.path().join(name);
            std::fs::write(&path, content).expect("write");
            files.push(open(&path));
        }
        files[0].read_to = 2;
        let mut head = LineHead::new(files[2].key());
        for file in &files {
            head.push(file, file.piece(file.facts.size, PieceKind::Text));
        }
        assert_eq!(head.bytes(), 18);
        files[1].begin_again(std::time::Duration::ZERO);
        let (mut text, mut pieces, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        head.read(&files, &mut text, &mut pieces, |file| seen.push(file.key())).expect("read");
        assert_eq!(text, b"first third");
        assert_eq!(pieces.len(), 2);
        assert_eq!(seen, [files[0].key(), files[2].key()]);
    }
}
