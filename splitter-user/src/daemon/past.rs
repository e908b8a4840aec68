//! Owns the answer to `history`: what is asked, read beside whoever writes, and told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    core::Daemon,
    status::{counters, http_turns},
};
use crate::{
    api::{
        Refusal,
        types::{History, HistoryCell, HistoryQuery, HttpTurns, Quantiles, Rates, VersionHistory},
    },
    model::{HistoryStep, Moment},
    observe::{
        Figures, Times,
        history::{self, Cell, Column, MINUTE_S, SECOND_S, SECONDS_KEPT_S, Wanted},
    },
};

/// From when on, unless told.
const SINCE: Duration = Duration::from_secs(600);
/// Cells of a version that are told at once.
const CELLS_MAX: u64 = 11_000;
/// Up to how long a time is told in seconds, unless told otherwise.
const IN_SECONDS_S: u64 = 900;

/// What came over time.
pub(super) async fn history(
    daemon: &Daemon,
    service: String,
    query: HistoryQuery,
) -> Result<History, Refusal> {
    let wanted = wanted(&service, &query, SystemTime::now())?;
    let (dir, asked) = (daemon.history_dir.clone(), wanted.clone());
    let told = tokio::task::spawn_blocking(move || history::read(&dir, &asked)).await;
    let told = told
        .map_err(Refusal::internal)?
        .map_err(Refusal::internal)?;
    let (configured, http1): (Vec<String>, bool) = {
        let core = daemon.core.lock().await;
        match core.service(&service) {
            Ok(service) => {
                let names = service.versions.iter().map(|each| each.name.clone());
                (names.collect(), service.http1)
            }
            // What is configured no more is told as long as it is remembered.
            Err(_) if !told.versions.is_empty() => (Vec::new(), false),
            Err(refusal) => return Err(refusal),
        }
    };
    if let Some(version) = &wanted.version
        && !configured.contains(version)
        && !told.versions.contains_key(version)
    {
        let refusal = Refusal::not_found(format!("service {service} has no version \"{version}\""));
        return Err(refusal.with_hint(format!("there are: {}", configured.join(", "))));
    }
    let mut columns = history::fold(&wanted, &told);
    columns.sort_by_key(|column| {
        let place = configured.iter().position(|name| *name == column.version);
        place.unwrap_or(usize::MAX)
    });
    Ok(History {
        service,
        step_s: wanted.step_s,
        from: text(wanted.from_s),
        until: text(wanted.until_s),
        versions: columns.iter().map(|each| version(each, http1)).collect(),
    })
}

/// What is asked for, in seconds since 1970.
fn wanted(service: &str, query: &HistoryQuery, now: SystemTime) -> Result<Wanted, Refusal> {
    let now_s = Moment::At(now).unix_s(now);
    let moment = |text: &Option<String>, name: &str, unless: Moment| match text {
        None => Ok(unless.unix_s(now)),
        Some(text) => {
            let moment = text.parse::<Moment>();
            let refused = |error| Refusal::invalid(format!("{name}={text}: {error}"));
            Ok(moment.map_err(refused)?.unix_s(now))
        }
    };
    let from_s = moment(&query.since, "since", Moment::Ago(SINCE))?;
    let until_s = moment(&query.until, "until", Moment::At(now))?.min(now_s);
    let step: HistoryStep = match &query.step {
        None => HistoryStep::Auto,
        Some(text) => text
            .parse()
            .map_err(|error| Refusal::invalid(format!("step={text}: {error}")))?,
    };
    if from_s >= until_s {
        return Err(Refusal::invalid(format!(
            "from {} until {} is no time",
            text(from_s),
            text(until_s)
        ))
        .with_hint("`since` lies before `until`, and before now"));
    }
    let recent = now_s - from_s <= SECONDS_KEPT_S && until_s - from_s <= IN_SECONDS_S;
    let step_s = match step {
        HistoryStep::Second => SECOND_S,
        HistoryStep::Minute => MINUTE_S,
        HistoryStep::Auto if recent => SECOND_S,
        HistoryStep::Auto => MINUTE_S,
    };
    // What is older than all that is kept is no reason to refuse.
    let from_s = from_s.max(now_s.saturating_sub(history::MINUTES_KEPT_S));
    if (until_s.saturating_sub(from_s)) / step_s > CELLS_MAX {
        return Err(
            Refusal::invalid(format!("more than {CELLS_MAX} cells of {step_s} s"))
                .with_hint("ask for a shorter time, or with step=1m"),
        );
    }
    Ok(Wanted {
        service: service.to_owned(),
        version: query.version.clone(),
        // Whole cells, the one in which it begins too.
        from_s: from_s / step_s * step_s,
        until_s,
        step_s,
    })
}

fn version(column: &Column, http1: bool) -> VersionHistory {
    VersionHistory {
        name: column.version.clone(),
        cells: column.cells.iter().map(|each| cell(each, http1)).collect(),
    }
}

