//! The words of a block: maximal runs of ASCII letters, lowercased. They are what the index knows
//! of a block; see [`crate::prune`] for how queries use them.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

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

type WordSet<'a> = HashSet<&'a [u8], BuildHasherDefault<xxhash_rust::xxh3::Xxh3Default>>;

/// Collects the distinct words of a block's text.
pub fn words_of(text: &[u8]) -> BlockWords {
    let mut flags = if folds(text) { FOLDS } else { 0 };
    let lower = text.to_ascii_lowercase();
    let mut words = WordSet::default();
    for word in letter_runs(&lower) {
        if word.len() < WORD_BYTES_MIN {
            continue;
        }
        if word.len() > WORD_BYTES_MAX || words.len() >= WORDS_MAX && !words.contains(word) {
            flags |= INCOMPLETE;
            continue;
        }
        words.insert(word);
    }
    let mut text = String::with_capacity(words.iter().map(|word| word.len() + 1).sum());
    for word in words {
        // Letters only: always UTF-8.
        text.extend(word.iter().map(|letter| char::from(*letter)));
        text.push(' ');
    }
    BlockWords { text, flags }
}

/// Whether U+212A KELVIN SIGN or U+017F LATIN SMALL LETTER LONG S occurs.
fn folds(text: &[u8]) -> bool {
    memchr::memmem::find(text, "\u{212A}".as_bytes()).is_some()
        || memchr::memmem::find(text, "\u{017F}".as_bytes()).is_some()
}

/// The maximal runs of ASCII letters.
pub(crate) fn letter_runs(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_alphabetic()).filter(|run| !run.is_empty())
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
