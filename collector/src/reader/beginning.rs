//! The beginning of a line that was handed on before its rest came: read again from where it stands, so
//! that the rest is judged with it. What cannot be read again hides the rest.

use std::io;

use sawlog_transport::GenerationId;
use sawlog_transport::limits::LINE_BYTES_MAX;

use super::{Lines, Reader, Window};
use crate::envelope::{Envelope, Item, OpenParts, Parts};
use crate::group::Side;
use crate::line_head::LineHead;
use crate::redact::{Event, PemBlock, Redactor};
use crate::tail::{Copied, TailFile};
use crate::unfinished::{Unfinished, UnfinishedLines};

/// How far back the beginning of a line is looked for, in bytes: as long as a line may be.
const BACK_BYTES_MAX: usize = LINE_BYTES_MAX;

/// What is known of the beginning of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// There is none: the line begins where it is read.
    #[default]
    None,
    /// What was handed on of it.
    Text(Vec<u8>),
    /// It was handed on, and is too long or gone.
    Unknown,
}

impl Beginning {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// What is kept of an unfinished line.
    fn kept(unfinished: &UnfinishedLines, side: Side) -> Self {
        unfinished.text(side).map_or(Self::Unknown, |text| Self::Text(text.to_vec()))
    }

    /// What is known of the text.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::None => Some(b""),
            Self::Text(text) => Some(text),
            Self::Unknown => None,
        }
    }

    /// Takes the secrets out of a line that begins so; gives its new text, if it must be another.
    pub(super) fn redact<'r>(
        &self,
        redactor: &'r mut Redactor,
        line: &[u8],
        open: bool,
        pem: &mut PemBlock,
        told: impl FnMut(Event),
    ) -> Option<&'r [u8]> {
        match self {
            Self::None => redactor.line(line, open, pem, told),
            Self::Text(before) => redactor.rest_of_line(before, line, open, pem, told),
            Self::Unknown => redactor.rest_of_unknown(line, open, pem, told),
        }
    }
}

/// The beginnings of the next lines of a file whose lines are in envelopes.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    /// Of the next line of each side.
    pub(super) sides: [Beginning; 2],
    /// Of the next line, if the position is inside of its envelope.
    pub(super) inside: Beginning,
}

/// The bytes before an offset.
struct Back {
    bytes: Vec<u8>,
    /// Nothing lies before them.
    whole: bool,
}

impl Back {
    /// The beginning of the line in which the bytes end.
    fn line(mut self) -> Beginning {
        let end = memchr::memrchr(b'\n', &self.bytes);
        // Zeros that reach so far back are a hole, which is no line.
        let is_far = end.is_none() && !self.whole && self.bytes.first() != Some(&0);
        if is_far {
            return Beginning::Unknown;
        }
        let start = end.map_or(0, |end| end + 1);
        let zeros = self.bytes[start..].iter().take_while(|byte| **byte == 0).count();
        self.bytes.drain(..start + zeros);
        if self.bytes.is_empty() { Beginning::None } else { Beginning::Text(self.bytes) }
    }
}

impl Reader<'_> {
    fn read_back(&self, file: &TailFile, at: u64) -> io::Result<Option<Back>> {
        let from = at.saturating_sub(BACK_BYTES_MAX as u64);
        let mut bytes = vec![0; (at - from) as usize];
        self.metrics.reread_bytes.inc_by(at - from);
        let is_there = file.read_at(&mut bytes, from)? == bytes.len();
        Ok(is_there.then_some(Back { bytes, whole: from == 0 }))
    }

    /// The end of the older file whose last line may go on at the start of another one.
    fn read_back_older(&self, stream: &Lines<'_>) -> io::Result<Option<(Back, GenerationId)>> {
        let Some(older) = older(stream) else { return Ok(None) };
        Ok(self.read_back(older, older.read_to)?.map(|back| (back, older.generation)))
    }

    /// Whether the next line of a file may be the rest of an envelope, of which it is known only from its
    /// beginning what it is the rest of.
    pub(super) fn may_begin_inside(&self, file: &TailFile, stream: &Lines<'_>) -> io::Result<bool> {
        match origin(Some(file), stream) {
            Some((file, at)) => may_be_inside(file, at, &stream.text.unfinished),
            None => Ok(true),
        }
    }

    /// What was handed on of the line at the position, or of the beginning of it that older files hold.
    pub(super) fn beginning(
        &self,
        file: &TailFile,
        stream: &Lines<'_>,
        window: Window,
    ) -> io::Result<Beginning> {
        if stream.head.is_some() {
            return self.beginning_of_head(stream);
        }
        if file.read_to > 0 && self.line_before(window).is_empty() {
            return Ok(Beginning::None);
        }
        self.beginning_at(Some((file, file.read_to)), stream)
    }

    /// What was handed on of the line whose beginning older files hold.
    pub(super) fn beginning_of_head(&self, stream: &Lines<'_>) -> io::Result<Beginning> {
        self.beginning_at(origin(None, stream), stream)
    }

    fn beginning_at(
        &self,
        origin: Option<(&TailFile, u64)>,
        stream: &Lines<'_>,
    ) -> io::Result<Beginning> {
        if self.redactor.is_none() {
            return Ok(Beginning::None);
        }
        let back = match origin {
            None => None,
            Some((file, at)) if at > 0 => self.read_back(file, at)?,
            Some(_) if stream.text.unfinished.of(Side::Out) == Unfinished::No => {
                return Ok(Beginning::None);
            }
            Some(_) => self.read_back_older(stream)?.map(|(back, _)| back),
        };
        let kept = || Beginning::kept(&stream.text.unfinished, Side::Out);
        Ok(back.map_or_else(kept, Back::line))
    }

    /// The same where lines are in envelopes, whose parts may have been handed on: of the sides that are
    /// `wanted`. Without a file, of what older files hold.
    ///
    /// Only what is not kept is read again, and only for a side that has a line: a side may stay inside of
    /// one for as long as its container lives.
    pub(super) fn beginnings(
        &self,
        file: Option<&TailFile>,
        stream: &Lines<'_>,
        envelope: Envelope,
        wanted: [bool; 2],
    ) -> io::Result<Beginnings> {
        if self.redactor.is_none() {
            return Ok(Beginnings::default());
        }
        let unfinished = &stream.text.unfinished;
        let Some((file, at)) = origin(file, stream) else {
            return Ok(Beginnings::kept(unfinished, [true; 2]));
        };
        let awaited = Side::ALL
            .map(|side| wanted[side as usize] && unfinished.concerns(side, file.generation, at));
        let is_kept = |side: Side| !awaited[side as usize] || unfinished.text(side).is_some();
        if !may_be_inside(file, at, unfinished)? && Side::ALL.into_iter().all(is_kept) {
            return Ok(Beginnings {
                inside: Beginning::None,
                ..Beginnings::kept(unfinished, awaited)
            });
        }
        let back = if at > 0 {
            self.read_back(file, at)?.map(|back| (back, file.generation))
        } else {
            self.read_back_older(stream)?
        };
        let Some((back, generation)) = back else {
            return Ok(Beginnings::kept(unfinished, awaited));
        };
        let far = Side::ALL.map(
            |side| matches!(unfinished.of(side), Unfinished::In(other) if other != generation),
        );
        Ok(Beginnings::of_parts(envelope.open_parts(&back.bytes, back.whole, awaited, far)))
    }
}

