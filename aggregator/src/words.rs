//! The words of a block: maximal runs of ASCII letters, lowercased. They are what the index knows
//! of a block; see [`crate::prune`] for how queries use them.

use crate::lowered::{Lowered, back, history};

/// Shorter runs of letters are not indexed: bytes.
pub const WORD_BYTES_MIN: usize = 3;
/// Longer runs of letters are not indexed, and make the block [`INCOMPLETE`]: bytes.
pub const WORD_BYTES_MAX: usize = 64;
/// More distinct words than this are not indexed, and make the block [`INCOMPLETE`].
pub const WORDS_MAX: usize = 16 * 1024;

/// The index does not know all words of the block: it is a candidate of every query.
pub const INCOMPLETE: u64 = 1;
/// The block holds U+212A or U+017F, which case folding maps to the letters k and s: a filter that
/// ignores case must not prune it by words.
pub const FOLDS: u64 = 2;

/// What the index gets to know of a block's text.
#[derive(Debug, PartialEq, Eq)]
pub struct BlockWords {
    /// Distinct words, separated by spaces.
    pub text: String,
    /// [`INCOMPLETE`] and [`FOLDS`].
    pub flags: u64,
}

/// Collects the distinct words of a block's text. For more than one, see
/// [`TermScanner`](crate::terms::TermScanner).
pub fn words_of(text: &[u8]) -> BlockWords {
    crate::terms::TermScanner::new().scan(text).words
}

/// Slots of an empty set: a power of two.
const SLOTS_MIN: usize = 512;
/// Odd, half of its bits set.
const MULTIPLIER: u64 = 0x9fb2_1c65_1e98_df25;

/// The distinct words of a text; where they stand, not what they are.
#[derive(Debug)]
pub(crate) struct WordSet {
    /// Open addressing; a slot with a length of 0 is free.
    slots: Vec<Slot>,
    n_words: usize,
    /// 64 less the bits of a slot's number.
    shift: u32,
    incomplete: bool,
    /// The letters of the chunk before.
    before: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The word itself up to 8 bytes, else a hash of it.
    key: u64,
    start: u32,
    len: u32,
}

impl WordSet {
    pub(crate) fn new() -> Self {
        let slots = vec![Slot::default(); SLOTS_MIN];
        Self { slots, n_words: 0, shift: 64 - SLOTS_MIN.ilog2(), incomplete: false, before: 0 }
    }

    /// Takes the words that end in the chunk at `base`.
    #[inline]
    pub(crate) fn put(&mut self, text: &Lowered, base: usize, letters: u64) {
        let before = std::mem::replace(&mut self.before, letters);
        let long_enough =
            (1..=WORD_BYTES_MIN as u32).fold(!letters, |ends, by| ends & back(letters, before, by));
        let mut ends = long_enough;
        while ends != 0 {
            let n = ends.trailing_zeros();
            ends &= ends - 1;
            let end = base + n as usize;
            let len = history(letters, before, n).leading_ones() as usize;
            let start = end - len;
            // The history is 64 bits long: what goes on before it is too long.
            if len == WORD_BYTES_MAX
                && start > 0
                && text.slice(start - 1, start)[0].is_ascii_lowercase()
            {
                self.incomplete = true;
            } else {
                self.insert(text, start, len);
            }
        }
    }

