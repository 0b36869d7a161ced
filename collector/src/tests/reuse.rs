//! Inode numbers that are used again: a new file is a new file, whatever it begins with.

use std::path::Path;

use super::fixture::{Fixture, RUN, inode};
use crate::file_system::Answer;

/// Files made before the number of a removed one is given up for lost; tmpfs counts on and never gives
/// it again.
const ATTEMPTS_MAX: usize = 50;

fn lines(tag: &str, count: usize) -> String {
    let banner: String = (0..40).map(|n| format!("{n:049}\n")).collect();
    let own = (0..count).map(|n| format!("{tag} {n:047}\n"));
    banner + &own.collect::<String>()
}

fn reused_while_down(mut f: Fixture) {
    let out = format!("{RUN}/stdout");
    let (a, b) = (lines("A", 60), lines("B", 260));
    f.append(&out, &a);
    f.pump();
    f.pass(std::time::Duration::from_secs(1));
    f.pump();
    f.kill();
    let path = f.path(&out);
    let before = inode(&path);
    let mut is_reused = false;
    for _ in 0..ATTEMPTS_MAX {
        f.remove(&out);
        f.append(&out, &b);
        is_reused = inode(&path) == before;
        if is_reused {
            break;
        }
    }
    f.start();
    f.pump();
    let expected: Vec<String> = (a + &b).lines().map(str::to_owned).collect();
    assert!(f.stdout() == expected, "{} lines of {}", f.stdout().len(), expected.len());
    assert_eq!(f.duplicates(), 0);
    let changed = |reason: &str| f.metrics.identity_changed.with_label_values(&[reason]).get();
    assert_eq!(changed("generation") + changed("birth"), u64::from(is_reused));
}

#[test]
fn a_reused_inode_with_an_equal_head_is_a_new_file() {
    reused_while_down(Fixture::new());
}

#[test]
fn a_reused_inode_in_memory_is_a_new_file() {
    if !Path::new("/dev/shm").is_dir() {
        eprintln!("SKIPPED: there is no /dev/shm on this machine");
        return;
    }
    reused_while_down(Fixture::in_memory());
}

/// A file is read, the machine restarts with other device numbers and a kernel that tells `then`, and the
/// file grows; gives how many bytes were stored more than once.
fn repeated_after_a_restart(first: fn(Answer) -> Answer, then: fn(Answer) -> Answer) -> u64 {
    let mut f = Fixture::new();
    f.config.pretended.file_system = first;
    f.restart();
    let out = format!("{RUN}/stdout");
    f.append(&out, "one\n");
    f.wait(std::time::Duration::from_secs(1));
    f.kill();
    f.config.pretended.file_system = then;
    f.append(&out, "two\n");
    f.start();
    f.pump();
    assert_eq!(f.stdout().last().map(String::as_str), Some("two"));
    f.stdout().len() as u64 - 2
}

const EXT4: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

/// Before Linux 6.9.
fn old_kernel(answer: Answer) -> Answer {
    Answer { uuid: None, kind: EXT4, fsid: 77, ..answer }
}

#[test]
fn a_file_keeps_its_name_though_devices_are_renumbered() {
    let renumbered = |answer| {
        let answer = old_kernel(answer);
        Answer { device: answer.device + 16, ..answer }
    };
    assert_eq!(repeated_after_a_restart(old_kernel, renumbered), 0);
    // The limit: XFS says nothing but the device there.
    let xfs = |answer| Answer { kind: XFS, ..old_kernel(answer) };
    let renumbered =
        |answer: Answer| Answer { uuid: None, kind: XFS, fsid: 78, device: answer.device + 16 };
    assert_eq!(repeated_after_a_restart(xfs, renumbered), 1);
}

#[test]
fn a_kernel_that_tells_more_changes_no_name() {
    let new_kernel = |answer| Answer { uuid: Some([7; 16]), ..old_kernel(answer) };
    assert_eq!(repeated_after_a_restart(old_kernel, new_kernel), 0);
    // As it was before there were names of this kind.
    let device_only = |answer| Answer { fsid: 0, ..old_kernel(answer) };
    assert_eq!(repeated_after_a_restart(device_only, old_kernel), 0);
}
