//! Owns the running of a row: the script against an executor.
//!
//! Beside what a row says, this holds for every packet: one that is passed is untouched, and one
//! that is forwarded has right checksums and lengths, no lost UDP checksum, and leaves by the
//! interface that its way names.

mod check;
mod ends;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use anyhow::{Context as _, Result, bail, ensure};
use splitter_common::{
    evidence::{EVENTS, SCOPES, Sample},
    flow::{Hop, turns::Kind},
    hash::HashKey,
    layout::BackendCounters,
    reason::{Reason, Verdict},
    weight::Weight,
};
use splitter_user::{
    config::{apply_segment_weights, apply_weights, parse_str},
    model::{Config, FlowFate, Service},
    plan::{Image, Numbers},
    secret::{self, Secret},
};

use super::{Hops, Row, config_text};
use crate::{
    cells::Cells,
    packet::{Frame, Macs},
    plane,
};

/// The next hop toward clients: the MAC of the interface, then the hop's.
pub const CLIENT_MACS: Macs = ([2, 0, 0, 0, 0, 0xaa], [2, 0, 0, 0, 0, 0xcc]);
/// The next hop toward backends, likewise.
const BACKEND_MACS: Macs = ([2, 0, 0, 0, 0, 0xaa], [2, 0, 0, 0, 0, 0xbb]);
/// The longest IP packets that the ways to clients and to backends take, bytes.
pub const CLIENT_MTU: u16 = 1_500;
/// Likewise; less than what comes in, so that there is what does not fit.
const BACKEND_MTU: u16 = 1_400;
/// Where clients live: address, leading bits by IPv4 and by IPv6.
pub const LAB_PREFIXES: [(&str, u32, u32); 2] = [("10.100.0.0", 16, 16), ("fd64::", 16, 16)];

/// What became of a packet.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The frame after the program.
    pub frame: Vec<u8>,
    /// The interface to leave by; `None` when the executor cannot see it.
    pub ifindex: Option<u32>,
}

/// Something that a row can run on.
pub trait Executor {
    /// The interface that packets come in by.
    fn ingress_ifindex(&self) -> u32;
    /// Another interface.
    fn other_ifindex(&self) -> u32;
    /// Forgets all flows. `committed`: the row begins with a commit. The generation in force.
    fn begin(&mut self, committed: bool) -> Result<u32>;
    /// Puts tables in force.
    fn commit(&mut self, image: &Image, seed: HashKey) -> Result<()>;
    /// Sets the way to a backend.
    fn set_hop(&mut self, backend: u32, hop: Option<Hop>);
    /// Runs the program on a frame.
    fn packet(&mut self, frame: &[u8]) -> Result<Ran>;
    /// Puts an address into a cohort, for so many seconds or for ever.
    fn enrol(&mut self, address: IpAddr, cohort: &str, seconds: Option<u32>) -> Result<()>;
    /// Takes an address out of all cohorts.
    fn expel(&mut self, address: IpAddr) -> Result<()>;
    /// Makes all flows older, and brings the ends of memberships nearer.
    fn age(&mut self, seconds: u32) -> Result<()>;
    /// What a backend number has counted.
    fn counters(&self, backend: u32) -> BackendCounters;
    /// New flows by service number, place among its segments and index of the version.
    fn assigned(&self, service: u32, place: u8, version: u8) -> u64;
    /// What a version was counted for as evidence, in the release and in its slice.
    fn evidence(&self, ledger: u32, slot: u8, version: u8) -> [EvidenceCounts; SCOPES];
    /// How many times of a kind were measured of it.
    fn times(&self, backend: u32, kind: Kind) -> u64;
    /// The place that the last packet's trace tells, where packets are traced.
    fn traced_place(&self) -> Option<u8> {
        None
    }
}

/// What was counted of a version in a slot, by [`Event`], and how many samples there are, by
/// [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceCounts {
    /// Events.
    pub events: [u64; EVENTS],
    /// Samples.
    pub samples: [u64; Sample::COUNT],
}

/// Runs a row.
pub fn run(row: &Row, executor: &mut impl Executor) -> Result<()> {
    let generation = executor.begin(row.config.is_some())?;
    let mut stage = Stage {
        executor,
        hops: row.hops,
        secret: fixed_secret()?,
        config: None,
        numbers: Numbers {
            generation,
            ..Numbers::default()
        },
        owners: BTreeMap::new(),
        image: None,
        bound: HashMap::new(),
        last: None,
        aged: false,
    };
    if let Some(name) = &row.config {
        stage.commit(with_weights(config(name)?, &row.weights)?)?;
    }
    for (index, line) in row.script.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            // A row's script begins one line below its quotes.
            stage
                .step(line)
                .with_context(|| format!("step {index}: {line}"))?;
        }
    }
    Ok(())
}

/// The packet that ran last.
struct Last {
    before: Vec<u8>,
    ran: Ran,
}

struct Stage<'a, E> {
    executor: &'a mut E,
    hops: Hops,
    secret: Secret,
    config: Option<Config>,
    numbers: Numbers,
    /// Who has held each backend number last.
    owners: BTreeMap<u32, String>,
    image: Option<Image>,
    /// Clients and backends by the word that stands for them.
    bound: HashMap<String, (IpAddr, u16)>,
    last: Option<Last>,
    /// Whether flows were made older.
    aged: bool,
}

