//! Asks the collector how far files are acknowledged, on a thread of its own: whoever writes never
//! waits for an answer. No answer means not acknowledged, and so does one of somebody else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::listeners::{Distrust, Trusted};
use crate::why::AcknowledgedFile;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For the whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The least time between two questions; doubled while nobody answers.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest answer: some ten thousand files.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Questions under way and their answers.
pub(super) struct Acknowledgements {
    questions: SyncSender<()>,
    answers: Receiver<Vec<AcknowledgedFile>>,
}

impl Acknowledgements {
    /// Asks the collectors about the log at a path; the first of the trusted that answers is believed.
    pub(super) fn start(collectors: Vec<String>, trusted: Trusted, log: PathBuf) -> Self {
        let (questions, asked) = sync_channel::<()>(1);
        let (answered, answers) = sync_channel(1);
        let thread = std::thread::Builder::new().name("acknowledged".into()).spawn(move || {
            let mut asker = Asker::new(trusted, log);
            let mut pause = PAUSE;
            while asked.recv().is_ok() {
                let files = collectors.iter().find_map(|collector| asker.ask(collector));
                pause = if files.is_some() { PAUSE } else { (pause * 2).min(PAUSE_MAX) };
                if answered.send(files.unwrap_or_default()).is_err() {
                    return;
                }
                std::thread::sleep(pause);
            }
        });
        if let Err(error) = thread {
            tracing::warn!("cannot ask the collector, rotated files stay: {error}");
        }
        Self { questions, answers }
    }

    /// Asks soon, if no question waits yet.
    pub(super) fn ask(&self) {
        self.questions.try_send(()).unwrap_or_default();
    }

    /// The newest answer, if one has come.
    pub(super) fn take(&self) -> Option<Vec<AcknowledgedFile>> {
        self.answers.try_iter().last()
    }
}

struct Asker {
    agent: ureq::Agent,
    trusted: Trusted,
    log: PathBuf,
    /// Of each collector, what was told last of why it is not asked.
    told: HashMap<String, String>,
}

impl Asker {
    fn new(trusted: Trusted, log: PathBuf) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            // Nothing may lead to another than the one that was looked at.
            .proxy(None)
            .max_redirects(0)
            // So would a connection from before: it may be to another who listened then.
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .build()
            .into();
        Self { agent, trusted, log, told: HashMap::new() }
    }

    /// `None` if there is no collector, or none that knows.
    fn ask(&mut self, collector: &str) -> Option<Vec<AcknowledgedFile>> {
        let before = self.trusted.listening_at(collector);
        let before = before.map_err(|distrust| self.tell(collector, &distrust)).ok()?;
        let files = request(&self.agent, collector, &self.log)?;
        // Whoever listened all the time has answered.
        let after = self.trusted.listening_at(collector);
        let after = after.map_err(|distrust| self.tell(collector, &distrust)).ok()?;
        (before == after).then_some(files)
    }

    /// That nobody listens is usual: the collector starts again.
    fn tell(&mut self, collector: &str, distrust: &Distrust) {
        let message = distrust.to_string();
        if matches!(distrust, Distrust::Nobody { .. }) {
            tracing::debug!("{message}");
        } else if self.told.get(collector) != Some(&message) {
            tracing::warn!("{message}");
            self.told.insert(collector.to_owned(), message);
        }
    }
}

fn request(agent: &ureq::Agent, collector: &str, log: &Path) -> Option<Vec<AcknowledgedFile>> {
    let url = format!("{}/api/v1/acknowledged", collector.trim_end_matches('/'));
    let answer = agent.get(url).query("path", log.to_str()?).call();
    let body = answer.and_then(|mut answer| {
        answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()
    });
    match body {
        Ok(body) => serde_json::from_slice(&body).ok(),
        Err(error) => {
            tracing::debug!("{collector} does not say what is acknowledged: {error}");
            None
        }
    }
}
