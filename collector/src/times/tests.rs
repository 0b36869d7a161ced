//! Each rule of a stream's times by name, and the order that they promise together.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600 * SECOND;

fn utc(_: i64) -> i32 {
    0
}

fn at(text: &str) -> i64 {
    let time = DateTime::parse_from_rfc3339(text).expect("RFC 3339");
    time.timestamp_nanos_opt().expect("in range")
}

fn live(read_time: &str) -> ReadContext<'static> {
    ReadContext { read_time: at(read_time), live: true, zone: &utc }
}

fn backlog(read_time: &str) -> ReadContext<'static> {
    ReadContext { read_time: at(read_time), live: false, zone: &utc }
}

/// The times of lines that are read together.
fn stamp_all(times: &mut StreamTimes, ctx: &ReadContext<'_>, lines: &[&str]) -> Vec<i64> {
    lines.iter().map(|line| times.stamp(line.as_bytes(), ctx)).collect()
}

#[test]
fn a_plausible_time_counts() {
    let mut times = StreamTimes::default();
    let ctx = live("2026-08-20T10:00:05Z");
    assert_eq!(times.stamp(b"2026-08-20T10:00:00.25Z up", &ctx), at("2026-08-20T10:00:00.25Z"));
    assert_eq!(times.last(), Some(at("2026-08-20T10:00:00.25Z")));
}

#[test]
fn a_minute_in_the_future_is_plausible_and_more_is_not() {
    let ctx = live("2026-08-20T10:00:00Z");
    let mut times = StreamTimes::default();
    assert_eq!(times.stamp(b"2026-08-20T10:01:00Z", &ctx), ctx.read_time + FUTURE_MAX);
    let mut times = StreamTimes::default();
    assert_eq!(times.stamp(b"2026-08-20T10:01:00.000000001Z", &ctx), ctx.read_time);
}

#[test]
fn a_line_without_a_time_has_that_of_the_entry_before() {
    for ctx in [live("2026-08-20T10:00:05Z"), backlog("2026-08-29T10:00:05Z")] {
        let mut times = StreamTimes::default();
        let lines = ["2026-08-20T10:00:00Z failed", "  at a", "  at b"];
        let first = at("2026-08-20T10:00:00Z");
        assert_eq!(stamp_all(&mut times, &ctx, &lines), [first, first + 1, first + 2]);
    }
}

#[test]
fn a_live_line_long_after_the_entry_before_does_not_belong_to_it() {
    let mut times = StreamTimes::default();
    let first = times.stamp(b"2026-08-20T10:00:00Z started", &live("2026-08-20T10:00:01Z"));
    assert_eq!(times.stamp(b"a bit more", &live("2026-08-20T10:00:11Z")), first + 1);
    let later = live("2026-08-20T11:00:00Z");
    assert_eq!(times.stamp(b"no time", &later), later.read_time);
    assert_eq!(times.stamp(b"no time", &later), later.read_time + 1);
}

#[test]
fn a_stream_without_times_has_read_times() {
    for make in [live, backlog] {
        let (first, second) = (make("2026-08-20T10:00:00Z"), make("2026-08-20T10:00:01Z"));
        let mut times = StreamTimes::default();
        let read = first.read_time;
        assert_eq!(stamp_all(&mut times, &first, &["a", "b"]), [read, read + 1]);
        assert_eq!(times.stamp(b"c", &second), second.read_time);
    }
}

#[test]
fn equal_times_become_nanosecond_steps() {
    let mut times = StreamTimes::default();
    let line = "2026-08-20T10:00:00Z x";
    let first = at("2026-08-20T10:00:00Z");
    let found = stamp_all(&mut times, &live("2026-08-20T10:00:00Z"), &[line, line, line]);
    assert_eq!(found, [first, first + 1, first + 2]);
}

#[test]
fn jitter_up_to_ten_seconds_back_becomes_a_nanosecond_step() {
    let mut times = StreamTimes::default();
    let ctx = live("2026-08-20T10:00:30Z");
    let lines = ["2026-08-20T10:00:20Z", "2026-08-20T10:00:10.000000001Z", "2026-08-20T10:00:19Z"];
    let first = at("2026-08-20T10:00:20Z");
    assert_eq!(stamp_all(&mut times, &ctx, &lines), [first, first + 1, first + 2]);
}

