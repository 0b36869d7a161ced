//! logfmt lines of a worker that takes jobs from a queue.

use super::clock::Clock;
use super::names::{DEEDS, REASONS, THINGS};
use super::random::Random;
use super::{Entries, put};

/// The log of one worker.
pub(crate) struct Worker {
    queue: &'static str,
    job: u64,
}

impl Worker {
    pub(crate) fn new(queue: &'static str) -> Self {
        Self { queue, job: 0 }
    }
}

impl Entries for Worker {
    fn write(&mut self, random: &mut Random, clock: &mut Clock, out: &mut Vec<u8>) {
        clock.tick(random);
        if random.percent(34) {
            self.job = random.next();
        }
        let failed = random.percent(3);
        put!(out, "time=");
        clock.put_rfc3339(out);
        let level = if failed { "error" } else { "info" };
        put!(out, " level={level} queue={} job={:016x} ", self.queue, self.job);
        let (deed, thing) = (random.pick(&DEEDS), random.pick(&THINGS));
        if failed {
            put!(out, "msg=\"{deed} failed\" err=\"{}\"", random.pick(&REASONS));
            put!(out, " retry_in={}s\n", 1 << random.below(7));
            return;
        }
        match random.below(3) {
            0 => put!(out, "msg=\"job taken\" waiting={}", random.skewed(3_000)),
            1 => put!(out, "msg=\"{deed} {thing}\" item={}", random.skewed(800_000)),
            _ => put!(out, "msg=\"job done\" took={}ms", random.skewed(60_000)),
        }
        out.push(b'\n');
    }
}
