//! The time of day in the forms in which the demo's containers write it, always in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment as a calendar and a clock show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    year: u64,
    /// From 1 on, as the day.
    month: u64,
    day: u64,
    /// Milliseconds since midnight.
    milliseconds: u64,
}

impl Stamp {
    pub(super) fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// A time before 1970 is shown as the beginning of 1970.
    fn of(time: SystemTime) -> Self {
        const DAY: u64 = 86_400_000;
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = since.as_secs() * 1000 + u64::from(since.subsec_millis());
        let (year, month, day) = civil(milliseconds / DAY);
        Self { year, month, day, milliseconds: milliseconds % DAY }
    }

    /// `2026-08-20T10:00:00.123Z`
    pub(super) fn iso(self) -> String {
        let Self { year, month, day, milliseconds } = self;
        let (clock, fraction) = (self.clock(), milliseconds % 1000);
        format!("{year:04}-{month:02}-{day:02}T{clock}.{fraction:03}Z")
    }

    /// `20/Aug/2026:10:00:00 +0000`, as access logs have it.
    pub(super) fn access(self) -> String {
        let month = MONTHS[(self.month - 1) as usize];
        format!("{:02}/{month}/{:04}:{} +0000", self.day, self.year, self.clock())
    }

    fn clock(self) -> String {
        let seconds = self.milliseconds / 1000;
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March on, so that
/// the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, of_era) = (days / ERA, days % ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn shows_known_moments() {
        for (milliseconds, iso, access) in [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z", "29/Feb/2000:00:00:00 +0000"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z", "14/Nov/2023:22:13:20 +0000"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z", "31/Dec/2026:23:59:59 +0000"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "01/Mar/2100:00:00:00 +0000"),
        ] {
            let stamp = Stamp::of(UNIX_EPOCH + Duration::from_millis(milliseconds));
            assert_eq!((stamp.iso().as_str(), stamp.access().as_str()), (iso, access));
        }
    }
}
