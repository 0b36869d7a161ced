//! The collector on its own thread, through its public face.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;

use super::fixture::{RUN, stream};
use super::store::{Mode, Recorder};
use crate::{Collector, Config, StartError};

/// Long enough for any machine; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long");
        std::thread::sleep(Duration::from_millis(1));
    }
}

struct Setup {
    temp: tempfile::TempDir,
    config: Config,
    recorder: Arc<Recorder>,
}

fn setup() -> Setup {
    let temp = tempfile::tempdir().expect("temp dir");
    fs::create_dir_all(temp.path().join(RUN)).expect("mkdir");
    let mut config = Config::new(temp.path().join("data"), "h1");
    config.mesos_work_dir = Some(temp.path().to_owned());
    Setup { temp, config, recorder: Arc::new(Recorder::default()) }
}

#[test]
fn collects_stops_and_goes_on() {
    let s = setup();
    let file = s.temp.path().join(RUN).join("stdout");
    let texts = || s.recorder.store.lock().texts(stream(b"c1", b"stdout"));
    fs::write(&file, "1\n").expect("write");
    for (content, expected) in [("1\n2\n", 2), ("1\n2\n3\n", 3)] {
        let handle = Collector::start(s.config.clone(), s.recorder.clone(), &Registry::new())
            .expect("starts");
        until(|| texts().len() + 1 >= expected);
        // Appending the rest keeps the file the same one.
        let mut writer = fs::OpenOptions::new().append(true).open(&file).expect("open");
        let have = fs::metadata(&file).expect("stat").len() as usize;
        std::io::Write::write_all(&mut writer, &content.as_bytes()[have..]).expect("write");
        until(|| texts().len() == expected);
        assert!(handle.is_running());
        until(|| handle.status().in_flight_bytes == 0);
        let stopped = handle.stop(Instant::now() + PATIENCE).expect("no panic");
        assert_eq!(stopped.unacknowledged_bytes, 0);
    }
    assert_eq!(texts(), [b"1", b"2", b"3"]);
    assert_eq!(s.recorder.store.lock().duplicates, 0);
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let s = setup();
    s.recorder.set(Mode::Hold);
    fs::write(s.temp.path().join(RUN).join("stdout"), "1\n").expect("write");
    let handle =
        Collector::start(s.config.clone(), s.recorder.clone(), &Registry::new()).expect("starts");
    until(|| s.recorder.store.lock().batches == 1);
    let stopped = handle.stop(Instant::now()).expect("no panic");
    assert_eq!(stopped.unacknowledged_bytes, 2);
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let s = setup();
    let start = |config: &Config| {
        Collector::start(config.clone(), s.recorder.clone(), &Registry::new()).map(drop)
    };
    let missing = Config { mesos_work_dir: Some("/no/such/dir".into()), ..s.config.clone() };
    let error = start(&missing).unwrap_err();
    assert!(error.to_string().contains("'/no/such/dir'"), "{error}");
    let glob = Config { paths: vec!["/a/[".into()], ..s.config.clone() };
    assert!(matches!(start(&glob), Err(StartError::Config(_))));
    let later = Config { paths: vec!["/no/such/dir/*.log".into()], ..s.config.clone() };
    start(&later).expect("what matches nothing yet is fine");

    let _running =
        Collector::start(s.config.clone(), s.recorder.clone(), &Registry::new()).expect("starts");
    assert!(matches!(start(&s.config), Err(StartError::Locked { .. })));
}
