//! Lines that were handed on before their ends came: where their rests may come, so that secrets are
//! found that lie across.

use std::collections::HashMap;

use sawlog_transport::{GenerationId, StreamId};

use crate::group::Side;

/// Where the rest of a line may come whose beginning was handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// The last line was whole.
    #[default]
    No,
    /// Behind the end of the file with this generation, or at the start of another file.
    In(GenerationId),
    /// The same, but a checkpoint tells no more than that.
    Somewhere,
}

/// The longest text of an unfinished line that is kept, in bytes: it may not be found again where the
/// rest comes in another file. Longer ones are not kept, and their rest is hidden then.
const TEXT_BYTES_MAX: usize = 1024;
/// The most streams without open files whose unfinished lines are kept.
const STREAMS_MAX: usize = 4096;

/// The unfinished lines of a stream, for each side; a stream that does not tell sides apart has those
/// of the first. Where they are is part of the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnfinishedLines([(Unfinished, Option<Box<[u8]>>); 2]);

impl UnfinishedLines {
    /// As a checkpoint kept it.
    pub(crate) fn restore(code: u8) -> Self {
        let side = |bit| if code & bit != 0 { Unfinished::Somewhere } else { Unfinished::No };
        Self([(side(1), None), (side(2), None)])
    }

    /// The state for a checkpoint: two bits.
    pub(crate) fn code(&self) -> u8 {
        let [out, err] = Side::ALL.map(|side| u8::from(self.of(side) != Unfinished::No));
        out | err << 1
    }

    pub(crate) fn of(&self, side: Side) -> Unfinished {
        self.0[side as usize].0
    }

    /// What is kept of the text of a side's unfinished line.
    pub(crate) fn text(&self, side: Side) -> Option<&[u8]> {
        self.0[side as usize].1.as_deref()
    }

    /// A line without its end was handed on, from the file with this generation; without a side it may
    /// be either's.
    pub(crate) fn begun(&mut self, side: Option<Side>, generation: GenerationId) {
        let unfinished = (Unfinished::In(generation), None);
        match side {
            Some(side) => self.0[side as usize] = unfinished,
            None => self.0 = [unfinished.clone(), unfinished],
        }
    }

    /// What was handed on of an unfinished line, in two parts, as it was before its secrets were taken out.
    pub(crate) fn keep(&mut self, side: Side, parts: [&[u8]; 2]) {
        if parts[0].len() + parts[1].len() <= TEXT_BYTES_MAX {
            self.0[side as usize].1 = Some(parts.concat().into());
        }
    }

    /// More of an unfinished line was handed on, and it is not known of which side's.
    pub(crate) fn forget_texts(&mut self) {
        self.0.iter_mut().for_each(|(_, text)| *text = None);
    }

    /// A whole line was handed on.
    pub(crate) fn ended(&mut self, side: Side) {
        self.0[side as usize] = (Unfinished::No, None);
    }

    /// Whether the rest of a line of a side may be at an offset of a file.
    pub(crate) fn concerns(&self, side: Side, file: GenerationId, at: u64) -> bool {
        match self.of(side) {
            Unfinished::No => false,
            Unfinished::In(generation) => at == 0 || generation == file,
            Unfinished::Somewhere => true,
        }
    }
}

/// The unfinished lines of streams that have no file open. What is not kept is known by the checkpoint,
/// without its text.
#[derive(Default)]
pub(crate) struct LeftUnfinished(HashMap<StreamId, UnfinishedLines>);

impl LeftUnfinished {
    pub(crate) fn keep(&mut self, stream: StreamId, lines: UnfinishedLines) {
        let has_text = Side::ALL.iter().any(|side| lines.text(*side).is_some());
        if has_text && self.0.len() < STREAMS_MAX {
            self.0.insert(stream, lines);
        }
    }

    /// Those of a stream that has a file again.
    pub(crate) fn take(&mut self, stream: StreamId) -> Option<UnfinishedLines> {
        self.0.remove(&stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_line_is_looked_for_in_its_file_and_at_the_start_of_others() {
        let (here, other) = (GenerationId(1), GenerationId(2));
        let mut lines = UnfinishedLines::default();
        lines.begun(Some(Side::Err), here);
        let asked = [(here, 5), (other, 0), (other, 5)];
        let concerns =
            |lines: &UnfinishedLines, side| asked.map(|(file, at)| lines.concerns(side, file, at));
        assert_eq!(concerns(&lines, Side::Err), [true, true, false]);
        assert_eq!(concerns(&lines, Side::Out), [false; 3]);
        assert_eq!(lines.code(), 2);
        let restored = UnfinishedLines::restore(lines.code());
        assert_eq!(concerns(&restored, Side::Err), [true; 3]);
        assert_eq!(concerns(&restored, Side::Out), [false; 3]);
        lines.begun(None, other);
        assert_eq!(lines.code(), 3);
        lines.ended(Side::Out);
        lines.keep(Side::Err, [b"a", b"b"]);
        assert_eq!(lines.text(Side::Err), Some(&b"ab"[..]));
        lines.ended(Side::Err);
        assert_eq!(lines.text(Side::Err), None);
        lines.keep(Side::Out, [&[0; TEXT_BYTES_MAX], b"b"]);
        assert_eq!(lines, UnfinishedLines::default());
    }
}
