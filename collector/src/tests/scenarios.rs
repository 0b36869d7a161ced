//! What containers, loggers and operators do to log files, one thing at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::time::Duration;

use sawlog_transport::limits::LINE_BYTES_MAX;
use sawlog_transport::{LineFlags, StreamId};

use super::fixture::{Fixture, RUN, stream};
use super::store::Mode;

const SECOND: Duration = Duration::from_secs(1);

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

#[test]
fn lines_arrive_as_they_were_written() {
    let mut f = Fixture::new();
    let content = b"plain\n\n\r\nwindows\r\nnul\0nul\nbad \xff\xfe utf8\nlone \r in line\n";
    f.append(&out(""), content);
    f.pump();
    let texts = f.store(|store| store.texts(stream(b"c1", b"stdout")));
    let expected: Vec<&[u8]> =
        content.strip_suffix(b"\n").expect("ends").split(|byte| *byte == b'\n').collect();
    assert_eq!(texts, expected);
    f.assert_complete(&out(""));
    assert_eq!((f.duplicates(), f.metrics.read_lines.get()), (0, 7));
    assert_eq!(f.metrics.acked_bytes.get(), content.len() as u64);
}

#[test]
fn a_line_written_in_pieces_is_one_line() {
    let mut f = Fixture::new();
    for piece in ["half ", "one, ", "\u{e9}".split_at(0).1, "half two", "\r", "\n"] {
        f.append(&out(""), piece);
        f.pump();
    }
    assert_eq!(f.stdout(), ["half one, \u{e9}half two\r"]);
    assert_eq!(f.metrics.partial_lines.get(), 0);
}

#[test]
fn labels_come_with_the_lines() {
    let mut f = Fixture::new();
    f.append(&out(""), "x\n");
    f.pump();
    let labels = f.store(|store| store.streams[&stream(b"c1", b"stdout")].labels.clone());
    assert_eq!(
        labels.to_string(),
        r#"{agent="S1",app="E",container="c1",executor="E",framework="F",host="h1",service_name="E",stream="stdout"}"#
    );
}

#[test]
fn the_unterminated_end_waits_for_its_writer() {
    let mut f = Fixture::new();
    let mut writer = f.writer(&out(""));
    writer.write_all(b"done\nprompt> ").expect("write");
    f.wait(600 * SECOND);
    assert_eq!(f.stdout(), ["done"]);
    drop(writer);
    f.wait(4 * SECOND);
    assert_eq!(f.stdout(), ["done", "prompt> "]);
    let line = f.store(|store| store.streams[&stream(b"c1", b"stdout")].lines[1].clone());
    assert_ne!(line.flags & LineFlags::PARTIAL, 0);
    f.append(&out(""), "more\n");
    f.pump();
    assert_eq!(f.stdout(), ["done", "prompt> ", "more"]);
    f.assert_complete(&out(""));
    assert_eq!(f.metrics.partial_lines.get(), 1);
}

#[test]
fn an_ended_container_gives_its_last_line_after_five_seconds() {
    let mut f = Fixture::new();
    f.append(&out(""), "last words");
    f.wait(4 * SECOND);
    assert_eq!(f.stdout(), [] as [&str; 0]);
    f.wait(SECOND);
    assert_eq!(f.stdout(), ["last words"]);
}

#[test]
fn several_rotations_while_stopped() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n2\n");
    f.pump();
    f.kill();
    f.append(&out(""), "3\ncut ");
    f.rename(&out(""), &out(".3"));
    f.append(&out(".2"), "here\n4\ncut ");
    f.append(&out(".1"), "twice ");
    f.append(&out(""), "more\n5\n");
    f.start();
    f.pump();
    assert_eq!(f.stdout(), ["1", "2", "3", "cut here", "4", "cut twice more", "5"]);
    for suffix in [".3", ".2", ".1", ""] {
        f.assert_complete(&out(suffix));
    }
    assert_eq!((f.duplicates(), f.metrics.lines_rejoined.get()), (0, 2));
}

