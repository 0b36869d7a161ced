//! The logs that the benches measure with: the same for a seed, and what they are said to be.

#[path = "../../benches/corpus/mod.rs"]
mod logs;

use std::collections::{HashMap, HashSet};

use logs::Corpus;
use logs::batches::Batches;
use sawlog_collector::redact::{Block, PemBlock, Redactor};
use sawlog_transport::Batch;

const BYTES: u64 = 3_000_000;

fn chunks(corpus: Corpus, seed: u64, run_bytes_max: usize) -> Vec<(String, Vec<u8>)> {
    let mut chunks = corpus.chunks(seed, BYTES, run_bytes_max).unwrap();
    let mut all = Vec::new();
    let mut text = Vec::new();
    while let Some(stream) = chunks.next_chunk(&mut text) {
        all.push((stream, std::mem::take(&mut text)));
    }
    all
}

fn by_stream(chunks: Vec<(String, Vec<u8>)>) -> HashMap<String, Vec<u8>> {
    let mut streams: HashMap<String, Vec<u8>> = HashMap::new();
    for (stream, text) in chunks {
        streams.entry(stream).or_default().extend(text);
    }
    streams
}

#[test]
fn a_seed_names_a_corpus() {
    for corpus in Corpus::GENERATED {
        let one = chunks(corpus, 1, usize::MAX);
        assert_eq!(one, chunks(corpus, 1, usize::MAX));
        assert_ne!(one, chunks(corpus, 2, usize::MAX));
        let bytes: usize = one.iter().map(|(_, text)| text.len()).sum();
        assert!(bytes as u64 >= BYTES && bytes < BYTES as usize + 300_000, "{bytes}");
    }
}

#[test]
fn small_runs_hold_the_same_lines() {
    let whole = by_stream(chunks(Corpus::Services, 1, usize::MAX));
    for (stream, text) in by_stream(chunks(Corpus::Services, 1, 16 << 10)) {
        let same = text.len().min(whole[&stream].len());
        assert_eq!(text[..same], whole[&stream][..same], "{stream}");
    }
}

#[test]
fn hostile_lines_have_endless_words_and_fresh_ids() {
    let mut words = HashSet::new();
    let mut ids = HashSet::new();
    let mut lines = 0;
    for (_, text) in chunks(Corpus::Hostile, 1, usize::MAX) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lines += 1;
            let line = std::str::from_utf8(line).unwrap();
            let id = line.split(' ').find_map(|part| part.strip_prefix("id=")).unwrap();
            assert!(id.len() == 16 && ids.insert(id.to_owned()), "{line}");
            let letters = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
            words.extend(line.split(' ').filter(letters).map(str::to_owned));
        }
    }
    assert_eq!(ids.len(), lines);
    assert!(words.len() > 40_000, "{} words in 3 MB", words.len());
}

/// What the aggregator is given are the lines that the collector reads, with their own times.
#[test]
fn batches_carry_the_text_of_the_files() {
    let mut files: HashMap<String, Vec<u8>> = HashMap::new();
    let mut see = |stream: &str, text: &mut Vec<u8>| {
        files.entry(stream.to_owned()).or_default().extend_from_slice(text);
    };
    let mut batches =
        Batches::new(Corpus::Services.chunks(1, BYTES, usize::MAX).expect("generated"));
    let mut carried: HashMap<String, Vec<u8>> = HashMap::new();
    let (mut lines, mut read_times) = (0, 0);
    while let Some(prepared) = batches.next_batch(&mut see) {
        let batch = Batch::decode(prepared.message).unwrap();
        for run in &batch.runs {
            let frame = &batch.frames[run.frame as usize];
            let columns = frame.lines().unwrap();
            let start: usize =
                columns.text_lens[..run.first_line as usize].iter().map(|n| *n as usize + 1).sum();
            let len: usize = columns.text_lens[run.lines()].iter().map(|n| *n as usize + 1).sum();
            let app = batch.streams[run.stream as usize].labels.get("app").unwrap();
            let app = String::from_utf8(app.to_vec()).unwrap();
            carried.entry(app).or_default().extend(&frame.text().unwrap()[start..start + len]);
            lines += run.n_lines;
            read_times +=
                columns.times[run.lines()].iter().filter(|time| **time == run.read_time).count();
        }
    }
    assert!(carried == files && lines > 10_000);
    assert_eq!(read_times, 0, "every line has a time of its own, or that of the line before it");
}

/// What a collector takes for secrets in lines that have none: at most one line in 10,000.
#[test]
fn generated_lines_have_no_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let mut redactor = Redactor::open(dir.path(), &[]).unwrap();
    for corpus in Corpus::GENERATED {
        let mut chunks = corpus.chunks(1, BYTES, usize::MAX).expect("generated");
        let (mut lines, mut wrong, mut text) = (0, 0, Vec::new());
        let mut out = Block::default();
        while chunks.next_chunk(&mut text).is_some() {
            redactor.block(&text, &mut PemBlock::default(), &mut out, |_| {});
            assert!(out.taken == text.len(), "nothing grows much");
            lines += text.iter().filter(|byte| **byte == b'\n').count();
            wrong += out.edits.len();
        }
        println!("{}: {wrong} of {lines} lines are taken for secrets", corpus.name());
        assert!(lines > 10_000 && wrong * 10_000 <= lines, "{wrong} of {lines}");
    }
}
