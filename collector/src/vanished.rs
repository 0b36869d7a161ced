//! Files that were seen in a directory and were gone before they could be opened: what is known of their
//! bytes is declared lost.

use sawlog_transport::batch::RunInput;
use sawlog_transport::run::{Piece, PieceKind};
use sawlog_transport::{FileIdentity, GenerationId, LineColumns};

use crate::batcher::Batcher;
use crate::checkpoint::Progress;
use crate::clock::Now;
use crate::identity::Facts;
use crate::metrics::Metrics;
use crate::place::Source;

/// Stands for the inode's generation, which only an open file tells. No file system counts so far: should
/// the file turn up under a name elsewhere, its bytes are not taken for those that are declared here.
const NEVER_OPENED: u64 = u64::MAX;

/// The bytes of a file that were not read, as far as its size was seen; `known` is how far it is
/// acknowledged. `None` if all were.
pub(crate) fn lost(
    file_system: [u8; 16],
    facts: &Facts,
    known: Option<&Progress>,
) -> Option<Piece> {
    let (file, truncations, from) = match known {
        Some(known) => (known.file, known.truncations, known.offset),
        None => (
            FileIdentity {
                file_system,
                inode: facts.key.inode,
                inode_generation: NEVER_OPENED,
                birth_time: facts.key.birth_time,
            },
            0,
            0,
        ),
    };
    let generation = GenerationId::of_file(&file, truncations);
    let kind = PieceKind::Vanished;
    (facts.size > from).then_some(Piece { generation, from, to: facts.size, kind })
}

/// Hands on what is lost of a stream's file, without any line, and counts it. Where the file system keeps
/// no times of birth the bytes of one file cannot be told from those of the next one with its number: they
/// are only counted.
pub(crate) fn declare(
    source: &Source,
    piece: Piece,
    has_birth: bool,
    metrics: &Metrics,
    batcher: &mut Batcher,
    now: Now,
) {
    if let Some(reason) = piece.kind.loss() {
        metrics.lost_bytes.with_label_values(&[reason]).inc_by(piece.bytes());
    }
    if has_birth {
        let lines = LineColumns::default();
        let run = RunInput { read_time: now.wall, pieces: &[piece], lines: &lines, text: &[] };
        batcher.push(source, run, &[], now.monotonic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{facts, identify};

    #[test]
    fn what_was_seen_and_not_read_is_lost() {
        let temp = tempfile::NamedTempFile::new().expect("temp file");
        std::fs::write(temp.path(), "0123456789").expect("write");
        let found = facts(temp.as_file()).expect("stat");
        let identity = identify(temp.as_file(), &found);
        let piece = lost(identity.file_system, &found, None).expect("lost");
        assert_eq!((piece.from, piece.to, piece.kind), (0, 10, PieceKind::Vanished));
        let own = GenerationId::of_file(&identity, 0);
        assert_ne!(piece.generation, own, "found again elsewhere, its bytes are taken");
        assert!(lost(identity.file_system, &Facts { size: 0, ..found }, None).is_none());
    }
}
