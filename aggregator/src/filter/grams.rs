//! The keys of the filter: what a block's text puts in, and what a literal demands. Both sides run
//! the same pass over the same classes, so that they cannot disagree.
//!
//! A *token* is a maximal run of letters, digits and bytes above 0x7f, lowercased. Its keys:
//! * each [`GRAM_BYTES`] bytes of it that are neither all letters (words know these) nor all digits
//!   without a letter close before them,
//! * each [`DIGITS`] digits of it: there are too few shorter ones to tell blocks apart,
//! * the whole of it if it is short or a number: no gram says where a token ends.
//!
//! Numbers and short tokens show few keys of their own, so each of theirs is doubled or tripled where
//! the filter has room: these further keys are *extra*, and a filter has all of them or none.
//!
//! Whether a gram is a key depends on its own bytes and on a few right before it. A literal demands
//! those keys for which it shows these bytes itself, so whoever contains it contains them, whatever
//! stands around.

use crate::lowered::{Classes, Lowered, back, history};

/// Bytes of a gram of a mixed token.
const GRAM_BYTES: u32 = 5;
/// How far before a gram of digits a letter is looked for: bytes.
const BEHIND_LETTER: u32 = 11;
/// Bytes of a gram of a run of digits.
const DIGITS: u32 = 6;
/// A longer token is not put in as a whole: bytes.
const TOKEN_BYTES_MAX: u32 = 5;
/// A longer token of digits only is not put in as a whole: bytes.
const NUMBER_BYTES_MAX: u32 = 16;
/// A shorter token of letters is no word: bytes.
const WORD_BYTES_MIN: u32 = crate::words::WORD_BYTES_MIN as u32;
/// The keys of each kind: the first one nearly always, the others are extra.
const GRAM_SEEDS: [u64; 1] = [0x9e37_79b9_7f4a_7c15];
const DIGITS_SEEDS: [u64; 2] = [0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];
const TOKEN_SEEDS: [u64; 3] = [0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f, 0x8ebc_6af0_9c88_c6e3];
/// Odd, half of its bits set.
const MULTIPLIER: u64 = 0xe703_7ed1_a0b4_28db;

/// Keys have this many bits, beside the one that marks them.
pub(crate) const KEY_BITS: u32 = 18;
/// Marks an extra key.
pub(crate) const EXTRA: u32 = 1 << KEY_BITS;
/// Keys that are asked for of one literal, at most: more would not leave fewer blocks.
const KEYS_OF_A_LITERAL_MAX: usize = 64;

/// Something that a text puts into its filter: its bytes, the last one highest; of more than eight
/// those before them are mixed in.
#[derive(Clone, Copy, Debug)]
enum Part {
    Gram(u64),
    Digits(u64),
    /// A whole token, and from where to where it stands.
    Token {
        bytes: u64,
        start: usize,
        end: usize,
    },
}

impl Part {
    fn bytes(self) -> u64 {
        match self {
            Part::Gram(bytes) | Part::Digits(bytes) | Part::Token { bytes, .. } => bytes,
        }
    }

    #[inline(always)]
    fn each_key(self, put: &mut impl FnMut(u32)) {
        let seeds: &[u64] = match self {
            Part::Gram(_) => &GRAM_SEEDS,
            Part::Digits(_) => &DIGITS_SEEDS,
            Part::Token { .. } => &TOKEN_SEEDS,
        };
        let first = key(self.bytes(), seeds[0]);
        put(if self.is_extra(first) { first | EXTRA } else { first });
        for seed in &seeds[1..] {
            put(key(self.bytes(), *seed) | EXTRA);
        }
    }

    /// Whether even the first key is extra: parts of numbers are many and tell little, so half of
    /// them are.
    #[inline(always)]
    fn is_extra(self, first_key: u32) -> bool {
        match self {
            Part::Gram(_) | Part::Token { .. } => false,
            Part::Digits(_) => first_key & 1 == 1,
        }
    }

    /// Whether a text that matches this ignoring case holds the same bytes: U+212A and U+017F fold
    /// to the letters k and s.
    fn survives_folding(self) -> bool {
        !self.bytes().to_le_bytes().iter().any(|byte| matches!(byte, b'k' | b's'))
    }
}

/// A multiplication whose halves are folded together: its highest bits depend on all that went in.
#[inline(always)]
fn key(bytes: u64, seed: u64) -> u32 {
    let product = u128::from(bytes ^ seed) * u128::from(MULTIPLIER);
    let mixed = (product >> 64) as u64 ^ product as u64;
    (mixed >> (64 - KEY_BITS)) as u32
}

/// Goes over a text chunk by chunk.
#[derive(Debug, Default)]
pub(crate) struct GramPass {
    before: Classes,
}

