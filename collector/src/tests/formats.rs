//! Lines in envelopes and stack traces, as the whole collector reads them: by parts, across rotations
//! and restarts, live and as a backlog.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use proptest::prelude::*;
use sawlog_transport::limits::{FRAME_TEXT_BYTES_MAX, LINE_BYTES_MAX};
use sawlog_transport::{Labels, LineFlags, StreamId};

use super::fixture::{Fixture, RUN};
use crate::envelope::Format;

const CRI: &str = "pods/shop_cart-7d4_1b2c/web/0.log";
const T: &str = "2027-01-15T08:00:00.000000001Z";

fn on_cri() -> Fixture {
    let f = Fixture::on_paths(&["pods/*/*/*.log"]);
    f.recorder.store.lock().envelopes = true;
    f
}

fn id(f: &Fixture, below: &str) -> StreamId {
    let path = f.path(below);
    StreamId::of_file(b"h1", b"", b"", b"", path.as_os_str().as_encoded_bytes())
}

fn cri(tags: &str, text: &str) -> String {
    format!("{T} {tags} {text}\n")
}

fn docker(side: &str, log: &str) -> String {
    let log = serde_json::to_string(log).expect("text");
    format!("{{\"log\":{log},\"stream\":\"{side}\",\"time\":\"{T}\"}}\n")
}

/// The lines of a file's stream: text, flags without the level, and the metadata `stream`.
fn lines(f: &Fixture, below: &str) -> Vec<(String, u8, String)> {
    let id = id(f, below);
    f.store(|store| {
        let Some(stream) = store.streams.get(&id) else { return Vec::new() };
        let line = |line: &super::store::StoredLine| {
            let side = line.metadata.iter().find(|(name, _)| name == "stream");
            let side = side.map_or(String::new(), |(_, side)| String::from_utf8_lossy(side).into());
            (String::from_utf8_lossy(&line.text).into_owned(), line.flags & 0xf0, side)
        };
        stream.lines.iter().map(line).collect()
    })
}

fn texts(f: &Fixture, below: &str) -> Vec<String> {
    lines(f, below).into_iter().map(|(text, ..)| text).collect()
}

fn labels(f: &Fixture, below: &str) -> Labels {
    let id = id(f, below);
    f.store(|store| store.streams[&id].labels.as_ref().clone())
}

#[test]
fn docker_lines_come_out_of_their_envelopes() {
    let mut f = Fixture::on_paths(&["containers/*/*-json.log", "*.log"]);
    f.recorder.store.lock().envelopes = true;
    let known = "containers/4f2a/4f2a-json.log";
    let found = "x.log";
    let content = [
        docker("stdout", "a \"quoted\" \u{e9}\n"),
        docker("stderr", "long "),
        docker("stdout", "\n"),
        docker("stderr", "line\n"),
        "what is this\n".to_owned(),
    ]
    .concat();
    for path in [known, found] {
        f.append(path, &content);
        f.pump();
        let expected = [
            ("a \"quoted\" \u{e9}", "stdout"),
            ("", "stdout"),
            ("long line", "stderr"),
            ("what is this", ""),
        ];
        let expected = expected.map(|(text, side)| (text.to_owned(), 0, side.to_owned()));
        assert_eq!(lines(&f, path), expected, "{path}");
        f.assert_complete(path);
    }
    assert_eq!(f.metrics.misfit_lines.get(), 2);
    let known = labels(&f, known);
    assert_eq!(
        (known.get("app"), known.get("container")),
        (Some(&b"4f2a"[..]), Some(&b"4f2a"[..]))
    );
    assert_eq!((known.get("stream"), labels(&f, found).get("stream")), (None, None));
    let times = f.store(|store| store.streams[&id(&f, found)].lines[0].time);
    assert_eq!(times, 1_800_000_000_000_000_001);
}

