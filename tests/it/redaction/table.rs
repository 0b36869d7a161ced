//! The whole table, played with the real binary, and every byte that it leaves behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::cells::{self, Cell, Then};
use super::places::{Search, answers, on_disk, tail};
use crate::node::{Node, Setup, eventually};

const ALL: &str = r#"{stream="file"}"#;
/// The last line of each file.
const END: &str = "a line without any secret ends this file";

/// A directory of logs, one file for each cell.
struct Bed {
    dir: tempfile::TempDir,
    cells: Vec<Cell>,
    /// Files that their writers hold open.
    open: Vec<File>,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        std::fs::write(dir.path().join("secrets"), cells::named_values()).unwrap();
        Self { dir, cells: cells::all(), open: Vec::new() }
    }

    fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.dir.path().join("data"))
            .arg("--path", self.logs().join("*.log"))
            .arg("--seal-interval", "1s")
            .says("trace")
    }

    fn redacting(&self) -> Setup {
        self.setup().arg("--secret-file", self.dir.path().join("secrets"))
    }

    fn write_first(&mut self) {
        for (n, cell) in self.cells.iter().enumerate() {
            let mut file = File::create(self.logs().join(format!("{n}.log"))).unwrap();
            file.write_all(&cell.first).unwrap();
            match cell.then {
                Then::Never => write!(file, "\n{END}\n").unwrap(),
                // While it has a writer, no line of it is taken for ended.
                Then::Read => self.open.push(file),
                Then::HandedOn | Then::Killed => {}
            }
        }
    }

    fn write_second(&mut self, then: Then) {
        for (n, cell) in self.cells.iter().enumerate().filter(|(_, cell)| cell.then == then) {
            let path = self.logs().join(format!("{n}.log"));
            let mut file = File::options().append(true).open(path).unwrap();
            file.write_all(&[&cell.second[..], b"\n", END.as_bytes(), b"\n"].concat()).unwrap();
        }
        self.open.clear();
    }

    fn count(&self, when: impl Fn(Then) -> bool) -> u64 {
        self.cells.iter().filter(|cell| when(cell.then)).count() as u64
    }

    /// Waits until the files that are written to their end are found.
    fn wait_for_ends(&self, node: &Node, files: u64) {
        let ends = format!(r#"{ALL} |= "{END}""#);
        eventually("the ends of files", || node.count(&ends), |found| *found == files);
    }

    /// Waits until the first part of each secret that comes by two reads was read: the collector says that
    /// it has looked at just these bytes, and waits for the end of their line.
    fn wait_for_reads(&self, node: &Node) {
        for (n, cell) in self.cells.iter().enumerate().filter(|(_, cell)| cell.then == Then::Read) {
            let path = self.logs().join(format!("{n}.log"));
            let line = cell.first.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
            assert!(!line.is_empty(), "{} ends with its line", cell.name);
            let expected = (
                cell.first.len().into(),
                format!(
                    "the last {} bytes are a line without an end, which is waited for",
                    line.len()
                )
                .into(),
            );
            let told = || {
                let (_, body) = node.get("/api/v1/why", &[("q", path.to_str().unwrap())]);
                let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let file = &told["files"][0];
                (file["size"].clone(), file["why"].clone())
            };
            eventually(&cell.name, told, |told| *told == expected);
        }
    }

    /// Plays all but what follows a kill.
    fn play(&mut self, node: &Node) {
        self.write_first();
        self.wait_for_reads(node);
        self.write_second(Then::Read);
        let handed_on = self.count(|then| then == Then::HandedOn) as f64;
        let partial = || node.metric("sawlog_collector_partial_lines_total");
        eventually("lines without an end", partial, |lines| *lines >= handed_on);
        self.write_second(Then::HandedOn);
        self.wait_for_ends(node, self.count(|then| then != Then::Killed));
    }
}

