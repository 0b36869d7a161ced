//! Numbers, durations (`1h30m`, `1.5s`) and sizes (`10KB`, recognised only).

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while};
use nom::character::complete::{char, digit1, hex_digit1, one_of};
use nom::combinator::{all_consuming, opt, recognize, value};
use nom::error::{Error, ErrorKind};
use nom::multi::many1;
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::token::clipped;
use crate::lang::error::Fault;

/// A number with or without a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    Number(f64),
    /// In nanoseconds.
    Duration(i64),
    /// A size in bytes. Nothing takes one yet, so its value is not kept.
    Size,
}

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// Units of durations and their nanoseconds, the largest first; a year is 365 days, as in
/// Prometheus.
pub(in crate::lang) const UNITS: [(&str, i64); 9] = [
    ("y", 365 * DAY),
    ("w", 7 * DAY),
    ("d", DAY),
    ("h", 60 * 60 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Whether `rest` starts with a measure.
pub(super) fn starts(rest: &str) -> bool {
    let digits = rest.strip_prefix('.').unwrap_or(rest);
    digits.starts_with(|character: char| character.is_ascii_digit())
}

/// The measure that `rest` starts with, and its length in bytes.
pub(super) fn measure(rest: &str) -> Result<(Measure, usize), Fault> {
    let number = alt((hexadecimal, decimal)).parse(rest).map_or("", |(_, number)| number);
    let end = rest.find(|found| !belongs(found)).unwrap_or(rest.len());
    if end <= number.len() {
        let value = value_of(number).filter(|value| value.is_finite());
        let value = value.ok_or_else(|| {
            Fault::syntax(0, format!("the number `{}` is too large", clipped(number)))
        })?;
        return Ok((Measure::Number(value), number.len()));
    }
    let text = &rest[..end];
    if let Ok((_, nanoseconds)) = all_consuming(duration).parse(text) {
        let nanoseconds = nanoseconds.ok_or_else(|| {
            Fault::syntax(0, format!("the duration `{}` is too long", clipped(text)))
        })?;
        return Ok((Measure::Duration(nanoseconds), end));
    }
    if all_consuming(size).parse(text).is_ok() {
        return Ok((Measure::Size, end));
    }
    Err(Fault::syntax(
        0,
        format!(
            "`{}` is neither a number nor a duration; the units of durations are y, w, d, h, m, s, \
             ms, us and ns, as in 1h30m",
            clipped(text)
        ),
    ))
}

/// What cannot stand right behind a number unless it belongs to it.
fn belongs(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | 'µ' | 'μ')
}

fn hexadecimal(input: &str) -> IResult<&str, &str> {
    recognize((tag_no_case("0x"), hex_digit1)).parse(input)
}

fn decimal(input: &str) -> IResult<&str, &str> {
    let exponent = (one_of("eE"), opt(one_of("+-")), digit1);
    recognize((plain_decimal, opt(exponent))).parse(input)
}

/// `1`, `1.`, `1.5` or `.5`
fn plain_decimal(input: &str) -> IResult<&str, &str> {
    // Not `digit0`: at the end of the input nom 8 leaves a rest that `recognize` measures wrongly.
    let fraction = take_while(|character: char| character.is_ascii_digit());
    let whole = recognize((digit1, opt((char('.'), fraction))));
    alt((whole, recognize((char('.'), digit1)))).parse(input)
}

fn value_of(number: &str) -> Option<f64> {
    match number.strip_prefix("0x").or(number.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as f64),
        None => number.parse().ok(),
    }
}

/// One or more measures with a unit, added up; `None` inside when the sum is too large.
fn duration(input: &str) -> IResult<&str, Option<i64>> {
    let part = (plain_decimal, unit).map(|(number, unit)| nanoseconds(number, unit));
    many1(part)
        .map(|parts| parts.into_iter().try_fold(0_i64, |sum, part| sum.checked_add(part?)))
        .parse(input)
}

/// The nanoseconds of the longest unit at the start: `ms` is not `m` and an `s` left over.
fn unit(input: &str) -> IResult<&str, i64> {
    let micro = value(1_000, alt((tag("µs"), tag("μs"))));
    let named = |input| {
        let found = UNITS.into_iter().filter(|(name, _)| str::starts_with(input, name));
        let (name, nanoseconds) = found
            .max_by_key(|(name, _)| name.len())
            .ok_or_else(|| nom::Err::Error(Error::new(input, ErrorKind::Alt)))?;
        Ok((&input[name.len()..], nanoseconds))
    };
    alt((micro, named)).parse(input)
}

/// Exact: the fraction is not rounded through a float, only cut below a nanosecond.
fn nanoseconds(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let total = i128::from(whole) * i128::from(unit) + digits * i128::from(unit) / scale;
    i64::try_from(total).ok()
}

/// `10KB`, `1.5MiB`
fn size(input: &str) -> IResult<&str, &str> {
    let letters = alt((tag("B"), recognize((one_of("kKMGTP"), opt(char('i')), char('B')))));
    preceded(plain_decimal, letters).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Measure {
        let (measure, len) = measure(source).expect(source);
        assert_eq!(len, source.len(), "{source}");
        measure
    }

    #[test]
    fn numbers() {
        for (source, expected) in [
            ("0", 0.0),
            ("12.5", 12.5),
            ("5.", 5.0),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("1.5E-3", 0.0015),
            ("0x1F", 31.0),
        ] {
            assert_eq!(read(source), Measure::Number(expected), "{source}");
        }
        assert_eq!(measure("2)").expect("two"), (Measure::Number(2.0), 1));
    }

    #[test]
    fn durations_are_exact_nanoseconds() {
        for (source, expected) in [
            ("5m", 300 * SECOND),
            ("1h30m", 5_400 * SECOND),
            ("1.5h", 5_400 * SECOND),
            ("15000ms", 15 * SECOND),
            ("1d", DAY),
            ("1w", 7 * DAY),
            ("1y", 365 * DAY),
            ("1y2w3d4h5m6s7ms8us9ns", (365 + 14 + 3) * DAY + 14_706_007_008_009),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            (".5s", SECOND / 2),
            ("0.1234567891s", 123_456_789),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(read(source), Measure::Duration(expected), "{source}");
        }
        assert_eq!(measure("5m]").expect("five").1, 2);
    }

    #[test]
    fn sizes_are_recognised() {
        for source in ["1B", "10KB", "1.5MiB", "2kB"] {
            assert_eq!(read(source), Measure::Size, "{source}");
        }
    }

    #[test]
    fn anything_else_is_refused_whole() {
        let message = |source: &str| measure(source).expect_err(source).message;
        assert_eq!(
            message("5x"),
            "`5x` is neither a number nor a duration; the units of durations are y, w, d, h, m, s, ms, us and ns, as in 1h30m"
        );
        for source in ["5mm", "1.2.3", "1e", "5m3", "1_0", "0xg", "5é"] {
            assert!(message(source).contains(&format!("`{source}`")), "{source}");
        }
        assert_eq!(message("1e999"), "the number `1e999` is too large");
        assert_eq!(message("300y"), "the duration `300y` is too long");
        assert_eq!(
            message("9223372036854775807ns1ns"),
            "the duration `9223372036854775807ns1ns` is too long"
        );
        assert_eq!(
            message("99999999999999999999s"),
            "the duration `99999999999999999999s` is too long"
        );
    }
}
