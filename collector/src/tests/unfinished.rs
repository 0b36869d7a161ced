//! Secrets in lines whose beginning was handed on before their rest came: in the same file however long
//! they are, in envelopes, and in the next file.

use std::time::Duration;

use sawlog_transport::StreamId;

use super::fixture::{Fixture, RUN};

/// So long nobody writes until a line without an end is handed on, whoever may have the file.
const SILENCE: Duration = Duration::from_secs(61);
/// What nothing may show, any six bytes of it.
const SECRET: &str = "Hunter2Hunter2Horse";
const CRI: &str = "pods/shop_cart-7d4_1b2c/web/0.log";
const DOCKER: &str = "containers/4f2a/4f2a-json.log";
const T: &str = "2027-01-15T08:00:00.000000001Z";
const UNSCANNED: &str = "[redacted:unscanned]";

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

fn on_envelopes() -> Fixture {
    let f = Fixture::on_paths(&["pods/*/*/*.log", "containers/*/*-json.log"]);
    f.recorder.store.lock().envelopes = true;
    f
}

fn lines_of(f: &Fixture, below: &str) -> Vec<String> {
    let path = f.path(below);
    f.texts(StreamId::of_file(b"h1", b"", b"", b"", path.as_os_str().as_encoded_bytes()))
}

#[track_caller]
fn assert_hidden(lines: &[String]) {
    for piece in SECRET.as_bytes().windows(6) {
        let piece = String::from_utf8_lossy(piece).into_owned();
        assert!(!lines.iter().any(|line| line.contains(&piece)), "'{piece}' in {lines:?}");
    }
}

/// A line in an envelope, or a part of one.
fn wrapped(path: &str, side: &str, ends: bool, text: &str) -> String {
    if path == CRI {
        return format!("{T} {side} {} {text}\n", if ends { "F" } else { "P" });
    }
    let end = if ends { "\\n" } else { "" };
    format!("{{\"log\":\"{text}{end}\",\"stream\":\"{side}\",\"time\":\"{T}\"}}\n")
}

#[test]
fn the_rest_of_a_line_is_judged_with_its_beginning_however_far_back_that_is() {
    for filler in [2_000, 100_000] {
        let mut f = Fixture::new();
        let value = "x1".repeat(filler / 2);
        f.append(&out(""), format!("first\nsend password=\"{value}"));
        f.wait(SILENCE);
        assert_eq!(f.stdout().len(), 2);
        f.restart();
        f.append(&out(""), format!("{SECRET}\" sent\nnext\n"));
        f.pump();
        let lines = f.stdout();
        assert_hidden(&lines);
        assert!(lines[2].ends_with(" sent"), "{lines:?}");
        assert_eq!(lines[3], "next");
        f.assert_complete(&out(""));
    }
}

#[test]
fn the_rest_of_a_line_that_is_longer_than_any_shows_nothing() {
    let mut f = Fixture::new();
    f.append(&out(""), format!("send password=\"{}", "x1".repeat(100_000)));
    f.wait(SILENCE);
    f.append(&out(""), "x1".repeat(100_000));
    f.wait(SILENCE);
    f.append(&out(""), format!("{SECRET}\" sent\nnext\n"));
    f.pump();
    let lines = f.stdout();
    assert_hidden(&lines);
    assert_eq!(lines[2..], [UNSCANNED, "next"]);
    f.assert_complete(&out(""));
}

#[test]
fn a_line_behind_a_long_hole_is_shown() {
    let mut f = Fixture::new();
    let mut writer = f.writer(&out(""));
    writer.set_len(1 << 20).expect("hole");
    std::io::Write::write_all(&mut writer, b"behind it\nnext\n").expect("write");
    drop(writer);
    f.pump();
    assert_eq!(f.stdout(), ["behind it", "next"]);
}

/// What happens to the file with the beginning before the next file has the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Between {
    Renamed,
    Restarted,
    Closed,
    Removed,
}