#[test]
fn more_than_nine_rotated_files_are_in_order() {
    let mut f = Fixture::new();
    for n in (1..=12).rev() {
        f.append(&out(&format!(".{n}")), format!("{n}\n"));
    }
    f.append(&out(""), "0\n");
    f.pump();
    let expected: Vec<String> = (0..=12).rev().map(|n| n.to_string()).collect();
    assert_eq!(f.stdout(), expected);
}

/// The Mesos logger with its default options: the rotated file is unlinked at once.
#[test]
fn a_rotated_file_that_is_deleted_at_once_is_read_to_its_end() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n");
    f.pump();
    f.append(&out(""), "2\ncut ");
    f.rename(&out(""), &out(".1"));
    f.remove(&out(".1"));
    f.append(&out(""), "here\n3\n");
    f.pump();
    assert_eq!(f.stdout(), ["1", "2", "cut here", "3"]);
    assert_eq!(f.collector().status().files_open, 1, "the deleted file is closed");
}

#[test]
fn a_deleted_sandbox_is_read_to_its_end_and_forgotten() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n");
    f.pump();
    f.append(&out(""), "2\nlast");
    fs::remove_dir_all(f.path("slaves")).expect("remove");
    f.wait(6 * SECOND);
    assert_eq!(f.stdout(), ["1", "2", "last"]);
    assert_eq!(f.collector().status().files_open, 0);
    f.append(&out(""), "again\n");
    f.wait(700 * SECOND);
    assert_eq!(f.stdout(), ["1", "2", "last", "again"]);
}

#[test]
fn a_deleted_file_stays_open_until_its_bytes_are_acknowledged() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n");
    f.recorder.set(Mode::Hold);
    f.pump();
    f.remove(&out(""));
    f.wait(60 * SECOND);
    assert_eq!(f.collector().status().files_open, 1);
    f.recorder.set(Mode::Acknowledge);
    f.pump();
    assert_eq!(f.collector().status().files_open, 0);
}

/// The logger renames, and takes its time before it writes on.
#[test]
fn a_cut_line_waits_for_a_file_that_is_open_and_still_empty() {
    let mut f = Fixture::new();
    f.append(&out(""), "cut ");
    f.pump();
    f.rename(&out(""), &out(".1"));
    let mut writer = f.writer(&out(""));
    f.wait(60 * SECOND);
    assert_eq!(f.stdout(), [] as [&str; 0]);
    writer.write_all(b"here\n").expect("write");
    f.pump();
    assert_eq!(f.stdout(), ["cut here"]);
}

#[test]
fn an_unterminated_late_write_is_not_joined_with_what_comes_after_it() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n");
    f.pump();
    f.rename(&out(""), &out(".1"));
    f.append(&out(""), "2\n");
    f.pump();
    f.append(&out(".1"), "late");
    f.pump();
    f.append(&out(""), "3\n");
    f.wait(6 * SECOND);
    assert_eq!(f.stdout(), ["1", "2", "3", "late"]);
}

#[test]
fn a_late_writer_of_a_rotated_and_deleted_file_is_read() {
    let mut f = Fixture::new();
    let mut old = f.writer(&out(""));
    old.write_all(b"A\n").expect("write");
    f.pump();
    f.rename(&out(""), "elsewhere");
    f.remove("elsewhere");
    f.append(&out(""), "C\n");
    f.wait(3 * SECOND);
    assert_eq!(f.stdout(), ["A", "C"]);
    old.write_all(b"B1\n").expect("write");
    f.wait(30 * SECOND);
    old.write_all(b"B2\n").expect("write");
    drop(old);
    f.wait(6 * SECOND);
    assert_eq!(f.stdout(), ["A", "C", "B1", "B2"]);
    assert!(f.collector().status().files_open <= 1);
}

