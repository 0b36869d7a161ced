//! The few places of a text at which the number of a card may start: most text is ruled out by looks at
//! every seventh place, several at once and without a branch between them.

/// Bytes of a number in a text, at least.
pub(super) const NUMBER_BYTES_MIN: usize = 14;

/// Bytes looked at in one place.
const PROBE_BYTES: usize = size_of::<u64>();
/// From one place to the next. A number, wherever it starts, has one of them whole.
const PROBE_STEP: usize = NUMBER_BYTES_MIN + 1 - PROBE_BYTES;
/// Places that are looked at together.
const PROBES: usize = 8;
const LOOKED_AT: usize = (PROBES - 1) * PROBE_STEP + PROBE_BYTES;

/// The fewest digits between two separators.
const GROUP_MIN: usize = 4;

/// What a number cannot follow.
const GLUE: [bool; 256] = {
    let mut glue = [false; 256];
    let mut byte = 0;
    while byte < glue.len() {
        let it = byte as u8;
        glue[byte] = it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-' | b'+');
        byte += 1;
    }
    glue
};

/// Whether a number may follow this byte.
pub(super) fn may_follow(byte: u8) -> bool {
    !GLUE[usize::from(byte)]
}

/// Asks `number` about each place from `from` on at which a number may start, in their order, until it
/// gives something. Places that it is not asked about start none.
pub(super) fn find_map<T>(
    text: &[u8],
    from: usize,
    mut number: impl FnMut(usize) -> Option<T>,
) -> Option<T> {
    let mut at = from;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<LOOKED_AT>) {
        let mut found = probe(bytes);
        while found != 0 {
            let place = at + found.trailing_zeros() as usize * PROBE_STEP;
            if let Some(number) = starts_before(text, from, place, &mut number) {
                return Some(number);
            }
            found &= found - 1;
        }
        at += PROBES * PROBE_STEP;
    }
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk::<PROBE_BYTES>) {
        if bytes.iter().all(|byte| is_part(*byte))
            && let Some(number) = starts_before(text, from, at, &mut number)
        {
            return Some(number);
        }
        at += PROBE_STEP;
    }
    None
}

/// A bit for each place that has nothing but what a number has. Written so that the compiler makes vector
/// instructions of it.
#[inline]
fn probe(bytes: &[u8; LOOKED_AT]) -> u32 {
    let mut places = [0; PROBES * PROBE_BYTES];
    for n in 0..PROBES {
        let (to, from) = (n * PROBE_BYTES, n * PROBE_STEP);
        places[to..to + PROBE_BYTES].copy_from_slice(&bytes[from..from + PROBE_BYTES]);
    }
    let others = places.map(|byte| u8::from(!is_part(byte)));
    let mut found = 0;
    for n in 0..PROBES {
        let others =
            others[n * PROBE_BYTES..].first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
        found |= u32::from(others == Some(0)) << n;
    }
    found
}

#[inline]
fn is_part(byte: u8) -> bool {
    (byte.wrapping_sub(b'0') < 10) | (byte == b' ') | (byte == b'-')
}

/// Asks about the places at which a number may start that has all of the bytes looked at in `place`.
fn starts_before<T>(
    text: &[u8],
    from: usize,
    place: usize,
    number: &mut impl FnMut(usize) -> Option<T>,
) -> Option<T> {
    if has_short_group(&text[place..]) {
        return None;
    }
    let first = from.max((place + 1).saturating_sub(PROBE_STEP));
    let mut starts = 0u32;
    for start in first..=place {
        let may = start.checked_sub(1).is_none_or(|before| may_follow(text[before]));
        starts |= u32::from(may) << (start - first);
    }
    while starts != 0 {
        if let Some(number) = number(first + starts.trailing_zeros() as usize) {
            return Some(number);
        }
        starts &= starts - 1;
    }
    None
}

/// Whether the first bytes of a text have two separators that are closer than those of a number: dates do.
fn has_short_group(text: &[u8]) -> bool {
    let mut separators = 0u32;
    for (n, byte) in text.iter().take(PROBE_BYTES).enumerate() {
        separators |= u32::from(!byte.is_ascii_digit()) << n;
    }
    (1..=GROUP_MIN).any(|bytes| separators & (separators << bytes) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_parts_of_numbers_only() {
        let mut bytes = [b'1'; LOOKED_AT];
        assert_eq!(probe(&bytes), (1 << PROBES) - 1);
        for byte in 0..=255u8 {
            bytes[PROBE_STEP + 1] = byte;
            let is_part = matches!(byte, b'0'..=b'9' | b' ' | b'-');
            assert_eq!(probe(&bytes) == (1 << PROBES) - 1, is_part, "{byte}");
            assert_eq!(probe(&bytes) | 0b10, (1 << PROBES) - 1);
        }
    }

    #[test]
    fn groups_are_told_by_their_separators() {
        for (text, is_short) in [
            ("41111111", false),
            ("4111 111", false),
            (" 1111 11", false),
            ("-1234-12", false),
            ("  123456", true),
            ("12 34 56", true),
            ("2026-11-", true),
            ("026-11-2", true),
            ("1 2345 6", false),
            ("-12345-1", false),
            ("12345--1", true),
            (" 123456 ", false),
            ("1234567  ", false),
        ] {
            assert_eq!(has_short_group(text.as_bytes()), is_short, "{text}");
        }
    }

    #[test]
    fn text_without_long_numbers_is_asked_about_nowhere() {
        let text =
            "2026-11-22T10:00:00.123Z INFO took 1234 ms, 17 of 200 left [worker-3] \n".repeat(20);
        let mut asked = 0;
        let found: Option<()> = find_map(text.as_bytes(), 0, |_| {
            asked += 1;
            None
        });
        assert_eq!((found, asked), (None, 0));
    }
}