#[test]
fn files_without_an_envelope_stay_as_they_are() {
    let mut f = Fixture::on_paths(&["*.log"]);
    let content = format!("plain\n{}{}", docker("stdout", "x\n"), cri("stdout F", "y"));
    f.append("x.log", &content);
    f.pump();
    assert_eq!(texts(&f, "x.log").join("\n") + "\n", content);
    assert_eq!(labels(&f, "x.log").get("stream"), Some(&b"file"[..]));
    // Nor is it looked for in sandboxes, and it can be told.
    let mut f = Fixture::new();
    f.append(&format!("{RUN}/stdout"), cri("stdout F", "y"));
    f.pump();
    assert_eq!(f.stdout(), [cri("stdout F", "y").trim_end()]);
    let mut f = Fixture::on_paths(&["*.log"]);
    f.kill();
    f.config.format = Format::Raw;
    f.start();
    f.append("x.log", cri("stdout F", "y"));
    f.pump();
    assert_eq!(texts(&f, "x.log"), [cri("stdout F", "y").trim_end()]);
}

#[test]
fn parts_are_joined_across_rotations_and_restarts() {
    for forgets in [false, true] {
        let mut f = on_cri();
        f.append(CRI, cri("stdout F", "first") + &cri("stdout P", "one "));
        f.pump();
        f.append(CRI, cri("stderr F", "err") + &cri("stdout P", "long "));
        f.pump();
        f.kill();
        if forgets {
            f.forget_checkpoints();
        }
        f.start();
        f.pump();
        f.rename(CRI, &format!("{CRI}.1"));
        f.append(CRI, cri("stdout P", "line ") + &cri("stderr F", "err 2"));
        f.wait(Duration::from_secs(1));
        f.append(CRI, cri("stdout F", "here") + &cri("stdout F", "next"));
        f.wait(Duration::from_secs(1));
        assert_eq!(texts(&f, CRI), ["first", "err", "err 2", "one long line here", "next"]);
        f.assert_complete(CRI);
        f.assert_complete(&format!("{CRI}.1"));
        assert_eq!(f.metrics.lines_rejoined.get(), 1);
    }
}

#[test]
fn what_is_declared_lost_leaves_the_labels_as_they_are() {
    for (glob, path) in [("pods/*/*/*.log", CRI), ("*.log", "x.log")] {
        let mut f = Fixture::on_paths(&[glob]);
        f.recorder.store.lock().envelopes = true;
        f.append(path, cri("stdout F", "one"));
        f.pump();
        let before = labels(&f, path);
        assert_eq!(before.get("stream"), None);
        f.append(path, "seen and never ended");
        f.pump();
        f.truncate(path);
        f.pump();
        f.wait(Duration::from_secs(60));
        assert_eq!(f.lost("truncated"), 20);
        assert_eq!(labels(&f, path), before, "{path}");
    }
}

#[test]
fn a_file_that_begins_inside_a_line_has_the_envelope_of_the_one_before() {
    let mut f = Fixture::on_paths(&["*.log"]);
    f.recorder.store.lock().envelopes = true;
    let second = cri("stdout F", "second");
    let (begin, end) = second.split_at(40);
    f.append("x.log", cri("stdout F", "first") + begin);
    f.pump();
    f.rename("x.log", "x.log.1");
    f.append("x.log", end);
    f.wait(Duration::from_secs(1));
    f.append("x.log", cri("stderr F", "third"));
    f.wait(Duration::from_secs(1));
    let expected = [("first", "stdout"), ("second", "stdout"), ("third", "stderr")];
    let expected = expected.map(|(text, side)| (text.to_owned(), 0, side.to_owned()));
    assert_eq!(lines(&f, "x.log"), expected);
    f.assert_complete("x.log");
}

