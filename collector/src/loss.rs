//! Declares what no line tells: bytes that are lost, holes that nobody wrote, and where files stand
//! without a line having been read.

use sawlog_transport::batch::RunInput;
use sawlog_transport::run::Piece;

use crate::checkpoint::{Progress, StreamClock};
use crate::reader::{Lines, Reader};

impl Reader<'_> {
    /// Hands on a run without lines. The checkpoints follow once it is acknowledged, after everything
    /// that was handed on before.
    pub(crate) fn declare(
        &mut self,
        stream: &mut Lines<'_>,
        pieces: &[Piece],
        progress: &[Progress],
    ) {
        let clock = StreamClock {
            last_time: stream.times.last(),
            zone: stream.times.zone_offset_seconds(),
            pem: stream.pem.merged(),
            groups: stream.text.groups.code(),
            unfinished: stream.text.unfinished.code(),
        };
        let progress: Vec<Progress> =
            progress.iter().map(|progress| Progress { clock, ..*progress }).collect();
        for piece in pieces {
            if let Some(reason) = piece.kind.loss() {
                self.metrics.lost_bytes.with_label_values(&[reason]).inc_by(piece.bytes());
            } else {
                self.metrics.read_bytes.inc_by(piece.bytes());
            }
        }
        let lines = sawlog_transport::LineColumns::default();
        let run = RunInput { read_time: self.now.wall, pieces, lines: &lines, text: &[] };
        let source = stream.text.source_of_lines(stream.source);
        self.batcher.push(&source, run, &progress, self.now.monotonic);
    }
}
