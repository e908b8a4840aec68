//! Owns `splitter service ...`: its grammar and what it prints.

use std::path::Path;

use clap::Subcommand;

use super::args::OutputArgs;
use super::backend::{backend_cells, notes};
use super::show::cuts;
use super::status::{at_run_time, flow_rules, hop_cells, segments};
use super::text::{self, count, percent, seconds, share, table};
use super::{answer, ask};
use crate::api::Client;
use crate::api::types::{
    CheckSettings, HealthSettings, PassiveSettings, ServiceSettings, ServiceShown, ServiceStatus,
    ServiceSummary, VersionStatus,
};

/// `splitter service ...`
#[derive(Clone, Debug, Subcommand)]
pub enum ServiceCommand {
    /// List the services with their weights
    List {
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one service wholly: what is configured, what is in force, and how it fares
    Show {
        /// The service
        service: String,
        /// How to print it
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// The answer to the command.
pub(super) fn run(socket: &Path, command: ServiceCommand) -> anyhow::Result<String> {
    match command {
        ServiceCommand::List { output } => ask(async {
            let services = Client::new(socket).service_list().await?;
            answer(output.output, &services, |services| list(services))
        }),
        ServiceCommand::Show { service, output } => ask(async {
            let shown = Client::new(socket).service(&service).await?;
            answer(output.output, &shown, show)
        }),
    }
}

fn list(services: &[ServiceSummary]) -> String {
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

/// What is wrong comes first, as in a status.
fn show(shown: &ServiceShown) -> String {
    let ServiceShown {
        service,
        settings,
        cuts: space,
        warnings,
    } = shown;
    let mut out = format!("service {}: {}\n", service.name, service.vips.join(" "));
    let about = format!("service {}: ", service.name);
    for warning in warnings {
        out += &format!("  ! {}\n", warning.strip_prefix(&about).unwrap_or(warning));
    }
    out += &configured(service, settings);
    out += &at_run_time(service);
    out += "\nversions\n";
    out += &versions(service);
    if !service.segments.is_empty() {
        out += "\nsegments\n";
        out += &segments(service);
        for segment in &service.segments {
            out += &format!("  {} is {}\n", segment.name, segment.matches);
        }
    }
    out += "\nbackends\n";
    out += &backends(service);
    out += "\nthe hash space, as the kernel cuts it\n";
    out + &cuts(space, None)
}

fn configured(service: &ServiceStatus, settings: &ServiceSettings) -> String {
    let mut out = format!(
        "  {}, key {}, affinity {}, release {}, generation {}\n",
        service.forward, service.key, service.affinity, service.release, service.generation
    );
    let group = settings.salt_group.as_deref().unwrap_or("-");
    out += &format!(
        "  flows {}, salt_group {group}, failsafe_max_weight {}\n",
        service.flows.fate, settings.failsafe_max_weight
    );
    if let Some(protocol) = &settings.protocol {
        out += &format!("  protocol {protocol}\n");
    }
    if let Some(slo) = &settings.turn_slo {
        out += &format!("  turn_slo {slo}\n");
    }
    if let Some(slice) = &settings.slice {
        out += &format!("  slice {slice}\n");
    }
    if let Some(traits) = &settings.traits {
        out += &format!("  traits: {traits}\n");
    }
    if !settings.direct.is_empty() {
        out += &format!("  direct {}\n", settings.direct.join(" "));
    }
    out += &flow_rules(&service.flows);
    match &settings.health {
        None => out += "  health: nobody looks, every backend counts as healthy\n",
        Some(health) => out += &self::health(health),
    }
    out
}

fn health(health: &HealthSettings) -> String {
    let check = health.check.as_ref().map_or("none".to_owned(), check);
    let passive = health.passive.as_ref().map_or("none".to_owned(), passive);
    format!(
        "  check: {check}\n  passive: {passive}\n  max_unhealthy {}, slow_start {}\n",
        health.max_unhealthy,
        seconds(health.slow_start_s)
    )
}

fn check(check: &CheckSettings) -> String {
    let port = check.port.map(|port| format!(" on port {port}"));
    let mut out = format!(
        "{}{} every {}, timeout {}, rise {}, fall {}",
        check.check,
        port.unwrap_or_default(),
        seconds(check.interval_s),
        seconds(check.timeout_s),
        check.rise,
        check.fall
    );
    if let Some(http) = &check.http {
        let host = http.host.as_ref().map(|host| format!(" of {host}"));
        let body = http.expect_body.as_ref();
        out += &format!(
            "\n    {} {}{}, expects {}{}",
            http.method,
            http.path,
            host.unwrap_or_default(),
            http.expect_status.join(" "),
            body.map_or_else(String::new, |body| format!(" and {body:?} in the body"))
        );
    }
    out
}

fn passive(passive: &PassiveSettings) -> String {
    format!(
        "{} unanswered or {} resets of {} handshakes or more in {}; out for {} to {}",
        passive.unanswered,
        passive.resets,
        passive.min_handshakes,
        seconds(passive.window_s),
        seconds(passive.eject_for_s),
        seconds(passive.eject_max_s)
    )
}

fn versions(service: &ServiceStatus) -> String {
    let row = |version: &VersionStatus| {
        let note = match (version.panic, version.empty) {
            (true, _) => "PANIC",
            (false, true) => "empty",
            (false, false) => "",
        };
        vec![
            text::version(&version.name, version.baseline),
            percent(version.weight_percent),
            percent(version.file_weight_percent),
            share(version.share_flows),
            version.on_empty.clone(),
            format!(
                "{} of {}",
                version.healthy,
                count(version.backends.len(), "backend")
            ),
            note.to_owned(),
        ]
    };
    let head = ["", "WEIGHT", "FILE", "SHARE", "ON_EMPTY", "HEALTHY", ""];
    let rows = service.versions.iter().map(row);
    table(&head, &[0, 4, 5, 6], rows.collect())
}

fn backends(service: &ServiceStatus) -> String {
    let rows = service.versions.iter().flat_map(|version| {
        version.backends.iter().map(|backend| {
            let mut row = vec![version.name.clone()];
            row.extend(backend_cells(
                &backend.address,
                backend.weight,
                &backend.health,
            ));
            row.extend(hop_cells(backend));
            row
        })
    });
    let head = [
        "VERSION",
        "BACKEND",
        "WEIGHT",
        "STATE",
        "HEALTH",
        "SERVES",
        "NEXT HOP",
        "HOP STATE",
    ];
    let mut out = table(&head, &[0, 1, 3, 4, 5, 6, 7], rows.collect());
    for version in &service.versions {
        for backend in &version.backends {
            out += &notes(&backend.address, &backend.health);
        }
    }
    out
}
