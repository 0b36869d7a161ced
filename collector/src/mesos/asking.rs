//! The questions to an agent: what came of them is counted, and told when it is new.

use std::collections::HashMap;

use prometheus::IntCounterVec;

use super::client::{AskError, Client};
use super::config::MesosConfig;
use super::containers::{self, Surroundings};
use super::facts::Ids;
use super::nested::{self, NestedLine};
use super::state::{self, State};

/// After so many failures in a row the pause is not doubled any more.
const DOUBLINGS_MAX: u32 = 3;

/// Asks one agent.
pub(super) struct Asking {
    client: Client,
    base_url: String,
    /// Whether the operator said where it is.
    is_named: bool,
    task_labels: Vec<String>,
    /// Answers, by outcome.
    polls: IntCounterVec,
    /// Failures in a row to get `/state`.
    failures: u32,
    /// The last outcome of each endpoint: only what is new is told.
    outcomes: HashMap<&'static str, &'static str>,
}

impl Asking {
    /// `polls` counts by outcome.
    pub(super) fn new(config: &MesosConfig, polls: IntCounterVec) -> Self {
        Self {
            client: Client::new(config),
            base_url: config.base_url().to_owned(),
            is_named: config.url.is_some(),
            task_labels: config.task_labels.clone(),
            polls,
            failures: 0,
            outcomes: HashMap::new(),
        }
    }

    /// What `/state` tells; `None` without an answer.
    pub(super) fn state(&mut self) -> Option<State> {
        let answer = self.client.get("/state").and_then(|body| {
            state::parse(&body, &self.task_labels).map_err(|error| self.malformed("/state", &error))
        });
        self.note("/state", answer.as_ref().err());
        self.failures = if answer.is_ok() { 0 } else { self.failures.saturating_add(1) };
        answer.ok()
    }

    /// The statistics that `/containers` tells, as lines; none without an answer. `now` is
    /// nanoseconds since the epoch.
    pub(super) fn containers(&mut self, around: &Surroundings, now: i64) -> Vec<(Ids, Vec<u8>)> {
        let answer = self.client.get("/containers").and_then(|body| {
            containers::lines(&body, around, now)
                .map_err(|error| self.malformed("/containers", &error))
        });
        self.note("/containers", answer.as_ref().err());
        answer.unwrap_or_default()
    }

    /// The statistics of what is nested in pods, as lines; `None` without an answer, which is told once and
    /// is no fault: the pods themselves are measured all the same. `now` is nanoseconds since the epoch.
    pub(super) fn nested(
        &mut self,
        pods: &HashMap<String, Ids>,
        around: &Surroundings,
        now: i64,
    ) -> Option<Vec<NestedLine>> {
        let answer = self.client.post(nested::ENDPOINT, nested::CALL).and_then(|body| {
            nested::lines(&body, pods, around, now)
                .map_err(|error| self.malformed(nested::ENDPOINT, &error))
        });
        match answer {
            Ok(lines) => {
                self.note(nested::ENDPOINT, None);
                Some(lines)
            }
            Err(error) => {
                let outcome = error.outcome();
                if self.outcomes.insert(nested::ENDPOINT, outcome) != Some(outcome) {
                    tracing::info!("no statistics of the single tasks of pods: {error}");
                }
                None
            }
        }
    }

    /// Whether the last question for `/state` was answered.
    pub(super) fn is_answered(&self) -> bool {
        self.failures == 0
    }

    /// How many times as long as usual the next question waits.
    pub(super) fn patience(&self) -> u32 {
        1 << self.failures.min(DOUBLINGS_MAX)
    }

    fn malformed(&self, endpoint: &str, error: &serde_json::Error) -> AskError {
        let url = format!("{}{endpoint}", self.base_url);
        // What the error would say may quote the answer.
        let (kind, line, column) = (error.classify(), error.line(), error.column());
        let why = format!("{kind:?} error in line {line}, column {column}");
        AskError::Malformed { url, why }
    }

    /// Counts an outcome, and says what is new about it.
    fn note(&mut self, endpoint: &'static str, error: Option<&AskError>) {
        let outcome = error.map_or("ok", AskError::outcome);
        self.polls.with_label_values(&[outcome]).inc();
        let before = self.outcomes.insert(endpoint, outcome);
        if before == Some(outcome) {
            return;
        }
        match error {
            None if before.is_some() => tracing::info!("the Mesos agent answers {endpoint} again"),
            None => tracing::info!("the Mesos agent at {} answers", self.base_url),
            Some(error @ AskError::Refused { .. }) if !self.is_named => {
                tracing::info!(
                    "{error}; names come from the agent's files (set mesos_agent_url if it listens elsewhere)"
                );
            }
            Some(error @ AskError::Recovering(_)) => tracing::info!("{error}"),
            Some(error) => {
                tracing::warn!(
                    "{error}; logs are collected all the same, names come from the agent's files"
                );
            }
        }
    }
}
