//! Finds the time and the level of a JSON or logfmt line under their usual keys.

use memchr::{memchr, memchr_iter, memchr2, memrchr};
use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use sawlog_transport::Level;

use super::level::value_level;
use super::number::{Parsed, refused};
use super::timestamp::{self, Timestamp};

/// What the caller asks for; the search ends when all of it is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) time: bool,
    pub(super) level: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) time: Option<Timestamp>,
    pub(super) level: Option<Level>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Time,
    Level,
}

/// The longest key that [`Key::of`] knows.
const KEY_BYTES_MAX: usize = "@timestamp".len();

impl Key {
    fn of(name: &[u8]) -> Option<Self> {
        // Nearly every key is told apart by its length and first letter.
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 => is(b"ts").then_some(Self::Time),
            3 => is(b"lvl").then_some(Self::Level),
            4 => is(b"time").then_some(Self::Time),
            5 => is(b"level").then_some(Self::Level),
            8 => is(b"severity").then_some(Self::Level),
            9 if is(b"timestamp") => Some(Self::Time),
            9 => (is(b"log.level") || is(b"levelname")).then_some(Self::Level),
            10 => is(b"@timestamp").then_some(Self::Time),
            _ => None,
        }
    }
}

impl Fields {
    /// Keeps a value (with its opening quote, if any); the first that means something counts.
    fn take(&mut self, key: Key, value: &[u8]) {
        match key {
            Key::Time if self.time.is_none() => {
                let bare = value.strip_prefix(b"\"").unwrap_or(value);
                self.time = timestamp::leading(bare).ok().map(|(_, time)| time);
            }
            Key::Level if self.level.is_none() => self.level = value_level(value),
            _ => {}
        }
    }

    fn has(&self, wanted: Wanted) -> bool {
        (!wanted.time || self.time.is_some()) && (!wanted.level || self.level.is_some())
    }
}

/// Searches a line that begins with `{`. Keys inside nested objects count; text inside strings does
/// not, since its quotes are escaped.
pub(super) fn json(line: &[u8], wanted: Wanted) -> Fields {
    let mut found = Fields::default();
    for colon in memchr_iter(b':', line) {
        if let Some(key) = key_before(&line[..colon]) {
            found.take(key, line[colon + 1..].trim_ascii_start());
            if found.has(wanted) {
                break;
            }
        }
    }
    found
}

/// The key that ends, quoted, just before a colon.
#[inline]
fn key_before(before: &[u8]) -> Option<Key> {
    let unquoted = match before {
        [unquoted @ .., b'"'] => unquoted,
        [.., b' ' | b'\t'] => before.trim_ascii_end().strip_suffix(b"\"")?,
        _ => return None,
    };
    // Most other keys end otherwise than those that count.
    if !matches!(unquoted.last()?.to_ascii_lowercase(), b'e' | b'l' | b'p' | b's' | b'y') {
        return None;
    }
    let tail = &unquoted[unquoted.len().saturating_sub(KEY_BYTES_MAX + 1)..];
    let open = memrchr(b'"', tail)?;
    Key::of(&tail[open + 1..])
}

/// Whether a line begins as logfmt does: with a key and `=`.
#[inline]
pub(super) fn is_logfmt(line: &[u8]) -> bool {
    matches!(logfmt_key(line), Ok((rest, _)) if rest.first() == Some(&b'='))
}

fn logfmt_key(input: &[u8]) -> Parsed<'_, &[u8]> {
    if input.first().is_none_or(u8::is_ascii_digit) {
        return refused();
    }
    take_while1(|byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@')
    })
    .parse(input)
}

/// Searches `key=value` pairs; bare words between them are skipped, and quoted values are one value.
pub(super) fn logfmt(line: &[u8], wanted: Wanted) -> Fields {
    let mut found = Fields::default();
    let mut rest = line;
    while !rest.is_empty() && !found.has(wanted) {
        rest = match logfmt_pair(rest) {
            Ok((after, (name, value))) => {
                if let Some(key) = Key::of(name) {
                    found.take(key, value);
                }
                after
            }
            Err(_) => skip_word(rest),
        };
    }
    found
}

fn logfmt_pair(input: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    let (rest, (name, _)) = (logfmt_key, char('=')).parse(input)?;
    let (value, rest) = rest.split_at(match rest.first() {
        Some(b'"') => quoted_len(rest),
        _ => memchr(b' ', rest).unwrap_or(rest.len()),
    });
    Ok((rest, (name, value)))
}

/// Skips to behind the next blank.
fn skip_word(input: &[u8]) -> &[u8] {
    memchr(b' ', input).map_or(&[], |blank| &input[blank + 1..])
}

/// The length of the quoted text that the input begins with, quotes included; all of the input if
/// its end is not there.
pub(crate) fn quoted_len(input: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr2(b'"', b'\\', &input[at..]) {
        at += found + 1;
        if input[at - 1] == b'"' {
            return at;
        }
        // The escaped byte may lie beyond what is looked at.
        at = (at + 1).min(input.len());
    }
    input.len()
}
