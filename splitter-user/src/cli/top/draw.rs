//! Owns how a view is drawn: into a buffer of any size from 60 x 15 on, with colours or without.
//!
//! Invariant: pure, and whatever a colour says a symbol or a word says too.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Widget as _};

use super::table::{spark, table, told};
use super::track::{Latency, Rates};
use super::view::{Fares, ServiceView, VersionView, View};
use crate::cli::text;

/// The smallest terminal on which all that matters has room.
const LEAST: (u16, u16) = (60, 15);
/// Rows of the panel of versions beside each other, with its frame.
const PANEL: u16 = 8;
const KEYS: &str = "q quit  j/k service  b backends  d details  w all times  p pause  ? help";
/// The same where there is less room.
const KEYS_SHORT: &str = "q quit j/k move b backends d details w times p pause ? help";
const HELP: &str = "\
q, Esc, Ctrl-C  quit
j, k, arrows    another service
b               backends: shown or not
d               versions side by side: or not
w               times: lately, or of all
p               stand still, go on
?               this help

Symbols: + well   ~ aside   ! wrong
FLOW/s PKT/s BIT/s: of the last second
ERR: of 10 s, flows reset or unanswered
P50 P90 P99: of turns, as w says
- : not known, or not measured";

/// With colours or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// With.
    pub(super) colour: bool,
}

impl Palette {
    pub(super) fn fares(self, fares: Fares) -> Style {
        match (self.colour, fares) {
            (true, Fares::Well) => Style::new().fg(Color::Green),
            (true, Fares::Aside) => Style::new().fg(Color::Yellow),
            (true, Fares::Badly) => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
            (false, Fares::Badly) => Style::new().add_modifier(Modifier::BOLD),
            (false, Fares::Well | Fares::Aside) => Style::new(),
        }
    }

    pub(super) fn error(self, ratio: Option<f64>) -> Style {
        match ratio {
            Some(ratio) if ratio >= 0.01 => self.fares(Fares::Badly),
            Some(_) | None => Style::new(),
        }
    }

    pub(super) fn spark(self) -> Style {
        if self.colour {
            Style::new().fg(Color::Cyan)
        } else {
            Style::new()
        }
    }
}

/// What the reader has chosen.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// The service that stands out, by position.
    pub(super) selected: usize,
    /// Backends are shown.
    pub(super) backends: bool,
    /// Versions are shown side by side.
    pub(super) details: bool,
    /// Times are those of all that was measured, not those of lately.
    pub(super) all_times: bool,
    /// Nothing new is taken in.
    pub(super) paused: bool,
    /// The help lies over it.
    pub(super) help: bool,
    /// What keeps news away.
    pub(super) trouble: Option<String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            selected: 0,
            backends: true,
            details: true,
            all_times: false,
            paused: false,
            help: false,
            trouble: None,
        }
    }
}

/// One frame as text, so wide and as high as needed.
pub(super) fn text(view: &View, width: u16) -> String {
    let palette = Palette { colour: false };
    let choice = Choice::default();
    let mut lines = vec![head(view, &choice)];
    lines.extend(view.warnings.iter().map(|line| format!("! {line}").into()));
    lines.extend(table(view, &choice, palette, width.max(LEAST.0)).0);
    for service in &view.services {
        lines.push(Line::default());
        lines.extend(service.versions.iter().flat_map(|version| {
            let mut figures = figures(version, palette);
            figures.insert(0, format!("{} / {}", service.name, version.row.name).into());
            for all in [false, true] {
                figures.push(format!("times {}", which_times(version, all)).into());
                figures.extend(times(version, all));
            }
            figures
        }));
    }
    let line = |line: &Line<'_>| {
        let text: String = line
            .spans
            .iter()
            .map(|span| span.content.as_ref())
            .collect();
        text.trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

/// Draws all of it.
pub(super) fn draw(
    view: &View,
    choice: &Choice,
    palette: Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    let room = area.height.saturating_sub(2);
    let panel = if choice.details && room >= 10 + PANEL {
        PANEL
    } else {
        0
    };
    let warning = u16::from(!view.warnings.is_empty());
    let [top, warn, body, below, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(warning),
        Constraint::Min(1),
        Constraint::Length(panel),
        Constraint::Length(1),
    ])
    .areas(area);
    head(view, choice)
        .style(Style::new().add_modifier(Modifier::BOLD))
        .render(top, buffer);
    if let Some(first) = view.warnings.first() {
        let more = match view.warnings.len() {
            1 => String::new(),
            count => format!(" (+{})", count - 1),
        };
        let line = format!("! {first}{more}");
        Line::styled(line, palette.fares(Fares::Badly)).render(warn, buffer);
    }
    let (lines, selected) = table(view, choice, palette, area.width);
    let (height, at) = (usize::from(body.height), selected);
    // The head of the table stays; the selected service is in sight.
    let mut lines = lines.into_iter();
    let mut shown: Vec<Line<'static>> = lines.next().into_iter().collect();
    let skipped = (at + 1).saturating_sub(height.saturating_sub(1) / 2 + 1);
    let rest: Vec<Line<'static>> = lines.collect();
    let skipped = skipped.min((rest.len() + 1).saturating_sub(height));
    shown.extend(rest.into_iter().skip(skipped));
    Paragraph::new(shown).render(body, buffer);
    if panel > 0
        && let Some(service) = view.services.get(choice.selected)
    {
        beside(service, choice, palette, below, buffer);
    }
    let style = Style::new().add_modifier(Modifier::REVERSED);
    let width = usize::from(area.width);
    let told = if width < KEYS.len() { KEYS_SHORT } else { KEYS };
    Line::raw(format!("{told:<width$}"))
        .style(style)
        .render(keys, buffer);
    if choice.help {
        help(area, buffer);
    }
}

