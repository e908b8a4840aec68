//! Owns the checks: what a row wants, and what holds for every packet.

use anyhow::{Context as _, Result, bail, ensure};
use splitter_common::{
    evidence::{Event, Sample},
    flow::turns::Kind,
    layout::Counter,
    reason::{Reason, Verdict},
};

use super::{BACKEND_MACS, CLIENT_MACS, Executor, Ran, Stage};
use crate::packet::{self, Frame, INGRESS_MACS, describe};

impl<E: Executor> Stage<'_, E> {
    /// What holds for every packet, see the module above.
    pub(super) fn check_always(&self, before: &[u8], ran: &Ran) -> Result<()> {
        let name = ran.verdict.name();
        let leaves_by = match ran.verdict {
            Verdict::Pass => {
                ensure!(before == ran.frame, "{}", touched(before, &ran.frame));
                return Ok(());
            }
            Verdict::Drop => return Ok(()),
            Verdict::Resolve => None,
            Verdict::Tx => Some(self.executor.ingress_ifindex()),
            Verdict::Redirect => Some(self.executor.other_ifindex()),
        };
        if let (Some(wanted), Some(got)) = (leaves_by, ran.ifindex) {
            ensure!(
                wanted == got,
                "{name} by interface {got} instead of {wanted}"
            );
        }
        let shown = describe(&ran.frame);
        // Some packets are answered by another one.
        let other = is_answer(ran.reason);
        ensure!(
            other || before.len() == ran.frame.len(),
            "{name}: {} bytes became {}: {shown}",
            before.len(),
            ran.frame.len()
        );
        let faults = packet::faults(&ran.frame);
        ensure!(
            faults.is_empty(),
            "{name}: a wrong frame: {}\n  {shown}",
            faults.join("; ")
        );
        let bare = |bytes: &[u8]| packet::read(bytes).is_some_and(|read| read.is_bare());
        ensure!(
            other || bare(before) == bare(&ran.frame),
            "{name}: the UDP checksum came or went: {shown}"
        );
        Ok(())
    }

    pub(super) fn check(&self, text: &str) -> Result<()> {
        let last = self.last.as_ref().context("no packet ran")?;
        let got = format!("{} {}", last.ran.verdict.name(), last.ran.reason.name());
        ensure!(
            got == text,
            "\n  wanted {text}\n  got    {got}\n  sent   {}\n  left   {}",
            describe(&last.before),
            describe(&last.ran.frame)
        );
        Ok(())
    }

    pub(super) fn check_frame(&mut self, text: &str) -> Result<()> {
        let ran = self.last.as_ref().context("no packet ran")?.ran.clone();
        self.bind(text, &ran.frame)?;
        let mut wanted = Frame::parse(text, |end| self.end(end))?;
        let to_backend = !matches!(ran.reason, Reason::Reply | Reason::ReplyStateless);
        let (ttl, macs) = match ran.verdict {
            Verdict::Tx if ran.reason == Reason::EchoReply || is_answer(ran.reason) => {
                (64, (INGRESS_MACS.1, INGRESS_MACS.0))
            }
            Verdict::Tx | Verdict::Redirect if to_backend => (63, BACKEND_MACS),
            Verdict::Tx | Verdict::Redirect => (63, CLIENT_MACS),
            Verdict::Resolve => (64, INGRESS_MACS),
            Verdict::Pass | Verdict::Drop => bail!(
                "nothing leaves: {} {}",
                ran.verdict.name(),
                ran.reason.name()
            ),
        };
        wanted.ttl = wanted.ttl.or(Some(ttl));
        wanted.macs = wanted.macs.or(Some(macs));
        let bytes = wanted.bytes();
        ensure!(
            bytes == ran.frame,
            "\n  wanted {wanted}\n  got    {}\n  {}",
            describe(&ran.frame),
            packet::difference(&bytes, &ran.frame).join("; ")
        );
        Ok(())
    }

    pub(super) fn check_count(&self, text: &str) -> Result<()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [version, counter, wanted] = words[..] else {
            bail!("VERSION COUNTER N")
        };
        let given = self.numbers.service(&self.service()?.name)?;
        let numbers = given.backends.get(version).context("no such version")?;
        let wanted = wanted.parse::<u64>()?;
        let kind = match counter {
            "handshake_times" => Some(Kind::Handshake),
            "turn_times" => Some(Kind::Turn),
            _ => None,
        };
        if let Some(kind) = kind {
            let times = |number| self.executor.times(number, kind);
            let got: u64 = numbers.values().map(|number| times(number.number)).sum();
            ensure!(got == wanted, "got {got}");
            return Ok(());
        }
        let cell = counter_of(counter)? as usize;
        let live: u64 = numbers
            .values()
            .map(|number| self.executor.counters(number.number).cells[cell] - number.base[cell])
            .sum();
        let got = live + given.version(version)?.retired[cell];
        ensure!(got == wanted, "got {got}");
        Ok(())
    }

    /// New flows of a segment's clients by version; `none`: of those who are in no segment.
    pub(super) fn check_assigned(&self, text: &str) -> Result<()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [segment, version, wanted] = words[..] else {
            bail!("SEGMENT VERSION N")
        };
        let given = self.numbers.service(&self.service()?.name)?;
        let place = self.place(segment)?;
        let index = given.version(version)?.index;
        // A version that has just got its index has none yet.
        let got = self
            .executor
            .assigned(u32::from(given.number), place, index);
        ensure!(got == wanted.parse::<u64>()?, "got {got}");
        Ok(())
    }

    /// The segment that the last packet's trace tells, where packets are traced.
    pub(super) fn check_traced(&self, segment: &str) -> Result<()> {
        let wanted = self.place(segment)?;
        let got = self.executor.traced_place().unwrap_or(wanted);
        ensure!(got == wanted, "got place {got} instead of {wanted}");
        Ok(())
    }

    fn place(&self, segment: &str) -> Result<u8> {
        match segment {
            "none" => Ok(0),
            name => Ok(self.numbers.service(&self.service()?.name)?.place(name)?),
        }
    }
}

