//! The forms in which a line names a trace: `"trace_id":"x"`, `traceId=x`, `X-B3-TraceId: x`, W3C's
//! `traceparent` and Amazon's `X-Amzn-Trace-Id`.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while, take_while_m_n};
use nom::character::complete::{char, space0};
use nom::combinator::{opt, peek, recognize, value, verify};
use nom::sequence::{preceded, terminated};

use crate::parse::{Parsed, refused};

/// The longest id. One is 16 or 32 hex digits, or a decimal number of 64 or 128 bits, or a UUID, or
/// Amazon's.
pub(super) const ID_BYTES_MAX: usize = 64;
const ID_BYTES_MIN: usize = 8;
/// The shortest id behind a colon in plain text, where words may follow as well.
const HEADER_ID_BYTES_MIN: usize = 16;

/// What a key says that its value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Id,
    Parent,
}

/// How a value is tied to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tie {
    /// `"key":` or `key=`: only a value follows.
    Close,
    /// `key: `, as headers are written, and sentences too.
    Loose,
}

/// The id that a line names with a key in which `race` stands at `at`. It lies within the line.
pub(super) fn id_at(line: &[u8], at: usize) -> Option<&[u8]> {
    let start = at.checked_sub(1).filter(|start| matches!(line[*start], b't' | b'T'))?;
    let before = line[..start].last();
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'\\') {
        return None;
    }
    let (rest, (key, tie)) = (key, tie).parse(&line[at + b"race".len()..]).ok()?;
    let found = match key {
        Key::Id => id(rest, tie).or_else(|_| amazon_root(rest)),
        Key::Parent => parent(rest),
    };
    found.ok().map(|(_, id)| id)
}

/// What may follow the letters `trace` in a key (after any prefix such as `dd.`).
fn key(input: &[u8]) -> Parsed<'_, Key> {
    // Most traces are traces of something else.
    if !matches!(input.first(), Some(b'_' | b'.' | b'-' | b'i' | b'I' | b'p' | b'P')) {
        return refused();
    }
    let joint = take_while_m_n(0, 1, |byte: u8| matches!(byte, b'_' | b'.' | b'-'));
    let id = value(Key::Id, tag_no_case(&b"id"[..]));
    let parent = value(Key::Parent, tag_no_case(&b"parent"[..]));
    // The most usual spellings first.
    let usual = value(Key::Id, alt((tag(&b"_id"[..]), tag(&b"Id"[..]))));
    alt((usual, preceded(joint, alt((id, parent))))).parse(input)
}

/// What stands between a key and its value: `":"`, `": `, `=`, `="`, `: `.
fn tie(input: &[u8]) -> Parsed<'_, Tie> {
    let json = value(Tie::Close, tag(&b"\":\""[..]));
    let spaced = value(Tie::Close, (char('"'), space0, char(':'), space0));
    let assigned = value(Tie::Close, char('='));
    let header = value(Tie::Loose, (char(':'), space0));
    let others = terminated(alt((spaced, assigned, header)), opt(char('"')));
    alt((json, others)).parse(input)
}

/// An id that is all of the value.
fn id(input: &[u8], tie: Tie) -> Parsed<'_, &[u8]> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let (rest, found) = take_while(is_part).parse(input)?;
    let least = if tie == Tie::Loose { HEADER_ID_BYTES_MIN } else { ID_BYTES_MIN };
    let is_hex = || found.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let is_id = (least..=ID_BYTES_MAX).contains(&found.len())
        && (tie == Tie::Close || is_hex())
        && is_told(found)
        && !matches!(rest.first(), Some(b'\\' | b'.' | b'_' | b':'));
    if is_id { Ok((rest, found)) } else { refused() }
}

/// Whether an id says anything: neither zeros nor words such as `undefined` do.
fn is_told(id: &[u8]) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
    id.iter().any(|byte| matches!(byte, b'1'..=b'9'))
        || (id.iter().all(is_hex) && id.iter().any(u8::is_ascii_alphabetic))
}

/// The trace id in W3C's `traceparent`: `00-<32 hex digits>-<16 hex digits>-01`.
fn parent(input: &[u8]) -> Parsed<'_, &[u8]> {
    let version = verify(hex::<2>, |version: &[u8]| !version.eq_ignore_ascii_case(b"ff"));
    let id = verify(hex::<32>, |id: &[u8]| id.iter().any(|byte| *byte != b'0'));
    let (rest, (_, _, id, _, _, _)) =
        (version, char('-'), id, char('-'), hex::<16>, end).parse(input)?;
    Ok((rest, id))
}

/// The root in Amazon's header: `Root=1-<8 hex digits>-<24 hex digits>`, perhaps behind what a load
/// balancer has set, `Self=1-…;`.
fn amazon_root(input: &[u8]) -> Parsed<'_, &[u8]> {
    let own = opt((tag(&b"Self="[..]), amazon_id, char(';')));
    preceded((own, tag(&b"Root="[..])), terminated(amazon_id, end)).parse(input)
}

