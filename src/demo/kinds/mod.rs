//! The six kinds of containers: who schedules them, how often something happens in them, and, one
//! file each, what they write about it.

mod api;
mod export;
mod indexer;
mod mailer;
mod payments;
mod web;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;

use super::container::Console;
use super::sandboxes::uuid;

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A web server with an access log.
    Web,
    /// An API that writes JSON.
    Api,
    /// A Java service with stack traces.
    Payments,
    /// A batch job, which ends.
    Export,
    /// A service that says too much.
    Indexer,
    /// A Python worker with tracebacks.
    Mailer,
}

/// Who schedules a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framework {
    Marathon,
    Chronos,
    Aurora,
}

impl Framework {
    pub(super) const ALL: [Self; 3] = [Self::Marathon, Self::Chronos, Self::Aurora];

    /// The id that the master gave it.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Marathon => "7b1f0c52-9d3e-4a86-b1c7-2f4e8a905d13-0000",
            Self::Chronos => "7b1f0c52-9d3e-4a86-b1c7-2f4e8a905d13-0001",
            Self::Aurora => "7b1f0c52-9d3e-4a86-b1c7-2f4e8a905d13-0002",
        }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Web, Self::Api, Self::Payments, Self::Export, Self::Indexer, Self::Mailer];

    /// The name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Api => "api",
            Self::Payments => "payments",
            Self::Export => "export",
            Self::Indexer => "indexer",
            Self::Mailer => "mailer",
        }
    }

    pub(super) fn framework(self) -> Framework {
        match self {
            Self::Web | Self::Api | Self::Payments | Self::Indexer => Framework::Marathon,
            Self::Export => Framework::Chronos,
            Self::Mailer => Framework::Aurora,
        }
    }

    /// The executor's id as its framework would make it for a new container.
    pub(super) fn executor_id(self, rng: &mut fastrand::Rng) -> String {
        let marathon = |path: &str, rng| format!("{path}.instance-{}._app.1", uuid(rng));
        match self {
            Self::Web => marathon("web_frontend", rng),
            Self::Api => marathon("shop_api", rng),
            Self::Payments => marathon("shop_payments", rng),
            Self::Indexer => marathon("search_indexer", rng),
            Self::Export => {
                let due = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                format!("ct:{}:0:order-export:", due.as_millis())
            }
            Self::Mailer => format!("thermos-www-data-prod-mailer-0-{}", uuid(rng)),
        }
    }

    /// The process whose output Thermos keeps, where Thermos runs the task.
    pub(super) fn thermos_process(self) -> Option<&'static str> {
        (self.framework() == Framework::Aurora).then_some("mailer")
    }

    /// How many things happen before the container ends by itself; `None` if it does not.
    pub(super) fn events(self) -> Option<u32> {
        (self == Self::Export).then_some(export::EVENTS)
    }

    /// How long until the next thing happens: half to one and a half times the mean.
    pub(super) fn pause(self, rng: &mut fastrand::Rng) -> Duration {
        let mean = match self {
            Self::Web | Self::Api => 30_000,
            Self::Payments => 70_000,
            Self::Export => 200_000,
            Self::Indexer => 18_000,
            Self::Mailer => 250_000,
        };
        Duration::from_micros(rng.u64(mean / 2..mean / 2 * 3))
    }

    /// The first lines.
    pub(super) fn start(self, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Web => web::start(console),
            Self::Api => api::start(console),
            Self::Payments => payments::start(console),
            Self::Export => export::start(console),
            Self::Indexer => indexer::start(console),
            Self::Mailer => mailer::start(console),
        }
    }

    /// Something usual happens, or something that happens now and then.
    pub(super) fn event(self, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Web => web::event(console),
            Self::Api => api::event(console),
            Self::Payments => payments::event(console),
            Self::Export => export::event(console),
            Self::Indexer => indexer::event(console),
            Self::Mailer => mailer::event(console),
        }
    }

    /// This container's part of a request that goes wrong in several.
    pub(super) fn traced(self, console: &mut Console, request: &str) -> io::Result<()> {
        match self {
            Self::Web => web::traced(console, request),
            Self::Api => api::traced(console, request),
            Self::Payments => payments::traced(console, request),
            Self::Export | Self::Indexer | Self::Mailer => Ok(()),
        }
    }

    /// The last line of a container that was told to end.
    pub(super) fn stop(self, console: &mut Console) -> io::Result<()> {
        match self {
            Self::Web => web::stop(console),
            Self::Api => api::stop(console),
            Self::Payments => payments::stop(console),
            Self::Export => export::stop(console),
            Self::Indexer => indexer::stop(console),
            Self::Mailer => mailer::stop(console),
        }
    }

    /// The last lines of a container whose work is done.
    pub(super) fn finish(self, console: &mut Console) -> io::Result<ExitCode> {
        match self {
            Self::Export => export::finish(console),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_str(kind.name(), false), Ok(kind));
        }
    }

    #[test]
    fn ids_are_valid_file_names_and_new_each_time() {
        let mut rng = fastrand::Rng::with_seed(1);
        for kind in Kind::ALL {
            let id = kind.executor_id(&mut rng);
            assert!(id.len() <= 255 && !id.contains('/'), "{id}");
            if kind != Kind::Export {
                assert_ne!(id, kind.executor_id(&mut rng));
            }
        }
    }
}
