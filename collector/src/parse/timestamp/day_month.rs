//! Forms with the month's name: syslog, asctime (Apache's error log), the common log format.

use nom::Parser;
use nom::character::complete::{char, one_of};
use nom::combinator::opt;

use super::super::civil::Civil;
use super::super::number::{Parsed, accept, digits, no_digit, refused};
use super::Timestamp;
use super::clock::clock;
use super::zone::zone;

/// `Aug  2 10:00:00` (syslog), or that after a weekday and before a year (asctime).
pub(super) fn month_or_weekday(input: &[u8]) -> Parsed<'_, Timestamp> {
    match weekday(input) {
        Ok((rest, ())) => asctime(rest),
        Err(_) => syslog(input),
    }
}

fn syslog(input: &[u8]) -> Parsed<'_, Timestamp> {
    let (rest, (month, _, day, _, clock)) =
        (month, char(' '), padded_day, char(' '), clock).parse(input)?;
    accept(rest, Civil::checked(None, month, day, clock).map(Timestamp::Civil))
}

fn asctime(input: &[u8]) -> Parsed<'_, Timestamp> {
    let (rest, (month, _, day, _, clock)) =
        (month, char(' '), padded_day, char(' '), clock).parse(input)?;
    let (rest, (_, year, ())) = (char(' '), digits::<4>, no_digit).parse(rest)?;
    let civil = Civil::checked(Some(year as i32), month, day, clock);
    accept(rest, civil.map(Timestamp::Civil))
}

/// `14/Nov/2023:22:13:20 +0000`, also with dashes or blanks and without a zone.
pub(super) fn day_first(input: &[u8]) -> Parsed<'_, Timestamp> {
    let (rest, (day, separator)) = (short_day, one_of(&b"/- "[..])).parse(input)?;
    let (rest, (month, _, year)) = (month, char(separator), digits::<4>).parse(rest)?;
    let (rest, (_, clock, zone)) = (one_of(&b": "[..]), clock, zone).parse(rest)?;
    let civil = Civil::checked(Some(year as i32), month, day, clock);
    accept(rest, civil.and_then(|civil| Timestamp::of(civil, zone)))
}

/// `20`, ` 2` or `2`.
fn padded_day(input: &[u8]) -> Parsed<'_, u32> {
    let (rest, _) = opt(char(' ')).parse(input)?;
    short_day(rest)
}

/// `20`, `02` or `2`.
fn short_day(input: &[u8]) -> Parsed<'_, u32> {
    digits::<2>(input).or_else(|_| digits::<1>(input))
}

#[inline]
fn month(input: &[u8]) -> Parsed<'_, u32> {
    let Some((name, rest)) = input.split_first_chunk::<3>() else { return refused() };
    let number = match name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return refused(),
    };
    Ok((rest, number))
}

fn weekday(input: &[u8]) -> Parsed<'_, ()> {
    match input.split_first_chunk::<4>() {
        Some((b"Mon " | b"Tue " | b"Wed " | b"Thu " | b"Fri " | b"Sat " | b"Sun ", rest)) => {
            Ok((rest, ()))
        }
        _ => refused(),
    }
}
