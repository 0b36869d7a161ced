//! Docker's json-file: `{"log":"the text\n","stream":"stdout","time":"2026-08-20T10:00:00.5Z"}`.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::char;
use nom::combinator::{eof, opt, value};
use nom::sequence::{delimited, preceded, terminated};

use super::Part;
use super::unescape::unescape;
use crate::group::Side;
use crate::parse::{self, Parsed, accept, refused};

/// Appends a line's text, without the `\n` with which a whole line ends; `None` if it is no line of
/// this form.
pub(super) fn part(line: &[u8], text: &mut Vec<u8>) -> Option<Part> {
    let start = text.len();
    let (_, members) = object(line, text).ok()?;
    if !members.has_log {
        return None;
    }
    let ends = text.len() > start && text.last() == Some(&b'\n');
    if ends {
        text.pop();
    }
    Some(Part { side: members.side?, time: members.time, ends })
}

/// Appends the text of a line whose end is not there, as far as it goes; the line itself if it does
/// not begin as it should.
pub(super) fn fragment(line: &[u8], text: &mut Vec<u8>) {
    let start = text.len();
    match line.strip_prefix(b"{\"log\":\"") {
        Some(value) => {
            // Without an end, what is there is the text.
            if unescape(value, text).is_some() && text.len() > start && text.last() == Some(&b'\n')
            {
                text.pop();
            }
        }
        None => text.extend_from_slice(line),
    }
}

/// What was found so far.
#[derive(Default)]
struct Members {
    has_log: bool,
    side: Option<Side>,
    time: Option<i64>,
}

/// What Docker itself writes behind the text: the other members in their order, and no blanks.
fn usual_end(input: &[u8]) -> Parsed<'_, (Side, i64)> {
    let out = value(Side::Out, tag(&b",\"stream\":\"stdout\","[..]));
    let err = value(Side::Err, tag(&b",\"stream\":\"stderr\","[..]));
    let attributes = opt((tag(&b"\"attrs\":"[..]), other_value, char(',')));
    let time = tag(&b"\"time\":\""[..]);
    let (rest, (side, _, _)) = (alt((out, err)), attributes, time).parse(input)?;
    let Some((time, rest)) = parse::leading_instant(rest) else { return refused() };
    let (rest, _) = (tag(&b"\"}"[..]), eof).parse(rest)?;
    Ok((rest, (side, time)))
}

/// Members in any order, and others between them; appends the text to `text`.
fn object<'a>(line: &'a [u8], text: &mut Vec<u8>) -> Parsed<'a, Members> {
    let mut members = Members::default();
    let (mut rest, _) = char('{').parse(line)?;
    loop {
        let (behind, name) = key(rest)?;
        rest = match name {
            b"log" if !members.has_log => {
                members.has_log = true;
                let (rest, ()) = log(behind, text)?;
                if let Ok((rest, (side, time))) = usual_end(rest) {
                    (members.side, members.time) = (Some(side), Some(time));
                    return Ok((rest, members));
                }
                rest
            }
            b"stream" => {
                let (rest, side) = side(behind)?;
                members.side = Some(side);
                rest
            }
            b"time" => {
                let (rest, stamp) = plain_string(behind)?;
                members.time = parse::leading_instant(stamp).map(|(time, _)| time);
                rest
            }
            _ => other_value(behind)?.0,
        };
        let more = alt((value(true, char(',')), value(false, char('}'))));
        let (after, more) = delimited(blanks, more, blanks).parse(rest)?;
        if !more {
            return eof(after).map(|(rest, _)| (rest, members));
        }
        rest = after;
    }
}

#[inline]
fn blanks(input: &[u8]) -> Parsed<'_, ()> {
    Ok((input.trim_ascii_start(), ()))
}

/// A name and the colon behind it.
#[inline]
fn key(input: &[u8]) -> Parsed<'_, &[u8]> {
    let colon = (blanks, char(':'), blanks);
    preceded(blanks, terminated(plain_string, colon)).parse(input)
}