#[test]
fn the_rest_of_a_line_in_the_next_file_is_judged_with_its_beginning() {
    for between in [Between::Renamed, Between::Restarted, Between::Closed, Between::Removed] {
        for cut in [7, 14, 20] {
            let line = format!("password={SECRET} sent");
            let mut f = Fixture::new();
            f.append(&out(""), format!("first\n{}", &line[..cut]));
            f.wait(SILENCE);
            assert_eq!(f.stdout().len(), 2, "the beginning is handed on");
            if between == Between::Closed {
                f.wait(Duration::from_secs(3600));
            }
            match between {
                Between::Removed => f.remove(&out("")),
                _ => f.rename(&out(""), &out(".1")),
            }
            if between == Between::Restarted {
                f.restart();
            }
            f.append(&out(""), format!("{}\nnext\n", &line[cut..]));
            f.wait(Duration::from_secs(10));
            let lines = f.stdout();
            assert_hidden(&lines);
            assert_eq!(lines[3], "next", "{between:?} {lines:?}");
            if matches!(between, Between::Renamed | Between::Restarted) {
                assert!(lines[2].ends_with(" sent"), "{between:?} {lines:?}");
            }
            f.assert_complete(&out(""));
        }
    }
}

#[test]
fn a_rest_that_goes_on_through_a_rotation_is_judged_with_all_of_it() {
    let mut f = Fixture::new();
    f.append(&out(""), "first\npass");
    f.wait(SILENCE);
    let mut writer = f.writer(&out(""));
    std::io::Write::write_all(&mut writer, b"word=Hunter2").expect("write");
    f.pump();
    drop(writer);
    f.rename(&out(""), &out(".1"));
    f.append(&out(""), "Hunter2Horse sent\nnext\n");
    f.wait(Duration::from_secs(10));
    let lines = f.stdout();
    assert_hidden(&lines);
    assert_eq!((lines.len(), &lines[3][..]), (4, "next"), "{lines:?}");
}

#[test]
fn the_rest_of_a_line_in_envelopes_is_judged_with_its_beginning() {
    for path in [CRI, DOCKER] {
        for (n, cut) in [3, 9, 14, 20].into_iter().enumerate() {
            let line = format!("password={SECRET} sent");
            let mut f = on_envelopes();
            let (begin, rest) = (&line[..cut], &line[cut..]);
            f.append(path, wrapped(path, "stdout", true, "first"));
            f.append(path, wrapped(path, "stdout", false, begin));
            f.wait(SILENCE);
            assert_eq!(lines_of(&f, path).len(), 2, "the beginning is handed on");
            if n % 2 == 0 {
                f.append(path, wrapped(path, "stderr", true, "meanwhile"));
                f.pump();
            }
            if n < 2 {
                f.restart();
            }
            f.append(path, wrapped(path, "stderr", true, "other"));
            f.append(path, wrapped(path, "stdout", true, rest));
            f.append(path, wrapped(path, "stdout", true, "next"));
            f.wait(Duration::from_secs(1));
            let lines = lines_of(&f, path);
            assert_hidden(&lines);
            assert!(lines.iter().any(|line| line.ends_with(" sent")), "{lines:?}");
            assert_eq!(lines.last().map(String::as_str), Some("next"), "{lines:?}");
            f.assert_complete(path);
        }
    }
}

#[test]
fn the_rest_of_an_envelope_is_judged_with_its_beginning() {
    for path in [CRI, DOCKER] {
        for ends in [true, false] {
            let mut f = on_envelopes();
            let whole = wrapped(path, "stdout", ends, &format!("password={SECRET} sent"));
            let (begin, rest) = whole.split_at(whole.find("Horse").expect("there"));
            f.append(path, wrapped(path, "stdout", true, "first"));
            f.append(path, begin);
            f.wait(SILENCE);
            assert_eq!(lines_of(&f, path).len(), 2, "the beginning is handed on");
            f.append(path, rest);
            f.append(path, wrapped(path, "stdout", true, "next"));
            f.wait(Duration::from_secs(1));
            let lines = lines_of(&f, path);
            assert_hidden(&lines);
            assert!(lines[2].contains(" sent"), "{lines:?}");
            assert_eq!(lines.last().map(String::as_str), Some("next"), "{lines:?}");
            f.assert_complete(path);
        }
    }
}

