//! Owns how the scenario's figures are shown: measured beside expected.

use std::collections::BTreeMap;

use super::{VersionReport, schedule::Schedule};

pub(super) fn print_schedules(schedules: &BTreeMap<String, Schedule>) {
    for (version, schedule) in schedules.iter().rev() {
        println!(
            "servers of {version}: wait {} ms; of their requests every {}th gets a 500, every {}th a RST",
            schedule.delay.as_millis(),
            schedule.fail_every,
            schedule.reset_every
        );
    }
}

/// Prints what was measured beside what was expected, and says whether it agrees.
pub(super) fn print(versions: &BTreeMap<String, VersionReport>) -> bool {
    println!(
        "\n{:<8}  {:<18}{:>12}{:>12}",
        "VERSION", "", "MEASURED", "EXPECTED"
    );
    let mut holds = true;
    let mut line = |version: &str, what: &str, measured: String, expected: String, agrees: bool| {
        let fault = if agrees { "" } else { "  does not agree" };
        println!("{version:<8}  {what:<18}{measured:>12}{expected:>12}{fault}");
        holds &= agrees;
    };
    for (name, version) in versions.iter().rev() {
        for (what, measured, expected) in version.counts() {
            let agrees = measured == expected;
            line(
                name,
                what,
                measured.to_string(),
                expected.to_string(),
                agrees,
            );
        }
        let ms = |us: u64| format!("{:.1} ms", us as f64 / 1_000.0);
        let (measured, expected) = (version.turn_p50_us, version.expected_turn_p50_us);
        line(
            name,
            "turn, median",
            ms(measured),
            ms(expected),
            version.times_agree(),
        );
    }
    let requests: u64 = versions.values().map(|version| version.requests).sum();
    println!(
        "\n{requests} requests: {}",
        if holds {
            "what was measured in the kernel is what the servers did."
        } else {
            "what was measured in the kernel is NOT what the servers did."
        }
    );
    holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_count_too_many_or_a_median_too_far_off_is_told() {
        let agrees = |version: VersionReport| print(&[("canary".to_owned(), version)].into());
        let right = VersionReport {
            http_5xx: 7,
            expected_5xx: 7,
            turn_p50_us: 61_000,
            expected_turn_p50_us: 64_000,
            ..VersionReport::default()
        };
        assert!(agrees(right.clone()));
        let more = VersionReport {
            http_5xx: 8,
            ..right.clone()
        };
        assert!(!agrees(more));
        let slow = VersionReport {
            turn_p50_us: 120_000,
            ..right
        };
        assert!(!agrees(slow));
    }
}
