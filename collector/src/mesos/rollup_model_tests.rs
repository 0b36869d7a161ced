//! Windows of five minutes against a model: nothing is counted twice or left out, whatever clocks,
//! counters and crashes do, and no restart changes what is written.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::facts::Ids;
use super::generated::STATS_5M;
use super::rollup_tests::{Bed, SECOND, START};
use super::sample::parse_time;
use super::tests::ids;

/// What happens between two samples.
#[derive(Clone, Copy, Debug)]
enum Crash {
    None,
    Clean,
    /// The window that the last sample closed, if it did, is not in its file, or half of it.
    BeforeTheWindow,
    InTheWindow,
}

#[derive(Clone, Debug)]
struct Step {
    /// Milliseconds since the sample before.
    pause: i64,
    grown: u32,
    is_reset: bool,
    is_measured: bool,
    crash: Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![
        20 => 14_000i64..16_000,
        2 => 16_000i64..400_000,
        1 => Just(0i64),
        1 => -20_000i64..0,
        1 => -2_000_000i64..0,
        1 => 0i64..10_000_000,
    ];
    let crash = prop_oneof![
        12 => Just(Crash::None),
        1 => Just(Crash::Clean),
        1 => Just(Crash::BeforeTheWindow),
        1 => Just(Crash::InTheWindow),
    ];
    let odds = (prop::bool::weighted(0.05), prop::bool::weighted(0.95));
    let step = (pause, 0u32..1000, odds, crash).prop_map(
        |(pause, grown, (is_reset, is_measured), crash)| Step {
            pause,
            grown,
            is_reset,
            is_measured,
            crash,
        },
    );
    prop::collection::vec(step, 1..150)
}

/// A sample as it went in: time in nanoseconds, and the counter if it was measured.
type Told = (i64, Option<u64>);

fn told(steps: &[Step]) -> Vec<Told> {
    let (mut time, mut counter) = (START + 4_000_000_000, 0);
    let mut told = Vec::new();
    for step in steps {
        time += step.pause * 1_000_000;
        counter = if step.is_reset { 0 } else { counter } + u64::from(step.grown);
        told.push((time, step.is_measured.then_some(counter)));
    }
    told
}

/// What the samples tell, by the rules and nothing else: those that count, and for each what was used
/// since the one before, if that is known.
fn counted(told: &[Told]) -> Vec<(i64, Option<(i64, u64)>)> {
    let mut counted: Vec<(i64, Option<(i64, u64)>)> = Vec::new();
    let mut before: Option<(i64, u64)> = None;
    for (time, counter) in told {
        if counted.last().is_some_and(|(last, _)| last == time) {
            continue;
        }
        let mut used = None;
        if let Some(counter) = counter
            && let Some((then, was)) = before.replace((*time, *counter))
        {
            let is_near = *time > then && *time - then <= 60 * SECOND;
            used = (is_near && *counter >= was).then(|| (time - then, counter - was));
        }
        counted.push((*time, used));
    }
    counted
}

fn feed(bed: &mut Bed, ids: &Ids, steps: &[Step], with_crashes: bool) {
    for (step, (time, counter)) in steps.iter().zip(told(steps)) {
        let path = bed.path(ids, STATS_5M);
        let before = fs::read(&path).unwrap_or_default();
        let numbers = match counter {
            Some(counter) => json!({"net_rx_bytes": counter, "mem_rss_bytes": counter}),
            None => json!({"statistics": "unknown"}),
        };
        bed.write(ids, time, &numbers);
        if !with_crashes || matches!(step.crash, Crash::None) {
            continue;
        }
        let text = fs::read(&path).unwrap_or_default();
        let has_closed = text != before;
        let last = text.trim_ascii_end().iter().rposition(|byte| *byte == b'\n');
        let last = last.map_or(0, |at| at + 1);
        match step.crash {
            Crash::BeforeTheWindow if has_closed => fs::write(path, &text[..last]).expect("write"),
            Crash::InTheWindow if has_closed => {
                fs::write(path, &text[..(last + text.len()) / 2]).expect("write");
            }
            _ => {}
        }
        bed.restart();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn each_sample_is_in_one_window_whatever_happens(steps in steps(), rotate_at in 1_500u64..20_000) {
        let ids = ids("e", "c1");
        let mut calm = Bed::new();
        feed(&mut calm, &ids, &steps, false);
        let mut bed = Bed::new();
        bed.files.rotate_at = rotate_at;
        feed(&mut bed, &ids, &steps, true);
        for bed in [&mut calm, &mut bed] {
            bed.restart();
            bed.rollups.end(&ids, &mut bed.files, Duration::ZERO).expect("written");
        }
        let windows = bed.windows(&ids);
        prop_assert_eq!(&windows, &calm.windows(&ids));

        let counted = counted(&told(&steps));
        let mut rest = &counted[..];
        for window in &windows {
            let samples = window["samples"].as_u64().expect("samples") as usize;
            prop_assert!(0 < samples && samples <= rest.len());
            let (own, others) = rest.split_at(samples);
            rest = others;
            let of = |name: &str| window[name].as_f64().unwrap_or_default();
            let used = || own.iter().filter_map(|(_, used)| *used);
            prop_assert_eq!(of("net_rx_bytes_delta"), used().map(|(_, bytes)| bytes).sum::<u64>() as f64);
            prop_assert_eq!(of("covered_secs"), used().map(|(nanos, _)| nanos).sum::<i64>() as f64 / 1e9);
            let start = parse_time(window["window_start"].as_str().expect("start"));
            let start = start.expect("a time");
            prop_assert_eq!(start % (300 * SECOND), 0);
            prop_assert!((start..start + 300 * SECOND).contains(&own[0].0));
            let room = start - 300 * SECOND..start + 300 * SECOND;
            prop_assert!(own.iter().all(|(time, _)| room.contains(time)));
            prop_assert!(others.first().is_none_or(|(time, _)| !room.contains(time)));
        }
        prop_assert!(rest.is_empty(), "{} samples are in no window", rest.len());
    }
}