impl GramPass {
    /// Puts in the keys that end in the chunk at `base`.
    #[inline]
    pub(crate) fn put(
        &mut self,
        text: &Lowered,
        base: usize,
        chunk: Classes,
        put: &mut impl FnMut(u32),
    ) {
        self.parts(text, base, chunk, &mut |part| part.each_key(put));
    }

    #[inline(always)]
    fn parts(&mut self, text: &Lowered, base: usize, chunk: Classes, found: &mut impl FnMut(Part)) {
        let before = std::mem::replace(&mut self.before, chunk);
        let digits = Pair(chunk.digits, before.digits);
        let other = Pair(chunk.digits | chunk.high, before.digits | before.high);
        let token = Pair(chunk.letters | other.0, before.letters | other.1);
        let last = |n: u32, len: u32| text.eight_before(base + n as usize + 1) >> (64 - 8 * len);

        let grams = token.all(0, GRAM_BYTES) & other.any(0, GRAM_BYTES);
        // Digits behind a letter belong to an id; of other digits it is not known.
        let (mut inside, mut behind) = (grams, 0);
        for by in GRAM_BYTES..GRAM_BYTES + BEHIND_LETTER {
            inside &= token.back(by);
            behind |= inside & !digits.back(by);
        }
        let mixed = grams & (!digits.all(0, GRAM_BYTES) | behind);
        each_bit(mixed, |n| found(Part::Gram(last(n, GRAM_BYTES))));
        each_bit(digits.all(0, DIGITS), |n| found(Part::Digits(last(n, DIGITS))));

        // Separators right behind tokens; those behind longer runs of nothing but letters are left
        // out here, as most tokens are words.
        let ends = !token.0 & token.back(1);
        let no_word = other.any(1, TOKEN_BYTES_MAX) | !token.all(1, WORD_BYTES_MIN);
        each_bit(ends & no_word, |n| {
            let len = token.history(n).leading_ones();
            let is_short = len <= TOKEN_BYTES_MAX
                && (len < WORD_BYTES_MIN || other.history(n) >> (64 - len) != 0);
            let is_number = len <= NUMBER_BYTES_MAX && digits.history(n).leading_ones() == len;
            if is_short || is_number {
                let end = base + n as usize;
                found(Part::Token { bytes: whole(text, end, len), start: end - len as usize, end });
            }
        });
    }
}

/// The `len` bytes before `end`, 1 to [`NUMBER_BYTES_MAX`] of them.
#[inline(always)]
fn whole(text: &Lowered, end: usize, len: u32) -> u64 {
    let last = text.eight_before(end);
    if len <= 8 {
        return last >> (64 - 8 * len);
    }
    let before = text.eight_before(end - 8) >> (64 - 8 * (len - 8));
    last ^ before.wrapping_mul(MULTIPLIER)
}

/// The mask of a chunk and that of the chunk before it.
#[derive(Clone, Copy)]
struct Pair(u64, u64);

impl Pair {
    #[inline(always)]
    fn back(self, by: u32) -> u64 {
        if by == 0 { self.0 } else { back(self.0, self.1, by) }
    }

    /// Where all of the `len` bytes are in the class that end `skip` bytes before.
    #[inline(always)]
    fn all(self, skip: u32, len: u32) -> u64 {
        (skip..skip + len).fold(u64::MAX, |all, by| all & self.back(by))
    }

    /// Where any of them is.
    #[inline(always)]
    fn any(self, skip: u32, len: u32) -> u64 {
        (skip..skip + len).fold(0, |any, by| any | self.back(by))
    }

    #[inline(always)]
    fn history(self, end: u32) -> u64 {
        history(self.0, self.1, end)
    }
}

#[inline(always)]
fn each_bit(mut mask: u64, mut f: impl FnMut(u32)) {
    while mask != 0 {
        f(mask.trailing_zeros());
        mask &= mask - 1;
    }
}

