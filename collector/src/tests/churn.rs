//! Random histories of two streams whose files are truncated, copied, compressed and deleted: every
//! byte arrives once, or is declared lost, or belongs to the few of which nobody could know.
//!
//! What is written are tokens, each with a number of its own. Nobody can know of a token that was
//! destroyed before the collector looked, while it was down, or before what it had read of it was
//! acknowledged by the time it was killed. And what was stored, but is in no checkpoint, is not
//! known again in a copy under another name; neither is it if its original was deleted at once.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{Fixture, RUN, stream};
use super::store::Mode;

const NAMES: [&str; 2] = ["stdout", "stderr"];

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
    /// As before, but over the copy that was made before, if there is one. Played in chosen histories
    /// only: a copy that holds the beginning of a line is declared lost twice when it is overwritten.
    CopyOver(usize),
    /// A file of that age.
    Unlink(usize, usize),
    Gzip(usize, usize),
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
        1 => Just(Mode::Fail),
    ];
    let one = 0..2usize;
    let action = prop_oneof![
        12 => (one.clone(), tokens).prop_map(|(file, tokens)| Action::Append(file, tokens)),
        2 => one.clone().prop_map(Action::Close),
        2 => one.clone().prop_map(Action::Rotate),
        2 => one.clone().prop_map(Action::Truncate),
        4 => (one.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(stream, look, late)| Action::CopyTruncate { stream, look, late }),
        1 => (one.clone(), 0..4usize).prop_map(|(file, age)| Action::Unlink(file, age)),
        2 => (one, 1..4usize).prop_map(|(file, age)| Action::Gzip(file, age)),
        5 => Just(Action::Look),
        3 => Just(Action::Pump),
        1 => Just(Action::Wait),
        1 => Just(Action::LongWait),
        2 => prop_oneof![3 => Just(true), 1 => Just(false)].prop_map(Action::Kill),
        3 => Just(Action::Start),
        1 => Just(Action::Forget),
        2 => mode.prop_map(Action::Acks),
    ];
    proptest::collection::vec(action, 1..50)
}

#[derive(Clone, Copy, Debug, Default)]
struct Token {
    ends_line: bool,
    seen: bool,
    destroyed: bool,
    /// Nobody can know of it.
    unknowable: bool,
    /// It was stored and no checkpoint told when the collector was killed: in a copy nobody knows it
    /// again.
    may_repeat: bool,
}

impl Token {
    fn bytes(self) -> usize {
        TOKEN_BYTES + usize::from(self.ends_line)
    }
}

/// `<0000>`.
const TOKEN_BYTES: usize = 6;

/// One stream as it was written.
#[derive(Default)]
struct Written {
    name: &'static str,
    tokens: Vec<Token>,
    writer: Option<File>,
    /// Something was stored that is in no checkpoint: if the file is truncated before the collector
    /// looks again, its new bytes are taken for those.
    fragile: bool,
    /// It was truncated since the collector looked.
    is_emptied: bool,
    /// What the files hold, the one that is written first.
    files: Vec<Option<OneFile>>,
}

#[derive(Clone, Default)]
struct OneFile {
    tokens: Vec<usize>,
    gz: bool,
    /// It was copied from the file that is written, and is younger.
    is_copy: bool,
}

impl Written {
    fn new(name: &'static str) -> Self {
        Self { name, files: vec![None], ..Self::default() }
    }

    fn path(&self, age: usize) -> String {
        let gz = self.files[age].as_ref().is_some_and(|file| file.gz);
        let suffix = if age == 0 { String::new() } else { format!(".{age}") };
        format!("{RUN}/{}{suffix}{}", self.name, if gz { ".gz" } else { "" })
    }

    fn append(&mut self, f: &Fixture, ends: &[bool]) {
        let path = self.path(0);
        let writer = self.writer.get_or_insert_with(|| f.writer(&path));
        let file = self.files[0].get_or_insert_default();
        let mut bytes = String::new();
        for ends_line in ends {
            let number = self.tokens.len();
            bytes += &format!("<{number:04}>{}", if *ends_line { "\n" } else { "" });
            self.tokens.push(Token { ends_line: *ends_line, ..Token::default() });
            file.tokens.push(number);
        }
        writer.write_all(bytes.as_bytes()).expect("write");
    }

    /// Makes room for a new file of age 1.
    fn shift(&mut self, f: &Fixture) {
        for age in (1..self.files.len()).rev().filter(|age| self.files[*age].is_some()) {
            let from = self.path(age);
            let to = from.replace(&format!(".{age}"), &format!(".{}", age + 1));
            f.rename(&from, &to);
        }
        self.files.insert(1, None);
    }

    fn rotate(&mut self, f: &Fixture) {
        self.writer = None;
        if self.files[0].is_none() {
            return;
        }
        self.shift(f);
        f.rename(&self.path(0), &self.path(1));
        self.files.swap(0, 1);
    }