/// Looks through what is on disk; tells in which directories the ends of files were found.
fn assert_disk_clean(search: &Search<'_>, data: &Path) -> BTreeSet<String> {
    let mut with_lines = BTreeSet::new();
    for (name, bytes) in on_disk(data) {
        search.assert_none(&name, &bytes);
        if memchr::memmem::find(&bytes, END.as_bytes()).is_some() {
            with_lines.insert(name.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned());
        }
    }
    with_lines
}

fn assert_answers_clean(search: &Search<'_>, node: &Node, logs: &Path) {
    for (name, bytes) in answers(node, logs) {
        search.assert_none(&name, &bytes);
    }
}

#[test]
fn no_secret_is_found_in_any_byte_that_is_left_behind() {
    let mut bed = Bed::new();
    let setup = bed.redacting();
    let mut node = setup.start().ready();
    let tailed = tail(&node);
    bed.play(&node);
    let cells = std::mem::take(&mut bed.cells);
    let search = Search::new(&cells);
    assert_answers_clean(&search, &node, &bed.logs());
    let in_log = assert_disk_clean(&search, &setup.data);
    node.kill();
    assert_disk_clean(&search, &setup.data);
    let tailed = std::mem::take(&mut *tailed.lock().unwrap());
    search.assert_none("a live tail", &tailed);
    assert!(memchr::memmem::find(&tailed, END.as_bytes()).is_some(), "the tail had lines");

    bed.cells = cells;
    let node = setup.start().ready();
    bed.write_second(Then::Killed);
    bed.wait_for_ends(&node, bed.cells.len() as u64);
    let search = Search::new(&bed.cells);
    let exported = String::from_utf8(node.export(ALL)).unwrap();
    assert_eq!(exported.matches(END).count(), bed.cells.len());
    // All but those whose secret was left out with the end of its line.
    let tags = exported.matches("[redacted:").count();
    assert!(tags >= bed.cells.len(), "only {tags} tags");
    let unscanned: Vec<&str> =
        exported.lines().filter(|line| line.contains("[redacted:unscanned]")).collect();
    assert_eq!(unscanned, [""; 0], "each line is judged");
    assert_answers_clean(&search, &node, &bed.logs());
    assert_eq!(node.terminate(), Some(0));
    let in_store = assert_disk_clean(&search, &setup.data);
    let has = |found: &BTreeSet<String>, place| found.iter().any(|dir| dir.starts_with(place));
    assert!(has(&in_log, "log") && has(&in_store, "store"), "{in_log:?}, then {in_store:?}");
    println!(
        "{} cells played, no secret found; lines in {in_log:?}, then {in_store:?}",
        bed.cells.len()
    );
}

/// The search finds what is there: without redaction nearly all cells leak, on disk and in answers.
#[test]
fn without_redaction_the_same_search_finds_the_cells() {
    let mut bed = Bed::new();
    let setup = bed.setup().flag("--no-redaction");
    let node = setup.start().ready();
    bed.play(&node);
    let search = Search::new(&bed.cells);
    let leaking = bed.cells.iter().enumerate().filter(|(_, cell)| cell.is_whole);
    let leaking: BTreeSet<usize> = leaking.map(|(n, _)| n).collect();
    let missing = |found: BTreeSet<usize>| {
        let names = leaking.difference(&found).map(|n| bed.cells[*n].name.clone());
        names.collect::<Vec<_>>()
    };
    let answered = answers(&node, &bed.logs());
    let in_answers = answered.iter().flat_map(|(_, bytes)| search.found(bytes)).collect();
    assert_eq!(missing(in_answers), [""; 0], "in answers");
    assert_eq!(node.terminate(), Some(0));
    let in_files = on_disk(&setup.data).iter().flat_map(|(_, bytes)| search.found(bytes)).collect();
    assert_eq!(missing(in_files), [""; 0], "on disk");
    let in_store = on_disk(&setup.data.join("store"));
    let in_store = in_store.iter().flat_map(|(_, bytes)| search.found(bytes)).collect();
    assert_eq!(missing(in_store), [""; 0], "in the store");
    println!("{} of {} cells leak without redaction", leaking.len(), bed.cells.len());
}
