//! The labels of a container's streams, from its path and from what is known of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sawlog_transport::Labels;
use sawlog_transport::limits::LABEL_NAME_BYTES_MAX;

use super::facts::{Facts, Task, cut};
use crate::application;
use crate::place::labels;

/// The most task labels that an operator may allow, so that all of them fit a stream.
pub(super) const TASK_LABELS_MAX: usize = 32;
/// The longest value of a task label, in bytes; the rest is cut.
const VALUE_BYTES_MAX: usize = 256;

/// Names that have a meaning here, which no task label takes over.
const OURS: [&str; 16] = [
    "agent",
    "app",
    "container",
    "detected_level",
    "executor",
    "file",
    "framework",
    "host",
    "job",
    "level",
    "service_name",
    "stream",
    "task",
    "task_name",
    "user",
    "__name__",
];

/// A log of a container, as its path tells.
pub(crate) struct Container<'a> {
    pub host: &'a str,
    pub agent: &'a [u8],
    pub framework: &'a [u8],
    pub executor: &'a [u8],
    /// Container ids from the outermost on, joined by `.`.
    pub container: &'a [u8],
    /// The log's name, and its path inside the sandbox if that is another.
    pub stream: &'a [u8],
    pub file: &'a [u8],
}

/// The labels of a log's stream.
pub(crate) fn of(at: &Container<'_>, facts: Option<&Facts>) -> Labels {
    let nothing = Facts::default();
    let facts = facts.unwrap_or(&nothing);
    let nested = at.container.iter().position(|byte| *byte == b'.');
    let nested = nested.map_or(&b""[..], |dot| &at.container[dot + 1..]);
    let task = task(facts, nested);
    let name = app(at, facts, task);
    let id: &[u8] = match task {
        Some(task) => task.id.as_bytes(),
        None if facts.tasks.is_empty() => application::task(at.executor),
        None => b"",
    };
    let framework = match facts.framework_name.as_bytes() {
        b"" => at.framework,
        name => name,
    };
    let user = task.map_or("", |task| &task.user);
    let user = if user.is_empty() { &facts.user } else { user };
    let mut pairs: BTreeMap<Cow<'_, str>, &[u8]> = allowed(facts, task);
    for (label, value) in [
        ("app", &name[..]),
        ("service_name", &name),
        ("framework", framework),
        ("executor", at.executor),
        ("task", id),
        ("task_name", task.map_or(&b""[..], |task| task.name.as_bytes())),
        ("user", user.as_bytes()),
        ("container", at.container),
        ("agent", at.agent),
        ("host", at.host.as_bytes()),
        ("stream", at.stream),
        ("file", at.file),
    ] {
        pairs.insert(label.into(), value);
    }
    labels(pairs.iter().map(|(label, value)| (label.as_ref(), *value)))
}

/// The task whose lines these are; `None` if it is not known, or several share the container.
fn task<'a>(facts: &'a Facts, nested: &[u8]) -> Option<&'a Task> {
    let is_pod = facts.is_pod || facts.tasks.iter().any(|task| !task.nested.is_empty());
    if is_pod {
        // What a task's container nests (a debugging session) belongs to the task.
        return facts.tasks.iter().find(|task| {
            let rest = nested.strip_prefix(task.nested.as_bytes());
            !task.nested.is_empty() && rest.is_some_and(|rest| matches!(rest, [] | [b'.', ..]))
        });
    }
    match &facts.tasks[..] {
        [only] => Some(only),
        _ => None,
    }
}

/// The application: never empty.
fn app(at: &Container<'_>, facts: &Facts, task: Option<&Task>) -> Vec<u8> {
    // A standalone container has no executor: its own id names it.
    if at.executor.is_empty() {
        return at.container.to_vec();
    }
    let any = task.or(facts.tasks.first());
    let told = application::Told {
        framework_name: &facts.framework_name,
        principal: &facts.principal,
        source: &facts.source,
        task_name: any.map_or("", |task| &task.name),
    };
    application::name(at.executor, &told)
}

