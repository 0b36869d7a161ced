//! How soon a line can be found after its write(): the real binary, the real file, the real API.
//!
//! Prints p50 and p99 beside the floor of the same run: the round trip of the same query when its
//! line is there already. A line waits in between for the batch (50 ms) and for the group
//! fdatasync of the embedded log (100 ms at most).

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LINES: usize = 300;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("app.log");
    let mut file =
        OpenOptions::new().append(true).create(true).open(&path).expect("the log can be made");
    let (mut child, addr) = start(dir.path(), &path);
    let mut found = Vec::new();
    let mut floor = Vec::new();
    for n in 0..LINES {
        // Moments that have nothing to do with our own timers.
        std::thread::sleep(Duration::from_millis(20 + (n as u64 * 37) % 90));
        let needle = format!("needle{n:06}x");
        let written = Instant::now();
        writeln!(file, "2026-01-01 some words around {needle} here")
            .expect("the log can be written");
        while !is_found(&addr, &needle) {
            assert!(written.elapsed() < Duration::from_secs(60), "line {n} is not found");
            std::thread::sleep(Duration::from_millis(1));
        }
        found.push(written.elapsed());
        let asked = Instant::now();
        assert!(is_found(&addr, &needle));
        floor.push(asked.elapsed());
    }
    child.kill().expect("the child runs");
    child.wait().expect("the child ends");
    print(&mut found, &mut floor);
}

fn start(dir: &std::path::Path, path: &std::path::Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sawlog"))
        .args(["run", "--listen", "127.0.0.1:0", "--seal-interval", "2s", "--data"])
        .arg(dir.join("data"))
        .arg("--path")
        .arg(path)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
    let mut line = String::new();
    let addr = loop {
        line.clear();
        assert!(stderr.read_line(&mut line).expect("stderr is text") > 0, "it ended at its start");
        if let Some((_, rest)) = line.split_once("sawlog listens on ") {
            break rest.split_whitespace().next().unwrap_or_default().to_owned();
        }
    };
    // Nobody reads the rest; a full pipe must not stop the process.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (child, addr)
}

fn is_found(addr: &str, needle: &str) -> bool {
    let mut answer = ureq::get(format!("{addr}/loki/api/v1/query_range"))
        .query("query", format!(r#"{{app="app"}} |= "{needle}""#))
        .call()
        .expect("the server answers");
    answer.body_mut().read_to_string().expect("the answer is text").contains(needle)
}

fn print(found: &mut [Duration], floor: &mut [Duration]) {
    found.sort();
    floor.sort();
    let at = |times: &[Duration], percent: usize| {
        times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0
    };
    println!("write() → found through query_range, {LINES} lines, milliseconds");
    println!("          value    floor    ratio");
    for percent in [50, 90, 99, 100] {
        let (value, floor) = (at(found, percent), at(floor, percent));
        println!("p{percent:<6} {value:>8.1} {floor:>8.2} {:>8.0}", value / floor);
    }
}
