//! Gives each line of a stream its time, so that times agree with the order of the file.
//!
//! A line's time is the one parsed from it when plausible, else that of the entry before it, else
//! when it was read. No clock is read here: the caller says when a line was read.

mod evidence;
#[cfg(test)]
mod tests;
mod zone;

use crate::parse::{self, Civil, Timestamp};
use evidence::Evidence;
pub use zone::agent_zone;

const SECOND: i64 = 1_000_000_000;

/// How far in the future of the read time a parsed time may lie, in nanoseconds.
pub const FUTURE_MAX: i64 = 60 * SECOND;

/// How far back in its stream a time may step and still be taken for jitter, in nanoseconds.
pub const JITTER_MAX: i64 = 10 * SECOND;

/// The age from which a live line's own time is not believed, in nanoseconds.
pub const LIVE_AGE_MAX: i64 = 24 * 3600 * SECOND;

/// How long after a line with a time a live line without one is taken to belong to it, in
/// nanoseconds: the parts of a stack trace arrive together, while what a silent hour separates does
/// not.
pub const INHERIT_MAX: i64 = 10 * SECOND;

/// How far after the read time a time without a year may lie: a zone is at most a day wide.
const YEARLESS_FUTURE_MAX: i64 = 24 * 3600 * SECOND;

/// When and how the lines at hand were read.
pub struct ReadContext<'a> {
    /// Nanoseconds since the epoch.
    pub read_time: i64,
    /// Whether the lines were written just now, as opposed to a backlog that is being caught up.
    pub live: bool,
    /// The agent's zone: seconds east of UTC at a civil time, given as seconds as if it were UTC.
    pub zone: &'a dyn Fn(i64) -> i32,
}

/// What one stream needs to remember to give its next line a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamTimes {
    last: Option<i64>,
    /// Where the entry before has a time of its own: when it was read, as far as known.
    timed_at: Option<i64>,
    zone: Option<i32>,
    evidence: Evidence,
}

impl StreamTimes {
    /// The state as a checkpoint kept it: what [`Self::last`] and [`Self::zone_offset_seconds`] gave.
    pub fn restore(last: Option<i64>, zone: Option<i32>) -> Self {
        Self { last, timed_at: last, zone, evidence: Evidence::default() }
    }

    /// The time given last, in nanoseconds since the epoch.
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    /// The stream's own zone in seconds east of UTC; `None` while it is the agent's.
    pub fn zone_offset_seconds(&self) -> Option<i32> {
        self.zone
    }

    /// The time of the stream's next line, in nanoseconds since the epoch.
    pub fn stamp(&mut self, line: &[u8], ctx: &ReadContext<'_>) -> i64 {
        self.stamp_parsed(parse::timestamp(line), ctx)
    }

    /// As [`Self::stamp`], for a line whose claim is already parsed.
    pub fn stamp_parsed(&mut self, claim: Option<Timestamp>, ctx: &ReadContext<'_>) -> i64 {
        let plausible = claim
            .and_then(|claim| self.instant(claim, ctx))
            .filter(|time| *time <= ctx.read_time.saturating_add(FUTURE_MAX));
        let time = match plausible {
            Some(time) if ctx.live && time < ctx.read_time.saturating_sub(LIVE_AGE_MAX) => {
                self.read(ctx)
            }
            Some(time) => {
                self.timed_at = Some(ctx.read_time);
                self.follow(time)
            }
            None => self.inherit(ctx),
        };
        self.last = Some(time);
        time
    }

    /// The time of a line that continues the entry before it: just behind that, whenever it was read.
    pub(crate) fn stamp_continued(&mut self, ctx: &ReadContext<'_>) -> i64 {
        let time = self.last.map_or(ctx.read_time, |last| last.saturating_add(1));
        self.last = Some(time);
        time
    }

    /// A believed time, moved just behind the one before it if it steps back by no more than jitter.
    fn follow(&self, time: i64) -> i64 {
        match self.last {
            Some(last) if time <= last && last.saturating_sub(time) <= JITTER_MAX => {
                last.saturating_add(1)
            }
            _ => time,
        }
    }

    /// The time of a line that claims none: that of the entry before it, if that one has a time of
    /// its own and the line came with it. Lines of a stream without any times would else all keep
    /// the time at which the first was read.
    fn inherit(&mut self, ctx: &ReadContext<'_>) -> i64 {
        let came_with = |at: i64| !ctx.live || ctx.read_time.saturating_sub(at) <= INHERIT_MAX;
        match (self.last, self.timed_at) {
            (Some(last), Some(at)) if came_with(at) => last.saturating_add(1),
            _ => self.read(ctx),
        }
    }

    /// The read time, or just behind the entry before if that claimed to be later. A step back that
    /// no claim can explain means that the agent's clock was set back, and is believed.
    fn read(&mut self, ctx: &ReadContext<'_>) -> i64 {
        self.timed_at = None;
        let explained = |last: &i64| last.saturating_sub(ctx.read_time) <= FUTURE_MAX + JITTER_MAX;
        match self.last.filter(explained) {
            Some(last) => ctx.read_time.max(last.saturating_add(1)),
            None => ctx.read_time,
        }
    }

    /// Where a claim lies on the scale of time; `None` if it has no room there.
    fn instant(&mut self, claim: Timestamp, ctx: &ReadContext<'_>) -> Option<i64> {
        let civil = match claim {
            Timestamp::Instant(time) => return Some(time),
            Timestamp::Civil(civil) => civil,
        };
        let zone = self.zone.unwrap_or_else(|| (ctx.zone)(ctx.read_time.div_euclid(SECOND)));
        let local = local_nanos(&civil, ctx.read_time, zone)?;
        let agent = (ctx.zone)(local.div_euclid(SECOND));
        if ctx.live {
            let offset = self.zone.unwrap_or(agent);
            let ahead = to_utc(local, offset)?.saturating_sub(ctx.read_time);
            if let Some(offset) = self.evidence.weigh(ahead, offset, agent) {
                self.zone = (offset != agent).then_some(offset);
            }
        }
        to_utc(local, self.zone.unwrap_or(agent))
    }
}

fn to_utc(local: i64, offset: i32) -> Option<i64> {
    local.checked_sub(i64::from(offset) * SECOND)
}

/// A civil time in nanoseconds as if it were UTC. Without a year: in the latest year in which it is
/// not more than a day after the read time, which is also the closest.
fn local_nanos(civil: &Civil, read_time: i64, zone: i32) -> Option<i64> {
    if let Some(year) = civil.year {
        return civil.instant(year, 0);
    }
    let local_read = read_time.saturating_add(i64::from(zone) * SECOND);
    let latest = local_read.saturating_add(YEARLESS_FUTURE_MAX);
    /// From one leap day to the next it is at most eight years.
    const YEARS: i32 = 10;
    const MEAN_YEAR: i64 = 31_556_952 * SECOND;
    let last_year = 1970 + latest.div_euclid(MEAN_YEAR) as i32 + 1;
    (last_year - YEARS..=last_year)
        .rev()
        .find_map(|year| civil.instant(year, 0).filter(|time| *time <= latest))
}
