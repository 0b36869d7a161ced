//! Random histories of two streams whose files are truncated, copied, compressed, deleted and made anew
//! under the same inode number, before a collector that is killed and a transport that fails: every
//! byte arrives once, or is declared lost, or belongs to the few of which nobody could know.
//!
//! What is written are tokens, each with a number of its own. Nobody can know of a token that was
//! destroyed before the collector looked, while it was down, or before what it had read of it was
//! acknowledged by the time it was killed. And what was stored, but is in no checkpoint, is not
//! known again in a copy; neither is it if its original was deleted at once. How
//! much of the whole such exemptions are, and that the histories do reach what they are about, is
//! checked too.
//!
//! [`CASES_MIN`] histories run each time; `PROPTEST_CASES` asks for more (`.ci/long`: 50,000). Half
//! of them play in memory where there is such a file system: they cost a third.

mod check;
mod tally;
mod world;
mod written;

use std::path::Path;

use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::fixture::Fixture;
use super::store::Mode;
use tally::Tally;
use world::World;

/// Histories of each run.
const CASES_MIN: u32 = 2000;
/// Threads that play them: a history waits for the file system most of its time.
const THREADS: u32 = 8;

#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Tokens, some with a line end.
    Append(usize, Vec<bool>),
    /// Closes the file; the next append opens it again.
    Close(usize),
    Rotate(usize),
    Truncate(usize),
    CopyTruncate {
        stream: usize,
        /// Whether the collector looks between copying and truncating.
        look: bool,
        /// Whether something is written between the two.
        late: bool,
    },
    /// As before, but over the copy that was made before, if there is one.
    CopyOver(usize),
    /// A file of that age.
    Unlink(usize, usize),
    /// Deletes the file that is written, and makes it anew under its inode number, if the file system
    /// gives it again: one in memory never does, nor does any while the collector holds the file.
    Recreate(usize, Vec<bool>),
    Gzip(usize, usize),
    /// One turn of the loop.
    Step,
    Look,
    Pump,
    /// Six seconds without a writer: unterminated lines end.
    Wait,
    /// A minute: finished files are closed.
    LongWait,
    /// With `true` after what was acknowledged is in the checkpoints.
    Kill(bool),
    Start,
    /// The checkpoints are deleted while the collector does not run.
    Forget,
    Acks(Mode),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let tokens = proptest::collection::vec(any::<bool>(), 1..5);
    let mode = prop_oneof![
        4 => Just(Mode::Acknowledge),
        1 => Just(Mode::Hold),
        1 => Just(Mode::Full),
        1 => Just(Mode::Refuse),
        1 => Just(Mode::Fail),
        1 => Just(Mode::Unsure),
    ];
    let one = 0..2usize;
    let action = prop_oneof![
        12 => (one.clone(), tokens.clone()).prop_map(|(file, tokens)| Action::Append(file, tokens)),
        2 => one.clone().prop_map(Action::Close),
        2 => one.clone().prop_map(Action::Rotate),
        2 => one.clone().prop_map(Action::Truncate),
        4 => (one.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(stream, look, late)| Action::CopyTruncate { stream, look, late }),
        2 => one.clone().prop_map(Action::CopyOver),
        1 => (one.clone(), 0..4usize).prop_map(|(file, age)| Action::Unlink(file, age)),
        1 => (one.clone(), tokens).prop_map(|(file, tokens)| Action::Recreate(file, tokens)),
        2 => (one, 1..4usize).prop_map(|(file, age)| Action::Gzip(file, age)),
        2 => Just(Action::Step),
        12 => Just(Action::Look),
        3 => Just(Action::Pump),
        1 => Just(Action::Wait),
        1 => Just(Action::LongWait),
        2 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(Action::Kill),
        8 => Just(Action::Start),
        1 => Just(Action::Forget),
        2 => mode.prop_map(Action::Acks),
    ];
    proptest::collection::vec(action, 1..50)
}

/// Plays a history on a disk.
pub(super) fn play(actions: &[Action]) {
    play_on(Fixture::new(), actions);
}

fn play_on(fixture: Fixture, actions: &[Action]) -> Tally {
    let mut fixture = fixture;
    if actions.iter().any(|action| matches!(action, Action::Kill(_))) {
        // The rest of a line whose beginning a start cannot find again would be hidden.
        fixture.kill();
        fixture.config.redaction = false;
        fixture.start();
    }
    let mut world = World::new(fixture);
    for action in actions {
        world.apply(action);
    }
    world.finish();
    world.check();
    world.tally()
}

/// Plays random histories on one thread; gives what they were, or the one that failed.
fn play_random(cases: u32, in_memory: bool) -> Result<Tally, String> {
    let config = Config { cases, source_file: Some(file!()), ..Config::default() };
    let sum = Mutex::new(Tally::default());
    let played = TestRunner::new(config).run(&actions(), |actions| {
        let fixture = if in_memory { Fixture::in_memory() } else { Fixture::new() };
        let tally = play_on(fixture, &actions);
        sum.lock().add(&tally);
        Ok(())
    });
    played.map_err(|error| told(&error))?;
    Ok(sum.into_inner())
}

fn told(error: &TestError<Vec<Action>>) -> String {
    match error {
        TestError::Fail(reason, actions) => format!("{reason}: {actions:?}"),
        TestError::Abort(reason) => reason.to_string(),
    }
}

#[test]
fn every_byte_arrives_once_or_is_declared() {
    let cases = Config::default().cases.max(CASES_MIN).div_ceil(THREADS);
    let has_memory = Path::new("/dev/shm").is_dir();
    let played: Vec<Result<Tally, String>> = std::thread::scope(|scope| {
        let thread =
            |number| scope.spawn(move || play_random(cases, has_memory && number % 2 == 1));
        let threads: Vec<_> = (0..THREADS).map(thread).collect();
        threads.into_iter().map(|thread| thread.join().expect("panics are caught")).collect()
    });
    let (mut sum, mut failed) = (Tally::default(), Vec::new());
    for tally in played {
        match tally {
            Ok(tally) => sum.add(&tally),
            Err(error) => failed.push(error),
        }
    }
    assert!(failed.is_empty(), "{} histories failed:\n{}", failed.len(), failed.join("\n"));
    eprintln!("{sum:?}");
    sum.assert_means_something();
}
