//! Owns what the smaller commands print.

use super::cohort;
use super::text::{percent, table};
use crate::api::types::{
    ClientTraits, Cut, Explanation, Membership, Move, SegmentTried, Supervision,
};

/// What becomes of open flows, in a sentence.
pub(super) fn fate(flows: &str) -> String {
    let end = match flows.strip_prefix("drain=") {
        Some(time) => format!("end after {time}"),
        None if flows == "reset" => "are reset at their next packet".to_owned(),
        None => "go on (--flows drain=5m or reset ends them)".to_owned(),
    };
    format!("  open flows that would be decided otherwise {end}\n")
}

/// Who changes version; `whose` weights they are: `clients`, `clients in staff`.
pub(super) fn moves(moves: &[Move], whose: &str, dry_run: bool) -> String {
    if moves.is_empty() {
        return "  no client changes version\n".to_owned();
    }
    let verb = if dry_run { "would move" } else { "move" };
    let line = |moved: &Move| {
        let (share, from, to) = (percent(moved.percent_of_clients), &moved.from, &moved.to);
        format!("  {share} of all {whose} {verb} from {from} to {to}\n")
    };
    moves.iter().map(line).collect()
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
    out += "why\n";
    out += &cohorts(&why.cohorts);
    out += &traits(why.traits.as_ref());
    out += &segments(&why.segments);
    out += &format!(
        "  key {}: hash of {} is {}, {} of the way through the hash space\n",
        why.key,
        why.assignment,
        why.hash_hex,
        percent(why.hash_fraction * 100.0)
    );
    out += &cuts(&why.cuts, Some(why.hash_fraction * 100.0));
    if let Some(moves_at) = &why.moves_at {
        out += &format!("  {moves_at}\n");
    }
    out
}

/// The cohorts that segments ask for and the client is in.
fn cohorts(held: &[Membership]) -> String {
    let line = |of: &Membership| {
        let end = cohort::end(of.left_s, of.until.as_deref());
        format!("  in cohort {} {end}\n", of.cohort)
    };
    held.iter().map(line).collect()
}

/// What the service knows of the client beside its address.
fn traits(known: Option<&ClientTraits>) -> String {
    let Some(known) = known else {
        return String::new();
    };
    let ClientTraits {
        device,
        activity,
        stands_s,
        flows,
    } = known;
    let flows = match flows {
        1 => "1 answered flow".to_owned(),
        flows => format!("{flows} answered flows"),
    };
    match stands_s {
        Some(left) => {
            format!("  device {device}, activity {activity}: stands for {left:.0} s; {flows}\n")
        }
        None => format!(
            "  device by its next SYN ({device} without one), activity {activity} ({flows}): nothing is \
             latched\n"
        ),
    }
}

/// The segments that a client came to, and what came of it.
fn segments(tried: &[SegmentTried]) -> String {
    let line = |segment: &SegmentTried| {
        let holds = match segment.holds {
            Some(true) => "takes the client: its weights count",
            Some(false) => "does not have it",
            None => "is not asked any more",
        };
        format!("  segment {} ({}) {holds}\n", segment.name, segment.matches)
    };
    let mut out: String = tried.iter().map(line).collect();
    if !tried.is_empty() && tried.iter().all(|each| each.holds == Some(false)) {
        out += "  in no segment: the service's own weights count\n";
    }
    out
}

/// The hash space, cut among the versions; `here_percent`: the point to be pointed at.
pub(super) fn cuts(cuts: &[Cut], here_percent: Option<f64>) -> String {
    let rows = cuts.iter().map(|cut| {
        let here = here_percent.is_some_and(|at| (cut.from_percent..cut.to_percent).contains(&at));
        let mark = if here { "<- here" } else { "" };
        let (from, to) = (percent(cut.from_percent), percent(cut.to_percent));
        vec![cut.version.clone(), from, to, mark.to_owned()]
    });
    table(&["VERSION", "FROM", "TO", ""], &[0, 3], rows.collect())
}

/// ` by root (uid 0) at 2026-01-02T03:04:05Z: why`, a line's end.
pub(super) fn set_by(by: &str, at: &str, reason: Option<&str>) -> String {
    let why = reason.map_or_else(String::new, |why| format!(": {why}"));
    format!(" by {by} at {at}{why}\n")
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
