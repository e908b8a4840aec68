//! Tests of rates, of frames in three sizes, and of keys. `golden/top-*.txt` are the frames; renewed
//! with the others by `SPLITTER_RENEW_GOLDEN=1`.

use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::draw::{Choice, Palette, draw, text};
use super::screen::obey;
use super::view::{Fares, Series, View};
use crate::api::types::{Counters, Quantiles, Status};
use crate::cli::tests::fixed::status;

/// A status after so many steps: each version has taken `flows` new ones a step, of which `failed`
/// were reset by the server.
fn after(steps: u64, flows: u64, failed: u64) -> Status {
    let mut status = status();
    let more = |counters: &mut Counters| {
        counters.new_flows += steps * flows;
        counters.handshakes += steps * flows;
        counters.syns_begun += steps * flows;
        counters.syns_answered += steps * flows;
        counters.resets_by_server += steps * failed;
        counters.packets_in += steps * flows * 10;
        counters.packets_out += steps * flows * 8;
        counters.bytes_in += steps * flows * 1_000;
        counters.bytes_out += steps * flows * 9_000;
        counters.cut += steps * 2;
        counters.diverted += steps;
    };
    for version in &mut status.services[0].versions {
        more(&mut version.counters);
        let shaken = &mut version.times.handshake.cells;
        shaken.resize(31, 0);
        shaken[30] += steps * flows;
        for backend in &mut version.backends {
            more(&mut backend.counters);
        }
    }
    status
}

/// What is shown after some steps of a second each.
fn view() -> View {
    let mut series = Series::new(60.0);
    for step in 0..12 {
        series.take(
            f64::from(u32::try_from(step).expect("few")),
            after(step, 400, 8),
        );
    }
    series.view()
}

#[test]
fn rates_are_between_two_looks_and_none_before_the_second() {
    let mut series = Series::new(60.0);
    assert!(series.view().services.is_empty());
    series.take(10.0, after(0, 400, 8));
    assert_eq!(series.view().services[0].versions[0].row.rates, None);
    series.take(12.0, after(1, 400, 8));
    let view = series.view();
    let stable = &view.services[0].versions[0];
    let rates = stable.row.rates.expect("two looks");
    let told = [rates.flows, rates.packets, rates.bits, rates.resets];
    assert_eq!(told, [200.0, 3_600.0, 16_000_000.0, 4.0]);
    assert_eq!((rates.cut, rates.diverted), (1.0, 0.5));
    assert_eq!(rates.error_ratio, Some(0.02));
    assert_eq!(stable.flows, [200.0]);
    // Nothing begins: no ratio, which is not 0.
    let idle = view.services[1].versions[0].row.rates.expect("two looks");
    assert_eq!((idle.flows, idle.error_ratio), (0.0, None));
    // Another data plane counts from nothing.
    series.take(13.0, after(0, 400, 8));
    assert_eq!(series.view().services[0].versions[0].row.rates, None);
}

/// A status in which each version has had so many turns of 1.1 ms and of 36 ms.
fn turned(short: u64, long: u64) -> Status {
    let mut status = after(0, 0, 0);
    for version in &mut status.services[0].versions {
        let of_backend = &mut version.backends[0].times.turn;
        of_backend.cells = vec![0; 61];
        (of_backend.cells[40], of_backend.cells[60]) = (short, long);
        let turn = &mut version.times.turn;
        turn.cells.clone_from(&of_backend.cells);
        // As the daemon tells them: of all.
        turn.count = short + long;
        let p50_us = if short < long { 36_864 } else { 1_152 };
        (turn.p50_us, turn.p90_us, turn.p99_us) = (Some(p50_us), Some(36_864), Some(36_864));
    }
    status
}

