//! A service whose debug level was left on: most of the volume, little of the worth.

use std::io;

use crate::demo::container::Console;
use crate::demo::stamp::Stamp;

const STEPS: [&str; 6] = [
    "cache miss",
    "cache hit",
    "document fetched",
    "tokens counted",
    "lock taken",
    "lock released",
];

pub(super) fn start(console: &mut Console) -> io::Result<()> {
    line(console, "info", r#"msg="indexer started" workers=4"#)
}

pub(super) fn event(console: &mut Console) -> io::Result<()> {
    let (worker, document) = (console.rng.u32(0..4), console.rng.u32(..90_000));
    if console.once_in(400) {
        let text = format!(r#"msg="queue is long" worker={worker} waiting={document}"#);
        return line(console, "warn", &text);
    }
    let step = console.pick(&STEPS);
    let micros = console.rng.u32(5..900);
    let text = format!(r#"msg="{step}" worker={worker} document={document} duration={micros}us"#);
    line(console, "debug", &text)
}

pub(super) fn stop(console: &mut Console) -> io::Result<()> {
    line(console, "info", r#"msg="SIGTERM received, shut down""#)
}

fn line(console: &mut Console, level: &str, fields: &str) -> io::Result<()> {
    console.out(&format!("ts={} level={level} {fields}", Stamp::now().iso()))
}
