//! Every byte that a process leaves behind: files, inflated, the terms of the index, what it said, and
//! what it answers.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use memchr::memmem::Finder;

use super::cells::Cell;
use crate::node::Node;

/// Looks for the secrets of cells.
pub(super) struct Search<'a> {
    cells: &'a [Cell],
    finders: Vec<(usize, Finder<'a>)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(cells: &'a [Cell]) -> Self {
        let finders = cells.iter().enumerate().flat_map(|(n, cell)| {
            cell.pieces().map(move |piece| (n, Finder::new(piece))).collect::<Vec<_>>()
        });
        Self { cells, finders: finders.collect() }
    }

    /// The cells whose secrets are in the bytes.
    pub(super) fn found(&self, bytes: &[u8]) -> BTreeSet<usize> {
        let is_in = |(_, finder): &&(usize, Finder<'_>)| finder.find(bytes).is_some();
        self.finders.iter().filter(is_in).map(|(n, _)| *n).collect()
    }

    pub(super) fn assert_none(&self, place: &str, bytes: &[u8]) {
        let found = self.found(bytes);
        let names: Vec<&str> = found.iter().map(|n| &self.cells[*n].name[..]).collect();
        assert!(names.is_empty(), "in {place}: {names:#?}");
    }
}

/// A file's bytes, and those of all that is compressed in it.
fn contents(path: &Path) -> Vec<u8> {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    const INFLATED_BYTES_MAX: u64 = 4 << 20;
    let mut bytes = std::fs::read(path).unwrap();
    let mut inflated = Vec::new();
    for at in memchr::memmem::find_iter(&bytes, &ZSTD) {
        let decoder = zstd::stream::read::Decoder::new(&bytes[at..]).unwrap().single_frame();
        // What only looks like a beginning gives what it gives.
        decoder.take(INFLATED_BYTES_MAX).read_to_end(&mut inflated).unwrap_or_default();
        inflated.push(b'\n');
    }
    bytes.push(b'\n');
    bytes.append(&mut inflated);
    bytes
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// The terms of an index, as tantivy reads them: on disk they share their beginnings.
fn terms(index: &Path) -> Vec<u8> {
    let reader = tantivy::Index::open_in_dir(index).unwrap().reader().unwrap();
    let mut terms = Vec::new();
    for segment in reader.searcher().segment_readers() {
        for (field, entry) in segment.schema().fields() {
            if !entry.is_indexed() {
                continue;
            }
            let inverted = segment.inverted_index(field).unwrap();
            let mut stream = inverted.terms().stream().unwrap();
            while stream.advance() {
                terms.extend_from_slice(stream.key());
                terms.push(b'\n');
            }
        }
    }
    terms
}

/// What is below a data directory: for each file its bytes, for each index its terms.
pub(crate) fn on_disk(data: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    files_below(data, &mut files);
    let name = |path: &Path| path.strip_prefix(data).unwrap().to_string_lossy().into_owned();
    let indexes =
        files.iter().filter(|path| path.file_name().is_some_and(|name| name == "meta.json"));
    let indexes = indexes.map(|meta| {
        let dir = meta.parent().unwrap();
        (format!("the terms of {}", name(dir)), terms(dir))
    });
    let indexes: Vec<_> = indexes.collect();
    files.iter().map(|path| (name(path), contents(path))).chain(indexes).collect()
}

/// What a live tail says, from now on until its server ends.
pub(super) fn tail(node: &Node) -> Arc<Mutex<Vec<u8>>> {
    let host = node.addr.strip_prefix("http://").unwrap_or(&node.addr);
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let query = "/api/v1/tail?query=%7Bstream%3D%22file%22%7D";
    write!(stream, "GET {query} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let copy = said.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            copy.lock().unwrap().extend_from_slice(&buffer[..read]);
        }
    });
    said
}

/// Every answer of a node, and what it wrote to standard error.
pub(super) fn answers(node: &Node, logs: &Path) -> Vec<(String, Vec<u8>)> {
    let all = r#"{stream="file"}"#;
    let logs = logs.join("*.log").to_string_lossy().into_owned();
    let one = logs.replace('*', "0");
    let range = [("query", all), ("limit", "5000"), ("start", "0")];
    let filtered =
        [("query", r#"{stream="file"} |= "redacted""#), ("limit", "5000"), ("start", "0")];
    let counts = [("query", r#"sum by (file) (count_over_time({stream="file"}[100y]))"#)];
    let queries: [(&str, &[(&str, &str)]); 22] = [
        ("/", &[]),
        ("/ready", &[]),
        ("/metrics", &[]),
        ("/config", &[]),
        ("/loki/api/v1/query_range", &range),
        ("/loki/api/v1/query_range", &filtered),
        ("/loki/api/v1/query", &counts),
        ("/loki/api/v1/labels", &[]),
        ("/loki/api/v1/label/file/values", &[]),
        ("/loki/api/v1/series", &[("match[]", all)]),
        ("/loki/api/v1/index/stats", &[("query", all)]),
        ("/loki/api/v1/status/buildinfo", &[]),
        ("/api/v1/search", &range),
        ("/api/v1/export", &[("query", all)]),
        ("/api/v1/store/stats", &[]),
        ("/api/v1/streams", &[]),
        ("/api/v1/status", &[]),
        ("/api/v1/why", &[("q", &one)]),
        ("/api/v1/why", &[("q", &logs)]),
        ("/api/v1/why", &[("q", "0.log")]),
        ("/api/v1/acknowledged", &[("path", &one)]),
        ("/nothing/here", &[]),
    ];
    let mut all: Vec<(String, Vec<u8>)> = queries
        .iter()
        .map(|(path, params)| (format!("{path} {params:?}"), node.get(path, params).1))
        .collect();
    all.push(("standard error".into(), node.log().into_bytes()));
    all
}
