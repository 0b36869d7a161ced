//! Random histories of two streams, against a model that only knows what was written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use sawlog_transport::GenerationId;

use super::fixture::{Fixture, RUN, generation, stream};
use super::store::Mode;

const FILES: [&str; 2] = ["stdout", "stderr"];
/// After this no line waits any more because nobody tells who writes its file.
const UNKNOWN_WRITERS: Duration = Duration::from_secs(70);

#[derive(Clone, Debug)]
enum Action {
    /// Appends bytes, often without a line end, and keeps the file open.
    Append(usize, Vec<u8>),
    /// Closes, renames all, and lets the next append make a new file.
    Rotate(usize),
    /// Deletes the oldest rotated file, once the collector has seen it.
    Unlink(usize),
    Step,
    Pump,
    /// Six seconds without a writer: unterminated lines end.
    Wait,
    /// The collector dies and starts again; with `true` it lost its checkpoints.
    Restart(bool),
    Acks(bool),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let bytes = prop_oneof![
        3 => proptest::collection::vec(prop_oneof![5 => any::<u8>(), 1 => Just(b'\n')], 0..60),
        2 => "[a-z ]{0,20}".prop_map(String::into_bytes),
        2 => "[a-z ]{0,20}\n".prop_map(String::into_bytes),
    ];
    let action = prop_oneof![
        10 => (0..2usize, bytes).prop_map(|(file, bytes)| Action::Append(file, bytes)),
        3 => (0..2usize).prop_map(Action::Rotate),
        2 => (0..2usize).prop_map(Action::Unlink),
        4 => Just(Action::Step),
        3 => Just(Action::Pump),
        1 => Just(Action::Wait),
        2 => any::<bool>().prop_map(Action::Restart),
        1 => any::<bool>().prop_map(Action::Acks),
    ];
    proptest::collection::vec(action, 1..60)
}

/// What was written to one stream.
#[derive(Default)]
struct Written {
    name: &'static str,
    writer: Option<File>,
    /// The lines so far; the last one is unterminated, maybe empty.
    lines: VecDeque<Vec<u8>>,
    /// All bytes.
    raw: Vec<u8>,
    /// How many rotated files have a name.
    rotated: usize,
    /// What deleted files were called, and how long they were.
    deleted: Vec<(GenerationId, u64)>,
    /// A deleted file holds the unterminated line.
    fragile: bool,
}

impl Written {
    fn new(name: &'static str) -> Self {
        Self { name, lines: VecDeque::from([Vec::new()]), ..Self::default() }
    }

    fn path(&self, suffix: usize) -> String {
        if suffix == 0 {
            format!("{RUN}/{}", self.name)
        } else {
            format!("{RUN}/{}.{suffix}", self.name)
        }
    }

    fn append(&mut self, f: &Fixture, bytes: &[u8]) {
        let path = self.path(0);
        let writer = self.writer.get_or_insert_with(|| f.writer(&path));
        writer.write_all(bytes).expect("write");
        self.raw.extend_from_slice(bytes);
        for byte in bytes {
            match byte {
                b'\n' => self.lines.push_back(Vec::new()),
                byte => self.lines.back_mut().expect("never empty").push(*byte),
            }
        }
        if bytes.contains(&b'\n') {
            self.fragile = false;
        }
    }

    fn rotate(&mut self, f: &Fixture) {
        self.writer = None;
        if !f.path(&self.path(0)).exists() {
            return;
        }
        for n in (0..=self.rotated).rev() {
            f.rename(&self.path(n), &self.path(n + 1));
        }
        self.rotated += 1;
    }

    fn unlink(&mut self, f: &Fixture) {
        if self.rotated == 0 {
            return;
        }
        let path = self.path(self.rotated);
        let (generation, content) = generation(&f.path(&path));
        let unterminated = !self.lines.back().expect("never empty").is_empty();
        f.remove(&path);
        self.rotated -= 1;
        self.fragile |= unterminated && !content.ends_with(b"\n") && !content.is_empty();
        self.deleted.push((generation, content.len() as u64));
    }

    /// The unterminated line ends.
    fn end(&mut self) {
        self.writer = None;
        if !self.lines.back().expect("never empty").is_empty() {
            self.lines.push_back(Vec::new());
        }
        self.fragile = false;
    }

    fn expected(&self) -> Vec<Vec<u8>> {
        self.lines.iter().take(self.lines.len() - 1).cloned().collect()
    }

    fn files(&self, f: &Fixture) -> Vec<PathBuf> {
        let paths = (0..=self.rotated).map(|n| f.path(&self.path(n)));
        paths.filter(|path| path.exists()).collect()
    }
}

