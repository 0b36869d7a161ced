//! What the lines of traces look like. Each test looks at a few bytes before it looks at more. Nothing is
//! taken out of a line here: these are questions to a line, not parsers.

use memchr::memmem;

use super::state::State;

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// A line that can only be part of a trace, whatever stands before it.
pub(super) fn frame(line: &[u8]) -> Option<State> {
    let body = line.trim_ascii_start();
    let indented = body.len() < line.len();
    let is_frame = match body.first()? {
        b'a' if indented => body.strip_prefix(b"at ").is_some_and(is_call_place),
        b'f' if indented => body.starts_with(b"from ") && memmem::find(body, b":in ").is_some(),
        b'.' => is_elided(body),
        b'C' => body.starts_with(b"Caused by: "),
        b'S' if indented => body.starts_with(b"Suppressed: "),
        b'-' => body.starts_with(b"--- End of ") || (indented && body.starts_with(b"---> ")),
        b's' if !indented => {
            return (body.trim_ascii_end() == b"stack backtrace:").then_some(State::Rust);
        }
        _ => false,
    };
    is_frame.then_some(State::Trace)
}

/// What follows `at `: `com.example.Pool.open(Pool.java:12)`, `/app/index.js:3:9`,
/// `Shop.Cart.Pay() in /src/Cart.cs:line 7`.
fn is_call_place(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_end();
    let is_call = memchr::memchr(b'(', rest)
        .is_some_and(|open| open > 0 && memchr::memchr(b')', &rest[open..]).is_some());
    is_call || ends_in_line_number(rest)
}

/// `:12` at the end, behind something.
fn ends_in_line_number(text: &[u8]) -> bool {
    let digits = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && text.len() > digits + 1 && text[text.len() - digits - 1] == b':'
}

/// `... 12 more`, `... 3 common frames omitted`.
fn is_elided(body: &[u8]) -> bool {
    let Some(rest) = body.strip_prefix(b"... ") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest[digits..].trim_ascii_end();
    digits > 0 && (rest == b" more" || rest == b" common frames omitted")
}

/// A line with which a trace begins that would not be known by its further lines.
pub(super) fn opening(line: &[u8]) -> Option<State> {
    match line.first()? {
        b' ' => line
            .trim_ascii_start()
            .starts_with(b"+ Exception Group Traceback")
            .then_some(State::Trace),
        b'T' => is_traceback(line).then_some(State::Python),
        b'p' => line.starts_with(b"panic: ").then_some(State::Go),
        b'g' => is_goroutine(line).then_some(State::Go),
        b'f' if line.starts_with(b"fatal error: ") => Some(State::Go),
        b'S' => {
            (line.starts_with(b"SIG") && memmem::find(line, b": ").is_some()).then_some(State::Go)
        }
        b't' => rust_panic(line),
        b'/' | b'n' | b'f' => is_node_source(line).then_some(State::NodeSource),
        _ => None,
    }
}

pub(super) fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// What follows a record of a log and belongs to it.
pub(super) fn cause_of_record(line: &[u8]) -> Option<State> {
    if is_traceback(line) {
        return Some(State::Python);
    }
    if is_goroutine(line) {
        return Some(State::Go);
    }
    is_throwable(line).then_some(State::Trace)
}

/// `java.lang.IllegalStateException: message`, `TypeError: message`, `KeyError`.
pub(super) fn is_throwable(line: &[u8]) -> bool {
    let Some((name, rest)) = leading_name(line) else { return false };
    let is_named =
        [&b"Exception"[..], b"Error", b"Throwable"].iter().any(|end| name.ends_with(end));
    is_named && (rest.is_empty() || rest.starts_with(b":") || rest.starts_with(b" ["))
}

/// A dotted name at the start of a line, and what follows it.
fn leading_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii_end();
    if !line.first()?.is_ascii_alphabetic() && line[0] != b'_' {
        return None;
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
    let length = line.iter().take_while(|byte| is_name(byte)).count();
    Some(line.split_at(length))
}

