//! An agent's answers and checkpoints, as any bytes.

use std::collections::VecDeque;
use std::path::Path;

use crate::directory;
use crate::tests::{Random, framed};

use super::containers::{self, Surroundings};
use super::meta_files::{message, messages};
use super::sample::Sample;
use super::state;
use super::status::MESSAGE_BYTES_MAX;
use super::wire;

/// Files as an agent leaves them.
pub(crate) fn meta_samples() -> [Vec<u8>; 4] {
    let labels = Some(wire::Labels {
        labels: vec![wire::Label { key: b"team".to_vec(), value: b"shop".to_vec() }],
    });
    let parent = Some(Box::new(wire::ContainerId { value: b"c1".to_vec(), parent: None }));
    let container_id = Some(wire::ContainerId { value: b"n".to_vec(), parent });
    let update = wire::StatusUpdateRecord {
        update: Some(wire::StatusUpdate {
            status: Some(wire::TaskStatus {
                state: 3,
                message: b"exited with status 1".to_vec(),
                timestamp: Some(1.5e9),
                reason: Some(17),
                container_status: Some(wire::ContainerStatus { container_id }),
                ..wire::TaskStatus::default()
            }),
            timestamp: 1.5e9,
        }),
    };
    let acknowledgement = wire::StatusUpdateRecord { update: None };
    [
        framed(&wire::FrameworkInfo { name: b"mara\xffthon".to_vec(), ..Default::default() }),
        framed(&wire::ExecutorInfo { labels: labels.clone(), kind: 1, ..Default::default() }),
        framed(&wire::Task { name: b"web".to_vec(), labels, ..Default::default() }),
        [framed(&update), framed(&acknowledgement), framed(&update)].concat(),
    ]
}

/// Reads an input as each answer, and as a line of ours.
pub(crate) fn check_json(input: &[u8]) {
    let allowed = ["team".to_owned()];
    if let Ok(state) = state::parse(input, &allowed) {
        for seen in &state.seen {
            let is_kept = |name: &String| allowed.contains(name);
            assert!(seen.facts.labels.keys().all(is_kept));
            assert!(seen.statuses.iter().all(|status| status.message.len() <= MESSAGE_BYTES_MAX));
            let path = seen.ids.path();
            let is_plain = |part| matches!(part, std::path::Component::Normal(_));
            assert!(path.components().all(is_plain), "'{}' leads out", path.display());
        }
    }
    for (_, line) in containers::lines(input, &Surroundings::default(), 0).unwrap_or_default() {
        assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
        assert!(Sample::parse(&line).is_some(), "{}", line.escape_ascii());
    }
    if let Some(sample) = Sample::parse(input) {
        assert!(sample.counters.iter().flatten().all(|amount| *amount >= 0.0));
    }
}

/// Reads an input as each file below `meta/`; the beginning of it holds the first of its messages.
pub(crate) fn check_meta(dir: &Path, input: &[u8], random: &mut Random) {
    const MOST: usize = 100;
    let root = directory::open_root(dir).expect("the directory opens");
    let write = |bytes: &[u8]| std::fs::write(dir.join("info"), bytes).expect("write");
    write(input);
    let _: Option<wire::FrameworkInfo> = message(&root, "info");
    let _: Option<wire::ExecutorInfo> = message(&root, "info");
    let _: Option<wire::Task> = message(&root, "info");
    let whole: Updates = messages(&root, "info", usize::MAX);
    let last: Updates = messages(&root, "info", MOST);
    assert!(same(last.iter(), whole.iter().skip(whole.len().saturating_sub(MOST))));
    write(&input[..random.below(input.len())]);
    let start: Updates = messages(&root, "info", usize::MAX);
    assert!(start.len() <= whole.len() && same(start.iter(), whole.iter().take(start.len())));
}

type Updates = VecDeque<wire::StatusUpdateRecord>;

/// Whether the records tell the same, also where they tell of what is no number.
fn same<'a>(
    some: impl Iterator<Item = &'a wire::StatusUpdateRecord>,
    others: impl Iterator<Item = &'a wire::StatusUpdateRecord>,
) -> bool {
    some.map(|record| format!("{record:?}")).eq(others.map(|record| format!("{record:?}")))
}