    fn copy(&mut self, f: &Fixture) {
        self.shift(f);
        f.copy(&self.path(0), &self.path(1));
        self.copied();
    }

    fn copied(&mut self) {
        let original = self.files[0].clone().unwrap_or_default();
        self.files[1] = Some(OneFile { is_copy: true, ..original });
    }

    /// Copies over the copy before; `false` if there is none.
    fn copy_over(&mut self, f: &Fixture, is_up: bool) -> bool {
        let one = self.files.get(1).and_then(Option::as_ref);
        if !one.is_some_and(|file| file.is_copy && !file.gz) {
            return false;
        }
        f.copy(&self.path(0), &self.path(1));
        self.destroy(1, is_up);
        self.copied();
        true
    }

    fn truncate(&mut self, f: &Fixture, is_up: bool) {
        f.truncate(&self.path(0));
        self.is_emptied = true;
        self.destroy(0, is_up);
        self.files[0] = Some(OneFile::default());
    }

    /// What no other file holds is gone.
    fn destroy(&mut self, age: usize, is_up: bool) {
        let Some(gone) = self.files[age].take() else { return };
        let rest: HashSet<usize> =
            self.files.iter().flatten().flat_map(|file| file.tokens.iter().copied()).collect();
        for number in gone.tokens.into_iter().filter(|number| !rest.contains(number)) {
            let token = &mut self.tokens[number];
            token.destroyed = true;
            token.unknowable |= !token.seen || !is_up;
        }
    }

    /// The original may go before the collector looks: a copy is known beside its original only.
    fn leave_copies(&mut self, age: usize) {
        for number in self.files.iter().skip(age + 1).flatten().flat_map(|file| &file.tokens) {
            self.tokens[*number].may_repeat = true;
        }
    }

    fn gzip(&mut self, f: &Fixture, age: usize) {
        let from = self.path(age);
        if self.is_emptied {
            self.leave_copies(age);
        }
        let Some(file) = self.files[age].as_mut().filter(|file| !file.gz) else { return };
        file.gz = true;
        let content = std::fs::read(f.path(&from)).expect("read");
        let to = File::create(f.path(&self.path(age))).expect("create");
        let mut encoder = flate2::write::GzEncoder::new(to, flate2::Compression::fast());
        encoder.write_all(&content).expect("write");
        encoder.finish().expect("finish");
        f.remove(&from);
    }

    fn look(&mut self) {
        (self.fragile, self.is_emptied) = (false, false);
        for number in self.files.iter().flatten().flat_map(|file| &file.tokens) {
            self.tokens[*number].seen = true;
        }
    }
}

/// A fixture, what was written, and whether the collector runs.
struct World {
    f: Fixture,
    written: [Written; 2],
    is_up: bool,
}

impl World {
    fn new() -> Self {
        let f = Fixture::new();
        f.recorder.store.lock().lenient = true;
        Self { f, written: NAMES.map(Written::new), is_up: true }
    }

    fn look(&mut self) {
        if self.is_up {
            while self.f.step() {}
            self.written.iter_mut().for_each(Written::look);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.written.iter_mut().for_each(|one| one.writer = None);
        if self.is_up {
            self.f.wait(time);
            self.written.iter_mut().for_each(Written::look);
        }
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.is_up, false) {
            return;
        }
        self.f.kill();
        for one in &mut self.written {
            let stored = stored(&self.f, one.name);
            let there: HashSet<usize> = stored.iter().flatten().copied().collect();
            for (number, token) in one.tokens.iter_mut().enumerate() {
                token.unknowable |= token.destroyed && !there.contains(&number);
            }
        }
    }

    fn mark_repeatable(&mut self) {
        for one in &mut self.written {
            for number in stored(&self.f, one.name).into_iter().flatten() {
                one.tokens[number].may_repeat = true;
                one.fragile = true;
            }
        }
    }

    fn start(&mut self) {
        if !std::mem::replace(&mut self.is_up, true) {
            self.f.start();
            // What another process has seen is forgotten.
            for token in self.written.iter_mut().flat_map(|one| &mut one.tokens) {
                token.seen = false;
            }
        }
    }

