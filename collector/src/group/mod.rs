//! Which lines continue the entry before them: stack traces and panics, told from the text alone, so
//! that a trace is one entry whether it came at once, line by line, or across a restart.

mod looks;
mod state;
#[cfg(test)]
mod tests;

use sawlog_transport::limits::LINE_BYTES_MAX;

use crate::parse::Head;
use state::State;

/// The most lines of one entry; then a new one begins.
pub(crate) const ENTRY_LINES_MAX: u32 = 1024;
/// The most bytes of one entry's lines with their terminators, before secrets are taken out; then a
/// new one begins.
pub(crate) const ENTRY_BYTES_MAX: usize = LINE_BYTES_MAX;

/// What a container wrote a line to, where one file holds both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Side {
    /// Standard output; also every line of a file that does not tell them apart.
    #[default]
    Out = 0,
    Err = 1,
}

impl Side {
    pub(crate) const ALL: [Side; 2] = [Side::Out, Side::Err];
}

/// How far a stream is inside a trace, for each side. The states are part of the checkpoint; how much an
/// entry has is not: an entry that a restart interrupts may get as much again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    states: [State; 2],
    /// Whose the line before was.
    last: Side,
    /// Sides whose line was too long, so that its other parts are left out.
    pub skipping: [bool; 2],
    /// Whether there is a line before.
    begun: bool,
    lines: u32,
    bytes: usize,
    /// Each line is an entry of its own.
    off: bool,
}

/// Codes below are states; from here on they say which sides are skipping.
const SKIPPING: u8 = 2 * State::COUNT * State::COUNT;
const _: () = assert!(SKIPPING as usize + 3 <= 256);

impl Groups {
    /// The state as a checkpoint kept it; `begun` says whether the stream has had a line.
    pub(crate) fn restore(code: u8, begun: bool) -> Self {
        let mut this = Self { begun, ..Self::default() };
        if code >= SKIPPING {
            let sides = (code - SKIPPING + 1) & 3;
            this.skipping = [sides & 1 != 0, sides & 2 != 0];
            return this;
        }
        if code & 1 != 0 {
            this.last = Side::Err;
        }
        let states = code / 2;
        this.states =
            [State::of_code(states / State::COUNT), State::of_code(states % State::COUNT)];
        this
    }

    /// The same for a stream each of whose lines is an entry of its own.
    pub(crate) fn off(self) -> Self {
        Self { off: true, ..self }
    }

    /// The state for a checkpoint. While a side is skipping nothing else is kept.
    pub(crate) fn code(&self) -> u8 {
        let [out, err] = self.skipping.map(u8::from);
        match out | err << 1 {
            0 => {
                let [out, err] = self.states.map(State::code);
                (out * State::COUNT + err) * 2 + self.last as u8
            }
            sides => SKIPPING + sides - 1,
        }
    }

    /// Takes the next line; tells whether it continues the entry of the line before it. A line of the
    /// other side never does, but the trace goes on behind it, as an entry of its own.
    #[inline]
    pub(crate) fn continues(&mut self, side: Side, line: &[u8], head: &Head) -> bool {
        if self.off {
            return false;
        }
        let (state, continues) = self.states[side as usize].step(line, head);
        self.states[side as usize] = state;
        let same_side = std::mem::replace(&mut self.last, side) == side;
        let begun = std::mem::replace(&mut self.begun, true);
        let bytes = line.len() + 1;
        let fits = self.lines < ENTRY_LINES_MAX && self.bytes + bytes <= ENTRY_BYTES_MAX;
        if continues && same_side && begun && fits {
            self.lines += 1;
            self.bytes += bytes;
            return true;
        }
        (self.lines, self.bytes) = (1, bytes);
        false
    }
}