#[test]
fn a_line_of_many_parts_is_cut_and_the_next_is_intact() {
    let mut f = on_cri();
    let part = cri("stdout P", &"x".repeat(16_384));
    let n = 3 * FRAME_TEXT_BYTES_MAX / part.len();
    let mut content = cri("stdout F", "before");
    for _ in 0..n {
        content += &part;
        content += &cri("stderr F", "meanwhile");
    }
    content += &cri("stdout F", "its end");
    content += &cri("stdout F", "after");
    f.append(CRI, &content);
    f.pump();
    f.restart();
    f.pump();
    let lines = lines(&f, CRI);
    let cut: Vec<usize> =
        lines.iter().filter(|line| line.1 == LineFlags::CUT).map(|line| line.0.len()).collect();
    assert_eq!(cut.len(), 1);
    assert!(cut[0] > LINE_BYTES_MAX - 2 * part.len() && cut[0] <= LINE_BYTES_MAX);
    let others: Vec<&str> = lines
        .iter()
        .filter(|line| line.1 == 0 && line.0 != "meanwhile")
        .map(|line| line.0.as_str())
        .collect();
    assert_eq!(others, ["before", "after"]);
    assert_eq!(lines.iter().filter(|line| line.0 == "meanwhile").count(), n);
    f.assert_complete(CRI);
    let cut_bytes = f.store(super::store::Store::cut_bytes);
    assert_eq!(cut_bytes as u64, f.metrics.cut_bytes.get());
    assert_eq!(cut_bytes, (n - cut[0] / 16_384) * part.len() + cri("stdout F", "its end").len());
}

#[test]
fn a_physical_line_beyond_the_window_is_cut_without_its_envelope() {
    let mut f = on_cri();
    f.append(CRI, cri("stdout F", &"y".repeat(2 * LINE_BYTES_MAX)) + &cri("stdout F", "after"));
    f.pump();
    let lines = lines(&f, CRI);
    assert_eq!((lines[0].1, lines[0].0.trim_matches('y')), (LineFlags::CUT, ""));
    assert_eq!((lines.len(), lines[1].0.as_str()), (2, "after"));
    f.assert_complete(CRI);
}

/// Emptied under a writer that does not append: the first line lies behind a hole.
#[test]
fn the_envelope_is_found_behind_a_hole() {
    let mut f = Fixture::on_paths(&["*.log"]);
    f.recorder.store.lock().envelopes = true;
    f.append("x.log", docker("stdout", "before\n"));
    f.pump();
    f.truncate("x.log");
    let writer = OpenOptions::new().write(true).open(f.path("x.log")).expect("open");
    writer.write_all_at(docker("stdout", "behind\n").as_bytes(), 100_000).expect("write");
    f.pump();
    f.restart();
    f.append("x.log", docker("stderr", "after\n"));
    f.pump();
    assert_eq!(texts(&f, "x.log"), ["before", "behind", "after"]);
}

#[test]
fn a_line_beyond_the_window_that_fits_no_envelope_is_cut() {
    for as_docker in [false, true] {
        let mut f = Fixture::on_paths(&["*.log"]);
        f.recorder.store.lock().envelopes = true;
        let line = |text: &str| {
            if as_docker { docker("stdout", &format!("{text}\n")) } else { cri("stdout F", text) }
        };
        f.append("x.log", line("first"));
        f.pump();
        f.append("x.log", "x".repeat(300 << 10));
        f.pump();
        f.append("x.log", format!("\n{}", line("ok")));
        f.pump();
        let lines: Vec<(String, u8)> =
            lines(&f, "x.log").into_iter().map(|(text, flags, _)| (text, flags)).collect();
        let cut = ("x".repeat(LINE_BYTES_MAX), LineFlags::CUT);
        assert!(lines == [("first".to_owned(), 0), cut, ("ok".to_owned(), 0)], "{}", lines.len());
        f.assert_complete("x.log");
    }
}

