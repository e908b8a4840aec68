//! The demo's command line: runs [`splitter_tests::demo`] and cleans up however it ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rustix::process::{Signal, geteuid, set_parent_process_death_signal};
use splitter_tests::demo::{self, DemoOptions, StopFlag};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Exit code after a signal, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;
/// How long cleaning up may take after a signal.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(30);

/// Splits real traffic between two versions, shifts the weight and shows what went where
#[derive(Debug, Parser)]
#[command(name = "splitter-demo")]
struct Arguments {
    /// Write the figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put clients and backends on the same interface of the load balancer
    #[arg(long)]
    same_interface: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    ensure!(
        geteuid().is_root(),
        "the demo makes network namespaces and loads an XDP program: run it as root"
    );
    // Whoever started the demo may be killed; the demo then ends as at Ctrl-C.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(supervise(DemoOptions {
        json: arguments.json,
        same_interface: arguments.same_interface,
    }));
    runtime.shutdown_background();
    code
}

/// Runs the demo on a thread of its own and passes signals on as a wish to stop.
async fn supervise(options: DemoOptions) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = StopFlag::default();
    let (sender, mut done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("demo".into()).spawn({
        let stop = stop.clone();
        move || {
            let result = demo::run(&options, &stop);
            // By now everything that the demo made is gone. Nobody listens after a second signal.
            let _ = sender.send(result);
        }
    })?;
    let held = tokio::select! {
        result = &mut done => result,
        _ = interrupt.recv() => return Ok(clean_up(&stop, done, interrupt).await),
        _ = terminate.recv() => return Ok(clean_up(&stop, done, interrupt).await),
    };
    // A panic drops the sender, after everything else; the message is on stderr already.
    ensure!(thread.join().is_ok(), "the demo panicked");
    let held = held.context("the demo ended without a result")??;
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
