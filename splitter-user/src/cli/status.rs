//! Owns what `splitter status` shows to somebody who was just woken up.
//!
//! Invariant: what is wrong comes first, and nothing that the daemon warns of is left out.

mod command;
mod shares;
mod times;
mod watch;
mod wide;

use super::backend::notes;
use super::flows;
use super::show::set_by;
use super::text::{self, brief, count, duration, percent, share};
use crate::api::types::{
    BackendStatus, Counters, FlowRules, InterfaceStatus, LossCount, ReasonCount, ServiceStatus,
    Status, VersionStatus,
};

pub use command::StatusArgs;
pub(super) use command::run;

/// The whole of it.
pub(super) fn table(status: &Status, wide: bool) -> String {
    let mut out = overall(status);
    for warning in &status.warnings {
        out += &format!("  ! {warning}\n");
    }
    for service in &status.services {
        out += "\n";
        out += &self::service(service, wide);
    }
    out += "\ninterfaces\n";
    out += &interfaces(&status.interfaces);
    out += &flows::fill(&status.tables, wide).map_or_else(String::new, |fill| format!("\n{fill}"));
    if !status.losses.is_empty() {
        out += "\nframes lost after the verdict\n";
        out += &losses(&status.losses);
    }
    if !status.reasons.is_empty() {
        out += "\npackets by reason\n";
        out += &reasons(&status.reasons);
    }
    out += &format!(
        "\nconfig {} (digest {})\nsecret digest {}, layout {}, HZ {}\n",
        status.config_path,
        status.config_digest,
        status.secret_digest,
        status.layout_version,
        status.hz
    );
    out
}

/// One line that says whether to go on reading.
fn overall(status: &Status) -> String {
    let state = match status.warnings.len() {
        0 => "OK".to_owned(),
        warnings => format!("ATTENTION, {}", count(warnings, "warning")),
    };
    format!(
        "{state}: {}, generation {}, splitter {} up {}\n",
        count(status.services.len(), "service"),
        status.generation,
        status.version,
        duration(status.uptime_s)
    )
}

fn service(service: &ServiceStatus, wide: bool) -> String {
    let mut out = format!("service {}: {}\n", service.name, service.vips.join(" "));
    out += &format!(
        "  {}, key {}, affinity {}, release {}, generation {}\n",
        service.forward, service.key, service.affinity, service.release, service.generation
    );
    out += &at_run_time(service);
    out += &if wide {
        wide::backends(service)
    } else {
        backends(service)
    };
    out += &times::times(service, wide);
    out += &shares::shares(service);
    out += &segments(service);
    out += &flows::open(service).unwrap_or_default();
    out += &unusual_flows(service);
    out += &flow_rules(&service.flows);
    out += &healths(service);
    let since = match &service.since {
        Some(since) => format!("since {since}"),
        None => "since the start".to_owned(),
    };
    let flows: u64 = service
        .versions
        .iter()
        .map(|version| version.new_flows_since)
        .sum();
    out += &format!("  SHARE is of the {} new flows {since}\n", brief(flows));
    out += &if wide {
        wide::counters(service)
    } else {
        hops(service)
    };
    out
}

/// Versions and their backends, with the counters that matter most.
fn backends(service: &ServiceStatus) -> String {
    let head = [
        "", "WEIGHT", "SHARE", "NEW", "SHAKES", "UNANSW", "RST-CL", "RST-SV",
    ];
    let rows = service.versions.iter().flat_map(|version| {
        std::iter::once(version_row(version)).chain(version.backends.iter().map(backend_row))
    });
    text::table(&head, &[0], rows.collect())
}