impl<E: Executor> Stage<'_, E> {
    fn step(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => self.packet(rest),
            "=" => self.check(rest),
            "<" => self.check_frame(rest),
            "age" => {
                self.aged = true;
                self.executor.age(rest.parse()?)
            }
            "weights" => {
                let (weights, fate) = with_fate(rest)?;
                let config = self.config.clone().context("nothing is configured")?;
                self.commit_with(with_weights(config, weights)?, fate)
                    .map(drop)
            }
            "segment" => {
                let (rest, fate) = with_fate(rest)?;
                let (segment, weights) = rest.split_once(' ').context("SEGMENT VERSION=WEIGHT")?;
                let mut config = self.config.clone().context("nothing is configured")?;
                let service = config.services.first_mut().context("no service")?;
                let weights = parse_weights(weights)?;
                *service = apply_segment_weights(service, segment, &weights)?.into();
                self.commit_with(config, fate).map(drop)
            }
            "config" => {
                let (name, fate) = with_fate(rest)?;
                self.commit_with(config(name)?, fate).map(drop)
            }
            "member" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                let [cohort, address, ref seconds @ ..] = words[..] else {
                    bail!("COHORT ADDRESS [SECONDS]")
                };
                let seconds = seconds.first().map(|text| text.parse()).transpose()?;
                self.executor.enrol(address.parse()?, cohort, seconds)
            }
            "no-member" => self.executor.expel(rest.parse()?),
            "leave" => self.leave(rest),
            "reuse" => self.reuse(rest),
            "count" => self.check_count(rest),
            "assigned" => self.check_assigned(rest),
            "traced" => self.check_traced(rest),
            "evidence" => self.check_evidence(rest, 0),
            "evidence-before" => self.check_evidence(rest, 1),
            other => bail!("{other} is no step"),
        }
    }

    /// Commits; how many backend numbers have gone to another owner.
    fn commit(&mut self, config: Config) -> Result<usize> {
        self.commit_with(config, FlowFate::Keep)
    }

    /// The same, with a fate of flows that are open.
    fn commit_with(&mut self, config: Config, fate: FlowFate) -> Result<usize> {
        let executor = &self.executor;
        let running = Cells(|number| executor.counters(number).cells);
        let mut numbers = self.numbers.next(&config, &self.secret, &running)?;
        numbers.end_flows(&self.numbers, &plane::ends(&config, fate));
        let image = Image::build(&config, &numbers, &self.secret)?;
        self.executor.commit(&image, HashKey { k0: 3, k1: 5 })?;
        let ifindex = match self.hops {
            Hops::Same => self.executor.ingress_ifindex(),
            Hops::Other | Hops::Unknown => self.executor.other_ifindex(),
        };
        let hop = Hop {
            destination: Hop::mac_word(BACKEND_MACS.1),
            source: Hop::mac_word(BACKEND_MACS.0),
            ifindex,
            mtu: BACKEND_MTU,
        };
        let mut reused = 0;
        for number in image.backends.keys() {
            self.executor
                .set_hop(*number, (self.hops != Hops::Unknown).then_some(hop));
            for service in numbers.services.values() {
                if let Some((version, backend)) = service.backend_name(*number) {
                    let owner = format!("{version} {backend}");
                    let before = self.owners.insert(*number, owner.clone());
                    reused += usize::from(before.is_some_and(|before| before != owner));
                }
            }
        }
        self.numbers = numbers;
        self.image = Some(image);
        self.config = Some(config);
        Ok(reused)
    }

    /// A commit after which backend numbers have gone all the way round: freed ones are given
    /// again, which otherwise takes 32,767 new backends.
    fn reuse(&mut self, name: &str) -> Result<()> {
        self.numbers.cursor = 0;
        let reused = self.commit(config(name)?)?;
        ensure!(reused > 0, "no backend number has gone to another backend");
        Ok(())
    }

    /// A backend that takes no new flows any more.
    fn leave(&mut self, text: &str) -> Result<()> {
        let (word, fate) = with_fate(text)?;
        let leaves = *self.bound.get(word).context("a backend that was seen")?;
        let mut config = self.config.clone().context("nothing is configured")?;
        let services = config.services.iter_mut();
        for version in services.flat_map(|service| &mut service.versions) {
            for backend in &mut version.backends {
                if (backend.address, backend.port.unwrap_or(leaves.1)) == leaves {
                    (backend.weight, backend.leaving) = (0, true);
                }
            }
        }
        self.commit_with(config, fate).map(drop)
    }

    fn packet(&mut self, text: &str) -> Result<()> {
        let frame = Frame::parse(text, |end| self.end(end))?;
        let before = frame.bytes();
        let ran = self.executor.packet(&before)?;
        self.check_always(&before, &ran)?;
        self.last = Some(Last { before, ran });
        Ok(())
    }

    fn service(&self) -> Result<&Service> {
        let config = self.config.as_ref().context("nothing is configured")?;
        config.services().next().context("no service")
    }
}

/// What stands before `flows=FATE`, and the fate.
fn with_fate(text: &str) -> Result<(&str, FlowFate)> {
    match text.split_once("flows=") {
        None => Ok((text, FlowFate::Keep)),
        Some((before, fate)) => Ok((before.trim(), fate.trim().parse()?)),
    }
}

fn config(name: &str) -> Result<Config> {
    Ok(parse_str(name, &config_text(name)?)?)
}

fn with_weights(mut config: Config, text: &str) -> Result<Config> {
    let service = config.services.first_mut().context("no service")?;
    *service = apply_weights(service, &parse_weights(text)?)?.into();
    Ok(config)
}

fn parse_weights(text: &str) -> Result<BTreeMap<String, Weight>> {
    let mut weights = BTreeMap::new();
    for pair in text.split_whitespace() {
        let (version, weight) = pair.split_once('=').context("VERSION=WEIGHT")?;
        weights.insert(version.to_owned(), Weight::parse(weight)?);
    }
    Ok(weights)
}

/// The same secret for all rows, so that a failure can be repeated.
pub fn fixed_secret() -> Result<Secret> {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("secret");
    std::fs::write(&path, format!("{}\n", "5a".repeat(32)))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(secret::load(&path)?)
}