/// The keys that every text holds that contains the literal, in order, none twice. `folded` if the
/// text may differ from it in case, by Unicode's rules.
pub(crate) fn demanded(literal: &[u8], folded: bool) -> Vec<u32> {
    let lowered = Lowered::of(literal);
    let mut pass = GramPass::default();
    let mut keys = Vec::new();
    for (base, classes) in lowered.chunks() {
        pass.parts(&lowered, base, classes, &mut |part| {
            // The text may go on with more of the token where the literal ends.
            let closed = match part {
                Part::Token { start, end, .. } => start > 0 && end < literal.len(),
                Part::Gram(_) | Part::Digits(_) => true,
            };
            if closed && (!folded || part.survives_folding()) {
                part.each_key(&mut |key| keys.push(key));
            }
        });
        if keys.len() > 2 * KEYS_OF_A_LITERAL_MAX {
            break;
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys.truncate(KEYS_OF_A_LITERAL_MAX);
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn keys_of(text: &[u8]) -> BTreeSet<u32> {
        let lowered = Lowered::of(text);
        let mut pass = GramPass::default();
        let mut keys = BTreeSet::new();
        for (base, classes) in lowered.chunks() {
            pass.put(&lowered, base, classes, &mut |key| {
                keys.insert(key);
            });
        }
        keys
    }

    /// Texts in which all kinds of tokens meet, at all places of a chunk.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            4 => "[a-fA-F0-9]{1,20}",
            3 => "[ =:,\\-\n/]{1,3}",
            2 => "[0-9]{1,12}",
            2 => "[a-zA-Z]{1,12}",
            1 => "[ks\u{212A}\u{17F}KS]{1,3}",
            1 => "[\u{e9}\u{4e2d}\u{6587}a]{1,4}",
            1 => "[ ]{40,70}",
        ];
        let bytes = proptest::collection::vec(any::<u8>(), 1..6);
        let part = prop_oneof![9 => part.prop_map(String::into_bytes), 1 => bytes];
        proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    /// As a person may write it who ignores case, by Unicode's rules.
    fn refolded(text: &str, choices: &[u8]) -> String {
        let other = |(n, c): (usize, char)| match (c, choices[n % choices.len()] % 3) {
            ('k' | 'K', 0) => '\u{212A}',
            ('s' | 'S', 0) => '\u{17F}',
            ('\u{212A}', 1) => 'k',
            ('\u{17F}', 1) => 's',
            (c, 2) => c.to_ascii_uppercase(),
            (c, _) => c.to_ascii_lowercase(),
        };
        text.chars().enumerate().map(other).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// What the filter's exactness stands on.
        #[test]
        fn a_text_holds_every_key_that_a_part_of_it_demands(
            text in text(),
            cuts in proptest::collection::vec((any::<u16>(), any::<u16>()), 16),
        ) {
            let keys = keys_of(&text);
            for (start, len) in cuts {
                let start = usize::from(start) % (text.len() + 1);
                let end = start + usize::from(len) % (text.len() - start + 1);
                let literal = &text[start..end];
                for key in demanded(literal, false) {
                    prop_assert!(keys.contains(&key), "{literal:?} of {text:?}");
                }
            }
        }

        #[test]
        fn a_text_in_other_case_holds_what_is_demanded_ignoring_case(
            literal in text(),
            choices in proptest::collection::vec(any::<u8>(), 8),
            around in ("[ a0k]{0,2}", "[ a0k]{0,2}"),
        ) {
            // What ignores case is cut from literals of letters and ASCII: see `folded_letter`.
            let literal: String = literal.iter().filter(|b| b.is_ascii()).map(|b| char::from(*b)).collect();
            let text = format!("{}{}{}", around.0, refolded(&literal, &choices), around.1);
            let keys = keys_of(text.as_bytes());
            for key in demanded(literal.as_bytes(), true) {
                prop_assert!(keys.contains(&key), "{literal:?} of {text:?}");
            }
        }
    }

    /// Filters on disk are asked by later versions.
    #[test]
    fn golden_keys_of_version_1() {
        let expected = [
            50_249, 115_079, 174_887, 175_900, 203_053, 274_691, 276_915, 308_816, 314_381,
            375_517, 490_123, 518_519,
        ];
        assert!(keys_of(b"4bf9A 123456 ok").into_iter().eq(expected));
    }

    #[test]
    fn a_literal_demands_what_it_shows() {
        let seeds = (GRAM_SEEDS.len(), DIGITS_SEEDS.len(), TOKEN_SEEDS.len());
        assert_eq!(seeds, (1, 2, 3), "the figures below count keys");
        for (literal, n_keys) in [
            ("", 0),
            ("word and word", 0),
            ("4bf92f35", 4),
            (" 4bf92f35 ", 4),
            ("4BF9-2f35-", 3),
            ("status=500 ", 3),
            ("status=500", 0),
            (" id=42,", 3 + 3),
            ("12345", 0),
            ("123456", 2),
            ("12345678", 3 * 2),
            (" 12345678 ", 3 * 2 + 3),
            (" 123456789 ", 4 * 2 + 3),
            (" 12345678901234567 ", 10 * 2),
            (" a to be", 3 + 3),
            ("caf\u{e9} ", 1),
            (" \u{e9}t\u{e9} ", 1 + 3),
        ] {
            assert_eq!(demanded(literal.as_bytes(), false).len(), n_keys, "{literal:?}");
        }
        assert_eq!(demanded(b" k8 s3 x9 ", true).len(), 3, "k and s are not certain");
        let long = "0123456789abcdef".repeat(4000);
        assert_eq!(demanded(long.as_bytes(), false).len(), 8 + 6 + 5 * 2, "each gram once");
        let many: String = (0..4000).map(|n| format!("{n:05x} ")).collect();
        assert_eq!(demanded(many.as_bytes(), false).len(), KEYS_OF_A_LITERAL_MAX);
    }
}
