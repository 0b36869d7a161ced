//! Live tail: older lines and new ones without a seam, slow readers told what they missed, and the
//! command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Error, Message, WebSocket};

use crate::node::{Node, PATIENCE, Setup, eventually, sawlog};

/// One file that a node collects.
struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let bed = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::write(bed.file(), "").unwrap();
        bed
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("app.log")
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = std::fs::File::options().append(true).open(self.file()).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn start(&self, seal_interval: &str) -> Node {
        let setup = Setup::new(&self.dir.path().join("data")).arg("--path", self.file());
        setup.arg("--seal-interval", seal_interval).start().ready()
    }
}

/// A WebSocket client of Loki's tail.
struct Client(WebSocket<MaybeTlsStream<TcpStream>>);

impl Client {
    fn connect(node: &Node, params: &[(&str, &str)]) -> Self {
        Self::try_connect(node, params, None).expect("the tail begins")
    }

    /// `Err` with status and text if it is refused.
    fn try_connect(
        node: &Node,
        params: &[(&str, &str)],
        origin: Option<&str>,
    ) -> Result<Self, (u16, String)> {
        let pairs: Vec<String> =
            params.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let addr = node.addr.replace("http://", "ws://");
        let url = format!("{addr}/loki/api/v1/tail?{}", pairs.join("&"));
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        match tungstenite::connect(request) {
            Ok((socket, _)) => {
                let MaybeTlsStream::Plain(stream) = socket.get_ref() else { panic!("no TLS") };
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Ok(Self(socket))
            }
            Err(Error::Http(response)) => {
                let text = response.body().clone().unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                Err((response.status().as_u16(), text))
            }
            Err(err) => panic!("{err}"),
        }
    }

    /// The next message but pings.
    fn next(&mut self) -> Result<Frame, Error> {
        loop {
            match self.0.read()? {
                Message::Text(text) => return Ok(Frame::of(&text)),
                Message::Close(frame) => return Ok(Frame { close: frame, ..Frame::default() }),
                _ => {}
            }
        }
    }
}

/// A message, as a client reads it.
#[derive(Debug, Default)]
struct Frame {
    /// Lines of streams that are not our own.
    lines: Vec<String>,
    /// Lines that were left out before them.
    skipped: u64,
    close: Option<CloseFrame>,
}

