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
    config.mesos_work_dirs = vec![temp.path().to_owned()];
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

/// Rotation as fast as the machine can, with lines cut, while the collector looks: names change
/// between listing and opening all the time.
#[test]
fn names_that_change_while_they_are_listed_lose_nothing() {
    const ROTATIONS: usize = 150;
    let mut s = setup();
    s.config.relist_for = PATIENCE;
    let path = s.temp.path().join(RUN).join("stdout");
    let rotated = |n: usize| if n == 0 { path.clone() } else { path.with_extension(n.to_string()) };
    let handle =
        Collector::start(s.config.clone(), s.recorder.clone(), &Registry::new()).expect("starts");
    for rotation in 0..ROTATIONS {
        fs::write(&path, format!("end\n{rotation} whole\n{} ", rotation + 1)).expect("write");
        for n in (0..=rotation).rev() {
            fs::rename(rotated(n), rotated(n + 1)).expect("rename");
        }
    }
    fs::write(&path, "end\n").expect("write");
    let texts = || s.recorder.store.lock().texts(stream(b"c1", b"stdout"));
    until(|| texts().len() == 2 * ROTATIONS + 1);
    let mut expected = vec![b"end".to_vec()];
    for rotation in 0..ROTATIONS {
        expected.push(format!("{rotation} whole").into_bytes());
        expected.push(format!("{} end", rotation + 1).into_bytes());
    }
    let texts = texts();
    let wrong = texts.iter().zip(&expected).position(|(text, expected)| text != expected);
    assert_eq!(wrong.map(|at| String::from_utf8_lossy(&texts[at]).into_owned()), None);
    handle.stop(Instant::now() + PATIENCE).expect("no panic");
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
    let missing = Config { mesos_work_dirs: vec!["/no/such/dir".into()], ..s.config.clone() };
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
