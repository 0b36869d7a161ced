//! An agent behind TLS: with ciphers that we take, and with its own defaults, which we do not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::answers::{RUNNING_AT, state};
use super::work_dir::WorkDir;
use crate::node::{Setup, eventually};

/// A real TLS listener that serves the files of a directory. Killed when dropped.
struct Listener {
    child: Child,
    port: u16,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().expect("the child can be waited for");
    }
}

/// `None` without openssl.
fn openssl(args: &[&str], dir: &Path) -> Option<Command> {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(dir).stdin(Stdio::null()).stderr(Stdio::null());
    let version = Command::new("openssl").arg("version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success()).then_some(command)
}

fn certificate(dir: &Path) -> bool {
    let args = "req -x509 -newkey rsa:2048 -nodes -days 30 -keyout key.pem -out cert.pem \
                -subj /CN=agent -addext subjectAltName=IP:127.0.0.1 \
                -addext basicConstraints=critical,CA:FALSE";
    let args: Vec<&str> = args.split_whitespace().collect();
    openssl(&args, dir).is_some_and(|mut command| command.status().is_ok_and(|s| s.success()))
}

fn listen(dir: &Path, ciphers: &str) -> Listener {
    let args = [
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        "cert.pem",
        "-key",
        "key.pem",
        "-tls1_2",
        "-cipher",
        ciphers,
        "-HTTP",
    ];
    let mut child = openssl(&args, dir).unwrap().stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next().expect("s_server listens").unwrap();
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.rsplit(':').next().unwrap().trim().parse().unwrap();
        }
    };
    // What it says later must not stop it.
    std::thread::spawn(move || lines.for_each(drop));
    Listener { child, port }
}

#[test]
fn ciphers_that_nobody_should_use_are_named_with_the_setting_and_tailing_goes_on() {
    let work = WorkDir::new();
    let dir = work.temp().join("tls");
    std::fs::create_dir_all(&dir).unwrap();
    if !certificate(&dir) {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl makes no certificates");
        eprintln!("SKIPPED: no openssl that makes certificates, TLS to an agent is not tested");
        return;
    }
    let body = state(&[("TASK_RUNNING", RUNNING_AT)], false).to_string();
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    std::fs::write(dir.join("state"), answer).unwrap();
    let setup = |port: u16| {
        Setup::new(&work.data())
            .arg("--mesos-work-dir", work.path())
            .arg("--mesos-agent-url", format!("https://127.0.0.1:{port}"))
            .arg("--mesos-ca-file", dir.join("cert.pem"))
            .arg("--mesos-poll-interval", "200ms")
            .arg("--mesos-stats-interval", "1h")
            .arg("--task-label", "team")
    };
    let old = listen(&dir, "AES128-SHA:@SECLEVEL=0");
    let node = setup(old.port).start();
    let handshakes = r#"sawlog_collector_mesos_polls_total{outcome="tls_handshake"}"#;
    let failed = || {
        let (_, body) = node.get("/metrics", &[]);
        let text = String::from_utf8(body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(handshakes).map(str::to_owned));
        (line.map_or(0.0, |value| value.trim().parse::<f64>().unwrap()), node.log())
    };
    eventually("handshakes that fail", failed, |(times, _)| *times >= 3.0);
    assert_eq!(node.log().matches("LIBPROCESS_SSL_CIPHERS=").count(), 1, "{}", node.log());
    let lines = r#"{container="c5b", stream="stdout"}"#;
    eventually("lines", || node.count(lines), |found| *found == 20);
    assert_eq!(node.terminate(), Some(0));
    drop(old);

    let safe = listen(&dir, "ECDHE-RSA-AES128-GCM-SHA256");
    let stranger = Setup::new(&work.temp().join("other"))
        .arg("--mesos-work-dir", work.path())
        .arg("--mesos-agent-url", format!("https://127.0.0.1:{}", safe.port))
        .start();
    let what = "is not trusted: name the file with the certificate that signed it as mesos_ca_file";
    eventually("a certificate unknown", || stranger.log(), |log| log.contains(what));
    let node = setup(safe.port).start();
    let named = r#"{container="c5b", stream="stdout", app="etl-pipeline"}"#;
    eventually("names over TLS", || (node.count(named), node.log()), |(found, _)| *found == 20);
}
