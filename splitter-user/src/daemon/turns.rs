//! Owns how counters of many backends are looked at: each is a system call under the daemon's lock, so
//! where they are many, some services are looked at each time.

use crate::model::Service;

/// Backends whose counters are looked at in one go.
const AT_ONCE: usize = 4_096;

/// The services whose turn it is; over as many turns as it takes, each of them once.
pub(super) fn of_turn<'a>(
    services: impl Iterator<Item = &'a Service> + Clone,
    turn: usize,
) -> impl Iterator<Item = &'a Service> {
    let versions = services.clone().flat_map(|service| &service.versions);
    let backends: usize = versions.map(|version| version.backends.len()).sum();
    let turns = backends.div_ceil(AT_ONCE).max(1);
    services.skip(turn % turns).step_by(turns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    #[test]
    fn many_are_looked_at_in_turns_and_each_of_them_once() {
        let services = |count: usize| {
            let mut text = String::from("[[interface]]\nname = \"eth0\"\n");
            for number in 0..count {
                let (high, low) = (number / 250, number % 250 + 1);
                text += &format!(
                    "[service.s{number}]\nvips = [\"203.0.{high}.{low}:80/tcp\"]\n\
                     version.v = {{ baseline = true, backends = [\"10.1.{high}.{low}\", \
                     \"10.2.{high}.{low}\", \"10.3.{high}.{low}\", \"10.4.{high}.{low}\", \
                     \"10.5.{high}.{low}\"] }}\n"
                );
            }
            parse_str("test.toml", &text).expect("valid")
        };
        let few = services(3);
        assert_eq!(of_turn(few.services(), 7).count(), 3, "few are one turn");
        let many = services(1_000);
        let mut seen: Vec<&str> = (5..7)
            .flat_map(|turn| of_turn(many.services(), turn))
            .map(|service| service.name.as_str())
            .collect();
        assert_eq!(of_turn(many.services(), 5).count(), 500);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1_000);
    }
}
