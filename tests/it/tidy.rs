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

/// The paragraphs of the code map that belong to a crate: from its bold name to the next one.
fn map_of<'m>(map: &'m str, name: &str) -> &'m str {
    let start = map.find(&format!("\n**{name}**")).unwrap_or_else(|| panic!("no map of {name}"));
    let rest = &map[start + 4 + name.len()..];
    let end = ["\n**", "\n## "].iter().filter_map(|next| rest.find(next)).min();
    &rest[..end.unwrap_or(rest.len())]
}

/// Modules at the top of a crate.
fn modules(name: &str) -> Vec<String> {
    let dir = if name == "root" { root().join("src") } else { root().join(name).join("src") };
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    names.filter(|name| !["lib", "main"].contains(&name.as_str())).collect()
}

#[test]
fn the_code_map_names_every_module() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in ["transport", "collector", "aggregator", "query", "root"] {
        let known = map_of(&map, name);
        for module in modules(name).iter().filter(|module| !module.ends_with("_tests")) {
            let named = known.contains(&format!("`{module}`"));
            assert!(named, "ARCHITECTURE.md does not name `{module}` in the map of {name}");
        }
    }
}

#[test]
fn the_code_map_names_nothing_that_is_gone() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in ["transport", "collector", "aggregator", "query", "root"] {
        let there = modules(name);
        // Every second piece between backticks is a name; those with spaces are commands.
        for module in map_of(&map, name).split('`').skip(1).step_by(2) {
            let is_name = module.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let gone = is_name && !there.iter().any(|known| known == module);
            assert!(!gone, "ARCHITECTURE.md names `{module}` of {name}, which is not there");
        }
    }
}