/// Two processes write two files of one stream: an unfinished line is not a cut line.
#[test]
fn a_line_that_another_writer_is_still_writing_is_not_joined() {
    let mut f = Fixture::new();
    let mut old = f.writer(&out(""));
    old.write_all(b"un").expect("write");
    f.pump();
    f.rename(&out(""), &out(".1"));
    f.append(&out(""), "new\n");
    f.wait(SECOND);
    assert_eq!(f.stdout(), [] as [&str; 0], "the newer file waits");
    f.wait(2 * SECOND);
    assert_eq!(f.stdout(), ["new"]);
    old.write_all(b"finished\n").expect("write");
    drop(old);
    f.wait(6 * SECOND);
    assert_eq!(f.stdout(), ["new", "unfinished"]);
    assert_eq!(f.metrics.lines_rejoined.get(), 0);
}

#[test]
fn what_was_not_joined_in_time_is_never_joined() {
    let mut f = Fixture::new();
    let mut old = f.writer(&out(""));
    old.write_all(b"old").expect("write");
    f.pump();
    f.rename(&out(""), &out(".1"));
    let mut new = f.writer(&out(""));
    new.write_all(b"new").expect("write");
    f.wait(3 * SECOND);
    drop(old);
    f.wait(6 * SECOND);
    new.write_all(b"er\n").expect("write");
    f.pump();
    assert_eq!(f.stdout(), ["old", "newer"]);
}

#[test]
fn a_cut_line_whose_continuation_never_ends_is_partial() {
    let mut f = Fixture::new();
    f.append(&out(".1"), "one ");
    f.append(&out(""), "two");
    f.wait(6 * SECOND);
    assert_eq!(f.stdout(), ["one two"]);
    f.assert_complete(&out(".1"));
    f.assert_complete(&out(""));
}

/// Whoever writes to a rotated file while its cut line is still open: no checkpoint may step over
/// the beginning of that line.
#[test]
fn late_bytes_wait_for_the_cut_line_before_them() {
    let mut f = Fixture::new();
    f.append(&out(".1"), "cut ");
    f.append(&out(""), "on");
    f.pump();
    f.append(&out(".1"), "late\n");
    f.pump();
    f.restart();
    f.append(&out(""), "ly\n");
    f.pump();
    assert_eq!(f.stdout(), ["cut late", "only"]);
    f.assert_complete(&out(".1"));
    f.assert_complete(&out(""));
}

#[test]
fn a_long_line_is_cut_and_its_rest_is_declared() {
    for len in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 << 20] {
        let mut f = Fixture::new();
        let line = vec![b'x'; len];
        f.append(&out(""), [b"before\n", &line[..], b"\nafter\n"].concat());
        f.pump();
        let lines = f.store(|store| store.texts(stream(b"c1", b"stdout")));
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1], line[..len.min(LINE_BYTES_MAX)]);
        assert_eq!(lines[2], b"after");
        f.assert_complete(&out(""));
        let cut = if len > LINE_BYTES_MAX { len - LINE_BYTES_MAX + 1 } else { 0 };
        assert_eq!(f.metrics.cut_bytes.get(), cut as u64);
        assert_eq!(f.store(|store| store.cut_bytes()), cut);
    }
}

#[test]
fn a_long_line_grows_slowly_and_spans_files_and_restarts() {
    let mut f = Fixture::new();
    let chunk = vec![b'y'; 100_000];
    for n in 0..12 {
        f.append(&out(""), &chunk);
        match n % 4 {
            1 => f.pump(),
            2 => f.restart(),
            3 => f.rename(&out(""), &out(&format!(".{}", 3 - n / 4))),
            _ => {}
        }
    }
    f.append(&out(""), "end\nnext\n");
    f.pump();
    let lines = f.store(|store| store.texts(stream(b"c1", b"stdout")));
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], vec![b'y'; LINE_BYTES_MAX]);
    assert_eq!(lines[1], b"next");
    for suffix in [".3", ".2", ".1", ""] {
        f.assert_complete(&out(suffix));
    }
}

