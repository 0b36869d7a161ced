//! The names that rotation gives to one log's files: `x`, `x.1`, `x.2`, … and `x.20260820`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How old a file is by its name: 0 for the log itself, greater means older.
pub(crate) type Age = u64;

/// More digits than this are a date, of which the smaller is the older.
const NUMBER_DIGITS_MAX: usize = 5;
const DATE_DIGITS_MAX: usize = 14;

/// The log's own name, and the age that the rest of the name tells.
pub(crate) fn split(name: &OsStr) -> (&OsStr, Age) {
    let bytes = name.as_bytes();
    let Some(dot) = memchr::memrchr(b'.', bytes).filter(|dot| *dot > 0) else { return (name, 0) };
    let digits = &bytes[dot + 1..];
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !is_number || digits.len() > DATE_DIGITS_MAX {
        return (name, 0);
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    let age = if digits.len() > NUMBER_DIGITS_MAX { u64::MAX - value } else { value + 1 };
    (OsStr::from_bytes(&bytes[..dot]), age)
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
    fn other_names_are_logs_of_their_own() {
        for name in ["x.log", ".5", "x.", "stdout.logrotate.state", "x.1.gz", "x.123456789012345"] {
            assert_eq!(split_text(name), (name, 0));
        }
    }
}
