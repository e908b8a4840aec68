//! Owns what is told of times: the kernel's histograms as counts and quantiles.

use splitter_common::{
    capacity::MAX_VERSIONS,
    flow::turns::Kind,
    histogram::{CELLS, quantiles_ns},
    layout::{BackendTimes, VersionTimes},
};

use crate::{
    api::types::{FirstTimes, Times, TimesOf},
    dataplane::DataPlane,
};

/// How long a version's backends took.
pub(super) fn of_version(plane: &DataPlane, service: u32, version: u8) -> Times {
    let place = service * MAX_VERSIONS as u32 + u32::from(version);
    let VersionTimes { sums_us, cells } = plane.maps().version_times.read(place);
    let of = |kind: Kind| times(&cells[kind as usize], sums_us[kind as usize]);
    Times {
        handshake: of(Kind::Handshake),
        turn: of(Kind::Turn),
        tls_setup: Some(of(Kind::TlsSetup)),
    }
}

/// How long a backend took.
pub(super) fn of_backend(plane: &DataPlane, number: u32) -> Times {
    let BackendTimes { sums_us, cells } = plane.maps().backend_times.read(number);
    let of = |kind: Kind| times(&cells[kind as usize], sums_us[kind as usize]);
    Times {
        handshake: of(Kind::Handshake),
        turn: of(Kind::Turn),
        tls_setup: None,
    }
}

fn times(counts: &[u32; CELLS], sum_us: u64) -> TimesOf {
    let FirstTimes {
        count,
        p50_us,
        p90_us,
        p99_us,
        cells,
    } = first(&counts.map(u64::from));
    TimesOf {
        count,
        sum_us,
        p50_us,
        p90_us,
        p99_us,
        cells,
    }
}

/// Times whose sum is not kept.
pub(super) fn first(counts: &[u64; CELLS]) -> FirstTimes {
    let [p50_us, p90_us, p99_us] = quantiles_ns(counts).map(|ns| ns.map(|ns| ns / 1_000));
    let used = counts.iter().rposition(|count| *count > 0);
    let cells = counts[..used.map_or(0, |last| last + 1)].to_vec();
    FirstTimes {
        count: cells.iter().sum(),
        p50_us,
        p90_us,
        p99_us,
        cells,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_quantiles_and_end_with_the_last_that_is_used() {
        let mut counts = [0; CELLS];
        assert_eq!(times(&counts, 0), TimesOf::default());
        counts[40] = 99;
        counts[60] = 1;
        let told = times(&counts, 7);
        assert_eq!((told.count, told.sum_us, told.cells.len()), (100, 7, 61));
        // 1,024 us to 1,280 us.
        let p50_us = told.p50_us.expect("counted");
        assert!((1_024..1_280).contains(&p50_us), "{p50_us}");
        assert_eq!(told.p99_us, Some(1_280));
    }
}
