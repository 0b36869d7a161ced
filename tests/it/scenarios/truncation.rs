//! Scenario 3, truncated and grown again beyond the old offset while the collector is stopped: with a copy
//! (copytruncate), without one, and by a writer that leaves a hole.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::batches::Received;
use super::process::{go_on, stop};
use super::verifier::{assert_lost, wait_for_lines};
use super::work::Work;
use super::writer::{Log, append, suffixed};
use crate::node::{Node, assert_same_bytes, eventually};

const CONTAINER: &str = "c1";
const SELECTOR: &str = r#"{container="c1"}"#;
const LINE: usize = 100;

/// 200 lines that are acknowledged before anything happens.
pub(super) fn a() -> Vec<u8> {
    Log::new("x", LINE..=LINE).lines(0..200)
}

/// 17 lines that come while the collector is stopped.
pub(super) fn u() -> Vec<u8> {
    Log::new("u", LINE..=LINE).lines(0..17)
}

/// 500 lines after the truncation; the first 2,000 bytes are A's.
pub(super) fn b() -> Vec<u8> {
    [&a()[..20 * LINE], &Log::new("y", LINE..=LINE).lines(0..480)].concat()
}

/// A node that has acknowledged A and was stopped then; the file, open as its writer has it.
struct Stopped {
    work: Work,
    node: Node,
    path: PathBuf,
    writer: File,
}

impl Stopped {
    fn new(open: impl FnOnce(&Path) -> File) -> Self {
        let work = Work::new();
        let path = work.stdout(CONTAINER);
        std::fs::create_dir_all(path.parent().expect("it is in a sandbox")).unwrap();
        let mut writer = open(&path);
        writer.write_all(&a()).unwrap();
        let node = work.node().start();
        let acknowledged = || node.metric("sawlog_collector_acked_bytes_total");
        eventually("A is acknowledged", acknowledged, |bytes| *bytes == a().len() as f64);
        stop(&node);
        Self { work, node, path, writer }
    }

    /// Continues the collector; what is found in the end, and what is declared as lost.
    fn check(mut self, expected: &[&[u8]], lost: &[(&str, u64)]) {
        go_on(&self.node);
        let expected = expected.concat();
        let lines = memchr::memchr_iter(b'\n', &expected).count();
        wait_for_lines(&self.node, SELECTOR, lines as u64);
        assert_same_bytes(&self.node.export(SELECTOR), &expected, "all that was written");
        assert_lost(&self.node, lost);
        self.node.kill();
        let declared = Received::from_embedded_log(&self.work.data().join("log")).lost();
        let lost = lost.iter().map(|(reason, bytes)| ((*reason).to_owned(), *bytes)).collect();
        assert_eq!(declared, lost, "batches tell the same");
    }
}

fn appending(path: &Path) -> File {
    super::writer::append_to(path)
}

/// Run 1: what only the copy holds is read from there, and what was read is not read again.
#[test]
fn copytruncate_loses_and_repeats_nothing() {
    let mut it = Stopped::new(appending);
    it.writer.write_all(&u()).unwrap();
    std::fs::copy(&it.path, suffixed(&it.path, ".1")).unwrap();
    File::options().write(true).open(&it.path).unwrap().set_len(0).unwrap();
    it.writer.write_all(&b()).unwrap();
    it.check(&[&a(), &u(), &b()], &[]);
}

/// Run 2, as far as anybody can know: nobody saw the 17 lines, so that only what is there is judged.
#[test]
fn what_grew_again_beyond_the_old_offset_is_read_from_its_start() {
    let mut it = Stopped::new(appending);
    it.writer.write_all(&u()).unwrap();
    it.writer.set_len(0).unwrap();
    it.writer.write_all(&b()).unwrap();
    go_on(&it.node);
    wait_for_lines(&it.node, SELECTOR, 700);
    assert_same_bytes(&it.node.export(SELECTOR), &[a(), b()].concat(), "A and B");
}

/// Run 2 with bytes that were seen: the beginning of a line, which waited for its end.
#[test]
fn the_beginning_of_a_line_that_was_truncated_is_told_as_lost() {
    let work = Work::new();
    let path = work.stdout(CONTAINER);
    append(&path, &a());
    let mut writer = appending(&path);
    let node = work.node().start();
    writer.write_all(&u()[..150]).unwrap();
    // The first of the 17 lines, and the half of the second one.
    let acknowledged = || node.metric("sawlog_collector_acked_bytes_total");
    let whole = (a().len() + LINE) as f64;
    eventually("whole lines are acknowledged", acknowledged, |bytes| *bytes == whole);
    let lag = || node.metric("sawlog_collector_lag_bytes");
    eventually("the half line is seen", lag, |bytes| *bytes == 50.0);
    stop(&node);
    writer.set_len(0).unwrap();
    writer.write_all(&b()).unwrap();
    Stopped { work, node, path, writer }.check(&[&a(), &u()[..LINE], &b()], &[("truncated", 50)]);
}

/// Run 3: a writer that does not append leaves a hole, which tells how much there was.
#[test]
fn a_hole_is_no_text_and_tells_what_was_lost() {
    let mut it = Stopped::new(|path| File::create(path).unwrap());
    it.writer.write_all(&u()).unwrap();
    it.writer.set_len(0).unwrap();
    it.writer.write_all(&b()).unwrap();
    let size = std::fs::metadata(&it.path).unwrap().len();
    assert_eq!(size, (a().len() + u().len() + b().len()) as u64, "there is a hole");
    let lost = u().len() as u64;
    it.check(&[&a(), &b()], &[("truncated", lost)]);
}