/// A line without indentation inside a trace whose lines are indented otherwise.
pub(super) fn is_trace_line(line: &[u8]) -> bool {
    match line.first() {
        Some(b'C') => line.starts_with(b"Caused by: ") || line.trim_ascii_end() == b"Caused by:",
        Some(b'S') => line.starts_with(b"Suppressed: "),
        Some(b'}' | b']') => line.trim_ascii_end().len() == 1,
        _ => memmem::find(line, b".rb:")
            .is_some_and(|at| memmem::find(&line[at..], b":in ").is_some()),
    }
}

pub(super) fn is_traceback(line: &[u8]) -> bool {
    line.starts_with(TRACEBACK)
}

/// The last line of a traceback: `ValueError: message`, `KeyboardInterrupt`, and Ruby's
/// ``app.rb:2:in `run': message (RuntimeError)``.
pub(super) fn is_python_error(line: &[u8]) -> bool {
    match leading_name(line) {
        Some((_, rest)) if rest.is_empty() || rest.starts_with(b":") => true,
        _ => memmem::find(line, b":in ").is_some(),
    }
}

/// What Python says between two errors of which one came of the other.
pub(super) fn is_chained(line: &[u8]) -> bool {
    line.starts_with(b"During handling of the above exception")
        || line.starts_with(b"The above exception was the direct cause")
}

fn is_goroutine(line: &[u8]) -> bool {
    line.strip_prefix(b"goroutine ").is_some_and(|rest| {
        rest.first().is_some_and(u8::is_ascii_digit) && memchr::memchr(b'[', rest).is_some()
    })
}

/// A line without indentation in a dump of goroutines.
pub(super) fn is_go_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    const STARTS: [&[u8]; 7] = [
        b"created by ",
        b"[signal ",
        b"[recovered",
        b"[originating from ",
        b"...additional frames elided",
        b"exit status ",
        b"PC=",
    ];
    STARTS.iter().any(|start| line.starts_with(start))
        || is_goroutine(line)
        || is_go_call(line)
        || is_register(line)
}

/// `main.(*Server).run(0xc000012345)`, `panic({0x45e0a0, 0x48d0d8})`.
fn is_go_call(line: &[u8]) -> bool {
    let Some(open) = memchr::memchr(b'(', line) else { return false };
    let name = &line[..open];
    let is_name = memchr::memchr(b' ', name).is_none()
        && (name == b"panic" || memchr::memchr(b'.', name).is_some());
    is_name && line.ends_with(b")")
}

/// `rax    0xca`.
fn is_register(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    (2..=6).contains(&name)
        && line.get(name) == Some(&b' ')
        && line[name..].trim_ascii_start().starts_with(b"0x")
}

/// `thread 'main' panicked at src/main.rs:2:5:`; before Rust 1.73 the message stood in the same line.
fn rust_panic(line: &[u8]) -> Option<State> {
    if !line.starts_with(b"thread '") {
        return None;
    }
    memmem::find(line, b" panicked at ")?;
    Some(if line.trim_ascii_end().ends_with(b":") { State::RustPanic } else { State::Rust })
}

pub(super) fn is_rust_line(line: &[u8]) -> bool {
    line.starts_with(b"note: ") || line.trim_ascii_end() == b"stack backtrace:"
}

/// `/app/index.js:3`, `node:internal/process/promises:288`: where an error was thrown.
fn is_node_source(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    if !ends_in_line_number(line) || memchr::memchr(b' ', line).is_some() {
        return false;
    }
    let is_script = || {
        [&b".js:"[..], b".mjs:", b".cjs:", b".ts:"]
            .iter()
            .any(|end| memmem::find(line, end).is_some())
    };
    line.starts_with(b"node:internal/")
        || ((line.starts_with(b"/") || line.starts_with(b"file://")) && is_script())
}

/// A line without indentation between that place and the error.
pub(super) fn is_node_source_line(line: &[u8]) -> bool {
    [&b"^"[..], b"throw ", b"Uncaught", b"[", b"Error "].iter().any(|start| line.starts_with(start))
}
