//! Inode numbers that are used again: a new file is a new file, whatever it begins with.

use std::path::Path;

use super::fixture::{Fixture, RUN, inode};

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
