//! Owns the kernel's side: the real object through BPF_PROG_TEST_RUN, in a namespace of its own.
//!
//! One lab runs many cases. Between them flows are forgotten and all numbers are given anew; the
//! rest of what an earlier case left stays, as it does in a life of a daemon.

mod evidence;

use anyhow::{Context as _, Result};
use aya::{TestRun as _, TestRunOptions};
use splitter_common::{
    flow::Hop,
    hash::HashKey,
    layout::Counter,
    reason::{Reason, Verdict},
};
use splitter_user::{
    dataplane::DataPlane,
    health::mark_leaving,
    model::{Config, FlowFate},
    plan::{Image, Numbers},
    secret::Secret,
};

use super::{Reasons, WAYS};
use crate::{
    model::{Count, NextHop, Server, Way, Ways},
    netns::Netns,
    plane,
    spec::{
        kernel::{network, open},
        run::fixed_secret,
    },
};

const SEED: HashKey = HashKey { k0: 3, k1: 5 };
/// BPF_PROG_TEST_RUN's packets come in by the namespace's loopback.
const INGRESS: u32 = 1;

/// A data plane of its own, in memory.
pub struct Lab {
    plane: DataPlane,
    numbers: Numbers,
    /// What is in force.
    config: Config,
    secret: Secret,
    other_ifindex: u32,
    /// What was counted before the case.
    before: Reasons,
    /// The frame after the program.
    out: Vec<u8>,
    /// What the model is told of ways.
    pub(super) ways: Ways,
    /// Run the program for frames in several buffers. It is the same but for how it reaches the
    /// packet.
    pub frags: bool,
    _netns: Netns,
}

impl Lab {
    /// Enters a namespace of its own, for good, and loads the object there. `ways`: what the model
    /// is told of it, [`WAYS`] if that is to be true.
    ///
    /// # Errors
    ///
    /// Mostly when the caller is not root.
    pub fn new(ways: Ways) -> Result<Self> {
        let netns = network("compare")?;
        netns.enter();
        Ok(Self {
            plane: open()?,
            numbers: Numbers::default(),
            config: Config::default(),
            secret: fixed_secret()?,
            other_ifindex: netns.ifindex("c0")?,
            before: Reasons::new(),
            out: Vec::new(),
            ways,
            frags: false,
            _netns: netns,
        })
    }

    /// Begins a case.
    pub(super) fn begin(&mut self) -> Result<()> {
        plane::forget(&mut self.plane)?;
        self.numbers = Numbers {
            generation: self.plane.generation(),
            ..Numbers::default()
        };
        self.config = Config::default();
        self.before = self.all_reasons();
        Ok(())
    }

    /// Puts a configuration in force; `false` when the plan refuses it.
    pub(super) fn commit(&mut self, config: &Config, reuse: bool, fate: FlowFate) -> Result<bool> {
        let mut config = config.clone();
        for service in &mut config.services {
            mark_leaving(service, |_, _| false);
        }
        let mut before = self.numbers.clone();
        if reuse {
            before.cursor = 0;
        }
        let Ok(mut numbers) = before.next(&config, &self.secret, &self.plane) else {
            return Ok(false);
        };
        numbers.end_flows(&before, &plane::ends(&config, fate));
        let image = Image::build(&config, &numbers, &self.secret)?;
        self.plane.commit(&image, SEED)?;
        for (number, row) in &image.backends {
            let hop = |hop: NextHop, ifindex| Hop {
                destination: Hop::mac_word(hop.macs.1),
                source: Hop::mac_word(hop.macs.0),
                ifindex,
                mtu: hop.mtu as u16,
            };
            let hop = match (WAYS.to_server)(row.address.into()) {
                Way::Other(other) => Some(hop(other, self.other_ifindex)),
                Way::Same(same) => Some(hop(same, INGRESS)),
                Way::Unknown | Way::Nowhere => None,
            };
            self.plane.set_next_hop(*number, hop);
        }
        (self.numbers, self.config) = (numbers, config);
        // As the model does.
        plane::forget_fragments(&mut self.plane)?;
        Ok(true)
    }

    /// Runs the program on a frame: its action, and the frame after it.
    pub(super) fn packet(&mut self, frame: &[u8]) -> Result<(u32, &[u8])> {
        if !self.frags {
            let action = self.plane.run(frame, &mut self.out)?;
            return Ok((action, &self.out));
        }
        self.out.resize(frame.len().max(64), 0);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut self.out),
            ..TestRunOptions::default()
        };
        let ran = self.plane.loaded(true)?.test_run(options)?;
        self.out.truncate(ran.data_size_out as usize);
        Ok((ran.return_value, &self.out))
    }

    /// Makes all flows and fragments older.
    pub(super) fn age(&mut self, seconds: u32) -> Result<()> {
        plane::age(&mut self.plane, seconds)
    }

    /// What a server's number has counted since the server has it.
    pub(super) fn count(&self, server: &Server) -> Result<Count> {
        let given = self.numbers.service(&server.service)?;
        let backends = given.backends.get(&server.version);
        let number = backends.and_then(|all| all.get(&server.backend));
        let number = number.with_context(|| format!("{server:?} has no number"))?;
        let cells = self.plane.counters(number.number).cells;
        let cell = |counter: Counter| cells[counter as usize] - number.base[counter as usize];
        Ok(Count {
            packets_in: cell(Counter::PacketsIn),
            bytes_in: cell(Counter::BytesIn),
            packets_out: cell(Counter::PacketsOut),
            bytes_out: cell(Counter::BytesOut),
            new_flows: cell(Counter::NewFlows),
            handshakes: cell(Counter::Handshakes),
            syns_begun: cell(Counter::SynsBegun),
            syns_answered: cell(Counter::SynsAnswered),
            resets_by_client: cell(Counter::ResetsByClient),
            resets_by_server: cell(Counter::ResetsByServer),
            resets_by_client_early: cell(Counter::ResetsByClientEarly),
            resets_by_server_early: cell(Counter::ResetsByServerEarly),
            adopted: cell(Counter::Adopted),
            syn_retransmits: cell(Counter::SynRetransmits),
            icmp_errors: cell(Counter::IcmpErrors),
            cut: cell(Counter::Cut),
            http: [
                Counter::Http2xx,
                Counter::Http3xx,
                Counter::Http4xx,
                Counter::Http5xx,
            ]
            .map(cell),
            http_other: cell(Counter::HttpOther),
        })
    }

    /// Packets of this case by verdict and reason.
    pub(super) fn reasons(&self) -> Reasons {
        let mut counted = self.all_reasons();
        for (label, packets) in &self.before {
            if let Some(all) = counted.get_mut(label) {
                *all -= packets;
            }
        }
        counted.retain(|_, packets| *packets > 0);
        counted
    }

    fn all_reasons(&self) -> Reasons {
        let counts: Vec<(Reason, Verdict, u64)> = self.plane.maps().reasons();
        let label = |(reason, verdict, packets): (Reason, Verdict, u64)| {
            ((verdict.name(), reason.name()), packets)
        };
        counts.into_iter().map(label).collect()
    }
}
