//! Live tail: what all forms of it share. A thread of its own looks at the lines as they arrive; a
//! reader that is slow is told how many lines it was not sent, and holds up nobody.

pub(super) mod lines;
mod outbox;
pub(super) mod socket;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sawlog_aggregator::{Fed, SUBSCRIPTION_BYTES_MAX, Subscription, Whole, error_chain};
use tokio::sync::watch;

use super::error::HttpError;
use super::loki::{apart, now};
use super::params::{Params, SECOND};
use super::running::{Place, Running};
use super::{Api, READER_SILENCE_MAX};
use crate::engine::live::{Live, replay};
use crate::engine::{Budget, Entry, Limits, QueryError};
use crate::lang::LogExpr;
use outbox::{Next, Outbox};

/// Tails at the same time: Loki's number. Each may cost `SUBSCRIPTION_BYTES_MAX` of runs that are
/// sealed by now, and a few MiB of entries.
pub(super) const TAILS_MAX: usize = 10;
/// A slow reader is waited for until so many bytes of runs wait behind it; from then on it misses
/// entries. What lies between this and the queue's bound is the time to find out which ones.
const WAITED_FOR_BYTES_MAX: usize = SUBSCRIPTION_BYTES_MAX / 2;
/// The older lines that come first, in bytes: they wait for a slow reader too.
const OLDER_BYTES_MAX: usize = 8 << 20;
/// How soon a thread notices that its reader is gone.
const READER_CHECK: Duration = Duration::from_millis(250);
/// A sign of life for the reader, which also shows whether it is still there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How far back the first lines are looked for unless asked otherwise: nanoseconds.
const START_DEFAULT: i64 = 3_600 * SECOND;

/// The places for tails, and what ends them all.
pub(super) struct Tails {
    places: Running,
    stop: watch::Sender<bool>,
}

impl Tails {
    pub(super) fn new(places: Running) -> Self {
        Self { places, stop: watch::Sender::new(false) }
    }

    pub(super) fn stopper(&self) -> TailStopper {
        TailStopper(self.stop.clone())
    }
}

/// Ends all tails: they would last as long as their readers.
#[derive(Clone, Debug)]
pub struct TailStopper(watch::Sender<bool>);

impl TailStopper {
    /// Breaks off all tails, without a farewell, so that readers come back by themselves; new ones
    /// are refused.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A tail that is asked for.
struct Asked {
    log: LogExpr,
    /// Times of the older lines that come first, from here on: nanoseconds since the epoch.
    start: i64,
    /// How many older lines come first.
    limit: usize,
}

impl Asked {
    fn new(log: LogExpr, params: &Params, limit: usize) -> Result<Self, HttpError> {
        let start = params.time("start")?.unwrap_or_else(|| now().saturating_sub(START_DEFAULT));
        Ok(Self { log, start, limit })
    }
}

/// A tail that has its place and is fed.
struct Tail {
    api: Arc<Api>,
    asked: Asked,
    place: Place,
    live: Live,
    subscription: Subscription,
    /// The store as it was before.
    whole: Whole,
}

impl Tail {
    async fn begin(api: &Arc<Api>, asked: Asked) -> Result<Self, HttpError> {
        let unavailable = |text: &str| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, text);
        if *api.tails.stop.borrow() {
            return Err(unavailable("the server is stopping"));
        }
        let whole = api.store.whole().ok_or_else(|| unavailable(NOT_READY))?;
        let place = api.tails.places.place_now()?;
        let (live, asked) = apart(move || (Live::new(&asked.log), asked)).await?;
        let subscription = api.store.subscribe(SUBSCRIPTION_BYTES_MAX);
        Ok(Self { api: api.clone(), asked, place, live: live?, subscription, whole })
    }

    /// Becomes true when the server stops.
    fn stop(&self) -> watch::Receiver<bool> {
        self.api.tails.stop.subscribe()
    }

    /// Finds the older lines, then starts the thread that looks at the new ones.
    async fn start(self) -> Result<Reader, HttpError> {
        let Tail { api, asked, place, live, subscription, whole } = self;
        let (store, seam) = (api.clone(), subscription.seam().clone());
        let older = move |budget: &Budget| {
            let Asked { ref log, start, limit } = asked;
            let older = replay(&store.store, log, (start, limit), &seam, budget);
            store.observe("tail", budget);
            older
        };
        let result_bytes_max = api.limits.result_bytes_max.min(OLDER_BYTES_MAX);
        let limits = Limits { result_bytes_max, ..api.limits.clone() };
        let older = api.queries.run(limits, older).await??;
        // Had the store been recovered meanwhile, lines could be missing between old and new.
        if api.store.whole() != Some(whole) {
            return Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, NOT_READY));
        }
        let outbox =
            Arc::new(Outbox::new(api.metrics.tail_dropped_lines.clone(), READER_SILENCE_MAX));
        let reader = Reader { outbox: outbox.clone(), stop: api.tails.stop.subscribe() };
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let broken = FailOnDrop(&outbox);
            let scanned_bytes = &api.metrics.scanned_bytes;
            let ended = Feeder { live, subscription, outbox: &outbox, scanned_bytes }.run(older);
            std::mem::forget(broken);
            if let Err(err) = ended {
                outbox.fail(error_chain(&err));
            }
        });
        Ok(reader)
    }
}

const NOT_READY: &str = "not ready: replaying what was not sealed; try again";

/// Tells the reader if the thread panics.
struct FailOnDrop<'o>(&'o Outbox);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fail("the tail failed: see the log");
    }
}

/// Fills an outbox.
struct Feeder<'o> {
    live: Live,
    subscription: Subscription,
    outbox: &'o Outbox,
    scanned_bytes: &'o prometheus::IntCounter,
}

impl Feeder<'_> {
    /// Until the reader is gone.
    fn run(mut self, older: Vec<Entry>) -> Result<(), QueryError> {
        let Self { live, subscription, outbox, scanned_bytes } = &mut self;
        let may_wait = || subscription.queued_bytes() <= WAITED_FOR_BYTES_MAX;
        for entry in older {
            outbox.offer(entry, may_wait);
        }
        while !outbox.is_closed() {
            let due_at = live.due_at();
            let due =
                due_at.map_or(READER_CHECK, |at| at.saturating_duration_since(Instant::now()));
            let fed = subscription.next(due.min(READER_CHECK));
            let before = live.bytes_scanned();
            match fed {
                None => {}
                Some(Fed::Missed(missed)) => {
                    // What waits cannot be continued over the gap.
                    live.visit_rest(|entry| outbox.offer(entry, may_wait))?;
                    outbox.missed(missed.lines, missed.max_time);
                }
                Some(Fed::Run(run)) => {
                    live.visit(&run, Instant::now(), |entry| outbox.offer(entry, may_wait))?;
                }
            }
            live.visit_due(Instant::now(), |entry| outbox.offer(entry, may_wait))?;
            scanned_bytes.inc_by(live.bytes_scanned() - before);
        }
        Ok(())
    }
}

/// The reading end of a tail; dropping it ends the tail.
struct Reader {
    outbox: Arc<Outbox>,
    stop: watch::Receiver<bool>,
}

impl Reader {
    /// What comes next; `None` when the server stops. May be given up and asked again.
    async fn next(&mut self) -> Option<Next> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => None,
            next = self.outbox.next() => Some(next),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.outbox.close();
    }
}
