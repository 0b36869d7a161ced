//! A calendar date and time of day without a zone, and its place on the scale of seconds.

/// A date and a time of day as a line writes them, without a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// `None` where the form has no year (syslog, glog).
    pub year: Option<i32>,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 0 to 59; a leap second is held as 59.999999999.
    pub second: u8,
    pub nanos: u32,
}

/// A time of day as it was written, not yet checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) nanos: u32,
}

/// The years that nanoseconds since the epoch can tell as a signed 64-bit number, from the epoch on.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2261;

const SECOND: i64 = 1_000_000_000;

impl Civil {
    /// `None` unless such a date (in a year from 1970 to 2261) and time of day exist.
    #[inline]
    pub(super) fn checked(year: Option<i32>, month: u32, day: u32, clock: Clock) -> Option<Self> {
        let Clock { hour, minute, mut second, mut nanos } = clock;
        // Without a year 29 February may exist; whoever chooses the year checks again.
        let days = month_days(year.unwrap_or(2000), month)?;
        let in_range = year.is_none_or(|year| YEARS.contains(&year))
            && (1..=days).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && nanos < SECOND as u32;
        if !in_range {
            return None;
        }
        if second == 60 {
            (second, nanos) = (59, 999_999_999);
        }
        Some(Self {
            year,
            month: month as u8,
            day: day as u8,
            hour: hour as u8,
            minute: minute as u8,
            second: second as u8,
            nanos,
        })
    }

    /// Seconds since the epoch if this were UTC in the given year; `None` if the year has no such
    /// day or lies outside 1 to 9999.
    #[inline]
    pub fn seconds_as_utc(&self, year: i32) -> Option<i64> {
        let (month, day) = (u32::from(self.month), u32::from(self.day));
        if !(1..=9999).contains(&year) || !(1..=month_days(year, month)?).contains(&day) {
            return None;
        }
        let days = days_before_year(year) + days_before_month(year, month) + day as i32 - 1;
        let clock =
            i32::from(self.hour) * 3600 + i32::from(self.minute) * 60 + i32::from(self.second);
        Some(i64::from(days) * 86_400 + i64::from(clock))
    }

    /// Nanoseconds since the epoch in a zone `offset` seconds east of UTC; `None` if the year has no
    /// such day or the result no room.
    #[inline]
    pub fn instant(&self, year: i32, offset: i32) -> Option<i64> {
        let seconds = self.seconds_as_utc(year)? - i64::from(offset);
        seconds.checked_mul(SECOND)?.checked_add(i64::from(self.nanos))
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// `None` unless the month is 1 to 12.
#[inline]
fn month_days(year: i32, month: u32) -> Option<u32> {
    match month {
        2 => Some(28 + u32::from(is_leap(year))),
        // Long and short months alternate, and once more from August on.
        1..=12 => Some(30 + ((month + month / 8) & 1)),
        _ => None,
    }
}

/// Days from 1 January 1970 to 1 January of the year, which is 1 to 9999.
#[inline]
fn days_before_year(year: i32) -> i32 {
    const LEAPS_BEFORE_1970: i32 = 477;
    let complete = (year - 1) as u32;
    let leaps = complete / 4 - complete / 100 + complete / 400;
    (year - 1970) * 365 + leaps as i32 - LEAPS_BEFORE_1970
}

/// Days from 1 January to the first of the month, which is 1 to 12.
#[inline]
fn days_before_month(year: i32, month: u32) -> i32 {
    const BEFORE: [i32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    BEFORE[(month as usize - 1) % 12] + i32::from(month > 2 && is_leap(year))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, Timelike};
    use proptest::prelude::*;

    use super::*;

    fn clock(hour: u32, minute: u32, second: u32) -> Clock {
        Clock { hour, minute, second, nanos: 0 }
    }

    #[test]
    fn refuses_what_no_calendar_has() {
        let noon = clock(12, 0, 0);
        for (year, month, day) in
            [(2026, 2, 29), (1900 + 200, 2, 29), (2026, 4, 31), (2026, 13, 1), (2026, 0, 1)]
        {
            assert_eq!(Civil::checked(Some(year), month, day, noon), None, "{year}-{month}-{day}");
        }
        assert_eq!(Civil::checked(Some(2026), 1, 0, noon), None);
        assert_eq!(Civil::checked(Some(1969), 12, 31, noon), None);
        assert_eq!(Civil::checked(Some(2262), 1, 1, noon), None);
        for bad in [clock(24, 0, 0), clock(0, 60, 0), clock(0, 0, 61)] {
            assert_eq!(Civil::checked(Some(2026), 1, 1, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn leap_days_exist_in_leap_years() {
        let noon = clock(12, 0, 0);
        assert!(Civil::checked(Some(2024), 2, 29, noon).is_some());
        assert!(Civil::checked(Some(2000), 2, 29, noon).is_some());
        let no_year = Civil::checked(None, 2, 29, noon).expect("exists in some years");
        assert_eq!(no_year.seconds_as_utc(2026), None);
        assert_eq!(no_year.seconds_as_utc(2024), Some(1_709_208_000));
    }

    #[test]
    fn a_leap_second_is_the_last_nanosecond_before_it() {
        let civil = Civil::checked(Some(2016), 12, 31, clock(23, 59, 60)).expect("accepted");
        assert_eq!((civil.second, civil.nanos), (59, 999_999_999));
    }

    #[test]
    fn zones_east_are_earlier() {
        let civil = Civil::checked(Some(1970), 1, 1, clock(2, 0, 0)).expect("valid");
        assert_eq!(civil.instant(1970, 7200), Some(0));
        assert_eq!(civil.instant(1970, -3600), Some(3 * 3600 * SECOND));
    }

    proptest! {
        #[test]
        fn agrees_with_chrono(seconds in 0i64..9_214_646_400, nanos in 0u32..1_000_000_000) {
            let date = DateTime::from_timestamp(seconds, nanos).expect("in range").naive_utc();
            let clock = Clock {
                hour: date.hour(),
                minute: date.minute(),
                second: date.second(),
                nanos: date.nanosecond(),
            };
            let civil = Civil::checked(Some(date.year()), date.month(), date.day(), clock);
            let instant = civil.and_then(|civil| civil.instant(date.year(), 0));
            prop_assert_eq!(instant, Some(seconds * SECOND + i64::from(nanos)));
        }
    }
}