fn amazon_id(input: &[u8]) -> Parsed<'_, &[u8]> {
    recognize((tag(&b"1-"[..]), hex::<8>, char('-'), hex::<24>)).parse(input)
}

/// Exactly `N` hex digits.
fn hex<const N: usize>(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while_m_n(N, N, |byte: u8| byte.is_ascii_hexdigit()).parse(input)
}

/// Succeeds where no letter or digit follows.
fn end(input: &[u8]) -> Parsed<'_, ()> {
    let word = take_while_m_n(0, 1, |byte: u8| byte.is_ascii_alphanumeric());
    value((), peek(verify(word, <[u8]>::is_empty))).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const AMAZON: &str = "1-67891233-abcdef012345678912345678";
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn id_of(line: &str) -> Option<&str> {
        let mut hits = memchr::memmem::find_iter(line.as_bytes(), b"race");
        let id = hits.find_map(|at| id_at(line.as_bytes(), at))?;
        Some(std::str::from_utf8(id).expect("ASCII"))
    }

    #[test]
    fn keys_of_all_spellings() {
        for key in [
            "trace_id", "traceid", "traceId", "traceID", "TraceId", "trace-id", "Trace-Id",
            "trace.id",
        ] {
            for line in [
                format!("{key}={ID}"),
                format!(r#"x {key}="{ID}" y"#),
                format!(r#"{{"{key}":"{ID}"}}"#),
                format!(r#"{{"{key}" : "{ID}", "n":1}}"#),
                format!("{key}: {ID}"),
                format!("X-B3-{key}:{ID}, more"),
                format!("({key}={ID})"),
            ] {
                assert_eq!(id_of(&line), Some(ID), "{line}");
            }
        }
    }

    #[test]
    fn amazon_headers() {
        for line in [
            format!("X-Amzn-Trace-Id: Root={AMAZON};Parent=53995c3f42cd8ad8;Sampled=1"),
            format!("x-amzn-trace-id: Root={AMAZON}"),
            format!("X-Amzn-Trace-Id: Self=1-67891234-12456789abcdef012345678a;Root={AMAZON};x=y"),
            format!(r#"{{"X-Amzn-Trace-Id":"Root={AMAZON};Sampled=0"}}"#),
            format!("XRAY TraceId: {AMAZON} SegmentId: 5e1b2a3c"),
            format!("xray_trace_id={AMAZON}"),
        ] {
            assert_eq!(id_of(&line), Some(AMAZON), "{line}");
        }
        for line in [
            "X-Amzn-Trace-Id: Root=1-67891233-abcdef01234567891234567",
            "X-Amzn-Trace-Id: Root=1-67891233-abcdef0123456789123456789",
            "X-Amzn-Trace-Id: Root=2-67891233-abcdef012345678912345678",
            "X-Amzn-Trace-Id: Parent=53995c3f42cd8ad8",
            "X-Amzn-Trace-Id: Root=",
        ] {
            assert_eq!(id_of(line), None, "{line}");
        }
    }

    #[test]
    fn w3c_parents() {
        for line in [
            format!("traceparent={PARENT}"),
            format!("traceparent: {PARENT}"),
            format!("> Traceparent: {PARENT}"),
            format!(r#"{{"traceparent":"{PARENT}"}}"#),
            format!("TraceParent={}", &PARENT[..PARENT.len() - 3]),
        ] {
            assert_eq!(id_of(&line), Some(ID), "{line}");
        }
        for line in [
            format!("traceparent={}", PARENT.replacen("00-", "ff-", 1)),
            format!("traceparent={}", PARENT.replacen(ID, &"0".repeat(32), 1)),
            format!("traceparent={}", PARENT.replacen("4bf9", "xbf9", 1)),
            format!("traceparent={}", &PARENT[..PARENT.len() - 4]),
            format!("traceparent={}", PARENT.replacen("02b7", "02b77", 1)),
            format!("traceparent {PARENT}"),
        ] {
            assert_eq!(id_of(&line), None, "{line}");
        }
    }

    #[test]
    fn words_are_none() {
        for line in [
            "trace id: 4bf92f3577b34da6",
            "traceid: the request was 4bf92f3577b34da6",
            "trace-id: missing-or-malformed-1",
            "traceid=undefined",
            "trace_id=not-there",
            r#"{"traceId":"disabled"}"#,
            "trace-id: 12345678",
            "trace_id: 0000000000000000",
            "traceidle=4bf92f3577b34da6",
            "trace--id=4bf92f3577b34da6",
            "stacktraceid=4bf92f3577b34da6",
            "trace_id=4bf92f3577b34da6:1",
            "trace_id=4bf92f3577b34da6.1",
            "traceroute-id=4bf92f3577b34da6",
        ] {
            assert_eq!(id_of(line), None, "{line}");
        }
    }
}