    fn apply(&mut self, action: &Action) {
        let is_up = self.is_up;
        match action {
            Action::Append(stream, ends) => self.written[*stream].append(&self.f, ends),
            Action::Close(stream) => self.written[*stream].writer = None,
            Action::Rotate(stream) => self.written[*stream].rotate(&self.f),
            Action::Truncate(stream) => {
                let one = &self.written[*stream];
                if one.files[0].is_some() && !one.fragile {
                    self.written[*stream].truncate(&self.f, is_up);
                }
            }
            Action::CopyTruncate { stream, look, late } => {
                self.copy_truncate(*stream, *look, *late);
            }
            Action::CopyOver(stream) => self.copy_over(*stream),
            Action::Unlink(stream, age) => self.unlink(*stream, *age),
            Action::Gzip(stream, age) => {
                if self.written[*stream].files.len() > *age {
                    self.written[*stream].gzip(&self.f, *age);
                }
            }
            Action::Look => self.look(),
            Action::Pump => {
                if is_up {
                    self.f.pump();
                    self.written.iter_mut().for_each(Written::look);
                }
            }
            Action::Wait => self.wait(Duration::from_secs(6)),
            Action::LongWait => self.wait(Duration::from_secs(60)),
            Action::Kill(settled) => {
                if self.written.iter().any(|one| one.is_emptied) {
                    self.look();
                }
                if *settled && self.is_up {
                    self.f.wait(Duration::from_millis(300));
                    self.written.iter_mut().for_each(Written::look);
                }
                self.kill();
                if !settled || *self.f.recorder.mode.lock() != Mode::Acknowledge {
                    self.mark_repeatable();
                }
            }
            Action::Start => self.start(),
            Action::Forget => self.forget(),
            Action::Acks(mode) => self.f.recorder.set(*mode),
        }
    }

    fn copy_truncate(&mut self, stream: usize, look: bool, late: bool) {
        let one = &self.written[stream];
        if one.files[0].is_none() || one.fragile {
            return;
        }
        self.written[stream].copy(&self.f);
        if look {
            self.look();
        }
        if late {
            self.written[stream].append(&self.f, &[true]);
        }
        self.written[stream].truncate(&self.f, self.is_up);
    }

    fn copy_over(&mut self, stream: usize) {
        // A short copy that was closed, and overwritten before its original was looked at again, is
        // taken for what it was.
        if self.written[stream].is_emptied {
            if !self.is_up {
                return;
            }
            self.look();
        }
        let one = &mut self.written[stream];
        if one.files[0].is_none() || one.fragile {
            return;
        }
        if !one.copy_over(&self.f, self.is_up) {
            one.copy(&self.f);
        }
        one.truncate(&self.f, self.is_up);
    }

    fn unlink(&mut self, stream: usize, age: usize) {
        let one = &mut self.written[stream];
        if one.files.get(age).is_none_or(Option::is_none) {
            return;
        }
        if age == 0 {
            one.writer = None;
            one.files.iter_mut().flatten().for_each(|file| file.is_copy = false);
            one.leave_copies(0);
        } else if one.is_emptied {
            one.leave_copies(age);
        }
        self.f.remove(&one.path(age));
        one.destroy(age, self.is_up);
    }

    /// While the collector is down and its checkpoints are gone, it can know nothing of what
    /// happens: nothing does.
    fn forget(&mut self) {
        if self.is_up {
            self.look();
            self.kill();
            self.f.forget_checkpoints();
            self.start();
            self.mark_repeatable();
            self.look();
            let mode = *self.f.recorder.mode.lock();
            if mode == Mode::Acknowledge {
                self.f.wait(Duration::from_millis(300));
                self.look();
            }
        }
    }

    fn finish(&mut self) {
        self.start();
        self.f.recorder.set(Mode::Acknowledge);
        for _ in 0..3 {
            self.wait(Duration::from_secs(20));
        }
    }

    fn check(&self) {
        let (mut missing, mut knowable) = (0, 0);
        for one in &self.written {
            let lines = stored(&self.f, one.name);
            check_lines(one, &lines);
            let all: Vec<usize> = lines.into_iter().flatten().collect();
            let mut there: HashSet<usize> = HashSet::new();
            for number in &all {
                let is_new = there.insert(*number) || one.tokens[*number].may_repeat;
                assert!(is_new, "{} repeats {number}: {all:?}", one.name);
            }
            for (number, token) in one.tokens.iter().enumerate() {
                if there.contains(&number) {
                    continue;
                }
                assert!(token.destroyed, "{} lacks {number} of {all:?}", one.name);
                missing += token.bytes();
                knowable += if token.unknowable { 0 } else { token.bytes() };
            }
        }
        let lost = self.f.store(|store| store.lost_bytes());
        assert!(
            lost >= knowable,
            "{lost} bytes declared lost, {knowable} were seen and are missing"
        );
        assert!(lost <= missing, "{lost} bytes declared lost, only {missing} are missing");
    }
}

/// The tokens of each stored line. A line is made of whole tokens.
fn stored(f: &Fixture, name: &str) -> Vec<Vec<usize>> {
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

/// What stands in one line was written one after the other, as far as it was not lost.
fn check_lines(one: &Written, lines: &[Vec<usize>]) {
    let there: HashSet<usize> = lines.iter().flatten().copied().collect();
    for line in lines {
        for pair in line.windows(2) {
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

pub(super) fn play(actions: &[Action]) {
    let mut world = World::new();
    for action in actions {
        world.apply(action);
    }
    world.finish();
    world.check();
}

proptest! {
    #[test]
    fn every_byte_arrives_once_or_is_declared(actions in actions()) {
        play(&actions);
    }
}
