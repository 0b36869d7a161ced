//! A collector that follows a journal, which a script plays.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use sawlog_transport::StreamId;

use super::store::Recorder;
use crate::journal::exported;
use crate::{Collector, Config, JournalSource};

/// Long enough for any machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints what is in `all-CURSOR` or, as `journalctl --follow` shows one boot only, `boot-CURSOR`, and
/// then waits.
fn play(dir: &Path) -> JournalSource {
    let program = dir.join("journalctl");
    let script = format!(
        "#!/bin/sh\nrun=all\nfor arg; do case \"$arg\" in --cursor=*) cursor=${{arg#*=}};; --follow) run=boot;; esac; done\n\
         cat '{}'/$run-$cursor\n[ $run = all ] || exec sleep 600\n",
        dir.display()
    );
    std::fs::write(&program, script).expect("write");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("chmod");
    JournalSource { program, directory: None }
}

fn entry(cursor: &str, container: &str, text: &[u8]) -> Vec<u8> {
    exported(&[
        ("__CURSOR", cursor.as_bytes()),
        ("_UID", b"0"),
        ("MESSAGE", text),
        ("FRAMEWORK_ID", b"F"),
        ("AGENT_ID", b"S1"),
        ("EXECUTOR_ID", b"E"),
        ("CONTAINER_ID", container.as_bytes()),
        ("STREAM", b"STDOUT"),
    ])
}

/// What a task may write itself: all fields but those that journald vouches for.
fn forged() -> Vec<u8> {
    exported(&[
        ("__CURSOR", b"c-1.5"),
        ("_UID", b"1000"),
        ("MESSAGE", b"forged"),
        ("FRAMEWORK_ID", b"F"),
        ("AGENT_ID", b"S1"),
        ("EXECUTOR_ID", b"E"),
        ("CONTAINER_ID", b"c1"),
        ("STREAM", b"STDOUT"),
    ])
}

#[test]
fn containers_lines_come_from_the_journal_and_go_on_behind_the_cursor() {
    let temp = tempfile::tempdir().expect("temp dir");
    let mut config = Config::new(temp.path().join("data"), "h1");
    config.journal = Some(play(temp.path()));
    // The same container has files of its own, too.
    let work_dir = temp.path().join("work");
    config.mesos_work_dirs = vec![work_dir.clone()];
    let run = "slaves/S1/frameworks/F/executors/E/runs/c1";
    std::fs::create_dir_all(work_dir.join(run)).expect("mkdir");
    for name in ["stdout", "stderr"] {
        std::fs::write(work_dir.join(run).join(name), format!("{name} of the sandbox\n"))
            .expect("write");
    }
    let first = [
        entry("c-1", "c1", b"plain"),
        forged(),
        exported(&[("__CURSOR", b"c-2"), ("MESSAGE", b"of another service")]),
        entry("c-3", "c1", b"two\nlines \xff"),
        entry("c-4", "c1.n1", b"nested"),
    ];
    let (last, later) = (entry("c-4", "c1.n1", b"nested"), entry("c-5", "c1", b"later"));
    let tells = |run: &str, entries: &[&[u8]]| {
        std::fs::write(temp.path().join(run), entries.concat()).expect("write");
    };
    tells("all-", &first.each_ref().map(|entry| &entry[..]));
    tells("boot-c-4", &[&last]);
    let recorder = Arc::new(Recorder::default());
    let of_file = |container: &[u8], file: &[u8]| {
        let stream = StreamId::of_file(b"S1", b"F", b"E", container, file);
        recorder.store.lock().texts(stream)
    };
    let texts = |container: &[u8]| of_file(container, b"journal/stdout");
    let until = |done: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "waited too long: {:?}", texts(b"c1"));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    for expected in [3, 4] {
        let collector = Collector::start(config.clone(), recorder.clone(), &Registry::new());
        let collector = collector.expect("starts");
        until(&|| {
            let sandbox = [b"stdout", b"stderr"].map(|file| of_file(b"c1", file).len());
            texts(b"c1").len() == expected && texts(b"c1.n1").len() == 1 && sandbox == [1, 1]
        });
        collector.stop(Instant::now() + PATIENCE).expect("no panic");
        // Written when nobody looked, and then the machine was started again.
        tells("all-c-4", &[&last, &later]);
        tells("boot-c-5", &[]);
    }
    assert_eq!(texts(b"c1"), [&b"plain"[..], b"two", b"lines \xff", b"later"]);
    assert_eq!(texts(b"c1.n1"), [b"nested"]);
    assert_eq!(of_file(b"c1", b"stdout"), [b"stdout of the sandbox"]);
    assert_eq!(of_file(b"c1", b"stderr"), [b"stderr of the sandbox"]);
    assert_eq!(recorder.store.lock().duplicates, 0);
    let mode = |path: &str| {
        let found = temp.path().join("data").join(path).metadata().expect("stat");
        found.permissions().mode() & 0o777
    };
    assert_eq!((mode("journal"), mode("generated")), (0o700, 0o700));
    assert_eq!(mode(&format!("journal/{run}/stdout")), 0o600);
}
