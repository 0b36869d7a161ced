//! The address on which a role listens, and where it keeps its data: taken, or said why not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::STOP_TIMEOUT;
use crate::config::Config;

/// Takes the port. To be done first: nothing is touched if another process has it.
pub(super) async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    TcpListener::bind(config.listen)
        .await
        .map_err(|error| anyhow::anyhow!("{}: {error}", why_deaf(config.listen, &error)))
}

/// What kept us from listening, and the way out.
fn why_deaf(listen: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "cannot listen on {listen}: this machine does not have the address {}, name one of \
                 its own with --listen",
                listen.ip()
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "cannot listen on {listen}: ports below 1024 take root or CAP_NET_BIND_SERVICE, choose \
             another --listen"
        ),
        _ => format!("cannot listen on {listen}: stop what has it, or choose another --listen"),
    }
}

pub(super) fn create_data(data: &Path) -> anyhow::Result<()> {
    if data.is_file() {
        anyhow::bail!("--data {} is a file: name a directory", data.display());
    }
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot create --data {}", data.display()))
}

/// An address at which this machine reaches what listens on `addr`.
pub(super) fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

/// Says on standard error where it listens: people and tests wait for it.
pub(super) fn announce(config: &Config, addr: SocketAddr) {
    let data = config.data.display();
    eprintln!("sawlog listens on http://{addr} and keeps its data in {data}");
}

/// A server that answers until it is told to stop.
pub(super) struct Server {
    task: JoinHandle<io::Result<()>>,
    end: oneshot::Sender<()>,
}

impl Server {
    pub(super) fn start(listener: TcpListener, router: Router) -> Self {
        let (end, ended) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // The sender's end is the signal, whether it is sent or dropped.
            ended.await.unwrap_or_default();
        });
        Self { task: tokio::spawn(server.into_future()), end }
    }

    /// Takes no more requests; gives what waits for the answers under way.
    pub(super) fn stop(self) -> Stopping {
        drop(self.end);
        Stopping(self.task)
    }
}

/// A server that finishes its answers.
pub(super) struct Stopping(JoinHandle<io::Result<()>>);

impl Stopping {
    /// Waits for the answers under way, for [`STOP_TIMEOUT`] at most.
    pub(super) async fn wait(self) {
        if tokio::time::timeout(STOP_TIMEOUT, self.0).await.is_err() {
            tracing::warn!("answers under way were broken off");
        }
    }
}