/// The line's beginning fills its file exactly: what follows is left out up to the line's end, and
/// not one line more.
#[test]
fn a_line_that_fills_its_file_exactly_is_cut_in_the_next_only() {
    let mut f = Fixture::new();
    f.append(&out(".2"), vec![b'x'; LINE_BYTES_MAX]);
    f.append(&out(".1"), "the rest\nsecond\n");
    f.append(&out(""), "third\n");
    f.pump();
    let lines = f.store(|store| store.texts(stream(b"c1", b"stdout")));
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], vec![b'x'; LINE_BYTES_MAX]);
    assert_eq!(lines[1..], [b"second".to_vec(), b"third".to_vec()]);
    assert_eq!(f.store(|store| store.cut_bytes()), "the rest\n".len());
}

/// Bytes that were looked at are written over: what is there now counts, and nobody spins.
#[test]
fn an_unterminated_end_that_is_written_over_is_read_as_it_is_now() {
    use std::os::unix::fs::FileExt;
    let mut f = Fixture::new();
    f.append(&out(""), "abc");
    f.pump();
    let over = OpenOptions::new().write(true).open(f.path(&out(""))).expect("open");
    over.write_all_at(b"a\nb", 0).expect("write");
    drop(over);
    f.wait(20 * SECOND);
    f.wait(20 * SECOND);
    assert_eq!(f.stdout(), ["a", "b"]);
}

/// A file that is opened, appended to and closed now and then, as cron jobs do: its lines without
/// times are of now, not of the last run.
#[test]
fn lines_without_times_after_hours_of_silence_are_of_now() {
    let mut f = Fixture::new();
    f.append(&out(""), "first run\n");
    f.wait(60 * SECOND);
    assert_eq!(f.collector().status().files_open, 0);
    f.restart();
    f.wait(60 * SECOND);
    f.pass(3600 * SECOND);
    f.append(&out(""), "second run\n");
    f.wait(20 * SECOND);
    let times: Vec<i64> = f.store(|store| {
        let lines = &store.streams[&stream(b"c1", b"stdout")].lines;
        lines.iter().map(|line| line.time).collect()
    });
    assert!(times[1] - times[0] > 3_600_000_000_000, "{times:?}");
}

#[test]
fn a_cut_line_that_never_ends_does_not_swallow_the_next_file() {
    let mut f = Fixture::new();
    f.append(&out(""), vec![b'z'; LINE_BYTES_MAX + 10]);
    f.wait(11 * SECOND);
    f.restart();
    f.pump();
    f.rename(&out(""), &out(".1"));
    f.append(&out(""), "fresh\n");
    f.pump();
    let lines = f.store(|store| store.texts(stream(b"c1", b"stdout")));
    assert_eq!(lines.last().map(|line| &line[..]), Some(&b"fresh"[..]));
    f.assert_complete(&out(".1"));
}

#[test]
fn truncation_begins_a_generation() {
    let mut f = Fixture::new();
    f.append(&out(""), "one\ntwo\n");
    f.pump();
    let truncate = |f: &Fixture| {
        OpenOptions::new().write(true).truncate(true).open(f.path(&out(""))).expect("truncate");
    };
    truncate(&f);
    f.append(&out(""), "three\n");
    f.pump();
    // Regrown past the old position before anybody looked.
    truncate(&f);
    f.append(&out(""), "four is longer\nfive\n");
    f.pump();
    assert_eq!(f.stdout(), ["one", "two", "three", "four is longer", "five"]);
    assert_eq!(f.metrics.truncations.get(), 2);
    f.kill();
    truncate(&f);
    f.append(&out(""), "six while nobody looked\n");
    f.start();
    f.pump();
    assert_eq!(f.stdout().last().map(String::as_str), Some("six while nobody looked"));
    assert_eq!((f.metrics.truncations.get(), f.duplicates()), (3, 0));
}

