//! Texts in quotes: `"with Go's escapes"` and `` `as they are` ``. They are bytes, because `\xHH`
//! can name a byte that is no text.

use crate::lang::error::Fault;

/// The text that `rest` starts with, and how many bytes of `rest` it took. Offsets in faults count
/// from the start of `rest`.
pub(super) fn literal(rest: &str) -> Result<(Vec<u8>, usize), Fault> {
    if let Some(body) = rest.strip_prefix('`') {
        let Some(len) = body.find('`') else { return Err(unterminated('`')) };
        return Ok((body.as_bytes()[..len].to_vec(), len + 2));
    }
    quoted(rest)
}

fn quoted(rest: &str) -> Result<(Vec<u8>, usize), Fault> {
    let mut bytes = Vec::new();
    let mut at = 1;
    while let Some(found) = rest[at..].find(['"', '\\', '\n']).map(|len| at + len) {
        bytes.extend_from_slice(&rest.as_bytes()[at..found]);
        match rest.as_bytes()[found] {
            b'"' => return Ok((bytes, found + 1)),
            b'\\' => at = found + escape(&rest[found..], found, &mut bytes)?,
            _ => break,
        }
    }
    Err(unterminated('"'))
}

fn unterminated(quote: char) -> Fault {
    Fault::syntax(0, format!("the text that starts here is not closed, expected `{quote}`"))
}

/// Resolves the escape that `rest` starts with and returns its length. `offset` is its place, for
/// the fault.
fn escape(rest: &str, offset: usize, bytes: &mut Vec<u8>) -> Result<usize, Fault> {
    let Some(name) = rest[1..].chars().next() else { return Err(unterminated('"')) };
    let simple = match name {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        _ => return numbered(rest, name, bytes).ok_or_else(|| unknown_escape(name, offset)),
    };
    bytes.push(simple);
    Ok(2)
}

/// `\ooo` and `\xHH` name a byte, `\uHHHH` and `\UHHHHHHHH` a character.
fn numbered(rest: &str, name: char, bytes: &mut Vec<u8>) -> Option<usize> {
    let (from, len, radix) = match name {
        '0'..='7' => (1, 3, 8),
        'x' => (2, 2, 16),
        'u' => (2, 4, 16),
        'U' => (2, 8, 16),
        _ => return None,
    };
    let digits = rest.get(from..from + len)?;
    // `from_str_radix` would accept a sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = u32::from_str_radix(digits, radix).ok()?;
    if matches!(name, 'u' | 'U') {
        let character = char::from_u32(value)?;
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(from + len)
}

fn unknown_escape(name: char, offset: usize) -> Fault {
    let shown = if name.is_control() { char::REPLACEMENT_CHARACTER } else { name };
    Fault::syntax(
        offset,
        format!(
            "`\\{shown}` is not an escape that is known; write `\\\\{shown}`, or put the text in \
             backticks, where a backslash is a backslash"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_gos_escapes() {
        let cases: &[(&str, &[u8])] = &[
            (r#""""#, b""),
            (r#""plain é""#, "plain é".as_bytes()),
            (r#""\a\b\f\n\r\t\v\\\"""#, b"\x07\x08\x0c\n\r\t\x0b\\\""),
            (r#""\xff\x41""#, b"\xffA"),
            (r#""\101\000\377""#, b"A\0\xff"),
            (r#""\u00e9\U0001F600""#, "é😀".as_bytes()),
            ("`raw \\n \"x\"\n`", b"raw \\n \"x\"\n"),
        ];
        for (source, expected) in cases {
            let (bytes, len) = literal(source).expect(source);
            assert_eq!((bytes.as_slice(), len), (*expected, source.len()), "{source}");
        }
        assert_eq!(literal("\"a\" \"b\"").expect("the first"), (b"a".to_vec(), 3));
    }

    #[test]
    fn refuses_at_the_place() {
        for (source, offset) in [
            (r#""\d""#, 1),
            (r#""ab\xg0""#, 3),
            (r#""\x+1""#, 1),
            (r#""\400""#, 1),
            (r#""\ud800""#, 1),
            (r#""\U00110000""#, 1),
            (r#""\u12é""#, 1),
            (r#""\"#, 0),
            (r#""abc"#, 0),
            ("\"a\nb\"", 0),
            ("`abc", 0),
        ] {
            assert_eq!(literal(source).expect_err(source).offset, offset, "{source}");
        }
        assert_eq!(
            literal(r#""\d+""#).expect_err("no escape").message,
            r"`\d` is not an escape that is known; write `\\d`, or put the text in backticks, where a backslash is a backslash"
        );
    }
}
