//! Runs queries on threads of their own, only so many at a time, and ends them when whoever asked
//! is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::HttpError;
use crate::engine::{Budget, Limits};

/// Requests of a kind that may wait; more of them are refused.
const WAITING_MAX: i64 = 256;

/// The places for one kind of request.
pub(super) struct Running {
    places: Arc<Semaphore>,
    gauge: IntGauge,
}

/// Cancels a query when it is dropped: axum drops a handler whose client went away.
pub(super) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A query's place; it counts as running until this is dropped.
pub(super) struct Place {
    gauge: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl Running {
    /// Room for `places` requests at the same time; more of them wait.
    pub(super) fn new(places: usize, gauge: IntGauge) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), gauge }
    }

    /// Waits for a place.
    pub(super) async fn place(&self) -> Result<Place, HttpError> {
        if self.gauge.get() >= WAITING_MAX {
            let text = format!("{WAITING_MAX} requests are waiting already: try again later");
            return Err(HttpError::new(StatusCode::TOO_MANY_REQUESTS, text));
        }
        self.gauge.inc();
        let waiting = Waiting(&self.gauge);
        let permit = self.places.clone().acquire_owned().await.map_err(|_| closed())?;
        std::mem::forget(waiting);
        Ok(Place { gauge: self.gauge.clone(), _permit: permit })
    }

    /// A place now, or a refusal.
    pub(super) fn place_now(&self) -> Result<Place, HttpError> {
        let permit = self.places.clone().try_acquire_owned().map_err(|_| {
            let text = "as many requests of this kind as are allowed are running: try again later";
            HttpError::new(StatusCode::TOO_MANY_REQUESTS, text)
        })?;
        self.gauge.inc();
        Ok(Place { gauge: self.gauge.clone(), _permit: permit })
    }

    /// Runs a query to its end, or until the caller is gone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limits: Limits,
        query: impl FnOnce(&Budget) -> T + Send + 'static,
    ) -> Result<T, HttpError> {
        let place = self.place().await?;
        let budget = Budget::new(limits);
        let _cancel = CancelOnDrop::new(&budget);
        let task = tokio::task::spawn_blocking(move || {
            let answer = query(&budget);
            drop(place);
            answer
        });
        task.await.map_err(|err| {
            tracing::error!(%err, "a query failed");
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "the query failed: see the log")
        })
    }
}

/// A query that waits for a place and may be given up.
struct Waiting<'g>(&'g IntGauge);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl CancelOnDrop {
    pub(super) fn new(budget: &Budget) -> Self {
        Self(budget.canceller())
    }
}

fn closed() -> HttpError {
    HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
}