/// The segments: weights and new flows; below, what the hash chose for the others.
pub(super) fn segments(service: &ServiceStatus) -> String {
    if service.segments.is_empty() {
        return String::new();
    }
    let flows = |count: u64| format!("{} new", brief(count));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for segment in &service.segments {
        let mut row = vec![segment.name.clone()];
        row.extend(segment.versions.iter().map(|version| {
            let file = match version.file_weight == version.weight {
                true => String::new(),
                false => format!(" (file {})", version.file_weight),
            };
            format!("{}{file}, {}", version.weight, flows(version.new_flows))
        }));
        rows.push(row);
    }
    let mut others = vec!["(none)".to_owned()];
    others.extend(service.versions.iter().map(|version| {
        let count = service.by_hash.get(&version.name).copied().unwrap_or(0);
        format!("{}, {}", percent(version.weight_percent), flows(count))
    }));
    rows.push(others);
    let mut head = vec!["SEGMENT"];
    head.extend(service.versions.iter().map(|version| version.name.as_str()));
    let mut out = text::table(&head, &[0], rows);
    for segment in &service.segments {
        if let Some(overlay) = &segment.overlay {
            let weights = overlay.weights.iter();
            let weights: Vec<String> = weights
                .map(|(name, each)| format!("{name}={each}"))
                .collect();
            let who = set_by(&overlay.by, &overlay.at, overlay.reason.as_deref());
            out += &format!("  segment {}: set {}{who}", segment.name, weights.join(" "));
        }
    }
    out
}

/// The way to each backend.
fn hops(service: &ServiceStatus) -> String {
    let hops = service
        .versions
        .iter()
        .flat_map(|version| &version.backends);
    text::table(
        &["BACKEND", "NEXT HOP", "STATE"],
        &[0, 1, 2],
        hops.map(hop_row).collect(),
    )
}

/// What was set at run time, and where the file says otherwise.
pub(super) fn at_run_time(service: &ServiceStatus) -> String {
    let mut out = String::new();
    if let Some(overlay) = &service.overlay {
        let weights: Vec<String> = overlay
            .weights
            .iter()
            .map(|(name, weight)| format!("{name}={weight}"))
            .collect();
        let who = set_by(&overlay.by, &overlay.at, overlay.reason.as_deref());
        out += &format!("  set {}{who}", weights.join(" "));
    }
    let supervision = &service.supervision;
    if supervision.on {
        let why = supervision.reason.as_ref();
        out += &format!(
            "  supervised by {} since {}{}\n  without the daemon {}\n",
            supervision.by.as_deref().unwrap_or("somebody"),
            supervision.at.as_deref().unwrap_or("some time"),
            why.map_or_else(String::new, |why| format!(": {why}")),
            supervision.without_daemon
        );
    }
    let drift: Vec<String> = service
        .versions
        .iter()
        .filter(|version| (version.weight_percent - version.file_weight_percent).abs() > 5e-5)
        .map(|version| format!("{} {}", version.name, percent(version.file_weight_percent)))
        .collect();
    if !drift.is_empty() {
        out += &format!("  the file has other weights: {}\n", drift.join(", "));
    }
    out
}

/// Flows that did not begin here, or that another version serves.
fn unusual_flows(service: &ServiceStatus) -> String {
    let mut out = String::new();
    let adopted = |version: &VersionStatus| {
        let adopted = version.counters.adopted;
        (adopted > 0).then(|| format!("{} {}", version.name, brief(adopted)))
    };
    let adopted: Vec<String> = service.versions.iter().filter_map(adopted).collect();
    if !adopted.is_empty() {
        out += &format!("  flows adopted in the middle: {}\n", adopted.join(", "));
    }
    for version in &service.versions {
        if version.met_empty > 0 {
            out += &format!(
                "  new flows that found {} empty, its failures: {}\n",
                version.name,
                brief(version.met_empty)
            );
        }
    }
    let cut: u64 = service.versions.iter().map(|each| each.counters.cut).sum();
    if cut > 0 {
        out += &format!("  flows ended here: {}\n", brief(cut));
    }
    let diverted: u64 = service
        .versions
        .iter()
        .map(|version| version.counters.diverted)
        .sum();
    if diverted > 0 {
        out += &format!(
            "  flows that the baseline took for others while nobody watched: {}\n",
            brief(diverted)
        );
    }
    out
}

/// What the service says of flows, where that is not simply nothing.
pub(super) fn flow_rules(rules: &FlowRules) -> String {
    let mut out = String::new();
    for left_s in &rules.ends_in_s {
        let when = if *left_s > 0.0 {
            format!("in {}", duration(left_s.ceil() as u64))
        } else {
            "at their next packet".to_owned()
        };
        out += &format!("  flows from before a change that are decided otherwise end {when}\n");
    }
    for (word, prefixes) in [("denied", &rules.denied), ("served alone", &rules.allowed)] {
        if !prefixes.is_empty() {
            out += &format!("  {word}: {}\n", shortened(prefixes));
        }
    }
    for (whose, limit) in [("", rules.limit), (" of a client", rules.client_limit)] {
        if let Some(limit) = limit {
            let (rate, burst) = (limit.flows_per_s, limit.burst);
            out += &format!("  new flows{whose}: at most {rate} a second, {burst} at once\n");
        }
    }
    out
}

