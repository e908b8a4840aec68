//! Owns the rows that say what open flows are looked at for, see `splitter_common::flow::recheck`.

use std::sync::atomic::{Ordering, fence};

use splitter_common::{
    flow::recheck::RecheckRow,
    layout::{Control, ServiceRow},
};

use super::{DataPlane, DataPlaneError};

impl DataPlane {
    /// What a service's open flows are looked at for.
    pub fn recheck(&self, service: u32) -> RecheckRow {
        self.maps.rechecks.read(service)
    }

    /// In how many seconds open flows of a service end that it decides otherwise by now, for each
    /// commit that said so; 0 once the time is up.
    pub fn endings_in_s(&self, service: u32) -> Vec<f64> {
        let row = self.recheck(service);
        // The lease reads the clock every second.
        let now = self.maps.control.load_word(Control::Jiffies as u32);
        let endings = row.from.iter().zip(row.at);
        let left = |at: u64| at.saturating_sub(now) as f64 / f64::from(self.hz.max(1));
        endings
            .filter(|(from, _)| **from != 0)
            .map(|(_, at)| left(at))
            .collect()
    }

    /// Lets open flows be looked at for a row that is about to be switched to. `old`: the row before;
    /// a service that had none has no flows.
    pub(super) fn raise_recheck(
        &mut self,
        service: u32,
        old: Option<&ServiceRow>,
        row: &ServiceRow,
        ends_after_s: Option<u32>,
    ) -> Result<(), DataPlaneError> {
        let before = self.recheck(service);
        let Some(old) = old else {
            if before != RecheckRow::default() {
                self.write_recheck(service, &RecheckRow::default());
            }
            return Ok(());
        };
        let mut next = before;
        if (old.deny, old.allow) != (row.deny, row.allow) {
            next = next.with_denied(row.generation);
        }
        if let Some(after_s) = ends_after_s {
            let now = self.read_clock()?;
            let at = now + u64::from(after_s) * u64::from(self.hz);
            let (with, joined) = next.with_ending(row.generation, at, now);
            if joined {
                log::warn!(
                    "service number {service}: more drains are under way than the kernel keeps \
                     apart; flows of the last one go on until those of this one end"
                );
            }
            next = with;
        }
        if next != before {
            self.write_recheck(service, &next);
        }
        Ok(())
    }

    /// Forgets what open flows are looked at for; for tests, whose flows are gone.
    pub fn forget_rechecks(&mut self) {
        for service in 0..self.maps.rechecks.len() {
            if self.recheck(service) != RecheckRow::default() {
                self.write_recheck(service, &RecheckRow::default());
            }
        }
    }

    /// Brings all ends of flows nearer by so many jiffies; for tests, which cannot wait.
    pub fn advance_rechecks(&mut self, jiffies: u64) {
        for service in 0..self.maps.rechecks.len() {
            let mut row = self.recheck(service);
            for (from, at) in row.from.iter().zip(&mut row.at) {
                if *from != 0 {
                    *at = at.saturating_sub(jiffies);
                }
            }
            if row != self.recheck(service) {
                self.write_recheck(service, &row);
            }
        }
    }

    /// Each number by itself, in such an order that no flow ends before its time whatever a program
    /// reads meanwhile: an ending is taken away before its time changes, and named again after.
    fn write_recheck(&mut self, service: u32, row: &RecheckRow) {
        let mut there = self.recheck(service);
        let put = |there: &RecheckRow| {
            self.maps.rechecks.write(service, there);
            fence(Ordering::SeqCst);
        };
        for slot in 0..row.from.len() {
            if (there.from[slot], there.at[slot]) == (row.from[slot], row.at[slot]) {
                continue;
            }
            there.from[slot] = 0;
            put(&there);
            there.at[slot] = row.at[slot];
            put(&there);
            there.from[slot] = row.from[slot];
            put(&there);
        }
        there.newest = row.newest;
        put(&there);
    }
}
