//! Collects the keys of a block and folds them to a filter whose size follows their number.

use super::grams::KEY_BITS;

/// Words of the scratch bitmap: a bit for each key.
const SCRATCH_WORDS: usize = 1 << (KEY_BITS - 6);
/// A filter and its share of its group take at most so much of the block's text: per mille.
const TEXT_PER_MILLE: u64 = 15;
/// What a group of several adds to the filter of each of its blocks: address, checksums, its share of
/// the header; bits.
const OVERHEAD_BITS: u64 = 8 * 12;
/// The largest sizes, in bits: a fourth root of two apart. Halves of them, quarters and so on are the
/// smaller ones. The first just fits the share of a full block.
const LARGEST: [u32; 4] = [30_000, 25_226, 21_213, 17_838];
/// How often the largest sizes are halved.
const HALVINGS: u32 = 6;

/// The filter of one block: bit `row_of(key, m_bits)` is set for each of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockFilter {
    pub(crate) m_bits: u32,
    pub(crate) words: Vec<u64>,
}

/// The keys of a block while its text is gone over.
#[derive(Debug)]
pub(crate) struct Sketch {
    words: Box<[u64; SCRATCH_WORDS]>,
}

/// Which bit of a filter of `m_bits` bits belongs to a key; rises with the key.
#[inline(always)]
pub(crate) fn row_of(key: u32, m_bits: u32) -> u32 {
    ((u64::from(key) * u64::from(m_bits)) >> KEY_BITS) as u32
}

/// The sizes that a filter may have, the smallest first: bits.
fn sizes() -> impl Iterator<Item = u32> {
    let each = |halvings: u32| LARGEST.map(|bits| bits >> halvings).into_iter().rev();
    (0..=HALVINGS).rev().flat_map(each)
}

/// About half of the bits are set then, where each bit tells most; never above the share of the
/// text, but for the smallest size.
fn size_for(n_keys: u64, text_bytes: usize) -> u32 {
    let share = text_bytes as u64 * 8 * TEXT_PER_MILLE / 1000;
    let limit = share.saturating_sub(OVERHEAD_BITS);
    // 1 / ln 2 bits a key.
    let wanted = n_keys * 1443 / 1000;
    let mut best = LARGEST[3] >> HALVINGS;
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
    pub(crate) fn take(&mut self, text_bytes: usize) -> BlockFilter {
        let n_keys = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        let m_bits = size_for(n_keys, text_bytes);
        let mut words = vec![0; m_bits.div_ceil(64) as usize];
        for (n, word) in self.words.iter_mut().enumerate() {
            let mut rest = std::mem::take(word);
            while rest != 0 {
                let row = row_of(n as u32 * 64 + rest.trailing_zeros(), m_bits);
                words[(row >> 6) as usize] |= 1 << (row & 63);
                rest &= rest - 1;
            }
        }
        BlockFilter { m_bits, words }
    }
}

impl BlockFilter {
    /// Whether the block may hold all the keys.
    #[cfg(test)]
    pub(crate) fn may_hold(&self, keys: &[u32]) -> bool {
        keys.iter().all(|key| {
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
        assert_eq!(size_for(1_000_000, 256 << 10), 30_000, "a full block's share");
        assert_eq!(size_for(10_000, 256 << 10), 15_000, "half of the bits");
        assert_eq!(size_for(1_000_000, 128 << 10), 15_000);
        assert_eq!((size_for(0, 256 << 10), size_for(9000, 10)), (278, 278), "the smallest");
        assert!(sizes().is_sorted() && sizes().count() == 28);
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
