//! Owns packets a second: live frames from one namespace through the load balancer's to another,
//! counted where they arrive, on one CPU. The sender reports success for frames that vanish.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::programs::{Xdp, XdpMode, xdp::XdpLinkId};
use aya::{TestRun as _, TestRunAttrs, TestRunOptions};
use serde::Serialize;
use splitter_common::address::Family;
use splitter_common::flow::Hop;
use splitter_user::dataplane::{DataPlane, Target};
use splitter_user::model::XdpChoice;

use super::{
    cases::{Case, frame_bytes},
    lab::{Drive, Lab, Program, bind},
    report::median,
};
use crate::netns::Netns;
use crate::supervise::StopFlag;
use crate::topology::cable;

/// Live frames that go out together, as a driver's NAPI has them.
const LIVE_BATCH: u32 = 64;
/// Flows that take turns.
const FLOWS: u32 = 1_024;
/// The program of the bare redirect.
const PASS_ON: &str = "pass_on";
/// Packets that wait to be counted after the last was sent.
const SETTLE: Duration = Duration::from_millis(50);

/// Packets a second that arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// What was on the way: `splitter`, `nft-dnat`, `routing`, or `redirect`, an XDP program that sends frames on as
    /// they are.
    pub program: &'static str,
    /// The median over rounds.
    pub packets_per_s: f64,
    /// The part of the frames sent that arrived.
    pub arrived: f64,
}

/// Measures splitter, nftables' DNAT, plain routing and a bare redirect in turns.
pub(super) fn run(lab: &mut Lab, quick: bool, stop: &StopFlag) -> Result<Vec<Live>> {
    let ends = Ends::build(lab)?;
    let (packets, rounds) = if quick { (300_000, 3) } else { (1_500_000, 5) };
    let ways = [Way::Splitter, Way::Dnat, Way::Routing, Way::Redirect];
    let mut samples: [Vec<(f64, f64)>; 4] = Default::default();
    for _ in 0..rounds {
        for (way, samples) in ways.into_iter().zip(&mut samples) {
            stop.check()?;
            samples.push(ends.measure(lab, way, packets)?);
        }
    }
    Ok(ways
        .into_iter()
        .zip(samples)
        .map(|(way, samples)| Live {
            program: way.name(),
            packets_per_s: median(samples.iter().map(|sample| sample.0).collect())
                .unwrap_or_default(),
            arrived: median(samples.iter().map(|sample| sample.1).collect()).unwrap_or_default(),
        })
        .collect())
}

/// What is on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Splitter,
    Dnat,
    Routing,
    Redirect,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Splitter => "splitter",
            Self::Dnat => "nft-dnat",
            Self::Routing => "routing",
            Self::Redirect => "redirect",
        }
    }
}

/// The namespaces beside the lab's.
struct Ends {
    source: Netns,
    sink: Netns,
    hop: Hop,
}

