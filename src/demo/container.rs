//! The body of a demo container's process: `sawlog demo-container KIND`. It writes lines until its
//! work is done, it is told to end, or nobody reads any more.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::kinds::Kind;

/// How often a request goes through several applications, in seconds.
const TRACE_SECONDS: u64 = 3;
/// The id of each second such request: a client that tries again and again. One search for it shows
/// all applications that it went through.
pub(super) const KNOWN_REQUEST: &str = "9c41e07ab2d85f36";

/// Runs the container of this kind.
pub(crate) fn main(kind: Kind) -> ExitCode {
    // Whatever happens to the agent, nothing of the demo is left. The pipes would end us, too, but
    // only at the next line.
    let with_parent =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    if let Err(error) = with_parent {
        eprintln!("cannot end together with the agent: {error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(live(kind)));
    match outcome {
        Ok(code) => code,
        // Nobody reads what we would say about it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo container {}: {error}", kind.name());
            ExitCode::FAILURE
        }
    }
}

async fn live(kind: Kind) -> io::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut console = Console::new();
    kind.start(&mut console)?;
    kind.traced(&mut console, KNOWN_REQUEST)?;
    let mut slot = now_seconds() / TRACE_SECONDS;
    while kind.events().is_none_or(|events| console.events < events) {
        if pause(kind.pause(&mut console.rng), &mut terminate).await {
            kind.stop(&mut console)?;
            return Ok(ExitCode::SUCCESS);
        }
        let current = now_seconds() / TRACE_SECONDS;
        if current != slot {
            slot = current;
            kind.traced(&mut console, &request_of(slot))?;
        }
        kind.event(&mut console)?;
        console.events += 1;
    }
    kind.finish(&mut console)
}

/// Whether the container is to end.
async fn pause(pause: Duration, terminate: &mut Signal) -> bool {
    tokio::select! {
        _ = terminate.recv() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The id of the request of a stretch of time. All containers compute the same one, so that they
/// need not speak with each other.
fn request_of(slot: u64) -> String {
    if slot.is_multiple_of(2) {
        return KNOWN_REQUEST.to_owned();
    }
    request_id(&mut fastrand::Rng::with_seed(slot))
}

/// A request's id: 16 hexadecimal digits.
pub(super) fn request_id(rng: &mut fastrand::Rng) -> String {
    format!("{:016x}", rng.u64(..))
}

/// What a container writes to, and its dice.
pub(super) struct Console {
    pub(super) rng: fastrand::Rng,
    /// How many events there were.
    pub(super) events: u32,
}

impl Console {
    fn new() -> Self {
        Self { rng: fastrand::Rng::new(), events: 0 }
    }

    /// One line, or several, to standard output.
    pub(super) fn out(&mut self, text: &str) -> io::Result<()> {
        write_line(io::stdout().lock(), text)
    }

    /// One line, or several, to standard error.
    pub(super) fn err(&mut self, text: &str) -> io::Result<()> {
        write_line(io::stderr().lock(), text)
    }

    /// Whether something happens that happens once in `times`.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.rng.u32(..times) == 0
    }

    pub(super) fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.rng.usize(..among.len())]
    }

    pub(super) fn request_id(&mut self) -> String {
        request_id(&mut self.rng)
    }
}

/// One write for all of it, so that an error is seen and lines are never mixed.
fn write_line(mut to: impl Write, text: &str) -> io::Result<()> {
    let mut line = String::with_capacity(text.len() + 1);
    line.push_str(text);
    line.push('\n');
    to.write_all(line.as_bytes())?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_containers_see_the_same_requests() {
        assert_eq!(request_of(100), KNOWN_REQUEST);
        assert_eq!(request_of(101), request_of(101));
        assert_ne!(request_of(101), request_of(103));
        assert_eq!(request_of(101).len(), KNOWN_REQUEST.len());
    }
}
