//! What must be stored after a history: each token once, or declared lost, or one of those of which
//! nobody could know.

use std::collections::HashSet;

use super::super::fixture::{Fixture, stream};
use super::world::World;
use super::written::Written;

impl World {
    pub(super) fn check(&mut self) {
        for at in 0..self.written.len() {
            let one = &self.written[at];
            let lines = stored(&self.f, one.name);
            check_lines(one, &lines);
            let all: Vec<usize> = lines.into_iter().flatten().collect();
            let there = check_repeats(one, &all);
            self.tally.arrived += there.len() as u64;
            self.tally.repeated += (all.len() - there.len()) as u64;
            self.check_losses(at, &there);
        }
        self.check_metric();
    }

    /// Declared lost are at least the bytes of which it was known, and no more than are missing.
    fn check_losses(&mut self, at: usize, there: &HashSet<usize>) {
        let one = &self.written[at];
        let (mut missing, mut knowable) = (0, 0);
        for (number, token) in one.tokens.iter().enumerate() {
            self.tally.may_repeat += u64::from(token.may_repeat);
            if there.contains(&number) {
                continue;
            }
            assert!(token.destroyed, "{} lacks {number} of {there:?}", one.name);
            missing += token.bytes();
            if token.unknowable {
                self.tally.unknowable += 1;
            } else {
                self.tally.known_lost += 1;
                knowable += token.bytes();
            }
        }
        let lost = self.f.store(|store| store.lost_bytes_of(stream(b"c1", one.name.as_bytes())));
        let told = format!("{lost} bytes of {} are declared lost", one.name);
        assert!(lost >= knowable, "{told}, {knowable} were seen and are missing");
        assert!(lost <= missing, "{told}, only {missing} are missing");
        self.tally.tokens += one.tokens.len() as u64;
        self.tally.declared += lost as u64;
    }

    /// Unless a start declared again what was not acknowledged, the metric counts what is declared.
    fn check_metric(&self) {
        if self.tally.starts > 0 {
            return;
        }
        let counted: u64 = ["truncated", "vanished"].map(|reason| self.f.lost(reason)).iter().sum();
        let lost = self.f.store(|store| store.lost_bytes()) as u64;
        assert_eq!(counted, lost, "the metric of lost bytes and what is declared");
    }
}

/// All tokens that are there: once, but for those that may repeat.
fn check_repeats(one: &Written, all: &[usize]) -> HashSet<usize> {
    let mut there: HashSet<usize> = HashSet::new();
    for number in all {
        let is_new = there.insert(*number) || one.tokens[*number].may_repeat;
        assert!(is_new, "{} repeats {number}: {all:?}", one.name);
    }
    there
}

/// The tokens of each stored line. A line is made of whole tokens.
pub(super) fn stored(f: &Fixture, name: &str) -> Vec<Vec<usize>> {
    let parse = |text: String| {
        let number = |token: &str| {
            token.strip_suffix('>').and_then(|number| number.parse().ok()).expect("a whole token")
        };
        let mut tokens = text.split('<');
        assert_eq!(tokens.next(), Some(""), "{text:?}");
        tokens.map(number).collect()
    };
    f.texts(stream(b"c1", name.as_bytes())).into_iter().map(parse).collect()
}

/// What stands in one line was written one after the other, as far as it was not lost. Where a copy that
/// nobody knew stands among the files, nobody could know either.
fn check_lines(one: &Written, lines: &[Vec<usize>]) {
    let there: HashSet<usize> = lines.iter().flatten().copied().collect();
    for line in lines {
        for pair in line.windows(2) {
            if pair.iter().any(|number| one.tokens[*number].may_repeat) {
                continue;
            }
            assert!(pair[0] < pair[1], "{} {line:?}", one.name);
            for between in pair[0]..pair[1] {
                let is_lost = !there.contains(&(between + 1)) && between + 1 < pair[1];
                let ends = one.tokens[between].ends_line && there.contains(&between);
                assert!(is_lost || between + 1 == pair[1], "{} {line:?}: {between}", one.name);
                assert!(!ends, "{} {line:?}: {between} ends the line", one.name);
            }
        }
    }
}
