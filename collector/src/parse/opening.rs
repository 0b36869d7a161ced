//! What stands at the start of a line: margin, `<priority>`, time, and where the text after it begins.

use memchr::memchr;
use nom::Parser;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::character::complete::char;
use nom::combinator::{opt, verify};
use nom::sequence::delimited;
use sawlog_transport::Level;

use super::PREFIX_BYTES;
use super::number::{Parsed, count_digits, digits, refused};
use super::timestamp::{self, Timestamp};

/// What a line begins with, and what is left of it.
pub(super) struct Opening<'a> {
    pub(super) timestamp: Option<Timestamp>,
    /// A level that the opening itself tells: glog's letter, syslog's priority.
    pub(super) level: Option<Level>,
    /// Whether the line opens as HTTP access lines do.
    pub(super) is_access: bool,
    pub(super) rest: &'a [u8],
}

/// Skips a byte order mark, blanks and colours (ANSI escapes).
#[inline]
pub(super) fn skip_margin(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line.first() {
            Some(b' ' | b'\t') => &line[1..],
            Some(0xef) => match line.strip_prefix(b"\xef\xbb\xbf") {
                Some(rest) => rest,
                None => return line,
            },
            Some(0x1b) => match colour(line) {
                Ok((rest, _)) => rest,
                Err(_) => return line,
            },
            _ => return line,
        };
    }
}

/// `ESC [ 1 ; 3 1 m`, at most 16 bytes of parameters.
pub(super) fn colour(input: &[u8]) -> Parsed<'_, &[u8]> {
    let parameters = take_while_m_n(0, 16, |byte: u8| byte.is_ascii_digit() || byte == b';');
    delimited(tag(&b"\x1b["[..]), parameters, char('m')).parse(input)
}

/// Reads the opening of a line whose margin is skipped.
#[inline]
pub(super) fn opening(body: &[u8]) -> Opening<'_> {
    let (after_priority, priority) = match body.first() {
        Some(b'<') => priority(body).map_or((body, None), |(rest, level)| (rest, Some(level))),
        _ => (body, None),
    };
    let (unbracketed, bracket) = match after_priority.first() {
        Some(b'[') => (&after_priority[1..], true),
        _ => (after_priority, false),
    };
    if let Ok((rest, (glog_level, time))) = stamp(unbracketed) {
        let rest = if bracket { rest.strip_prefix(b"]").unwrap_or(rest) } else { rest };
        let is_access = bracket && before_request(rest);
        return Opening { timestamp: Some(time), level: priority.or(glog_level), is_access, rest };
    }
    match access(after_priority) {
        Ok((rest, time)) => {
            Opening { timestamp: Some(time), level: priority, is_access: true, rest }
        }
        Err(_) => {
            Opening { timestamp: None, level: priority, is_access: false, rest: after_priority }
        }
    }
}

#[inline]
fn stamp(input: &[u8]) -> Parsed<'_, (Option<Level>, Timestamp)> {
    if let Some(b'I' | b'W' | b'E' | b'F') = input.first()
        && let Ok((rest, (level, time))) = timestamp::glog(input)
    {
        return Ok((rest, (Some(level), time)));
    }
    timestamp::leading(input).map(|(rest, time)| (rest, (None, time)))
}

/// syslog's `<13>`, and RFC 5424's version after it.
fn priority(input: &[u8]) -> Parsed<'_, Level> {
    let (rest, priority) = delimited(char('<'), priority_number, char('>')).parse(input)?;
    let (rest, _) = opt((digits::<1>, char(' '))).parse(rest)?;
    Ok((rest, severity(priority % 8)))
}

fn priority_number(input: &[u8]) -> Parsed<'_, u32> {
    let known = |number: &u32| *number < 24 * 8;
    match count_digits(input, 4) {
        1 => digits::<1>(input),
        2 => digits::<2>(input),
        3 => verify(digits::<3>, known).parse(input),
        _ => refused(),
    }
}

/// RFC 5424's severities, 0 (the system is unusable) to 7 (debugging).
fn severity(number: u32) -> Level {
    match number {
        0 => Level::Fatal,
        1 | 2 => Level::Critical,
        3 => Level::Error,
        4 => Level::Warn,
        5 | 6 => Level::Info,
        _ => Level::Debug,
    }
}

/// Whether a quoted request follows, as it does after an access line's date.
fn before_request(rest: &[u8]) -> bool {
    rest.starts_with(b" \"")
}

/// The common log format up to its date: host, identity and user (before them perhaps the virtual
/// host), then `[14/Nov/2023:22:13:20 +0000]`. The request must follow.
fn access(body: &[u8]) -> Parsed<'_, Timestamp> {
    let searched = &body[..body.len().min(PREFIX_BYTES)];
    let Some(bracket) = memchr(b'[', searched) else { return refused() };
    // Most brackets hold no date: look at its fixed bytes before anything else.
    let (names, date) = (&body[..bracket], &body[bracket..]);
    if date.get(3) != Some(&b'/') || date.get(7) != Some(&b'/') || !names.ends_with(b" ") {
        return refused();
    }
    if !(3..=4).contains(&names.iter().filter(|byte| **byte == b' ').count()) {
        return refused();
    }
    let (rest, time) = delimited(char('['), timestamp::access_date, char(']')).parse(date)?;
    if before_request(rest) { Ok((rest, time)) } else { refused() }
}
