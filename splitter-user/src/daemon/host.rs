//! Owns the checks of this host: what of its own would keep it from forwarding.

use super::core::Core;
use crate::{
    api::Refusal,
    model::Config,
    net::sysctl::{self, Problem, Severity},
};

/// Refuses to start where packets would be lost. A data plane that runs already is never refused
/// its daemon.
pub(super) fn check(core: &Core, file: &Config) -> anyhow::Result<()> {
    let mut fatal = Vec::new();
    for problem in sysctl_problems(file) {
        let line = line(&problem);
        if problem.severity == Severity::Fatal && !core.plane.adopted() {
            fatal.push(line);
        } else {
            log::warn!("{line}");
        }
    }
    if !fatal.is_empty() {
        return Err(Refusal::conflict("this host would not forward packets")
            .with_hint(fatal.join("\n        "))
            .into());
    }
    Ok(())
}

/// What stands in the way now.
pub(super) fn warnings(core: &Core) -> Vec<String> {
    let mut warnings: Vec<String> = sysctl_problems(&core.config).iter().map(line).collect();
    for vip in core
        .config
        .services
        .iter()
        .flat_map(|service| &service.vips)
    {
        if core.own_addresses.contains(&vip.address) {
            warnings.push(format!(
                "{} is an address of this host: its own stack answers what splitter passes, and \
                 drops answers of backends while the way to their client is not known; take it \
                 off the interface and route it here instead",
                vip.address
            ));
        }
    }
    warnings.dedup();
    warnings
}

fn sysctl_problems(config: &Config) -> Vec<Problem> {
    let names: Vec<String> = config
        .interfaces
        .iter()
        .map(|each| each.name.clone())
        .collect();
    let vips = || config.services.iter().flat_map(|service| &service.vips);
    let v4 = vips().any(|vip| vip.address.is_ipv4());
    let v6 = vips().any(|vip| vip.address.is_ipv6());
    sysctl::problems(&names, v4, v6)
}

fn line(problem: &Problem) -> String {
    format!("{}: {}", problem.sentence, problem.fix)
}
