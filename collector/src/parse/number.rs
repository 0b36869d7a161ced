//! What parsers give, and those of digits, shared by all forms of time.

use nom::{Err, IResult};

/// What a parser here gives. Errors carry nothing: a line that does not parse is an ordinary line.
pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// The refusal of any parser here.
pub(crate) fn refused<T>() -> Result<T, Err<()>> {
    Err(Err::Error(()))
}

/// Turns a check that failed into a refusal.
pub(crate) fn accept<T>(rest: &[u8], value: Option<T>) -> Parsed<'_, T> {
    value.map(|value| (rest, value)).ok_or(Err::Error(()))
}

/// Exactly `N` digits (at most 9) as a number.
#[inline]
pub(super) fn digits<const N: usize>(input: &[u8]) -> Parsed<'_, u32> {
    const { assert!(N <= 9, "must fit 32 bits") };
    let Some((head, rest)) = input.split_first_chunk::<N>() else { return refused() };
    let mut value = 0u32;
    for byte in head {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return refused();
        }
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    Ok((rest, value))
}

/// What [`pair`] gives for bytes that are no digits: more than any field of a date or a time of day
/// may be, also as half of a year, so that one check of the fields finds it.
pub(super) const NO_PAIR: u32 = 1 << 20;

/// Two digits as a number, without a branch; [`NO_PAIR`] or more if they are no digits.
#[inline]
pub(super) fn pair(tens: u8, ones: u8) -> u32 {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    let bad = u32::from((tens > 9) | (ones > 9)) * NO_PAIR;
    bad | (u32::from(tens) * 10 + u32::from(ones))
}

/// How many digits the input begins with, counted up to `most`.
#[inline]
pub(super) fn count_digits(input: &[u8], most: usize) -> usize {
    input.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
}

/// The digits of a fraction of a second as nanoseconds: at least one; those after the ninth are
/// skipped.
#[inline]
pub(super) fn fraction(input: &[u8]) -> Parsed<'_, u32> {
    const MOST: usize = 9;
    let mut nanos = 0u32;
    let mut n = 0;
    while let Some(digit) = input.get(n).filter(|byte| byte.is_ascii_digit()) {
        if n < MOST {
            nanos = nanos * 10 + u32::from(digit - b'0');
        }
        n += 1;
    }
    if n == 0 {
        return refused();
    }
    const SCALE: [u32; MOST + 1] =
        [0, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1];
    Ok((&input[n..], nanos * SCALE[n.min(MOST)]))
}

/// Succeeds where no digit follows.
#[inline]
pub(super) fn no_digit(input: &[u8]) -> Parsed<'_, ()> {
    match input.first() {
        Some(byte) if byte.is_ascii_digit() => refused(),
        _ => Ok((input, ())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_exactly_as_many() {
        assert_eq!(digits::<2>(b"123"), Ok((&b"3"[..], 12)));
        assert_eq!(digits::<2>(b"1"), refused());
        assert_eq!(digits::<2>(b"1:"), refused());
    }

    #[test]
    fn pairs_are_two_digits() {
        assert_eq!(pair(b'0', b'7'), 7);
        assert_eq!(pair(b'9', b'9'), 99);
        for (tens, ones) in [(b'/', b'0'), (b'0', b':'), (b'x', b'y'), (0, 255)] {
            assert!(pair(tens, ones) >= NO_PAIR);
        }
    }

    #[test]
    fn fractions_are_nanoseconds() {
        assert_eq!(fraction(b"5"), Ok((&b""[..], 500_000_000)));
        assert_eq!(fraction(b"000000001 x"), Ok((&b" x"[..], 1)));
        assert_eq!(fraction(b"1234567899999z"), Ok((&b"z"[..], 123_456_789)));
        assert_eq!(fraction(b"x"), refused());
    }
}
