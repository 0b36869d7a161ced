//! Windows of five minutes: known numbers, gaps, ends and limits.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::events::{line, rfc3339};
use super::facts::Ids;
use super::generated::{GeneratedFiles, STATS, STATS_5M};
use super::rollup::Rollups;
use super::tests::{ids, metrics};

pub(super) const SECOND: i64 = 1_000_000_000;
/// A multiple of five minutes.
pub(super) const START: i64 = 1_787_220_000 * SECOND;
const EVERY: Duration = Duration::from_secs(15);

pub(super) struct Bed {
    dir: TempDir,
    pub(super) files: GeneratedFiles,
    pub(super) rollups: Rollups,
    every: Duration,
    now: Duration,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(EVERY)
    }

    fn with(every: Duration) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let files = GeneratedFiles::new(dir.path(), metrics());
        files.create().expect("root");
        Self { dir, files, rollups: Rollups::new(every), every, now: Duration::ZERO }
    }

    /// A process that died and started again.
    pub(super) fn restart(&mut self) {
        self.rollups = Rollups::new(self.every);
    }

    pub(super) fn write(&mut self, ids: &Ids, time: i64, numbers: &Value) {
        let mut record = numbers.clone();
        record["time"] = rfc3339(time).into();
        self.now += self.every;
        self.rollups.write(ids, &line(&record), &mut self.files, self.now).expect("written");
    }

    fn close_idle(&mut self, exists: bool) {
        self.rollups.close_idle(&mut self.files, |_| exists, self.now).expect("written");
    }

    pub(super) fn path(&self, ids: &Ids, log: &str) -> std::path::PathBuf {
        self.dir.path().join("generated").join(ids.path()).join(log)
    }

    /// The windows that are written, those that a crash cut left out.
    pub(super) fn windows(&self, ids: &Ids) -> Vec<Value> {
        let all = self.files.tail(ids, STATS_5M, u64::MAX).expect("read");
        all.split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

/// A saw's tooth: idle half of the time, then busier and busier; 18 % of a processor on average.
fn sawtooth(sample: i64) -> f64 {
    let tooth = |n: i64| if n % 10 < 5 { 0.0 } else { 0.06 * (n % 10 - 4) as f64 * 2.0 };
    (1..=sample).map(|n| 15.0 * tooth(n)).sum()
}

fn used(sample: i64) -> Value {
    let user = sawtooth(sample) * 0.75;
    json!({"cpus_user_time_secs": user, "cpus_system_time_secs": sawtooth(sample) - user,
        "cpus_nr_periods": 150 * sample, "cpus_nr_throttled": 3 * sample, "cpus_limit": 1.0,
        "cpus_throttled_time_secs": 0.25 * sample as f64, "mem_limit_bytes": 536_870_912,
        "mem_rss_bytes": 100_000_000 + 1_000_000 * (sample % 20), "mem_total_bytes": 200_000_000,
        "disk_used_bytes": 5_000 * sample, "net_rx_bytes": 1_000 * sample, "net_rx_dropped": sample,
        "allocated_cpus": 7.2, "agent_cpus": 8.0, "agent_allocated_cpus": 7.2})
}

#[test]
fn eighteen_percent_of_use_are_eighteen_percent() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    for sample in 0..=60 {
        bed.write(&ids, START + 15 * SECOND * sample + 7 * SECOND, &used(sample));
    }
    let windows = bed.windows(&ids);
    assert_eq!(windows.len(), 3);
    let one = &windows[1];
    let cpu = ["user", "system"].map(|kind| one[format!("cpus_{kind}_time_secs_delta")].as_f64());
    let cpu: f64 = cpu.into_iter().flatten().sum();
    let covered = one["covered_secs"].as_f64().expect("covered");
    assert_eq!((covered, cpu / covered), (300.0, 0.18));
    let expected = json!({"time": "2026-08-20T10:09:52.000000Z", "level": "info",
        "event": "statistics_5m", "window_start": "2026-08-20T10:05:00.000000Z",
        "window_secs": 300, "samples": 20, "unmeasured": 0, "gaps": 0, "resets": 0,
        "covered_secs": 300, "cpus_user_time_secs_delta": 40.5, "cpus_system_time_secs_delta": 13.5,
        "cpus_nr_periods_delta": 3000, "cpus_nr_throttled_delta": 60,
        "cpus_throttled_time_secs_delta": 5, "cpus_limit": 1, "mem_limit_bytes": 536_870_912,
        "cpus_busy_p50": 0, "cpus_busy_p95": 0.6, "cpus_busy_max": 0.6,
        "cpus_busy_values": [[0, 10], [0.12, 2], [0.24, 2], [0.36, 2], [0.48, 2], [0.6, 2]],
        "mem_rss_bytes_p50": 109_000_000, "mem_rss_bytes_p95": 118_000_000,
        "mem_rss_bytes_max": 119_000_000, "mem_rss_bytes_values":
            (100..120).map(|n| json!([n * 1_000_000, 1])).collect::<Vec<_>>(),
        "mem_total_bytes_max": 200_000_000, "disk_used_bytes_max": 195_000,
        "net_rx_bytes_delta": 20_000, "net_rx_dropped_delta": 20, "allocated_cpus": 7.2,
        "agent_cpus": 8, "agent_allocated_cpus": 7.2});
    assert_eq!(one, &expected, "{one}\n{expected}");
}

