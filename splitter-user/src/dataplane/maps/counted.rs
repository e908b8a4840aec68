//! Owns what the program counts, summed over CPUs.

use std::sync::Arc;

use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use splitter_common::{
    capacity::MAX_VERSIONS,
    layout::{BackendCounters, Loss, TableEvent},
    reason::{self, Reason, Verdict},
    segment::PLACES,
};

use super::Maps;
use crate::dataplane::{DataPlaneError, pod::Raw, totals::Totals};

impl Maps {
    /// What a backend number has counted, summed over CPUs.
    pub fn counters(&self, backend: u32) -> BackendCounters {
        let mut sum = BackendCounters::default();
        if let Ok(rows) = self.counters.get(&backend, 0) {
            for row in rows.iter() {
                for (total, cell) in sum.cells.iter_mut().zip(row.0.cells) {
                    *total += cell;
                }
            }
        }
        sum
    }

    /// All that is counted, for whoever reads it without a lock.
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.totals)
    }

    /// What has happened to the flow tables, summed over CPUs.
    pub fn table_events(&self, event: TableEvent) -> u64 {
        summed(&self.table_events, event as u32)
    }

    /// New flows of clients whose version had no backend, by service number and version index.
    pub fn emptied(&self, service: u32, version: u8) -> u64 {
        let cell = service * MAX_VERSIONS as u32 + u32::from(version);
        summed(&self.emptied, cell)
    }

    /// Forgets that, for a version that has just got its index.
    pub(in crate::dataplane) fn forget_emptied(
        &mut self,
        service: u32,
        version: u8,
    ) -> Result<(), DataPlaneError> {
        let cell = service * MAX_VERSIONS as u32 + u32::from(version);
        forget("EMPTIED", &mut self.emptied, cell)
    }

    /// New flows of clients at a place among the segments and of a version, by service number and
    /// version index.
    pub fn assigned(&self, service: u32, place: u8, version: u8) -> u64 {
        summed(&self.assigned, assigned_cell(service, place, version))
    }

    /// Forgets that, for a segment or a version that has just got its place or index.
    pub(in crate::dataplane) fn forget_assigned(
        &mut self,
        service: u32,
        place: u8,
        version: u8,
    ) -> Result<(), DataPlaneError> {
        let cell = assigned_cell(service, place, version);
        forget("ASSIGNED", &mut self.assigned, cell)
    }

    /// Packets by reason and verdict, summed over CPUs; only those above 0.
    pub fn reasons(&self) -> Vec<(Reason, Verdict, u64)> {
        let mut counts = Vec::new();
        for reason in Reason::ALL {
            for verdict in Verdict::ALL {
                let cell = reason::cell(*reason, verdict);
                let packets = summed(&self.reasons, cell);
                if packets > 0 {
                    counts.push((*reason, verdict, packets));
                }
            }
        }
        counts
    }

    /// Frames lost after the verdict, by interface number and kind, summed over CPUs.
    pub fn losses(&self) -> Vec<(u32, Loss, u64)> {
        let mut found = Vec::new();
        for (Raw(key), frames) in self.losses.iter().filter_map(Result::ok) {
            let of_key = Loss::ALL.into_iter().find(|loss| *loss as u32 == key.loss);
            if let Some(loss) = of_key {
                found.push((key.ifindex, loss, frames.iter().sum()));
            }
        }
        found.sort_by_key(|(ifindex, loss, _)| (*ifindex, *loss as u32));
        found
    }
}

fn summed(cells: &PerCpuArray<MapData, u64>, cell: u32) -> u64 {
    cells.get(&cell, 0).map_or(0, |cpus| cpus.iter().sum())
}

fn assigned_cell(service: u32, place: u8, version: u8) -> u32 {
    let row = service * PLACES as u32 + u32::from(place);
    row * MAX_VERSIONS as u32 + u32::from(version)
}

/// Puts a cell of every CPU back to 0.
fn forget(
    map: &'static str,
    cells: &mut PerCpuArray<MapData, u64>,
    cell: u32,
) -> Result<(), DataPlaneError> {
    let failed = |why: String| DataPlaneError::Map { map, why };
    let cpus = nr_cpus().map_err(|(file, error)| failed(format!("{file}: {error}")))?;
    let zeros = PerCpuValues::try_from(vec![0; cpus]).map_err(|error| failed(error.to_string()))?;
    cells
        .set(cell, zeros, 0)
        .map_err(|error| failed(error.to_string()))
}
