//! Owns how a program of this crate runs and ends: on a thread of its own, with signals passed on
//! as a wish to stop, so that what it made is gone however it ends.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Signal, geteuid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Exit code after a signal, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;
/// How long cleaning up may take after a signal.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);

/// Raised when a program should end early.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks it to end.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it should end.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error once it should end.
    ///
    /// # Errors
    ///
    /// Then.
    pub fn check(&self) -> Result<()> {
        if self.is_raised() {
            bail!("interrupted");
        }
        Ok(())
    }
}

/// Ends a program whose work needs root with the outcome of [`supervise`]: an error goes to stderr.
/// `why` is what it needs root for.
pub fn run_as_root(why: &str, prepare: impl FnOnce() -> Result<Work>) -> ExitCode {
    let outcome = if geteuid().is_root() {
        prepare().and_then(supervise)
    } else {
        Err(anyhow!("{why}: run it as root"))
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// What a program does; it says whether all that should hold did hold.
pub type Work = Box<dyn FnOnce(&StopFlag) -> Result<bool> + Send>;

/// Runs `work` and tells the exit code; an error is that of `work`, or that it panicked.
fn supervise(work: Work) -> Result<ExitCode> {
    // Whoever started the program may be killed; it then ends as at Ctrl-C.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(watch(work));
    runtime.shutdown_background();
    code
}

async fn watch(work: Work) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = StopFlag::default();
    let (sender, mut done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("work".into()).spawn({
        let stop = stop.clone();
        move || {
            let result = work(&stop);
            // By now everything that it made is gone. Nobody listens after a second signal.
            let _ = sender.send(result);
        }
    })?;
    let held = tokio::select! {
        result = &mut done => result,
        _ = interrupt.recv() => return Ok(clean_up(&stop, done, interrupt).await),
        _ = terminate.recv() => return Ok(clean_up(&stop, done, interrupt).await),
    };
    // A panic drops the sender, after everything else; the message is on stderr already.
    ensure!(thread.join().is_ok(), "it panicked");
    let held = held.context("it ended without a result")??;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn clean_up(
    stop: &StopFlag,
    done: oneshot::Receiver<Result<bool>>,
    mut interrupt: tokio::signal::unix::Signal,
) -> ExitCode {
    eprintln!("interrupted: cleaning up (once more to leave at once)");
    stop.raise();
    tokio::select! {
        _ = done => {}
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(CLEAN_UP_LIMIT) => {}
    }
    ExitCode::from(INTERRUPTED)
}