#[test]
fn a_larger_step_back_is_believed() {
    let mut times = StreamTimes::default();
    let ctx = live("2026-08-20T10:00:30Z");
    let lines = ["2026-08-20T10:00:20Z", "2026-08-20T10:00:09.9Z", "plain"];
    let back = at("2026-08-20T10:00:09.9Z");
    let found = stamp_all(&mut times, &ctx, &lines);
    assert_eq!(found, [at("2026-08-20T10:00:20Z"), back, back + 1]);
}

#[test]
fn a_live_line_that_claims_to_be_a_day_old_keeps_the_read_time() {
    let ctx = live("2026-08-20T10:00:00Z");
    let mut times = StreamTimes::default();
    let lines = ["2026-08-19T10:00:00Z", "2026-08-19T09:59:59.999999999Z", "and more"];
    let found = stamp_all(&mut times, &ctx, &lines);
    assert_eq!(found, [at("2026-08-19T10:00:00Z"), ctx.read_time, ctx.read_time + 1]);
}

#[test]
fn an_old_line_of_a_backlog_keeps_its_own_time() {
    let mut times = StreamTimes::default();
    let found = times.stamp(b"2025-01-01T00:00:00Z", &backlog("2026-08-20T10:00:00Z"));
    assert_eq!(found, at("2025-01-01T00:00:00Z"));
}

#[test]
fn a_clock_that_was_set_back_does_not_stop_time() {
    let mut times = StreamTimes::default();
    times.stamp(b"a", &live("2027-08-20T10:00:00Z"));
    let ctx = live("2026-08-20T10:00:00Z");
    assert_eq!(times.stamp(b"b", &ctx), ctx.read_time);
    let slightly = live("2026-08-20T09:59:00Z");
    assert_eq!(times.stamp(b"c", &slightly), ctx.read_time + 1);
}

#[test]
fn without_a_zone_the_agents_zone_counts() {
    let east = |_: i64| 7200;
    let ctx = ReadContext { read_time: at("2026-08-20T10:00:00Z"), live: true, zone: &east };
    let mut times = StreamTimes::default();
    assert_eq!(times.stamp(b"2026-08-20 12:00:00 x", &ctx), at("2026-08-20T10:00:00Z"));
    assert_eq!(times.zone_offset_seconds(), None);
}

#[test]
fn three_live_lines_teach_the_streams_zone() {
    let mut times = StreamTimes::default();
    let ctx = live("2026-08-20T10:00:00Z");
    let line = "2026-08-20 12:00:00 x";
    let read = ctx.read_time;
    // Two hours ahead of the clock is no plausible time until the third line tells why.
    assert_eq!(stamp_all(&mut times, &ctx, &[line, line]), [read, read + 1]);
    assert_eq!(times.zone_offset_seconds(), None);
    assert_eq!(times.stamp(line.as_bytes(), &ctx), read + 2);
    assert_eq!(times.zone_offset_seconds(), Some(7200));
    let later = live("2026-08-20T10:30:00Z");
    assert_eq!(times.stamp(b"2026-08-20 12:29:59.5", &later), at("2026-08-20T10:29:59.5Z"));
    assert_eq!(times.stamp(b"2026-08-20T10:29:59.7Z", &later), at("2026-08-20T10:29:59.7Z"));
}

#[test]
fn a_zone_west_of_the_agent_is_learnt_too() {
    let mut times = StreamTimes::default();
    let ctx = live("2026-08-20T10:00:00Z");
    let found = stamp_all(&mut times, &ctx, &["2026-08-20 04:30:00 x"; 4]);
    let west = at("2026-08-20T04:30:00Z");
    let read = ctx.read_time;
    assert_eq!(found, [west, west + 1, read, read + 1]);
    assert_eq!(times.zone_offset_seconds(), Some(-5 * 3600 - 1800));
}