#[test]
fn what_never_gets_its_last_part_ends_with_its_container() {
    let mut f = on_cri();
    f.append(CRI, cri("stdout P", "never ") + &cri("stdout P", "ended") + T);
    f.wait(Duration::from_secs(1));
    assert_eq!(texts(&f, CRI), Vec::<String>::new());
    f.wait(Duration::from_secs(10));
    let partial = LineFlags::PARTIAL;
    let expected =
        [(T.to_owned(), partial, String::new()), ("never ended".into(), partial, "stdout".into())];
    assert_eq!(lines(&f, CRI), expected);
    f.assert_complete(CRI);
}

#[test]
fn secrets_are_found_in_the_joined_text() {
    let mut f = on_cri();
    let key =
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq1\n-----END RSA PRIVATE KEY-----";
    let mut content = cri("stdout P", "login password=hun") + &cri("stdout F", "ter2 x");
    for line in key.lines() {
        content += &cri("stderr F", line);
    }
    content += &cri("stdout P", "open token=ghp_abcdefghij0123456");
    f.append(CRI, &content);
    let log = "containers/4f2a/4f2a-json.log";
    f.wait(Duration::from_secs(10));
    let texts = texts(&f, CRI);
    assert!(texts[0].starts_with("login password=[redacted:pair:") && texts[0].ends_with("] x"));
    assert!(texts[1..4].iter().all(|text| text.starts_with("[redacted:pem:")), "{texts:?}");
    assert!(texts[4].starts_with("open token=[redacted:"), "{texts:?}");
    f.assert_complete(CRI);
    let mut f = Fixture::on_paths(&["containers/*/*-json.log"]);
    f.recorder.store.lock().envelopes = true;
    f.append(log, docker("stdout", "{\"password\":\"hunter2\"}\n"));
    f.pump();
    let text = &self::texts(&f, log)[0];
    assert!(text.starts_with("{\"password\":\"[redacted:pair:"), "{text}");
}

#[test]
fn a_private_key_on_each_side_shows_nothing_although_the_other_ends() {
    const BEGIN: &str = "-----BEGIN RSA PRIVATE KEY-----";
    const END: &str = "-----END RSA PRIVATE KEY-----";
    let body = |side: &str, n: usize| cri(side, &format!("MIIEbody{n:02}0123456789abcdef"));
    let mut written = vec![cri("stdout F", BEGIN), cri("stderr F", BEGIN)];
    written.extend((0..3).flat_map(|n| [body("stdout F", n), body("stderr F", n)]));
    written.push(cri("stdout F", END));
    let key_lines = written.len() + 4;
    written.extend((3..6).map(|n| body("stderr F", n)));
    written.push(cri("stderr F", END));
    written.extend([cri("stdout F", "after"), cri("stderr F", "after")]);
    // Written at once, line by line, or with a restart before one of the lines.
    for restart in (1..key_lines).map(Some).chain([None]) {
        for step in [1, written.len()] {
            let mut f = on_cri();
            for (n, line) in written.iter().enumerate() {
                f.append(CRI, line);
                if n % step == 0 || restart == Some(n + 1) {
                    f.pump();
                }
                if restart == Some(n + 1) {
                    f.wait(Duration::from_secs(1));
                    f.restart();
                }
            }
            f.pump();
            let texts = texts(&f, CRI);
            assert_eq!(texts.len(), written.len());
            assert!(!texts.concat().contains("MIIE"), "{restart:?} {step} {texts:#?}");
            // Behind a restart, a side may be hidden that had no key: never the one that ended it.
            assert_eq!(texts.last().map(String::as_str), Some("after"), "{restart:?}");
            let shows_both = texts[key_lines] == "after";
            assert!(shows_both || restart.is_some_and(|n| n > 8), "{restart:?} {step}");
            f.assert_complete(CRI);
        }
    }
}

