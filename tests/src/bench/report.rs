//! Owns the bench's figures, and how they are shown beside what they should reach.

use serde::Serialize;

use super::{commits::CommitTimes, live::Live, sizes::ProgramSize};

/// All figures, as `--json` writes them.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// One per program, case, family and number of flows.
    pub rows: Vec<Row>,
    /// Sizes of splitter's programs.
    pub programs: Vec<ProgramSize>,
    /// Times of commits.
    pub commits: CommitTimes,
    /// Packets a second that arrived.
    pub live: Vec<Live>,
}

/// What one program's packets of one case cost.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `splitter`, `splitter-bare` (without telemetry), `floor-stateless`, `floor-lru`, `floor-tables` or `tx`.
    pub program: &'static str,
    /// `established`, `reply`, `non-vip`, `new` or `handshake`; the last is three packets.
    pub case: &'static str,
    /// The forward method.
    pub method: &'static str,
    /// `v4` or `v6`.
    pub family: &'static str,
    /// Flows that took turns.
    pub flows: u32,
    /// CPUs at work at once: with two, the other one drove replies or requests of the same flows.
    pub cpus: u32,
    /// Nanoseconds with the driver, the median over rounds.
    pub median_ns: f64,
    /// Nanoseconds less those of `tx` in the same round, the median over rounds.
    pub net_ns: f64,
}

/// The median; `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0)
    } else {
        values.get(middle).copied()
    }
}

/// A floor, and how much splitter costs of it.
type Against<'r> = (Option<&'r Row>, Option<f64>);

/// What a figure should reach: docs/PERFORMANCE.md says why.
/// `of_lru` and `of_tables`: a floor, and how much splitter costs of it. What begins a flow is held against the
/// floor with two tables, see docs/adr/0018-a-new-flow-is-measured-against-two-tables.md.
fn target(splitter: &Row, of_lru: Against<'_>, of_tables: Against<'_>) -> Option<(String, bool)> {
    if splitter.cpus > 1 {
        return None;
    }
    let at_most = |limit: f64, (_, ratio): Against<'_>| {
        let ratio = ratio?;
        Some((format!("<= {limit} x"), ratio <= limit))
    };
    let more_by = |ns: f64, (floor, _): Against<'_>| {
        let limit = floor?.net_ns + ns;
        Some((format!("<= {limit:.0} ns"), splitter.net_ns <= limit))
    };
    match (splitter.case, splitter.flows) {
        ("established", ..=1_024) => more_by(60.0, of_lru),
        ("established", _) => at_most(1.25, of_lru),
        ("new", ..=1_024) => more_by(180.0, of_tables),
        ("new", _) => at_most(1.3, of_tables),
        ("handshake", _) => at_most(2.2, of_tables),
        ("non-vip", _) => Some(("<= 30 ns".to_owned(), splitter.net_ns <= 30.0)),
        _ => None,
    }
}

/// The sizes, in a line each.
pub(super) fn print_sizes(programs: &[ProgramSize]) {
    for size in programs {
        println!(
            "program {}: {} verified instructions, {} bytes xlated, {} bytes jited",
            size.name, size.verified_insns, size.xlated_bytes, size.jited_bytes
        );
    }
}

/// Times of commits beside what they should reach.
pub(super) fn print_commits(times: &CommitTimes) {
    let told = |reached: bool| if reached { "reached" } else { "NOT reached" };
    println!(
        "\n{} services x 2 versions x 10 backends: cold start {:.2} s (<= 2 s: {}), daemon {:.0} MiB \
         beside its maps (<= 64 MiB: {})",
        times.services,
        times.cold_s,
        told(times.cold_s <= 2.0),
        times.daemon_mib,
        told(times.daemon_mib <= 64.0)
    );
    println!(
        "weight set: {:.1} ms with that many, {:.1} ms with one service (<= 50 ms: {})",
        times.weight_set_ms,
        times.weight_set_alone_ms,
        told(times.weight_set_ms <= 50.0)
    );
    println!("1,000 x 8 x 100: {}", times.too_many.trim());
}

/// Packets a second beside what they should reach.
pub(super) fn print_live(live: &[Live]) {
    println!("\nlive frames on one CPU, counted where they arrive");
    for each in live {
        println!(
            "{:<10} {:>6.2} million packets/s, {:.1} % of the frames sent",
            each.program,
            each.packets_per_s / 1e6,
            each.arrived * 100.0
        );
    }
    let of = |program: &str| live.iter().find(|each| each.program == program);
    if let (Some(splitter), Some(nft), Some(most)) =
        (of("splitter"), of("nft-dnat"), of("redirect"))
    {
        let times = |of: &Live| splitter.packets_per_s / of.packets_per_s;
        let told = if times(most) >= 0.4 {
            "reached"
        } else {
            "NOT reached"
        };
        println!(
            "splitter is {:.1} times nft-dnat, and {:.2} of redirect (>= 0.4: {told})",
            times(nft),
            times(most)
        );
    }
}

/// The head of the table.
pub(super) fn print_head() {
    println!("\nnet ns per packet (of a handshake: per three), medians; tx: with the driver");
    println!(
        "{:<12} {:<3} {:>7} {:>4} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9}  target",
        "case",
        "ip",
        "flows",
        "cpus",
        "tx",
        "stateless",
        "lru",
        "tables",
        "bare",
        "splitter",
        "ratio",
        "of tables"
    );
}

/// One line of the table; the ratios are those to `floor-lru` and to `floor-tables`.
pub(super) fn print_case(rows: &[Row], [ratio, of_tables]: [Option<f64>; 2]) {
    let of = |program: &str| rows.iter().find(|row| row.program == program);
    let Some(splitter) = of("splitter") else {
        return;
    };
    let net =
        |program: &str| of(program).map_or("-".to_owned(), |row| format!("{:.0}", row.net_ns));
    let times = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    let floors = [(of("floor-lru"), ratio), (of("floor-tables"), of_tables)];
    let told = match target(splitter, floors[0], floors[1]) {
        None => String::new(),
        Some((what, true)) => format!("{what}: reached"),
        Some((what, false)) => format!("{what}: NOT reached"),
    };
    println!(
        "{:<12} {:<3} {:>7} {:>4} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9}  {told}",
        splitter.case,
        splitter.family,
        splitter.flows,
        splitter.cpus,
        of("tx").map_or("-".to_owned(), |row| format!("{:.0}", row.median_ns)),
        net("floor-stateless"),
        net("floor-lru"),
        net("floor-tables"),
        net("splitter-bare"),
        net("splitter"),
        times(ratio),
        times(of_tables),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