/// Whether an offset may lie inside a physical line: at the start of a file, inside one that the file before
/// it begins.
fn may_be_inside(file: &TailFile, at: u64, unfinished: &UnfinishedLines) -> io::Result<bool> {
    let Some(before) = at.checked_sub(1) else {
        return Ok(Side::ALL.iter().any(|side| unfinished.of(*side) != Unfinished::No));
    };
    let mut last = [0];
    Ok(file.read_at(&mut last, before)? == 1 && !matches!(last, [b'\n' | 0]))
}

impl Beginnings {
    /// That of a line.
    pub(super) fn of(&self, item: &Item) -> &Beginning {
        match item.side {
            _ if item.left_out => &Beginning::None,
            Some(side) => &self.sides[side as usize],
            None => &self.inside,
        }
    }

    /// That of a line; the next one has none.
    pub(super) fn take(&mut self, item: &Item) -> Beginning {
        match item.side {
            _ if item.left_out => Beginning::None,
            Some(side) => std::mem::take(&mut self.sides[side as usize]),
            None => std::mem::take(&mut self.inside),
        }
    }

    /// What is kept where the file is gone.
    fn kept(unfinished: &UnfinishedLines, awaited: [bool; 2]) -> Self {
        let sides = Side::ALL.map(|side| match awaited[side as usize] {
            true => Beginning::kept(unfinished, side),
            false => Beginning::None,
        });
        Self { sides, inside: Beginning::Unknown }
    }

    fn of_parts(parts: OpenParts) -> Self {
        let beginning = |parts| match parts {
            Parts::Ended => Beginning::None,
            Parts::Open(text) => Beginning::Text(text),
            Parts::Far => Beginning::Unknown,
        };
        Self { sides: parts.sides.map(beginning), inside: beginning(parts.inside) }
    }
}

/// Where what is read next begins: in the older file that holds the line's beginning, or at the file's
/// position; `None` if that is not open any more.
fn origin<'s>(file: Option<&'s TailFile>, stream: &'s Lines<'_>) -> Option<(&'s TailFile, u64)> {
    let Some((key, piece)) = stream.head.as_ref().and_then(LineHead::first) else {
        return file.map(|file| (file, file.read_to));
    };
    let is_it = |older: &&TailFile| older.key() == key && older.generation == piece.generation;
    stream.older.iter().find(is_it).map(|older| (older, piece.from))
}

/// The older file at whose end a line is unfinished that may go on at the start of another one.
fn older<'s>(stream: &'s Lines<'_>) -> Option<&'s TailFile> {
    let unfinished = &stream.text.unfinished;
    let told = Side::ALL.into_iter().find_map(|side| match unfinished.of(side) {
        Unfinished::In(generation) => Some(generation),
        Unfinished::No | Unfinished::Somewhere => None,
    });
    let is_read = |older: &&TailFile| older.read_to > 0 && !matches!(older.copy, Copied::Idle(_));
    let mut read = stream.older.iter().rev().filter(is_read);
    match told {
        Some(generation) => read.find(|older| older.generation == generation),
        None => read.next(),
    }
}
