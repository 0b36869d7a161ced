//! A collector's state in a few numbers.

/// Numbers of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub files_open: usize,
    /// Bytes of log files read since the start.
    pub bytes_read: u64,
    /// Bytes of log files acknowledged since the start.
    pub bytes_acked: u64,
    /// Text read and not yet acknowledged.
    pub in_flight_bytes: usize,
    /// Bytes in open files not yet acknowledged; at most a second old.
    pub lag_bytes: u64,
    /// Whether all that is known was read, sent and acknowledged.
    pub at_rest: bool,
}
