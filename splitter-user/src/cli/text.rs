//! Owns how numbers and tables look in 80 columns, without colours.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

/// `1 service`, `2 services`.
pub(super) fn count(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A version's name, with a mark where it is the baseline.
pub(super) fn version(name: &str, baseline: bool) -> String {
    let mark = if baseline { " (baseline)" } else { "" };
    format!("{name}{mark}")
}

/// A count in at most seven characters: exact below 100,000, then `123.4k`, `12.3M`. The exact
/// figures are in the JSON.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(super) fn brief(count: u64) -> String {
    if count < 100_000 {
        return count.to_string();
    }
    let mut value = count as f64;
    for unit in ["", "k", "M", "G", "T", "P"] {
        // What would be printed as 1000.0 belongs to the next unit.
        if value < 999.95 {
            return format!("{value:.1}{unit}");
        }
        value /= 1_000.0;
    }
    format!("{value:.1}E")
}

/// A count with its thousands apart: `1,048,576`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A percentage with no needless zeros, exact to 0.0001 %.
pub(super) fn percent(percent: f64) -> String {
    let text = format!("{percent:.4}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A measured share: two digits, which is more than it is exact to.
pub(super) fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}%", share * 100.0))
}

/// A measured time of so many microseconds: `87us`, `1.24ms`, `12.4ms`, `1.24s`, `64.0s`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn micros(us: u64) -> String {
    let (value, unit) = match us {
        ..1_000 => return format!("{us}us"),
        1_000..1_000_000 => (us as f64 / 1e3, "ms"),
        _ => (us as f64 / 1e6, "s"),
    };
    let digits = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

/// `3d 4h`, `2h 5m`, `7m 12s`, `9s`.
pub(super) fn duration(total_s: u64) -> String {
    let (days, hours) = (total_s / 86_400, total_s / 3_600 % 24);
    let (minutes, seconds) = (total_s / 60 % 60, total_s % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

/// A duration as the file writes it: `500ms`, `2s`, `1m 30s`.
pub(super) fn seconds(seconds: f64) -> String {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    humantime::format_duration(duration).to_string()
}

/// A table without lines: `left` columns to the left, the others to the right, indented.
pub(super) fn table(head: &[&str], left: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head.iter().copied());
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        if left.contains(&index) {
            column.set_padding((0, 2));
        } else {
            column.set_padding((0, 1));
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
        .to_string()
        .lines()
        .map(|line| format!("  {}\n", line.trim_end()))
        .collect()
}
