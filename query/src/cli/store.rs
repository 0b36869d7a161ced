//! `sawlog store stats`: how much is stored, and what it takes on disk.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

use super::client::{Answer, CliError, Client, ServerArgs, exit_code};

/// Look at the store.
#[derive(Args, Debug)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand, Debug)]
enum StoreCommand {
    /// Show how much is stored, and what it takes on disk
    Stats(StatsArgs),
}

#[derive(Args, Debug)]
struct StatsArgs {
    /// default: a table; json: the server's answer
    #[arg(short, long, default_value = "default", value_enum)]
    output: Output,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Default,
    Json,
}

/// The server's answer. Servers of other versions say more or less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoreStats {
    lines: u64,
    streams: u64,
    raw_bytes: u64,
    /// Of the raw bytes, those that are in memory only (and in the transport). Not the answer's
    /// `hot_bytes`, which is the memory itself and more than the text.
    hot_text_bytes: u64,
    /// By what they are.
    disk_bytes: BTreeMap<String, u64>,
    slices: Vec<SliceStats>,
    retention: Retention,
    expired_slices: u64,
    expired_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SliceStats {
    id: u64,
    blocks: u64,
    raw_bytes: u64,
    disk_bytes: u64,
    min_time: Option<String>,
    max_time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Retention {
    age_seconds: Option<u64>,
    bytes: Option<u64>,
}

/// The transport's log: a queue, no part of the store.
const LOG: &str = "log";

/// Runs the subcommand.
pub fn run(args: &StoreArgs) -> ExitCode {
    let StoreCommand::Stats(args) = &args.command;
    exit_code("store stats", show(args, &mut io::stdout().lock()))
}

fn show(args: &StatsArgs, out: &mut dyn Write) -> Result<Answer, CliError> {
    let body = Client::new(&args.server, "store stats").bytes("/api/v1/store/stats", &[])?;
    let text = match args.output {
        Output::Json => format!("{}\n", String::from_utf8_lossy(&body).trim_end()),
        Output::Default => table(&serde_json::from_slice(&body)?),
    };
    out.write_all(text.as_bytes()).map_err(CliError::Write)?;
    Ok(Answer { found: 1, partial: false })
}

fn table(stats: &StoreStats) -> String {
    let of_store = stats.disk_bytes.iter().filter(|(name, _)| *name != LOG);
    let disk: u64 = of_store.map(|(_, bytes)| bytes).sum();
    let parts: Vec<_> =
        stats.disk_bytes.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
    let sealed: u64 = stats.slices.iter().map(|slice| slice.raw_bytes).sum();
    let mut text = format!(
        "lines    {} of {}\nraw      {}, {} of it not sealed yet\ndisk     {} ({} of what is \
         sealed)\n",
        stats.lines,
        counted(stats.streams, "stream"),
        size(stats.raw_bytes),
        size(stats.hot_text_bytes),
        size(disk),
        percent(disk, sealed),
    );
    if !parts.is_empty() {
        text += &format!("         {}\n", parts.join(", "));
    }
    text += &format!("kept     {}\n", retention(&stats.retention));
    if stats.expired_slices > 0 {
        let bytes = size(stats.expired_bytes);
        let slices = counted(stats.expired_slices, "slice");
        text += &format!("expired  {slices}, {bytes}\n");
    }
    text + &slices(&stats.slices)
}

fn retention(retention: &Retention) -> String {
    let age = retention.age_seconds.map(span);
    let bytes = retention.bytes.map(|bytes| format!("at most {}", size(bytes)));
    let limits: Vec<String> = age.into_iter().chain(bytes).collect();
    if limits.is_empty() { "without a limit".to_owned() } else { limits.join(", ") }
}

/// Seconds as a flag would say them: `30d`, `1h30m`.
fn span(seconds: u64) -> String {
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts = units.into_iter().filter(|(n, _)| *n > 0);
    let text: String = parts.map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `1 slice`, `2 slices`.
fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn slices(slices: &[SliceStats]) -> String {
    if slices.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{:>6} {:>9} {:>11} {:>11} {:>8}  {:<20}  {}\n",
        "slice", "blocks", "raw", "disk", "of raw", "from", "to"
    );
    for slice in slices {
        let time = |time: &Option<String>| {
            time.as_deref().map_or("-".to_owned(), |t| format!("{}Z", t.get(..19).unwrap_or(t)))
        };
        text += &format!(
            "{:>6} {:>9} {:>11} {:>11} {:>8}  {:<20}  {}\n",
            slice.id,
            slice.blocks,
            size(slice.raw_bytes),
            size(slice.disk_bytes),
            percent(slice.disk_bytes, slice.raw_bytes),
            time(&slice.min_time),
            time(&slice.max_time),
        );
    }
    text
}

/// Bytes in binary units, as `1.5 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.1} %", part as f64 * 100.0 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_answer_says() {
        let json = r#"{"lines":12,"streams":2,"raw_bytes":2097152,"hot_bytes":9999999,
            "hot_text_bytes":1048576,"new":[],
            "disk_bytes":{"blocks":131072,"index":26214,"log":9999999},
            "slices":[{"id":3,"blocks":7,"raw_bytes":1048576,"disk_bytes":157286,
                "min_time":"2026-08-20T10:00:00.5Z","max_time":null,"created_at":"x"}],
            "retention":{"age_seconds":604800,"bytes":null},"expired_slices":1,"expired_bytes":5}"#;
        let text = table(&serde_json::from_str(json).expect("an answer"));
        let expected = "\
lines    12 of 2 streams
raw      2.0 MiB, 1.0 MiB of it not sealed yet
disk     153.6 KiB (15.0 % of what is sealed)
         blocks 128.0 KiB, index 25.6 KiB, log 9.5 MiB
kept     7d
expired  1 slice, 5 B

 slice    blocks         raw        disk   of raw  from                  to
     3         7     1.0 MiB   153.6 KiB   15.0 %  2026-08-20T10:00:00Z  -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_missing_is_tolerated() {
        let text = table(&serde_json::from_str("{}").expect("an answer"));
        assert!(text.contains("lines    0") && text.contains("without a limit"), "{text}");
    }

    #[test]
    fn spans_and_counts_read_as_people_write_them() {
        let spans = [5400, 604_800, 90, 0, 90_061].map(span);
        assert_eq!(spans, ["1h30m", "7d", "1m30s", "0s", "1d1h1m1s"]);
        assert_eq!([counted(1, "stream"), counted(2, "slice")], ["1 stream", "2 slices"]);
    }

    #[test]
    fn sizes_have_the_next_unit_in_time() {
        assert_eq!([size(0), size(1023), size(1024)], ["0 B", "1023 B", "1.0 KiB"]);
        assert_eq!(size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16384.0 PiB");
    }
}
