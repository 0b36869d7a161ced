//! How many bytes a second each application may hand on: what is beyond waits in its files, or is
//! declared dropped where the operator wants that.

mod bucket;
mod rules;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sawlog_transport::{Labels, StreamId};

use crate::place::Source;
use bucket::Bucket;
pub(crate) use rules::Rules;
pub use rules::{OnLimit, RateRule};

/// The applications that are limited, and the streams that wait until theirs may go on.
pub(crate) struct Rates {
    rules: Rules,
    /// By application.
    numbers: HashMap<Vec<u8>, usize>,
    limited: Vec<Limited>,
    /// The streams that were asked about.
    streams: HashMap<StreamId, Asked>,
    /// Streams that wait.
    parked: HashSet<StreamId>,
    /// When an application may go on (monotonic).
    timers: BinaryHeap<Reverse<(Duration, usize)>>,
}

/// A stream that was asked about.
struct Asked {
    /// Its labels then: who else it belongs to may become known later.
    labels: Arc<Labels>,
    /// Its application; `None` if nothing limits that.
    number: Option<usize>,
}

/// One application.
struct Limited {
    bucket: Bucket,
    on_limit: OnLimit,
    /// Its streams that wait, the longest waiting first.
    waiting: VecDeque<StreamId>,
    /// Whether a timer runs for it.
    is_timed: bool,
}

/// What a stream may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Read.
    Go,
    /// Read, and drop what is read.
    Drop,
    /// Wait: [`Rates::due`] tells when.
    Wait,
}

impl Rates {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            numbers: HashMap::new(),
            limited: Vec::new(),
            streams: HashMap::new(),
            parked: HashSet::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Streams that wait because their application has had its share.
    pub(crate) fn throttled(&self) -> usize {
        self.parked.len()
    }

    /// Whether a stream may read now.
    pub(crate) fn ask(&mut self, source: &Source, now: Duration) -> Leave {
        let Some(number) = self.number(source, now) else { return Leave::Go };
        let limited = &mut self.limited[number];
        if limited.bucket.has_some(now) {
            return Leave::Go;
        }
        if limited.on_limit == OnLimit::Drop {
            return Leave::Drop;
        }
        if self.parked.insert(source.id) {
            limited.waiting.push_back(source.id);
        }
        self.time(number, now);
        Leave::Wait
    }

    /// Accounts for bytes that a stream handed on; what was dropped counts for nothing.
    pub(crate) fn spend(&mut self, source: &Source, bytes: u64, now: Duration) {
        if let Some(number) = self.number(source, now) {
            self.limited[number].bucket.take(bytes, now);
        }
    }