impl Frame {
    fn of(text: &str) -> Self {
        let frame: Value = serde_json::from_str(text).unwrap();
        let dropped = frame["dropped_entries"].as_array().unwrap();
        assert!(dropped.len() <= 1000);
        for entry in dropped {
            assert_eq!(entry["labels"]["app"], "app");
            assert_eq!(entry["timestamp"].as_str().unwrap().len(), 19);
        }
        let mut this = Self { skipped: dropped.len() as u64, ..Self::default() };
        let mut entries = 0;
        for stream in frame["streams"].as_array().unwrap() {
            let values = stream["values"].as_array().unwrap();
            entries += values.len();
            for value in values {
                assert_eq!(value[0].as_str().unwrap().len(), 19);
                let line = value[1].as_str().unwrap();
                if stream["stream"]["sawlog"] == "skipped" {
                    // More than were told one by one: here is how many in all.
                    entries -= 1;
                    this.skipped = line.split_once(' ').unwrap().0.parse().unwrap();
                    assert!(this.skipped > 1000, "{line}");
                } else {
                    assert_eq!(stream["stream"]["detected_level"], "unknown");
                    this.lines.push(line.to_owned());
                }
            }
        }
        assert!(entries <= 100, "{entries} entries in a frame");
        this
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn number(line: &str) -> u64 {
    line.split(' ').next().unwrap().parse().unwrap()
}

/// Older lines come first, then those that are written meanwhile: each once, in order, wherever the
/// writer and the seals are just then.
#[test]
fn older_and_new_lines_meet_without_a_gap_or_a_double() {
    let bed = Bed::new();
    let node = bed.start("100ms");
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Acquire) {
                let from = written.load(Ordering::Acquire);
                let lines: String = (from..from + 10).map(|n| format!("{n} line\n")).collect();
                bed.append(lines.as_bytes());
                written.store(from + 10, Ordering::Release);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        let _stopped = StopOnDrop(&stop);
        eventually("lines", || node.count(r#"{app="app"}"#), |n| *n > 100);
        for round in 0..12 {
            let limit = ["100", "1000", "5000"][round % 3];
            let before = written.load(Ordering::Acquire);
            let params = [("query", r#"{app="app"} |= "line""#), ("limit", limit)];
            let mut client = Client::connect(&node, &params);
            let target = written.load(Ordering::Acquire) + 300;
            let mut found: Vec<u64> = Vec::new();
            while found.last().is_none_or(|last| *last < target) {
                let frame = client.next().unwrap();
                assert_eq!(frame.skipped, 0);
                found.extend(frame.lines.iter().map(|line| number(line)));
            }
            let expected: Vec<u64> = (found[0]..found[0] + found.len() as u64).collect();
            assert_eq!(found, expected);
            assert!(found[0] < before, "older lines came first");
        }
    });
    assert!(node.metric("sawlog_aggregator_seals_total") > 1.0, "seals moved lines meanwhile");
    assert_eq!(node.metric("sawlog_query_tail_dropped_lines_total"), 0.0);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Lines a second, how many, and how long one is.
const RATE: u64 = 10_000;
const LINES: u64 = 100_000;
const LINE_BYTES: usize = 200;
/// A reading client may be so far behind before the writer waits for it: on a machine that is too
/// slow for the rate the test takes longer and shows the same.
const LAG_MAX: u64 = 10_000;
/// More than twice what it takes (40 MiB). Each tail holds at most 8 MiB of runs and 5 MiB of entries;
/// lines are hot and being sealed for a second each.
const RSS_ANON_MAX: u64 = 96 << 20;

/// 10,000 lines a second to three clients, one of which stops reading: the others get each line
/// once and in order; the stopped one is told how many it missed.
#[test]
fn a_client_that_stops_reading_costs_only_itself() {
    let bed = Bed::new();
    let node = bed.start("1s");
    let params = [("query", r#"{app="app"}"#), ("limit", "1")];
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(&node, &params)).collect();
    eventually("tails", || node.metric("sawlog_query_tail_clients"), |n| *n == 3.0);
    let mut stopped = clients.pop().unwrap();
    let seen: Vec<Arc<AtomicU64>> = clients.iter().map(|_| Arc::default()).collect();
    let readers: Vec<_> = clients
        .into_iter()
        .zip(seen.clone())
        .map(|(client, seen)| std::thread::spawn(move || read_all(client, &seen)))
        .collect();

    let mut highest = 0;
    let mut written = 0;
    let started = std::time::Instant::now();
    while written < LINES {
        let slowest = seen.iter().map(|seen| seen.load(Ordering::Acquire)).min().unwrap();
        let due = started.elapsed().as_millis() as u64 * RATE / 1000;
        if written < due && written < slowest + LAG_MAX {
            let lines: Vec<u8> = (written..written + RATE / 20).flat_map(long_line).collect();
            bed.append(&lines);
            written += RATE / 20;
        } else {
            highest = highest.max(node.rss_anon());
            std::thread::sleep(Duration::from_millis(5));
            assert!(started.elapsed() < PATIENCE, "the readers stand still at {slowest}");
        }
    }
    println!("{} lines/s", written * 1000 / started.elapsed().as_millis() as u64);
    for reader in readers {
        reader.join().unwrap();
    }
    highest = highest.max(node.rss_anon());
    println!("RssAnon at most {} MiB", highest >> 20);
    assert!(highest < RSS_ANON_MAX, "RssAnon reached {highest} bytes");

    let (received, told) = read_rest(&mut stopped);
    println!("the stopped client received {received} and was told of {told}");
    assert_eq!(received + told, LINES);
    assert!(told > 1000, "it was stopped long enough to miss lines");
    assert_eq!(node.metric("sawlog_query_tail_dropped_lines_total"), told as f64);
}

fn long_line(n: u64) -> Vec<u8> {
    let mut line = format!("{n} ").into_bytes();
    line.resize(LINE_BYTES - 1, b'.');
    line.push(b'\n');
    line
}

/// Reads to the last line: nothing is missing, doubled or out of its place.
fn read_all(mut client: Client, seen: &AtomicU64) {
    let mut next = 0;
    while next < LINES {
        let frame = client.next().unwrap();
        assert_eq!(frame.skipped, 0, "a client that reads misses nothing");
        for line in &frame.lines {
            assert_eq!(number(line), next);
            next += 1;
        }
        seen.store(next, Ordering::Release);
    }
}

/// What a client that had stopped receives and is told, each where it belongs.
fn read_rest(client: &mut Client) -> (u64, u64) {
    let (mut received, mut told) = (0, 0);
    while received + told < LINES {
        let frame = client.next().unwrap();
        told += frame.skipped;
        for line in &frame.lines {
            assert_eq!(number(line), received + told);
            received += 1;
        }
    }
    (received, told)
}

#[test]
fn a_tail_is_refused_with_the_reason() {
    let bed = Bed::new();
    let node = bed.start("10m");
    let query = r#"{app="app"}"#;
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("query", r#"{app="app"} |= error"#)], "col"),
        (&[("query", r#"rate({app="app"}[1m])"#)], "numbers"),
        (&[("query", r#"{app=~".*"}"#)], "queries require"),
        (&[], "query"),
        (&[("query", query), ("delay_for", "6")], "delay_for"),
        (&[("query", query), ("limit", "5001")], "5000"),
        (&[("query", query), ("start", "yesterday")], "yesterday"),
    ];
    for (params, names) in cases {
        let (status, text) = Client::try_connect(&node, params, None).err().expect("a refusal");
        assert_eq!(status, 400, "{params:?}: {text}");
        assert!(text.contains(names), "{text:?} does not name {names:?}");
    }
    let params = [("query", query), ("delay_for", "5")];
    let stranger = Client::try_connect(&node, &params, Some("http://evil.example"));
    let (status, text) = stranger.err().expect("a refusal");
    assert!(status == 403 && text.contains("evil.example"), "{status} {text}");
    assert!(Client::try_connect(&node, &params, Some(&node.addr)).is_ok());
    let (status, _) = node.get("/loki/api/v1/tail", &params);
    assert!((400..500).contains(&status), "no WebSocket was asked for: {status}");
    let (status, text) = node.get("/api/v1/tail", &[("query", "\"open")]);
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&text));
}

/// Ten tails are enough; a place is free again when its reader is gone. A stop breaks them off.
#[test]
fn ten_tails_at_once_and_a_stop_that_waits_for_none() {
    let bed = Bed::new();
    let node = bed.start("10m");
    let params = [("query", r#"{app="app"}"#)];
    let clients = || node.metric("sawlog_query_tail_clients");
    let mut tails: Vec<Client> = Vec::new();
    for _ in 0..9 {
        tails.push(Client::connect(&node, &params));
    }
    let mut lines = Lines::of(&node, &["tail", "app:app"]);
    eventually("tails", clients, |n| *n == 10.0);
    let (status, text) = Client::try_connect(&node, &params, None).err().expect("a refusal");
    assert_eq!(status, 429, "{text}");
    assert_eq!(node.get("/api/v1/tail", &[("query", "x")]).0, 429);
    tails.pop();
    eventually("tails", clients, |n| *n == 9.0);
    let mut last = Client::connect(&node, &params);
    // A sign of life while nothing is written.
    assert!(matches!(last.0.read().unwrap(), Message::Ping(_)));

    assert_eq!(node.terminate(), Some(0));
    // Clients come back only after an end without a farewell.
    let ended = last.next().expect_err("no close frame");
    assert!(matches!(ended, Error::Protocol(_) | Error::Io(_)), "{ended}");
    assert_eq!(lines.child.wait().unwrap().code(), Some(2));
    let mut stderr = String::new();
    lines.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("sawlog tail: the server at http://"), "{stderr}");
}

/// What goes wrong after the upgrade is said in the close frame.
#[test]
fn an_error_during_the_tail_is_told() {
    let bed = Bed::new();
    let node = bed.start("10m");
    for _ in 0..5 {
        bed.append(&[vec![b'x'; 200 << 10], vec![b'\n']].concat().repeat(10));
    }
    eventually("lines", || node.count(r#"{app="app"}"#), |n| *n == 50);
    let mut client = Client::connect(&node, &[("query", r#"{app="app"}"#)]);
    let close = client.next().unwrap().close.expect("a close frame");
    assert_eq!(u16::from(close.code), 1011);
    assert!(close.reason.contains("8388608"), "{}", close.reason);
    let mut client = Client::connect(&node, &[("query", r#"{app="app"}"#), ("limit", "2")]);
    assert_eq!(client.next().unwrap().lines.len(), 2);
}

/// A follower of the command line, and its standard output.
struct Lines {
    child: Child,
    /// `None` when it was closed.
    out: Option<BufReader<std::process::ChildStdout>>,
}

impl Lines {
    fn of(node: &Node, args: &[&str]) -> Self {
        let mut command: Command = sawlog();
        command.args(&args[..1]).args(["--addr", &node.addr]).args(&args[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let out = child.stdout.take().map(BufReader::new);
        Self { child, out }
    }

    fn next(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.out.as_mut().unwrap().read_until(b'\n', &mut line).unwrap();
        line
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        self.child.wait().expect("the child can be waited for");
    }
}

#[test]
fn the_command_line_follows() {
    let bed = Bed::new();
    let node = bed.start("10m");
    bed.append(b"old 1\nold 2\nother\nold 3\n");
    eventually("lines", || node.count(r#"{app="app"}"#), |n| *n == 4);
    let mut shown = Lines::of(&node, &["tail", "-n", "2", "old"]);
    let mut raw = Lines::of(&node, &["search", "-f", "-i", "-n", "0", "-o", "raw", "NEW"]);
    let mut jsonl = Lines::of(&node, &["tail", "-v", "-o", "jsonl", "-n", "1", "old"]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(text(shown.next()).ends_with("app file old 2\n"));
    assert!(text(shown.next()).ends_with("app file old 3\n"));
    let other: Value = serde_json::from_slice(&jsonl.next()).unwrap();
    assert_eq!((&other["line"], &other["labels"]["app"]), (&"other".into(), &"app".into()));
    // Each has its place by now: what is written is new to all of them.
    eventually("tails", || node.metric("sawlog_query_tail_clients"), |n| *n == 3.0);
    bed.append(b"\n  new old \xff\xfe\told  \n");
    assert_eq!(raw.next(), b"  new old \xff\xfe\told  \n");
    assert!(text(shown.next()).ends_with("app file   new old \u{fffd}\u{fffd}\told  \n"));
    let empty: Value = serde_json::from_slice(&jsonl.next()).unwrap();
    assert_eq!((&empty["line"], &empty["line_hex"]), (&"".into(), &Value::Null));

    // As with `| head -1`: it ends with its reader, though nothing more arrives.
    assert_eq!(shown.child.try_wait().unwrap(), None, "it follows until then");
    drop(shown.out.take());
    let ended = eventually("an end", || shown.child.try_wait().unwrap(), Option::is_some);
    assert_eq!(ended.and_then(|status| status.code()), Some(0));
    // As with Ctrl-C: a shell calls it 130.
    let pid = rustix::process::Pid::from_child(&raw.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(raw.child.wait().unwrap().signal(), Some(2));
}

#[test]
fn a_tail_that_cannot_begin_says_why() {
    let said = |args: &[&str]| {
        let output = crate::node::run(args);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = said(&["tail", "--addr", "http://127.0.0.1:1", "x"]);
    assert!(code == Some(2) && stderr.contains("http://127.0.0.1:1"), "{code:?} {stderr}");
    let (code, stderr) = said(&["search", "-f", "--until", "now", "x"]);
    assert!(code == Some(2) && stderr.contains("--until"), "{code:?} {stderr}");
    let bed = Bed::new();
    let node = bed.start("10m");
    let (code, stderr) = said(&["tail", "--addr", &node.addr, r#"{app="app"} |= error"#]);
    assert!(code == Some(2) && stderr.contains('^'), "{code:?} {stderr}");
}