    #[inline]
    fn insert(&mut self, text: &Lowered, start: usize, len: usize) {
        let last = text.eight_before(start + len);
        let key = if len <= 8 { last >> (64 - 8 * len) } else { long_key(text, start, len) };
        let new = Slot { key, start: start as u32, len: len as u32 };
        let mut at = self.place(key);
        loop {
            let slot = self.slots[at];
            if slot.len == 0 {
                break;
            }
            if slot.key == key && slot.len == new.len && (len <= 8 || slot.is(text, new)) {
                return;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        if self.n_words == WORDS_MAX {
            self.incomplete = true;
            return;
        }
        self.slots[at] = new;
        self.n_words += 1;
        if self.n_words * 2 > self.slots.len() {
            self.grow();
        }
    }

    #[inline]
    fn place(&self, key: u64) -> usize {
        // The highest bits of the product depend on all of the key.
        (key.wrapping_mul(MULTIPLIER) >> self.shift) as usize
    }

    fn grow(&mut self) {
        let double = vec![Slot::default(); self.slots.len() * 2];
        self.shift -= 1;
        for slot in std::mem::replace(&mut self.slots, double) {
            if slot.len > 0 {
                let mut at = self.place(slot.key);
                while self.slots[at].len > 0 {
                    at = (at + 1) & (self.slots.len() - 1);
                }
                self.slots[at] = slot;
            }
        }
    }

    /// What was found in the text; the set is empty again. `folds` as in [`FOLDS`].
    pub(crate) fn take(&mut self, text: &Lowered, folds: bool) -> BlockWords {
        let bytes = self.slots.iter().map(|slot| slot.len as usize + 1).sum();
        let mut words = String::with_capacity(bytes);
        for slot in self.slots.iter().filter(|slot| slot.len > 0) {
            let start = slot.start as usize;
            let word = text.slice(start, start + slot.len as usize);
            // Letters only: always UTF-8.
            words.extend(word.iter().map(|letter| char::from(*letter)));
            words.push(' ');
        }
        let incomplete = if self.incomplete { INCOMPLETE } else { 0 };
        self.slots.fill(Slot::default());
        (self.n_words, self.incomplete, self.before) = (0, false, 0);
        BlockWords { text: words, flags: incomplete | if folds { FOLDS } else { 0 } }
    }
}

impl Slot {
    fn is(self, text: &Lowered, other: Slot) -> bool {
        let bytes = |slot: Slot| {
            let start = slot.start as usize;
            text.slice(start, start + slot.len as usize)
        };
        bytes(self) == bytes(other)
    }
}

/// A hash of a word of more than eight bytes.
fn long_key(text: &Lowered, start: usize, len: usize) -> u64 {
    let mut end = start + len;
    let mut hash = len as u64;
    while end >= start + 8 {
        let product = u128::from(text.eight_before(end) ^ hash) * u128::from(MULTIPLIER);
        hash = (product >> 64) as u64 ^ product as u64;
        end -= 8;
    }
    // The first eight bytes, some of them once more.
    let product = u128::from(text.eight_before(start + 8) ^ hash) * u128::from(MULTIPLIER);
    (product >> 64) as u64 ^ product as u64
}

/// Whether U+212A KELVIN SIGN or U+017F LATIN SMALL LETTER LONG S occurs.
pub(crate) fn folds(text: &[u8]) -> bool {
    memchr::memmem::find(text, "\u{212A}".as_bytes()).is_some()
        || memchr::memmem::find(text, "\u{017F}".as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &[u8]) -> (Vec<String>, u64) {
        let words = words_of(text);
        let mut list: Vec<String> = words.text.split_whitespace().map(str::to_owned).collect();
        list.sort();
        (list, words.flags)
    }

    #[test]
    fn words_are_runs_of_letters_also_inside_mixed_tokens() {
        let (words, flags) = sorted(b"ERROR x4time99 of user_id=ab\xc3\xa9cd caf\xc3\xa9 Error");
        assert_eq!(words, ["caf", "error", "time", "user"]);
        assert_eq!(flags, 0);
    }

    #[test]
    fn what_is_not_indexed_is_flagged() {
        assert_eq!(sorted(&[b'a'; WORD_BYTES_MAX + 1]), (vec![], INCOMPLETE));
        assert_eq!(sorted("273 \u{212A}".as_bytes()).1, FOLDS);
        assert_eq!(sorted("\u{17F}top".as_bytes()), (vec!["top".to_owned()], FOLDS));
    }

    #[test]
    fn too_many_words_are_flagged() {
        let letters = |n: usize| {
            (0..4).map(|i| char::from(b'a' + (n / 26usize.pow(i) % 26) as u8)).collect::<String>()
        };
        let text: String = (0..WORDS_MAX + 1).map(|n| letters(n) + " ").collect();
        let words = words_of(text.as_bytes());
        assert_eq!(words.flags, INCOMPLETE);
        assert_eq!(words.text.split_whitespace().count(), WORDS_MAX);
        let all_known: String =
            (0..WORDS_MAX).map(|n| letters(n) + " " + &letters(n) + " ").collect();
        assert_eq!(words_of(all_known.as_bytes()).flags, 0);
    }
}
