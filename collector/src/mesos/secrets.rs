//! Takes secrets out of what an agent tells, before any of it is kept, written or made a label.

use std::collections::BTreeMap;

use super::facts::{Facts, TEXT_BYTES_MAX, Task};
use super::status::{MESSAGE_BYTES_MAX, Status};
use crate::metrics::Metrics;
use crate::redact::{Event, PemBlock, Redactor};

/// What finds them. Ids stay as they are: they are names of directories, and tell tasks apart.
#[derive(Default)]
pub(crate) struct Secrets(Option<(Redactor, Metrics)>);

impl Secrets {
    /// `None`: all is taken as it is told.
    pub(crate) fn new(redactor: Option<Redactor>, metrics: Metrics) -> Self {
        Self(redactor.map(|redactor| (redactor, metrics)))
    }

    /// Reads secret files that changed.
    pub(super) fn refresh(&mut self) {
        if let Some((redactor, _)) = &mut self.0
            && let Err(error) = redactor.refresh()
        {
            // The collector's own redactor warns of the same files.
            tracing::debug!("{error}");
        }
    }

    /// Cleans what a container is known by. It is told again with each answer, so it is not counted.
    pub(crate) fn clean(&mut self, facts: &mut Facts) {
        let Some((redactor, _)) = &mut self.0 else { return };
        if !is_suspicious(redactor, facts) {
            return;
        }
        let Facts { framework_name, principal, user, source, labels, tasks, .. } = facts;
        let labels_are_cleaned = &mut facts.labels_are_cleaned;
        for text in [framework_name, principal, user, source] {
            clean(redactor, text, false, |_| {});
        }
        *labels_are_cleaned |= clean_labels(redactor, labels);
        for Task { name, user, labels, labels_are_cleaned, .. } in tasks {
            clean(redactor, name, may_be_cut(name, TEXT_BYTES_MAX), |_| {});
            clean(redactor, user, false, |_| {});
            *labels_are_cleaned |= clean_labels(redactor, labels);
        }
    }

    /// Cleans a state change that is about to be written, and counts what was found.
    pub(super) fn clean_status(&mut self, status: &mut Status) {
        let Some((redactor, metrics)) = &mut self.0 else { return };
        let Status { task_name, state, reason, source, message, .. } = status;
        for text in [task_name, state, reason, source] {
            let is_cut = may_be_cut(text, TEXT_BYTES_MAX);
            clean(redactor, text, is_cut, |event| metrics.redaction(event));
        }
        let is_cut = may_be_cut(message, MESSAGE_BYTES_MAX);
        clean(redactor, message, is_cut, |event| metrics.redaction(event));
    }
}

/// One cheap look at all texts together: most containers have no secret among them.
fn is_suspicious(redactor: &Redactor, facts: &Facts) -> bool {
    let Facts { framework_name, principal, user, source, labels, tasks, .. } = facts;
    let mut all = [framework_name, principal, user, source].map(String::as_str).to_vec();
    let all_labels = tasks.iter().map(|task| &task.labels).chain([labels]);
    let mut is_named = false;
    for (name, value) in all_labels.flatten() {
        is_named |= redactor.named_value(name.as_bytes(), value.as_bytes()).is_some();
        all.extend([name.as_str(), value.as_str()]);
    }
    all.extend(tasks.iter().flat_map(|task| [task.name.as_str(), task.user.as_str()]));
    let text = all.into_iter().flat_map(|text| [text, "\n"]).collect::<String>();
    is_named || redactor.suspicious_lines(text.as_bytes()) > 0
}

/// Cleans values; a label whose name has a secret in it is left out. Tells whether one was.
fn clean_labels(redactor: &mut Redactor, labels: &mut BTreeMap<String, String>) -> bool {
    let before = labels.len();
    labels.retain(|name, value| {
        let tag = redactor.named_value(name.as_bytes(), value.as_bytes());
        match tag {
            Some(tag) => *value = String::from_utf8_lossy(&tag).into_owned(),
            None => clean(redactor, value, false, |_| {}),
        }
        let mut shown = name.clone();
        clean(redactor, &mut shown, false, |_| {});
        shown == *name
    });
    labels.len() < before
}

/// The longest character, in bytes.
const CHARACTER_BYTES_MAX: usize = 4;

/// Whether a text may have been longer: it was cut between characters.
fn may_be_cut(text: &str, bytes_max: usize) -> bool {
    text.len() + CHARACTER_BYTES_MAX > bytes_max
}

