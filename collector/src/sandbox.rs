//! The layout of a Mesos agent's work directory: which directories lead to sandboxes, which files in
//! them are logs, and what their place says about them. Nothing else knows it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use sawlog_transport::StreamId;

use crate::envelope::Format;
use crate::mesos::{self, ContainerKey, Metadata};
use crate::place::Source;
use crate::rotation::{self, Age};

/// Mesos nests containers at most this deep.
pub(crate) const NESTING_MAX: usize = 32;

/// How the ids of containers of command health checks begin.
pub(crate) const CHECK: &str = "check-";

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    WorkDir,
    Agents,
    Agent,
    Frameworks,
    Framework,
    Executors,
    Executor,
    Runs,
    /// `containers/` at the top: containers without an executor.
    Standalone,
    Sandbox,
    /// `containers/` inside a sandbox.
    Nested,
    /// `sandbox/`, where Thermos keeps the tree of a task.
    ThermosSandbox,
    ThermosLogs,
    ThermosProcess,
    ThermosRun,
}

/// One directory of the layout, with the ids that lead to it. Ids are file names: any bytes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    layer: Layer,
    agent: Box<[u8]>,
    framework: Box<[u8]>,
    executor: Box<[u8]>,
    /// Container ids from the outermost on, joined by `.`.
    container: Box<[u8]>,
    nesting: usize,
    /// The directory's path inside the sandbox, with a `/` at its end; empty for the sandbox itself.
    inside: Box<[u8]>,
    /// Whether this is the tree of what we write about containers, not of what they write.
    generated: bool,
    /// Whether this is the tree of what the journal told, beside the containers' own files.
    is_journal: bool,
    metadata: Arc<Metadata>,
}

impl Place {
    /// An agent's work directory.
    pub(crate) fn work_dir(metadata: Arc<Metadata>) -> Self {
        let none: Box<[u8]> = Box::default();
        Self {
            layer: Layer::WorkDir,
            agent: none.clone(),
            framework: none.clone(),
            executor: none.clone(),
            container: none.clone(),
            nesting: 0,
            inside: none,
            generated: false,
            is_journal: false,
            metadata,
        }
    }

    /// A tree of the same layout with the streams that we write of the agent's containers.
    pub(crate) fn generated(metadata: Arc<Metadata>) -> Self {
        Self { generated: true, ..Self::work_dir(metadata) }
    }

    /// A tree of the same layout with what containers wrote to the journal. A container may write to
    /// files as well, so these are streams of their own.
    pub(crate) fn journal(metadata: Arc<Metadata>) -> Self {
        Self { is_journal: true, ..Self::work_dir(metadata) }
    }

    /// Whether the files here are ours.
    pub(crate) fn is_generated(&self) -> bool {
        self.generated
    }

