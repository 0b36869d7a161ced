//! Collects the keys of a block and folds them to a filter whose size follows their number.

use super::grams::{EXTRA, KEY_BITS};

/// Words of the scratch bitmap: a bit for each key, the extra ones behind the others.
const SCRATCH_WORDS: usize = 2 * EXTRA_WORDS;
const EXTRA_WORDS: usize = 1 << (KEY_BITS - 6);
/// A filter and its share of its group take at most so much of the block's text: per mille.
const TEXT_PER_MILLE: u64 = 15;
/// What a group adds to the filter of a block that is alone in it: header, address and the checksum of
/// a page; bits.
const OVERHEAD_BITS: u64 = 8 * 44;
/// The largest sizes, in bits: a 16th root of two apart, so that little of a block's share is given
/// away. Halves of them, quarters and so on are the smaller ones. The first just fits the share of a
/// full block.
const LARGEST: [u32; 16] = [
    31_100, 29_781, 28_518, 27_309, 26_151, 25_043, 23_981, 22_964, 21_991, 21_058, 20_165, 19_310,
    18_492, 17_708, 16_957, 16_238,
];
/// How often the largest sizes are halved.
const HALVINGS: u32 = 6;

/// The filter of one block: bit `row_of(key, m_bits)` is set for each of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockFilter {
    pub(crate) m_bits: u32,
    /// Whether the extra keys are in it too.
    pub(crate) has_extra: bool,
    pub(crate) words: Vec<u64>,
}

/// The keys of a block while its text is gone over.
#[derive(Debug)]
pub(crate) struct Sketch {
    words: Box<[u64; SCRATCH_WORDS]>,
}

/// Which bit of a filter of `m_bits` bits belongs to a key.
#[inline(always)]
pub(crate) fn row_of(key: u32, m_bits: u32) -> u32 {
    ((u64::from(key % EXTRA) * u64::from(m_bits)) >> KEY_BITS) as u32
}

/// The sizes that a filter may have, the smallest first: bits.
fn sizes() -> impl Iterator<Item = u32> {
    let each = |halvings: u32| LARGEST.map(|bits| bits >> halvings).into_iter().rev();
    (0..=HALVINGS).rev().flat_map(each)
}

/// The most bits that a filter may have beside so much text.
fn limit_for(text_bytes: usize) -> u64 {
    let share = text_bytes as u64 * 8 * TEXT_PER_MILLE / 1000;
    share.saturating_sub(OVERHEAD_BITS)
}

/// About half of the bits are set then, where each bit tells most; never above the share of the
/// text, but for the smallest size.
fn size_for(n_keys: u64, limit: u64) -> u32 {
    // 1 / ln 2 bits a key.
    let wanted = n_keys * 1443 / 1000;
    let mut best = LARGEST[LARGEST.len() - 1] >> HALVINGS;
    for bits in sizes().take_while(|bits| u64::from(*bits) <= limit) {
        best = bits;
        if u64::from(bits) >= wanted {
            break;
        }
    }
    best
}

impl Sketch {
    pub(crate) fn new() -> Self {
        Self { words: Box::new([0; SCRATCH_WORDS]) }
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, key: u32) {
        self.words[(key >> 6) as usize % SCRATCH_WORDS] |= 1 << (key & 63);
    }

    /// The filter of a block with so much text; the sketch is empty again.
    ///
    /// The extra keys stay out where they would fill more than two thirds of the bits: what shows
    /// many keys, as an id of letters and digits does, is found the better then.
    pub(crate) fn take(&mut self, text_bytes: usize) -> BlockFilter {
        let count = |words: &[u64]| words.iter().map(|word| u64::from(word.count_ones())).sum();
        let (first, extra) = self.words.split_at(EXTRA_WORDS);
        let (n_first, n_extra): (u64, u64) = (count(first), count(extra));
        let limit = limit_for(text_bytes);
        let has_extra = n_first + n_extra <= limit;
        let m_bits = size_for(if has_extra { n_first + n_extra } else { n_first }, limit);
        let mut words = vec![0; m_bits.div_ceil(64) as usize];
        for (n, word) in self.words.iter_mut().enumerate() {
            let mut rest = std::mem::take(word);
            if n >= EXTRA_WORDS && !has_extra {
                continue;
            }
            while rest != 0 {
                let row = row_of(n as u32 * 64 + rest.trailing_zeros(), m_bits);
                words[(row >> 6) as usize] |= 1 << (row & 63);
                rest &= rest - 1;
            }
        }
        BlockFilter { m_bits, has_extra, words }
    }
}

impl BlockFilter {
    /// Whether the block may hold all the keys.
    #[cfg(test)]
    pub(crate) fn may_hold(&self, keys: &[u32]) -> bool {
        keys.iter().filter(|key| self.has_extra || **key < EXTRA).all(|key| {
            let row = row_of(*key, self.m_bits);
            self.words[(row >> 6) as usize] >> (row & 63) & 1 == 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_keys_up_to_the_share_of_the_text() {
        let size = |n_keys, text_bytes| size_for(n_keys, limit_for(text_bytes));
        assert_eq!(size(1_000_000, 256 << 10), 31_100, "a full block's share");
        assert_eq!(size(10_000, 256 << 10), 14890, "half of the bits");
        assert_eq!(size(1_000_000, 128 << 10), 14890);
        assert_eq!((size(0, 256 << 10), size(9000, 10)), (253, 253), "the smallest");
        assert!(sizes().is_sorted() && sizes().count() == 7 * 16);
    }

    #[test]
    fn extra_keys_come_in_where_there_is_room() {
        let mut sketch = Sketch::new();
        let key = |n: u32| n.wrapping_mul(0x9e37_79b9) >> 14 | EXTRA;
        let mut fill = |n: u32, text_bytes| {
            (0..n).for_each(|n| sketch.put(key(n)));
            sketch.put(77);
            let filter = sketch.take(text_bytes);
            assert!(filter.may_hold(&[77, key(3)]));
            let others: Vec<u32> = (n..n + 64).map(key).collect();
            (filter.has_extra, filter.may_hold(&others))
        };
        assert_eq!(fill(1000, 256 << 10), (true, false));
        assert_eq!(fill(1000, 2 << 10), (false, true), "what is not in it is not asked for");
    }

    #[test]
    fn folding_keeps_every_key() {
        let mut sketch = Sketch::new();
        let keys: Vec<u32> = (0..20_000u32).map(|n| n.wrapping_mul(0x9e37_79b9) >> 14).collect();
        for text_bytes in [0, 40_000, 262_144] {
            keys.iter().for_each(|key| sketch.put(*key));
            let filter = sketch.take(text_bytes);
            assert!(filter.may_hold(&keys));
            assert!(!sketch.take(text_bytes).may_hold(&keys[..1]), "taken: empty");
        }
    }
}
