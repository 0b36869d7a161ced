//! Lines that an index suffers from: endless words, a fresh id in each, numbers.

use super::clock::Clock;
use super::random::Random;
use super::{Entries, put};

const ONSETS: [&str; 20] = [
    "b", "br", "c", "d", "dr", "f", "g", "gl", "h", "k", "l", "m", "n", "p", "pl", "r", "s", "st",
    "t", "v",
];
const NUCLEI: [&str; 6] = ["a", "e", "i", "o", "u", "ou"];
const CODAS: [&str; 13] = ["", "n", "r", "l", "s", "t", "m", "nd", "rk", "x", "ck", "ft", "mp"];
const SYLLABLES: u64 = (ONSETS.len() * NUCLEI.len()) as u64;

/// Distinct words: two open syllables and an ending.
pub(crate) const VOCABULARY: u64 = SYLLABLES * SYLLABLES * CODAS.len() as u64;

/// Lines of one stream.
pub(crate) struct Hostile;

impl Hostile {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Entries for Hostile {
    fn write(&mut self, random: &mut Random, clock: &mut Clock, out: &mut Vec<u8>) {
        clock.tick(random);
        clock.put_rfc3339(out);
        let level = random.pick(&["INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"]);
        put!(out, " {level} id={:016x} seq={}", random.next(), random.below(100_000_000));
        for _ in 0..8 + random.below(7) {
            out.push(b' ');
            let number = if random.percent(33) {
                random.below(VOCABULARY)
            } else {
                random.skewed(VOCABULARY)
            };
            put_word(number, out);
        }
        put!(out, " {}.{:03}\n", random.below(10_000), random.below(1000));
    }
}

/// The word with this number. Neighbours in frequency share no letters.
fn put_word(number: u64, out: &mut Vec<u8>) {
    // 7,919 and the size of the vocabulary have no common factor: each number keeps its own word.
    let mut number = (number * 7_919 + 4_001) % VOCABULARY;
    for _ in 0..2 {
        let syllable = (number % SYLLABLES) as usize;
        number /= SYLLABLES;
        out.extend_from_slice(ONSETS[syllable / NUCLEI.len()].as_bytes());
        out.extend_from_slice(NUCLEI[syllable % NUCLEI.len()].as_bytes());
    }
    out.extend_from_slice(CODAS[number as usize].as_bytes());
}
