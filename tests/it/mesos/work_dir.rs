//! The agent's work directory: sandboxes of all kinds of frameworks, with what must become of each
//! file, and the checkpoints below `meta/`.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use prost::Message;

pub(super) const AGENT: &str = "3c7a9f52-1d0e-4b58-9a67-5e2f0c8d4b11-S3";
pub(super) const OLD_AGENT: &str = "0f4b2c7e-8d11-4c03-b6a5-92e7d1a3f6c0-S1";
pub(super) const MARATHON: &str = "3c7a9f52-1d0e-4b58-9a67-5e2f0c8d4b11-0000";
pub(super) const AURORA: &str = "3c7a9f52-1d0e-4b58-9a67-5e2f0c8d4b11-0001";
pub(super) const ETL: &str = "3c7a9f52-1d0e-4b58-9a67-5e2f0c8d4b11-0002-driver-20260820101500-0007";
pub(super) const CHRONOS: &str = "3c7a9f52-1d0e-4b58-9a67-5e2f0c8d4b11-0003";

pub(super) const CHECKOUT: &str =
    "shop_checkout.instance-5d1c1c0e-a3b4-11ee-8c90-0242ac110004._app.1";
pub(super) const CART: &str = "instance-shop_cart.7f0b9e3a-a3b4-11ee-8c90-0242ac110004";
pub(super) const CART_WEB: &str = "shop_cart.instance-7f0b9e3a-a3b4-11ee-8c90-0242ac110004.web.1";
pub(super) const REPORT: &str = "batch_report.2f3c5e5a-9f11-11ee-8c90-0242ac110004";
pub(super) const HELLO: &str = "www-data-prod-hello-0-4b7f6c0e-0d54-4e0e-9b1f-0e6b6a3f8a11";
pub(super) const NIGHTLY: &str = "ct:1787184000000:0:nightly-report:--day 2026-08-20";

/// A file, and the labels that it must have once the agent has told what it knows.
pub(super) struct Expected {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) content: String,
}

pub(super) struct WorkDir {
    temp: tempfile::TempDir,
    pub(super) expected: Vec<Expected>,
}

