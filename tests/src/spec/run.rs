//! Owns the running of a row: the script against an executor.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use anyhow::{Context as _, Result, bail, ensure};
use splitter_common::{
    address::Address,
    decide::{Question, decide},
    flow::Hop,
    hash::HashKey,
    layout::{BackendCounters, Counter},
    reason::{Reason, Verdict},
    weight::Weight,
};
use splitter_user::{
    config::{apply_weights, parse_str},
    model::{Config, Service},
    plan::{Image, Numbers},
    secret::{self, Secret},
};

use super::{Hops, Row, config_text};
use crate::packet::{Frame, INGRESS_MACS};

/// The next hop toward clients: its MAC, and the MAC of the interface.
pub const CLIENT_HOP: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 0xcc], [2, 0, 0, 0, 0, 0xaa]);
/// The next hop toward backends.
const BACKEND_HOP: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 0xbb], [2, 0, 0, 0, 0, 0xaa]);
/// Where clients live: address, leading bits by IPv4 and by IPv6.
pub const LAB_PREFIXES: [(&str, u32, u32); 2] = [("10.100.0.0", 16, 16), ("fd64::", 16, 16)];
/// The interface toward clients, on the host.
pub const OTHER_IFINDEX_HOST: u32 = 7;

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
    /// Runs the program on a frame: verdict, reason, the frame after it.
    fn packet(&mut self, frame: &[u8]) -> Result<(Verdict, Reason, Vec<u8>)>;
    /// Makes all flows older.
    fn age(&mut self, seconds: u32) -> Result<()>;
    /// What a backend number has counted.
    fn counters(&self, backend: u32) -> BackendCounters;
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
        image: None,
        bound: HashMap::new(),
        last: None,
    };
    if let Some(name) = &row.config {
        stage.commit(with_weights(config(name)?, &row.weights)?)?;
    }
    for (index, line) in row.script.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            stage
                .step(line)
                .with_context(|| format!("line {}: {line}", index + 1))?;
        }
    }
    Ok(())
}

/// The packet that ran last.
struct Last {
    verdict: Verdict,
    reason: Reason,
    before: Vec<u8>,
    after: Vec<u8>,
}

struct Stage<'a, E> {
    executor: &'a mut E,
    hops: Hops,
    secret: Secret,
    config: Option<Config>,
    numbers: Numbers,
    image: Option<Image>,
    /// Backends by the word that stands for them.
    bound: HashMap<String, (IpAddr, u16)>,
    last: Option<Last>,
}