#[test]
fn a_new_file_with_an_old_inode_is_a_new_file() {
    let mut f = Fixture::new();
    f.append(&out(""), "same banner\nA\n");
    f.pump();
    f.kill();
    f.remove(&out(""));
    f.append(&out(""), "same banner\nA\nB\n");
    f.start();
    f.pump();
    assert_eq!(f.stdout(), ["same banner", "A", "same banner", "A", "B"]);
}

#[test]
fn nothing_is_read_through_links_or_from_what_is_no_file() {
    let mut f = Fixture::new();
    f.append(&out(""), "real\n");
    f.append("secret", "secret\n");
    let run = f.path(RUN);
    symlink(&run, run.with_file_name("latest")).expect("symlink");
    symlink(f.path("secret"), run.join("stderr")).expect("symlink");
    symlink(f.path(RUN), f.path("slaves/S2")).expect("symlink");
    let fifo = run.join("stdout.1");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).expect("fifo");
    f.append(&format!("{RUN}/stdout.logrotate.state"), "state\n");
    f.append(&format!("{RUN}/stdout.2.gz"), "compressed\n");
    f.append(&format!("{RUN}/containers/check-1/stdout"), "check\n");
    f.append(&format!("{RUN}/containers/n1/stdout"), "nested\n");
    f.append(&format!("{RUN}/sandbox/.logs/p/0/stderr"), "thermos\n");
    f.append("containers/alone/stdout", "standalone\n");
    f.pump();
    let mut all: Vec<String> = f.store(|store| {
        let texts = store.streams.values().flat_map(|stream| &stream.lines);
        texts.map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    });
    all.sort();
    assert_eq!(all, ["nested", "real", "standalone", "thermos"]);
    assert_eq!(f.texts(stream(b"c1.n1", b"stdout")), ["nested"]);
    assert_eq!(f.texts(stream(b"c1", b"sandbox/.logs/p/0/stderr")), ["thermos"]);
}

#[test]
fn twins_arrive_both() {
    let mut f = Fixture::new();
    for container in 0..20 {
        f.append(&format!("slaves/S1/frameworks/F/executors/E/runs/c{container}/stdout"), "a\nb\n");
    }
    f.pump();
    for container in 0..20 {
        assert_eq!(f.texts(stream(format!("c{container}").as_bytes(), b"stdout")), ["a", "b"]);
    }
}

#[test]
fn a_full_or_failing_transport_loses_nothing_and_is_not_read_past() {
    let mut f = Fixture::new();
    f.config.in_flight_bytes_max = 1 << 20;
    f.restart();
    let line = format!("{}\n", "x".repeat(999));
    f.recorder.set(Mode::Full);
    f.append(&out(""), line.repeat(4000));
    f.pump();
    let held = f.collector().status().in_flight_bytes;
    assert!(held <= 1 << 20 && held > 1 << 19, "{held}");
    assert_eq!(f.metrics.read_bytes.get(), held as u64);
    f.recorder.set(Mode::Fail);
    for _ in 0..50 {
        f.step();
    }
    assert!(f.metrics.send_retries.get() > 0);
    f.recorder.set(Mode::Acknowledge);
    f.wait(10 * SECOND);
    assert_eq!(f.stdout().len(), 4000);
    f.assert_complete(&out(""));
    assert_eq!(f.duplicates(), 0);
    assert_eq!(f.collector().status().in_flight_bytes, 0);
}

#[test]
fn what_is_not_acknowledged_is_sent_again_after_a_restart() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\n");
    f.pump();
    f.recorder.set(Mode::Hold);
    f.append(&out(""), "2\n");
    f.pump();
    f.restart();
    f.recorder.set(Mode::Acknowledge);
    f.append(&out(""), "3\n");
    f.pump();
    assert_eq!(f.stdout(), ["1", "2", "3"]);
    assert_eq!(f.duplicates(), 2, "only the second line was sent twice");
}