#[test]
fn times_that_rose_are_seen_to_fall_and_those_of_all_are_not() {
    let mut series = Series::new(60.0);
    let choices = [false, true].map(|all_times| Choice {
        all_times,
        ..Choice::default()
    });
    let shows = |series: &Series, all: bool| {
        let text = symbols(&frame(
            &series.view(),
            &choices[usize::from(all)],
            false,
            80,
            24,
        ));
        let line = text.lines().find(|line| line.contains("turn p50"));
        line.expect("a panel")
            .split_whitespace()
            .nth(2)
            .map(str::to_owned)
    };
    let seen = |series: &Series| [false, true].map(|all| shows(series, all).expect("a time"));
    series.take(0.0, turned(0, 0));
    assert_eq!(seen(&series)[0], "-");
    for second in 1..=30 {
        series.take(f64::from(second), turned(0, 100 * second as u64));
    }
    assert_eq!(seen(&series), ["36.9ms", "36.9ms"]);
    for second in 31..=90 {
        series.take(f64::from(second), turned(second as u64, 3_000));
    }
    assert_eq!(seen(&series), ["1.15ms", "36.9ms"]);
    let view = series.view();
    let of_backend = view.services[0].versions[0].backends[0].turn.recent;
    let told = of_backend.map(|each| (each.p50_s, each.count));
    assert_eq!(told, Some((0.001_152, 90)));
    // A version that begins at nothing has no times yet, whatever the one before it had.
    series.take(91.0, turned(0, 0));
    assert_eq!(seen(&series)[0], "-");
    // One that goes takes its times with it.
    let mut without = turned(0, 10);
    without.services[0].versions.truncate(1);
    series.take(92.0, without);
    series.take(93.0, turned(0, 20));
    let view = series.view();
    let recent = |at: usize| view.services[0].versions[at].row.turn.recent;
    assert_eq!(
        (recent(0).map(|each| each.count), recent(1)),
        (Some(20), None)
    );
}

#[test]
fn syns_without_an_answer_are_errors_and_answers_of_the_look_before_are_none() {
    let mut series = Series::new(60.0);
    let mut status = after(0, 0, 0);
    for (at, begun, answered) in [(0.0, 0, 0), (1.0, 10, 5), (2.0, 0, 5)] {
        let counters = &mut status.services[0].versions[0].counters;
        counters.new_flows += begun;
        counters.syns_begun += begun;
        counters.syns_answered += answered;
        series.take(at, status.clone());
        let rates = series.view().services[0].versions[0].row.rates;
        let ratio = rates.and_then(|rates| rates.error_ratio);
        let expected = [None, Some(0.5), Some(0.0)][at as usize];
        assert_eq!(ratio, expected, "at {at}");
    }
}

#[test]
fn the_baseline_stands_first_and_the_worst_is_said() {
    let mut worse = after(0, 0, 0);
    worse.services[0].versions.reverse();
    let mut series = Series::new(60.0);
    series.take(0.0, worse);
    let view = series.view();
    let versions = &view.services[0].versions;
    assert!(versions[0].baseline && !versions[1].baseline);
    assert_eq!(versions[1].row.fares, Fares::Badly);
    assert_eq!(versions[1].row.note.as_deref(), Some("EMPTY"));
    assert_eq!(versions[1].backends[0].note.as_deref(), Some("unhealthy"));
}

fn frame(view: &View, choice: &Choice, colour: bool, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let palette = Palette { colour };
    terminal
        .draw(|frame| {
            let area = frame.area();
            draw(view, choice, palette, area, frame.buffer_mut());
        })
        .expect("drawn");
    terminal.backend().buffer().clone()
}

/// The symbols of a frame, line by line.
fn symbols(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width);
    lines
        .map(|cells| {
            let line: String = cells.iter().map(|cell| cell.symbol()).collect();
            line.trim_end().to_owned() + "\n"
        })
        .collect()
}