fn apply(f: &mut Fixture, written: &mut [Written; 2], action: &Action) {
    match action {
        Action::Append(file, bytes) => written[*file].append(f, bytes),
        Action::Rotate(file) => written[*file].rotate(f),
        Action::Unlink(file) => {
            while f.step() {}
            written[*file].unlink(f);
        }
        Action::Step => {
            f.step();
        }
        Action::Pump => f.pump(),
        Action::Wait => {
            for one in written.iter_mut() {
                one.end();
            }
            f.wait(Duration::from_secs(6));
        }
        Action::Restart(forget) => restart(f, written, *forget),
        Action::Acks(true) => f.recorder.set(Mode::Acknowledge),
        Action::Acks(false) => f.recorder.set(Mode::Hold),
    }
}

/// What only a dying process had open is lost, and rightly so: such deaths are not played.
fn restart(f: &mut Fixture, written: &[Written; 2], forget: bool) {
    if written.iter().any(|one| one.fragile) {
        return;
    }
    if written.iter().any(|one| !one.deleted.is_empty()) {
        f.recorder.set(Mode::Acknowledge);
        f.pump();
        if f.config.pretended.no_leases {
            f.wait(UNKNOWN_WRITERS);
        }
    }
    f.kill();
    if forget {
        f.forget_checkpoints();
    }
    f.start();
}

/// What a line shows after a restart whose beginning was handed on, and is gone with its file.
const REST_WITHOUT_BEGINNING: &str = "[redacted:unscanned]";

fn check(f: &Fixture, written: &Written, restarted: bool) {
    let stored = f.store(|store| store.texts(stream(b"c1", written.name.as_bytes())));
    let expected = written.expected();
    let text = |lines: &[Vec<u8>]| -> Vec<String> {
        lines.iter().map(|line| line.escape_ascii().to_string()).collect()
    };
    let (mut stored, expected) = (text(&stored), text(&expected));
    if restarted {
        for (stored, expected) in stored.iter_mut().zip(&expected) {
            if stored == REST_WITHOUT_BEGINNING && !expected.is_empty() {
                stored.clone_from(expected);
            }
        }
    }
    assert_eq!(stored, expected, "{}", written.name);
    check_bytes(f, written);
}

/// Every byte of every file is there.
fn check_bytes(f: &Fixture, written: &Written) {
    let files = written.files(f).into_iter().map(|path| {
        let (generation, content) = generation(&path);
        (generation, content.len() as u64)
    });
    for (generation, len) in files.chain(written.deleted.iter().copied()) {
        assert!(f.store(|store| store.is_complete(generation, len)), "{}", written.name);
    }
}

/// Where a line ends is not always known, but nothing stands in one line that was not written so.
fn check_unknowing(f: &Fixture, written: &Written, restarted: bool) {
    let stored = f.store(|store| store.texts(stream(b"c1", written.name.as_bytes())));
    let is_shown = |line: &Vec<u8>| !restarted || line != REST_WITHOUT_BEGINNING.as_bytes();
    for line in stored.into_iter().filter(is_shown) {
        let is_written = memchr::memmem::find(&written.raw, &line).is_some();
        assert!(is_written && !line.contains(&b'\n'), "{} {}", written.name, line.escape_ascii());
    }
    check_bytes(f, written);
}

proptest! {
    #[test]
    fn without_leases_every_byte_arrives_once_and_no_lines_are_glued(actions in actions()) {
        let mut f = Fixture::new();
        f.config.pretended.no_leases = true;
        f.restart();
        let mut written = FILES.map(Written::new);
        for action in &actions {
            apply(&mut f, &mut written, action);
        }
        f.recorder.set(Mode::Acknowledge);
        apply(&mut f, &mut written, &Action::Wait);
        f.wait(UNKNOWN_WRITERS);
        let restarted = actions.iter().any(|action| matches!(action, Action::Restart(_)));
        for one in &written {
            check_unknowing(&f, one, restarted);
        }
        prop_assert!(restarted || f.duplicates() == 0);
    }

    #[test]
    fn every_byte_arrives_once_and_in_order(actions in actions()) {
        let mut f = Fixture::new();
        let mut written = FILES.map(Written::new);
        for action in &actions {
            apply(&mut f, &mut written, action);
        }
        f.recorder.set(Mode::Acknowledge);
        apply(&mut f, &mut written, &Action::Wait);
        let restarted = actions.iter().any(|action| matches!(action, Action::Restart(_)));
        for one in &written {
            check(&f, one, restarted);
        }
        prop_assert!(restarted || f.duplicates() == 0);
        prop_assert_eq!(f.collector().status().in_flight_bytes, 0);
    }
}
