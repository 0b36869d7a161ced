//! Web access lines in the combined form, with the time taken and, for some, a request id.

use super::clock::Clock;
use super::names::{DEEDS, THINGS};
use super::random::Random;
use super::{Entries, put};

const AGENTS: [&str; 12] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36",
    "shop-app/4.18.2 (android)",
    "shop-app/4.19.0 (ios)",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "kube-probe/1.29",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
];

/// Access lines.
pub(crate) struct Web;

impl Web {
    pub(crate) fn new() -> Self {
        Self
    }
}

impl Entries for Web {
    fn write(&mut self, random: &mut Random, clock: &mut Clock, out: &mut Vec<u8>) {
        clock.tick(random);
        let client = random.skewed(60_000);
        put!(out, "198.{}.{}.{} - - ", 18 + client % 2, client / 2 % 250, client / 500);
        clock.put_access(out);
        put_request(random, out);
        let status = match random.below(100) {
            0..80 => 200,
            80..86 => 304,
            86..90 => 302,
            90..95 => 404,
            95..98 => 401,
            98 => 500,
            _ => 502,
        };
        let bytes = if status == 200 { 200 + random.skewed(90_000) } else { random.below(400) };
        put!(out, " {status} {bytes} ");
        if random.percent(60) {
            put!(out, "\"https://shop.example/{}\" ", random.pick(&THINGS));
        } else {
            put!(out, "\"-\" ");
        }
        let agent = AGENTS[(client as usize * 7) % AGENTS.len()];
        let micros = 400 + random.skewed(900_000);
        put!(out, "\"{agent}\" rt={}.{:06}", micros / 1_000_000, micros % 1_000_000);
        if random.percent(40) {
            put!(out, " rid={:016x}", random.next());
        }
        out.push(b'\n');
    }
}

fn put_request(random: &mut Random, out: &mut Vec<u8>) {
    let method = match random.below(20) {
        0..15 => "GET",
        15..18 => "POST",
        18 => "PUT",
        _ => "DELETE",
    };
    put!(out, " \"{method} ");
    let thing = random.pick(&THINGS);
    match random.below(4) {
        0 => put!(out, "/static/{thing}.{:08x}.js", random.skewed(400)),
        1 => put!(out, "/api/v2/{thing}s/{}", random.skewed(2_000_000)),
        2 => put!(out, "/api/v2/{thing}s?page={}&sort={}", random.skewed(40), random.pick(&DEEDS)),
        _ => put!(out, "/{thing}/{}", random.pick(&THINGS)),
    }
    put!(out, " HTTP/1.1\"");
}
