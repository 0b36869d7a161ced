//! Lines of a Java service: time, level, thread, class, message; an exception's stack trace at times.

use super::clock::Clock;
use super::names::{self, DEEDS, HOSTS, REASONS, THINGS};
use super::random::Random;
use super::{Entries, put};

/// Lines between two stack traces, on average.
const TRACE_EVERY: u64 = 400;

/// The log of one service.
pub(crate) struct Java {
    service: &'static str,
}

impl Java {
    pub(crate) fn new(service: &'static str) -> Self {
        Self { service }
    }
}

impl Entries for Java {
    fn write(&mut self, random: &mut Random, clock: &mut Clock, out: &mut Vec<u8>) {
        clock.tick(random);
        let trace = random.below(TRACE_EVERY) == 0;
        let level = match random.below(100) {
            _ if trace => "ERROR",
            0..12 => "DEBUG",
            12..94 => "INFO ",
            94..99 => "WARN ",
            _ => "ERROR",
        };
        clock.put_log4j(out);
        put_thread(random, out, level);
        put!(out, "example.{}.{} - ", self.service, names::class(random));
        if trace {
            put!(out, "cannot {} {}\n", random.pick(&DEEDS), random.pick(&THINGS));
            put_trace(random, self.service, out);
        } else {
            put_message(random, out);
        }
    }
}

fn put_thread(random: &mut Random, out: &mut Vec<u8>, level: &str) {
    match random.below(5) {
        0 => put!(out, " {level} [scheduler-{}] ", 1 + random.below(4)),
        1 => put!(out, " {level} [consumer-{}] ", random.below(12)),
        _ => put!(out, " {level} [http-exec-{}] ", 1 + random.skewed(64)),
    }
}

fn put_message(random: &mut Random, out: &mut Vec<u8>) {
    let (deed, thing) = (random.pick(&DEEDS), random.pick(&THINGS));
    let id = random.skewed(9_000_000);
    match random.below(8) {
        0 => put!(out, "{deed} {thing} {id} took {} ms", random.skewed(3_000)),
        1 => put!(out, "{thing} {id}: state NEW -> {}", deed.to_ascii_uppercase()),
        2 => put!(out, "received {} {thing}s from {}", random.skewed(500), random.pick(&HOSTS)),
        3 => put!(out, "skipping {thing} {id}: {}", random.pick(&REASONS)),
        4 => put!(out, "cache hit={} miss={} for {thing}", random.skewed(90_000), id % 1000),
        5 => put!(out, "{deed} {thing} correlation={:016x} user={id}", random.next()),
        6 => put!(out, "pool active={} idle={} waiting=0", random.below(40), random.below(20)),
        _ => put!(out, "committed offset {} of partition {}", 70_000_000 + id, id % 24),
    }
    out.push(b'\n');
}

fn put_trace(random: &mut Random, service: &str, out: &mut Vec<u8>) {
    let thing = names::capital(random.pick(&THINGS));
    put!(out, "example.{service}.{thing}Exception: {}\n", random.pick(&REASONS));
    let frames = 6 + random.below(18);
    put_frames(random, service, frames, out);
    if random.percent(50) {
        put!(out, "Caused by: java.io.IOException: {}\n", random.pick(&REASONS));
        put_frames(random, service, 3, out);
        put!(out, "\t... {} more\n", 10 + random.below(30));
    }
}

fn put_frames(random: &mut Random, service: &str, frames: u64, out: &mut Vec<u8>) {
    for _ in 0..frames {
        let (class, method) = (names::class(random), names::method(random));
        let line = 20 + random.below(400);
        put!(out, "\tat example.{service}.{class}.{method}({class}.java:{line})\n");
    }
}
