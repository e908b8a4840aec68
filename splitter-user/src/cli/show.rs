//! Owns what the smaller commands print.

use super::text::{percent, table};
use crate::api::types::{Explanation, Move, ServiceSummary, Supervision, WeightChange};

/// The answer to `weight set`.
pub(super) fn weight_change(change: &WeightChange) -> String {
    let mut out = if change.dry_run {
        format!("{}: dry run, nothing was changed\n", change.service)
    } else {
        format!(
            "{}: in force, generation {}\n",
            change.service, change.generation
        )
    };
    let rows = change.after.iter().map(|(version, after)| {
        let before = change.before.get(version).map_or("-", String::as_str);
        vec![version.clone(), before.to_owned(), after.clone()]
    });
    out += &table(&["VERSION", "BEFORE", "AFTER"], &[0], rows.collect());
    out + &moves(&change.moves, change.dry_run) + &fate(&change.flows)
}

/// What becomes of open flows, in a sentence.
pub(super) fn fate(flows: &str) -> String {
    let end = match flows.strip_prefix("drain=") {
        Some(time) => format!("end after {time}"),
        None if flows == "reset" => "are reset at their next packet".to_owned(),
        None => "go on (--flows drain=5m or reset ends them)".to_owned(),
    };
    format!("  open flows that would be decided otherwise {end}\n")
}

/// Who changes version.
pub(super) fn moves(moves: &[Move], dry_run: bool) -> String {
    if moves.is_empty() {
        return "  no client changes version\n".to_owned();
    }
    let verb = if dry_run { "would move" } else { "move" };
    let line = |moved: &Move| {
        let (share, from, to) = (percent(moved.percent_of_clients), &moved.from, &moved.to);
        format!("  {share} of all clients {verb} from {from} to {to}\n")
    };
    moves.iter().map(line).collect()
}

/// The answer to `service list`.
pub(super) fn services(services: &[ServiceSummary]) -> String {
    if services.is_empty() {
        return "no services\n".to_owned();
    }
    let rows = services.iter().map(|service| {
        let versions: Vec<String> = service
            .versions
            .iter()
            .map(|version| format!("{} {}", version.name, version.weight))
            .collect();
        vec![
            service.name.clone(),
            versions.join("\n"),
            service.vips.join("\n"),
        ]
    });
    table(&["SERVICE", "VERSIONS", "VIPS"], &[0, 1, 2], rows.collect())
}

/// The answer to `explain`: first where, then why.
pub(super) fn explanation(why: &Explanation) -> String {
    let backend = why
        .backend
        .as_ref()
        .map(|b| format!(", backend {b}"))
        .unwrap_or_default();
    let mut out = format!(
        "client {} of service {} at {}\n",
        why.client, why.service, why.vip
    );
    match &why.denied {
        Some(why) => out += &format!("  denied, whatever the split says: {why}\n"),
        None => out += &format!("  a new flow goes to version {}{backend}\n", why.version),
    }
    if let Some(note) = &why.backend_note {
        out += &format!("  backend: {note}\n");
    }
    if let Some(flow) = &why.live_flow {
        out += &format!(
            "  its {} flow stays with version {}, backend {} (begun in generation {}, silent for \
             {:.1} s)\n",
            flow.state, flow.version, flow.backend, flow.generation, flow.idle_s
        );
    }
    out += &format!(
        "why\n  key {}: hash of {} is {}, {} of the way through the hash space\n",
        why.key,
        why.assignment,
        why.hash_hex,
        percent(why.hash_fraction * 100.0)
    );
    let rows = why.cuts.iter().map(|cut| {
        let here = if is_here(why, cut.from_percent, cut.to_percent) {
            "<- here"
        } else {
            ""
        };
        let (from, to) = (percent(cut.from_percent), percent(cut.to_percent));
        vec![cut.version.clone(), from, to, here.to_owned()]
    });
    out += &table(&["VERSION", "FROM", "TO", ""], &[0, 3], rows.collect());
    if let Some(moves_at) = &why.moves_at {
        out += &format!("  {moves_at}\n");
    }
    out
}

fn is_here(why: &Explanation, from_percent: f64, to_percent: f64) -> bool {
    (from_percent..to_percent).contains(&(why.hash_fraction * 100.0))
}

/// Whether releases are supervised, a line each.
pub(super) fn supervision(all: &[Supervision]) -> String {
    let line = |each: &Supervision| {
        let is = if each.on { "is" } else { "is not" };
        format!(
            "{} {is} supervised; without the daemon {}\n",
            each.service, each.without_daemon
        )
    };
    all.iter().map(line).collect()
}
