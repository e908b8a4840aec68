//! Owns how rows run on the host's executor.

use std::{cell::OnceCell, net::IpAddr};

use anyhow::{Result, ensure};
use splitter_common::{
    address::Address,
    cohort::{self, Membership},
    engine::{self, Aside},
    evidence::SCOPES,
    flow::{Hop, turns::Kind},
    hash::HashKey,
    layout::{BackendCounters, BackendRow, Left, SLICE_ROWS, evidence_row},
    reason::Reason,
};
use splitter_user::plan::Image;

use super::{
    super::run::{EvidenceCounts, Executor, Ran},
    HZ, Host, INGRESS, OTHER,
    memory::{Bytes, Tables},
};

impl Executor for Host {
    fn ingress_ifindex(&self) -> u32 {
        INGRESS
    }

    fn other_ifindex(&self) -> u32 {
        OTHER
    }

    fn begin(&mut self, _committed: bool) -> Result<u32> {
        *self = Self {
            jiffies: 1 << 39,
            ..Self::default()
        };
        Ok(0)
    }

    fn commit(&mut self, image: &Image, seed: HashKey) -> Result<()> {
        let before = self.tables.take();
        let tables = Tables::new(image, seed)?;
        self.recheck_after(before.as_ref(), image);
        if let Some(before) = before {
            for (number, row) in before.image.backends {
                if !image.backends.contains_key(&number) {
                    let born = image.generation;
                    self.retired.insert(
                        number,
                        BackendRow {
                            born,
                            retired: 1,
                            ..row
                        },
                    );
                }
            }
        }
        for service in image.services.values() {
            if let Some(ledger) = &service.ledger {
                self.evidence.borrow_mut().put(ledger);
            }
        }
        self.tables = Some(tables);
        Ok(())
    }

    fn set_hop(&mut self, backend: u32, hop: Option<Hop>) {
        match hop {
            Some(hop) => self.hops.insert(backend, hop),
            None => self.hops.remove(&backend),
        };
    }

    fn packet(&mut self, frame: &[u8]) -> Result<Ran> {
        self.parsed = OnceCell::new();
        self.inner = OnceCell::new();
        self.left = OnceCell::new();
        self.forget_trace();
        let mut packet = Bytes(frame.to_vec());
        let mut outcome = engine::process(&mut packet, self);
        if outcome.aside == Aside::Decide {
            outcome = engine::decide(&mut packet, self);
        }
        if engine::is_measured(self, &outcome) {
            engine::measure(&packet, self);
        }
        if outcome.aside != Aside::Nothing {
            self.left = OnceCell::from(Left {
                aside: outcome.aside as u32,
                number: outcome.number,
                ..Left::default()
            });
            outcome = engine::answer(&mut packet, self);
        }
        if engine::is_traced(self, &outcome) {
            self.check_trace(frame, &packet, &outcome)?;
        }
        let (reason, number) = (outcome.reason, outcome.number);
        ensure!(reason != Reason::Inconsistent, "{number} has no row");
        Ok(Ran {
            verdict: outcome.verdict,
            reason,
            frame: packet.0,
            ifindex: Some(number),
        })
    }

    fn enrol(&mut self, address: IpAddr, cohort: &str, seconds: Option<u32>) -> Result<()> {
        let of = Membership {
            cohort: cohort::number(cohort),
            until: seconds.map_or(0, |seconds| self.jiffies + u64::from(seconds) * HZ),
        };
        self.members
            .entry(Address::from(address))
            .or_default()
            .push(of);
        Ok(())
    }

    fn expel(&mut self, address: IpAddr) -> Result<()> {
        self.members.remove(&Address::from(address));
        Ok(())
    }

    fn age(&mut self, seconds: u32) -> Result<()> {
        self.jiffies += u64::from(seconds) * HZ;
        Ok(())
    }

    fn assigned(&self, service: u32, place: u8, version: u8) -> u64 {
        let key = (service, usize::from(place), usize::from(version));
        self.assigned.borrow().get(&key).copied().unwrap_or(0)
    }

    fn traced_place(&self) -> Option<u8> {
        self.traced_place()
    }

    fn counters(&self, backend: u32) -> BackendCounters {
        self.counters
            .borrow()
            .get(&backend)
            .copied()
            .unwrap_or_default()
    }

    fn evidence(&self, ledger: u32, slot: u8, version: u8) -> [EvidenceCounts; SCOPES] {
        let row = evidence_row(ledger, u32::from(slot), u32::from(version));
        [row, row + SLICE_ROWS].map(|row| self.evidence.borrow().counted(row))
    }

    fn times(&self, backend: u32, kind: Kind) -> u64 {
        let times = self.times.borrow();
        times.get(&backend).map_or(0, |times| times[kind as usize])
    }
}
