//! The tree against real directories: what it finds, what it is told, what it leaves out.

use std::{fs, io};

use prometheus::Registry;

use super::*;
use crate::sandbox;

const RUN: &str = "slaves/S1/frameworks/F/executors/E/runs/c1";

fn tree(dir: &Path) -> Tree {
    let metrics = Metrics::register(&Registry::new()).expect("metrics");
    Tree::new(
        vec![(dir.to_owned(), Place::Mesos(sandbox::Place::work_dir(Default::default())))],
        metrics,
    )
}

/// Lists all that is due; gives the log files found, with their directories below `dir`.
fn found(tree: &mut Tree, dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(id) = tree.next_dirty() {
        let Some(listing) = tree.list(id, 0) else { continue };
        let below = listing.path.strip_prefix(dir).expect("below").display().to_string();
        for named in listing.logs.values().flatten() {
            found.push(format!("{below}/{}", named.name.to_string_lossy()));
        }
    }
    found
}

#[test]
fn finds_logs_and_then_only_what_changes() {
    let temp = tempfile::tempdir().expect("temp dir");
    let run = temp.path().join(RUN);
    fs::create_dir_all(&run).expect("mkdir");
    fs::write(run.join("stdout"), "").expect("write");
    std::os::unix::fs::symlink(&run, run.with_file_name("latest")).expect("symlink");
    let mut tree = tree(temp.path());
    assert_eq!(found(&mut tree, temp.path()), [format!("{RUN}/stdout")]);
    assert_eq!(tree.take_events(), []);
    assert_eq!(tree.next_dirty(), None);

    fs::write(run.join("data"), "not a log").expect("write");
    assert_eq!(tree.take_events(), []);
    assert_eq!(tree.next_dirty(), None);

    fs::create_dir_all(run.join("containers/n1")).expect("mkdir");
    fs::write(run.join("containers/n1/stderr"), "").expect("write");
    assert_eq!(tree.take_events(), []);
    let logs = found(&mut tree, temp.path());
    assert_eq!(logs, [format!("{RUN}/stdout"), format!("{RUN}/containers/n1/stderr")]);
}

#[test]
fn tells_of_writes() {
    let temp = tempfile::tempdir().expect("temp dir");
    let run = temp.path().join(RUN);
    fs::create_dir_all(&run).expect("mkdir");
    let mut file = fs::File::create(run.join("stdout")).expect("create");
    let mut tree = tree(temp.path());
    found(&mut tree, temp.path());
    io::Write::write_all(&mut file, b"x").expect("write");
    drop(file);
    let changes = tree.take_events();
    let closed: Vec<Close> = changes
        .iter()
        .map(|change| match change {
            Change::Written { name, closed, .. } if name == "stdout" => *closed,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(closed, [Close::No, Close::Yes]);
    assert_eq!(tree.next_dirty(), None);
}

#[test]
fn a_directory_that_goes_leaves_its_streams_behind() {
    let temp = tempfile::tempdir().expect("temp dir");
    let run = temp.path().join(RUN);
    fs::create_dir_all(&run).expect("mkdir");
    fs::write(run.join("stdout"), "").expect("write");
    let mut tree = tree(temp.path());
    let before = tree.nodes.len();
    while let Some(id) = tree.next_dirty() {
        if tree.list(id, 0).is_some_and(|listing| !listing.logs.is_empty()) {
            tree.set_stream(id, OsStr::new("stdout"), StreamId(5));
        }
    }
    fs::remove_dir_all(temp.path().join("slaves")).expect("remove");
    tree.take_events();
    assert_eq!(found(&mut tree, temp.path()), [] as [&str; 0]);
    assert_eq!(tree.take_orphans(), [StreamId(5)]);
    assert_eq!(tree.nodes.len(), before);
    assert!(tree.watches.len() <= 1);
}

#[test]
fn a_root_that_comes_later_is_found_by_a_rescan() {
    let temp = tempfile::tempdir().expect("temp dir");
    let root = temp.path().join("later");
    let mut tree = tree(&root);
    assert_eq!(found(&mut tree, &root), [] as [&str; 0]);
    fs::create_dir_all(root.join(RUN)).expect("mkdir");
    fs::write(root.join(RUN).join("stderr"), "").expect("write");
    tree.rescan(Rescan::Unwatched);
    assert_eq!(found(&mut tree, &root), [format!("{RUN}/stderr")]);
}

#[test]
fn a_rescan_finds_what_the_kernel_did_not_tell() {
    let temp = tempfile::tempdir().expect("temp dir");
    let run = temp.path().join(RUN);
    fs::create_dir_all(&run).expect("mkdir");
    let mut tree = tree(temp.path());
    tree.watches = Watches::none(tree.metrics.clone());
    found(&mut tree, temp.path());
    fs::write(run.join("stdout"), "").expect("write");
    tree.rescan(Rescan::Unwatched);
    assert_eq!(found(&mut tree, temp.path()), [format!("{RUN}/stdout")]);
}

#[test]
fn what_is_no_regular_file_is_left_out_and_counted_once() {
    let temp = tempfile::tempdir().expect("temp dir");
    let run = temp.path().join(RUN);
    fs::create_dir_all(run.join("stdout.1")).expect("mkdir");
    std::os::unix::fs::symlink("/etc/passwd", run.join("stdout")).expect("symlink");
    rustix::fs::mkfifoat(rustix::fs::CWD, run.join("stderr"), rustix::fs::Mode::RUSR)
        .expect("fifo");
    let mut tree = tree(temp.path());
    for _ in 0..2 {
        assert_eq!(found(&mut tree, temp.path()), [] as [&str; 0]);
        tree.rescan(Rescan::Changed);
    }
    let skipped = |reason: &str| tree.metrics.skipped_files.with_label_values(&[reason]).get();
    assert_eq!((skipped("symlink"), skipped("not_regular")), (1, 1));
}
