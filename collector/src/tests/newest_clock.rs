//! What a stream remembers from line to line is that of its newest line, whatever is noted of its older files.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use sawlog_transport::limits::LINE_BYTES_MAX;

use super::fixture::{Fixture, RUN};

const OPEN: &str =
    "before\nkey: -----BEGIN RSA PRIVATE KEY-----\nMIIEfirst00line\nMIIEsecond0line\n";
const REST: &str = "MIIEthird00line\nMIIEfourth0line\n-----END RSA PRIVATE KEY-----\nafter\n";

fn out(suffix: &str) -> String {
    format!("{RUN}/stdout{suffix}")
}

/// What there is of a key is read; the rest comes after the loop knows the stream only from its checkpoints.
fn assert_key_stays_inside(mut f: Fixture, kill: bool) {
    if kill {
        f.restart();
    }
    f.append(&out(""), REST);
    f.wait(Duration::from_secs(20));
    let lines = f.stdout();
    assert_eq!(lines.last().map(String::as_str), Some("after"), "{lines:?}");
    let shown: Vec<&String> = lines.iter().filter(|line| line.contains("MIIE")).collect();
    assert!(shown.is_empty(), "with kill = {kill}: {shown:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("[redacted:pem:")).count(), 5);
}

#[test]
fn an_older_file_that_is_finished_does_not_close_the_newest_files_key() {
    for kill in [false, true] {
        let mut f = Fixture::new();
        f.kill();
        let mut gz = GzEncoder::new(f.writer(&out(".1.gz")), Compression::fast());
        gz.write_all(b"one\ntwo\n").expect("write");
        gz.finish().expect("finish");
        f.append(&out(""), OPEN);
        f.start();
        f.wait(Duration::from_secs(20));
        assert_eq!(f.collector().status().files_open, 0);
        assert_key_stays_inside(f, kill);
    }
}

#[test]
fn the_end_of_an_older_files_endless_line_does_not_close_the_newest_files_key() {
    for kill in [false, true] {
        let mut f = Fixture::new();
        let mut writer = f.writer(&out(".1"));
        writer.write_all(&[b'x'; LINE_BYTES_MAX + 5000]).expect("write");
        f.pump();
        f.append(&out(""), OPEN);
        f.wait(Duration::from_secs(3));
        assert!(
            f.stdout().iter().any(|line| line == "before"),
            "somebody still writes the older one"
        );
        drop(writer);
        // Its end is decided, and all files are quiet for so long that they are closed.
        for _ in 0..4 {
            f.wait(Duration::from_secs(20));
        }
        assert_key_stays_inside(f, kill);
    }
}
