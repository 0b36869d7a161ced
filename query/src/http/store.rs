//! What the store holds and what retention does with it, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use sawlog_aggregator::{SliceStats, StoreStats, error_chain};
use serde::Serialize;

use super::Api;
use super::error::HttpError;
use super::search::rfc3339;

/// The answer; see [`StoreStats`] for what the numbers mean.
#[derive(Serialize)]
pub(super) struct Stats {
    lines: u64,
    streams: u64,
    raw_bytes: u64,
    hot_bytes: u64,
    hot_text_bytes: u64,
    disk_bytes: Disk,
    slices: Vec<Slice>,
    retention: Retention,
    expired_slices: u64,
    expired_bytes: u64,
}

#[derive(Serialize)]
struct Disk {
    blocks: u64,
    index: u64,
    filters: u64,
    catalog: u64,
    /// What was moved aside after damage: see `DiskUsage::aside`.
    aside: u64,
}

#[derive(Serialize)]
struct Slice {
    id: u64,
    blocks: u64,
    raw_bytes: u64,
    disk_bytes: u64,
    min_time: Option<String>,
    max_time: Option<String>,
    created_at: String,
}

#[derive(Serialize)]
struct Retention {
    age_seconds: Option<u64>,
    bytes: Option<u64>,
}

/// `GET /api/v1/store/stats`: lines, bytes and slices of the store.
pub(super) async fn stats(State(api): State<Arc<Api>>) -> Result<Json<Stats>, HttpError> {
    let failed = |text: String| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, text);
    let store = api.store.clone();
    let stats = api.queries.run(api.limits.clone(), move |_| store.stats()).await?;
    Ok(Json(stats.map_err(|err| failed(error_chain(&err)))?.into()))
}

impl From<StoreStats> for Stats {
    fn from(stats: StoreStats) -> Self {
        let StoreStats { disk, .. } = stats;
        Self {
            lines: stats.lines,
            streams: stats.streams,
            raw_bytes: stats.raw_bytes,
            hot_bytes: stats.hot_bytes,
            hot_text_bytes: stats.hot_text_bytes,
            disk_bytes: Disk {
                blocks: disk.blocks,
                index: disk.index,
                filters: disk.filters,
                catalog: disk.catalog,
                aside: disk.aside,
            },
            slices: stats.slices.into_iter().map(Slice::from).collect(),
            retention: Retention {
                age_seconds: stats.retention_age.map(|age| age.as_secs()),
                bytes: stats.retention_bytes,
            },
            expired_slices: stats.expired_slices,
            expired_bytes: stats.expired_bytes,
        }
    }
}

impl From<SliceStats> for Slice {
    fn from(slice: SliceStats) -> Self {
        Self {
            id: slice.id,
            blocks: slice.blocks,
            raw_bytes: slice.raw_bytes,
            disk_bytes: slice.disk_bytes,
            min_time: slice.times.map(|(min, _)| rfc3339(min)),
            max_time: slice.times.map(|(_, max)| rfc3339(max)),
            created_at: rfc3339(slice.created_at),
        }
    }
}
