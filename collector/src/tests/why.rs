//! What the collector tells of single files.

use std::fs;

use super::fixture::{Fixture, RUN};
use super::store::Mode;
use crate::why::{Explained, FileState, State};

impl Fixture {
    fn why(&mut self, query: &str) -> Explained {
        let now = self.now();
        self.collector().view(now).why(query)
    }

    fn why_path(&mut self, below: &str) -> Explained {
        let path = self.path(below).to_str().expect("text").to_owned();
        self.why(&path)
    }
}

fn one(explained: Explained) -> FileState {
    assert_eq!(explained.files.len(), 1, "{explained:?}");
    explained.files.into_iter().next().expect("one")
}

#[test]
fn a_file_says_what_it_is_how_far_it_is_and_what_was_decided() {
    let mut f = Fixture::new();
    let file = format!("{RUN}/stdout");
    let _writer = f.writer(&file);
    f.append(&file, "one\ntwo\nthr");
    f.pump();
    let expected = f.path(&file);
    for query in ["E", "c1", "F", expected.to_str().expect("text")] {
        let told = one(f.why(query));
        assert_eq!(
            (told.path.as_str(), told.state),
            (expected.to_str().expect("text"), State::Live)
        );
        assert!(told.why.contains("3 bytes are a line without an end"), "{}", told.why);
        let details = told.details.expect("it is open");
        assert_eq!((details.read, details.acknowledged, details.size), (8, 8, 11));
        assert_eq!((details.lag_bytes, details.writers), (3, "yes"));
        assert!(details.lag_seconds.is_some());
        assert_eq!(details.labels["container"], "c1");
        assert_eq!(details.decisions.last().expect("one").what, "opened, read from its start");
    }
    f.restart();
    f.pump();
    let details = one(f.why("c1")).details.expect("it is open");
    assert!(details.decisions[0].what.contains("read on at byte 8"), "{:?}", details.decisions);
    let writer = fs::OpenOptions::new().write(true).open(f.path(&file)).expect("open");
    writer.set_len(2).expect("truncate");
    f.pump();
    let details = one(f.why("c1")).details.expect("it is open");
    assert_eq!(details.truncations, 1);
    let last = &details.decisions.last().expect("some").what;
    assert!(last.starts_with("truncated"), "{last}");
}

#[test]
fn rotated_deleted_and_closed_files_are_told_apart() {
    let mut f = Fixture::new();
    let file = format!("{RUN}/stdout");
    let rotated = f.writer(&file);
    f.append(&file, "old\n");
    f.pump();
    f.rename(&file, &format!("{RUN}/stdout.1"));
    f.append(&file, "new\n");
    f.pump();
    let states: Vec<State> = f.why("c1").files.iter().map(|file| file.state).collect();
    assert_eq!(states, [State::Live, State::Rotated]);
    f.remove(&format!("{RUN}/stdout.1"));
    f.pump();
    let deleted = f.why_path(&file).files;
    let deleted = deleted.iter().find(|file| file.state == State::Deleted).expect("still open");
    assert!(deleted.path.ends_with("/stdout.1"), "{}", deleted.path);
    drop(rotated);
    f.wait(std::time::Duration::from_secs(30));
    let files = f.why("c1").files;
    assert!(files.iter().all(|file| file.state == State::Finished), "{files:?}");
    assert_eq!(files.len(), 2);
    assert!(files[1].why.contains("nobody writes; no file of this name"), "{}", files[1].why);
    f.restart();
    f.pump();
    let told = one(f.why_path(&file));
    let details = told.details.expect("it is opened again");
    assert_eq!((details.acknowledged, details.lag_bytes), (4, 0));
}

#[test]
fn what_waits_says_for_what() {
    let mut f = Fixture::new();
    let file = format!("{RUN}/stdout");
    let _writer = f.writer(&file);
    f.append(&file, "begun");
    f.pump();
    f.rename(&file, &format!("{RUN}/stdout.1"));
    f.append(&file, "more\n");
    f.pump();
    let told = one(f
        .why_path(&file)
        .files
        .into_iter()
        .filter(|file| file.path.ends_with("stdout"))
        .collect());
    assert_eq!(told.state, State::Waiting);
    assert!(told.why.contains("stdout.1'"), "{}", told.why);
}

impl FromIterator<FileState> for Explained {
    fn from_iter<T: IntoIterator<Item = FileState>>(files: T) -> Self {
        Self { files: files.into_iter().collect(), ..Self::default() }
    }
}