    /// Whether this is the outermost directory of a sandbox: what is below is a task's to make.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.layer == Layer::Sandbox && self.nesting == 1
    }

    /// The run's container to which the directory belongs.
    pub(crate) fn container_key(&self) -> ContainerKey {
        let run = self.container.split(|byte| *byte == b'.').next().unwrap_or_default();
        ContainerKey::of(&self.agent, &self.framework, &self.executor, run)
    }

    /// What a directory of this name is; `None` if no logs are below it.
    pub(crate) fn child(&self, name: &OsStr) -> Option<Place> {
        let name = name.as_bytes();
        match (self.layer, name) {
            (Layer::WorkDir, b"slaves") => Some(self.at(Layer::Agents)),
            (Layer::WorkDir, b"containers") => Some(self.at(Layer::Standalone)),
            (Layer::Agents, _) => Some(Place { agent: name.into(), ..self.at(Layer::Agent) }),
            (Layer::Agent, b"frameworks") => Some(self.at(Layer::Frameworks)),
            (Layer::Frameworks, _) => {
                Some(Place { framework: name.into(), ..self.at(Layer::Framework) })
            }
            (Layer::Framework, b"executors") => Some(self.at(Layer::Executors)),
            (Layer::Executors, _) => {
                Some(Place { executor: name.into(), ..self.at(Layer::Executor) })
            }
            (Layer::Executor, b"runs") => Some(self.at(Layer::Runs)),
            (Layer::Runs, b"latest") => None,
            (Layer::Runs | Layer::Standalone | Layer::Nested, _) => self.container(name),
            (Layer::Sandbox, b"containers") => Some(self.at(Layer::Nested)),
            _ => self.thermos_child(name),
        }
    }

    /// `sandbox/.logs/<process>/<run>` in a sandbox.
    fn thermos_child(&self, name: &[u8]) -> Option<Place> {
        let layer = match (self.layer, name) {
            (Layer::Sandbox, b"sandbox") => Layer::ThermosSandbox,
            (Layer::ThermosSandbox, b".logs") => Layer::ThermosLogs,
            (Layer::ThermosLogs, _) => Layer::ThermosProcess,
            (Layer::ThermosProcess, _) => Layer::ThermosRun,
            _ => return None,
        };
        let inside = [&self.inside, name, b"/"].concat();
        Some(Place { inside: inside.into(), ..self.at(layer) })
    }

    fn at(&self, layer: Layer) -> Place {
        Place { layer, ..self.clone() }
    }

    fn container(&self, name: &[u8]) -> Option<Place> {
        // Command health checks come and go every few seconds; nobody wants their output.
        if name.starts_with(CHECK.as_bytes()) || self.nesting >= NESTING_MAX {
            return None;
        }
        let container = if self.container.is_empty() {
            name.into()
        } else {
            [&self.container, &b"."[..], name].concat().into()
        };
        Some(Place { container, nesting: self.nesting + 1, ..self.at(Layer::Sandbox) })
    }

    /// The log to which a file of this name belongs.
    pub(crate) fn log<'a>(&self, name: &'a OsStr) -> Option<(&'a OsStr, Age)> {
        if !matches!(self.layer, Layer::Sandbox | Layer::ThermosRun) {
            return None;
        }
        let (base, age) = rotation::split(name);
        let ours = [mesos::EVENTS, mesos::STATS, mesos::STATS_5M];
        let wanted: &[&str] = if self.generated { &ours } else { &["stdout", "stderr"] };
        wanted.iter().any(|name| base == *name).then_some((base, age))
    }

    /// The stream of a log here.
    pub(crate) fn source(&self, host: &str, base: &OsStr) -> Source {
        let source: &[u8] = if self.is_journal { b"journal/" } else { b"" };
        let file = [source, &self.inside, base.as_bytes()].concat();
        let is_plain = self.inside.is_empty() && !self.is_journal;
        let (agent, framework) = (&self.agent, &self.framework);
        let id = StreamId::of_file(agent, framework, &self.executor, &self.container, &file);
        let known = self.metadata.get(self.container_key());
        let container = mesos::Container {
            host,
            agent,
            framework,
            executor: &self.executor,
            container: &self.container,
            stream: base.as_bytes(),
            file: if is_plain { b"" } else { &file },
        };
        let labels = mesos::labels_of(&container, known.as_ref().map(|known| &known.facts));
        let times_are_true = self.generated;
        Source {
            id,
            labels: Arc::new(labels),
            text_only: false,
            format: Format::Raw,
            times_are_true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Option<Place> {
        path.split('/')
            .try_fold(Place::work_dir(Arc::default()), |at, name| at.child(OsStr::new(name)))
    }

    fn label(source: &Source, name: &str) -> String {
        String::from_utf8_lossy(source.labels.get(name).unwrap_or_default()).into_owned()
    }

    const RUN: &str = "slaves/S1/frameworks/F 1/executors/e:1/runs/c1";

    #[test]
    fn a_run_is_a_sandbox() {
        let run = place(RUN).expect("a run");
        assert_eq!(run.log(OsStr::new("stdout")), Some((OsStr::new("stdout"), 0)));
        assert_eq!(run.log(OsStr::new("stderr.2")), Some((OsStr::new("stderr"), 3)));
        for name in ["stdout.logrotate.conf", "stdout.logrotate.state", "stdout.gz", "data"] {
            assert_eq!(run.log(OsStr::new(name)), None, "{name}");
        }
        let source = run.source("h1", OsStr::new("stdout"));
        assert_eq!(source.id, StreamId::of_file(b"S1", b"F 1", b"e:1", b"c1", b"stdout"));
        assert_eq!(
            source.labels.to_string(),
            r#"{agent="S1",app="e:1",container="c1",executor="e:1",framework="F 1",host="h1",service_name="e:1",stream="stdout"}"#
        );
    }

    #[test]
    fn nested_containers_are_joined_by_dots() {
        let nested = place(&format!("{RUN}/containers/n1/containers/n2")).expect("nested");
        let source = nested.source("h1", OsStr::new("stderr"));
        assert_eq!(source.id, StreamId::of_file(b"S1", b"F 1", b"e:1", b"c1.n1.n2", b"stderr"));
        assert_eq!(label(&source, "container"), "c1.n1.n2");
        assert!(place(&format!("{RUN}/containers/check-1")).is_none());
        let deep = format!("{RUN}{}", "/containers/n".repeat(31));
        assert!(place(&deep).is_some());
        assert!(place(&format!("{deep}/containers/n")).is_none());
    }

    #[test]
    fn thermos_processes_have_their_own_files() {
        let run = place(&format!("{RUN}/sandbox/.logs/hello/0")).expect("a run of a process");
        let source = run.source("h1", OsStr::new("stdout"));
        assert_eq!(label(&source, "file"), "sandbox/.logs/hello/0/stdout");
        assert_eq!(label(&source, "stream"), "stdout");
        assert!(
            place(&format!("{RUN}/sandbox")).expect("on the way").log("stdout".as_ref()).is_none()
        );
    }

    #[test]
    fn standalone_containers_are_named_by_their_id() {
        let source = place("containers/c9").expect("standalone").source("h1", OsStr::new("stdout"));
        assert_eq!(label(&source, "app"), "c9");
        assert_eq!(label(&source, "executor"), "");
    }

    #[test]
    fn recognised_tasks_are_labelled() {
        let id = "shop_checkout.instance-5d1c1c0e-a3b4-11ee-8c90-0242ac110004._app.1";
        let path = format!("slaves/S1/frameworks/F/executors/{id}/runs/c1");
        let source = place(&path).expect("run").source("h", OsStr::new("stdout"));
        assert_eq!(label(&source, "app"), "/shop/checkout");
        assert_eq!(label(&source, "service_name"), "/shop/checkout");
        assert_eq!(label(&source, "task"), id);
    }

    #[test]
    fn generated_streams_stand_beside_those_of_the_container() {
        let root = Place::generated(Arc::default());
        let run = RUN.split('/').try_fold(root, |at, name| at.child(OsStr::new(name)));
        let run = run.expect("the same layout");
        assert_eq!(run.log(OsStr::new("stdout")), None);
        assert_eq!(run.log(OsStr::new("stats.1")), Some((OsStr::new("stats"), 2)));
        assert_eq!(run.log(OsStr::new("stats_5m")), Some((OsStr::new("stats_5m"), 0)));
        let source = run.source("h1", OsStr::new("events"));
        assert_eq!(source.id, StreamId::of_file(b"S1", b"F 1", b"e:1", b"c1", b"events"));
        assert_eq!(label(&source, "stream"), "events");
        assert!(source.times_are_true);
        assert_eq!(run.container_key(), ContainerKey::of(b"S1", b"F 1", b"e:1", b"c1"));
        let nested = place(&format!("{RUN}/containers/n1")).expect("nested");
        assert_eq!(nested.container_key(), run.container_key());
        assert_eq!(nested.log(OsStr::new("events")), None);
    }

    #[test]
    fn the_journal_is_a_stream_of_its_own() {
        let root = Place::journal(Arc::default());
        let run = RUN.split('/').try_fold(root, |at, name| at.child(OsStr::new(name)));
        let run = run.expect("the same layout");
        let told = run.source("h1", OsStr::new("stdout"));
        let written = place(RUN).expect("a run").source("h1", OsStr::new("stdout"));
        assert_eq!(told.id, StreamId::of_file(b"S1", b"F 1", b"e:1", b"c1", b"journal/stdout"));
        assert_ne!(told.id, written.id);
        assert_eq!(label(&told, "file"), "journal/stdout");
        assert_eq!((label(&told, "stream"), label(&written, "file")), ("stdout".into(), "".into()));
    }

    #[test]
    fn other_directories_hold_no_logs() {
        for path in ["meta", "provisioner", "slaves/S1/docker", "volumes", "slaves/S1/x"] {
            assert!(place(path).is_none(), "{path}");
        }
        let latest = "slaves/S1/frameworks/F/executors/E/runs/latest";
        assert!(place(latest).is_none());
        assert!(place(&format!("{RUN}/data")).is_none());
    }
}
