//! Files that vanish between being listed and being opened.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use sawlog_transport::StreamId;
use sawlog_transport::run::PieceKind;

use super::fixture::Fixture;
use crate::identity::facts_of_path;

/// Files beside it.
const FILES: usize = 2000;
/// How often the directory is looked at, at most.
const LOOKS_MAX: usize = 3000;

/// Whenever one is met, what was seen of it is declared, to the byte; what was opened in time is read.
#[test]
fn what_was_seen_of_a_file_that_is_gone_at_once_is_declared() {
    let mut f = Fixture::on_paths(&["*.log"]);
    // So many that there is time between looking at the last one and opening it.
    for n in 0..FILES {
        f.append(&format!("{n}.log"), "there\n");
    }
    f.pump();
    let path = f.path("zzz.log");
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
    assert!(counted > 0, "none was met");
    let stream = StreamId::of_file(b"h1", b"", b"", b"", path.as_os_str().as_bytes());
    assert!(f.texts(stream).iter().all(|line| line == "0123456"), "no line is in parts");
}
