//! Times as a count since the epoch: 10 digits are seconds, 13 milli-, 16 micro-, 19 nanoseconds.

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::opt;
use nom::sequence::preceded;

use super::super::number::{Parsed, accept, count_digits, fraction, refused};
use super::Timestamp;

/// A count of 10, 13, 16 or 19 digits; seconds may have a fraction. No letter may follow.
pub(super) fn epoch(input: &[u8]) -> Parsed<'_, Timestamp> {
    let n = count_digits(input, 20);
    let unit = match n {
        10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return refused(),
    };
    let (count, rest) = input.split_at(n);
    let (rest, nanos) =
        if n == 10 { opt(preceded(char('.'), fraction)).parse(rest)? } else { (rest, None) };
    if rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
        return refused();
    }
    accept(rest, nanoseconds(count, unit, nanos.unwrap_or(0)).map(Timestamp::Instant))
}

/// `None` if the result has no room.
fn nanoseconds(count: &[u8], unit: i64, nanos: u32) -> Option<i64> {
    let digit = |sum: i64, byte: &u8| sum.checked_mul(10)?.checked_add(i64::from(byte - b'0'));
    let count = count.iter().try_fold(0, digit)?;
    count.checked_mul(unit)?.checked_add(i64::from(nanos))
}