impl WorkDir {
    /// An agent with one container of each kind.
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut this = Self { temp, expected: Vec::new() };
        this.marathon();
        this.others();
        let standalone = this.path().join("containers/metrics-probe");
        this.file(&standalone, "stdout", &[("app", "metrics-probe")]);
        // Volumes and health checks are no logs.
        put(&this.path().join("volumes/roles/shop/vol-7/stdout"), "not a log\n");
        symlink("/elsewhere/meta/slaves", this.path().join("slaves/latest")).unwrap();
        this
    }

    pub(super) fn path(&self) -> PathBuf {
        self.temp.path().join("work")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    pub(super) fn temp(&self) -> &Path {
        self.temp.path()
    }

    /// A sandbox.
    pub(super) fn run(&self, agent: &str, framework: &str, executor: &str, run: &str) -> PathBuf {
        let below =
            format!("slaves/{agent}/frameworks/{framework}/executors/{executor}/runs/{run}");
        self.path().join(below)
    }

    fn marathon(&mut self) {
        let checkout = self.run(AGENT, MARATHON, CHECKOUT, "c1");
        let shop = |task| {
            [
                ("app", "/shop/checkout"),
                ("framework", "marathon"),
                ("task", task),
                ("task_name", "checkout.shop"),
                ("user", "root"),
                ("team", "shop"),
                ("container", "c1"),
            ]
        };
        let rotated = "checkout line of an older file\n".repeat(3);
        put(&checkout.join("stdout.1"), &rotated);
        self.file(&checkout, "stdout", &shop(CHECKOUT));
        let stdout = self.expected.last_mut().unwrap();
        stdout.content.insert_str(0, &rotated);
        self.file(&checkout, "stderr", &shop(CHECKOUT));
        put(&checkout.join("stdout.logrotate.conf"), "no log\n");
        latest(&checkout);

        let cart = self.run(AGENT, MARATHON, CART, "c2");
        let pod = [("app", "/shop/cart"), ("framework", "marathon"), ("container", "c2")];
        self.file(&cart, "stderr", &pod);
        for (nested, task, name) in
            [("n1", CART_WEB, "web"), ("n2", "shop_cart.sidecar", "sidecar")]
        {
            let container = format!("c2.{nested}");
            let labels = [
                ("app", "/shop/cart"),
                ("task", task),
                ("task_name", name),
                ("container", &container),
            ];
            self.file(&cart.join("containers").join(nested), "stdout", &labels);
            std::fs::create_dir_all(cart.join("tasks")).unwrap();
            symlink(format!("/elsewhere/c2/containers/{nested}"), cart.join("tasks").join(task))
                .unwrap();
        }
        put(&cart.join("containers/n1/containers/check-7/stdout"), "HTTP/1.1 200 OK\n");

        let report = self.run(AGENT, MARATHON, REPORT, "c3");
        self.file(
            &report,
            "stdout",
            &[("app", "/batch/report"), ("task", REPORT), ("container", "c3")],
        );
        let old = self.run(OLD_AGENT, MARATHON, "old.11111111-a3b4-11ee-8c90-0242ac110004", "c9");
        self.file(&old, "stdout", &[("app", "/old"), ("agent", OLD_AGENT)]);
    }

    fn others(&mut self) {
        let hello = self.run(AGENT, AURORA, &format!("thermos-{HELLO}"), "c4");
        for run in ["0", "1"] {
            let file = format!("sandbox/.logs/hello/{run}/stdout");
            let labels = [
                ("app", "www-data/prod/hello"),
                ("framework", "Aurora"),
                ("task", HELLO),
                ("file", &file),
            ];
            self.file(&hello.join("sandbox/.logs/hello").join(run), "stdout", &labels);
        }
        for container in ["c5a", "c5b"] {
            let etl = self.run(AGENT, ETL, "etl executor #7", container);
            let mut labels = vec![("container", container), ("executor", "etl executor #7")];
            // Only of the second run the agent knows anything: the first is gone from its memory.
            let (app, framework) = if container == "c5b" {
                ("etl-pipeline", "etl-pipeline")
            } else {
                ("etl executor #7", ETL)
            };
            labels.extend([("app", app), ("framework", framework)]);
            self.file(&etl, "stdout", &labels);
        }
        let decoy = self.run(AGENT, ETL, "etl executor #7", "c5b").join("data");
        symlink(self.path().join("volumes/roles/shop/vol-7"), decoy).unwrap();
        let nightly = self.run(AGENT, CHRONOS, NIGHTLY, "c7");
        let labels = [("app", "nightly-report"), ("framework", "chronos"), ("task", NIGHTLY)];
        self.file(&nightly, "stdout", &labels);
        // A container that never wrote a line.
        std::fs::create_dir_all(self.run(AGENT, ETL, "quiet", "c8")).unwrap();
    }

    fn file(&mut self, dir: &Path, name: &'static str, labels: &[(&'static str, &str)]) {
        let number = self.expected.len();
        let content: String = (0..20)
            .map(|n| format!("2026-08-20T10:00:{n:02}.000Z INFO file {number} line {n:06}\n"))
            .collect();
        put(&dir.join(name), &content);
        let mut labels: Vec<(&str, String)> =
            labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        labels.push(("stream", name.to_owned()));
        self.expected.push(Expected { labels, content });
    }

    /// What the agent checkpoints of the shop's container.
    pub(super) fn checkpoint(&self, updates: &[StatusUpdateRecord]) {
        let slaves = self.path().join("meta/slaves");
        let framework = slaves.join(AGENT).join("frameworks").join(MARATHON);
        let executor = framework.join("executors").join(CHECKOUT);
        let task = executor.join("runs/c1/tasks").join(CHECKOUT);
        std::fs::create_dir_all(&task).unwrap();
        let info = Named { user: "root".into(), name: "marathon".into() };
        std::fs::write(framework.join("framework.info"), framed(&info.encode_to_vec())).unwrap();
        let about = TaskInfo { name: "checkout.shop".into() };
        std::fs::write(task.join("task.info"), framed(&about.encode_to_vec())).unwrap();
        let records: Vec<u8> =
            updates.iter().flat_map(|update| framed(&update.encode_to_vec())).collect();
        std::fs::write(task.join("task.updates"), records).unwrap();
        std::fs::write(executor.join("executor.info"), "").unwrap();
        if slaves.join("latest").symlink_metadata().is_err() {
            symlink(format!("/elsewhere/meta/slaves/{AGENT}"), slaves.join("latest")).unwrap();
        }
    }
}

/// A message behind its length.
fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_ne_bytes()[..], message].concat()
}

fn put(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The agent's own view of the directory is another: its links lead nowhere here.
fn latest(run: &Path) {
    symlink("/elsewhere/runs/c1", run.with_file_name("latest")).unwrap();
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct TaskInfo {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusUpdateRecord {
    #[prost(message, optional, tag = "2")]
    update: Option<StatusUpdate>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusUpdate {
    #[prost(message, optional, tag = "4")]
    status: Option<TaskStatus>,
    #[prost(double, tag = "5")]
    timestamp: f64,
}

#[derive(Clone, PartialEq, Message)]
struct TaskStatus {
    #[prost(int32, tag = "2")]
    state: i32,
    #[prost(string, tag = "4")]
    message: String,
    #[prost(double, tag = "6")]
    timestamp: f64,
    #[prost(int32, tag = "9")]
    source: i32,
    #[prost(int32, tag = "10")]
    reason: i32,
}

/// A death for lack of memory.
pub(super) fn out_of_memory(timestamp: f64) -> StatusUpdateRecord {
    let message = "Memory limit exceeded; Command exited with status 137".to_owned();
    // TASK_FAILED, SOURCE_SLAVE, REASON_CONTAINER_LIMITATION_MEMORY
    let status = TaskStatus { state: 3, message, timestamp, source: 1, reason: 8 };
    StatusUpdateRecord { update: Some(StatusUpdate { status: Some(status), timestamp }) }
}
