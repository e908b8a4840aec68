//! Owns the ends of frames: the words of a row that stand for clients, VIPs and backends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use splitter_common::{
    address::Address,
    decide::{Question, decide},
};

use super::{Executor, Stage};
use crate::packet;

/// How many clients are asked for one of a version. A millionth of them is there 30 times.
const CLIENTS: u32 = 30_000_000;

impl<E: Executor> Stage<'_, E> {
    /// A word such as `canary.b` stands, from its first use on, for the backend that the frame
    /// went to; it must be one of that version's.
    pub(super) fn bind(&mut self, text: &str, frame: &[u8]) -> Result<()> {
        let unbound = |word: &&str| word.contains(".b") && !self.bound.contains_key(*word);
        let Some(word) = text.split_whitespace().find(unbound) else {
            return Ok(());
        };
        let version = word.split('.').next().unwrap_or_default();
        let read = packet::read(frame).with_context(|| format!("{frame:02x?} has no ports"))?;
        let (address, port) = read.destination;
        let backends = &self
            .service()?
            .version(version)
            .context("no such version")?
            .backends;
        let mine = backends
            .iter()
            .any(|backend| backend.address == address && backend.port.unwrap_or(port) == port);
        ensure!(
            mine,
            "{address} port {port} is no backend of {version}: {read}"
        );
        let word = word.to_owned();
        self.bound.insert(word, (address, port));
        Ok(())
    }

    /// The address and port of an end.
    pub(super) fn end(&mut self, text: &str) -> Result<(IpAddr, u16)> {
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
        let nth: usize = nth.parse()?;
        let given = self.numbers.service(&self.service()?.name)?;
        let wanted = usize::from(given.version(name)?.index);
        let image = self.image.as_ref().context("nothing is committed")?;
        let row = &image.services[&u32::from(given.number)].row;
        let clients: &mut dyn Iterator<Item = IpAddr> = if v6 {
            &mut (1..=CLIENTS).map(client_v6)
        } else {
            &mut (1..=u16::MAX).map(client_v4)
        };
        let mut found = clients.filter(|address| {
            let question = Question {
                client: Address::from(*address),
                client_port: 0,
                port: 0,
                protocol: 6,
            };
            decide(row, &question, 0).version == wanted
        });
        found
            .nth(nth.saturating_sub(1))
            .with_context(|| format!("no client belongs to {name}"))
    }
}

/// One of 10.100.0.0/16.
fn client_v4(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(10, 100, high, low).into()
}

/// In a /64 of its own, of fd64::/16.
fn client_v6(n: u32) -> IpAddr {
    Ipv6Addr::new(0xfd64, 0, (n >> 16) as u16, n as u16, 0, 0, 0, 1).into()
}
