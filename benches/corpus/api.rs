//! JSON lines of an API: a request writes one to six of them under one trace id, with a span id each.

use super::clock::Clock;
use super::names::{DEEDS, HOSTS, REASONS, THINGS};
use super::random::Random;
use super::{Entries, put};

/// The JSON of one service.
pub(crate) struct Api {
    service: &'static str,
    trace: u128,
    lines_left: u64,
}

impl Api {
    pub(crate) fn new(service: &'static str) -> Self {
        Self { service, trace: 0, lines_left: 0 }
    }
}

impl Entries for Api {
    fn write(&mut self, random: &mut Random, clock: &mut Clock, out: &mut Vec<u8>) {
        clock.tick(random);
        if self.lines_left == 0 {
            self.lines_left = 1 + random.below(6);
            self.trace = u128::from(random.next()) << 64 | u128::from(random.next());
        }
        self.lines_left -= 1;
        let level = match random.below(100) {
            0..20 => "debug",
            20..93 => "info",
            93..98 => "warn",
            _ => "error",
        };
        put!(out, "{{\"ts\":\"");
        clock.put_rfc3339(out);
        put!(out, "\",\"level\":\"{level}\",\"service\":\"{}\"", self.service);
        if random.percent(80) {
            let (trace, span) = (self.trace, random.next());
            put!(out, ",\"trace_id\":\"{trace:032x}\",\"span_id\":\"{span:016x}\"");
        }
        put_message(random, level, out);
        out.extend_from_slice(b"}\n");
    }
}

fn put_message(random: &mut Random, level: &str, out: &mut Vec<u8>) {
    let (deed, thing) = (random.pick(&DEEDS), random.pick(&THINGS));
    let id = random.skewed(5_000_000);
    let micros = 80 + random.skewed(400_000);
    match level {
        "error" | "warn" => {
            let (reason, host) = (random.pick(&REASONS), random.pick(&HOSTS));
            put!(out, ",\"msg\":\"{deed} {thing} failed: {reason}\",\"peer\":\"{host}:{}\"", 5432);
            put!(out, ",\"attempt\":{},\"{thing}_id\":{id}", 1 + random.below(4));
        }
        "debug" => {
            let host = random.pick(&HOSTS);
            put!(out, ",\"msg\":\"calling {host}\",\"op\":\"{deed}_{thing}\",\"bytes\":{id}");
        }
        _ => {
            put!(out, ",\"msg\":\"{deed} {thing} done\",\"{thing}_id\":{id},\"status\":200");
            put!(out, ",\"duration_ms\":{}.{:03}", micros / 1000, micros % 1000);
        }
    }
}
