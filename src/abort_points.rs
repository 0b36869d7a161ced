//! Lets a crash test abort the process at a named point. The points are compiled in only where the
//! `fail` crate's feature is on, which only the tests' build does.

use std::sync::atomic::{AtomicU32, Ordering};

/// `point=n`: abort when the point is passed for the n-th time.
const VARIABLE: &str = "SAWLOG_ABORT_AT";

/// Arms the point that the environment names.
pub(crate) fn arm() {
    if !fail::has_failpoints() {
        return;
    }
    let Ok(value) = std::env::var(VARIABLE) else { return };
    let (point, nth) = value.split_once('=').unwrap_or((&value, "1"));
    let left = AtomicU32::new(nth.parse().unwrap_or(1));
    let armed = fail::cfg_callback(point, move || {
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    });
    if let Err(err) = armed {
        eprintln!("sawlog: cannot arm {VARIABLE}={value}: {err}");
    }
}
