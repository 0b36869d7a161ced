//! The HTTP side of the agent: `/state`, `/containers` and the call for what is nested, and the ways in which agents fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::answers::nested_containers;

/// How the agent answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Fine,
    /// Takes the question and says nothing, until the mood changes.
    Hangs,
    /// This status, with a body that is no JSON.
    Refuses(u16),
    /// With bytes in names that are no UTF-8.
    CutsNames,
    /// Compressed, as agents do it for whoever accepts it.
    Compresses,
}

/// The statistics, by how many times they were asked for before.
type Containers = Box<dyn Fn(u64) -> Value + Send>;

struct Told {
    mood: Mood,
    state: Value,
    containers: Containers,
    looks: u64,
    /// What the header must be, if the agent asks who it is.
    authorization: Option<String>,
    questions: u64,
    /// Whether calls are allowed, beside the old endpoints.
    calls: bool,
}

/// A listening agent; its threads end with the test process.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    told: Arc<Mutex<Told>>,
}

impl Server {
    pub(super) fn start(state: Value, containers: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (mood, authorization, questions, looks) = (Mood::Fine, None, 0, 0);
        let containers: Containers = Box::new(move |_| containers.clone());
        let calls = true;
        let told = Told { mood, state, containers, looks, authorization, questions, calls };
        let this = Self { addr, told: Arc::new(Mutex::new(told)) };
        let agent = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let agent = agent.clone();
                std::thread::spawn(move || agent.serve(&stream));
            }
        });
        this
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.told.lock().unwrap().mood = mood;
    }

    pub(super) fn set_state(&self, state: Value) {
        self.told.lock().unwrap().state = state;
    }

    /// From now on, statistics are what this makes of the number of questions for them.
    pub(super) fn set_containers(&self, containers: impl Fn(u64) -> Value + Send + 'static) {
        let mut told = self.told.lock().unwrap();
        (told.containers, told.looks) = (Box::new(containers), 0);
    }

    /// How many times statistics were asked for since they were set.
    pub(super) fn looks(&self) -> u64 {
        self.told.lock().unwrap().looks
    }

    pub(super) fn demand(&self, authorization: &str) {
        self.told.lock().unwrap().authorization = Some(authorization.to_owned());
    }

    /// Calls are for others, as where only the endpoints that read are open.
    pub(super) fn refuse_calls(&self) {
        self.told.lock().unwrap().calls = false;
    }

    /// Questions that came so far.
    pub(super) fn questions(&self) -> u64 {
        self.told.lock().unwrap().questions
    }

    fn mood(&self) -> Mood {
        self.told.lock().unwrap().mood
    }

    /// Answers one question and closes, which HTTP/1.1 allows.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let (mut path, mut authorization, mut accepts) = (String::new(), None, String::new());
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if let Some((name, value)) = line.trim().split_once(": ") {
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => authorization = Some(value.to_owned()),
                    "accept-encoding" => value.clone_into(&mut accepts),
                    "content-length" => length = value.parse().unwrap_or(0),
                    _ => {}
                }
            }
            line.clear();
        }
        // What is closed unread would take the answer along.
        drop(std::io::copy(&mut reader.take(length), &mut std::io::sink()));
        self.told.lock().unwrap().questions += 1;
        while self.mood() == Mood::Hangs {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (status, mut body) = self.answer(&path, authorization.as_deref());
        let mut encoding = "";
        if self.mood() == Mood::Compresses && accepts.contains("gzip") {
            (body, encoding) = (compressed(&body), "Content-Encoding: gzip\r\n");
        }
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{encoding}Connection: close\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        // Who asked may be gone.
        drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
    }

    fn answer(&self, path: &str, authorization: Option<&str>) -> (u16, Vec<u8>) {
        let mut told = self.told.lock().unwrap();
        if let Mood::Refuses(status) = told.mood {
            return (status, b"Agent has not finished recovery".to_vec());
        }
        if told.authorization.is_some() && told.authorization.as_deref() != authorization {
            return (401, Vec::new());
        }
        // Agents answer below their process's name too.
        let body = match path.strip_prefix("/slave(1)").unwrap_or(path) {
            "/state" => told.state.to_string().into_bytes(),
            "/containers" => {
                told.looks += 1;
                (told.containers)(told.looks - 1).to_string().into_bytes()
            }
            "/api/v1" if told.calls => nested_containers().to_string().into_bytes(),
            "/api/v1" => return (403, Vec::new()),
            _ => return (404, Vec::new()),
        };
        if told.mood == Mood::CutsNames {
            let text = String::from_utf8(body).unwrap();
            // The last byte of a character is missing.
            let parts: Vec<&[u8]> = text.split("日").map(str::as_bytes).collect();
            return (200, parts.join(&b"\xe6\x97"[..]));
        }
        (200, body)
    }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}