/// Takes the secrets out of a text, which may have several lines. If it was cut, what reaches its end
/// may be half of a secret.
fn clean(redactor: &mut Redactor, text: &mut String, is_cut: bool, mut told: impl FnMut(Event)) {
    let mut pem = PemBlock::default();
    let mut cleaned = None::<String>;
    let mut at = 0;
    for line in text.split('\n') {
        let is_open = is_cut && at + line.len() == text.len();
        let shown = redactor.line(line.as_bytes(), is_open, &mut pem, &mut told);
        let shown = shown.map(|shown| String::from_utf8_lossy(shown).into_owned());
        if cleaned.is_none() && shown.is_some() {
            cleaned = Some(text[..at].to_owned());
        }
        at += line.len() + 1;
        if let Some(cleaned) = &mut cleaned {
            cleaned.push_str(shown.as_deref().unwrap_or(line));
            cleaned.push('\n');
        }
    }
    if let Some(mut cleaned) = cleaned {
        cleaned.pop();
        *text = cleaned;
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    fn secrets(dir: &std::path::Path) -> Secrets {
        let named = dir.join("named");
        std::fs::write(&named, "correct horse\n").expect("write");
        let redactor = Redactor::open(dir, &[named]).expect("a redactor");
        Secrets::new(Some(redactor), Metrics::register(&Registry::new()).expect("metrics"))
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_a_container_is_known_by_shows_no_secret() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut secrets = secrets(dir.path());
        let task = Task {
            id: "t".into(),
            name: "clone https://u:hunter2hunter2@h/".into(),
            labels: labels(&[
                ("team", "shop"),
                ("DB_PASSWORD", "two words"),
                ("key", "correct horse"),
            ]),
            ..Task::default()
        };
        let mut facts = Facts {
            framework_name: "with the correct horse".into(),
            source: "token=abcd1234efgh".into(),
            labels: labels(&[("a correct horse", "x"), ("owner", "me")]),
            tasks: vec![task],
            ..Facts::default()
        };
        secrets.clean(&mut facts);
        let told = format!("{facts:?}");
        for secret in ["correct", "abcd1234", "hunter2", "two words"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert_eq!(facts.tasks[0].labels["team"], "shop");
        assert!(facts.tasks[0].labels["DB_PASSWORD"].starts_with("[redacted:pair:"), "{told}");
        assert_eq!(facts.labels, labels(&[("owner", "me")]));
        let again = facts.clone();
        secrets.clean(&mut facts);
        assert_eq!(facts, again, "what is clean stays");
    }

    #[test]
    fn messages_of_several_lines_are_cleaned_and_counted() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut secrets = secrets(dir.path());
        let key = "-----BEGIN PRIVATE KEY-----\nMIIEabcd\n-----END PRIVATE KEY-----";
        let mut status = Status {
            message: format!("failed: password=hunter2\n{key}\nCommand exited with status 3"),
            ..Status::default()
        };
        secrets.clean_status(&mut status);
        let lines: Vec<&str> = status.message.lines().collect();
        assert!(lines[0].starts_with("failed: password=[redacted:pair:"), "{lines:?}");
        assert!(lines[1..4].iter().all(|line| line.starts_with("[redacted:pem:")), "{lines:?}");
        assert_eq!((lines.len(), status.exit_status()), (5, Some(3)));
        let (_, metrics) = secrets.0.as_ref().expect("redaction is on");
        assert_eq!(metrics.redacted.with_label_values(&["pem"]).get(), 3);
        let mut plain = Status { message: "as it is\n".into(), ..Status::default() };
        secrets.clean_status(&mut plain);
        assert_eq!(plain.message, "as it is\n");
        Secrets::default().clean_status(&mut status);
    }

    #[test]
    fn what_a_cut_leaves_of_a_secret_is_hidden() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut secrets = secrets(dir.path());
        for secret in ["correct horse", "ghp_abcdefghij0123456789abcdefghij012345"] {
            for inside in [6, 9, secret.len() - 1] {
                for (before, end) in [("x ", ""), ("x\n", ""), ("é ", "é")] {
                    let filler = before.repeat(MESSAGE_BYTES_MAX);
                    let filler = super::super::facts::cut(&filler, MESSAGE_BYTES_MAX - inside - 1);
                    let message = format!("{filler} {secret}{end}");
                    let mut status = Status { message, ..Status::default() }.limited();
                    secrets.clean_status(&mut status);
                    assert!(!status.message.contains(&secret[..6]), "{inside} of {secret}");
                }
            }
        }
        let name = format!("{}ghp_abcdefghij", "x ".repeat(TEXT_BYTES_MAX / 2 - 5));
        let mut status = Status { task_name: name, ..Status::default() }.limited();
        secrets.clean_status(&mut status);
        assert!(!status.task_name.contains("ghp_abc"), "{}", status.task_name);
    }

    #[test]
    fn labels_that_are_cleaned_away_take_the_place_of_older_ones() {
        let dir = tempfile::tempdir().expect("temp dir");
        let raw = |labels: BTreeMap<String, String>| {
            let task = Task { id: "t".into(), labels: labels.clone(), ..Task::default() };
            Facts { labels, tasks: vec![task], ..Facts::default() }
        };
        let mut known = raw(labels(&[("a correct horse", "x")]));
        let mut newer = known.clone();
        secrets(dir.path()).clean(&mut newer);
        assert!(newer.labels.is_empty());
        known.learn(&newer);
        assert_eq!(known, raw(BTreeMap::new()));
        // What says nothing of labels leaves them.
        let mut known = raw(labels(&[("owner", "me")]));
        known.learn(&raw(BTreeMap::new()));
        assert_eq!(known, raw(labels(&[("owner", "me")])));
    }
}
