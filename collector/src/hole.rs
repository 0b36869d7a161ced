//! Zeros that nobody wrote: the hole at the start of a file that was truncated under a writer that does
//! not append, and those inside of lines that are too long.

use std::io;

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use sawlog_transport::limits::FRAME_TEXT_BYTES_MAX;
use sawlog_transport::run::{Piece, PieceKind};

use crate::checkpoint::StreamClock;
use crate::reader::{Lines, Reader};
use crate::tail::TailFile;
use crate::tail_hash::{PREFIX_BYTES, PrefixHash, TAIL_BYTES, TailHash};

/// How many written zeros are looked at before others have their turn, in bytes.
const ZEROS_MAX: u64 = 16 * 1024 * 1024;

impl Reader<'_> {
    /// Leaves out zeros at the position of a file that holds nothing else up to there; tells where
    /// they end, if there are any.
    ///
    /// A hole costs nothing, however long: the file system tells where it ends. Behind it come zeros
    /// up to where the writer stood. In a file that was never truncated zeros count as a hole only if
    /// it begins with one, else they were written.
    pub(crate) fn leave_out_hole(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
    ) -> io::Result<Option<u64>> {
        if !self.is_zero_at(file, file.read_to)? {
            return Ok(None);
        }
        let data = data_from(file, file.read_to)?;
        if file.truncations == 0 && file.read_to == 0 && data == 0 {
            file.in_hole = false;
            return Ok(None);
        }
        let end = self.end_of_zeros(file, data)?;
        let dropped = file.piece(end, PieceKind::Dropped);
        let mut pieces = vec![dropped];
        if let Some((generation, accounted_to)) = &mut file.before
            && *accounted_to < end
        {
            // The writer stood here when the file was truncated: so long was the generation before.
            let (generation, from) = (*generation, *accounted_to);
            pieces.insert(0, Piece { generation, from, to: end, kind: PieceKind::Truncated });
            *accounted_to = end;
        }
        file.read_to = end;
        file.scanned_to = end;
        file.tail = TailHash::of(&[0; TAIL_BYTES][..end.min(TAIL_BYTES as u64) as usize]);
        file.prefix = PrefixHash::of(&[0; PREFIX_BYTES][..end.min(PREFIX_BYTES as u64) as usize]);
        let progress = file.progress(stream.source.id, StreamClock::default());
        self.declare(stream, &pieces, &[progress]);
        Ok(Some(end))
    }

    /// Goes over a hole in what is left out of a line that is too long: it holds no line end, however
    /// long it is. Tells where it ends, if there is one that is longer than a look at the file.
    pub(crate) fn pass_over_hole(
        &mut self,
        file: &mut TailFile,
        stream: &mut Lines<'_>,
    ) -> io::Result<Option<u64>> {
        // The file's first bytes are still to be remembered.
        if file.gz.is_some() || file.read_to < PREFIX_BYTES as u64 {
            return Ok(None);
        }
        let end = data_from(file, file.read_to)?;
        let is_long = end.saturating_sub(file.read_to) > FRAME_TEXT_BYTES_MAX as u64;
        // A file that was truncated meanwhile is looked at as any other.
        if !is_long || !file.holds(file.read_to, file.tail)? {
            return Ok(None);
        }
        let cut = file.piece(end, PieceKind::Cut);
        self.metrics.cut_bytes.inc_by(cut.bytes());
        file.read_to = end;
        file.scanned_to = end;
        file.tail = TailHash::of(&[0; TAIL_BYTES]);
        let progress = file.progress(stream.source.id, StreamClock::default());
        self.declare(stream, &[cut], &[progress]);
        Ok(Some(end))
    }

    fn is_zero_at(&self, file: &TailFile, at: u64) -> io::Result<bool> {
        let mut first = [1];
        Ok(file.read_at(&mut first, at)? == 1 && first == [0])
    }

    /// The first byte from `from` on that is not zero; the end of the file if there is none.
    fn end_of_zeros(&mut self, file: &TailFile, from: u64) -> io::Result<u64> {
        let mut at = from;
        loop {
            let buffer = &mut self.buffers.bytes_mut()[..FRAME_TEXT_BYTES_MAX];
            let read = file.read_at(buffer, at)?;
            match buffer[..read].iter().position(|byte| *byte != 0) {
                Some(zeros) => return Ok(at + zeros as u64),
                None if read == 0 || at - from > ZEROS_MAX => return Ok(at + read as u64),
                None => at += read as u64,
            }
        }
    }
}

/// Where the file system has the first data from `from` on; the end of the file if it has none.
fn data_from(file: &TailFile, from: u64) -> io::Result<u64> {
    match rustix::fs::seek(&file.file, SeekFrom::Data(from)) {
        Ok(at) => Ok(at),
        Err(Errno::NXIO) => Ok(file.facts.size),
        // The file system does not tell: everything is data.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(from),
        Err(error) => Err(error.into()),
    }
}
