//! A data directory that cannot be written: what names bytes is durable before they are sent.

use std::time::Duration;

use super::fixture::{Fixture, RUN};

const SECOND: Duration = Duration::from_secs(1);

fn out() -> String {
    format!("{RUN}/stdout")
}

#[test]
fn nothing_of_a_generation_is_sent_before_its_name_is_durable() {
    let mut f = Fixture::new();
    f.append(&out(), "generation 0\n");
    f.wait(SECOND);
    f.collector().refuse_records(true);
    f.truncate(&out());
    f.append(&out(), "1\n");
    f.wait(SECOND);
    assert_eq!(f.metrics.read_bytes.get(), 15, "tailing goes on");
    assert!(f.metrics.checkpoint_errors.get() > 0);
    assert_eq!(f.stdout(), ["generation 0"]);
    assert!(!f.collector().is_all_acknowledged());
    assert!(!f.collector().status().at_rest);
    // A second one, which a restart that knows of none would take for the first.
    f.truncate(&out());
    f.append(&out(), "generation 2\n");
    f.wait(SECOND);
    assert_eq!(f.stdout(), ["generation 0"]);
    f.restart();
    f.wait(SECOND);
    assert_eq!(f.stdout(), ["generation 0", "generation 2"]);
    assert_eq!(f.duplicates(), 0);
}

#[test]
fn what_was_held_back_goes_out_when_the_directory_can_be_written_again() {
    let mut f = Fixture::new();
    f.append(&out(), "young\n");
    f.collector().refuse_records(true);
    f.pump();
    assert_eq!(f.stdout(), ["young"], "its name needs no record");
    f.truncate(&out());
    f.append(&out(), "and truncated\n");
    f.wait(SECOND);
    assert_eq!(f.stdout(), ["young"]);
    f.collector().refuse_records(false);
    f.wait(SECOND);
    assert_eq!(f.stdout(), ["young", "and truncated"]);
    assert_eq!(f.duplicates(), 0);
    // Its name is known again without any checkpoint.
    f.kill();
    f.forget_checkpoints();
    f.append(&out(), "third\n");
    f.start();
    f.wait(SECOND);
    assert_eq!(f.stdout(), ["young", "and truncated", "third"]);
    f.assert_nothing_lost();
}

#[test]
fn what_is_read_meanwhile_is_bounded() {
    let mut f = Fixture::new();
    f.append(&out(), "0\n");
    f.wait(SECOND);
    f.collector().refuse_records(true);
    f.truncate(&out());
    let text = "x".repeat(199) + "\n";
    f.append(&out(), text.repeat(200_000));
    for _ in 0..200 {
        f.step();
    }
    let most = f.config.in_flight_bytes_max as u64;
    let read = f.metrics.read_bytes.get();
    assert!(read > most / 2 && read <= most, "{read}");
    let errors = f.metrics.checkpoint_errors.get();
    for _ in 0..10 {
        f.step();
    }
    assert!(f.metrics.checkpoint_errors.get() <= errors + 20, "it is not tried all the time");
    f.collector().refuse_records(false);
    f.wait(SECOND);
    assert_eq!(f.stdout().len(), 200_001);
}