impl<E: Executor> Stage<'_, E> {
    fn step(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            ">" => self.packet(rest),
            "=" => self.check(rest),
            "<" => self.check_frame(rest),
            "age" => self.executor.age(rest.parse()?),
            "weights" => {
                let config = self.config.clone().context("nothing is configured")?;
                self.commit(with_weights(config, rest)?)
            }
            "config" => self.commit(config(rest)?),
            "count" => self.check_count(rest),
            other => bail!("{other} is no step"),
        }
    }

    fn commit(&mut self, config: Config) -> Result<()> {
        let executor = &self.executor;
        let numbers = self.numbers.next(&config, &self.secret, |number| {
            executor.counters(number).cells
        })?;
        let image = Image::build(&config, &numbers, &self.secret)?;
        self.executor.commit(&image, HashKey { k0: 3, k1: 5 })?;
        let (destination, source) = BACKEND_HOP;
        let ifindex = match self.hops {
            Hops::Same => self.executor.ingress_ifindex(),
            Hops::Other | Hops::Unknown => self.executor.other_ifindex(),
        };
        let hop = Hop {
            destination: Hop::mac_word(destination),
            source: Hop::mac_word(source),
            ifindex,
        };
        for number in image.backends.keys() {
            self.executor
                .set_hop(*number, (self.hops != Hops::Unknown).then_some(hop));
        }
        self.numbers = numbers;
        self.image = Some(image);
        self.config = Some(config);
        Ok(())
    }

    fn packet(&mut self, text: &str) -> Result<()> {
        let frame = Frame::parse(text, |end| self.end(end))?;
        let before = frame.bytes();
        let (verdict, reason, after) = self.executor.packet(&before)?;
        self.last = Some(Last {
            verdict,
            reason,
            before,
            after,
        });
        Ok(())
    }

    fn check(&self, text: &str) -> Result<()> {
        let last = self.last.as_ref().context("no packet ran")?;
        let got = format!("{} {}", last.verdict.name(), last.reason.name());
        ensure!(got == text, "got {got}");
        if last.verdict == Verdict::Pass {
            ensure!(last.before == last.after, "a passed frame was touched");
        }
        Ok(())
    }

    fn check_frame(&mut self, text: &str) -> Result<()> {
        let last = self.last.as_ref().context("no packet ran")?;
        let (verdict, after) = (last.verdict, last.after.clone());
        let to_backend = last.reason != Reason::Reply;
        self.bind(text, &after)?;
        let mut frame = Frame::parse(text, |end| self.end(end))?;
        let (default_ttl, macs) = match verdict {
            Verdict::Tx | Verdict::Redirect if to_backend => (63, (BACKEND_HOP.1, BACKEND_HOP.0)),
            Verdict::Tx | Verdict::Redirect => (63, (CLIENT_HOP.1, CLIENT_HOP.0)),
            Verdict::Pass | Verdict::Drop | Verdict::Resolve => (64, INGRESS_MACS),
        };
        frame.ttl = frame.ttl.or(Some(default_ttl));
        frame.macs = macs;
        let wanted = frame.bytes();
        if wanted != after {
            let at = wanted
                .iter()
                .zip(&after)
                .position(|(wanted, got)| wanted != got);
            bail!(
                "the frames differ from byte {at:?} on\n  wanted {wanted:02x?}\n  got    {after:02x?}"
            );
        }
        Ok(())
    }

    /// A word such as `canary.b` stands, from its first use on, for the backend that the frame
    /// went to; it must be one of that version's.
    fn bind(&mut self, text: &str, frame: &[u8]) -> Result<()> {
        let unbound = |word: &&str| word.contains(".b") && !self.bound.contains_key(*word);
        let Some(word) = text.split_whitespace().find(unbound) else {
            return Ok(());
        };
        let version = word.split('.').next().unwrap_or_default();
        let end = destination(frame).context("the frame is too short")?;
        let service = self.service()?;
        let backends = &service
            .version(version)
            .context("no such version")?
            .backends;
        let mine = backends
            .iter()
            .any(|backend| backend.address == end.0 && backend.port.unwrap_or(end.1) == end.1);
        ensure!(mine, "{} port {} is no backend of {version}", end.0, end.1);
        let word = word.to_owned();
        self.bound.insert(word, end);
        Ok(())
    }

    fn check_count(&self, text: &str) -> Result<()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [version, counter, wanted] = words[..] else {
            bail!("VERSION COUNTER N")
        };
        let cell = counter_of(counter)? as usize;
        let given = self.numbers.service(&self.service()?.name)?;
        let live: u64 = given
            .backends
            .get(version)
            .context("no such version")?
            .values()
            .map(|number| self.executor.counters(number.number).cells[cell] - number.base[cell])
            .sum();
        let got = live + given.version(version)?.retired[cell];
        ensure!(got == wanted.parse::<u64>()?, "got {got}");
        Ok(())
    }

    fn service(&self) -> Result<&Service> {
        let config = self.config.as_ref().context("nothing is configured")?;
        config.services.first().context("no service")
    }

    /// The address and port of an end.
    fn end(&mut self, text: &str) -> Result<(IpAddr, u16)> {
        if let Some(end) = self.bound.get(text) {
            return Ok(*end);
        }
        if let Ok(end) = text.parse::<SocketAddr>() {
            return Ok((end.ip(), end.port()));
        }
        let (word, port) = text
            .split_once(':')
            .with_context(|| format!("{text}: no port"))?;
        let port = port.parse()?;
        let address = match word {
            "vip" => Ipv4Addr::new(203, 0, 113, 10).into(),
            "vip6" => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10).into(),
            client => match self.bound.get(client) {
                Some((address, _)) => *address,
                None => {
                    let address = self.client(client)?;
                    self.bound.insert(client.to_owned(), (address, 0));
                    address
                }
            },
        };
        Ok((address, port))
    }

    /// `canary`, `canary6`, `canary/2`: a client whose version that is when first named.
    fn client(&self, word: &str) -> Result<IpAddr> {
        let (name, nth) = word.split_once('/').unwrap_or((word, "1"));
        let (name, v6) = match name.strip_suffix('6') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let given = self.numbers.service(&self.service()?.name)?;
        let wanted = usize::from(given.version(name)?.index);
        let image = self.image.as_ref().context("nothing is committed")?;
        let row = &image.services[&u32::from(given.number)].row;
        let found = (1..=u16::MAX)
            .map(|n| match v6 {
                true => Ipv6Addr::new(0xfd64, 0, 0, n, 0, 0, 0, 1).into(),
                false => IpAddr::V4(Ipv4Addr::new(10, 100, (n >> 8) as u8, n as u8)),
            })
            .filter(|address| {
                let client = Address::from(*address);
                let question = Question {
                    client,
                    client_port: 0,
                    port: 0,
                    protocol: 6,
                };
                decide(row, &question).version == wanted
            })
            .nth(nth.parse::<usize>()? - 1);
        found.with_context(|| format!("no client belongs to {name}"))
    }
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
        other => bail!("{other} is no counter"),
    })
}

/// Destination address and port of an untagged frame.
fn destination(frame: &[u8]) -> Option<(IpAddr, u16)> {
    let (address, l4) = if frame.get(12..14)? == [0x08, 0x00] {
        let octets: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
        (IpAddr::from(octets), 14 + usize::from(frame[14] & 0xf) * 4)
    } else {
        let octets: [u8; 16] = frame.get(38..54)?.try_into().ok()?;
        (IpAddr::from(octets), 54)
    };
    let port = frame.get(l4 + 2..l4 + 4)?;
    Some((address, u16::from_be_bytes([port[0], port[1]])))
}

fn config(name: &str) -> Result<Config> {
    Ok(parse_str(name, &config_text(name)?)?)
}

fn with_weights(mut config: Config, text: &str) -> Result<Config> {
    let mut weights = BTreeMap::new();
    for pair in text.split_whitespace() {
        let (version, weight) = pair.split_once('=').context("VERSION=WEIGHT")?;
        weights.insert(version.to_owned(), Weight::parse(weight)?);
    }
    let service = config.services.first_mut().context("no service")?;
    *service = apply_weights(service, &weights)?;
    Ok(config)
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
