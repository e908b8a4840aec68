//! Owns the terminal while `top` runs: keys, signals, and the loop that asks and draws.
//!
//! Invariant: the terminal is restored on every way out of [`run`], a panic among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::draw::{Choice, Palette, draw};
use super::view::Series;
use super::{EVERY, look};
use crate::api::Client;
use crate::api::types::Status;

/// How long the thread of the keys sleeps before it looks whether it is needed still.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// Gives the terminal back.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Ends the thread of the keys.
struct Stopped(Arc<AtomicBool>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Draws until somebody has seen enough. The first status that fails ends it; later ones are told and
/// waited out.
pub(super) async fn run(
    client: &Client,
    only: Option<&str>,
    window: Duration,
    palette: Palette,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut series = Series::new(window.as_secs_f64());
    series.take(0.0, look(client, only).await?);
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let _restored = Restored;
    let (mut keys, _stopped) = keys();
    let mut choice = Choice::default();
    let mut statuses = statuses(client.clone(), only.map(str::to_owned));
    loop {
        show(&mut terminal, &series, &mut choice, palette)?;
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = hang_up.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            event = keys.recv() => match event {
                None => return Ok(()),
                Some(event) => if !obey(&event, &mut choice) {
                    return Ok(());
                }
            },
            status = statuses.recv() => {
                let Some(status) = status else {
                    return Ok(());
                };
                choice.trouble = status.as_ref().err().map(|error| format!("{error:#}"));
                if let Ok(status) = status && !choice.paused {
                    series.take(begin.elapsed().as_secs_f64(), status);
                }
            }
        }
    }
}

/// A status every second, asked for beside the keys: a key must not cut a question short.
fn statuses(client: Client, only: Option<String>) -> mpsc::Receiver<anyhow::Result<Status>> {
    let (tell, told) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if tell
                .send(look(&client, only.as_deref()).await)
                .await
                .is_err()
            {
                return;
            }
        }
    });
    told
}

fn show(
    terminal: &mut DefaultTerminal,
    series: &Series,
    choice: &mut Choice,
    palette: Palette,
) -> anyhow::Result<()> {
    let view = series.view();
    choice.selected = choice.selected.min(view.services.len().saturating_sub(1));
    let drawn = terminal.draw(|frame| {
        let area = frame.area();
        draw(&view, choice, palette, area, frame.buffer_mut());
    });
    drawn.context("cannot draw").map(|_| ())
}

/// Keys and new sizes, read by a thread of their own, which ends with what comes beside them.
fn keys() -> (mpsc::Receiver<Event>, Stopped) {
    let (tell, told) = mpsc::channel(16);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let event = match event::poll(KEY_WAIT) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let Ok(event) = event else {
                // The terminal is gone, and the reader is told by the channel's end.
                return;
            };
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    });
    (told, Stopped(stop))
}

/// Does what a key asks for; whether it goes on.
pub(super) fn obey(event: &Event, choice: &mut Choice) -> bool {
    let Event::Key(key) = event else {
        // A new size needs a new frame alone.
        return true;
    };
    if key.kind == KeyEventKind::Release {
        return true;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => return false,
        KeyCode::Char('q') | KeyCode::Esc if !choice.help => return false,
        KeyCode::Char('?' | 'h') => choice.help = !choice.help,
        KeyCode::Char('q') | KeyCode::Esc => choice.help = false,
        KeyCode::Char('j') | KeyCode::Down => choice.selected = choice.selected.saturating_add(1),
        KeyCode::Char('k') | KeyCode::Up => choice.selected = choice.selected.saturating_sub(1),
        KeyCode::Char('b') => choice.backends = !choice.backends,
        KeyCode::Char('d') => choice.details = !choice.details,
        KeyCode::Char('w') => choice.all_times = !choice.all_times,
        KeyCode::Char('p' | ' ') => choice.paused = !choice.paused,
        // Other keys ask for nothing; their list is the terminal's, not ours.
        _ => {}
    }
    true
}
