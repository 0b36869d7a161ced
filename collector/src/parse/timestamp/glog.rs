//! glog's header: `I0820 10:00:00.123456  1234 file.cc:12]`, a level and a time in one.

use nom::Parser;
use nom::character::complete::char;
use sawlog_transport::Level;

use super::super::civil::Civil;
use super::super::number::{Parsed, accept, count_digits, digits, refused};
use super::Timestamp;
use super::clock::clock;

/// A letter, `mmdd` (or `yyyymmdd`, as an option of glog writes it) and the time of day.
pub(in crate::parse) fn glog(input: &[u8]) -> Parsed<'_, (Level, Timestamp)> {
    let level = match input.first() {
        Some(b'I') => Level::Info,
        Some(b'W') => Level::Warn,
        Some(b'E') => Level::Error,
        Some(b'F') => Level::Fatal,
        _ => return refused(),
    };
    let (rest, year) = match count_digits(&input[1..], 9) {
        4 => (&input[1..], None),
        8 => digits::<4>(&input[1..]).map(|(rest, year)| (rest, Some(year as i32)))?,
        _ => return refused(),
    };
    let (rest, (month, day, _, clock)) =
        (digits::<2>, digits::<2>, char(' '), clock).parse(rest)?;
    let civil = Civil::checked(year, month, day, clock);
    accept(rest, civil.map(|civil| (level, Timestamp::Civil(civil))))
}
