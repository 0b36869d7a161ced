//! Secrets in the logs of containers, and every byte that the process leaves behind.

mod cells;
mod encodings;
pub(crate) mod places;
#[cfg(feature = "kafka")]
mod spool;
mod table;

use crate::node::{Setup, eventually};

#[test]
fn without_redaction_it_is_said_and_lines_stay() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log");
    std::fs::write(&log, "password=hunter2\n").unwrap();
    let setup = Setup::new(&dir.path().join("data")).arg("--path", &log).flag("--no-redaction");
    let node = setup.start().ready();
    eventually("the line", || node.count(r#"{stream="file"}"#), |count| *count == 1);
    assert_eq!(node.export(r#"{stream="file"}"#), b"password=hunter2\n");
}

#[test]
fn a_secret_file_that_cannot_be_used_stops_the_start_and_is_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, "long enough\nhush\n").unwrap();
    let setup = Setup::new(&dir.path().join("data"))
        .arg("--path", dir.path().join("*.log"))
        .arg("--secret-file", &secrets);
    let (code, said) = setup.run_to_end();
    assert!(code != Some(0) && said.contains("line 2 of the secret file"), "{said}");
    assert!(!said.contains("hush") && !said.contains("long enough"), "{said}");
}
