//! The agent's own zone, from the system's time zone files.

use std::cell::Cell;

use chrono::{DateTime, Local, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};

/// Zones change their offset at whole quarters of an hour, so within one it is constant.
const QUARTER: i64 = 15 * 60;

/// How many quarters are remembered: enough for streams that are caught up beside live ones.
const REMEMBERED: usize = 16;

/// The agent's offset in seconds east of UTC at a civil time (seconds as if it were UTC). An hour
/// that occurs twice is taken for its first occurrence; one that does not occur keeps the offset
/// before it. Looks a quarter of an hour up once and remembers the latest few.
pub fn agent_zone() -> impl Fn(i64) -> i32 {
    cached(|civil| local_offset(&Local, civil))
}

fn cached(offset: impl Fn(i64) -> i32) -> impl Fn(i64) -> i32 {
    let known = [const { Cell::new(None::<(i64, i32)>) }; REMEMBERED];
    move |civil| {
        let quarter = civil.div_euclid(QUARTER);
        let place = &known[quarter.rem_euclid(REMEMBERED as i64) as usize];
        if let Some((at, offset)) = place.get()
            && at == quarter
        {
            return offset;
        }
        let offset = offset(quarter.saturating_mul(QUARTER));
        place.set(Some((quarter, offset)));
        offset
    }
}

/// 0 where the calendar has no such time.
fn local_offset(zone: &impl TimeZone, civil: i64) -> i32 {
    let Some(date) = DateTime::from_timestamp(civil, 0) else { return 0 };
    let offset_at = |date: &NaiveDateTime| match zone.offset_from_local_datetime(date) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => {
            Some(offset.fix().local_minus_utc())
        }
        LocalResult::None => None,
    };
    let date = date.naive_utc();
    // The widest gap on record is a day (an island that changed sides of the date line).
    [0, 1, 24]
        .into_iter()
        .filter_map(|hours| date.checked_sub_signed(TimeDelta::hours(hours)))
        .find_map(|date| offset_at(&date))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, NaiveDate};

    use super::*;

    /// One hour east until civil 3600, two hours from civil 7200 on, a gap between; back to one hour
    /// at civil 36000, so that 32400..36000 occurs twice.
    #[derive(Clone)]
    struct Changing;

    impl TimeZone for Changing {
        type Offset = FixedOffset;

        fn from_offset(_: &FixedOffset) -> Self {
            Self
        }

        fn offset_from_local_date(&self, _: &NaiveDate) -> LocalResult<FixedOffset> {
            LocalResult::None
        }

        fn offset_from_local_datetime(&self, date: &NaiveDateTime) -> LocalResult<FixedOffset> {
            let east = |hours: i32| FixedOffset::east_opt(hours * 3600).expect("valid");
            match date.and_utc().timestamp() {
                ..3600 | 36_000.. => LocalResult::Single(east(1)),
                3600..7200 => LocalResult::None,
                7200..32_400 => LocalResult::Single(east(2)),
                32_400..36_000 => LocalResult::Ambiguous(east(2), east(1)),
            }
        }

        fn offset_from_utc_date(&self, _: &NaiveDate) -> FixedOffset {
            FixedOffset::east_opt(0).expect("valid")
        }

        fn offset_from_utc_datetime(&self, _: &NaiveDateTime) -> FixedOffset {
            FixedOffset::east_opt(0).expect("valid")
        }
    }

    #[test]
    fn gaps_keep_the_offset_before_and_repeated_hours_take_the_first() {
        let offset = |civil| local_offset(&Changing, civil);
        assert_eq!(offset(3599), 3600);
        assert_eq!(offset(3600), 3600);
        assert_eq!(offset(7199), 3600);
        assert_eq!(offset(7200), 7200);
        assert_eq!(offset(35_999), 7200);
        assert_eq!(offset(36_000), 3600);
        assert_eq!(offset(i64::MAX), 0);
    }

    #[test]
    fn a_quarter_is_looked_up_once() {
        let lookups = Cell::new(0);
        let zone = cached(|civil| {
            lookups.set(lookups.get() + 1);
            (civil / QUARTER) as i32
        });
        for civil in [900, 901, 1799, 900] {
            assert_eq!(zone(civil), 1);
        }
        assert_eq!(lookups.get(), 1);
        let same_place = 900 + QUARTER * REMEMBERED as i64;
        assert_eq!(zone(same_place), 1 + REMEMBERED as i32);
        assert_eq!(zone(900), 1);
        assert_eq!(zone(-1), -1, "before the epoch");
        assert_eq!(lookups.get(), 4);
    }

    #[test]
    fn the_agents_zone_agrees_with_chrono() {
        let zone = agent_zone();
        for civil in [0, 1_700_000_000, 1_800_000_000] {
            assert_eq!(zone(civil), local_offset(&Local, civil));
        }
        zone(i64::MIN);
        zone(i64::MAX);
    }
}
