//! Answers while a partition waits.

use std::sync::Arc;

use axum::extract::{FromRequest, State};
use axum::http::StatusCode;
use sawlog_aggregator::{Aggregator, Store, StoreConfig};
use sawlog_transport::memory::{Faults, MemoryTransport};
use sawlog_transport::{CollectorId, Labels};

use super::*;
use crate::engine::Budget;
use crate::push::{PushedEntry, PushedStream};

const BUILD: BuildInfo = BuildInfo { version: "0", revision: "0", commit_date: "0", rustc: "0" };

/// A running API over the store in `dir`, with a transport that holds nothing.
fn start(dir: &std::path::Path) -> (Arc<Api>, Aggregator) {
    let registry = prometheus::Registry::new();
    let (store, sealer) = Store::open(StoreConfig::new(dir.join("store")), &registry).unwrap();
    let transport = MemoryTransport::new(1, Faults::default());
    let aggregator =
        Aggregator::start(store.clone(), sealer, Box::new(transport.consumer())).unwrap();
    while !store.is_ready() {
        std::thread::yield_now();
    }
    let producer = Arc::new(transport.producer());
    let receiver = Receiver::new(store.clone(), producer, CollectorId(1), 1);
    let api = Api::new(store, receiver, registry, Limits::default(), BUILD).unwrap();
    (Arc::new(api), aggregator)
}

async fn text(response: axum::response::Response) -> (StatusCode, String) {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_named_to_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (api, aggregator) = start(dir.path());
    let ready = text(operate::ready(State(api.clone())).await).await;
    assert_eq!(ready, (StatusCode::OK, "ready\n".to_owned()));
    let budget = Budget::new(Limits::default());
    api.warned(&budget, || ());
    assert!(budget.warnings().is_empty(), "{:?}", budget.warnings());

    let entry = PushedEntry { time: 1, line: b"x".to_vec(), metadata: Vec::new() };
    let labels = Labels::from_pairs([("app", "pushed")]).unwrap();
    let pushed = vec![PushedStream { labels, entries: vec![entry] }];
    let pushing = api.clone();
    tokio::task::spawn_blocking(move || pushing.receiver.push(pushed).unwrap()).await.unwrap();
    aggregator.stop();
    drop(api);

    // The log that the store has read is gone, another one is in its place.
    let (api, _aggregator) = start(dir.path());
    let (status, said) = text(operate::ready(State(api.clone())).await).await;
    assert_eq!(status, StatusCode::OK);
    assert!(said.starts_with("ready\n") && said.contains("wait: 0 (at offset 1)"), "{said}");
    let budget = Budget::new(Limits::default());
    api.warned(&budget, || ());
    let warnings = budget.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("0 (at offset 1)"), "{warnings:?}");

    let request = axum::http::Request::get("/?query=x").body(axum::body::Body::empty()).unwrap();
    let Ok(params) = params::Params::from_request(request, &api).await else { panic!() };
    let export = search::export(State(api.clone()), params).await;
    let header = export.headers()["x-sawlog-warning"].to_str().unwrap().to_owned();
    assert!(header.contains("0 (at offset 1)"), "{header}");
    let body = axum::body::to_bytes(export.into_body(), 1 << 20).await;
    assert!(body.is_err(), "it must not look complete");
}