/// The first of a list, and how many more there are.
fn shortened(texts: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = texts.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let more = match texts.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    first.join(" ") + &more
}

/// How versions and backends fare, where that is not simply well.
fn healths(service: &ServiceStatus) -> String {
    let mut out = String::new();
    for version in &service.versions {
        out += &health(version).unwrap_or_default();
        for backend in &version.backends {
            out += &notes(&backend.address, &backend.health);
        }
    }
    out
}

/// How many of a version's backends serve, where that is not simply all of them.
fn health(version: &VersionStatus) -> Option<String> {
    let all = version.backends.len();
    let unchecked = |backend: &BackendStatus| backend.health.health == "unchecked";
    if version.healthy == all && version.backends.iter().all(unchecked) {
        return None;
    }
    let mark = match (version.panic, version.empty) {
        (true, _) => ", PANIC: all of them serve".to_owned(),
        (false, true) => format!(", empty: on_empty {}", version.on_empty),
        (false, false) => String::new(),
    };
    Some(format!(
        "  {}: {} of {} active and healthy{mark}\n",
        version.name,
        version.healthy,
        count(all, "backend")
    ))
}

fn version_row(version: &VersionStatus) -> Vec<String> {
    let mut row = vec![
        text::version(&version.name, version.baseline),
        percent(version.weight_percent),
        share(version.share_flows),
        brief(version.counters.new_flows),
    ];
    row.extend(counter_cells(&version.counters));
    row
}

fn backend_row(backend: &BackendStatus) -> Vec<String> {
    let mut row = vec![
        format!("  {}", backend.address),
        format!("x{}", backend.weight),
        String::new(),
        brief(backend.counters.new_flows),
    ];
    row.extend(counter_cells(&backend.counters));
    row
}

fn counter_cells(counters: &Counters) -> [String; 4] {
    // Young handshakes are among these: a few are normal, a growing number is not.
    let unanswered = counters.syns_begun.saturating_sub(counters.syns_answered);
    [
        brief(counters.handshakes),
        brief(unanswered),
        brief(counters.resets_by_client),
        brief(counters.resets_by_server),
    ]
}

fn hop_row(backend: &BackendStatus) -> Vec<String> {
    let mut row = vec![backend.address.clone()];
    row.extend(hop_cells(backend));
    row
}

/// The next hop, and what is known of it.
pub(super) fn hop_cells(backend: &BackendStatus) -> [String; 2] {
    let hop = backend.next_hop.clone().unwrap_or_else(|| "-".to_owned());
    [hop, backend.next_hop_state.clone()]
}

fn interfaces(interfaces: &[InterfaceStatus]) -> String {
    let row = |interface: &InterfaceStatus| {
        let frags = if interface.frags { ", frags" } else { "" };
        vec![
            interface.name.clone(),
            format!("{}{frags}", interface.mode),
            interface.wanted.clone(),
            interface.mtu.to_string(),
            interface.note.clone().unwrap_or_default(),
        ]
    };
    let head = ["NAME", "XDP MODE", "WANTED", "MTU", "NOTE"];
    text::table(&head, &[0, 1, 2, 4], interfaces.iter().map(row).collect())
}

fn losses(losses: &[LossCount]) -> String {
    let row = |count: &LossCount| {
        vec![
            count.interface.clone(),
            count.loss.clone(),
            count.frames.to_string(),
        ]
    };
    text::table(
        &["INTERFACE", "LOST", "FRAMES"],
        &[0, 1],
        losses.iter().map(row).collect(),
    )
}

/// Drops first, then the most frequent.
fn reasons(reasons: &[ReasonCount]) -> String {
    let mut sorted: Vec<&ReasonCount> = reasons.iter().collect();
    sorted.sort_by_key(|count| (count.verdict != "drop", std::cmp::Reverse(count.packets)));
    let row = |count: &ReasonCount| {
        vec![
            count.reason.clone(),
            count.verdict.clone(),
            count.packets.to_string(),
        ]
    };
    text::table(
        &["REASON", "VERDICT", "PACKETS"],
        &[0, 1],
        sorted.into_iter().map(row).collect(),
    )
}