#[test]
fn a_backlog_teaches_no_zone() {
    let mut times = StreamTimes::default();
    stamp_all(&mut times, &backlog("2026-08-20T10:00:00Z"), &["2026-08-20 04:00:00 x"; 9]);
    assert_eq!(times.zone_offset_seconds(), None);
}

#[test]
fn late_lines_teach_no_zone() {
    let mut times = StreamTimes::default();
    stamp_all(&mut times, &live("2026-08-20T10:00:00Z"), &["2026-08-20 09:53:00 x"; 9]);
    assert_eq!(times.zone_offset_seconds(), None);
}

#[test]
fn the_streams_zone_stays_until_three_live_lines_contradict_it() {
    let mut times = StreamTimes::restore(None, Some(7200));
    let ctx = live("2026-08-20T10:00:00Z");
    let (right, wrong) = ("2026-08-20 12:00:00", "2026-08-20 11:00:00");
    stamp_all(&mut times, &ctx, &[wrong, wrong, right, wrong, wrong, right]);
    assert_eq!(times.zone_offset_seconds(), Some(7200));
    stamp_all(&mut times, &ctx, &[wrong, wrong, wrong]);
    assert_eq!(times.zone_offset_seconds(), Some(3600));
    stamp_all(&mut times, &ctx, &["2026-08-20 10:00:00"; 3]);
    assert_eq!(times.zone_offset_seconds(), None, "the agent's zone again");
}

#[test]
fn a_checkpoint_keeps_the_last_time_and_the_zone() {
    let mut before = StreamTimes::default();
    let ctx = live("2026-08-20T10:00:00Z");
    stamp_all(&mut before, &ctx, &["2026-08-20 12:00:00"; 3]);
    let mut after = StreamTimes::restore(before.last(), before.zone_offset_seconds());
    assert_eq!(after.last(), before.last());
    for line in ["  at x", "2026-08-20 12:00:00", "2026-08-20 12:00:01"] {
        assert_eq!(after.stamp(line.as_bytes(), &ctx), before.stamp(line.as_bytes(), &ctx));
    }
}

/// The agent moves from UTC+2 to UTC+1 at 01:00 UTC on 25 October 2026: 02:00 to 03:00 occurs twice
/// and is taken for its first occurrence.
fn autumn(civil: i64) -> i32 {
    if civil * SECOND < at("2026-10-25T03:00:00Z") { 7200 } else { 3600 }
}

#[test]
fn the_hour_that_occurs_twice_is_told_apart_by_live_lines() {
    let mut times = StreamTimes::default();
    let mut stamp = |line: &str, read: &str| {
        let ctx = ReadContext { read_time: at(read), live: true, zone: &autumn };
        times.stamp(line.as_bytes(), &ctx)
    };
    let first = stamp("2026-10-25 02:59:50", "2026-10-25T00:59:50Z");
    assert_eq!(first, at("2026-10-25T00:59:50Z"));
    for minute in 0..2 {
        let read = format!("2026-10-25T01:0{minute}:00Z");
        let taken = stamp(&format!("2026-10-25 02:0{minute}:00"), &read);
        assert_eq!(taken, at(&read) - HOUR, "taken for the first occurrence at first");
    }
    for minute in 2..6 {
        let read = format!("2026-10-25T01:0{minute}:00Z");
        assert_eq!(stamp(&format!("2026-10-25 02:0{minute}:00"), &read), at(&read));
    }
    let after = stamp("2026-10-25 03:00:00", "2026-10-25T02:00:00Z");
    assert_eq!(after, at("2026-10-25T02:00:00Z"));
}

#[test]
fn each_side_of_a_change_has_its_own_offset() {
    let ctx = ReadContext { read_time: at("2026-10-26T00:00:00Z"), live: false, zone: &autumn };
    let mut times = StreamTimes::default();
    let found = stamp_all(&mut times, &ctx, &["2026-10-25 01:30:00", "2026-10-25 03:30:00"]);
    assert_eq!(found, [at("2026-10-24T23:30:00Z"), at("2026-10-25T02:30:00Z")]);
}

