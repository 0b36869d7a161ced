//! Every parser of foreign bytes against samples of all formats, mutated again and again: nothing
//! panics, what is found lies within the input, what comes in parts gives the same as the whole, and
//! nobody asks for more memory than they may.
//!
//! `SAWLOG_FUZZ_INPUTS` says how many inputs, `SAWLOG_TEST_SEED` which ones.

mod compressed;
mod lines;
mod mutate;
mod samples;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::allocator::{self, Counting};
use crate::redact::fuzz_tests::Redaction;
use crate::{checkpoint, envelope, journal, mesos};
pub(crate) use mutate::Random;
pub(crate) use samples::framed;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Inputs in an ordinary run of the tests.
const INPUTS: u64 = 4000;

/// How many failures are shown before it ends, and how much of each input.
const FAILURES_MAX: u32 = 10;
const SHOWN_BYTES_MAX: usize = 4096;

/// Who reads the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All that look at log lines.
    Lines,
    Gzip,
    Journal,
    /// An agent's answers, and lines of ours that are read back.
    Json,
    /// What an agent checkpoints.
    Meta,
    /// Our own checkpoints.
    Checkpoints,
    Generations,
}

/// The most bytes that may be asked for at once while an input of so many bytes is checked: what the
/// check itself takes, at most some copies of the input, is part of it.
fn bytes_max(kind: Kind, input: usize) -> usize {
    match kind {
        Kind::Lines => 16 * input + (4 << 20),
        // Whatever it inflates to.
        Kind::Gzip => 4 << 20,
        Kind::Journal => 16 * input + (64 << 10),
        // Structures of some hundred bytes for the few that an object takes.
        Kind::Json => 512 * input + (64 << 10),
        Kind::Meta => 128 * input + (512 << 10),
        Kind::Checkpoints | Kind::Generations => 16 * input + (64 << 10),
    }
}

/// What the checks keep from one input to the next.
struct Targets {
    redaction: Redaction,
    dir: tempfile::TempDir,
}

impl Targets {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { redaction: Redaction::new(), dir: dir.expect("temp dir") }
    }

    fn check(&mut self, kind: Kind, input: &[u8], random: &mut Random) {
        match kind {
            Kind::Lines => {
                lines::check(input, random);
                envelope::fuzz_tests::check(input, random);
                self.redaction.check(input, random);
            }
            Kind::Gzip => compressed::check(self.dir.path(), input, random),
            Kind::Journal => journal::fuzz_tests::check(input, random),
            Kind::Json => mesos::fuzz_tests::check_json(input),
            Kind::Meta => mesos::fuzz_tests::check_meta(self.dir.path(), input, random),
            Kind::Checkpoints => {
                checkpoint::fuzz_tests::check(self.dir.path(), "checkpoints", input);
            }
            Kind::Generations => {
                checkpoint::fuzz_tests::check(self.dir.path(), "generations", input);
            }
        }
    }
}

fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn parsers_take_any_bytes() {
    let inputs = number_from("SAWLOG_FUZZ_INPUTS", INPUTS);
    let seed = number_from("SAWLOG_TEST_SEED", 1);
    let mut random = Random::new(seed);
    let mut pool = mutate::Pool::new(samples::all());
    let mut targets = Targets::new();
    let (mut bytes, mut failures) = (0, 0);
    for number in 0..inputs {
        let (kind, input) = pool.next(number, &mut random);
        bytes += input.len();
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let asked = allocator::largest(|| targets.check(kind, input, &mut random));
            let most = bytes_max(kind, input.len());
            assert!(asked <= most, "{asked} bytes were asked for, of at most {most}");
        }));
        if checked.is_err() {
            failures += 1;
            let shown = &input[..input.len().min(SHOWN_BYTES_MAX)];
            let length = input.len();
            let text = shown.escape_ascii();
            eprintln!("seed {seed}, input {number}, {kind:?}, {length} bytes: b\"{text}\"");
            assert!(failures < FAILURES_MAX, "too many failures");
        }
    }
    println!("{inputs} inputs, {bytes} bytes, seed {seed}");
    assert_eq!(failures, 0, "inputs that failed are shown above");
}
