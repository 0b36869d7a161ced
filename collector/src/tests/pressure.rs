//! What happens when there is more to read than can be sent: who is read first, what is held back,
//! what is spilled, and what is lost when even that is too much.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use sawlog_transport::run::PieceKind;
use sawlog_transport::{GenerationId, StreamId};

use super::fixture::{Fixture, RUN, generation, stream};
use super::store::Mode;
use crate::rate::{OnLimit, RateRule};

const MIB: u64 = 1 << 20;

/// Steps in which the spool's thread has had its time.
const STEPS_MAX: usize = 20_000;

fn sandbox(container: usize) -> String {
    format!("slaves/S1/frameworks/F/executors/E/runs/c{container}")
}

fn id(container: usize) -> StreamId {
    stream(format!("c{container}").as_bytes(), b"stdout")
}

/// Lines that do not become much shorter when compressed: numbered, 100 bytes each.
struct Lines {
    next: u64,
    state: u64,
}

impl Lines {
    fn new() -> Self {
        Self { next: 0, state: 0x9e37_79b9_7f4a_7c15 }
    }

    fn take(&mut self, count: usize) -> String {
        let mut text = String::new();
        for _ in 0..count {
            text += &format!("{:08} ", self.next);
            self.next += 1;
            for _ in 0..90 {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                text.push(char::from(b' ' + (self.state >> 20) as u8 % 94));
            }
            text.push('\n');
        }
        text
    }
}

