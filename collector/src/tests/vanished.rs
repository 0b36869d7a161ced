//! Files that vanish between being listed and being opened.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use sawlog_transport::run::PieceKind;

use super::fixture::{Fixture, RUN};
use crate::identity::facts_of_path;

/// How often the directory is looked at, at most.
const LOOKS_MAX: usize = 3000;

/// Whenever one is met, what was seen of it is declared, to the byte; what was opened in time is read.
#[test]
fn what_was_seen_of_a_file_that_is_gone_at_once_is_declared() {
    let mut f = Fixture::new();
    f.append(&format!("{RUN}/stderr"), "there\n");
    f.pump();
    let path = f.path(&format!("{RUN}/stdout"));
    fs::write(&path, "").expect("write");
    let has_birth = facts_of_path(&path).expect("stat").key.birth_time != 0;
    fs::remove_file(&path).expect("remove");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fs::write(&path, "0123456\n").expect("write");
                fs::remove_file(&path).expect("remove");
            }
        });
        for _ in 0..LOOKS_MAX {
            f.step();
            if f.lost("vanished") >= 80 {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    f.wait(std::time::Duration::from_secs(5));
    let counted = f.lost("vanished");
    println!("{counted} bytes vanished");
    let declared: u64 = f.store(|store| {
        let vanished = store.declared.iter().filter(|piece| piece.kind == PieceKind::Vanished);
        vanished.map(|piece| piece.bytes()).sum()
    });
    assert_eq!(declared, if has_birth { counted } else { 0 });
    assert!(f.stdout().iter().all(|line| line == "0123456"), "no line is in parts");
}
