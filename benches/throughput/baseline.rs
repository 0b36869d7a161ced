//! The baseline: the same batches, each line stored as a tantivy document of its own, as one does it
//! who follows tantivy's first example.
//!
//! It is not made to look worse than it is. It reads the same log and inflates the same batches,
//! whose lines and times were found before; it has one thread and more memory than our writer; it
//! commits as often as we seal. The workspace builds tantivy without its compressors, so the
//! documents are stored uncompressed: their compression costs the baseline no CPU time here, and on
//! disk the stored text is counted as zstd-1 leaves it in blocks of 16 KiB, the size of tantivy's
//! own, which is less than its default, lz4, would leave. Merges are tantivy's own.

use std::path::Path;
use std::time::Duration;

use sawlog_transport::{Batch, Consumer, Event, LineColumns};
use tantivy::schema::{FAST, Field, STORED, STRING, Schema, TEXT};
use tantivy::{Index, IndexWriter, TantivyDocument};

use crate::prepare::{end_of, open_log};
use crate::process::{bytes_below, cpu_seconds, say};

const WRITER_BYTES: usize = 64_000_000;
/// Text between two commits: as much as a seal takes.
const COMMIT_BYTES: usize = 64 << 20;
/// tantivy's own size of a block of stored documents.
const STORE_BLOCK_BYTES: usize = 16 * 1024;
const FOLDER: &str = "baseline";

struct Fields {
    text: Field,
    time: Field,
    app: Field,
    host: Field,
    stream: Field,
}

fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let fields = Fields {
        text: builder.add_text_field("text", TEXT | STORED),
        time: builder.add_i64_field("time", FAST),
        app: builder.add_text_field("app", STRING | STORED),
        host: builder.add_text_field("host", STRING | STORED),
        stream: builder.add_text_field("stream", STRING | STORED),
    };
    (builder.build(), fields)
}

/// Indexes all lines of the log.
pub(crate) fn run(dir: &Path) {
    let folder = dir.join(FOLDER);
    std::fs::create_dir(&folder).expect("the folder is new");
    let (schema, fields) = schema();
    let index = Index::create_in_dir(&folder, schema).expect("an index");
    let log = open_log(dir);
    let mut consumer = log.consumer();
    let end = end_of(&consumer);
    consumer.assign(0, 0).expect("the log has a partition");
    let before = cpu_seconds();
    let mut writer = index.writer_with_num_threads(1, WRITER_BYTES).expect("a writer");
    let (mut raw, mut uncommitted, mut next) = (0, 0, 0);
    while next < end {
        let event = consumer.poll(Duration::from_secs(1)).expect("the log is read");
        let Some(Event::Message { offset, message, .. }) = event else { continue };
        next = offset + 1;
        let batch = Batch::decode(message).expect("it is a batch");
        let bytes = add(&writer, &fields, &batch);
        (raw, uncommitted) = (raw + bytes, uncommitted + bytes);
        if uncommitted >= COMMIT_BYTES {
            writer.commit().expect("a commit");
            uncommitted = 0;
        }
    }
    writer.commit().expect("a commit");
    writer.garbage_collect_files().wait().expect("old segments are removed");
    writer.wait_merging_threads().expect("merges end");
    say("cpu", cpu_seconds() - before);
    say("raw", raw as f64);
    say_disk(&folder);
}

/// Adds each line of a batch; gives the bytes of their text.
fn add(writer: &IndexWriter, fields: &Fields, batch: &Batch) -> usize {
    let mut bytes = 0;
    for (number, frame) in batch.frames.iter().enumerate() {
        let lines = frame.lines().expect("the columns are whole");
        let text = frame.text().expect("the text is whole");
        bytes += text.len();
        let starts = starts(&lines);
        for run in batch.runs.iter().filter(|run| run.frame as usize == number) {
            let labels = &batch.streams[run.stream as usize].labels;
            let label = |name| String::from_utf8_lossy(labels.get(name).unwrap_or_default());
            let [app, host, stream] = ["app", "host", "stream"].map(label);
            for line in run.lines() {
                let bytes = &text[starts[line]..starts[line] + lines.text_lens[line] as usize];
                let mut document = TantivyDocument::new();
                document.add_text(fields.text, String::from_utf8_lossy(bytes));
                document.add_i64(fields.time, lines.times[line]);
                document.add_text(fields.app, &app);
                document.add_text(fields.host, &host);
                document.add_text(fields.stream, &stream);
                writer.add_document(document).expect("the writer takes a document");
            }
        }
    }
    bytes
}

/// Where the text of each line begins.
fn starts(lines: &LineColumns) -> Vec<usize> {
    let mut next = 0;
    let mut starts = Vec::with_capacity(lines.len());
    for len in &lines.text_lens {
        starts.push(next);
        next += *len as usize + 1;
    }
    starts
}

/// Merges all segments to one.
pub(crate) fn merge(dir: &Path) {
    let folder = dir.join(FOLDER);
    let index = Index::open_in_dir(&folder).expect("the index is there");
    let before = cpu_seconds();
    let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_BYTES).expect("a writer");
    let segments = index.searchable_segment_ids().expect("the index has segments");
    say("segments", segments.len() as f64);
    if segments.len() > 1 {
        writer.merge(&segments).wait().expect("they are merged");
    }
    writer.garbage_collect_files().wait().expect("old segments are removed");
    writer.wait_merging_threads().expect("merges end");
    say("cpu", cpu_seconds() - before);
    say_disk(&folder);
}

/// Makes room for what is measured next.
pub(crate) fn remove(dir: &Path) {
    std::fs::remove_dir_all(dir.join(FOLDER)).expect("the index is ours");
}

/// Reports the bytes of the index, the stored documents compressed; and uncompressed, as they are.
fn say_disk(folder: &Path) {
    let as_it_is = bytes_below(folder);
    let (mut stored, mut compressed) = (0, 0);
    let mut zstd = zstd::bulk::Compressor::new(1).expect("zstd has level 1");
    for entry in std::fs::read_dir(folder).expect("the index is there").flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "store") {
            let bytes = std::fs::read(entry.path()).expect("the file is read");
            stored += bytes.len();
            for block in bytes.chunks(STORE_BLOCK_BYTES) {
                compressed += zstd.compress(block).expect("zstd takes all bytes").len();
            }
        }
    }
    say("uncompressed", as_it_is as f64);
    say("disk", (as_it_is - stored as u64 + compressed as u64) as f64);
}
