//! Retention from outside: the oldest lines vanish, the newest stay, the disk gets free, and nothing
//! that expired comes back.

use std::path::{Path, PathBuf};

use crate::node::{Node, Setup, assert_same_bytes, eventually};

/// Text of one file: more than a slice takes at these retentions, so that each seal begins one.
const FILE_BYTES: usize = 1200 * 1024;
const POINTS: [&str; 6] = [
    "retention::begin",
    "retention::catalog_synced",
    "retention::committed",
    "retention::settled",
    "retention::removed",
    "retention::end",
];

/// A node that keeps `bytes`, and the files it collects.
struct Kept {
    dir: tempfile::TempDir,
    setup: Setup,
    /// What the file `app<n>.log` holds.
    truth: Vec<Vec<u8>>,
}

impl Kept {
    fn new(bytes: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let setup = Setup::new(&dir.path().join("data"))
            .arg("--path", dir.path().join("app*.log"))
            .arg("--seal-interval", "200ms")
            .arg("--retention-bytes", bytes)
            .flag("--tiny-retention-i-know");
        Self { dir, setup, truth: Vec::new() }
    }

    /// Writes one more file, of lines that hardly compress.
    fn write(&mut self) {
        let n = self.truth.len();
        let mut random = fastrand::Rng::with_seed(n as u64);
        let mut text = Vec::with_capacity(FILE_BYTES + 256);
        while text.len() < FILE_BYTES {
            text.extend(std::iter::repeat_with(|| random.alphanumeric() as u8).take(200));
            text.push(b'\n');
        }
        // It appears at once, whole.
        let path = self.dir.path().join("new");
        std::fs::write(&path, &text).unwrap();
        std::fs::rename(&path, self.dir.path().join(format!("app{n}.log"))).unwrap();
        self.truth.push(text);
    }

    /// Whether the newest file is wholly in blocks; false too if the node is dead.
    fn is_sealed(&self, node: &Node) -> bool {
        let newest = self.truth.len() - 1;
        let lines = self.truth[newest].iter().filter(|byte| **byte == b'\n').count() as u64;
        let count = node.try_count(&format!(r#"{{app="app{newest}"}}"#));
        count.is_ok_and(|count| count == lines)
            && try_stats(node).is_ok_and(|stats| stats["hot_bytes"] == 0)
    }

    /// The bytes left of each file: of the newest all, of the oldest none, of at most one between them
    /// the last lines.
    fn left(&self, node: &Node) -> Vec<Vec<u8>> {
        let mut left = Vec::new();
        let mut whole = 0;
        for (n, truth) in self.truth.iter().enumerate() {
            let found = node.export(&format!(r#"{{app="app{n}"}}"#));
            assert!(truth.ends_with(&found), "app{n}: {} bytes are not its end", found.len());
            assert!(found.len().is_multiple_of(201), "app{n}: whole lines");
            if !left.iter().all(Vec::is_empty) {
                assert_same_bytes(&found, truth, "a file behind one that is kept");
            }
            whole += usize::from(found.len() == truth.len());
            left.push(found);
        }
        assert!(whole > 0, "nothing is left");
        left
    }

    fn slices_dir(&self) -> PathBuf {
        self.setup.data.join("store/slices")
    }
}

fn try_stats(node: &Node) -> Result<serde_json::Value, String> {
    let (status, body) = node.try_get("/api/v1/store/stats", &[])?;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).map_err(|err| err.to_string())
}

fn stats(node: &Node) -> serde_json::Value {
    try_stats(node).unwrap()
}

fn disk_bytes(stats: &serde_json::Value) -> u64 {
    stats["disk_bytes"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum()
}

fn folders(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

fn apps(node: &Node) -> Vec<String> {
    let (status, body) = node.get("/loki/api/v1/label/app/values", &[("since", "100y")]);
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let values = answer["data"].as_array().cloned().unwrap_or_default();
    values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_oldest_lines_vanish_and_do_not_come_back() {
    let mut kept = Kept::new("3MiB");
    let mut node = kept.setup.start();
    for _ in 0..10 {
        kept.write();
        eventually("sealed", || kept.is_sealed(&node), |sealed| *sealed);
    }
    let told = eventually("room", || stats(&node), |told| disk_bytes(told) <= 3 << 20);
    assert_eq!(told["retention"], serde_json::json!({"age_seconds": null, "bytes": 3 << 20}));
    let slices = told["slices"].as_array().unwrap();
    // They are removed once the manifest no longer names them.
    eventually("folders", || folders(&kept.slices_dir()), |found| *found == slices.len());
    assert!(slices[0]["min_time"].as_str().is_some_and(|time| time.ends_with('Z')), "{told}");
    let total: u64 = kept.truth.iter().map(|text| text.len() as u64).sum();
    let left = kept.left(&node);
    let bytes: u64 = left.iter().map(|text| text.len() as u64).sum();
    assert_eq!(
        (&told["raw_bytes"], &told["expired_bytes"]),
        (&bytes.into(), &(total - bytes).into())
    );
    assert_eq!(told["lines"], bytes / 201);
    assert!(left[0].is_empty() && left[1].is_empty(), "the oldest are gone");
    assert_eq!(node.metric("sawlog_aggregator_expired_bytes_total"), (total - bytes) as f64);
    assert!(node.metric("sawlog_aggregator_store_bytes") <= (3 << 20) as f64);
    let with_lines: Vec<String> =
        (0..left.len()).filter(|n| !left[*n].is_empty()).map(|n| format!("app{n}")).collect();
    assert_eq!(apps(&node), with_lines);
    assert_eq!(told["streams"], with_lines.len());

    // The collector forgets all it knew and sends everything again.
    node.kill();
    std::fs::remove_file(kept.setup.data.join("collector/checkpoints")).unwrap();
    let node = kept.setup.start().ready();
    let again = || node.metric("sawlog_aggregator_duplicate_bytes_total");
    eventually("everything again", again, |bytes| *bytes >= total as f64);
    for (n, (found, before)) in kept.left(&node).iter().zip(&left).enumerate() {
        assert_same_bytes(found, before, &format!("app{n} after the restart"));
    }
    let after = stats(&node);
    for name in ["lines", "expired_slices", "expired_bytes"] {
        assert_eq!(after[name], told[name], "{name} after the restart");
    }
    assert_eq!(apps(&node), with_lines);
}

#[test]
fn aborted_at_any_step_of_a_retention_the_rest_is_whole() {
    for point in POINTS {
        let mut kept = Kept::new("2MiB");
        let mut node = kept.setup.clone().abort_at(point, 1).start();
        while !node.has_aborted() {
            assert!(kept.truth.len() < 20, "{point} is never passed");
            kept.write();
            let done = |node: &mut Node| node.has_aborted() || kept.is_sealed(node);
            eventually(point, || done(&mut node), |done| *done);
        }
        for start in 0..2 {
            let node = kept.setup.start().ready();
            let sealed = || kept.is_sealed(&node);
            eventually(&format!("{point}, start {start}"), sealed, |sealed| *sealed);
            let told = eventually("room", || stats(&node), |told| disk_bytes(told) <= 2 << 20);
            kept.left(&node);
            let slices = told["slices"].as_array().unwrap().len();
            eventually("folders", || folders(&kept.slices_dir()), |found| *found == slices);
            assert_eq!(node.terminate(), Some(0));
        }
    }
}