    /// The streams that may go on: those waiting longest, one of each application at a time, lest all of them wake to find
    /// that the first has taken everything.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<StreamId> {
        let mut due = Vec::new();
        while let Some(Reverse((_, number))) =
            self.timers.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.timers.pop();
            let limited = &mut self.limited[number];
            limited.is_timed = false;
            // Others may have spent meanwhile: whoever is woken for nothing would lose its place.
            if !limited.bucket.has_some(now) {
                self.time(number, now);
                continue;
            }
            due.extend(limited.waiting.pop_front().inspect(|stream| {
                self.parked.remove(stream);
            }));
            self.time(number, now);
        }
        due
    }

    /// When [`Self::due`] will have something (monotonic).
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// A stream is gone; should it come back, it is asked about anew.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        let asked = self.streams.remove(&stream);
        let Some(number) = asked.and_then(|asked| asked.number) else { return };
        if self.parked.remove(&stream) {
            self.limited[number].waiting.retain(|other| *other != stream);
        }
    }

    /// Lets a timer run if somebody waits.
    fn time(&mut self, number: usize, now: Duration) {
        let limited = &mut self.limited[number];
        if limited.waiting.is_empty() || std::mem::replace(&mut limited.is_timed, true) {
            return;
        }
        // Never at once: who was woken spends first.
        let at = limited.bucket.ready_at(now).max(now.saturating_add(bucket::GRAIN));
        self.timers.push(Reverse((at, number)));
    }

    fn number(&mut self, source: &Source, now: Duration) -> Option<usize> {
        if self.rules.is_empty() {
            return None;
        }
        let app = source.labels.get("app").unwrap_or_default();
        if let Some(asked) = self.streams.get_mut(&source.id) {
            let is_same = Arc::ptr_eq(&asked.labels, &source.labels)
                || asked.labels.get("app").unwrap_or_default() == app;
            if is_same {
                asked.labels = source.labels.clone();
                return asked.number;
            }
            self.forget(source.id);
        }
        let number = self.number_of(app, now);
        self.streams.insert(source.id, Asked { labels: source.labels.clone(), number });
        number
    }

    fn number_of(&mut self, app: &[u8], now: Duration) -> Option<usize> {
        self.rules.of(app).map(|(bytes_per_second, on_limit)| {
            *self.numbers.entry(app.to_vec()).or_insert_with(|| {
                let bucket = Bucket::new(bytes_per_second, now);
                let (waiting, is_timed) = (VecDeque::new(), false);
                self.limited.push(Limited { bucket, on_limit, waiting, is_timed });
                self.limited.len() - 1
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(app: &str, n: u128) -> Source {
        let labels = Arc::new(Labels::from_pairs([("app", app)]).expect("valid"));
        Source {
            id: StreamId(n),
            labels,
            text_only: false,
            format: crate::envelope::Format::Raw,
            times_are_true: false,
        }
    }

    fn rates(on_limit: OnLimit, bytes_per_second: u64) -> Rates {
        let rule = RateRule { app: "/shop/*".into(), bytes_per_second, on_limit };
        Rates::new(Rules::new(None, OnLimit::Block, &[rule]).expect("valid"))
    }

    #[test]
    fn only_what_a_rule_names_is_limited() {
        let mut rates = rates(OnLimit::Block, 10);
        let at = Duration::from_secs;
        let (shop, other) = (source("/shop/cart", 1), source("/bank", 2));
        for source in [&shop, &other] {
            assert_eq!(rates.ask(source, at(0)), Leave::Go);
            rates.spend(source, 1_000, at(0));
        }
        assert_eq!((rates.ask(&shop, at(1)), rates.ask(&other, at(1))), (Leave::Wait, Leave::Go));
        assert_eq!(rates.throttled(), 1);
    }

    #[test]
    fn the_streams_of_an_application_share_its_rate_and_go_on_one_after_the_other() {
        let mut rates = rates(OnLimit::Block, 10);
        let at = Duration::from_secs;
        let streams = [1, 2, 3].map(|n| source("/shop/cart", n));
        rates.spend(&streams[0], 60, at(0));
        for source in &streams {
            assert_eq!(rates.ask(source, at(0)), Leave::Wait);
        }
        assert_eq!(rates.due(at(4)), []);
        let ready = rates.next_due().expect("somebody waits");
        assert!(ready > at(4) && ready <= at(6), "{ready:?}");
        assert_eq!(rates.due(ready), [StreamId(1)]);
        assert_eq!(rates.ask(&streams[0], ready), Leave::Go);
        rates.spend(&streams[0], 30, ready);
        assert_eq!(rates.ask(&streams[0], ready), Leave::Wait);
        rates.forget(StreamId(2));
        let woken: Vec<StreamId> = (7..20).flat_map(|second| rates.due(at(second))).collect();
        assert_eq!(woken, [StreamId(3), StreamId(1)]);
        assert_eq!(rates.throttled(), 0);
    }

    #[test]
    fn an_application_that_becomes_known_late_has_its_own_rate() {
        let rule = |app: &str, bytes_per_second| RateRule {
            app: app.into(),
            bytes_per_second,
            on_limit: OnLimit::Block,
        };
        let rules = [rule("/shop/*", 10), rule("E*", 20)];
        let mut rates = Rates::new(Rules::new(None, OnLimit::Block, &rules).expect("valid"));
        let at = Duration::from_secs;
        let stream = |app| source(app, 1);
        assert_eq!(rates.ask(&stream("unlimited"), at(0)), Leave::Go);
        rates.spend(&stream("E1"), 1_000, at(0));
        assert_eq!(rates.ask(&stream("E1"), at(0)), Leave::Wait);
        // It waits no more for what it was taken for.
        assert_eq!(rates.ask(&stream("/shop/cart"), at(0)), Leave::Go);
        assert_eq!(rates.throttled(), 0);
        rates.spend(&stream("/shop/cart"), 30, at(0));
        assert_eq!(rates.ask(&stream("/shop/cart"), at(0)), Leave::Wait);
        let woken: Vec<StreamId> = (0..100).flat_map(|second| rates.due(at(second))).collect();
        assert_eq!((woken, rates.throttled()), (vec![StreamId(1)], 0));
    }

    #[test]
    fn what_is_to_be_dropped_does_not_wait() {
        let mut rates = rates(OnLimit::Drop, 10);
        let shop = source("/shop/cart", 1);
        rates.spend(&shop, 1_000, Duration::ZERO);
        assert_eq!(rates.ask(&shop, Duration::ZERO), Leave::Drop);
        assert_eq!((rates.throttled(), rates.next_due()), (0, None));
    }

    #[test]
    fn without_rules_nothing_is_remembered() {
        let mut rates = Rates::new(Rules::new(None, OnLimit::Block, &[]).expect("valid"));
        assert_eq!(rates.ask(&source("a", 1), Duration::ZERO), Leave::Go);
        assert!(rates.streams.is_empty());
    }

    proptest! {
        /// Streams that always have something to give: in any time not more than the rate and one
        /// second of it at once, and one piece that went beyond; and nobody waits for ever.
        #[test]
        fn the_rate_is_kept_and_used(
            pieces in proptest::collection::vec(1..4000u64, 1..20),
            streams in 1..6u128,
        ) {
            const RATE: u64 = 1_000;
            let mut rates = rates(OnLimit::Block, RATE);
            let mut ready: VecDeque<Source> = (0..streams).map(|n| source("/shop/a", n)).collect();
            let mut had = HashMap::new();
            let mut total = 0;
            let mut pieces = pieces.iter().cycle();
            for millis in (0..30_000).step_by(10) {
                let now = Duration::from_millis(millis);
                ready.extend(rates.due(now).into_iter().map(|id| source("/shop/a", id.0)));
                while let Some(one) = ready.pop_front() {
                    if rates.ask(&one, now) == Leave::Go {
                        let piece = *pieces.next().expect("endless");
                        rates.spend(&one, piece, now);
                        total += piece;
                        *had.entry(one.id).or_insert(0) += 1;
                        ready.push_back(one);
                    }
                }
                let allowed = RATE * (millis / 1000 + 2) + 4000;
                prop_assert!(total <= allowed, "{} bytes after {} ms", total, millis);
            }
            prop_assert!(total >= RATE * 25, "{} bytes", total);
            prop_assert_eq!(had.len() as u128, streams);
        }
    }
}