impl<E: Executor> Stage<'_, E> {
    /// What was counted as evidence of a version under the weights in force, or under those that were
    /// so many changes before. No slice ends within a row: both scopes say the same, unless flows were
    /// made older than the slice is.
    pub(super) fn check_evidence(&self, text: &str, before: usize) -> Result<()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [version, event, wanted] = words[..] else {
            bail!("VERSION EVENT N")
        };
        let given = self.numbers.service(&self.service()?.name)?;
        let judged = given.judged.as_ref().context("the service is not judged")?;
        let slot = judged.slots.iter().rev().nth(before);
        let slot = slot.context("there were no weights before")?.slot;
        let index = given.version(version)?.index;
        let scopes = self
            .executor
            .evidence(u32::from(judged.ledger), slot, index);
        ensure!(
            self.aged || scopes[0] == scopes[1],
            "the slice has {:?}",
            scopes[1]
        );
        let got = match event {
            "handshake_samples" => scopes[0].samples[Sample::Handshake as usize],
            "turn_samples" => scopes[0].samples[Sample::Turn as usize],
            name => {
                let known = Event::ALL.into_iter().find(|event| event.name() == name);
                scopes[0].events[known.context("no such event")? as usize]
            }
        };
        ensure!(got == wanted.parse::<u64>()?, "got {got}");
        Ok(())
    }
}

/// Whether what leaves is not the packet that came in.
fn is_answer(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TooBig | Reason::FlowCut | Reason::VersionEmpty
    )
}

fn touched(before: &[u8], after: &[u8]) -> String {
    format!(
        "a passed frame was touched: {}\n  before {}\n  after  {}",
        packet::difference(before, after).join("; "),
        describe(before),
        describe(after)
    )
}

fn counter_of(name: &str) -> Result<Counter> {
    Ok(match name {
        "packets_in" => Counter::PacketsIn,
        "bytes_in" => Counter::BytesIn,
        "packets_out" => Counter::PacketsOut,
        "bytes_out" => Counter::BytesOut,
        "new_flows" => Counter::NewFlows,
        "handshakes" => Counter::Handshakes,
        "syns_begun" => Counter::SynsBegun,
        "syns_answered" => Counter::SynsAnswered,
        "resets_by_client" => Counter::ResetsByClient,
        "resets_by_server" => Counter::ResetsByServer,
        "adopted" => Counter::Adopted,
        "syn_retransmits" => Counter::SynRetransmits,
        "icmp_errors" => Counter::IcmpErrors,
        "cut" => Counter::Cut,
        "resets_by_client_early" => Counter::ResetsByClientEarly,
        "resets_by_server_early" => Counter::ResetsByServerEarly,
        "http_2xx" => Counter::Http2xx,
        "http_3xx" => Counter::Http3xx,
        "http_4xx" => Counter::Http4xx,
        "http_5xx" => Counter::Http5xx,
        "http_other" => Counter::HttpOther,
        other => bail!("{other} is no counter"),
    })
}
