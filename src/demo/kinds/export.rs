//! A batch job: some seconds of progress, then an end that is good or bad.

use std::io;
use std::process::ExitCode;

use crate::demo::container::Console;
use crate::demo::stamp::Stamp;

/// How many parts a job has.
pub(super) const EVENTS: u32 = 60;

pub(super) fn start(console: &mut Console) -> io::Result<()> {
    line(console, "INFO", &format!("order-export: begins, {EVENTS} parts"))
}

pub(super) fn event(console: &mut Console) -> io::Result<()> {
    let (part, rows) = (console.events + 1, console.rng.u32(200..4000));
    if console.once_in(40) {
        let text = format!("part {part}: timeout while reading, trying again");
        line(console, "WARN", &text)?;
    }
    line(console, "INFO", &format!("part {part} of {EVENTS}: {rows} rows written"))
}

pub(super) fn finish(console: &mut Console) -> io::Result<ExitCode> {
    if console.once_in(4) {
        let text =
            "order-export: failed: cannot upload to sftp://files.example.com: disk quota exceeded";
        console.err(&format!("[{}] ERROR {text}", Stamp::now().iso()))?;
        return Ok(ExitCode::FAILURE);
    }
    line(console, "INFO", "order-export: done")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn stop(console: &mut Console) -> io::Result<()> {
    let text = format!("order-export: SIGTERM received after {} parts", console.events);
    line(console, "WARN", &text)
}

fn line(console: &mut Console, level: &str, text: &str) -> io::Result<()> {
    console.out(&format!("[{}] {level} {text}", Stamp::now().iso()))
}
