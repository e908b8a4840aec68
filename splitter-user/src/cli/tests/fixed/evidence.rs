//! The evidence of two services: one that is judged, under two sets of weights, and one that is not.

use crate::api::types::{
    ClientCounts, Evidence, FirstTimes, LedgerInUse, SplitCheck, UnderWeights, VersionEvidence,
};

pub(super) fn evidence(service: String) -> Evidence {
    if service == "mail" {
        return Evidence {
            service,
            release: "1".into(),
            not_judged: Some("it has one version, there is nothing to compare".into()),
            ..Evidence::default()
        };
    }
    let under = |in_force, since_generation, canary: &str, stable: &str, own, baseline| {
        let weights = [("canary", canary), ("stable", stable)];
        UnderWeights {
            in_force,
            since_generation,
            weights: weights
                .map(|(name, weight)| (name.into(), weight.into()))
                .into(),
            versions: versions(own, baseline),
        }
    };
    Evidence {
        service,
        release: "2".into(),
        not_judged: None,
        ledger: Some(LedgerInUse {
            since_generation: 7,
            slice: 3,
            slice_age_s: 725.4,
            slice_length_s: 3_600,
            clients_max: 1_048_576,
            clients_in_use: 0.053_1,
            slow_us: Some(48_200),
            late_us: None,
        }),
        weights: vec![
            under(false, 7, "1%", "99%", 110, 9_890),
            under(true, 9, "5%", "95%", 2_300, 43_700),
        ],
        versions: versions(2_410, 53_590),
        split: vec![
            check("decision", 2_410, 2_400.0, -1.2),
            check("handshake", 1_900, 2_350.0, 18.7),
        ],
    }
}

fn versions(own: u64, baseline: u64) -> Vec<VersionEvidence> {
    let all = own + baseline;
    [("stable", baseline), ("canary", own)]
        .map(|(name, clients)| VersionEvidence {
            name: name.into(),
            release: counts(clients, all),
            slice: counts(clients / 4, all / 4),
        })
        .to_vec()
}

fn counts(clients: u64, all: u64) -> ClientCounts {
    let part = clients as f64 / all as f64;
    let time = |us| FirstTimes {
        count: clients,
        p50_us: Some(us),
        p90_us: Some(us * 3),
        p99_us: Some(us * 10),
        cells: vec![0, 0, clients],
    };
    ClientCounts {
        decided: clients,
        flow: clients - clients / 10,
        flow_bad: clients / 100,
        bad: clients / 50,
        slow: clients / 90,
        late: 0,
        handshake: clients - clients / 9,
        turn: clients - clients / 8,
        handshake_time: time(410),
        turn_time: time(5_300),
        share: Some(part),
        share_interval: Some([part * 0.95, (part * 1.05).min(1.0)]),
    }
}

fn check(at: &str, counted: u64, expected: f64, log10_evidence: f64) -> SplitCheck {
    SplitCheck {
        at: at.into(),
        version: "canary".into(),
        clients: 56_000,
        expected,
        counted,
        log10_evidence,
        alarm_from: 3.301,
        alarm: log10_evidence > 3.301,
    }
}
