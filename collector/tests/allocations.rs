//! No line costs an allocation: a hundred times as many lines take no more but for buffers and batches.

#[allow(dead_code, reason = "each program uses a part of it")]
#[path = "../src/tests/allocator.rs"]
mod allocator;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocator::Counting;
use bytes::Bytes;
use prometheus::Registry;
use sawlog_collector::redact::{Block, PemBlock, Redactor};
use sawlog_collector::{Collector, Config, Format, parse};
use sawlog_transport::{Ack, AckSender, Position, Producer, SendError};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const FEW: usize = 1_000;
const MANY: usize = 100_000;
/// What buffers, frames and batches may take, from the file to the acknowledged batch.
const PER_THOUSAND_LINES: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(120);

/// What lines of a format look like: its name, how the file is read, and the line of a number.
type Lines = (&'static str, Format, fn(usize) -> String);

/// All formats on the plain path: none of their lines costs anything by itself.
const PLAIN: [Lines; 13] = [
    ("raw", Format::Raw, |n| format!("line {n} of a plain text that says nothing of itself")),
    ("log4j", Format::Raw, |n| {
        format!("2026-08-20 10:00:{:02},123 INFO [main] a.b.C - sold {n}", n % 60)
    }),
    ("glog", Format::Raw, |n| format!("I0820 10:00:{:02}.123456  12 a.cc:1] sold {n}", n % 60)),
    ("syslog", Format::Raw, |n| format!("<13>Aug 20 10:00:{:02} host app[1]: sold {n}", n % 60)),
    ("access log", Format::Raw, |n| {
        format!("10.0.0.1 - - [14/Nov/2025:22:13:{:02} +0000] \"GET /{n} HTTP/1.1\" 200 2", n % 60)
    }),
    ("JSON", Format::Raw, |n| {
        format!(r#"{{"time":"2026-08-20T10:00:{:02}Z","level":"info","msg":"sold {n}"}}"#, n % 60)
    }),
    ("JSON with a trace id", Format::Raw, |n| {
        format!(r#"{{"level":"info","trace_id":"4bf92f3577b34da6a3ce929d{n:08}","msg":"sold"}}"#)
    }),
    ("logfmt", Format::Raw, |n| format!("ts=2026-08-20T10:00:{:02}Z level=info n={n}", n % 60)),
    ("stack traces", Format::Raw, |n| match n % 3 {
        0 => format!("java.lang.IllegalStateException: order {n}"),
        _ => format!("\tat com.example.Shop.open(Shop.java:{n})"),
    }),
    ("Docker", Format::Docker, |n| {
        let time = format!("2026-08-20T10:00:{:02}.5Z", n % 60);
        format!(r#"{{"log":"sold \"{n}\"\n","stream":"stdout","time":"{time}"}}"#)
    }),
    ("Docker, both sides", Format::Docker, |n| {
        let side = ["stdout", "stderr"][n % 2];
        format!(
            r#"{{"log":"sold {n}\n","stream":"{side}","attrs":{{"a":"b"}},"time":"2026-08-20T10:00:00Z"}}"#
        )
    }),
    ("CRI", Format::Cri, |n| format!("2026-08-20T10:00:{:02}.5Z stdout F sold {n}", n % 60)),
    ("CRI in parts", Format::Cri, |n| {
        format!("2026-08-20T10:00:00.5Z stderr {} sold {n}", ["P", "F"][n % 2])
    }),
];

/// Not the plain path: what stands for a secret is made for it, a few allocations each.
const SECRETS: Lines = ("secrets", Format::Raw, |n| format!("login password=hunter{n:08}x"));
const PER_SECRET: u64 = 8;

fn text(line: fn(usize) -> String, lines: usize) -> Vec<u8> {
    (0..lines).flat_map(|n| (line(n) + "\n").into_bytes()).collect()
}

/// A transport that acknowledges at once and keeps nothing.
struct Nowhere;

impl Producer for Nowhere {
    fn partitions(&self) -> u32 {
        1
    }

    fn send(&self, partition: u32, _: Bytes, tag: u64, acks: &AckSender) -> Result<(), SendError> {
        let result = Ok(Position { partition, offset: tag });
        acks.send(Ack { tag, result }).map_err(|_| SendError::Full)
    }
}

/// Allocations from the start of a collector until it has acknowledged the text.
fn collecting(format: Format, text: &[u8]) -> u64 {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("a.log");
    std::fs::write(&file, text).expect("write");
    let paths = vec![file.to_str().expect("text").to_owned()];
    let config = Config { paths, format, ..Config::new(dir.path().join("data"), "h1") };
    let before = ALLOCATOR.calls();
    let collector = Collector::start(config, Arc::new(Nowhere), &Registry::new()).expect("starts");
    let deadline = Instant::now() + PATIENCE;
    while collector.status().bytes_acked < text.len() as u64 {
        assert!(Instant::now() < deadline, "waited too long: {:?}", collector.status());
        std::thread::sleep(Duration::from_millis(1));
    }
    let calls = ALLOCATOR.calls() - before;
    collector.stop(deadline).expect("no panic");
    calls
}

/// Allocations while a text's heads are read and its secrets looked for.
fn reading(redactor: &mut Redactor, block: &mut Block, text: &[u8]) -> u64 {
    let before = ALLOCATOR.calls();
    for line in text.split(|byte| *byte == b'\n') {
        std::hint::black_box(parse::head(line));
    }
    let mut pem = PemBlock::default();
    let mut rest = text;
    while !rest.is_empty() {
        redactor.block(&rest[..rest.len().min(200_000)], &mut pem, block, |_| {});
        rest = &rest[block.taken..];
    }
    ALLOCATOR.calls() - before
}

/// One test, since the count is everybody's.
#[test]
fn no_line_costs_an_allocation() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut redactor = Redactor::open(Path::new(dir.path()), &[]).expect("a key");
    let mut block = Block::default();
    for (name, format, line) in PLAIN {
        let (few, many) = (text(line, FEW), text(line, MANY));
        reading(&mut redactor, &mut block, &many);
        assert_eq!(reading(&mut redactor, &mut block, &many), 0, "{name}: parsers and redaction");
        let grown = collecting(format, &many).saturating_sub(collecting(format, &few));
        let per_thousand = grown * 1000 / (MANY - FEW) as u64;
        println!("{name}: {grown} more for {} more lines, {per_thousand} a thousand", MANY - FEW);
        assert!(per_thousand <= PER_THOUSAND_LINES, "{name}: {per_thousand} per thousand lines");
    }
    let (name, format, line) = SECRETS;
    let grown =
        collecting(format, &text(line, MANY)).saturating_sub(collecting(format, &text(line, FEW)));
    println!("{name}: {grown} more for {} more lines", MANY - FEW);
    assert!(grown > 0 && grown <= PER_SECRET * (MANY - FEW) as u64, "{name}: {grown}");
}