#[test]
fn the_rest_of_a_line_in_envelopes_of_the_next_file_is_judged_with_its_beginning() {
    for between in [Between::Renamed, Between::Restarted, Between::Removed] {
        let mut f = on_envelopes();
        f.append(CRI, wrapped(CRI, "stderr", true, "first"));
        f.append(CRI, wrapped(CRI, "stderr", false, "password=Hunter2"));
        f.wait(SILENCE);
        assert_eq!(lines_of(&f, CRI).len(), 2, "the beginning is handed on");
        match between {
            Between::Removed => f.remove(CRI),
            _ => f.rename(CRI, &format!("{CRI}.1")),
        }
        if between == Between::Restarted {
            f.restart();
        }
        f.append(CRI, wrapped(CRI, "stdout", true, "meanwhile"));
        f.append(CRI, wrapped(CRI, "stderr", true, "Hunter2Horse sent"));
        f.append(CRI, wrapped(CRI, "stderr", true, "next"));
        f.wait(Duration::from_secs(10));
        let lines = lines_of(&f, CRI);
        assert_hidden(&lines);
        assert_eq!((&lines[2][..], &lines[4][..]), ("meanwhile", "next"), "{lines:?}");
        f.assert_complete(CRI);
    }
}

#[test]
fn a_side_that_stays_inside_a_line_costs_the_other_nothing_and_its_rest_is_judged() {
    for restarted in [false, true] {
        let mut f = on_envelopes();
        f.append(CRI, wrapped(CRI, "stderr", false, "password=Hunter2"));
        f.wait(SILENCE);
        assert_eq!(lines_of(&f, CRI).len(), 1, "the beginning is handed on");
        if restarted {
            f.restart();
        }
        for n in 0..100 {
            f.append(CRI, wrapped(CRI, "stdout", true, &n.to_string().repeat(1000)));
            f.pump();
        }
        assert_eq!(f.metrics.reread_bytes.get(), 0);
        let size = std::fs::metadata(f.path(CRI)).expect("stat").len();
        assert!((100_000..256 * 1024).contains(&size), "{size}");
        f.append(CRI, wrapped(CRI, "stderr", true, "Hunter2Horse sent"));
        f.pump();
        assert_eq!(f.metrics.reread_bytes.get(), if restarted { size } else { 0 });
        f.append(CRI, wrapped(CRI, "stderr", true, "next"));
        f.pump();
        let lines = lines_of(&f, CRI);
        assert_hidden(&lines);
        assert!(lines[101].ends_with(" sent"), "{lines:?}");
        assert_eq!(lines[102], "next");
        assert_eq!(f.metrics.reread_bytes.get(), if restarted { size } else { 0 });
        f.assert_complete(CRI);
    }
}

#[test]
fn the_rest_of_what_is_kept_is_shown_however_far_back_it_began() {
    let mut f = on_envelopes();
    f.append(CRI, wrapped(CRI, "stderr", false, "password=Hunter2"));
    f.wait(SILENCE);
    for _ in 0..30 {
        f.append(CRI, wrapped(CRI, "stdout", true, &"x".repeat(10_000)));
    }
    f.pump();
    f.append(CRI, wrapped(CRI, "stderr", true, "Hunter2Horse sent"));
    f.pump();
    let lines = lines_of(&f, CRI);
    assert_hidden(&lines);
    assert!(lines[31].ends_with(" sent"), "{}", lines[31]);
}
