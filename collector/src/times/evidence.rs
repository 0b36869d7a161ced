//! Learns a stream's zone from how far its live lines' times are off the clock.

const SECOND: i64 = 1_000_000_000;

/// Every zone's offset from UTC is a multiple of this, in seconds.
const ZONE_STEP: i64 = 15 * 60;

/// The range of zones on earth, in seconds east of UTC.
const ZONES: std::ops::RangeInclusive<i64> = -12 * 3600..=14 * 3600;

/// How far from a whole number of zone steps a line may be and still speak for it, in nanoseconds.
const TOLERANCE: i64 = 60 * SECOND;

/// How many consecutive live lines must agree.
const LINES_NEEDED: u8 = 3;

/// What the latest live lines say about their zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The offset that the latest lines agree on, in seconds east of UTC.
    offset: i32,
    /// How many consecutive lines do.
    lines: u8,
}

impl Evidence {
    /// Takes a live line whose time, read with `current` as its zone, lies `ahead` nanoseconds after
    /// the clock; gives the new zone once enough lines agree on one. `agent` is the agent's zone.
    pub(super) fn weigh(&mut self, ahead: i64, current: i32, agent: i32) -> Option<i32> {
        let Some(offset) = suggestion(ahead, current, agent) else {
            *self = Self::default();
            return None;
        };
        self.lines = if offset == self.offset { self.lines.saturating_add(1) } else { 1 };
        self.offset = offset;
        if self.lines < LINES_NEEDED {
            return None;
        }
        *self = Self::default();
        Some(offset)
    }
}

/// The zone that one line speaks for, if it contradicts the current one.
fn suggestion(ahead: i64, current: i32, agent: i32) -> Option<i32> {
    if ahead.saturating_abs() <= TOLERANCE {
        return None;
    }
    let step = ZONE_STEP * SECOND;
    let steps = ahead.saturating_add(step / 2).div_euclid(step);
    let offset = i64::from(current).saturating_add(steps.saturating_mul(ZONE_STEP));
    let is_whole = ahead.saturating_sub(steps.saturating_mul(step)).saturating_abs() <= TOLERANCE;
    if steps != 0 && is_whole && ZONES.contains(&offset) {
        return i32::try_from(offset).ok();
    }
    // A late line tells nothing, but no line comes from the future: the zone that was learnt from
    // lines that were only late is given up.
    (ahead > 0 && current != agent).then_some(agent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600 * SECOND;

    fn weigh_all(lines: &[i64]) -> Option<i32> {
        let mut evidence = Evidence::default();
        lines.iter().find_map(|ahead| evidence.weigh(*ahead, 0, 0))
    }

    #[test]
    fn three_lines_that_agree_make_a_zone() {
        assert_eq!(weigh_all(&[2 * HOUR, 2 * HOUR - 50 * SECOND]), None);
        assert_eq!(weigh_all(&[2 * HOUR, 2 * HOUR - 50 * SECOND, 2 * HOUR]), Some(7200));
        assert_eq!(weigh_all(&[-HOUR / 4; 3]), Some(-900));
    }

    #[test]
    fn a_line_that_agrees_with_the_clock_starts_over() {
        assert_eq!(weigh_all(&[HOUR, HOUR, 0, HOUR, HOUR]), None);
        assert_eq!(weigh_all(&[HOUR, HOUR, 2 * HOUR, HOUR, HOUR]), None);
        assert_eq!(weigh_all(&[HOUR, HOUR, HOUR - 300 * SECOND, HOUR]), None);
    }

    #[test]
    fn what_is_no_zone_is_none() {
        assert_eq!(weigh_all(&[15 * HOUR; 9]), None);
        assert_eq!(weigh_all(&[-13 * HOUR; 9]), None);
        assert_eq!(weigh_all(&[7 * 60 * SECOND; 9]), None);
        assert_eq!(weigh_all(&[61 * SECOND; 9]), None);
    }

    #[test]
    fn lines_from_the_future_end_a_zone() {
        let mut evidence = Evidence::default();
        let mut weigh = || evidence.weigh(7 * 60 * SECOND, -900, 3600);
        assert_eq!((weigh(), weigh(), weigh()), (None, None, Some(3600)));
    }

    proptest! {
        #[test]
        fn any_numbers_give_a_zone_on_earth(
            lines in prop::collection::vec(any::<i64>(), 0..9),
            current in -43_200i32..=50_400,
        ) {
            let mut evidence = Evidence::default();
            for ahead in lines.into_iter().chain([i64::MIN, i64::MAX]) {
                if let Some(offset) = evidence.weigh(ahead, current, 0) {
                    prop_assert!(ZONES.contains(&i64::from(offset)));
                }
            }
        }
    }
}
