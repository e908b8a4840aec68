//! Owns the traces of the host's executor: every packet of every row is asked for, and what is told of it
//! must be what was done with it.

use std::cell::{Cell, OnceCell};

use anyhow::{Context, Result, ensure};
use splitter_common::{
    address::Address,
    engine::{self, Env, Outcome},
    layout::{Control, Left},
    packet,
    reason::{self, Reason, Verdict},
    trace::{TraceRow, Traced},
};

use super::{Host, memory::Bytes};

/// Words of the control map, and what was told last.
#[derive(Default)]
pub(super) struct Trace {
    due_ns: Cell<u64>,
    untold: Cell<u64>,
    told: Cell<Option<Traced>>,
}

impl Trace {
    pub(super) fn control(&self, word: Control) -> u64 {
        if word == Control::TraceDue {
            self.due_ns.get()
        } else {
            self.untold.get()
        }
    }

    pub(super) fn set_control(&self, word: Control, value: u64) {
        assert_eq!(word, Control::TraceDue, "a word that traces do not write");
        self.due_ns.set(value);
    }

    pub(super) fn tell(&self, traced: &Traced) -> bool {
        self.told.set(Some(*traced));
        true
    }

    pub(super) fn refuse(&self) {
        self.untold.set(self.untold.get() + 1);
    }
}

/// One for each family, and two that ask for nothing.
pub(super) fn row(index: u32) -> TraceRow {
    let every = |mask| TraceRow {
        until: u64::MAX,
        client: Address::default(),
        mask,
        service: 0,
    };
    match index {
        0 => TraceRow {
            client: Address::from_v4_halfwords(0, 0),
            ..every(Address::from_v4_halfwords(0, 0).masks(0, 0))
        },
        1 => every([0; 2]),
        _ => TraceRow::default(),
    }
}

impl Host {
    /// Before a packet nothing is told.
    pub(super) fn forget_trace(&self) {
        self.trace.told.set(None);
    }

    /// The place that was told last.
    pub(super) fn traced_place(&self) -> Option<u8> {
        self.trace.told.get().map(|told| told.place)
    }

    /// What is told of a packet that came as `frame` and ended so.
    pub(super) fn check_trace(
        &mut self,
        frame: &[u8],
        after: &Bytes,
        outcome: &Outcome,
    ) -> Result<()> {
        let ended = reason::cell(outcome.reason, outcome.verdict);
        self.left = OnceCell::from(Left {
            ended,
            ..Left::default()
        });
        engine::trace(self);
        let told = self.trace.told.get().context("nothing is told of it")?;
        let came = packet::network(&Bytes(frame.to_vec())).context("no IP packet")?;
        ensure!(
            (told.source, told.destination, told.ended) == (came.source, came.destination, ended),
            "another packet is told: {told:?}"
        );
        let forwarded = matches!(
            outcome.verdict,
            Verdict::Tx | Verdict::Redirect | Verdict::Resolve
        );
        let of_client = matches!(
            outcome.reason,
            Reason::Established
                | Reason::Pending
                | Reason::Handshake
                | Reason::NewFlow
                | Reason::Adopted
        );
        if forwarded && of_client {
            let went = packet::network(after).context("no IP packet left")?;
            let backend = self.backend(told.backend).context("no backend is told")?;
            ensure!(
                told.has == 1 && told.reply == 0 && backend.address == went.destination,
                "it went to {:?}, but {told:?}",
                went.destination
            );
        }
        Ok(())
    }
}
