//! The spool: what is deleted while no broker answers is written there, without its secrets.

use std::io::Write;

use super::cells::{self, Then};
use super::places::{Search, on_disk};
use crate::node::{Setup, eventually};

/// More than is held open.
const FILLER_BYTES: usize = 3 << 20;
const FILES: usize = 3;

#[test]
fn no_secret_is_in_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, cells::named_values()).unwrap();
    let config = dir.path().join("sawlog.toml");
    std::fs::write(&config, "[collector]\npinned_bytes = \"1MiB\"\nspool_bytes = \"256MiB\"\n")
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let setup = Setup::new(&dir.path().join("data"))
        .role("collector")
        .arg("--config", config)
        .arg("--brokers", &nobody)
        .arg("--path", logs.join("*.log"))
        .arg("--secret-file", &secrets)
        .says("trace");
    let node = setup.start();
    let mut cells = cells::all();
    cells.retain(|cell| cell.then == Then::Never);
    for n in 0..FILES {
        let mut file = std::fs::File::create(logs.join(format!("{n}.log"))).unwrap();
        for cell in &cells {
            file.write_all(&[&cell.first[..], b"\n"].concat()).unwrap();
        }
        let line = format!("a line without any secret, of file {n}, to fill what is held open\n");
        file.write_all(line.repeat(FILLER_BYTES / line.len()).as_bytes()).unwrap();
    }
    let held = || node.metric("sawlog_collector_files_open");
    eventually("the files are held open", held, |files| *files >= FILES as f64);
    std::fs::remove_dir_all(&logs).unwrap();
    let spilled = || node.metric("sawlog_collector_spilled_bytes_total");
    eventually("files are spilled", spilled, |bytes| *bytes > FILLER_BYTES as f64);
    let search = Search::new(&cells);
    search.assert_none("metrics", &node.get("/metrics", &[]).1);
    search.assert_none("standard error", node.log().as_bytes());
    assert_eq!(node.terminate(), Some(0));
    let (mut lines, mut tags) = (0, 0);
    for (name, bytes) in on_disk(&setup.data) {
        search.assert_none(&name, &bytes);
        if name.contains("spool/") {
            lines += memchr::memmem::find_iter(&bytes, b"a line without any secret").count();
            tags += memchr::memmem::find_iter(&bytes, b"[redacted:").count();
        }
    }
    println!("{} cells spilled: {lines} other lines and {tags} tags in the spool", cells.len());
    assert!(lines > 1000 && tags >= cells.len(), "the spool has {lines} lines, {tags} tags");
}