/// The task's labels that the operator allows, else those of the executor.
fn allowed<'a>(facts: &'a Facts, task: Option<&'a Task>) -> BTreeMap<Cow<'a, str>, &'a [u8]> {
    let own = task.into_iter().flat_map(|task| &task.labels);
    let all = facts.labels.iter().chain(own).take(TASK_LABELS_MAX * 2);
    all.map(|(name, value)| (label_name(name).into(), cut(value, VALUE_BYTES_MAX).as_bytes()))
        .filter(|(name, _): &(Cow<'_, str>, _)| !OURS.contains(&name.as_ref()))
        .collect()
}

/// A name that labels can have: what is not allowed becomes `_`.
pub(super) fn label_name(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut label: String = name.chars().map(allowed).take(LABEL_NAME_BYTES_MAX - 1).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) || label.is_empty() {
        label.insert(0, '_');
    }
    label
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "5d1c1c0e-a3b4-11ee-8c90-0242ac110004";

    fn at<'a>(executor: &'a str, container: &'a str) -> Container<'a> {
        Container {
            host: "h",
            agent: b"S1",
            framework: b"F1",
            executor: executor.as_bytes(),
            container: container.as_bytes(),
            stream: b"stdout",
            file: b"",
        }
    }

    fn task(id: &str, name: &str, nested: &str) -> Task {
        Task { id: id.into(), name: name.into(), nested: nested.into(), ..Task::default() }
    }

    fn facts(framework: &str, tasks: Vec<Task>) -> Facts {
        Facts { framework_name: framework.into(), tasks, ..Facts::default() }
    }

    fn some(labels: &Labels, names: &[&str]) -> Vec<String> {
        let value =
            |name: &&str| String::from_utf8_lossy(labels.get(name).unwrap_or_default()).into();
        names.iter().map(value).collect()
    }

    const NAMES: [&str; 5] = ["app", "framework", "task", "task_name", "user"];

    #[test]
    fn a_path_alone_tells_what_it_can_and_metadata_the_rest() {
        let unknown = of(&at("etl executor #7", "c1"), None);
        assert_eq!(some(&unknown, &NAMES), ["etl executor #7", "F1", "", "", ""]);
        let mut known = facts("etl-pipeline", vec![task("0", "stage 0", "")]);
        known.user = "etl".into();
        let one = of(&at("etl executor #7", "c1"), Some(&known));
        assert_eq!(some(&one, &NAMES), ["etl-pipeline", "etl-pipeline", "0", "stage 0", "etl"]);
        known.tasks.push(task("1", "stage 1", ""));
        let two = of(&at("etl executor #7", "c1"), Some(&known));
        assert_eq!(some(&two, &NAMES), ["etl-pipeline", "etl-pipeline", "", "", "etl"]);
        assert_eq!(two.get("service_name"), two.get("app"));
    }

    #[test]
    fn each_task_of_a_pod_has_its_own_container() {
        let tasks = vec![task("t.web", "web", "n1"), task("t.side", "sidecar", "n12")];
        let pod = facts("marathon", tasks);
        let executor = format!("instance-shop_cart.{UUID}");
        let named = |container: &str| some(&of(&at(&executor, container), Some(&pod)), &NAMES[..4]);
        assert_eq!(named("c2.n1"), ["/shop/cart", "marathon", "t.web", "web"]);
        assert_eq!(named("c2.n12"), ["/shop/cart", "marathon", "t.side", "sidecar"]);
        assert_eq!(named("c2.n12.debug"), ["/shop/cart", "marathon", "t.side", "sidecar"]);
        assert_eq!(named("c2.other"), ["/shop/cart", "marathon", "", ""]);
        assert_eq!(named("c2"), ["/shop/cart", "marathon", "", ""]);
    }

    #[test]
    fn task_labels_never_take_over_ours() {
        let mut known = facts("f", vec![task("t", "n", "")]);
        known.labels = [("team", "executors"), ("tier", "web")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        known.tasks[0].labels = [
            ("app", "mine"),
            ("team", "shop"),
            ("org.apache.aurora.tier", "preferred"),
            ("org_apache_aurora_tier", "again"),
            ("7", "x"),
            ("long", &"é".repeat(500)),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let found = of(&at("e", "c"), Some(&known));
        let names = ["app", "team", "tier", "org_apache_aurora_tier", "_7"];
        assert_eq!(some(&found, &names), ["f", "shop", "web", "again", "x"]);
        assert_eq!(found.get("long").map(<[u8]>::len), Some(VALUE_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn any_metadata_gives_labels(
            executor in prop::collection::vec(any::<u8>(), 0..60),
            container in prop::collection::vec(any::<u8>(), 0..60),
            texts in prop::collection::vec("\\PC{0,40}", 6),
            labels in prop::collection::btree_map("\\PC{0,300}", "\\PC{0,400}", 0..40),
        ) {
            let facts = Facts {
                framework_name: texts[0].clone(),
                principal: texts[1].clone(),
                source: texts[2].clone(),
                tasks: vec![task(&texts[3], &texts[4], &texts[5])],
                labels,
                ..Facts::default()
            };
            let place = Container { executor: &executor, container: &container, ..at("", "") };
            let found = of(&place, Some(&facts));
            prop_assert!(executor.is_empty() && container.is_empty() || found.get("app").is_some());
        }
    }
}
