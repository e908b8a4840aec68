//! Owns the table of `top`: services, versions and backends, a line each, with the columns that a width has
//! room for.
//!
//! Invariant: pure; wider shows more and never less.

use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::draw::{Choice, Palette};
use super::track::Rates;
use super::view::{Fares, Row, VersionView, View};
use crate::api::types::Quantiles;
use crate::cli::text;

/// A column: its head, its width with the space before it, and what stands there of a row; the last is
/// whether times are those of all.
type Column = (&'static str, usize, fn(&Row, bool) -> String);

/// From which width on a table has room for the times of turns.
const TIMES: u16 = 96;
/// For shares and open flows.
const SHARES: u16 = 112;
/// For what servers do wrong.
const FAULTS: u16 = 128;
/// For what is cut and diverted.
const CUTS: u16 = 144;

/// What a terminal of that width has room for besides names, weights and errors.
fn columns(width: u16) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![("FLOW/s", 8, |row, _| told(row, |rates| rates.flows))];
    if width >= 72 {
        columns.push(("PKT/s", 8, |row, _| told(row, |rates| rates.packets)));
        columns.push(("BIT/s", 8, |row, _| told(row, |rates| rates.bits)));
    }
    if width >= TIMES {
        columns.push(("P50", 8, |row, all| time(row, all, |each| each.p50_s)));
        columns.push(("P90", 8, |row, all| time(row, all, |each| each.p90_s)));
        columns.push(("P99", 8, |row, all| time(row, all, |each| each.p99_s)));
    }
    if width >= FAULTS {
        columns.push(("RST/s", 8, |row, _| told(row, |rates| rates.resets)));
        columns.push(("UNANS/s", 8, |row, _| told(row, |rates| rates.unanswered)));
    }
    if width >= CUTS {
        columns.push(("CUT/s", 8, |row, _| told(row, |rates| rates.cut)));
        columns.push(("DIVERT/s", 9, |row, _| told(row, |rates| rates.diverted)));
    }
    columns
}

/// A rate as it is shown; `-` where it is not known.
pub(super) fn told(row: &Row, figure: fn(&Rates) -> f64) -> String {
    let rates = row.rates.as_ref();
    rates.map_or_else(|| "-".to_owned(), |rates| text::rate(figure(rates)))
}

fn time(row: &Row, all: bool, quantile: fn(&Quantiles) -> f64) -> String {
    let times = row.turn.of(all);
    times.map_or_else(|| "-".to_owned(), |each| text::time(quantile(&each)))
}

/// The table, its head first, and the line of the selected service behind the head.
pub(super) fn table(
    view: &View,
    choice: &Choice,
    palette: Palette,
    width: u16,
) -> (Vec<Line<'static>>, usize) {
    let columns = columns(width);
    let shared = width >= SHARES;
    // All the other columns of a wide terminal take 114.
    let name = usize::from(width).saturating_sub(114).clamp(28, 40);
    let mut head = format!("{:<name$}{:>8}", "", "WEIGHT");
    if shared {
        head += &format!("{:>8}{:>9}", "SHARE", "OPEN");
    }
    for (title, width, _) in &columns {
        head += &format!("{title:>width$}");
    }
    head += &format!("{:>8}", "ERR");
    let used = head.len() + 2;
    let style = Style::new().add_modifier(Modifier::UNDERLINED);
    let mut lines = vec![Line::styled(head, style)];
    let cells = |row: &Row| -> String {
        let cell = |(_, width, told): &Column| format!("{:>width$}", told(row, choice.all_times));
        columns.iter().map(cell).collect()
    };
    let mut selected = 0;
    for (at, service) in view.services.iter().enumerate() {
        let chosen = at == choice.selected;
        if chosen {
            selected = lines.len() - 1;
        }
        let mark = if chosen { '>' } else { ' ' };
        let title = format!("{mark}{}  {}", service.name, service.vips);
        lines.push(Line::styled(
            title,
            Style::new().add_modifier(Modifier::BOLD),
        ));
        for version in &service.versions {
            let shares = shares(version, shared);
            let mut line = row(
                &version.row,
                2,
                name,
                &shares,
                &cells(&version.row),
                palette,
            );
            let room = usize::from(width).saturating_sub(used).min(60);
            line.push_span(Span::styled(
                format!("  {}", spark(&version.flows, room)),
                palette.spark(),
            ));
            lines.push(line);
            if choice.backends {
                let blank = " ".repeat(if shared { 25 } else { 8 });
                let backends = version.backends.iter();
                lines
                    .extend(backends.map(|each| row(each, 4, name, &blank, &cells(each), palette)));
            }
        }
    }
    (lines, selected)
}

fn shares(version: &VersionView, shared: bool) -> String {
    let mut out = format!("{:>8}", text::percent(version.weight_percent));
    if shared {
        let open = version
            .open_flows
            .map_or_else(|| "-".to_owned(), text::brief);
        out += &format!("{:>8}{open:>9}", text::share(version.share));
    }
    out
}

fn row(
    row: &Row,
    indent: usize,
    name: usize,
    shares: &str,
    cells: &str,
    palette: Palette,
) -> Line<'static> {
    let symbol = match row.fares {
        Fares::Well => "+",
        Fares::Aside => "~",
        Fares::Badly => "!",
    };
    let note = row.note.as_ref();
    let called = note.map_or_else(|| row.name.clone(), |note| format!("{} {note}", row.name));
    let room = name - indent - 2;
    let called: String = called.chars().take(room).collect();
    let ratio = row.rates.and_then(|rates| rates.error_ratio);
    Line::from(vec![
        Span::raw(" ".repeat(indent)),
        Span::styled(symbol, palette.fares(row.fares)),
        Span::styled(format!(" {called:<room$}"), palette.fares(row.fares)),
        Span::raw(format!("{shares}{cells}")),
        Span::styled(format!("{:>8}", text::share(ratio)), palette.error(ratio)),
    ])
}

/// The last figures that there is room for, against the greatest of them.
pub(super) fn spark(figures: &[f64], room: usize) -> String {
    const STEPS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &figures[figures.len().saturating_sub(room)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let step = |figure: &f64| {
        let part = if most > 0.0 { figure / most } else { 0.0 };
        // What is there is seen, however little it is.
        let least = usize::from(*figure > 0.0);
        let at = (1..=8).take_while(|step| part * 8.0 >= f64::from(*step) - 0.5);
        STEPS[at.count().max(least)]
    };
    shown.iter().map(step).collect()
}
