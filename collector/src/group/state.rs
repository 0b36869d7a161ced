//! The kinds of traces, and which line may follow in each.

use sawlog_transport::Level;

use super::looks;
use crate::parse::Head;

/// What the last line of a side was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// An ordinary line.
    #[default]
    Plain = 0,
    /// A line of a log that tells of trouble: the trace that belongs to it may follow.
    Record,
    /// Inside a trace of which every further line is indented: JVM, .NET, Node, Ruby.
    Trace,
    /// Python's list of calls, before the line with the error.
    Python,
    /// The line with Python's error.
    PythonError,
    /// The empty line behind it: another error may have come of it.
    PythonBlank,
    /// The line that says so.
    PythonChained,
    /// A Go panic and its goroutines.
    Go,
    /// The line that says where Rust panicked; the next line says why.
    RustPanic,
    /// Why Rust panicked, and its backtrace.
    Rust,
    /// The place and the source that Node shows before an error that nobody caught.
    NodeSource,
}

/// The first bytes with which a trace may begin, or a line that can only be part of one; all other lines
/// are plain after one look.
const FIRST_BYTES: &[u8] = b" \t-./CSTfgnpst";

impl State {
    /// How many states there are.
    pub(super) const COUNT: u8 = 11;

    const ALL: [State; Self::COUNT as usize] = [
        State::Plain,
        State::Record,
        State::Trace,
        State::Python,
        State::PythonError,
        State::PythonBlank,
        State::PythonChained,
        State::Go,
        State::RustPanic,
        State::Rust,
        State::NodeSource,
    ];

    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// The state of a code; [`State::Plain`] for a code that is none.
    pub(super) fn of_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or_default()
    }

    /// The state after the next line, and whether that line continues the entry.
    #[inline]
    pub(super) fn step(self, line: &[u8], head: &Head) -> (State, bool) {
        // A line with a time of its own is a record of a log, wherever it stands.
        if head.timestamp.is_none() {
            if self != State::Plain
                && let Some(next) = self.follow(line)
            {
                return (next, true);
            }
            if line.first().is_some_and(|byte| FIRST_BYTES.contains(byte)) {
                if let Some(next) = looks::frame(line) {
                    return (next, true);
                }
                if let Some(next) = looks::opening(line) {
                    return (next, false);
                }
            }
        }
        (Self::after_record(line, head), false)
    }

    /// The state after a line that is part of no trace.
    #[inline]
    fn after_record(line: &[u8], head: &Head) -> State {
        let is_trouble = match head.level {
            Level::Unknown => head.timestamp.is_some(),
            Level::Warn => head.timestamp.is_some(),
            level => level >= Level::Error,
        };
        // What a JSON record has to say of an error is inside it.
        let stands_alone = matches!(line.first(), None | Some(b'{' | b' ' | b'\t'));
        if is_trouble && !stands_alone { State::Record } else { State::Plain }
    }

    /// The next state, if the line goes on with what the state is about.
    fn follow(self, line: &[u8]) -> Option<State> {
        let indented = matches!(line.first(), Some(b' ' | b'\t')) && !looks::is_blank(line);
        match self {
            State::Plain => None,
            State::Record => looks::cause_of_record(line),
            State::Trace => (indented || looks::is_trace_line(line)).then_some(State::Trace),
            State::Python if indented => Some(State::Python),
            State::Python => looks::is_python_error(line).then_some(State::PythonError),
            State::PythonError if indented => Some(State::PythonError),
            State::PythonError if line.is_empty() || line == b"\r" => Some(State::PythonBlank),
            State::PythonError | State::PythonBlank => {
                looks::is_chained(line).then_some(State::PythonChained)
            }
            State::PythonChained if looks::is_blank(line) => Some(State::PythonChained),
            State::PythonChained => looks::is_traceback(line).then_some(State::Python),
            State::Go => {
                (indented || looks::is_blank(line) || looks::is_go_line(line)).then_some(State::Go)
            }
            State::RustPanic => Some(State::Rust),
            State::Rust => (indented || looks::is_rust_line(line)).then_some(State::Rust),
            State::NodeSource if indented || looks::is_blank(line) => Some(State::NodeSource),
            State::NodeSource if looks::is_throwable(line) => Some(State::Trace),
            State::NodeSource => looks::is_node_source_line(line).then_some(State::NodeSource),
        }
    }
}
