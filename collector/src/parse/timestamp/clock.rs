//! The time of day: `hh:mm:ss` with an optional fraction.

use super::super::civil::Clock;
use super::super::number::{Parsed, fraction, no_digit, pair, refused};

/// `hh:mm:ss`, then optionally a comma or dot and a fraction; no digit may follow. What stands for
/// hours, minutes and seconds is checked together with the date, by [`super::Civil::checked`].
#[inline]
pub(super) fn clock(input: &[u8]) -> Parsed<'_, Clock> {
    let Some((&[h, hh, b':', m, mm, b':', s, ss], rest)) = input.split_first_chunk::<8>() else {
        return refused();
    };
    let (rest, nanos) = match rest.first() {
        Some(b'.' | b',') => fraction(&rest[1..]).unwrap_or((rest, 0)),
        _ => (rest, 0),
    };
    let (rest, ()) = no_digit(rest)?;
    Ok((rest, Clock { hour: pair(h, hh), minute: pair(m, mm), second: pair(s, ss), nanos }))
}
