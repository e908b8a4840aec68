//! Owns the demo's figures, what must hold of them, and how they are shown.

use std::fmt;

use serde::Serialize;

use super::Assignment;
use super::crowd::Answers;
use super::scene::CANARY;

/// Faults that are kept in words.
const FAULTS_KEPT_MAX: usize = 20;
/// How many standard deviations a share may lie off its weight: one healthy run in a million is
/// further off.
const SHARE_SIGMAS: f64 = 5.0;

/// The figures of a whole demo, as `--json` writes them.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DemoReport {
    /// Client addresses.
    pub(super) clients: usize,
    /// One entry for each weight, in order.
    pub(super) steps: Vec<StepReport>,
    /// Connections that were open while weights changed.
    pub(super) flows_open_across_changes: usize,
    /// Those of them that were cut.
    pub(super) flows_reset: usize,
}

/// The figures of one weight. Shares are 0 ..= 1.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StepReport {
    /// The canary's weight.
    pub(super) weight_percent: u32,
    /// Clients that got an answer.
    pub(super) clients: usize,
    /// The canary's part of these clients.
    pub(super) share_clients: f64,
    /// The canary's part of their new flows.
    pub(super) share_flows: f64,
    /// Clients that the canary answers now and did not in the step before.
    pub(super) moved_to_canary: usize,
    /// Clients that the baseline answers now and did not in the step before.
    pub(super) moved_to_stable: usize,
    /// Requests of all kinds.
    pub(super) requests: u64,
    /// Requests without a right answer.
    pub(super) failed_requests: u64,
}

impl StepReport {
    /// The figures of the crowd's own requests.
    pub(super) fn new(
        weight_percent: u32,
        answers: &Answers,
        before: Option<&Assignment>,
        now: &Assignment,
    ) -> Self {
        let canaries = now.values().filter(|version| *version == CANARY).count();
        let moved = |to_canary: bool| {
            let clients = now.iter().filter(|(client, version)| {
                let was = before.and_then(|before| before.get(*client));
                was.is_some_and(|was| was != *version) && (*version == CANARY) == to_canary
            });
            clients.count()
        };
        Self {
            weight_percent,
            clients: now.len(),
            share_clients: canaries as f64 / now.len().max(1) as f64,
            share_flows: answers.share_flows(),
            moved_to_canary: moved(true),
            moved_to_stable: moved(false),
            requests: answers.requests,
            failed_requests: answers.failed,
        }
    }
}

/// Everything that should hold and did not.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kept: Vec<String>,
    count: usize,
}

impl Faults {
    pub(super) fn add(&mut self, fault: String) {
        self.count += 1;
        if self.kept.len() < FAULTS_KEPT_MAX {
            self.kept.push(fault);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every answer must come from the version that `explain` names and know its client.
    pub(super) fn compare(&mut self, percent: u32, expected: &Assignment, answers: &Answers) {
        for (client, version) in expected {
            let Some(replies) = answers.replies.get(client) else {
                self.add(format!("at {percent} % {client} got no answer"));
                continue;
            };
            // One fault for each client says it all.
            let wrong = replies
                .iter()
                .find(|reply| reply.version != *version || reply.client != *client);
            if let Some(reply) = wrong {
                self.add(format!(
                    "at {percent} % {client} got {} from {}, which took it for {}; explain says \
                     {version}",
                    reply.version, reply.backend, reply.client
                ));
            }
        }
    }

    /// The share must be as near to the weight as that many clients allow.
    pub(super) fn judge_step(&mut self, step: &StepReport) {
        let weight = f64::from(step.weight_percent) / 100.0;
        let sigma = (weight * (1.0 - weight) / step.clients.max(1) as f64).sqrt();
        if (step.share_clients - weight).abs() > SHARE_SIGMAS * sigma {
            self.add(format!(
                "at {} % the canary has {:.1} % of the clients",
                step.weight_percent,
                step.share_clients * 100.0
            ));
        }
    }

    /// Whoever is in the canary at one weight is in it at every higher or equal one.
    pub(super) fn judge_growth(&mut self, weights: &[u32], seen: &[Assignment]) {
        let steps = || weights.iter().zip(seen);
        for (lower, few) in steps() {
            for (higher, many) in steps().filter(|(higher, _)| *higher >= lower) {
                for (client, _) in few.iter().filter(|(_, version)| *version == CANARY) {
                    if many.get(client).is_some_and(|version| version != CANARY) {
                        self.add(format!(
                            "{client} has the canary at {lower} % but not at {higher} %"
                        ));
                    }
                }
            }
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.kept {
            writeln!(f, "  {fault}")?;
        }
        let more = self.count - self.kept.len();
        if more > 0 {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }
}

pub(super) fn print_header() {
    println!(
        "\n{CANARY:>8} | {:^30} | {:^16} | {:>8} {:>6} | {:>11}",
        "share of the canary", "clients moved", "", "", "connections"
    );
    println!(
        "{:>8} | {:>9} {:>9} {:>10} | {:>8} {:>7} | {:>8} {:>6} | {:>11}",
        "weight",
        "clients",
        "flows",
        "in kernel",
        "canary",
        "stable",
        "requests",
        "failed",
        "still open"
    );
}

pub(super) fn print_step(step: &StepReport, kernel_share: Option<f64>, open: usize) {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    println!(
        "{:>8} | {:>9} {:>9} {:>10} | {:>8} {:>7} | {:>8} {:>6} | {open:>11}",
        format!("{} %", step.weight_percent),
        percent(step.share_clients),
        percent(step.share_flows),
        kernel_share.map_or("-".into(), percent),
        format!("+{}", step.moved_to_canary),
        format!("+{}", step.moved_to_stable),
        step.requests,
        step.failed_requests,
    );
}

pub(super) fn print_conclusion(report: &DemoReport, faults: &Faults) {
    let requests: u64 = report.steps.iter().map(|step| step.requests).sum();
    println!(
        "\n{} clients, {requests} requests, {} connections open across changes, {} cut.",
        report.clients, report.flows_open_across_changes, report.flows_reset
    );
    if faults.is_empty() {
        println!("Every client was served by the version that explain names, at every weight.");
    } else {
        println!("What should have held and did not:\n{faults}");
    }
}
