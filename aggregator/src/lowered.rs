//! A text in lower case with the classes of its bytes, 64 at a time as bit masks: what words and
//! grams are cut from in one pass, without a branch a byte.

/// Bytes of a chunk: one bit of a mask each.
pub(crate) const CHUNK: usize = 64;
/// Zeros before the text, so that the eight bytes before any place can be loaded.
const FRONT: usize = 8;

/// A text whose ASCII letters are lowercased; behind it stands at least one separator.
#[derive(Debug, Default)]
pub(crate) struct Lowered {
    bytes: Vec<u8>,
}

/// The classes of a chunk's bytes: bit `n` tells of byte `n`. Separators are what is in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Classes {
    /// `a` to `z`.
    pub(crate) letters: u64,
    /// `0` to `9`.
    pub(crate) digits: u64,
    /// 0x80 and above.
    pub(crate) high: u64,
}

impl Lowered {
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut lowered = Self::default();
        lowered.fill(text);
        lowered
    }

    /// Replaces what it held; the allocation is kept.
    pub(crate) fn fill(&mut self, text: &[u8]) {
        self.bytes.clear();
        self.bytes.resize(FRONT, 0);
        self.bytes.extend_from_slice(text);
        self.bytes[FRONT..].make_ascii_lowercase();
        self.bytes.resize(FRONT + (text.len() + 1).next_multiple_of(CHUNK), 0);
    }

    /// The bytes from `start` to `end`, places in the text.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &[u8] {
        &self.bytes[FRONT + start..FRONT + end]
    }

    /// The eight bytes before `end` as a little-endian number: the last one is the highest.
    /// Zeros stand before the text.
    #[inline(always)]
    pub(crate) fn eight_before(&self, end: usize) -> u64 {
        let bytes = self.bytes[end..end + 8].first_chunk::<8>();
        u64::from_le_bytes(*bytes.expect("a slice of eight bytes"))
    }

    /// All chunks in order: where each begins, and its classes.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (usize, Classes)> + '_ {
        let chunks = self.bytes[FRONT..].as_chunks::<CHUNK>().0.iter();
        chunks.enumerate().map(|(n, chunk)| (n * CHUNK, Classes::of(chunk)))
    }
}

impl Classes {
    #[inline]
    fn of(chunk: &[u8; CHUNK]) -> Self {
        let mut classes = Self::default();
        for (n, eight) in chunk.as_chunks::<8>().0.iter().enumerate() {
            let eight = u64::from_le_bytes(*eight);
            let high = eight & HIGH_BITS;
            let low = eight & !HIGH_BITS;
            let between = |first: u8, last: u8| {
                at_least(low, first) & !at_least(low, last + 1) & !high & HIGH_BITS
            };
            classes.letters |= gathered(between(b'a', b'z')) << (8 * n);
            classes.digits |= gathered(between(b'0', b'9')) << (8 * n);
            classes.high |= gathered(high) << (8 * n);
        }
        classes
    }
}

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// Sets the high bit of each byte that is at least `least`; no byte of `low` has it set before, so
/// that no sum carries into its neighbour.
#[inline(always)]
fn at_least(low: u64, least: u8) -> u64 {
    low + EACH_BYTE * u64::from(0x80 - least)
}

/// The high bits of the eight bytes side by side, in the lowest eight bits.
#[inline(always)]
fn gathered(high_bits: u64) -> u64 {
    // Byte n's bit moves to place 56 + n; the other products fall below or out.
    (high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Bit `n` of the result is bit `n - by` of a mask that `before` precedes; `by` is 1 to 63.
#[inline(always)]
pub(crate) fn back(mask: u64, before: u64, by: u32) -> u64 {
    mask << by | before >> (64 - by)
}

/// The 64 bits before place `end` (0 to 63) of a mask that `before` precedes; the highest bit is the
/// one right before it.
#[inline(always)]
pub(crate) fn history(mask: u64, before: u64, end: u32) -> u64 {
    before >> end | mask << 1 << (63 - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_has_its_class() {
        let text: Vec<u8> = (0..=255u8).chain(0..=255).collect();
        let lowered = Lowered::of(&text);
        for (base, classes) in lowered.chunks() {
            for n in 0..CHUNK {
                let byte = text.get(base + n).copied().unwrap_or(0);
                let bit = |mask: u64| mask >> n & 1 == 1;
                assert_eq!(bit(classes.letters), byte.is_ascii_alphabetic(), "{byte:#x}");
                assert_eq!(bit(classes.digits), byte.is_ascii_digit(), "{byte:#x}");
                assert_eq!(bit(classes.high), byte >= 0x80, "{byte:#x}");
            }
        }
        assert_eq!(lowered.slice(65, 68), b"abc");
        assert_eq!(lowered.eight_before(4), 0x0302_0100_0000_0000);
    }

    /// The separator behind a text that fills its chunks has a chunk of its own.
    #[test]
    fn there_is_a_separator_behind_every_text() {
        for len in [0, 1, 63, 64, 65, 127, 128] {
            let lowered = Lowered::of(&vec![b'x'; len]);
            let letters: u32 = lowered.chunks().map(|(_, c)| c.letters.count_ones()).sum();
            assert_eq!(letters as usize, len);
            assert!(lowered.chunks().count() * CHUNK > len);
        }
    }

    #[test]
    fn history_looks_back_over_the_chunk() {
        assert_eq!(history(0b0111, 1 << 63, 0), 1 << 63);
        assert_eq!(history(0b0111, u64::MAX, 3).leading_ones(), 64);
        assert_eq!(history(0b0110, u64::MAX, 3).leading_ones(), 2);
        assert_eq!(back(1, 1 << 63, 1), 0b11);
    }
}