#[test]
fn text_that_redaction_makes_longer_than_a_frame_becomes_two_runs() {
    let mut f = on_cri();
    let content: String = (0..8000).map(|n| cri("stdout F", &format!("password={n}"))).collect();
    let first = content.len();
    f.append(CRI, content + &docker("stdout", "x\n"));
    f.pump();
    let texts = texts(&f, CRI);
    assert_eq!(texts.len(), 8001);
    assert!(texts[..8000].iter().all(|text| text.starts_with("password=[redacted:pair:")));
    assert!(first > FRAME_TEXT_BYTES_MAX);
    f.assert_complete(CRI);
    assert_eq!(f.duplicates(), 0);
}

const TRACE: &str = "2027-01-15 08:00:00,000 ERROR [main] failed\njava.lang.IllegalStateException: no\n\
    \tat a.b.C.d(C.java:1)\n\tat a.b.C.e(C.java:2)\nCaused by: java.io.IOException: x\n\t... 2 more\n\
    an ordinary line\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x()\nKeyError: 'x'\n\n\
    During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  \
    File \"a.py\", line 3, in g\nValueError: y\npanic: oh\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/x.go:1 +0x1\n";

fn entry_starts(f: &Fixture, stream: StreamId) -> Vec<usize> {
    f.store(|store| {
        let lines = &store.streams[&stream].lines;
        assert!(lines.is_sorted_by(|a, b| a.time < b.time));
        let starts = |(n, line): (usize, &super::store::StoredLine)| {
            (line.flags & LineFlags::CONTINUES == 0).then_some(n)
        };
        lines.iter().enumerate().filter_map(starts).collect()
    })
}

#[test]
fn traces_are_one_entry_live_with_pauses_and_restarts_and_as_a_backlog() {
    let path = format!("{RUN}/stdout");
    let stream = super::fixture::stream(b"c1", b"stdout");
    for (chunk, pause, restarts) in
        [(usize::MAX, 0, false), (1, 0, false), (13, 2, false), (40, 20, true)]
    {
        let mut f = Fixture::new();
        // Its container lives, so that a pause ends no line.
        let mut writer = f.writer(&path);
        for (n, part) in TRACE.as_bytes().chunks(chunk).enumerate() {
            writer.write_all(part).expect("write");
            f.pump();
            f.pass(Duration::from_secs(pause));
            if restarts && n % 2 == 1 {
                f.wait(Duration::from_secs(1));
                f.restart();
            }
        }
        f.wait(Duration::from_secs(1));
        assert_eq!(f.stdout().join("\n") + "\n", TRACE);
        assert_eq!(entry_starts(&f, stream), [0, 6, 7, 17], "chunks of {chunk}");
    }
}

#[test]
fn without_multiline_each_line_is_an_entry() {
    let mut f = Fixture::new();
    f.kill();
    f.config.multiline = false;
    f.start();
    f.append(&format!("{RUN}/stdout"), TRACE);
    f.pump();
    let stream = super::fixture::stream(b"c1", b"stdout");
    assert_eq!(entry_starts(&f, stream).len(), TRACE.lines().count());
}

#[test]
fn a_trace_goes_on_in_the_next_block() {
    let path = format!("{RUN}/stdout");
    let mut f = Fixture::new();
    let filler = "z".repeat(999);
    let before = FRAME_TEXT_BYTES_MAX / 1000 - 1;
    let mut content = format!("{filler}\n").repeat(before);
    content += "Traceback (most recent call last):\n";
    content += &"  File \"a.py\", line 1, in f\n    x()\n".repeat(100);
    content += "KeyError: 'x'\nnext\n";
    f.append(&path, &content);
    f.pump();
    let starts = entry_starts(&f, super::fixture::stream(b"c1", b"stdout"));
    assert_eq!(starts[before..], [before, before + 202]);
}

