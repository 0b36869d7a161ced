//! The zone behind a time of day, as seconds east of UTC.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::combinator::{opt, value};

use super::super::number::{Parsed, no_digit, pair, refused};

/// `Z`, `+02:00`, `+0200` or `+02` at once, or ` +0200`, ` UTC`, ` GMT` after a blank; `None`, and
/// nothing taken, if there is no zone.
#[inline]
pub(super) fn zone(input: &[u8]) -> Parsed<'_, Option<i32>> {
    match input {
        [b'Z' | b'z', rest @ ..] => Ok((rest, Some(0))),
        [b'+' | b'-', ..] => opt(alt((minute_offset, hour_offset))).parse(input),
        [b' ', rest @ ..] => {
            spaced(rest).map(|(rest, zone)| (rest, Some(zone))).or(Ok((input, None)))
        }
        _ => Ok((input, None)),
    }
}

/// What follows a blank must be a whole offset, or a name, to be taken for a zone.
#[inline]
fn spaced(input: &[u8]) -> Parsed<'_, i32> {
    match input.first() {
        Some(b'+' | b'-') => minute_offset(input),
        Some(b'U' | b'G') => value(0, alt((tag(&b"UTC"[..]), tag(&b"GMT"[..])))).parse(input),
        _ => refused(),
    }
}

/// `+02:00` or `+0200`.
fn minute_offset(input: &[u8]) -> Parsed<'_, i32> {
    let (sign, hours, minutes, rest) = match *input {
        [sign, h, hh, b':', m, mm, ref rest @ ..] => (sign, pair(h, hh), pair(m, mm), rest),
        [sign, h, hh, m, mm, ref rest @ ..] => (sign, pair(h, hh), pair(m, mm), rest),
        _ => return refused(),
    };
    seconds(sign, hours, minutes, rest)
}

/// `+02`.
fn hour_offset(input: &[u8]) -> Parsed<'_, i32> {
    match *input {
        [sign, h, hh, ref rest @ ..] => seconds(sign, pair(h, hh), 0, rest),
        _ => refused(),
    }
}

/// No zone lies further than 14 hours from UTC; no digit may follow.
fn seconds(sign: u8, hours: u32, minutes: u32, rest: &[u8]) -> Parsed<'_, i32> {
    let (rest, ()) = no_digit(rest)?;
    if hours > 14 || minutes > 59 {
        return refused();
    }
    let size = (hours * 3600 + minutes * 60) as i32;
    match sign {
        b'+' => Ok((rest, size)),
        b'-' => Ok((rest, -size)),
        _ => refused(),
    }
}