#[test]
fn what_is_not_collected_says_why() {
    let mut f = Fixture::new();
    f.append(&format!("{RUN}/data.bin"), "x");
    f.append(&format!("{RUN}/containers/check-7/stdout"), "x\n");
    std::os::unix::fs::symlink("/etc/passwd", f.path(&format!("{RUN}/stdout"))).expect("symlink");
    let fifo = f.path(&format!("{RUN}/stderr"));
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo, rustix::fs::Mode::RUSR).expect("fifo");
    let latest = f.path(RUN).with_file_name("latest");
    std::os::unix::fs::symlink("c1", latest).expect("symlink");
    f.pump();
    for (name, why) in [("stdout", "symbolic link"), ("stderr", "FIFO")] {
        let told = one(f.why_path(&format!("{RUN}/{name}")));
        assert!(told.state == State::Skipped && told.why.contains(why), "{told:?}");
    }
    assert_eq!(f.why("c1").files.len(), 2, "what is left out is told with its container");
    let notes = [
        (format!("{RUN}/data.bin"), "is no log of a container"),
        (format!("{RUN}/containers/check-7/stdout"), "health check"),
        ("slaves/S1/frameworks/F/executors/E/runs/latest/stdout".into(), "symbolic link"),
        ("slaves/none".into(), "cannot be looked at"),
        ("meta".into(), "cannot be looked at"),
    ];
    for (below, why) in notes {
        let told = f.why_path(&below);
        assert!(told.files.is_empty(), "{below}: {told:?}");
        assert!(told.notes[0].contains(why), "{below}: {:?}", told.notes);
    }
    for (query, why) in
        [("/etc/passwd", "no source covers"), ("nope", "'nope'"), ("c1.check-7", "health check")]
    {
        let told = f.why(query);
        assert!(told.files.is_empty() && told.notes[0].contains(why), "{query}: {told:?}");
        assert!(told.notes[1].contains("mesos_work_dir"), "{:?}", told.notes);
    }
}

#[test]
fn binary_files_and_too_many_open_ones_are_named() {
    let mut f = Fixture::on_paths(&["*.log"]);
    f.append("binary.log", b"\x1f\x8b\x08\0");
    f.pump();
    let told = one(f.why_path("binary.log"));
    assert!(told.state == State::Skipped && told.why.contains("gzip"), "{told:?}");
    let told = f.why_path("other.txt");
    assert!(told.notes[1].contains("*.log"), "{:?}", told.notes);

    let mut f = Fixture::on_paths(&["*.log"]);
    f.config.open_files_max = 1;
    f.restart();
    // What is acknowledged would give way.
    f.recorder.set(Mode::Hold);
    for file in ["a.log", "b.log"] {
        f.append(file, "x\n");
    }
    f.pump();
    let files = f.why_path("").files;
    let waiting = files.iter().find(|file| file.state == State::Waiting).expect("one waits");
    assert!(waiting.why.contains("too many log files"), "{}", waiting.why);
}

/// What a rotating writer asks before it removes a file.
#[test]
fn acknowledged_offsets_are_told_by_inode() {
    use std::os::unix::fs::MetadataExt;
    let mut f = Fixture::new();
    let file = format!("{RUN}/stdout");
    f.append(&file, "old\n");
    f.rename(&file, &format!("{RUN}/stdout.1"));
    f.append(&file, "new line\n");
    f.pump();
    let (log, now) = (f.path(&file), f.now());
    let asked = |f: &mut Fixture, log: &std::path::Path| {
        let mut known = f.collector().view(now).acknowledged(log);
        known.sort_by_key(|file| file.acknowledged);
        known.iter().map(|file| (file.inode, file.acknowledged)).collect::<Vec<_>>()
    };
    let inode = |path: std::path::PathBuf| fs::metadata(path).expect("stat").ino();
    let expected = [(inode(f.path(&format!("{RUN}/stdout.1"))), 4), (inode(f.path(&file)), 9)];
    assert_eq!(asked(&mut f, &log), expected);
    f.wait(std::time::Duration::from_secs(30));
    assert_eq!(asked(&mut f, &log), expected, "also of closed files");
    assert_eq!(asked(&mut f, &log.with_file_name("stderr")), []);
    assert_eq!(asked(&mut f, "/etc/passwd".as_ref()), []);
}