#[test]
fn trace_ids_are_kept_beside_their_lines() {
    let mut f = Fixture::new();
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    f.append(
        &format!("{RUN}/stdout"),
        format!("plain\n{{\"msg\":\"x\",\"trace_id\":\"{id}\"}}\npassword=abcdefgh traceparent=00-{id}-00f067aa0ba902b7-01\n"),
    );
    f.pump();
    let stream = super::fixture::stream(b"c1", b"stdout");
    let ids = f.store(|store| {
        let lines = &store.streams[&stream].lines;
        lines.iter().map(|line| line.metadata.clone()).collect::<Vec<_>>()
    });
    let expected = vec![("trace_id".to_owned(), id.as_bytes().to_vec())];
    assert_eq!(ids, [Vec::new(), expected.clone(), expected]);
}

#[derive(Clone, Debug)]
enum Action {
    /// A physical line: the side, whether the container's line ends, the text.
    Line(bool, bool, String),
    /// What was written so far goes to the file, but for so many bytes.
    Write(usize),
    Rotate,
    Pump,
    Restart(bool),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => (any::<bool>(), any::<bool>(), "[a-z ]{0,9}").prop_map(|(err, ends, text)| Action::Line(err, ends, text)),
        4 => (0..40usize).prop_map(Action::Write),
        1 => Just(Action::Rotate),
        3 => Just(Action::Pump),
        1 => any::<bool>().prop_map(Action::Restart),
    ];
    prop::collection::vec(action, 1..50)
}

/// The lines that the parts make, in the order in which they end.
fn joined(parts: &[(bool, bool, String)]) -> Vec<(String, String)> {
    let mut open = [String::new(), String::new()];
    let mut lines = Vec::new();
    for (err, ends, text) in parts {
        let line = &mut open[usize::from(*err)];
        line.push_str(text);
        if *ends {
            let side = if *err { "stderr" } else { "stdout" };
            lines.push((std::mem::take(line), side.to_owned()));
        }
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 4 + 1, ..ProptestConfig::default() })]

    /// However the bytes come, wherever files are rotated and the collector dies: each line once.
    #[test]
    fn each_line_comes_out_once(actions in actions(), as_docker: bool) {
        let (glob, path) = if as_docker {
            ("containers/*/*-json.log", "containers/4f2a/4f2a-json.log")
        } else {
            ("pods/*/*/*.log", CRI)
        };
        let mut f = Fixture::on_paths(&[glob]);
        f.recorder.store.lock().envelopes = true;
        let (mut parts, mut waiting, mut rotated) = (Vec::new(), VecDeque::new(), 0);
        let ends = [Action::Line(false, true, "z".into()), Action::Line(true, true, "z".into()), Action::Write(0)];
        for action in actions.into_iter().chain(ends) {
            match action {
                Action::Line(err, ends, text) => {
                    let side = if err { "stderr" } else { "stdout" };
                    let tags = format!("{side} {}", if ends { "F" } else { "P" });
                    let log = format!("{text}{}", if ends { "\n" } else { "" });
                    waiting.extend(if as_docker { docker(side, &log) } else { cri(&tags, &text) }.into_bytes());
                    parts.push((err, ends, text));
                }
                Action::Write(but) => {
                    let bytes: Vec<u8> = waiting.drain(..waiting.len().saturating_sub(but)).collect();
                    f.append(path, bytes);
                }
                Action::Rotate if f.path(path).exists() && rotated < 9 => {
                    for n in (0..rotated).rev() {
                        f.rename(&format!("{path}.{}", n + 1), &format!("{path}.{}", n + 2));
                    }
                    f.rename(path, &format!("{path}.1"));
                    rotated += 1;
                }
                Action::Rotate => {}
                Action::Pump => f.pump(),
                Action::Restart(forgets) => {
                    f.pump();
                    f.kill();
                    if forgets {
                        f.forget_checkpoints();
                    }
                    f.start();
                }
            }
        }
        f.wait(Duration::from_secs(1));
        f.wait(Duration::from_secs(20));
        let found: Vec<(String, String)> = lines(&f, path).into_iter().map(|(text, _, side)| (text, side)).collect();
        prop_assert_eq!(found, joined(&parts));
        f.assert_complete(path);
    }
}
