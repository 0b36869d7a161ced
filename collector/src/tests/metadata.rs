//! Labels that become known late, and the streams that we write ourselves, through the whole collector.

use std::time::Duration;

use sawlog_transport::StreamId;

use super::fixture::{Fixture, RUN, stream};
use crate::mesos::{Facts, Ids};
use crate::rate::{OnLimit, RateRule};

fn ids() -> Ids {
    Ids { agent: "S1".into(), framework: "F".into(), executor: "E".into(), container: "c1".into() }
}

fn label(fixture: &Fixture, stream: StreamId, name: &str) -> String {
    fixture.store(|store| {
        let labels = &store.streams.get(&stream).expect("the stream is known").labels;
        String::from_utf8_lossy(labels.get(name).unwrap_or_default()).into_owned()
    })
}

fn learn(fixture: &mut Fixture, framework_name: &str) {
    let facts = Facts { framework_name: framework_name.into(), ..Facts::default() };
    fixture.collector().metadata().learn(&ids(), &facts);
}

#[test]
fn labels_that_come_late_are_sent_without_a_line_and_only_where_lines_were() {
    let mut fixture = Fixture::new();
    fixture.append(&format!("{RUN}/stdout"), "a\n");
    fixture.append(&format!("{RUN}/stderr"), "");
    fixture.pump();
    let stdout = stream(b"c1", b"stdout");
    assert_eq!(label(&fixture, stdout, "app"), "E");
    let before = fixture.store(|store| store.batches);
    learn(&mut fixture, "etl");
    fixture.pump();
    assert_eq!(
        (label(&fixture, stdout, "app"), label(&fixture, stdout, "framework")),
        ("etl".into(), "etl".into())
    );
    assert_eq!(fixture.store(|store| store.batches), before + 1);
    assert_eq!(fixture.stdout(), ["a"]);
    let stderr = stream(b"c1", b"stderr");
    assert!(!fixture.store(|store| store.streams.contains_key(&stderr)), "nothing to label");
    // The next lines have them too, and what is known already is not sent again.
    learn(&mut fixture, "etl");
    fixture.append(&format!("{RUN}/stderr"), "b\n");
    fixture.pump();
    assert_eq!(label(&fixture, stderr, "app"), "etl");
    assert_eq!(fixture.store(|store| store.batches), before + 2);
    assert_eq!(fixture.duplicates(), 0);
}

#[test]
fn the_rate_of_an_application_holds_from_when_its_name_is_known() {
    const RATE: u64 = 1000;
    let mut fixture = Fixture::new();
    let (app, on_limit) = ("etl*".to_owned(), OnLimit::Block);
    fixture.config.rate_rules = vec![RateRule { app, bytes_per_second: RATE, on_limit }];
    fixture.restart();
    fixture.append(&format!("{RUN}/stdout"), "a\n");
    fixture.pump();
    learn(&mut fixture, "etl");
    fixture.pump();
    fixture.append(&format!("{RUN}/stdout"), "a line of twenty...\n".repeat(100_000));
    fixture.pump();
    let read = fixture.metrics.read_bytes.get();
    assert!(read < 600_000, "{read}");
    assert_eq!(fixture.metrics.load.throttled_streams.get(), 1);
}

#[test]
fn files_that_are_closed_are_labelled_too() {
    let mut fixture = Fixture::new();
    fixture.append(&format!("{RUN}/containers/n1/stdout"), "a\n");
    fixture.wait(Duration::from_secs(30));
    assert_eq!(fixture.collector().status().files_open, 0);
    learn(&mut fixture, "etl");
    fixture.pump();
    assert_eq!(label(&fixture, stream(b"c1.n1", b"stdout"), "app"), "etl");
}

#[test]
fn a_restart_knows_the_names_and_sends_what_may_have_been_lost() {
    let mut fixture = Fixture::new();
    fixture.append(&format!("{RUN}/stdout"), "a\n");
    fixture.wait(Duration::from_secs(1));
    learn(&mut fixture, "etl");
    let metadata = fixture.collector().metadata();
    metadata.save(&fixture.config.data_dir).expect("save");
    // It dies before it has sent the labels.
    fixture.restart();
    fixture.pump();
    assert_eq!(label(&fixture, stream(b"c1", b"stdout"), "app"), "etl");
    assert_eq!((fixture.stdout(), fixture.duplicates()), (vec!["a".to_owned()], 0));
}

#[test]
fn our_own_lines_are_collected_and_their_times_believed() {
    let mut fixture = Fixture::new();
    fixture.pump();
    let run = crate::mesos::generated_root(&fixture.config.data_dir).join(ids().path());
    std::fs::create_dir_all(&run).expect("mkdir");
    // Two years before the clock of these tests.
    let line = r#"{"time":"2025-01-15T08:00:00.250000Z","level":"error","state":"TASK_FAILED"}"#;
    std::fs::write(run.join("events"), format!("{line}\n")).expect("write");
    std::fs::write(run.join("stdout"), "not ours\n").expect("write");
    fixture.wait(Duration::from_secs(20));
    let events = stream(b"c1", b"events");
    assert_eq!(fixture.texts(events), [line]);
    assert_eq!(label(&fixture, events, "stream"), "events");
    let time = fixture.store(|store| store.streams[&events].lines[0].time);
    assert_eq!(time, 1_736_928_000_250_000_000);
    let facts = crate::identity::facts_of_path(&run.join("events")).expect("facts");
    assert!(fixture.collector().metadata().is_drained(facts.key, facts.size));
    assert_eq!(fixture.store(|store| store.streams.len()), 1);
}
