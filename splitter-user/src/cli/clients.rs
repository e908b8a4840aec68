//! Owns `splitter clients`, and how a dry run tells of clients that were seen lately.

use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::args::OutputArgs;
use super::text::{self, brief, count, grouped, percent};
use super::{answer, ask};
use crate::api::Client;
use crate::api::types::{ClientLine, ClientList, ClientQuery, OnBackend, SeenMove, SeenMoves};

/// What `clients` takes.
#[derive(Clone, Debug, Args)]
pub struct ClientsArgs {
    /// The service
    service: String,
    /// Only clients whose last flow this version served
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = ClientQuery::LIMIT,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// How to print it
    #[command(flatten)]
    output: OutputArgs,
}

/// The answer to the command.
pub(super) fn run(socket: &Path, args: ClientsArgs) -> anyhow::Result<String> {
    ask(async {
        let wanted = ClientQuery {
            version: args.version,
            limit: args.limit,
        };
        let clients = Client::new(socket).clients(&args.service, &wanted).await?;
        answer(args.output.output, &clients, list)
    })
}

fn list(list: &ClientList) -> String {
    if list.clients.is_empty() {
        return format!("{}: no such client was seen lately\n", list.service);
    }
    let head = ["CLIENT", "VERSION", "SEGMENT", "SEEN", "OPEN", "FLOWS"];
    let row = |client: &ClientLine| {
        let idle = Duration::try_from_secs_f64(client.idle_s).unwrap_or_default();
        vec![
            client.client.clone(),
            client.version.clone(),
            client.segment.clone().unwrap_or_else(|| "-".to_owned()),
            text::duration(idle.as_secs()),
            client.open_flows.to_string(),
            client.flows.to_string(),
        ]
    };
    let mut out = text::table(&head, &[0, 1, 2], list.clients.iter().map(row).collect());
    if list.more > 0 {
        out += &format!(
            "  and {} more; --limit N lists up to N\n",
            grouped(list.more)
        );
    }
    out + &sampled(list.sampled_percent)
}

/// What a change would do to clients that were seen lately.
pub(super) fn moves(seen: &SeenMoves) -> String {
    let clients = clients(seen.clients);
    let mut out = match (seen.clients, seen.moves.is_empty()) {
        (0, _) => "  no client was seen lately\n".to_owned(),
        (_, true) => format!("  of {clients} seen lately none would move\n"),
        (_, false) => format!("  of {clients} seen lately\n"),
    };
    let line = |moved: &SeenMove| {
        let bytes = moved.bytes_estimate.filter(|_| moved.open_flows > 0);
        let bytes = bytes.map_or_else(String::new, |bytes| {
            format!(
                "\n      about {}B, if they are as others of {}",
                brief(bytes),
                moved.from
            )
        });
        format!(
            "    {} would move from {} to {}: {}{bytes}\n",
            grouped(moved.clients),
            moved.from,
            moved.to,
            flows(moved.open_flows)
        )
    };
    out += &seen.moves.iter().map(line).collect::<String>();
    out + &sampled(seen.sampled_percent)
}

/// Who sits on a backend.
pub(super) fn on_backend(on_it: &OnBackend) -> String {
    format!(
        "  on it are {} of {} seen lately\n{}",
        flows(on_it.open_flows),
        clients(on_it.clients),
        sampled(on_it.sampled_percent)
    )
}

fn flows(flows: u64) -> String {
    let plural = if flows == 1 { "" } else { "s" };
    format!("{} open flow{plural}", grouped(flows))
}

fn clients(clients: u64) -> String {
    match clients {
        1 => count(1, "client"),
        _ => format!("{} clients", grouped(clients)),
    }
}

/// That not all were looked at, where that is so.
fn sampled(sampled_percent: f64) -> String {
    if sampled_percent >= 100.0 {
        return String::new();
    }
    let times = 100.0 / sampled_percent.max(f64::MIN_POSITIVE);
    format!(
        "  a sample, of {} of the flow table: of flows there are some {times:.1} times as many\n",
        percent((sampled_percent * 10.0).round() / 10.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_would_move_is_told_with_its_scale() {
        let mut seen = SeenMoves {
            clients: 12_345,
            sampled_percent: 12.5,
            moves: vec![SeenMove {
                from: "stable".into(),
                to: "canary".into(),
                clients: 1_234,
                open_flows: 1,
                bytes_estimate: Some(1_500_000_000),
            }],
        };
        assert_eq!(
            moves(&seen),
            "  of 12,345 clients seen lately\n    1,234 would move from stable to canary: 1 open \
             flow\n      about 1.5GB, if they are as others of stable\n  a sample, of 12.5% of the flow \
             table: of flows there are some 8.0 times as many\n"
        );
        seen.sampled_percent = 100.0;
        seen.moves.clear();
        assert_eq!(
            moves(&seen),
            "  of 12,345 clients seen lately none would move\n"
        );
        seen.clients = 0;
        assert_eq!(moves(&seen), "  no client was seen lately\n");
    }
}
