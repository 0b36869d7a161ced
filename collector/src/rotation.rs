//! The names that rotation gives to one log's files: `x`, `x.1`, `x.2.gz`, … and `x-20260820`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How old a file is by its name: 0 for the log itself, greater means older.
pub(crate) type Age = u64;

/// More digits than this are a date, of which the smaller is the older.
const NUMBER_DIGITS_MAX: usize = 5;
const DATE_DIGITS_MAX: usize = 14;
/// `20260820`.
const DAY_DIGITS: usize = 8;
/// `153000`.
const TIME_DIGITS_MAX: usize = 6;

/// The log's own name, and the age that the rest of the name tells. A compressed file is as old as
/// it was before it was compressed.
pub(crate) fn split(name: &OsStr) -> (&OsStr, Age) {
    let bytes = name.as_bytes();
    let plain = bytes.strip_suffix(b".gz").unwrap_or(bytes);
    match split_number(plain).or_else(|| split_date(plain)) {
        Some((base, age)) => (OsStr::from_bytes(base), age),
        None => (name, 0),
    }
}

/// `x.1`, `x.20260820`.
fn split_number(name: &[u8]) -> Option<(&[u8], Age)> {
    let dot = memchr::memrchr(b'.', name).filter(|dot| *dot > 0)?;
    let value = number(&name[dot + 1..])?;
    let is_date = name.len() - dot - 1 > NUMBER_DIGITS_MAX;
    Some((&name[..dot], if is_date { u64::MAX - value } else { value + 1 }))
}

/// `x-20260820`, `x-20260820-1530`, `x-2026082015`.
fn split_date(name: &[u8]) -> Option<(&[u8], Age)> {
    let dash = memchr::memrchr(b'-', name).filter(|dash| *dash > 0)?;
    let last = &name[dash + 1..];
    let (base, digits) = match memchr::memrchr(b'-', &name[..dash]) {
        Some(first)
            if first > 0 && first + 1 + DAY_DIGITS == dash && last.len() <= TIME_DIGITS_MAX =>
        {
            (&name[..first], [&name[first + 1..dash], last].concat())
        }
        _ => (&name[..dash], last.to_vec()),
    };
    if digits.len() < DAY_DIGITS || !is_day(&digits[..DAY_DIGITS]) {
        return None;
    }
    // Of one day, that without a time is the oldest.
    let mut padded = digits.clone();
    padded.resize(DATE_DIGITS_MAX.max(digits.len()), b'0');
    Some((base, u64::MAX - number(&padded)?))
}

fn is_day(digits: &[u8]) -> bool {
    let Some(value) = number(digits) else { return false };
    let (year, month, day) = (value / 10_000, value / 100 % 100, value % 100);
    (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    (is_number && digits.len() <= DATE_DIGITS_MAX)
        .then(|| digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_text(name: &str) -> (&str, Age) {
        let (base, age) = split(OsStr::new(name));
        (base.to_str().expect("text"), age)
    }

    #[test]
    fn numbers_age_upwards_and_dates_downwards() {
        assert_eq!(split_text("stdout"), ("stdout", 0));
        assert_eq!(split_text("x.log.12"), ("x.log", 13));
        assert!(split_text("x.10").1 > split_text("x.9").1);
        assert!(split_text("x.20260101").1 > split_text("x.20260102").1);
        assert!(split_text("x.20260102").1 > 0);
    }

    #[test]
    fn dates_and_compressed_files_belong_to_the_log() {
        for name in ["x-20260820", "x-20260820.gz", "x-20260820-1530", "x-2026082015", "x.3.gz"] {
            let (base, age) = split_text(name);
            assert!(base == "x" && age > 0, "{name}");
        }
        assert_eq!(split_text("x.2.gz").1, split_text("x.2").1);
        assert!(split_text("x-20260819").1 > split_text("x-20260820").1);
        assert!(split_text("x-20260820").1 > split_text("x-20260820-1530.gz").1);
        assert!(split_text("x-20260820-1530").1 > split_text("x-20260820-1531").1);
    }

    #[test]
    fn other_names_are_logs_of_their_own() {
        for name in [
            "x.log",
            ".5",
            "x.",
            "stdout.logrotate.state",
            "x.gz",
            "x-1",
            "a-12345678",
            "x-20261320",
            "x.123456789012345",
        ] {
            assert_eq!(split_text(name), (name, 0));
        }
    }
}
