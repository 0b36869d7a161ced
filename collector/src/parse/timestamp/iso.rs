//! ISO 8601 and its relatives: RFC 3339, log4j, Python's default, nginx' error log, Go's log.

use super::super::civil::Civil;
use super::super::number::{Parsed, accept, pair, refused};
use super::Timestamp;
use super::clock::clock;
use super::zone::zone;

/// `yyyy-mm-dd` or `yyyy/mm/dd`, a `T` or a blank, the time of day, and a zone if there is one.
/// The form has fixed places and is by far the most frequent, so it is read by them.
#[inline]
pub(super) fn year_first(input: &[u8]) -> Parsed<'_, Timestamp> {
    let Some((date, rest)) = input.split_first_chunk::<11>() else { return refused() };
    let &[y, yy, yyy, yyyy, first, m, mm, second, d, dd, between] = date;
    if !matches!((first, second, between), (b'-', b'-', b'T' | b't' | b' ') | (b'/', b'/', b' ')) {
        return refused();
    }
    let (rest, clock) = clock(rest)?;
    let (rest, zone) = zone(rest)?;
    let year = pair(y, yy) * 100 + pair(yyy, yyyy);
    let civil = Civil::checked(Some(year as i32), pair(m, mm), pair(d, dd), clock);
    accept(rest, civil.and_then(|civil| Timestamp::of(civil, zone)))
}