#[test]
fn without_checkpoints_everything_is_sent_again_under_the_same_names() {
    let mut f = Fixture::new();
    f.append(&out(""), "1\ncut ");
    f.pump();
    f.rename(&out(""), &out(".1"));
    f.append(&out(""), "here\n2\n");
    f.pump();
    f.kill();
    f.forget_checkpoints();
    f.start();
    f.append(&out(""), "3\n");
    f.pump();
    assert_eq!(f.stdout(), ["1", "cut here", "2", "3"]);
    assert_eq!(f.duplicates(), 13);
}

#[test]
fn finished_files_are_closed_and_opened_again_when_they_grow() {
    let mut f = Fixture::new();
    f.append(&out(".1"), "old\n");
    f.append(&out(""), "new\n");
    f.pump();
    assert_eq!(f.collector().status().files_open, 1);
    f.wait(11 * SECOND);
    assert_eq!(f.collector().status().files_open, 0);
    f.wait(700 * SECOND);
    assert_eq!((f.collector().status().files_open, f.duplicates()), (0, 0));
    f.append(&out(""), "newer\n");
    f.pump();
    assert_eq!(f.stdout(), ["old", "new", "newer"]);
    assert_eq!(f.duplicates(), 0);
}

#[test]
fn files_beyond_the_limit_wait_for_others_to_finish() {
    let mut f = Fixture::new();
    f.config.open_files_max = 3;
    f.restart();
    for n in 0..10 {
        f.append(&format!("slaves/S1/frameworks/F/executors/E/runs/c{n}/stdout"), "x\n");
    }
    f.recorder.set(Mode::Hold);
    f.pump();
    assert_eq!((f.collector().status().files_open, f.metrics.read_lines.get()), (3, 3));
    f.recorder.set(Mode::Acknowledge);
    for _ in 0..10 {
        f.wait(11 * SECOND);
    }
    assert_eq!((f.collector().status().files_open, f.metrics.read_lines.get()), (0, 10));
}

#[test]
fn plain_files_and_their_rotated_siblings_are_streams() {
    let mut f = Fixture::on_paths(&["*.log", "deep/**/*.txt"]);
    f.append("a.log.1", "1\ncut ");
    f.append("a.log", "here\n2\n");
    f.append("b.log", "b\n");
    f.append("no.dat", "no\n");
    f.pump();
    f.append("deep/er/c.txt", "c\n");
    f.append("d.log", "d\n");
    f.wait(11 * SECOND);
    let texts = |f: &Fixture, below: &str| {
        let path = f.path(below);
        let file = path.as_os_str().as_encoded_bytes();
        f.texts(StreamId::of_file(b"h1", b"", b"", b"", file))
    };
    assert_eq!(texts(&f, "a.log"), ["1", "cut here", "2"]);
    assert_eq!(texts(&f, "b.log"), ["b"]);
    assert_eq!(texts(&f, "deep/er/c.txt"), ["c"]);
    assert_eq!(texts(&f, "d.log"), ["d"]);
    assert_eq!(f.store(|store| store.streams.len()), 4);
}

#[test]
fn plain_files_that_are_no_text_are_left_out_once() {
    let mut f = Fixture::on_paths(&["*.log*"]);
    f.append("a.log", b"ELF\0\0\n");
    f.append("b.log.zst", b"\x28\xb5\x2f\xfdcompressed\n");
    f.append("c.log", "text\n");
    f.pump();
    f.append("a.log", b"more\n");
    f.append("c.log", b"and then\0\n");
    f.wait(700 * SECOND);
    let skipped = |reason: &str| f.metrics.skipped_files.with_label_values(&[reason]).get();
    assert_eq!((skipped("binary"), skipped("zstd")), (1, 1));
    assert_eq!(f.store(|store| store.streams.len()), 1);
    f.assert_complete("c.log");
}

