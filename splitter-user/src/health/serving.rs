//! Owns who is in the tables: what operators want, health, its limits and slow starts, as backend
//! weights. Pure.
//!
//! Invariants: nothing but backend weights differs between a service and what is served of it, so
//! that nobody changes version; a backend that is not in a table has weight 0 and keeps its number.
//! IPv4 and IPv6 are judged apart, because they have tables of their own.

use crate::model::{AdminState, Backend, HealthSettings, OnEmpty, Service, Version};

/// A slow start goes through so many parts of a weight.
pub const PARTS: u16 = 10;

/// How a backend stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the operator wants.
    pub admin: AdminState,
    /// Neither unhealthy by its checks nor ejected.
    pub healthy: bool,
    /// How much of its weight it has reached in a slow start: 1 to [`PARTS`].
    pub parts: u16,
}

impl Standing {
    /// Of a backend that nothing is known against.
    pub const GOOD: Self = Self {
        admin: AdminState::Active,
        healthy: true,
        parts: PARTS,
    };
}

/// What is served of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionServed {
    /// Backends that are active and healthy.
    pub healthy: usize,
    /// Too many of the active backends are unhealthy, in IPv4 and in IPv6: all of them serve.
    pub panic: [bool; 2],
    /// No backend is left, in IPv4 and in IPv6: `on_empty` holds.
    pub empty: [bool; 2],
}

/// What is served of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The service, with the backend weights that its tables are built from.
    pub service: Service,
    /// By the order of its versions.
    pub versions: Vec<VersionServed>,
}

/// What is to be served of `service`. `before`: what was, for versions that keep their last table.
pub fn serve(
    service: &Service,
    before: Option<&Service>,
    standing: impl Fn(&Version, &Backend) -> Standing,
) -> Served {
    let mut served = service.clone();
    mark_leaving(&mut served, |version, backend| {
        standing(version, backend).admin != AdminState::Active
    });
    let most_ppm = service
        .health
        .as_ref()
        .map_or(HealthSettings::MAX_UNHEALTHY_PPM, |health| {
            health.max_unhealthy.ppm()
        });
    let mut versions = Vec::with_capacity(service.versions.len());
    for version in &mut served.versions {
        let stands: Vec<Standing> = version
            .backends
            .iter()
            .map(|backend| standing(version, backend))
            .collect();
        let before = before.and_then(|before| before.version(&version.name));
        let mut told = VersionServed {
            healthy: stands.iter().filter(|stands| in_table(stands)).count(),
            ..VersionServed::default()
        };
        for family in [0, 1] {
            let members: Vec<usize> = (0..version.backends.len())
                .filter(|at| self::family(&version.backends[*at]) == family)
                .collect();
            let judged = judge(version, &members, &stands, most_ppm);
            (told.panic[family], told.empty[family]) = (judged.panic, judged.serving.is_empty());
            told.empty[family] &= !members.is_empty();
            weigh(version, &members, &judged.serving, &stands, before);
        }
        versions.push(told);
    }
    Served {
        service: served,
        versions,
    }
}

/// Marks the backends that an operator wants no flows on: those taken out, by `out`, and those whose
/// weight is configured to be 0.
pub fn mark_leaving(service: &mut Service, out: impl Fn(&Version, &Backend) -> bool) {
    for version in &mut service.versions {
        let leaving: Vec<bool> = version
            .backends
            .iter()
            .map(|backend| backend.weight == 0 || out(version, backend))
            .collect();
        for (backend, leaving) in version.backends.iter_mut().zip(leaving) {
            backend.leaving = leaving;
        }
    }
}

/// Whether [`mark_leaving`] changes nothing of a service of which nobody is taken out.
pub fn leaves_as_configured(service: &Service) -> bool {
    let mut backends = service.versions.iter().flat_map(|each| &each.backends);
    backends.all(|backend| backend.leaving == (backend.weight == 0))
}

/// 0: IPv4, 1: IPv6.
fn family(backend: &Backend) -> usize {
    usize::from(backend.address.is_ipv6())
}

fn in_table(stands: &Standing) -> bool {
    stands.admin == AdminState::Active && stands.healthy
}

struct Judged {
    serving: Vec<usize>,
    panic: bool,
}

/// Which of `members` serve.
fn judge(version: &Version, members: &[usize], stands: &[Standing], most_ppm: u32) -> Judged {
    let active =
        |at: &usize| stands[*at].admin == AdminState::Active && version.backends[*at].weight > 0;
    let active: Vec<usize> = members.iter().copied().filter(active).collect();
    let serving: Vec<usize> = active
        .iter()
        .copied()
        .filter(|at| stands[*at].healthy)
        .collect();
    let unhealthy = (active.len() - serving.len()) as u64;
    // Half of one is nobody's to take.
    let panic =
        version.baseline && unhealthy * 1_000_000 > active.len() as u64 * u64::from(most_ppm);
    Judged {
        serving: if panic { active } else { serving },
        panic,
    }
}

/// Gives `serving` their weights and the other `members` none.
fn weigh(
    version: &mut Version,
    members: &[usize],
    serving: &[usize],
    stands: &[Standing],
    before: Option<&Version>,
) {
    if serving.is_empty() && version.on_empty() == OnEmpty::Keep {
        return keep(version, members, stands, before);
    }
    // Weights are whole numbers: while somebody has a part, everybody is counted in parts.
    let slow = serving.iter().any(|at| stands[*at].parts < PARTS);
    for at in members {
        let backend = &mut version.backends[*at];
        backend.weight = match (serving.contains(at), slow) {
            (false, _) => 0,
            (true, false) => backend.weight,
            (true, true) => backend.weight * stands[*at].parts.clamp(1, PARTS),
        };
    }
}

/// Leaves the last table as it was, but for those whom the operator took out. Where that leaves
/// nobody, all whom the operator left in serve; where there is none of them either, all.
fn keep(version: &mut Version, members: &[usize], stands: &[Standing], before: Option<&Version>) {
    let last = |backend: &Backend| {
        let same = |last: &&Backend| (last.address, last.port) == (backend.address, backend.port);
        let last = before.and_then(|before| before.backends.iter().find(same));
        last.map_or(0, |last| last.weight)
    };
    let active = |at: usize| stands[at].admin == AdminState::Active;
    let weights = |weight: &dyn Fn(usize) -> u16| -> Option<Vec<u16>> {
        let weights: Vec<u16> = members.iter().map(|at| weight(*at)).collect();
        weights.iter().any(|weight| *weight > 0).then_some(weights)
    };
    let backends = &version.backends;
    let kept = weights(&|at| if active(at) { last(&backends[at]) } else { 0 })
        .or_else(|| weights(&|at| if active(at) { backends[at].weight } else { 0 }));
    for (at, weight) in members.iter().zip(kept.into_iter().flatten()) {
        version.backends[*at].weight = weight;
    }
}

#[cfg(test)]
#[path = "serving_tests.rs"]
mod tests;