#[test]
fn samples_of_each_second_are_read_back_for_their_whole_window() {
    let mut bed = Bed::with(Duration::from_secs(1));
    let ids = ids("e", "c1");
    let mut numbers = used(0);
    // As long as those of an agent with many counters.
    numbers["filler"] = "x".repeat(2500).into();
    for sample in 0..300 {
        if sample == 290 {
            bed.restart();
        }
        bed.write(&ids, START + SECOND * sample, &numbers);
    }
    bed.restart();
    bed.write(&ids, START + SECOND * 300, &numbers);
    let windows = bed.windows(&ids);
    assert_eq!(windows.len(), 1);
    assert_eq!((&windows[0]["samples"], &windows[0]["gaps"]), (&json!(300), &json!(0)));
}

#[test]
fn gaps_and_counters_that_begin_anew_are_no_use() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    let cpu = |seconds: i64| json!({"cpus_user_time_secs": seconds, "cpus_system_time_secs": 0});
    // Ten minutes are missing after the second, and the counter begins anew after the fourth.
    for (at, seconds) in [(0, 5), (15, 6), (615, 400), (630, 403), (645, 1), (660, 3)] {
        bed.write(&ids, START + at * SECOND, &cpu(seconds));
    }
    bed.write(&ids, START + 675 * SECOND, &json!({"statistics": "unknown", "allocated_cpus": 2}));
    bed.write(&ids, START + 690 * SECOND, &cpu(4));
    bed.rollups.end(&ids, &mut bed.files, bed.now).expect("written");
    bed.rollups.end(&ids, &mut bed.files, bed.now).expect("written");
    let windows = bed.windows(&ids);
    let of = |name: &str| windows.iter().map(|window| window[name].to_string()).collect::<Vec<_>>();
    assert_eq!(of("samples"), ["2", "6"]);
    assert_eq!(of("covered_secs"), ["15", "60"]);
    assert_eq!(of("cpus_user_time_secs_delta"), ["1", "6"]);
    assert_eq!(of("gaps"), ["0", "1"]);
    assert_eq!(of("resets"), ["0", "1"]);
    assert_eq!(of("unmeasured"), ["0", "1"]);
    assert_eq!(of("allocated_cpus"), ["null", "2"]);
    assert_eq!(of("cpus_busy_max"), ["0.066667", "0.2"]);
    assert_eq!(of("mem_rss_bytes_max"), ["null", "null"], "what is unknown is not 0");
}

/// While the agent measures memory only, nobody knows what the processors did: that time is not divided by.
#[test]
fn only_time_in_which_something_was_counted_is_covered() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    for sample in 0..=19 {
        let mut numbers = json!({"mem_rss_bytes": 5, "mem_limit_bytes": 9});
        if sample < 10 {
            numbers["cpus_user_time_secs"] = (sample * 3).into();
            numbers["cpus_system_time_secs"] = 0.into();
        }
        bed.write(&ids, START + 15 * SECOND * sample, &numbers);
    }
    bed.rollups.end(&ids, &mut bed.files, bed.now).expect("written");
    let window = &bed.windows(&ids)[0];
    assert_eq!(
        (&window["covered_secs"], &window["cpus_user_time_secs_delta"]),
        (&json!(135), &json!(27))
    );
    assert_eq!((&window["gaps"], &window["samples"]), (&json!(1), &json!(20)));
}

/// A disk that is full while a container goes: its window is written once it can be.
#[test]
fn the_last_window_of_what_is_gone_is_not_lost_by_a_failed_write() {
    let mut bed = Bed::new();
    let ids = ids("e", "c1");
    bed.close_idle(true);
    for sample in 0..3 {
        bed.write(&ids, START + 15 * SECOND * sample, &used(sample));
    }
    // No file can be made under a name that is a directory's.
    let path = bed.path(&ids, STATS_5M);
    fs::create_dir(&path).expect("created");
    let failed = bed.rollups.close_idle(&mut bed.files, |_| false, bed.now);
    assert!(failed.is_err());
    fs::remove_dir(&path).expect("removed");
    bed.close_idle(false);
    assert_eq!(bed.windows(&ids).len(), 1);
    bed.close_idle(false);
    assert_eq!(bed.windows(&ids).len(), 1, "and once");
}

#[test]
fn what_is_left_open_is_written_when_the_container_is_silent_or_gone() {
    let mut bed = Bed::new();
    let [silent, gone, quiet] = ["c1", "c2", "c3"].map(|container| ids("e", container));
    for ids in [&silent, &gone, &quiet] {
        bed.write(ids, START, &used(0));
    }
    bed.restart();
    bed.close_idle(true);
    bed.now += Duration::from_secs(360);
    bed.close_idle(true);
    assert_eq!(bed.windows(&silent), Vec::<Value>::new(), "its samples may still come");
    bed.write(&quiet, START + 15 * SECOND, &used(1));
    bed.close_idle(true);
    bed.close_idle(true);
    assert_eq!([&silent, &gone, &quiet].map(|ids| bed.windows(ids).len()), [1, 1, 0]);
    bed.write(&gone, START + 60 * SECOND, &used(1));
    bed.restart();
    bed.close_idle(false);
    bed.close_idle(false);
    assert_eq!([&silent, &gone, &quiet].map(|ids| bed.windows(ids).len()), [1, 2, 1]);
    assert_eq!(bed.windows(&gone)[1]["covered_secs"], 60, "it goes on where it was");
}

#[test]
fn more_containers_than_are_remembered_keep_their_samples() {
    let mut bed = Bed::new();
    bed.rollups.limit(1);
    for container in ["c1", "c2"] {
        bed.write(&ids("e", container), START, &used(0));
        bed.write(&ids("e", container), START + 300 * SECOND, &used(1));
    }
    let samples = ["c1", "c2"].map(|container| {
        let text = fs::read_to_string(bed.path(&ids("e", container), STATS)).expect("read");
        text.lines().count()
    });
    assert_eq!(samples, [2, 2]);
    assert_eq!(["c1", "c2"].map(|c| bed.windows(&ids("e", c)).len()), [1, 0]);
}
