//! Docker's json-file: `{"log":"the text\n","stream":"stdout","time":"2026-08-20T10:00:00.5Z"}`.

use super::Part;
use super::unescape::unescape;
use crate::group::Side;
use crate::parse;

/// Appends a line's text, without the `\n` with which a whole line ends; `None` if it is no line of
/// this form.
pub(super) fn part(line: &[u8], text: &mut Vec<u8>) -> Option<Part> {
    let start = text.len();
    let (mut has_log, mut side, mut time) = (false, None, None);
    let mut rest = line.strip_prefix(b"{")?;
    loop {
        let (key, after) = plain_string(rest.trim_ascii_start())?;
        let value = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        rest = match key {
            b"log" if !has_log => {
                has_log = true;
                let value = value.strip_prefix(b"\"")?;
                &value[unescape(value, text)?..]
            }
            b"stream" => {
                let (name, after) = plain_string(value)?;
                side = Some(side_of(name)?);
                after
            }
            b"time" => {
                let (stamp, after) = plain_string(value)?;
                time = parse::leading_instant(stamp).map(|(time, _)| time);
                after
            }
            _ => after_value(value)?,
        };
        rest = match rest.trim_ascii_start().split_first()? {
            (b',', rest) => rest,
            (b'}', rest) if rest.trim_ascii().is_empty() => break,
            _ => return None,
        };
    }
    if !has_log {
        return None;
    }
    let ends = text.len() > start && text.last() == Some(&b'\n');
    if ends {
        text.pop();
    }
    Some(Part { side: side?, time, ends })
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

fn side_of(name: &[u8]) -> Option<Side> {
    match name {
        b"stdout" => Some(Side::Out),
        b"stderr" => Some(Side::Err),
        _ => None,
    }
}

/// A string without escapes, and what follows it.
fn plain_string(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let input = input.strip_prefix(b"\"")?;
    let end = memchr::memchr2(b'"', b'\\', input)?;
    (input[end] == b'"').then(|| (&input[..end], &input[end + 1..]))
}

/// What follows a value of any kind, nested or not.
fn after_value(input: &[u8]) -> Option<&[u8]> {
    let mut depth = 0usize;
    let mut at = 0;
    while at < input.len() {
        match input[at] {
            b'"' => {
                at += parse::quoted_len(&input[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 => return Some(&input[at..]),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
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
