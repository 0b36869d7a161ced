//! The house: arrows between crates, first lines, and the code map, checked against the tree.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            rust_files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for dir in ["src", "transport", "collector", "aggregator", "query", "tests", "benches"] {
        rust_files(&root().join(dir), &mut files);
    }
    assert!(files.len() > 50, "the tree was found");
    files
}

#[test]
fn each_file_says_first_what_it_is_for() {
    for path in all_rust_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with `//! `", path.display());
    }
}

/// collector → transport ← aggregator ← query, and the root above all.
#[test]
fn crates_know_only_whom_they_may() {
    let allowed: [(&str, &[&str]); 4] = [
        ("transport", &[]),
        ("collector", &["transport"]),
        ("aggregator", &["transport"]),
        ("query", &["aggregator", "transport"]),
    ];
    for (name, may) in allowed {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for other in ["transport", "collector", "aggregator", "query"] {
            let knows = manifest.contains(&format!("sawlog-{other}.workspace"));
            assert_eq!(knows, may.contains(&other), "{name} → {other}");
        }
        assert_eq!(
            manifest.contains("tantivy.workspace"),
            name == "aggregator",
            "only the aggregator knows tantivy"
        );
    }
}

#[test]
fn the_code_map_names_every_module() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in ["transport", "collector", "aggregator", "query"] {
        for entry in std::fs::read_dir(root().join(name).join("src")).unwrap() {
            let path = entry.unwrap().path();
            let module = path.file_stem().unwrap().to_string_lossy().into_owned();
            let known = module == "lib"
                || module.ends_with("_tests")
                || map.contains(&format!("`{module}`"));
            assert!(known, "ARCHITECTURE.md does not name `{module}` of {name}");
        }
    }
}
