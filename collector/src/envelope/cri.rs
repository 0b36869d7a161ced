//! The Kubernetes container runtime interface: `2016-10-06T00:17:09.669794202Z stdout F the text`.

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till};
use nom::character::complete::char;
use nom::combinator::{eof, opt, value};
use nom::sequence::preceded;

use super::Part;
use crate::group::Side;
use crate::parse::{self, Parsed, accept};

/// Appends a line's text; `None` if it is no line of this form.
pub(super) fn part(line: &[u8], text: &mut Vec<u8>) -> Option<Part> {
    let (body, part) = head(line).ok()?;
    text.extend_from_slice(body);
    Some(part)
}

/// All that stands before the text.
fn head(line: &[u8]) -> Parsed<'_, Part> {
    let (rest, time) = instant(line)?;
    let (rest, (side, ends)) = (side, tags).parse(rest)?;
    Ok((rest, Part { side, time: Some(time), ends }))
}

fn instant(input: &[u8]) -> Parsed<'_, i64> {
    let found = parse::leading_instant(input);
    accept(found.map_or(input, |(_, rest)| rest), found.map(|(time, _)| time))
}

fn side(input: &[u8]) -> Parsed<'_, Side> {
    let out = value(Side::Out, tag(&b" stdout "[..]));
    let err = value(Side::Err, tag(&b" stderr "[..]));
    alt((out, err)).parse(input)
}

/// `F` for the end of a line or `P` for a part, and the blank before the text.
fn tags(input: &[u8]) -> Parsed<'_, bool> {
    let full = value(true, tag(&b"F "[..]));
    let part = value(false, tag(&b"P "[..]));
    alt((full, part, rare_tags)).parse(input)
}

/// The same with other tags behind it, or without the blank, which a line without text may lack.
fn rare_tags(input: &[u8]) -> Parsed<'_, bool> {
    let ends = alt((value(true, char('F')), value(false, char('P'))));
    let others = opt(preceded(char(':'), take_till(|byte| byte == b' ')));
    let blank = alt((value((), char(' ')), value((), eof)));
    let (rest, (ends, _, ())) = (ends, others, blank).parse(input)?;
    Ok((rest, ends))
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
        let time = Some(1_475_713_029_669_794_202);
        let out = Part { side: Side::Out, time, ends: true };
        let err = Part { side: Side::Err, time, ends: false };
        for (line, part, text) in [
            ("2016-10-06T00:17:09.669794202Z stdout F the text", out, "the text"),
            ("2016-10-06T02:17:09.669794202+02:00 stdout F  two", out, " two"),
            ("2016-10-06T00:17:09.669794202Z stdout F ", out, ""),
            ("2016-10-06T00:17:09.669794202Z stdout F", out, ""),
            ("2016-10-06T00:17:09.669794202Z stderr P:x:y part", err, "part"),
        ] {
            assert_eq!(parsed(line), Some((part, text.to_owned())), "{line}");
        }
    }

    #[test]
    fn other_lines_do_not_fit() {
        for line in [
            "",
            "2016-10-06T00:17:09.669794202Z",
            "2016-10-06T00:17:09.669794202Z stdout",
            "2016-10-06T00:17:09.669794202Z stdout ",
            "2016-10-06T00:17:09.669794202Z stdin F x",
            "2016-10-06T00:17:09.669794202Z stdout X x",
            "2016-10-06T00:17:09.669794202Z stdout FF x",
            "2016-10-06 00:17:09.669794202 stdout F x",
            "soon stdout F x",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}