/// Steps until it is so, while the threads of logs get on.
fn until(f: &mut Fixture, what: &str, mut is_so: impl FnMut(&mut Fixture) -> bool) {
    for _ in 0..STEPS_MAX {
        f.step();
        if is_so(f) {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    panic!(
        "{what}: not after {STEPS_MAX} steps, pinned {}",
        f.metrics.load.pinned_deleted_bytes.get()
    );
}

fn deliver_all(f: &mut Fixture) {
    f.recorder.set(Mode::Acknowledge);
    until(f, "at rest", |f| f.collector().status().at_rest);
    f.pump();
}

/// Containers that write and rotate while the transport takes nothing.
struct Churn {
    lines: Lines,
    /// Of each container its files, the oldest first: generation and content.
    written: Vec<Vec<(GenerationId, Vec<u8>)>>,
}

const KEPT: usize = 2;
const FILE_LINES: usize = 800;
const PINNED_MAX: u64 = 2 * MIB;

impl Churn {
    fn new(f: &mut Fixture, containers: usize, spool_bytes_max: u64) -> Self {
        f.config.pinned_bytes_max = PINNED_MAX;
        f.config.spool_bytes_max = spool_bytes_max;
        f.config.in_flight_bytes_max = MIB as usize;
        f.config.redaction = false;
        f.restart();
        f.recorder.set(Mode::Full);
        Self { lines: Lines::new(), written: vec![Vec::new(); containers] }
    }

    fn rounds(&mut self, f: &mut Fixture, rounds: usize) {
        for _ in 0..rounds {
            for container in 0..self.written.len() {
                self.rotate(f, container);
            }
            let is_calm = |f: &mut Fixture| {
                let pinned = f.metrics.load.pinned_deleted_bytes.get() as u64;
                assert!(pinned <= PINNED_MAX, "{pinned} bytes are pinned");
                let status = f.collector().status();
                assert!(status.in_flight_bytes <= MIB as usize, "{status:?}");
                pinned <= PINNED_MAX / 4 * 3
            };
            until(f, "the budget is kept", is_calm);
        }
    }

    fn rotate(&mut self, f: &mut Fixture, container: usize) {
        let path = |n: usize| match n {
            0 => format!("{}/stdout", sandbox(container)),
            n => format!("{}/stdout.{n}", sandbox(container)),
        };
        let files = self.written[container].len().min(KEPT);
        if files == KEPT {
            f.remove(&path(KEPT - 1));
        }
        if files > 0 {
            f.rename(&path(0), &path(1));
        }
        f.append(&path(0), self.lines.take(FILE_LINES));
        self.written[container].push(generation(&f.path(&path(0))));
        // It is opened before it goes.
        while f.step() {}
    }

    /// Whether each byte that a container wrote is held, in the order of its files.
    fn held(&self, f: &Fixture, container: usize) -> Vec<bool> {
        let files = self.written[container].iter();
        let held =
            files.map(|(id, content)| f.store(|store| store.held(*id, content.len() as u64)));
        held.flatten().collect()
    }

    fn missing(&self, f: &Fixture) -> u64 {
        let all = (0..self.written.len()).flat_map(|container| self.held(f, container));
        all.filter(|held| !held).count() as u64
    }

    /// Every line that is held, once; the newest as the container wrote them.
    fn check_lines(&self, f: &Fixture, container: usize) {
        let mut found = f.texts(id(container));
        found.sort_unstable();
        let held = self.held(f, container);
        let text: Vec<u8> =
            self.written[container].iter().flat_map(|(_, content)| content.clone()).collect();
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let mut at = 0;
        let mut expected = Vec::new();
        for line in lines {
            let parts: HashSet<bool> = held[at..at + line.len()].iter().copied().collect();
            assert_eq!(parts.len(), 1, "a line is held or lost as a whole");
            if held[at] {
                expected.push(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned());
            }
            at += line.len();
        }
        assert_eq!(found.len(), expected.len());
        assert!(found == expected, "the lines of container {container}");
    }
}

/// The first run of an outage with churn: the spool has room for everything.
#[test]
fn an_outage_loses_nothing_while_the_spool_has_room() {
    let mut f = Fixture::new();
    let mut churn = Churn::new(&mut f, 4, 64 * MIB);
    churn.rounds(&mut f, 16);
    assert!(f.metrics.load.spilled_bytes.get() > 2 * MIB, "files were spilled");
    assert_eq!(f.store(|store| store.batches), 0);
    deliver_all(&mut f);
    assert_eq!((churn.missing(&f), f.duplicates()), (0, 0));
    for container in 0..4 {
        churn.check_lines(&f, container);
    }
    assert_eq!(f.metrics.lost_bytes.with_label_values(&["budget"]).get(), 0);
    assert_eq!(f.metrics.load.pinned_deleted_bytes.get(), 0);
    assert_eq!(f.metrics.load.spool_bytes.get(), 0);
    assert!(f.config.data_dir.join("spool").is_dir());
    f.wait(Duration::from_secs(10));
    assert!(!f.config.data_dir.join("spool").exists(), "nobody needs it any more");
}

/// The second run: what the spool has no room for is lost, the oldest first, and declared.
#[test]
fn a_full_spool_loses_the_oldest_and_says_so_to_the_byte() {
    let mut f = Fixture::new();
    let mut churn = Churn::new(&mut f, 4, MIB);
    churn.rounds(&mut f, 24);
    assert!(
        f.metrics.load.spool_bytes.get() as u64 <= MIB + MIB / 4,
        "{:?}",
        f.metrics.load.spool_bytes
    );
    deliver_all(&mut f);
    let lost = f.metrics.lost_bytes.with_label_values(&["budget"]).get();
    assert!(lost > MIB, "{lost} bytes are lost");
    assert_eq!(churn.missing(&f), lost, "what is not held is what was counted");
    assert_declared(&f, &churn, lost);
    for container in 0..4 {
        churn.check_lines(&f, container);
        let mut held = churn.held(&f, container);
        held.dedup();
        assert!(held.len() <= 3, "one gap, with something before and behind it");
        assert_eq!(held.last(), Some(&true), "the newest is there");
    }
    assert_eq!(f.duplicates(), 0);
}

/// Each byte that is not held was declared lost, and nothing else was.
fn assert_declared(f: &Fixture, churn: &Churn, lost: u64) {
    let declared = f.store(|store| store.declared.clone());
    assert!(declared.iter().all(|piece| piece.kind == PieceKind::OverBudget), "{declared:?}");
    let mut bytes = 0;
    for (id, content) in churn.written.iter().flatten() {
        let mut known = f.store(|store| store.held(*id, content.len() as u64));
        bytes += known.iter().filter(|held| !**held).count() as u64;
        for piece in declared.iter().filter(|piece| piece.generation == *id) {
            known[piece.from as usize..piece.to as usize].fill(true);
        }
        let unknown = known.iter().position(|known| !known);
        assert_eq!(unknown, None, "a byte is neither held nor declared");
    }
    assert_eq!(bytes, lost);
}

/// What was spilled outlives the process, also with its declarations of loss; what deleted files
/// still held does not.
#[test]
fn a_restart_sends_the_spool_first() {
    for spool in [64 * MIB, MIB] {
        let mut f = Fixture::new();
        let mut churn = Churn::new(&mut f, 4, spool);
        churn.rounds(&mut f, 24);
        until(&mut f, "spilled", |f| !f.collector().may_spill());
        for _ in 0..50 {
            f.step();
            std::thread::sleep(Duration::from_millis(1));
        }
        let pinned = f.metrics.load.pinned_deleted_bytes.get() as u64;
        let lost = f.metrics.lost_bytes.with_label_values(&["budget"]).get();
        assert_eq!(lost > 0, spool == MIB);
        f.restart();
        assert_eq!(f.store(|store| store.batches), 0);
        deliver_all(&mut f);
        let missing = churn.missing(&f);
        // Batches that were in memory beside the spool are lost with the process and were declared.
        let expected = pinned + lost..=pinned + lost + 2 * MIB;
        assert!(expected.contains(&missing), "{missing}, {expected:?}, pinned {pinned}");
        if spool > MIB {
            assert_eq!(missing, pinned, "only what deleted files held");
        }
        for container in 0..4 {
            churn.check_lines(&f, container);
        }
    }
}

/// A transport that takes batches and keeps quiet about them: they are in flight and in the spool.
#[test]
fn what_the_transport_stored_after_all_is_not_sent_twice() {
    let mut f = Fixture::new();
    let mut churn = Churn::new(&mut f, 4, 64 * MIB);
    f.recorder.set(Mode::Hold);
    churn.rounds(&mut f, 16);
    assert!(f.metrics.load.spilled_bytes.get() > 2 * MIB);
    deliver_all(&mut f);
    assert_eq!((churn.missing(&f), f.duplicates()), (0, 0));
}

/// What was spilled before the topic's limit was lowered is sent in parts too.
#[test]
fn the_spool_is_sent_in_parts_to_a_transport_that_takes_only_smaller_messages() {
    let mut f = Fixture::new();
    let mut churn = Churn::new(&mut f, 4, 64 * MIB);
    churn.rounds(&mut f, 16);
    assert!(f.metrics.load.spilled_bytes.get() > 2 * MIB);
    f.recorder.set(Mode::AtMost(20_000));
    until(&mut f, "at rest", |f| f.collector().status().at_rest);
    f.pump();
    assert!(f.metrics.load.divided_batches.get() > 100, "{:?}", f.metrics.load.divided_batches);
    assert_eq!((churn.missing(&f), f.duplicates()), (0, 0));
    for container in 0..4 {
        churn.check_lines(&f, container);
    }
    assert_eq!(f.metrics.load.spool_bytes.get(), 0);
    f.assert_nothing_lost();
}

fn limited(on_limit: OnLimit, bytes_per_second: u64) -> Fixture {
    let mut f = Fixture::new();
    let app = "E*".to_owned();
    f.config.rate_rules = vec![RateRule { app, bytes_per_second, on_limit }];
    f.config.redaction = false;
    f.restart();
    f
}

#[test]
fn what_is_beyond_a_rate_waits_in_its_file_and_costs_nothing() {
    const RATE: u64 = 64 * 1024;
    let mut f = limited(OnLimit::Block, RATE);
    let text = Lines::new().take(20_000);
    f.append(&format!("{RUN}/stdout"), &text);
    f.pump();
    let first = f.metrics.read_bytes.get();
    assert!(first < 2 * 256 * 1024 + RATE && first > 0, "{first}");
    assert_eq!(f.metrics.load.throttled_streams.get(), 1);
    let turns = f.metrics.load.turns.get();
    for second in 1..=20 {
        (0..100).for_each(|_| {
            f.step();
            f.pass(Duration::from_millis(10).saturating_sub(Duration::from_millis(1)));
        });
        let read = f.metrics.read_bytes.get();
        assert!(read <= first + RATE * 8 * (second + 1) + 256 * 1024, "{read} after {second} s");
    }
    let turns = f.metrics.load.turns.get() - turns;
    let read = f.metrics.read_bytes.get() - first;
    assert!(turns <= read / (128 * 1024) + 40, "{turns} turns for {read} bytes");
    for _ in 0..60 {
        f.wait(Duration::from_secs(1));
    }
    assert_eq!(f.stdout().len(), 20_000);
    f.assert_complete(&format!("{RUN}/stdout"));
    assert_eq!((f.duplicates(), f.metrics.load.throttled_streams.get()), (0, 0));
}

#[test]
fn what_is_to_be_dropped_beyond_a_rate_is_declared_in_whole_lines() {
    let mut f = limited(OnLimit::Drop, 1000);
    let text = Lines::new().take(20_000);
    f.append(&format!("{RUN}/stdout"), &text);
    f.pump();
    let declared = f.store(|store| store.declared.clone());
    assert!(declared.iter().all(|piece| piece.kind == PieceKind::Dropped), "{declared:?}");
    let dropped: u64 = declared.iter().map(|piece| piece.bytes()).sum();
    assert_eq!(f.metrics.load.dropped_bytes.with_label_values(&["rate"]).get(), dropped);
    for piece in &declared {
        assert_eq!(text.as_bytes()[piece.to as usize - 1], b'\n');
        assert!(piece.from == 0 || text.as_bytes()[piece.from as usize - 1] == b'\n');
    }
    let (generation, content) = generation(&f.path(&format!("{RUN}/stdout")));
    let held = f.store(|store| store.held(generation, content.len() as u64));
    let held = held.iter().filter(|held| **held).count() as u64;
    assert!(held > 0 && dropped > MIB);
    assert_eq!(held + dropped, text.len() as u64);
    assert_eq!(f.metrics.load.throttled_streams.get(), 0);
}

#[test]
fn a_rate_holds_no_deleted_file_beyond_the_budget() {
    let mut f = limited(OnLimit::Block, 1);
    f.config.pinned_bytes_max = MIB;
    f.restart();
    let path = format!("{RUN}/stdout");
    let text = Lines::new().take(40_000);
    f.append(&path, &text);
    f.pump();
    assert_eq!(f.metrics.load.throttled_streams.get(), 1);
    f.remove(&path);
    until(&mut f, "within the budget", |f| {
        let pinned = f.metrics.load.pinned_deleted_bytes.get() as u64;
        pinned > 0 && pinned <= MIB && f.metrics.load.spool_bytes.get() == 0
    });
    assert!(f.stdout().len() as u64 * 100 >= text.len() as u64 - MIB);
    assert_eq!(f.metrics.load.throttled_streams.get(), 1, "the rest waits");
}

#[test]
fn a_loud_container_leaves_quiet_ones_their_turn() {
    let mut f = Fixture::new();
    f.append(&format!("{}/stdout", sandbox(0)), Lines::new().take(60_000));
    while f.step() && f.metrics.read_bytes.get() == 0 {}
    for container in 1..=50 {
        f.append(&format!("{}/stdout", sandbox(container)), "quiet\n");
    }
    let quiet = |f: &Fixture| (1..=50).filter(|n| !f.texts(id(*n)).is_empty()).count();
    let before = f.metrics.read_bytes.get();
    while quiet(&f) < 50 {
        f.step();
    }
    let read = f.metrics.read_bytes.get() - before;
    assert!(read <= 6 * MIB, "{read} bytes were read before the quiet ones had their turn");
}

#[test]
fn what_vanishes_is_read_first() {
    let mut f = Fixture::new();
    f.recorder.set(Mode::Full);
    let path = |container: usize| format!("{}/stdout", sandbox(container));
    let mut lines = Lines::new();
    let writers: Vec<_> = (0..4)
        .map(|container| {
            let mut writer = f.writer(&path(container));
            writer.write_all(lines.take(1).as_bytes()).expect("write");
            writer
        })
        .collect();
    f.pump();
    // Nothing is read from here on: one batch is as much as may be in flight.
    f.config.in_flight_bytes_max = 512 * 1024;
    f.restart();
    f.pump();
    for mut writer in writers {
        writer.write_all(lines.take(20_000).as_bytes()).expect("write");
    }
    f.pump();
    f.remove(&path(3));
    f.pump();
    f.recorder.set(Mode::Acknowledge);
    let deleted = || id(3);
    while f.texts(deleted()).len() < 20_001 {
        f.step();
    }
    let others: usize = (0..3).map(|container| f.texts(id(container)).len()).sum();
    assert!(others < 20_000, "{others} lines of living files were read meanwhile");
    f.pump();
    assert!((0..3).all(|container| f.texts(id(container)).len() == 20_001));
}

/// Few descriptors: quiet files give way to new ones, and come back when they grow.
#[test]
fn few_descriptors_are_enough_for_many_files() {
    const FILES: usize = 100;
    let mut f = Fixture::new();
    f.config.open_files_max = 16;
    f.restart();
    let path = |container: usize| format!("{}/stdout", sandbox(container));
    // The writers live, so that no file is finished.
    let mut writers: Vec<_> = (0..FILES).map(|container| f.writer(&path(container))).collect();
    for round in 0..3 {
        for (n, writer) in writers.iter_mut().enumerate() {
            writeln!(writer, "{round} of {n}").expect("write");
        }
        let has_all = |f: &Fixture| (0..FILES).all(|n| f.texts(id(n)).len() == round + 1);
        until(&mut f, "all lines", |f| {
            assert!(f.collector().status().files_open <= 16);
            has_all(f)
        });
    }
    for n in 0..FILES {
        let expected: Vec<String> = (0..3).map(|round| format!("{round} of {n}")).collect();
        assert_eq!(f.texts(id(n)), expected);
        f.assert_complete(&path(n));
    }
    assert!(f.metrics.load.parked_files.get() as usize >= FILES);
    assert_eq!(f.duplicates(), 0);
}

/// What nothing costs: a look at each file and a stat of each directory a minute.
#[test]
fn quiet_files_cost_little() {
    const FILES: u64 = 200;
    const MINUTES: u64 = 15;
    let mut f = Fixture::new();
    let writers: Vec<_> = (0..FILES as usize)
        .map(|container| {
            let mut writer = f.writer(&format!("{}/stdout", sandbox(container)));
            writeln!(writer, "line").expect("write");
            writer
        })
        .collect();
    f.wait(Duration::from_secs(120));
    let work = |f: &Fixture| {
        [f.metrics.load.turns.get(), f.metrics.load.listings.get(), f.metrics.read_bytes.get()]
    };
    let before = work(&f);
    for _ in 0..MINUTES * 60 {
        f.step();
        f.pass(Duration::from_secs(1));
    }
    let after = work(&f);
    let [turns, listings, read] = [0, 1, 2].map(|n| after[n] - before[n]);
    assert_eq!(read, 0);
    assert!(turns <= FILES * (MINUTES + 1) * 2, "{turns} turns");
    assert!(listings <= MINUTES * 2, "{listings} listings");
    drop(writers);
}

/// The kernel has more to tell than it can keep: everything is looked at again, once.
#[test]
fn lost_events_are_counted_and_harmless() {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let limit: u64 = limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(16_384);
    let mut f = Fixture::new();
    let path = |file: &str| format!("{}/{file}", sandbox(1));
    let mut writers = ["stdout", "stderr"].map(|file| f.writer(&path(file)));
    f.append(&path("stdout.2"), "old\n");
    f.pump();
    // Events of one file in a row are one event.
    for _ in 0..limit {
        for writer in &mut writers {
            writer.write_all(b"\n").expect("write");
        }
    }
    f.append(&format!("{}/stdout", sandbox(2)), "unheard of\n");
    f.append(&path("stdout.2"), "late\n");
    f.wait(Duration::from_secs(2));
    assert!(f.metrics.load.event_overflows.get() > 0, "events were lost");
    assert_eq!(f.texts(id(2)), ["unheard of"]);
    assert_eq!(f.texts(id(1)).len() as u64, limit + 2);
    assert_eq!(f.texts(stream(b"c1", b"stderr")).len() as u64, limit);
    let before = f.metrics.load.listings.get();
    f.wait(Duration::from_secs(30));
    assert!(f.metrics.load.listings.get() <= before + 3, "what was found once is not listed again");
}
