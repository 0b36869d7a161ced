//! MB of files per CPU-second, beside zstd level 1 alone on the same text.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::collecting::{self, FILES};
use crate::corpus::Corpus;
use crate::envelope::Envelope;
use crate::nowhere::Nowhere;
use crate::process::{self, bytes_below, cpu_seconds, say, wait_for};
use crate::verdicts::Verdicts;

const SEED: u64 = 1;
const REPETITIONS: usize = 3;
/// Text compressed at once: as much as the largest frame has.
const UNIT_BYTES: usize = 256 * 1024;
/// What lines in an envelope must reach, in MB of files per CPU-second.
const ENVELOPE_RATE_MIN: f64 = 150.0;

pub(crate) fn measure(bytes: u64, verdicts: &mut Verdicts) {
    println!(
        "{:32} {:>8} {:>8} {:>7} {:>9}",
        "MB per CPU-second", "value", "zstd-1", "ratio", "RssAnon"
    );
    for corpus in Corpus::ALL {
        for (envelope, form) in Envelope::ALL {
            let dir = tempfile::tempdir().expect("a temporary folder");
            if !write(corpus, envelope, bytes, dir.path()) {
                println!("{}: not there", corpus.name());
                break;
            }
            let name = format!("{} {form}", corpus.name());
            // Recorded lines are read again and again, each time from a new file: told, not judged.
            let is_judged = corpus != Corpus::Recorded;
            measure_form(&name, envelope, dir.path(), is_judged.then_some(&mut *verdicts));
        }
    }
}

fn measure_form(name: &str, envelope: Envelope, dir: &Path, verdicts: Option<&mut Verdicts>) {
    let floor = best("zstd", dir).0;
    let row = |what: &str, (rate, rss): (f64, f64)| {
        let name = format!("{name}, {what}");
        println!("{name:32} {rate:>8.1} {floor:>8.1} {:>7.3} {rss:>5.0} MiB", rate / floor);
        rate
    };
    let plain = row("no redaction", best("plain", dir)) / floor;
    let redacted = row("defaults", best("redacted", dir));
    let Some(verdicts) = verdicts else { return };
    if envelope == Envelope::Plain {
        let of = |what| format!("{name}, {what}: of zstd-1 alone");
        verdicts.judge(&of("no redaction"), plain, plain >= 0.6, "≥ 0.6");
        verdicts.judge(&of("defaults"), redacted / floor, redacted / floor >= 0.5, "≥ 0.5");
    } else {
        let what = format!("{name}, defaults: MB per CPU-second");
        verdicts.judge(&what, redacted, redacted >= ENVELOPE_RATE_MIN, "≥ 150");
    }
}

/// The best rate of some repetitions, and the highest memory.
fn best(task: &str, dir: &Path) -> (f64, f64) {
    let runs = (0..REPETITIONS).map(|_| process::measure([OsStr::new(task), dir.as_os_str()]));
    runs.fold((0.0, 0.0), |(rate, rss): (f64, f64), run| {
        (rate.max(run.rate()), rss.max(run.peak_mib))
    })
}

/// Writes a corpus, a file a stream; `false` if it is not there.
fn write(corpus: Corpus, envelope: Envelope, bytes: u64, dir: &Path) -> bool {
    let Some(mut chunks) = corpus.chunks(SEED, bytes, usize::MAX) else { return false };
    let files = dir.join(FILES);
    std::fs::create_dir(&files).expect("the folder is new");
    let (mut text, mut wrapped) = (Vec::new(), Vec::new());
    let mut lines: HashMap<String, u64> = HashMap::new();
    while let Some(stream) = chunks.next_chunk(&mut text) {
        let path = files.join(format!("{stream}.log"));
        wrapped.clear();
        envelope.wrap(&text, lines.entry(stream).or_default(), &mut wrapped);
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(&wrapped)).expect("text can be written");
    }
    true
}

/// Compresses all files in units, at the level that the pipeline uses.
pub(crate) fn compress(dir: &Path) {
    let before = cpu_seconds();
    let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd has level 1");
    let mut stored = Vec::with_capacity(2 * UNIT_BYTES);
    let mut unit = Vec::with_capacity(UNIT_BYTES);
    let mut raw = 0;
    for entry in std::fs::read_dir(dir.join(FILES)).expect("the files are there") {
        let path = entry.expect("a file").path();
        let mut file = std::fs::File::open(path).expect("the file opens");
        loop {
            unit.clear();
            let mut part = (&mut file).take(UNIT_BYTES as u64);
            if part.read_to_end(&mut unit).expect("the file is read") == 0 {
                break;
            }
            raw += unit.len();
            stored.clear();
            zstd.compress_to_buffer(&unit, &mut stored).expect("the buffer is large enough");
        }
    }
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
}

/// Collects all files until the last byte is acknowledged.
pub(crate) fn collect(dir: &Path, redaction: bool) {
    let raw = bytes_below(&dir.join(FILES));
    let nowhere = Arc::new(Nowhere::new(|_: &_| ()));
    let before = cpu_seconds();
    let (collector, data) = collecting::start(dir, redaction, nowhere.clone());
    wait_for(raw, || collector.status().bytes_acked);
    say("cpu", cpu_seconds() - before);
    collecting::stop(collector);
    std::fs::remove_dir_all(data).expect("the folder is ours");
    say("raw", raw as f64);
    say("stored", nowhere.bytes.load(Ordering::Relaxed) as f64);
}
