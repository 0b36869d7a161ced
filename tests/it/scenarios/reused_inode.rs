//! Scenario 2, a reused inode with the same head: while the collector is away a file is replaced by
//! another of the same name and inode that begins with the same 2,000 bytes.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::verifier::{assert_lost, wait_for_lines};
use super::work::Work;
use super::writer::{Log, append};
use crate::node::{Node, assert_same_bytes, eventually};

const CONTAINER: &str = "c1";
const LINE: usize = 100;
/// How often a new file is made until it has the old one's inode.
const ATTEMPTS: usize = 200;

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

/// Makes an empty file in place of another; tells whether it has its inode.
fn replace(path: &Path) -> bool {
    let old = inode(path);
    std::fs::remove_file(path).unwrap();
    // Those that came out wrong are kept meanwhile, so that another number comes next.
    let mut wrong = Vec::new();
    let same = (0..ATTEMPTS).any(|n| {
        drop(File::create(path).unwrap());
        if inode(path) == old {
            return true;
        }
        let aside = path.with_file_name(format!("not-a-log-{n}"));
        std::fs::rename(path, &aside).unwrap();
        wrong.push(aside);
        false
    });
    if !same {
        drop(File::create(path).unwrap());
    }
    wrong.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    same
}

/// A, then B with the same inode; gives the node behind them.
fn replaced(work: &Work) -> (Node, bool) {
    let first = Log::new("x", LINE..=LINE).lines(0..100);
    // 20 lines are 2,000 bytes.
    let second = [&first[..20 * LINE], &Log::new("y", LINE..=LINE).lines(0..280)].concat();
    let path = work.stdout(CONTAINER);
    append(&path, &first);
    let node = work.node().start();
    let acknowledged = || node.metric("sawlog_collector_acked_bytes_total");
    eventually("A is acknowledged", acknowledged, |bytes| *bytes == first.len() as f64);
    assert_eq!(node.terminate(), Some(0));
    let same = replace(&path);
    append(&path, &second);
    let node = work.node().start().ready();
    let selector = format!(r#"{{container="{CONTAINER}"}}"#);
    wait_for_lines(&node, &selector, 400);
    assert_same_bytes(&node.export(&selector), &[first, second.clone()].concat(), "A and B");
    assert_eq!(node.metric("sawlog_collector_read_bytes_total"), second.len() as f64);
    assert_lost(&node, &[]);
    (node, same)
}

#[test]
fn a_reused_inode_is_another_file() {
    let (_, same) = replaced(&Work::new());
    println!("the inode was used again: {same}");
}

#[test]
fn a_reused_inode_on_tmpfs_is_another_file() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: there is no /dev/shm to write to");
        return;
    };
    let (_, same) = replaced(&Work::of(dir));
    println!("the inode was used again: {same}");
}

/// An overlay file system, unmounted when dropped.
struct Overlay(tempfile::TempDir);

impl Overlay {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["lower", "upper", "scratch", "merged"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            at("lower").display(),
            at("upper").display(),
            at("scratch").display()
        );
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(at("merged"));
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(dir))
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path().join("merged")).status();
        if !unmounted.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("umount: {unmounted:?}");
        }
    }
}

#[test]
fn a_reused_inode_on_overlayfs_is_another_file() {
    let Some(overlay) = Overlay::mount() else {
        println!("skipped: no overlay may be mounted here");
        return;
    };
    let dir = tempfile::tempdir_in(overlay.0.path().join("merged")).unwrap();
    let (node, same) = replaced(&Work::of(dir));
    drop(node);
    println!("the inode was used again: {same}");
}

#[test]
fn why_a_reused_inode_is_another_file_is_counted() {
    let (node, same) = replaced(&Work::new());
    assert!(same, "the file system gave another inode");
    let changed = node.metric("sawlog_collector_identity_changed_total{reason=\"generation\"}");
    assert_eq!(changed, 1.0);
}