/// A string without escapes.
#[inline]
fn plain_string(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, _) = char('"').parse(input)?;
    // Many bytes at once, which nom's own parsers look at one by one.
    let Some(end) = memchr::memchr2(b'"', b'\\', rest) else { return refused() };
    let (text, rest) = rest.split_at(end);
    let (rest, _) = char('"').parse(rest)?;
    Ok((rest, text))
}

/// The text that was written, which may have escapes.
fn log<'a>(input: &'a [u8], text: &mut Vec<u8>) -> Parsed<'a, ()> {
    let (rest, _) = char('"').parse(input)?;
    let end = unescape(rest, text);
    accept(&rest[end.unwrap_or(0)..], end.map(|_| ()))
}

fn side(input: &[u8]) -> Parsed<'_, Side> {
    let out = value(Side::Out, tag(&b"\"stdout\""[..]));
    let err = value(Side::Err, tag(&b"\"stderr\""[..]));
    alt((out, err)).parse(input)
}

/// Skips a value of any kind, nested or not, to the mark behind it.
fn other_value(input: &[u8]) -> Parsed<'_, ()> {
    let is_mark = |byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',');
    let mut depth = 0usize;
    let mut rest = input;
    loop {
        (rest, _) = take_till(is_mark).parse(rest)?;
        let length = match rest.first() {
            None => return refused(),
            Some(b'"') => parse::quoted_len(rest),
            Some(b'}' | b']' | b',') if depth == 0 => return Ok((rest, ())),
            Some(mark) => {
                match mark {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                1
            }
        };
        rest = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(Part, String)> {
        let mut text = Vec::new();
        let part = part(line.as_bytes(), &mut text)?;
        Some((part, String::from_utf8(text).expect("text")))
    }

    #[test]
    fn takes_the_form_apart() {
        let time = Some(1_700_000_000_500_000_000);
        let out = Part { side: Side::Out, time, ends: true };
        for (line, part, text) in [
            (
                r#"{"log":"a \"b\"\n","stream":"stdout","time":"2023-11-14T22:13:20.5Z"}"#,
                out,
                r#"a "b""#,
            ),
            (r#"{"log":"\n","stream":"stdout","time":"2023-11-14T22:13:20.5Z"}"#, out, ""),
            (
                r#"{"log":"x","stream":"stderr","time":"2023-11-14T22:13:20.5Z"}"#,
                Part { side: Side::Err, time, ends: false },
                "x",
            ),
            (
                r#"{ "time" : "2023-11-14T22:13:20.5Z", "attrs":{"a":["}\"",1]}, "n":1, "stream":"stdout" , "log":"x\n" } "#,
                out,
                "x",
            ),
            (
                r#"{"log":"x\r\n","stream":"stdout","time":"never"}"#,
                Part { time: None, ..out },
                "x\r",
            ),
        ] {
            assert_eq!(parsed(line), Some((part, text.to_owned())), "{line}");
        }
    }

    #[test]
    fn other_lines_do_not_fit() {
        for line in [
            "",
            "{}",
            "plain",
            r#"{"log":"x\n"}"#,
            r#"{"log":"x\n","stream":"file"}"#,
            r#"{"log":"x\n","log":"y\n","stream":"stdout"#,
            r#"{"log":1,"stream":"stdout"}"#,
            r#"{"log":"x\n","stream":"stdout"} more"#,
            r#"{"log":"x\n","stream":"stdout""#,
            r#"{"msg":"x\n","stream":"stdout"}"#,
            r#"{"log":"x\n","stream":"stdout","n":[1"#,
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn a_fragment_gives_what_is_there() {
        for (line, expected) in [
            (r#"{"log":"a \"b"#, r#"a "b"#),
            (r#"{"log":"a \"#, r"a \"),
            (r#"{"log":"a\n","str"#, "a"),
            (r#"{"lo"#, r#"{"lo"#),
        ] {
            let mut text = Vec::new();
            fragment(line.as_bytes(), &mut text);
            assert_eq!(String::from_utf8_lossy(&text), expected, "{line}");
        }
    }
}
