//! Says at the start if this process reads other users' files and cannot know who writes them.

/// Linux' numbers of capabilities.
const DAC_OVERRIDE: u32 = 1;
const DAC_READ_SEARCH: u32 = 2;
const LEASE: u32 = 28;

/// Warns if the process may read what other users wrote, but take no leases on it.
pub(crate) fn warn_if_missing() {
    // Without /proc nothing is said: `why` tells of each file what is known.
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    if is_missing(&status) {
        tracing::warn!(
            "this process may read files of other users, but not learn who writes them: what is \
             written to a deleted file later than a minute after its last byte is lost without a number, \
             last lines without an end may come after a minute, and lines that a rotation cut are joined \
             only where that is certain (grant CAP_LEASE beside CAP_DAC_READ_SEARCH)"
        );
    }
}

fn is_missing(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    (has(DAC_OVERRIDE) || has(DAC_READ_SEARCH)) && !has(LEASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_reads_other_users_files_misses_leases() {
        for (effective, missing) in [
            ("0000000000000004", true),
            ("0000000000000002", true),
            ("0000000010000004", false),
            ("000001ffffffffff", false),
            ("0000000000000000", false),
            ("no number", false),
        ] {
            let status =
                format!("Name:\tsawlog\nCapEff:\t{effective}\nCapBnd:\t000001ffffffffff\n");
            assert_eq!(is_missing(&status), missing, "{effective}");
        }
        assert!(!is_missing(""));
    }
}