fn head(view: &View, choice: &Choice) -> Line<'static> {
    let mut text = view.head.clone();
    if choice.paused {
        text = format!("PAUSED  {text}");
    }
    if let Some(trouble) = &choice.trouble {
        text = format!("! {trouble}");
    }
    Line::raw(text)
}

fn help(area: Rect, buffer: &mut Buffer) {
    let lines = HELP.lines();
    let (width, height) = (
        lines.clone().map(str::len).max().unwrap_or(0),
        lines.count(),
    );
    let clamp = |length: usize, most: u16| u16::try_from(length + 2).unwrap_or(most).min(most);
    let (width, height) = (clamp(width, area.width), clamp(height, area.height));
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(place, buffer);
    Paragraph::new(HELP)
        .block(Block::bordered().title(" help "))
        .render(place, buffer);
}

/// Versions of a service side by side, as many as have room; the baseline is always among them.
fn beside(
    service: &ServiceView,
    choice: &Choice,
    palette: Palette,
    area: Rect,
    buffer: &mut Buffer,
) {
    let room = usize::from(area.width / 38).clamp(1, service.versions.len().max(1));
    let shown = &service.versions[..room.min(service.versions.len())];
    let equal = shown.iter().map(|_| Constraint::Fill(1));
    let places = Layout::horizontal(equal).split(area);
    for (version, place) in shown.iter().zip(places.iter()) {
        let role = if version.baseline { ", baseline" } else { "" };
        let title = format!(" {} / {}{role} ", service.name, version.row.name);
        let below = format!(" times {} ", which_times(version, choice.all_times));
        let block = Block::bordered().title(title).title_bottom(below);
        let inner = block.inner(*place);
        block.render(*place, buffer);
        let mut lines = figures(version, palette);
        lines.extend(times(version, choice.all_times));
        let width = usize::from(inner.width.saturating_sub(11));
        for (name, figures) in [("flows/s", &version.flows), ("errors", &version.errors)] {
            lines.push(Line::from(vec![
                Span::raw(format!("{name:<11}")),
                Span::styled(spark(figures, width), palette.spark()),
            ]));
        }
        Paragraph::new(lines).render(inner, buffer);
    }
}

/// What is compared between versions.
fn figures(version: &VersionView, palette: Palette) -> Vec<Line<'static>> {
    let figure = |of: fn(&Rates) -> f64| told(&version.row, of);
    let ratio = version.row.rates.and_then(|rates| rates.error_ratio);
    vec![
        Line::from(vec![
            Span::raw("errors "),
            Span::styled(text::share(ratio), palette.error(ratio)),
            Span::raw(format!(
                "  rst {}  unans {}",
                figure(|rates| rates.resets),
                figure(|rates| rates.unanswered)
            )),
        ]),
        Line::raw(format!(
            "cut {}  diverted {}  share {}",
            figure(|rates| rates.cut),
            figure(|rates| rates.diverted),
            text::share(version.share)
        )),
    ]
}

/// How long handshakes and turns took, of all or lately.
fn times(version: &VersionView, all: bool) -> [Line<'static>; 2] {
    [("handshake", version.handshake), ("turn", version.row.turn)]
        .map(|(name, latency)| Line::raw(quantiles(name, latency, all)))
}

/// Of when they are.
fn which_times(version: &VersionView, all: bool) -> String {
    match (all, version.recent_s) {
        (true, _) => "of all since it began".to_owned(),
        (false, None) => "of lately: none yet".to_owned(),
        (false, Some(recent_s)) => format!("of the last {recent_s:.0}s"),
    }
}

fn quantiles(name: &str, latency: Latency, all: bool) -> String {
    let quantiles = latency.of(all);
    let told = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), text::time);
    let [p50, p90, p99] = [
        quantiles.map(|each| each.p50_s),
        quantiles.map(|each| each.p90_s),
        quantiles.map(|each| each.p99_s),
    ]
    .map(told);
    format!("{name} p50/90/99 {p50} {p90} {p99}")
}
