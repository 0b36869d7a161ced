//! The command line as it is typed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// A configuration that cannot be used: EX_CONFIG of sysexits.
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Container logs for Mesos: collected without a lost line, searchable within a second.
#[derive(Parser, Debug)]
#[command(name = "sawlog", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Collect, store and serve on this machine, in one process
    Run(RunArgs),
    /// Search the collected logs
    Search(sawlog_query::cli::search::SearchArgs),
}

/// What is given here wins over the configuration file.
#[derive(Args, Debug, Default)]
pub(crate) struct RunArgs {
    /// A TOML file with the same settings: data, listen, mesos_work_dir, paths, seal_interval,
    /// retention, retention_bytes
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where everything is kept [default: ./sawlog-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:7411]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Collect the containers of the Mesos agent with this --work_dir
    #[arg(long, value_name = "DIR")]
    pub(crate) mesos_work_dir: Option<PathBuf>,
    /// Collect the files that match, and their rotated siblings; may be given several times
    #[arg(long = "path", value_name = "GLOB")]
    pub(crate) paths: Vec<String>,
    /// How long lines stay only in memory and transport before they become blocks [default: 10m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) seal_interval: Option<Duration>,
    /// Drop lines this long after they were stored, such as 30d [default: keep them]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) retention: Option<Duration>,
    /// Drop the oldest lines while the store takes more on disk, such as 100GB or 50GiB [default: no
    /// limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) retention_bytes: Option<u64>,
    /// Listen on an address that others reach, though nobody is asked who they are
    #[arg(long)]
    pub(crate) no_auth_i_know: bool,
}

/// A duration such as `2s`, `500ms` or `10m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match sawlog_query::duration(text) {
        Some(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos.unsigned_abs())),
        _ => Err(format!("'{text}' is no duration: write 500ms, 2s or 10m")),
    }
}

/// A number of bytes such as `500MB` (thousands) or `50GiB` (1024s); plain digits are bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (prefix, base) = match unit.strip_suffix("iB") {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024u64),
        _ => (unit.strip_suffix('B').unwrap_or(unit), 1000),
    };
    let power = UNITS.iter().position(|known| *known == prefix).and_then(|n| u32::try_from(n).ok());
    let bytes = power.and_then(|power| digits.parse::<u64>().ok()?.checked_mul(base.pow(power)));
    match bytes {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err(format!("'{text}' is no size: write 500MB, 100GB or 50GiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units() {
        assert_eq!(size("7"), Ok(7));
        assert_eq!(size("7B"), Ok(7));
        assert_eq!(size("500MB"), Ok(500_000_000));
        assert_eq!(size("50GiB"), Ok(50 << 30));
        assert_eq!(size("3K"), Ok(3000));
        for wrong in ["", "0", "GB", "1.5GB", "iB", "1iB", "5XB", "-1", "99999999TB", "5 GB", "5gb"]
        {
            assert!(size(wrong).is_err_and(|text| text.contains("50GiB")), "{wrong}");
        }
    }

    #[test]
    fn a_retention_may_be_days() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
    }
}
