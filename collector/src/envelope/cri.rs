//! The Kubernetes container runtime interface: `2016-10-06T00:17:09.669794202Z stdout F the text`.

use super::Part;
use crate::group::Side;
use crate::parse;

/// Appends a line's text; `None` if it is no line of this form.
pub(super) fn part(line: &[u8], text: &mut Vec<u8>) -> Option<Part> {
    let (time, rest) = parse::leading_instant(line)?;
    let (side, rest) = match rest.split_at_checked(b" stdout ".len())? {
        (b" stdout ", rest) => (Side::Out, rest),
        (b" stderr ", rest) => (Side::Err, rest),
        _ => return None,
    };
    // A line without text may lack the blank before it.
    let (tags, body) = match memchr::memchr(b' ', rest) {
        Some(blank) => (&rest[..blank], &rest[blank + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    let ends = match tags {
        [b'F'] | [b'F', b':', ..] => true,
        [b'P'] | [b'P', b':', ..] => false,
        _ => return None,
    };
    text.extend_from_slice(body);
    Some(Part { side, time: Some(time), ends })
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