impl Ends {
    /// Lays the cables and tells the lab its next hops.
    fn build(lab: &mut Lab) -> Result<Self> {
        let (source, sink) = (Netns::new("source")?, Netns::new("sink")?);
        let netns = lab.netns().clone();
        for name in ["all", "default"] {
            netns.sysctl(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
        }
        cable(&netns, "cli0", &source, "gen0")?;
        cable(&netns, "srv0", &sink, "eth0")?;
        let (sink_mac, own_mac) = (mac(&sink, "eth0")?, mac(&netns, "srv0")?);
        let text = sink_mac.map(|byte| format!("{byte:02x}")).join(":");
        netns.ip_batch(&format!(
            "address add 10.2.0.1/24 dev srv0\nneigh add 10.2.0.11 lladdr {text} dev srv0 nud \
             permanent\n"
        ))?;
        let hop = Hop {
            destination: Hop::mac_word(sink_mac),
            source: Hop::mac_word(own_mac),
            ifindex: netns.ifindex("srv0")?,
            mtu: 1_500,
        };
        let program = lab.bench_program("sink")?;
        let attached = sink.run(|| program.attach("eth0", XdpMode::Driver));
        attached.context("the sink's program")?;
        Ok(Self { source, sink, hop })
    }

    /// Packets a second that arrived, and the part of those sent.
    fn measure(&self, lab: &mut Lab, way: Way, packets: u32) -> Result<(f64, f64)> {
        let netns = lab.netns().clone();
        lab.begin(Family::V4)?;
        let establish = Drive {
            case: Case::Establish,
            flows: FLOWS,
            packets: 3 * FLOWS,
        };
        lab.run(Program::Splitter, &establish)?;
        lab.set_hops(self.hop);
        let (cli, source) = (mac(&netns, "cli0")?, mac(&self.source, "gen0")?);
        let mut macs = [0; 12];
        macs[..6].copy_from_slice(&cli);
        macs[6..].copy_from_slice(&source);
        lab.set_macs(macs)?;
        let mut redirect = None;
        match way {
            Way::Splitter => {
                for name in ["cli0", "srv0"] {
                    let target = Target {
                        name: name.to_owned(),
                        link_name: name.to_owned(),
                        mtu: 1_500,
                        up: true,
                        choice: XdpChoice::Native,
                        ifindex: netns.ifindex(name)?,
                        present: None,
                    };
                    lab.plane().attach(&target)?;
                }
            }
            Way::Dnat => nft(
                &netns,
                "table ip bench {\nchain pre {\ntype nat hook prerouting priority -100;\nip daddr \
                 203.0.113.10 tcp dport 80 dnat to 10.2.0.11:80\n}\n}\n",
            )?,
            Way::Routing => netns.ip_batch("route add 203.0.113.10 via 10.2.0.11\n")?,
            Way::Redirect => redirect = Some(lab.redirect(&netns)?),
        }
        if way == Way::Dnat {
            // The driver's checksums are those of other addresses; conntrack would look.
            netns.sysctl("net/netfilter/nf_conntrack_checksum", "0")?;
        }
        let gen_index = self.source.ifindex("gen0")?;
        let drive = Drive {
            case: Case::Established,
            flows: FLOWS,
            packets,
        };
        let before = lab.counted_by_bench()?;
        let begin = Instant::now();
        self.source.run(|| lab.send(gen_index, &drive))?;
        let elapsed = begin.elapsed();
        thread::sleep(SETTLE);
        let arrived = (lab.counted_by_bench()? - before) as f64;
        match way {
            // The links go with the data plane that the next measurement opens.
            Way::Splitter => lab.begin(Family::V4)?,
            Way::Dnat => nft(&netns, "delete table ip bench")?,
            Way::Routing => netns.ip_batch("route del 203.0.113.10 via 10.2.0.11\n")?,
            Way::Redirect => {
                if let Some(link) = redirect {
                    lab.bench_program(PASS_ON)?.detach(link)?;
                }
            }
        }
        if arrived == 0.0 {
            bail!("{}: nothing arrived", way.name());
        }
        Ok((
            arrived / elapsed.as_secs_f64(),
            arrived / f64::from(packets),
        ))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        // The sink's program holds its interface; with the namespace both are gone.
        let _ = self.sink.ip(&["link", "del", "eth0"]);
    }
}

fn nft(netns: &Netns, commands: &str) -> Result<()> {
    let mut command = Command::new("nft");
    command.arg(commands).stderr(Stdio::piped());
    let output = netns
        .spawn(command)
        .context("cannot run nft")?
        .wait_with_output()?;
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn mac(netns: &Netns, interface: &str) -> Result<[u8; 6]> {
    let text = netns.mac(interface)?;
    let mut mac = [0; 6];
    for (byte, hex) in mac.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(hex, 16)?;
    }
    Ok(mac)
}

impl Lab {
    /// The namespace in which splitter's program runs.
    fn netns(&self) -> &Netns {
        &self.netns
    }

    /// splitter's data plane.
    fn plane(&mut self) -> &mut DataPlane {
        &mut self.plane
    }

    /// A program of the bench's own.
    fn bench_program(&mut self, name: &str) -> Result<&mut Xdp> {
        let program = self.bench.program_mut(name);
        Ok(program.with_context(|| name.to_owned())?.try_into()?)
    }

    /// Gives all templates other MACs: destination, then source.
    fn set_macs(&mut self, macs: [u8; 12]) -> Result<()> {
        for index in 0..self.templates {
            let mut frame = self.frames.get(&index, 0)?;
            for (halfword, pair) in frame.iter_mut().zip(macs.chunks_exact(2)) {
                *halfword = u16::from_ne_bytes([pair[0], pair[1]]);
            }
            self.frames.set(index, frame, 0)?;
        }
        Ok(())
    }

    /// Puts the bare redirect where splitter would be.
    fn redirect(&mut self, netns: &Netns) -> Result<XdpLinkId> {
        self.send_to.set(1, netns.ifindex("srv0")?, 0)?;
        let program = self.bench_program(PASS_ON)?;
        let attached = program.attach("cli0", XdpMode::Driver);
        attached.context("the redirect's program")
    }

    /// Sends live frames out of an interface of the calling thread's namespace.
    fn send(&mut self, ifindex: u32, drive: &Drive) -> Result<()> {
        self.send_to.set(0, ifindex, 0)?;
        let send: &Xdp = self.bench.program("send").context("send")?.try_into()?;
        self.programs.set(0, send.fd()?, 0)?;
        self.prepare(0, drive)?;
        let driver = self.driver()?;
        bind(0)?;
        let frame = vec![0; frame_bytes(self.family)];
        driver.test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: drive.packets,
            attrs: TestRunAttrs::new().xdp_live_frames(LIVE_BATCH),
            ..TestRunOptions::default()
        })?;
        Ok(())
    }
}