#[test]
fn frames_are_those_of_the_golden_files_with_and_without_colours() {
    let mut view = view();
    view.services[0].versions[0].row.turn.recent = Some(Quantiles {
        count: 9,
        p50_s: 0.000_25,
        p90_s: 0.003_4,
        p99_s: 1.25,
    });
    let all = Choice {
        all_times: true,
        ..Choice::default()
    };
    let help = Choice {
        help: true,
        ..Choice::default()
    };
    let plain = Choice::default();
    for (name, choice, width, height) in [
        ("80x24", &plain, 80, 24),
        ("60x15", &plain, 60, 15),
        ("100x24", &plain, 100, 24),
        ("160x50", &plain, 160, 50),
        ("80x24-all", &all, 80, 24),
        ("help", &help, 60, 15),
    ] {
        let coloured = frame(&view, choice, true, width, height);
        let mono = frame(&view, choice, false, width, height);
        let text = symbols(&mono);
        // Colours say nothing alone.
        assert_eq!(text, symbols(&coloured), "{name}");
        let colours = |buffer: &Buffer| buffer.content.iter().any(|cell| cell.fg != Color::Reset);
        assert!(colours(&coloured) && !colours(&mono), "{name}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/golden");
        let path = folder.join(format!("{name}.txt"));
        if std::env::var_os("SPLITTER_RENEW_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(&path, &text).expect("written");
        }
        let golden = std::fs::read_to_string(&path).expect("a golden file");
        assert_eq!(text, golden, "{name}: the frame is\n{text}");
    }
}

#[test]
fn a_frame_fits_every_size_and_the_selected_service_is_in_sight() {
    let mut many = after(0, 1, 0);
    let mail = many.services[1].clone();
    for number in 0..40 {
        let mut next = mail.clone();
        next.name = format!("mail{number}");
        many.services.push(next);
    }
    let mut series = Series::new(60.0);
    series.take(0.0, many);
    let view = series.view();
    for (width, height) in [(60, 15), (80, 24), (160, 50), (20, 5), (1, 1)] {
        for selected in [0, 1, 20, 41] {
            let choice = Choice {
                selected,
                help: selected == 1,
                ..Choice::default()
            };
            let text = symbols(&frame(&view, &choice, true, width, height));
            if height >= 15 && selected != 1 {
                let name = &view.services[selected].name;
                assert!(
                    text.contains(&format!(">{name} ")),
                    "{width}x{height}:\n{text}"
                );
            }
        }
    }
}

#[test]
fn every_column_has_room_at_every_width() {
    let view = view();
    for width in 60..=250 {
        let text = text(&view, width);
        let head = text
            .lines()
            .find(|line| line.contains("WEIGHT"))
            .expect("a head");
        assert!(
            head.ends_with("ERR") && head.len() <= usize::from(width),
            "{width}: {head}"
        );
        let buffer = frame(&view, &Choice::default(), false, width, 30);
        assert!(symbols(&buffer).contains(" ERR"), "{width}");
    }
}

#[test]
fn one_frame_as_text_has_every_service_and_no_escapes() {
    let text = text(&view(), 80);
    for part in [
        "shop",
        "mail",
        "canary EMPTY",
        "! eth1 runs",
        "2.00%",
        "handshake",
        "times of the last 11s",
        "turn p50/90/99 - - -",
        "times of all since it began",
        "turn p50/90/99 1.24ms 12.4ms 2.48s",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn keys_do_what_the_help_says() {
    let mut choice = Choice::default();
    let mut press = |code| {
        let event = Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        let goes_on = obey(&event, &mut choice);
        (goes_on, choice.clone())
    };
    assert_eq!(press(KeyCode::Down).1.selected, 1);
    assert_eq!(press(KeyCode::Char('k')).1.selected, 0);
    assert_eq!(press(KeyCode::Char('k')).1.selected, 0);
    assert!(!press(KeyCode::Char('b')).1.backends);
    assert!(!press(KeyCode::Char('d')).1.details);
    assert!(press(KeyCode::Char('w')).1.all_times);
    assert!(!press(KeyCode::Char('w')).1.all_times);
    assert!(press(KeyCode::Char(' ')).1.paused);
    assert!(press(KeyCode::Char('?')).1.help);
    let (goes_on, choice_now) = press(KeyCode::Esc);
    assert!(goes_on && !choice_now.help, "Esc leaves the help first");
    assert!(!press(KeyCode::Char('q')).0);
    let interrupt = Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    assert!(!obey(&interrupt, &mut choice));
    assert!(obey(&Event::Resize(80, 24), &mut choice));
}
