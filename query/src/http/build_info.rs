//! Which program this is: for Grafana, for metrics, and for who reads a bug report.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use prometheus::{IntGaugeVec, Opts, Registry};
use serde::Serialize;

use super::Api;

/// What is known of the running binary; whoever builds it says so. Unknown parts are `"unknown"`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// As in Cargo.toml.
    pub version: &'static str,
    /// The commit, abbreviated.
    pub revision: &'static str,
    /// The commit's date, in RFC 3339.
    pub commit_date: &'static str,
    /// The compiler, as it names itself.
    pub rustc: &'static str,
}

impl BuildInfo {
    /// Adds `sawlog_build_info`, which is always 1.
    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        let gauge = IntGaugeVec::new(
            Opts::new("sawlog_build_info", "Which program this is; always 1."),
            &["version", "revision", "rustc"],
        )?;
        gauge.with_label_values(&[self.version, self.revision, self.rustc]).set(1);
        registry.register(Box::new(gauge))
    }
}

/// Loki's shape.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LokiBuildInfo {
    version: &'static str,
    revision: &'static str,
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
}

/// `GET /loki/api/v1/status/buildinfo`: our own version in Loki's shape.
pub(super) async fn build_info(State(api): State<Arc<Api>>) -> Json<LokiBuildInfo> {
    let BuildInfo { version, revision, commit_date, .. } = api.build;
    Json(LokiBuildInfo {
        version,
        revision,
        branch: "",
        build_date: commit_date,
        build_user: "",
        go_version: "",
    })
}