#[test]
fn a_missing_year_is_the_closest_not_more_than_a_day_ahead() {
    let stamp = |line: &str, read: &str| {
        let mut times = StreamTimes::default();
        times.stamp(line.as_bytes(), &backlog(read))
    };
    let in_august = stamp("Aug 20 10:00:00 x", "2026-08-20T10:00:01Z");
    assert_eq!(in_august, at("2026-08-20T10:00:00Z"));
    let new_year = stamp("Dec 31 23:59:59 x", "2027-01-01T00:00:01Z");
    assert_eq!(new_year, at("2026-12-31T23:59:59Z"));
    let just_before = stamp("Jan  1 00:00:30 x", "2026-12-31T23:59:59Z");
    assert_eq!(just_before, at("2027-01-01T00:00:30Z"));
    let two_days_on = stamp("Aug 22 10:00:00 x", "2026-08-20T10:00:01Z");
    assert_eq!(two_days_on, at("2025-08-22T10:00:00Z"));
    let leap_day = stamp("Feb 29 10:00:00 x", "2027-08-20T10:00:01Z");
    assert_eq!(leap_day, at("2024-02-29T10:00:00Z"));
}

#[test]
fn a_missing_year_and_an_unknown_zone_are_found_together() {
    let mut times = StreamTimes::default();
    let ctx = live("2026-12-31T23:00:00Z");
    let found = stamp_all(&mut times, &ctx, &["I0101 04:00:00.000000 1 a.cc:1] x"; 3]);
    assert_eq!(times.zone_offset_seconds(), Some(5 * 3600));
    assert_eq!(found[2], ctx.read_time + 2);
}

/// A line of a file and how it was read: how far its claim is from the read time, if it has one,
/// whether with a zone, whether live, and how long after the line before it was read.
fn any_line() -> impl Strategy<Value = (Option<i64>, bool, bool, i64)> {
    let around = prop_oneof![
        -20 * SECOND..20 * SECOND,
        -2 * HOUR..2 * HOUR,
        (-60i64..60).prop_map(|steps| steps * 900 * SECOND),
        -50 * HOUR..50 * HOUR,
    ];
    let gap = prop_oneof![Just(0), 0..SECOND, 0..60 * SECOND];
    (prop::option::of(around), any::<bool>(), prop::bool::weighted(0.7), gap)
}

proptest! {
    #[test]
    fn times_strictly_increase_but_for_large_believed_steps_back(
        lines in prop::collection::vec(any_line(), 1..60),
    ) {
        let zone = |_: i64| 3600;
        let mut times = StreamTimes::default();
        let mut read_time = at("2026-08-20T10:00:00Z");
        for (ahead, zoned, live, gap) in lines {
            read_time += gap;
            let claim = ahead.map(|ahead| read_time + ahead);
            let date = claim.map(DateTime::from_timestamp_nanos);
            let line = match date {
                Some(date) if zoned => date.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string(),
                Some(date) => date.format("%Y-%m-%d %H:%M:%S%.9f").to_string(),
                None => "plain".to_owned(),
            };
            let before = times.last();
            let time = times.stamp(line.as_bytes(), &ReadContext { read_time, live, zone: &zone });
            prop_assert_eq!(times.last(), Some(time));
            prop_assert!(time <= read_time.max(before.unwrap_or(time)) + FUTURE_MAX);
            let Some(last) = before else { continue };
            if time <= last {
                let offset = if zoned { 0 } else { times.zone_offset_seconds().unwrap_or(3600) };
                let claimed = claim.map(|claim| claim - i64::from(offset) * SECOND);
                prop_assert_eq!(Some(time), claimed, "only a claim may step back");
                prop_assert!(last - time > JITTER_MAX);
            }
        }
    }

    #[test]
    fn any_claim_at_any_time_is_taken(
        lines in prop::collection::vec("[ 0-9A-Za-z:,.+-]{0,40}", 0..8),
        read_time: i64,
        live: bool,
        offset: i32,
    ) {
        let zone = |_: i64| offset;
        let mut times = StreamTimes::default();
        for line in lines.iter().map(String::as_str).chain(["Aug 20 10:00:00", "2026-08-20 10:00:00"]) {
            let time = times.stamp(line.as_bytes(), &ReadContext { read_time, live, zone: &zone });
            prop_assert_eq!(times.last(), Some(time));
        }
    }
}
