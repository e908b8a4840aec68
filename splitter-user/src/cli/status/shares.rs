//! Owns the table of `status` that says how far measured shares may be off. What cannot be known is `-`,
//! never 0.

use crate::api::types::{ServiceStatus, ShareOf, Shares};
use crate::cli::text::{self, brief, table};

/// Of the versions, and below what the figures rest on; nothing before anything was counted, or where
/// there is one version.
pub(super) fn shares(service: &ServiceStatus) -> String {
    let versions = &service.versions;
    let counted = |shares: &Shares| *shares != Shares::default();
    if versions.len() < 2 || !versions.iter().any(|version| counted(&version.shares)) {
        return String::new();
    }
    let rows = versions.iter().map(|version| {
        let Shares {
            clients,
            flows,
            bytes,
        } = version.shares;
        vec![
            text::version(&version.name, version.baseline),
            cell(clients),
            cell(flows),
            cell(bytes),
        ]
    });
    let head = ["SHARE BY", "CLIENTS", "FLOWS", "BYTES"];
    table(&head, &[0], rows.collect()) + &footing(&versions[0].shares)
}

fn cell(share: Option<ShareOf>) -> String {
    let Some(share) = share else {
        return "-".to_owned();
    };
    let value = text::share(Some(share.share));
    match share.interval {
        Some([low, high]) => format!("{value} {:.2}-{:.2}", low * 100.0, high * 100.0),
        None => format!("{value} -"),
    }
}

/// What all versions' shares rest on: how many there were, and how many clients would say as much.
fn footing(shares: &Shares) -> String {
    let all = [
        (shares.clients, "clients"),
        (shares.flows, "flows"),
        (shares.bytes, "bytes"),
    ];
    let told = all.into_iter().filter_map(|(share, what)| {
        let ShareOf { of, as_clients, .. } = share?;
        // No more than were counted, below 2^64.
        let like = as_clients.filter(|_| what != "clients");
        let like = like.map(|clients| format!(" (as {})", brief(clients as u64)));
        Some(format!("{} {what}{}", brief(of), like.unwrap_or_default()))
    });
    let told: Vec<String> = told.collect();
    format!("  at 99 %: {}\n", told.join(", "))
}
