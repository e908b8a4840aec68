//! Owns `check`: what is wrong with a file, how much is in it, and what memory its tables take.

use std::path::Path;

use anyhow::ensure;
use splitter_common::capacity::{PREFIX_ROWS, shares};

use super::text;
use crate::{
    config,
    model::{Config, Need, compile, needs},
    plan::prefixes,
};

const MIB: f64 = 1_048_576.0;

/// Checks a file. `memory`: the number of CPUs to tell the memory for.
pub(super) fn check(file: &Path, memory: Option<u32>) -> anyhow::Result<String> {
    let config = config::load(file)?;
    fit_prefixes(file, &config)?;
    let services = &config.services;
    let vips: usize = services.iter().map(|service| service.vips.len()).sum();
    let versions = || services.iter().flat_map(|service| &service.versions);
    let backends: usize = versions().map(|version| version.backends.len()).sum();
    let mut out = format!(
        "{}: ok: {}, {}, {}, {}, {}\n",
        file.display(),
        text::count(services.len(), "service"),
        text::count(vips, "VIP"),
        text::count(versions().count(), "version"),
        text::count(backends, "backend"),
        text::count(config.interfaces.len(), "interface"),
    );
    out += &room(&config);
    out += &regions(&config);
    if let Some(cpus) = memory {
        out += &table(&config, cpus);
    }
    Ok(out)
}

/// Refuses lists of prefixes that the table has no room for.
fn fit_prefixes(file: &Path, config: &Config) -> anyhow::Result<()> {
    let limit = config.limits.prefixes;
    let (rows, room) = (prefixes::rows_of(config.services()), PREFIX_ROWS * limit);
    ensure!(
        rows <= room as usize,
        "{}: the lists of prefixes take {rows} rows of {room} that [limits] prefixes = {limit} makes (a list of \
         few prefixes takes more than {PREFIX_ROWS} for each): raise it to {} or more",
        file.display(),
        rows.div_ceil(PREFIX_ROWS as usize)
    );
    Ok(())
}

/// What the configuration needs of the limits in force.
fn room(config: &Config) -> String {
    let row = |need: &Need| {
        vec![
            need.what.to_owned(),
            need.count.to_string(),
            need.room.to_string(),
            need.key.unwrap_or("(fixed)").to_owned(),
        ]
    };
    let needs = needs(config.services(), &config.limits);
    let rows = needs.iter().map(row).collect();
    text::table(&["needs", "", "room for", "[limits]"], &[0, 3], rows)
}

/// What regions were expanded to.
fn regions(config: &Config) -> String {
    let mut rows = Vec::new();
    for service in &config.services {
        // One that does not compile is no configuration.
        let lists = compile(&service.segments).unwrap_or_default().asked;
        for list in lists {
            let row = |name: &str| {
                vec![
                    service.name.clone(),
                    name.to_owned(),
                    list.count().to_string(),
                ]
            };
            rows.extend(list.name().map(row));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    text::table(&["service", "region", "prefixes"], &[0, 1], rows)
}

/// The CPUs that this host can have, which is what per-CPU tables are made for.
pub(super) fn possible_cpus() -> anyhow::Result<u32> {
    let (what, cpus) = match aya::util::nr_cpus() {
        Ok(cpus) => return Ok(u32::try_from(cpus)?),
        Err((what, error)) => (what, error),
    };
    anyhow::bail!("cannot tell this host's CPUs ({what}: {cpus}); say how many: --cpus N")
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn table(config: &Config, cpus: u32) -> String {
    let needs = needs(config.services(), &config.limits);
    let listed = needs.iter().find(|need| need.key == Some("prefixes"));
    let prefixes = listed.map_or(0, |need| need.count);
    let prefixes = u32::try_from(prefixes).unwrap_or(u32::MAX);
    let limits = &config.limits;
    let shares = shares(&limits.sizes(), prefixes, cpus);
    let mib = |bytes: u64| format!("{:.2}", bytes as f64 / MIB);
    let rows = shares
        .iter()
        .map(|share| {
            vec![
                share.what.to_owned(),
                share.entries.to_string(),
                mib(share.bytes),
            ]
        })
        .collect();
    let total = shares.iter().map(|share| share.bytes).sum();
    format!(
        "Kernel memory with {}:\n{}  {} MiB in all\n",
        text::count(cpus as usize, "CPU"),
        text::table(&["table", "room for", "MiB"], &[0], rows),
        mib(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_file_is_told_by_table_and_in_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("splitter.toml");
        let file = "[limits]\nflows = 65536\npending = 16384\n[[interface]]\nname = \"eth0\"\n\
                    [service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
                    direct = [\"10.9.0.0/16\"]\nversion.stable = { baseline = true, \
                    backends = [\"10.0.0.1:80\"] }\n";
        std::fs::write(&path, file).expect("written");
        let told = |cpus| check(&path, Some(cpus)).expect("a valid file");
        let two = told(2);
        for line in [
            "Kernel memory with 2 CPUs:",
            "established flows",
            "65536 10.00",
            "listed prefixes                          1  4.00",
            "MiB in all",
        ] {
            assert!(two.contains(line), "{line} in\n{two}");
        }
        assert_ne!(two, told(4), "counters are per CPU");
        let brief = check(&path, None).expect("a valid file");
        assert!(!brief.contains("MiB"), "{brief}");
    }

    #[test]
    fn lists_that_take_more_rows_than_there_are_do_not_pass() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("splitter.toml");
        let file = |prefixes: u32| {
            format!(
                "[limits]\nprefixes = {prefixes}\n[[interface]]\nname = \"eth0\"\n[service.shop]\n\
                 vips = [\"203.0.113.10:80/tcp\"]\ndeny = [\"192.0.2.0/24\"]\n\
                 version.stable = {{ baseline = true, backends = [\"10.0.0.1:80\"] }}\n"
            )
        };
        std::fs::write(&path, file(1)).expect("written");
        let error = check(&path, None).expect_err("one prefix of its own takes three rows");
        let told = error.to_string();
        assert!(told.contains("take 3 rows of 2 that"), "{told}");
        assert!(told.ends_with("raise it to 2 or more"), "{told}");
        std::fs::write(&path, file(2)).expect("written");
        check(&path, None).expect("with room for them");
    }

    #[test]
    fn regions_are_told_with_the_number_of_their_prefixes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("splitter.toml");
        let database = config::database_of_countries(&[
            ("192.0.2.0/24", "DE"),
            ("198.51.100.0/24", "FR"),
            ("2001:db8::/32", "FR"),
        ]);
        std::fs::write(dir.path().join("country.mmdb"), database).expect("written");
        let file = "databases = { country = \"country.mmdb\" }\n[[interface]]\nname = \"eth0\"\n\
                    [service.shop]\nvips = [\"203.0.113.10:80/tcp\"]\n\
                    version.stable = { baseline = true, backends = [\"10.0.0.1:80\"] }\n\
                    version.canary = { weight = \"0%\", backends = [\"10.0.0.2:80\"] }\n\
                    segment = [{ name = \"a\", match = { country = [\"DE\", \"FR\"] }, \
                    weight = { canary = \"100%\" } }]\n";
        std::fs::write(&path, file).expect("written");
        let told = check(&path, None).expect("a valid file");
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words == ["shop", "country", "DE", "FR", "3"]
        };
        assert!(told.lines().any(row), "{told}");
    }
}
