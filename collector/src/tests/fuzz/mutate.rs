//! Inputs out of samples: bits flipped, ends cut, parts doubled, spliced and left out; what came of it is
//! mutated further.

use super::Kind;

/// The longest input, but for some that are lines repeated.
const INPUT_BYTES_MAX: usize = 8 * 1024;
/// Beyond what one line or one frame may have.
const LONG_BYTES: usize = 300 * 1024;
/// One input in so many is that long.
const LONG_EVERY: usize = 500;
/// Bytes and words that parsers look for.
const WORDS: [&[u8]; 24] = [
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"\\u",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"=",
    b" ",
    b"\0",
    b"\xff",
    b"\x1b[31m",
    b"\xef\xbb\xbf",
    b"-----BEGIN PRIVATE KEY-----",
    b"trace_id=",
    b"password=",
    b"2026-08-20T10:00:00Z",
    b"9999999999999999999",
    b" stdout F ",
    b" stderr P ",
    b"\\ud800",
];

/// A splitmix generator: small, and the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A part of so many bytes: where it starts and ends.
    pub(crate) fn part(&mut self, bytes: usize) -> std::ops::Range<usize> {
        let (one, other) = (self.below(bytes + 1), self.below(bytes + 1));
        one.min(other)..one.max(other)
    }
}

/// Samples, and what came of them.
pub(super) struct Pool {
    samples: Vec<(Kind, Vec<u8>)>,
    mutated: Vec<(Kind, Vec<u8>)>,
    input: Vec<u8>,
}

impl Pool {
    pub(super) fn new(samples: Vec<(Kind, Vec<u8>)>) -> Self {
        Self { mutated: samples.clone(), samples, input: Vec::new() }
    }

    /// The next input: the samples as they are come first.
    pub(super) fn next(&mut self, number: u64, random: &mut Random) -> (Kind, &[u8]) {
        if number < self.samples.len() as u64 {
            let (kind, sample) = &self.samples[number as usize];
            return (*kind, sample);
        }
        let at = random.below(self.mutated.len());
        let kind = self.mutated[at].0;
        self.input.clone_from(&self.mutated[at].1);
        for _ in 0..=random.below(6) {
            self.mutate(kind, random);
        }
        let is_long = kind == Kind::Lines && random.below(LONG_EVERY) == 0;
        if is_long && !self.input.is_empty() {
            let times = LONG_BYTES / self.input.len() + 1;
            self.input = self.input.repeat(times);
        } else {
            self.input.truncate(INPUT_BYTES_MAX);
            // Most go on from here, some from the sample again.
            let kept = if random.below(4) == 0 { &self.samples[at].1 } else { &self.input };
            self.mutated[at].1.clone_from(kept);
        }
        (kind, &self.input)
    }

    fn mutate(&mut self, kind: Kind, random: &mut Random) {
        let input = &mut self.input;
        let at = random.below(input.len());
        let part = random.part(input.len());
        match random.below(9) {
            0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            1 if !input.is_empty() => input[at] = random.below(256) as u8,
            2 => input.truncate(at),
            3 => drop(input.drain(part.start..part.end.min(part.start + 64))),
            4 if input.len() < INPUT_BYTES_MAX => input.extend_from_within(part),
            5 => {
                let word = WORDS[random.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
            6 => {
                let other = &self.mutated[random.below(self.mutated.len())].1;
                input.splice(part, other[random.part(other.len())].iter().copied());
            }
            7 => {
                let same: Vec<_> = self.samples.iter().filter(|other| other.0 == kind).collect();
                input.extend_from_slice(&same[random.below(same.len())].1);
            }
            // Numbers that say how much follows.
            _ => {
                let length = [u32::MAX, 0x7fff_ffff, 0, 1, 0x10_0000][random.below(5)];
                let end = (at + 4).min(input.len());
                input.splice(at..end, length.to_le_bytes());
            }
        }
    }
}
