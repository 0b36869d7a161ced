//! Files that are copied and truncated while their writer goes on: a copy ends before what was read.

use std::io::Write;
use std::time::Duration;

use super::fixture::{Fixture, RUN};

const SECOND: Duration = Duration::from_secs(1);
/// No file is made within it of another one at the same time, as far as the file system tells.
const TICK: Duration = Duration::from_millis(11);

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

/// Lines of 50 bytes.
fn lines(tag: &str, count: usize) -> String {
    (0..count).map(|n| format!("{tag} {n:08} {}\n", "x".repeat(39 - tag.len()))).collect()
}

fn expected(parts: &[&str]) -> Vec<String> {
    parts.concat().lines().map(str::to_owned).collect()
}

/// What was written before the copy was begun, while it was made, and after the truncation; the copy ends
/// after so many bytes of the first two.
struct Rotation {
    before: String,
    meanwhile: Vec<String>,
    copied: usize,
}

impl Rotation {
    /// The collector sees the copy begin, reads on in the original, and finds that one empty.
    fn play(&self, f: &mut Fixture) {
        f.append(&out(""), &self.before);
        f.pump();
        std::thread::sleep(TICK);
        let mut copy = f.writer(&out(".1"));
        f.pump();
        for part in &self.meanwhile {
            f.append(&out(""), part);
            f.pump();
        }
        copy.write_all(&self.all().as_bytes()[..self.copied]).expect("write");
        drop(copy);
        f.truncate(&out(""));
    }

    fn all(&self) -> String {
        self.before.clone() + &self.meanwhile.concat()
    }
}

#[test]
fn a_copy_that_ends_before_what_was_read_is_known() {
    let meanwhile: Vec<String> = (0..40).map(|n| lines(&format!("M{n}"), 3)).collect();
    for copied in [0, 10, 150, 151, 3000, 5999] {
        for restart in [false, true] {
            let mut f = Fixture::new();
            let before = lines("A", 100);
            let copied = before.len() + copied;
            let rotation = Rotation { before, meanwhile: meanwhile.clone(), copied };
            let new = lines("B", 30);
            rotation.play(&mut f);
            f.append(&out(""), &new);
            f.wait(20 * SECOND);
            if restart {
                f.restart();
                f.wait(20 * SECOND);
            }
            let all = rotation.all() + &new;
            assert_eq!(f.stdout(), expected(&[&all]), "{copied} bytes are in the copy");
            assert_eq!(f.metrics.read_bytes.get() as usize, all.len(), "nothing is read twice");
            f.assert_nothing_lost();
        }
    }
}

/// Less than is compared otherwise: then all of it must be what was read.
#[test]
fn a_small_copy_is_known_if_it_ends_where_was_read_to() {
    let mut f = Fixture::new();
    let meanwhile = vec!["second\n".to_owned()];
    let rotation = Rotation { before: "first\n".to_owned(), meanwhile, copied: 6 };
    rotation.play(&mut f);
    f.append(&out(""), "third\n");
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), ["first", "second", "third"]);
    assert_eq!(f.metrics.read_bytes.get(), 19);
}

/// What was seen of the original beyond its copy, and not read, is lost.
#[test]
fn what_is_in_neither_is_declared() {
    let mut f = Fixture::new();
    let meanwhile = vec![lines("M", 2), "seen and never ended".to_owned()];
    let before = lines("A", 60);
    let copied = before.len() + 50;
    let rotation = Rotation { before, meanwhile, copied };
    rotation.play(&mut f);
    f.append(&out(""), lines("B", 3));
    f.wait(20 * SECOND);
    let read = [lines("A", 60), lines("M", 2), lines("B", 3)].concat();
    assert_eq!(f.stdout(), expected(&[&read]));
    assert_eq!(f.lost("truncated"), 20);
}

/// Both begin with the same lines, up to where the first one was once read: only when the copy was made
/// tells whose it is.
#[test]
fn the_copy_of_a_twin_is_no_copy() {
    let mut f = Fixture::new();
    let (banner, a, b, c) = (lines("banner", 40), lines("A", 100), lines("B", 20), lines("C", 5));
    f.append(&out(""), &banner);
    f.pump();
    f.append(&out(""), &a);
    f.pump();
    std::thread::sleep(TICK);
    f.truncate(&out(""));
    f.append(&out(""), banner.clone() + &b);
    f.copy(&out(""), &out(".1"));
    f.truncate(&out(""));
    f.append(&out(""), &c);
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), expected(&[&banner, &a, &banner, &b, &c]));
    f.assert_nothing_lost();
}

/// Made in time, it holds something else all the same.
#[test]
fn a_file_with_the_same_head_that_was_made_meanwhile_is_no_copy() {
    let (banner, a, other) = (lines("banner", 25), lines("A", 100), lines("other", 60));
    for head in [&banner[..900], &banner[..]] {
        let mut f = Fixture::new();
        f.append(&out(""), &banner);
        f.pump();
        std::thread::sleep(TICK);
        let mut file = f.writer(&out(".1"));
        f.pump();
        for part in a.as_bytes().chunks(500) {
            f.append(&out(""), part);
            f.pump();
        }
        let content = head.to_owned() + &other;
        file.write_all(content.as_bytes()).expect("write");
        drop(file);
        f.truncate(&out(""));
        f.append(&out(""), "end\n");
        f.wait(20 * SECOND);
        let mut found = f.stdout();
        let mut all = expected(&[&banner, &a, &content, "end\n"]);
        found.sort();
        all.sort();
        assert_eq!(found, all);
        f.assert_nothing_lost();
    }
}

/// The copy has the name of the one before, and is the same file: when it was made tells nothing then.
#[test]
fn a_twin_over_an_older_copy_is_no_copy() {
    let mut f = Fixture::new();
    let (banner, a, b, c) = (lines("banner", 40), lines("A", 100), lines("B", 20), lines("C", 5));
    f.append(&out(""), "first\n");
    f.wait(SECOND);
    f.copy(&out(""), &out(".1"));
    f.truncate(&out(""));
    f.wait(20 * SECOND);
    f.append(&out(""), &banner);
    f.pump();
    f.append(&out(""), &a);
    f.pump();
    f.truncate(&out(""));
    f.append(&out(""), banner.clone() + &b);
    f.copy(&out(""), &out(".1"));
    f.truncate(&out(""));
    f.append(&out(""), &c);
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), expected(&["first\n", &banner, &a, &banner, &b, &c]));
    f.assert_nothing_lost();
}
