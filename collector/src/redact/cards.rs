//! Numbers of payment cards: an issuer's prefix, a length that it uses, and the Luhn check.

use super::card_starts;
use super::kind::Kind;
use super::scan::{Scan, Span};

/// The fewest digits of a number. There were Visa cards of 13, which milliseconds since 1970 have too.
const DIGITS_MIN: usize = card_starts::NUMBER_BYTES_MIN;
/// The most digits of a number.
const DIGITS_MAX: usize = 19;

/// How numbers are grouped where they are.
const GROUPS: [&[usize]; 4] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3]];

/// The first number from `from` on: where it starts and ends.
pub(super) fn next(text: &[u8], from: usize) -> Option<(usize, usize)> {
    card_starts::find_map(text, from, |start| number_at(text, start))
}

pub(super) fn find(scan: &mut Scan<'_>) {
    let mut at = 0;
    while let Some((start, end)) = next(scan.text, at) {
        scan.push(Span::new(start, end, Kind::Card));
        at = end;
    }
    if scan.open {
        find_open(scan);
    }
}

/// The digits at the end of a line that was cut may be the half of a number.
fn find_open(scan: &mut Scan<'_>) {
    let text = scan.text;
    let tail = text.iter().rev().take(DIGITS_MAX + 4).take_while(|byte| is_part(**byte)).count();
    let start = text.len() - tail;
    let start = start + text[start..].iter().take_while(|byte| !byte.is_ascii_digit()).count();
    let digits = text[start..].iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits >= 7 && starts_here(text, start) {
        scan.push(Span::new(start, text.len(), Kind::Card));
    }
}

fn is_part(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b' ' | b'-')
}

fn starts_here(text: &[u8], start: usize) -> bool {
    text[start].is_ascii_digit()
        && start.checked_sub(1).is_none_or(|before| card_starts::may_follow(text[before]))
}

/// The number that starts here; its end.
fn number_at(text: &[u8], start: usize) -> Option<(usize, usize)> {
    if !matches!(text[start], b'2'..=b'6') || !starts_here(text, start) {
        return None;
    }
    let mut digits = [0u8; DIGITS_MAX];
    let run =
        text[start..].iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if (DIGITS_MIN..=DIGITS_MAX).contains(&run) {
        digits[..run].copy_from_slice(&text[start..start + run]);
        // Numbers of 64 bits have this length far more often than cards have.
        let usual = run != DIGITS_MAX;
        return (usual && is_number(&digits[..run]) && ends_here(text, start + run))
            .then_some((start, start + run));
    }
    GROUPS.into_iter().find_map(|groups| {
        let (len, end) = take_groups(text, start, groups, &mut digits)?;
        (is_number(&digits[..len]) && ends_here(text, end)).then_some((start, end))
    })
}

/// Groups of digits with the same separator between them.
fn take_groups(
    text: &[u8],
    start: usize,
    groups: &[usize],
    digits: &mut [u8; DIGITS_MAX],
) -> Option<(usize, usize)> {
    let (mut at, mut len) = (start, 0);
    let separator =
        text.get(start + groups[0]).copied().filter(|byte| matches!(byte, b' ' | b'-'))?;
    for (n, group) in groups.iter().enumerate() {
        if n > 0 {
            (text.get(at) == Some(&separator)).then_some(())?;
            at += 1;
        }
        let found =
            text.get(at..at + group).filter(|found| found.iter().all(u8::is_ascii_digit))?;
        digits[len..len + group].copy_from_slice(found);
        at += group;
        len += group;
    }
    Some((len, at))
}

fn ends_here(text: &[u8], end: usize) -> bool {
    match text.get(end) {
        None => true,
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' => false,
        Some(b'.' | b'-' | b' ' | b':') => !text.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(_) => true,
    }
}

fn is_number(digits: &[u8]) -> bool {
    has_issuer(digits) && luhn(digits) && digits.iter().any(|digit| *digit != digits[0])
}

/// Whether an issuer has numbers of this beginning and length.
fn has_issuer(digits: &[u8]) -> bool {
    let prefix = digits[..4].iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    matches!(
        (prefix, digits.len()),
        (4000..=4999, 16 | 19)
            | (5100..=5599 | 2221..=2720, 16)
            | (3400..=3499 | 3700..=3799, 15)
            | (3000..=3059 | 3600..=3699 | 3800..=3999, 14)
            | (3528..=3589 | 6011 | 6440..=6599 | 6200..=6299, 16..=19)
    )
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(n, digit)| {
            let digit = u32::from(digit - b'0') << (n % 2);
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_all_issuers_in_their_groups() {
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "30569309025904",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
        ] {
            for line in [
                format!("card {number} declined"),
                format!("{{\"pan\":{number}}}"),
                number.to_owned(),
                format!("x={number}"),
                format!("{number}, 7"),
            ] {
                let (start, end) = next(line.as_bytes(), 0).unwrap_or_else(|| panic!("{line}"));
                assert_eq!(&line[start..end], number);
            }
        }
    }

    #[test]
    fn what_only_looks_like_one() {
        for line in [
            "4111111111111112",
            "blk_4111111111111111",
            "id-4111111111111111",
            "4111111111111111a",
            "0.4111111111111111",
            "1411111111111111",
            "4111 1111-1111 1111",
            "41111111111111112",
            "4111111111111111 2",
        ] {
            assert_eq!(next(line.as_bytes(), 0), None, "{line}");
        }
    }

    /// Pieces that make numbers, halves of numbers, and what stands around them.
    fn pieces() -> impl Strategy<Value = String> {
        let known = [
            "4111111111111111",
            "4111",
            "1111",
            "378282",
            "10005",
            "3782",
            "30569309025904",
            "4",
            "2223003122003222",
            " ",
            "-",
            "  ",
            ",",
            "x",
            "2026-11-22",
            "=",
            ".",
            "6011",
            "0",
            "7",
        ];
        let piece = prop_oneof![
            9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
            1 => " {1,70}",
            1 => "[0-9]{1,70}",
        ];
        proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Looks at some places find what a look at each place finds.
        #[test]
        fn the_next_one_is_the_first_that_there_is(text in pieces(), from in 0..40usize) {
            let from = from.min(text.len());
            let first = (from..text.len()).find_map(|start| number_at(text.as_bytes(), start));
            prop_assert_eq!(next(text.as_bytes(), from), first);
        }
    }

    #[test]
    fn one_is_found_wherever_it_stands() {
        for at in 0..100 {
            for filler in ["x", "9 ", "- "] {
                let before: String = filler.chars().cycle().take(at).collect();
                let line = format!("{before},4111111111111111,x");
                assert_eq!(
                    next(line.as_bytes(), 0),
                    Some((before.len() + 1, before.len() + 17)),
                    "{line}"
                );
            }
        }
    }
}
