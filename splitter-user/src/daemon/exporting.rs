//! Owns the listener for metrics: there as long as the configuration names one, and moved when a
//! reload does.
//!
//! Invariant: a listener that cannot be had stops nothing; it is told and tried again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use super::core::Daemon;
use crate::api;

/// How often the configuration is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A listener that answers.
struct Open {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Open {
    async fn at(address: SocketAddr, daemon: &Arc<Daemon>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = api::metrics::serve(listener, Arc::clone(daemon), async {
            let _closed = stopped.await;
        });
        log::info!("metrics: http://{address}/metrics");
        Ok(Self {
            at: address,
            stop,
            server: tokio::spawn(serving),
        })
    }

    /// Ends it; answers under way are given up after a second.
    async fn close(self) {
        let _server_gone = self.stop.send(());
        let mut server = self.server;
        if tokio::time::timeout(EVERY, &mut server).await.is_err() {
            server.abort();
        }
    }
}

/// Keeps what the configuration asks for.
pub(super) async fn keep(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(EVERY);
    let mut open: Option<Open> = None;
    loop {
        every.tick().await;
        let wanted = daemon.core.lock().await.config.metrics.listen;
        if open.as_ref().map(|open| open.at) == wanted {
            continue;
        }
        if let Some(open) = open.take() {
            open.close().await;
        }
        let failure = match wanted {
            None => None,
            Some(address) => match Open::at(address, &daemon).await {
                Ok(now) => {
                    open = Some(now);
                    None
                }
                Err(error) => Some(format!(
                    "metrics cannot be asked for at {address}: {error}; tried again every second, \
                     or set another `listen` in [metrics]"
                )),
            },
        };
        let mut core = daemon.core.lock().await;
        if core.no_metrics != failure {
            if let Some(line) = &failure {
                log::error!("{line}");
            }
            core.no_metrics = failure;
        }
    }
}
