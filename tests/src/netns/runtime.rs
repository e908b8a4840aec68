//! Owns asynchronous work inside a network namespace.
//!
//! Invariant: a task runs on threads that are in the namespace, so that every socket it makes is.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::Netns;

/// How long dropping a runtime waits for its thread.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// A tokio runtime with one thread, which is in a network namespace.
#[derive(Debug)]
pub struct NetnsRuntime {
    // `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl NetnsRuntime {
    pub(super) fn new(netns: &Netns) -> Result<Self> {
        let inside = netns.clone();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("netns-{}", netns.label()))
            .on_thread_start(move || inside.enter())
            .enable_all()
            .build()
            .with_context(|| format!("cannot start a runtime in {}", netns.label()))?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Starts a task in the namespace.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.inner().spawn(task)
    }

    /// Runs a task in the namespace and waits for it. A panic is passed on.
    ///
    /// # Panics
    ///
    /// When called from inside a runtime.
    pub fn block_on<F>(&self, task: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        // `Runtime::block_on` alone would run the task on the calling thread, outside.
        match self.inner().block_on(self.inner().spawn(task)) {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => unreachable!("nothing cancels the task: {error}"),
            },
        }
    }

    fn inner(&self) -> &Runtime {
        self.runtime
            .as_ref()
            .expect("only dropping takes the runtime")
    }
}

impl Drop for NetnsRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(SHUTDOWN_LIMIT);
        }
    }
}
