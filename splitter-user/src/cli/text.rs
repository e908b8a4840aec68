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

/// A measured time of so many microseconds, as [`time`] says it.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn micros(us: u64) -> String {
    time(us as f64 / 1e6)
}

/// A measured time in seconds, in at most six characters: `87us`, `1.24ms`, `12.4ms`, `1.24s`,
/// `64.0s`. What is measured is whole microseconds.
pub(super) fn time(seconds: f64) -> String {
    let (value, unit) = if seconds < 0.000_999_5 {
        return format!("{:.0}us", seconds * 1e6);
    } else if seconds < 0.999_5 {
        (seconds * 1e3, "ms")
    } else {
        (seconds, "s")
    };
    // What would be printed with a digit more belongs to the next ones.
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

/// A rate in at most six characters, with one digit behind the point where it is small: `0`, `12.3`,
/// `1.2k`, `250M`.
pub(super) fn rate(per_s: f64) -> String {
    let mut value = per_s;
    for unit in ["", "k", "M", "G", "T"] {
        if value < 999.5 {
            let digits = usize::from(value > 0.0 && value < 99.95);
            return format!("{value:.digits$}{unit}");
        }
        value /= 1_000.0;
    }
    format!("{value:.0}P")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_times_are_short() {
        let rates = [0.0, 0.04, 12.34, 99.94, 99.96, 999.6, 1_234.5, 2.5e8].map(rate);
        assert_eq!(
            rates,
            ["0", "0.0", "12.3", "99.9", "100", "1.0k", "1.2k", "250M"]
        );
        let times = [
            7e-6,
            0.000_456_7,
            0.009_999,
            0.012_34,
            0.1234,
            0.9999,
            60.04,
        ]
        .map(time);
        let told = [
            "7us", "457us", "10.0ms", "12.3ms", "123ms", "1.00s", "60.0s",
        ];
        assert_eq!(times, told);
        assert_eq!([0, 999, 1_240].map(micros), ["0us", "999us", "1.24ms"]);
    }
}