/// A file that is renamed from one name that matches to another stays one file.
#[test]
fn a_plain_file_under_a_second_matching_name_is_not_read_twice() {
    let mut f = Fixture::on_paths(&["*.log"]);
    f.append("a.log", "1\n");
    f.pump();
    f.rename("a.log", "a-20260820.log");
    f.append("a.log", "2\n");
    f.pump();
    f.restart();
    f.wait(11 * SECOND);
    assert_eq!(f.duplicates(), 0);
    assert_eq!(f.metrics.read_bytes.get(), 4);
}

/// A port of the logger's loop: at most a page at a time, rotation between pieces.
struct Logger {
    written: usize,
    limit: usize,
    keep: usize,
    file: Option<File>,
}

impl Logger {
    fn write(&mut self, f: &Fixture, piece: &[u8]) {
        if self.written + piece.len() > self.limit {
            self.file = None;
            self.rotate(f);
            self.written = 0;
        }
        let file = self.file.get_or_insert_with(|| f.writer(&out("")));
        file.write_all(piece).expect("write");
        self.written += piece.len();
    }

    fn rotate(&self, f: &Fixture) {
        let exists = |suffix: usize| f.path(&out(&format!(".{suffix}"))).exists();
        for n in (1..=self.keep).rev().filter(|n| exists(*n)) {
            f.rename(&out(&format!(".{n}")), &out(&format!(".{}", n + 1)));
        }
        f.rename(&out(""), &out(".1"));
        if exists(self.keep + 1) {
            f.remove(&out(&format!(".{}", self.keep + 1)));
        }
    }
}

/// Lines of 50 to 9,000 bytes, each with its number.
fn logger_lines(count: usize) -> Vec<String> {
    let length = |n: usize| 50 + (n * 2_654_435_761) % 8_950;
    (0..count).map(|n| format!("{n:08} {}", "abc ".repeat(length(n) / 4))).collect()
}

fn run_logger(keep: usize, look_every: usize) -> (Fixture, Vec<String>) {
    let mut f = Fixture::new();
    let mut logger = Logger { written: 0, limit: 20_480, keep, file: None };
    let lines = logger_lines(400);
    let all = lines.join("\n") + "\n";
    let mut pipe = all.as_bytes();
    let mut page = [0; 4096];
    let mut pieces = 0;
    while let Ok(read @ 1..) = pipe.read(&mut page) {
        logger.write(&f, &page[..read]);
        pieces += 1;
        if pieces % look_every == 0 {
            while f.step() {}
        }
    }
    f.wait(11 * SECOND);
    (f, lines)
}

#[test]
fn the_mesos_logger_that_keeps_files() {
    let (f, lines) = run_logger(3, 7);
    assert_eq!(f.stdout(), lines);
    assert_eq!((f.duplicates(), f.metrics.partial_lines.get()), (0, 0));
    assert!(f.metrics.lines_rejoined.get() > 30);
}

#[test]
fn the_mesos_logger_that_deletes_at_once() {
    let (mut f, lines) = run_logger(0, 1);
    assert_eq!(f.stdout(), lines);
    assert_eq!((f.duplicates(), f.metrics.partial_lines.get()), (0, 0));
    f.wait(11 * SECOND);
    assert!(f.collector().status().files_open <= 1);
}

#[test]
fn quiet_files_are_not_starved_by_a_busy_one() {
    let mut f = Fixture::new();
    f.append(&out(""), "x".repeat(99).as_str());
    let line = format!("{}\n", "x".repeat(999));
    f.append(&out(""), line.repeat(20_000));
    f.append(&format!("{RUN}/stderr"), "quiet\n");
    while f.texts(stream(b"c1", b"stderr")).is_empty() {
        f.step();
    }
    assert!(f.metrics.read_bytes.get() < 5_000_000);
}
