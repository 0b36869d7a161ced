//! Forms with two digits of the year: Spark's `17/06/09 20:10:40`, Hadoop's `081109 203615`.

use nom::Parser;
use nom::character::complete::char;

use super::super::civil::{Civil, Clock};
use super::super::number::{Parsed, accept, digits, no_digit};
use super::Timestamp;
use super::clock::clock;

/// `yy/mm/dd hh:mm:ss`.
pub(super) fn short_year(input: &[u8]) -> Parsed<'_, Timestamp> {
    let (rest, (year, _, month, _, day, _, clock)) =
        (digits::<2>, char('/'), digits::<2>, char('/'), digits::<2>, char(' '), clock)
            .parse(input)?;
    accept(rest, civil(year, month, day, clock))
}

/// `yymmdd hhmmss`.
pub(super) fn six_six(input: &[u8]) -> Parsed<'_, Timestamp> {
    let (rest, (year, month, day, _)) =
        (digits::<2>, digits::<2>, digits::<2>, char(' ')).parse(input)?;
    let (rest, (hour, minute, second, ())) =
        (digits::<2>, digits::<2>, digits::<2>, no_digit).parse(rest)?;
    accept(rest, civil(year, month, day, Clock { hour, minute, second, nanos: 0 }))
}

fn civil(short_year: u32, month: u32, day: u32, clock: Clock) -> Option<Timestamp> {
    Civil::checked(Some(2000 + short_year as i32), month, day, clock).map(Timestamp::Civil)
}