/// `http1`: the status of answers is read by now; what was counted when it was is told anyhow.
fn cell(cell: &Cell, http1: bool) -> HistoryCell {
    let cells = cell.figures.counters();
    let (counted, http) = (counters(&cells), http_turns(&cells));
    let http = (http1 || http != HttpTurns::default()).then_some(http);
    let seen = cell.seen_s > 0;
    let per_s = |count: u64| count as f64 / cell.seen_s as f64;
    HistoryCell {
        at: text(cell.at_s),
        length_s: cell.length_s,
        gap: !seen,
        seen_s: cell.seen_s,
        met_empty: cell.figures.met_empty(),
        http,
        rates: seen.then(|| Rates {
            new_flows_per_s: per_s(counted.new_flows),
            packets_per_s: per_s(counted.packets_in + counted.packets_out),
            bytes_per_s: per_s(counted.bytes_in + counted.bytes_out),
            resets_per_s: per_s(counted.resets_by_client + counted.resets_by_server),
            syn_retransmits_per_s: per_s(counted.syn_retransmits),
            http_5xx_per_s: http.map(|http| per_s(http.http_5xx)),
        }),
        handshake_time: quantiles(&cell.figures, Times::Handshake),
        turn_time: quantiles(&cell.figures, Times::Turn),
        counters: counted,
    }
}

fn quantiles(figures: &Figures, times: Times) -> Option<Quantiles> {
    Quantiles::of(&figures.times(times)?)
}

fn text(unix_s: u64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(unix_s);
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use splitter_common::layout::{COUNTERS, Counter};

    use super::*;

    const NOW: u64 = 1_800_000_030;

    fn asked(since: &str, until: Option<&str>, step: Option<&str>) -> Result<Wanted, Refusal> {
        let query = HistoryQuery {
            since: Some(since.into()),
            until: until.map(str::to_owned),
            version: None,
            step: step.map(str::to_owned),
        };
        wanted("shop", &query, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn the_step_goes_by_the_time_that_is_asked_for() {
        for (since, until, step, wanted) in [
            ("10m", None, None, (NOW - 600, NOW, 1)),
            ("20m", None, None, (NOW - 30 - 1_200, NOW, 60)),
            ("20m", Some("10m"), None, (NOW - 1_200, NOW - 600, 1)),
            (
                "2h",
                Some("110m"),
                None,
                (NOW - 30 - 7_200, NOW - 6_600, 60),
            ),
            ("20m", None, Some("1s"), (NOW - 1_200, NOW, 1)),
            ("1m", None, Some("1m"), (NOW - 30 - 60, NOW, 60)),
        ] {
            let told = asked(since, until, step).expect(since);
            assert_eq!((told.from_s, told.until_s, told.step_s), wanted, "{since}");
        }
        let all = asked("3months", None, None).expect("all that is kept");
        assert_eq!(all.until_s - all.from_s, history::MINUTES_KEPT_S + 30);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_way_out() {
        for (since, until, step, says) in [
            ("soon", None, None, "since=soon: write how long ago"),
            ("5m", Some("10m"), None, "is no time"),
            ("5m", None, Some("2s"), "step=2s: write `1s`"),
            ("4h", None, Some("1s"), "more than 11000 cells"),
        ] {
            let refusal = asked(since, until, step).expect_err(since);
            assert!(refusal.to_string().contains(says), "{refusal}");
        }
    }

    fn of(figures: &Figures, seen_s: u64, http1: bool) -> HistoryCell {
        let figures = figures.clone();
        let told = Cell {
            at_s: NOW,
            length_s: 60,
            seen_s,
            figures,
        };
        cell(&told, http1)
    }

    #[test]
    fn http_is_told_where_it_is_read_or_was() {
        let mut cells = [0; COUNTERS];
        let nothing = Figures::of_counters(&cells);
        assert_eq!(of(&nothing, 20, false).http, None);
        assert_eq!(of(&nothing, 20, true).http, Some(HttpTurns::default()));
        cells[Counter::Http5xx as usize] = 40;
        let failing = of(&Figures::of_counters(&cells), 20, false);
        assert_eq!(failing.http.expect("counted").http_5xx, 40);
        assert_eq!(failing.rates.expect("seen").http_5xx_per_s, Some(2.0));
    }

    #[test]
    fn a_gap_has_counts_and_no_rates() {
        let figures = Figures::of_counters(&[0, 0, 0, 0, 60]);
        let (seen, gap) = (of(&figures, 20, false), of(&figures, 0, false));
        assert_eq!(seen.rates.expect("seen").new_flows_per_s, 3.0);
        assert_eq!(
            (gap.gap, gap.rates, gap.counters.new_flows),
            (true, None, 60)
        );
        assert_eq!(gap.turn_time, None);
    }
}
