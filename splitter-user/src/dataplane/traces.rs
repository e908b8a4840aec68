//! Owns what traces ask of the kernel, and the ring in which packets are told. Neither is pinned: no trace
//! outlives the daemon that it was asked of.

use aya::maps::{MapData, RingBuf};
use splitter_common::{
    capacity::TRACES,
    layout::Control,
    trace::{TraceRow, Traced},
};

use super::{DataPlane, DataPlaneError};

/// Packets that were told and not yet taken.
pub struct TraceRing(RingBuf<MapData>);

impl TraceRing {
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self(ring)
    }

    /// The oldest one.
    pub fn take(&mut self) -> Option<Traced> {
        let record = self.0.next()?;
        bytemuck::try_pod_read_unaligned(&record).ok()
    }
}

impl DataPlane {
    /// The ring; once.
    pub fn take_trace_ring(&mut self) -> Option<TraceRing> {
        self.maps.trace_ring.take()
    }

    /// The place of a trace that asks for nothing, unless all are taken.
    pub fn free_trace(&self) -> Option<u32> {
        (0..TRACES).find(|index| self.maps.trace_rows.read(*index).until == 0)
    }

    /// Asks for packets for so many seconds.
    pub fn begin_trace(
        &mut self,
        index: u32,
        wanted: &TraceRow,
        seconds: u32,
    ) -> Result<(), DataPlaneError> {
        let until = self.jiffies()? + u64::from(seconds) * u64::from(self.hz);
        let rows = &self.maps.trace_rows;
        rows.write(
            index,
            &TraceRow {
                until: 0,
                ..*wanted
            },
        );
        rows.store_word(index, until);
        self.publish_traces();
        Ok(())
    }

    /// Asks no more.
    pub fn end_trace(&mut self, index: u32) {
        self.maps.trace_rows.store_word(index, 0);
        self.publish_traces();
    }

    /// Tells the packet path until when it must look whether somebody asks. An earlier process may have
    /// left a time of its own.
    pub(super) fn publish_traces(&self) {
        let until = (0..TRACES).map(|index| self.maps.trace_rows.read(index).until);
        let until = until.max().unwrap_or(0);
        self.maps
            .control
            .store_word(Control::TracedUntil as u32, until);
    }
}
