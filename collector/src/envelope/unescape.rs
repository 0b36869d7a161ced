//! The text of a JSON string, found by its quotes and backslashes.

/// Appends the text of a string whose opening quote is behind; gives where its closing quote ends, or
/// `None` (with all of it appended) if it has none.
///
/// An escape that says nothing valid, half of a pair of surrogates, and a line end inside the text stay
/// as they are written: a line stays one line, and nothing of it is lost.
pub(super) fn unescape(input: &[u8], text: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let Some(found) = memchr::memchr2(b'"', b'\\', &input[at..]) else {
            text.extend_from_slice(&input[at..]);
            return None;
        };
        text.extend_from_slice(&input[at..at + found]);
        at += found;
        if input[at] == b'"' {
            return Some(at + 1);
        }
        at += escape(&input[at..], text);
    }
}

/// Appends what an escape stands for; gives its length.
fn escape(input: &[u8], text: &mut Vec<u8>) -> usize {
    let byte = match input.get(1) {
        Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
        Some(b'n') if input.get(2) == Some(&b'"') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(b'u') => return unicode(input, text),
        _ => {
            let length = input.len().min(2);
            text.extend_from_slice(&input[..length]);
            return length;
        }
    };
    text.push(byte);
    2
}

/// `\u00e9`, or a pair of surrogates.
fn unicode(input: &[u8], text: &mut Vec<u8>) -> usize {
    let first = code_unit(input);
    let (code, length) = match (first, first.and_then(|_| code_unit(&input[6..]))) {
        (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
            (0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        (Some(code), _) => (code, 6),
        (None, _) => (0xd800, 2),
    };
    match char::from_u32(code).filter(|char| *char != '\n') {
        Some(char) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        None => text.extend_from_slice(&input[..length.min(6)]),
    }
    if char::from_u32(code).is_none() { length.min(6) } else { length }
}

fn code_unit(input: &[u8]) -> Option<u32> {
    let digits = input.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(input: &[u8]) -> (Option<usize>, Vec<u8>) {
        let mut text = Vec::new();
        (unescape(input, &mut text), text)
    }

    #[test]
    fn escapes_are_taken_off_and_nonsense_stays() {
        for (input, expected) in [
            (r#"plain""#, "plain"),
            (r#"\"\\\/\b\f\r\t""#, "\"\\/\u{8}\u{c}\r\t"),
            (r#"end\n""#, "end\n"),
            (r#"in\nside""#, r"in\nside"),
            (r#"in\u000aside""#, r"in\u000aside"),
            (r#"\u00e9\u20AC""#, "\u{e9}\u{20ac}"),
            (r#"\ud83d\ude00""#, "\u{1f600}"),
            (r#"\ud83dx""#, r"\ud83dx"),
            (r#"\ud83d\u0041""#, r"\ud83dA"),
            (r#"\ude00""#, r"\ude00"),
            (r#"\x\u12g4""#, r"\x\u12g4"),
        ] {
            let (end, text) = text_of(input.as_bytes());
            assert_eq!(String::from_utf8_lossy(&text), expected, "{input}");
            assert_eq!(end, Some(input.len()), "{input}");
        }
        assert_eq!(text_of(b"open\\"), (None, b"open\\".to_vec()));
        assert_eq!(text_of(b"open \\u12"), (None, b"open \\u12".to_vec()));
    }

    proptest! {
        #[test]
        fn what_json_writes_is_read_back(line in "[^\n]{0,60}") {
            let json = serde_json::to_string(&format!("{line}\n")).expect("a string");
            let (end, text) = text_of(&json.as_bytes()[1..]);
            prop_assert_eq!(end, Some(json.len() - 1));
            prop_assert_eq!(text, format!("{line}\n").into_bytes());
        }

        #[test]
        fn any_bytes_are_taken_and_never_grow(input in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b'\\'), Just(b'u'), Just(b'"'), Just(b'd'), Just(b'8')], 0..60)) {
            let (end, text) = text_of(&input);
            prop_assert!(text.len() <= input.len());
            prop_assert!(end.is_none_or(|end| input[end - 1] == b'"'));
            // A line end only where the string ends.
            let inside = &text[..text.len().saturating_sub(1)];
            prop_assert!(inside.contains(&b'\n') <= input.contains(&b'\n'));
        }
    }
}
