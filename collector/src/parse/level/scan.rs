//! Searches free text for a level: `[error]`, `level=error`, or a whole word in capitals.

use sawlog_transport::Level;

use super::word::{capitals, in_word, leading_level, value_level};

/// How many bytes are ruled out at a time.
const STRIDE: usize = 32;

/// `STRIDE` bytes and the one after them.
type Window = [u8; STRIDE + 1];

/// The first level that `text` from `from` on tells. What lies before `from` only shows where words
/// begin.
pub(super) fn scan(text: &[u8], from: usize) -> Option<Level> {
    let mut at = from;
    // No level begins at the last byte.
    while at + 1 < text.len() {
        // The last window begins earlier, so as to end with the text.
        let start = at.min(text.len().saturating_sub(STRIDE + 1));
        let Some(window) = text[start..].first_chunk() else { return scan_short(text, at) };
        if may_hold(window)
            && let Some(level) = search(text, at, start, window)
        {
            return Some(level);
        }
        at = start + STRIDE;
    }
    None
}

/// As [`scan`], for text shorter than a window.
fn scan_short(text: &[u8], from: usize) -> Option<Level> {
    (from..text.len()).find_map(|at| level_at(text, at))
}

/// Whether a level may begin in the window: at two capitals, a bracket or an equals sign. Written
/// so that the compiler makes vector instructions of it.
#[inline]
fn may_hold(window: &Window) -> bool {
    let is_capital = |byte: u8| byte.wrapping_sub(b'A') < 26;
    let mut any = false;
    for i in 0..STRIDE {
        let (byte, next) = (window[i], window[i + 1]);
        any |= (is_capital(byte) & is_capital(next)) | (byte == b'[') | (byte == b'=');
    }
    any
}

/// The first level that begins at `from` or later in a window, which is `text` from `start` on.
fn search(text: &[u8], from: usize, start: usize, window: &Window) -> Option<Level> {
    const WORD: usize = size_of::<u64>();
    for offset in (0..STRIDE).step_by(WORD) {
        let word = |at: usize| window[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let mut marks = marks(word(offset), word(offset + 1));
        while marks != 0 {
            let at = start + offset + marks.trailing_zeros() as usize / 8;
            if at >= from
                && let Some(level) = level_at(text, at)
            {
                return Some(level);
            }
            marks &= marks - 1;
        }
    }
    None
}

/// The same question as [`may_hold`] for eight bytes and the eight that each follow them: the top
/// bit of every byte at which a level may begin.
#[inline]
fn marks(bytes: u64, next: u64) -> u64 {
    const TOPS: u64 = each(0x80);
    let at_least = |low: u64, bound: u8| low.wrapping_add(each(0x80 - bound));
    let capitals = |bytes: u64| {
        let low = bytes & !TOPS;
        at_least(low, b'A') & !at_least(low, b'Z' + 1) & !bytes & TOPS
    };
    let equal = |byte: u8| {
        let other = bytes ^ each(byte);
        !((other & !TOPS).wrapping_add(!TOPS) | other) & TOPS
    };
    (capitals(bytes) & capitals(next)) | equal(b'[') | equal(b'=')
}

/// The byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

#[inline]
fn level_at(text: &[u8], at: usize) -> Option<Level> {
    match text[at] {
        b'A'..=b'Z' => capitals_at(text, at),
        b'[' => bracketed(&text[at + 1..]),
        b'=' if names_level(&text[..at]) => value_level(&text[at + 1..]),
        _ => None,
    }
}

/// A whole word in capitals that begins at `at`.
#[inline]
fn capitals_at(text: &[u8], at: usize) -> Option<Level> {
    if !text.get(at + 1).is_some_and(u8::is_ascii_uppercase) || !begins_word(text, at) {
        return None;
    }
    let len = text[at..].iter().take_while(|byte| in_word(**byte)).count();
    capitals(&text[at..at + len])
}

/// Whether no word runs into `at`. The `m` that ends a colour belongs to no word.
fn begins_word(text: &[u8], at: usize) -> bool {
    let before = &text[..at];
    match before.last() {
        Some(b'm') => {
            let parameters = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
            let start = before[..at - 1].iter().rposition(|byte| !parameters(byte));
            start.is_some_and(|start| before[..=start].ends_with(b"\x1b["))
        }
        Some(byte) => !in_word(*byte),
        None => true,
    }
}

/// The level in `[error]`, `[ error ]` or `[module:error]`, given what follows the `[`.
fn bracketed(inside: &[u8]) -> Option<Level> {
    /// Longer brackets hold no level.
    const MOST: usize = 32;
    let inside = &inside[..inside.len().min(MOST)];
    let close = inside.iter().position(|byte| *byte == b']')?;
    let inside = inside[..close].trim_ascii();
    let name = inside.iter().rposition(|byte| *byte == b':').map_or(inside, |at| &inside[at + 1..]);
    let letters = name.iter().all(u8::is_ascii_alphabetic);
    if letters { leading_level(name) } else { None }
}

/// Whether the text ends with a whole key that names a level, in any case.
fn names_level(before: &[u8]) -> bool {
    if !matches!(before.last(), Some(b'l' | b'L' | b'y' | b'Y')) {
        return false;
    }
    [&b"level"[..], b"lvl", b"severity"].iter().any(|key| {
        let Some(start) = before.len().checked_sub(key.len()) else { return false };
        before[start..].eq_ignore_ascii_case(key) && begins_word(before, start)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_ruled_out_wrongly(
            parts in prop::collection::vec("[ -~]{0,20}|ERROR|\\[info\\]|level=warn|\\PC{3}", 0..20),
            from in 0usize..20,
        ) {
            let text = parts.concat().into_bytes();
            let from = from.min(text.len());
            prop_assert_eq!(scan(&text, from), scan_short(&text, from));
        }

        #[test]
        fn marks_are_where_levels_may_begin(window: [u8; 9]) {
            let word = |at: usize| window[at..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
            let found = marks(word(0), word(1));
            for at in 0..8 {
                let capitals = window[at].is_ascii_uppercase() && window[at + 1].is_ascii_uppercase();
                let expected = capitals || matches!(window[at], b'[' | b'=');
                prop_assert_eq!(found >> (at * 8) & 0xff, u64::from(expected) * 0x80);
            }
        }
    }
}
