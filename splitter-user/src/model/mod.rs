//! Owns the desired state: what an operator wants, as plain values.
//!
//! Invariant: a [`Config`] that came out of [`crate::config`] has been checked whole; the types
//! here can hold nonsense, and nobody else builds them. Versions stand in the order of the file,
//! because the split law hands out the hash space in that order. Weights are parts per million
//! inside [`Weight`]; table sizes are entries.

mod backend;
mod choices;
mod devices;
mod flows;
mod health;
mod history;
mod limits;
mod metrics;
mod options;
mod prefix_set;
mod regions;
mod segments;
mod shared;
mod traits;
mod vip;

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use splitter_common::{
    maglev,
    weight::{WHOLE_PPM, Weight},
};

pub use backend::Backend;
pub use choices::{Affinity, ForwardMethod, SplitKey, XdpChoice};
pub use devices::{DeviceRule, TcpOption, UNKNOWN_DEVICE, rule_of, signature};
pub use flows::{FlowFate, FlowFateError, FlowLimit, FlowLimits};
pub use health::{
    AdminState, Check, HealthSettings, HttpMethod, HttpQuestion, OnEmpty, Passive, Question,
};
pub use history::{HistoryStep, HistoryStepError, Moment, MomentError};
pub use limits::{Limit, Limits, Need, needs};
pub use metrics::Metrics;
pub use options::{
    DEFAULT_CONFIG, DEFAULT_PIN_DIR, DEFAULT_SECRET, DEFAULT_SOCKET, DEFAULT_STATE_DIR,
    ServeOptions,
};
pub use prefix_set::PrefixSet;
pub use regions::{Databases, Region, RegionKind};
pub use segments::{
    Compiled, Condition, Segment, SegmentsError, TraitSet, compile, trait_condition,
};
pub use shared::Shared;
pub use traits::{Activities, TraitSettings};
pub use vip::{Protocol, Vip, VipError};

/// Everything that the configuration file and its `conf.d` ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The interfaces that carry the XDP program, in the order of the file.
    pub interfaces: Vec<Interface>,
    /// Sizes of the kernel tables.
    pub limits: Limits,
    /// Who may ask for metrics.
    pub metrics: Metrics,
    /// Databases of regions.
    #[serde(default)]
    pub databases: Databases,
    /// Rules by which devices are known, those of the file before those that are built in.
    #[serde(default)]
    pub devices: Vec<DeviceRule>,
    /// The services, in the order of the file.
    pub services: Vec<Shared<Service>>,
}

impl Config {
    /// The services, in the order of the file.
    pub fn services(&self) -> impl Iterator<Item = &Service> + Clone {
        self.services.iter().map(|service| &**service)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services().find(|service| service.name == name)
    }

    /// Puts a service in the place of the one of its name.
    pub fn replace(&mut self, service: &Service) {
        let mut services = self.services.iter_mut();
        if let Some(found) = services.find(|each| each.name == service.name) {
            *found = service.clone().into();
        }
    }
}

/// A network interface that the XDP program is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// The kernel's name for it, `eth0`.
    pub name: String,
    /// How the program is attached.
    pub xdp: XdpChoice,
}

/// A service: the owner of VIPs and of a split among versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, unique.
    pub name: String,
    /// What clients dial; at least one.
    pub vips: Vec<Vip>,
    /// How packets reach the backends.
    pub forward: ForwardMethod,
    /// What the split law hashes.
    pub key: SplitKey,
    /// What a backend is chosen by inside its version; `None` is the protocol's own default.
    pub affinity: Option<Affinity>,
    /// Name of the release: a part of the salt, so that every release draws its clients anew.
    pub release: String,
    /// Services of one group share the salt, so that a client is in the canary of all of them.
    pub salt_group: Option<String>,
    /// Whether backends speak HTTP/1.x without encryption, so that the status of what they answer can be
    /// counted.
    #[serde(default)]
    pub http1: bool,
    /// How long a turn may take at most by what the service promises: evidence counts longer ones as late.
    #[serde(default)]
    pub turn_slo: Option<Duration>,
    /// How long a slice of a release is, see [`Service::slice_s`].
    #[serde(default)]
    pub slice: Option<Duration>,
    /// Those who speak to backends without a VIP: what backends send them is never taken for a
    /// reply that lost its flow.
    #[serde(default)]
    pub direct: Vec<IpNet>,
    /// Clients that are not served: what they send is dropped, what is open to them ends.
    #[serde(default)]
    pub deny: Vec<IpNet>,
    /// Clients that alone are served; none: all are.
    #[serde(default)]
    pub allow: Vec<IpNet>,
    /// How many new flows there may be.
    #[serde(default)]
    pub limits: FlowLimits,
    /// What becomes of open flows when weights or backends change, unless the change says otherwise.
    #[serde(default)]
    pub flows: FlowFate,
    /// Up to which weight of all but the baseline together a supervised release falls back to the
    /// baseline when nobody watches it; above, a scaled-down baseline would be flooded.
    #[serde(default = "default_fail_safe", with = "weight_text")]
    pub fail_safe_max: Weight,
    /// Whether the release is supervised: set at run time, never by the file.
    #[serde(default)]
    pub supervised: bool,
    /// Clients that have weights of their own, in the order in which they are asked.
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// How device class and activity are found, for segments that ask for them.
    #[serde(default)]
    pub traits: TraitSettings,
    /// The versions, in the order of the file; exactly one is the baseline.
    pub versions: Vec<Version>,
    /// How the backends' health is found out; `None`: not at all, so that every one counts as
    /// healthy.
    pub health: Option<HealthSettings>,
}

/// What [`Service::fail_safe_max`] is unless the file says otherwise: 25 %.
pub const DEFAULT_FAIL_SAFE_MAX: Weight = match Weight::from_ppm(250_000) {
    Some(weight) => weight,
    None => Weight::ZERO,
};

fn default_fail_safe() -> Weight {
    DEFAULT_FAIL_SAFE_MAX
}

/// How long a slice of a release is, in seconds, unless its service says so.
const SLICE_S: u64 = 3_600;

impl Service {
    /// How long a slice of a release is, in seconds: so often every client counts anew.
    pub fn slice_s(&self) -> u64 {
        self.slice.map_or(SLICE_S, |slice| slice.as_secs())
    }

    /// Whether new flows go to the baseline when nobody watches any more.
    pub fn falls_back(&self) -> bool {
        self.supervised && self.taken_ppm() <= self.fail_safe_max.ppm()
    }

    /// What all but the baseline take, in parts per million.
    fn taken_ppm(&self) -> u32 {
        self.versions
            .iter()
            .map(|each| each.own_weight().ppm())
            .sum()
    }

    /// The version that takes what the others leave. `None` only in a service that was not
    /// checked.
    pub fn baseline(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.baseline)
    }

    /// The version of that name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// The segment of that name.
    pub fn segment(&self, name: &str) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name == name)
    }

    /// The service as the clients of a segment see it: with that segment's weights. One that the
    /// segment does not name has none.
    #[must_use]
    pub fn under(&self, segment: &Segment) -> Self {
        let mut under = Self {
            segments: Vec::new(),
            ..self.clone()
        };
        for version in under.versions.iter_mut().filter(|each| !each.baseline) {
            let weight = segment.weights.get(&version.name);
            version.weight = weight.copied().unwrap_or_default();
        }
        under
    }

    /// What the baseline gets: the whole less every other version's weight.
    pub fn rest(&self) -> Weight {
        Weight::from_ppm(WHOLE_PPM.saturating_sub(self.taken_ppm())).unwrap_or(Weight::ZERO)
    }

    /// Every version's weight by name, the baseline's being the rest.
    pub fn weights(&self) -> BTreeMap<String, Weight> {
        let rest = self.rest();
        let weight = |version: &Version| {
            if version.baseline {
                rest
            } else {
                version.weight
            }
        };
        self.versions
            .iter()
            .map(|version| (version.name.clone(), weight(version)))
            .collect()
    }

    /// What a backend is chosen by for flows of `protocol`: per client for UDP, so that a QUIC
    /// client keeps its server when its port changes.
    pub fn affinity_for(&self, protocol: Protocol) -> Affinity {
        self.affinity.unwrap_or(match protocol {
            Protocol::Tcp => Affinity::Flow,
            Protocol::Udp => Affinity::Client,
        })
    }
}

impl Service {
    /// Entries of the directory beside those of the VIPs' addresses.
    pub fn endpoints(&self) -> usize {
        let backends = || self.versions.iter().flat_map(|version| &version.backends);
        let of_vip = |vip: &Vip| {
            let same = |backend: &&Backend| backend.address.is_ipv4() == vip.address.is_ipv4();
            1 + backends().filter(same).count()
        };
        self.vips.iter().map(of_vip).sum()
    }

    /// Pages of its tables: one table for each version and family.
    pub fn table_pages(&self) -> usize {
        let pages = |version: &Version| {
            let v4 = version
                .backends
                .iter()
                .filter(|backend| backend.address.is_ipv4())
                .count();
            [v4, version.backends.len() - v4]
                .into_iter()
                .filter(|backends| *backends > 0)
                .map(|backends| maglev::pages_for(maglev::size_for(backends)) as usize)
                .sum::<usize>()
        };
        self.versions.iter().map(pages).sum()
    }
}

/// A named group of backends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Version {
    /// Its name, unique in the service.
    pub name: String,
    /// Whether it takes what the others leave.
    pub baseline: bool,
    /// Its weight; zero for the baseline, whose share is [`Service::rest`].
    #[serde(with = "weight_text")]
    pub weight: Weight,
    /// Its servers, in the order of the file; at least one.
    pub backends: Vec<Backend>,
    /// What becomes of its clients when none of them is left; `None`: [`Self::on_empty`] says.
    pub on_empty: Option<OnEmpty>,
}

impl Version {
    /// What becomes of its clients when no backend is left: a baseline keeps its last table, the
    /// clients of another version are served by the baseline, unless told otherwise.
    pub fn on_empty(&self) -> OnEmpty {
        self.on_empty.unwrap_or(if self.baseline {
            OnEmpty::Keep
        } else {
            OnEmpty::Baseline
        })
    }

    /// The weight that this version takes from the whole; a baseline takes none.
    fn own_weight(&self) -> Weight {
        if self.baseline {
            Weight::ZERO
        } else {
            self.weight
        }
    }
}

/// The longest name of a service, version, release or salt group, in bytes.
pub const NAME_MAX: usize = 63;

/// Whether `name` can name a service, a version, a release or a salt group:
/// `[a-z0-9][a-z0-9_-]{0,62}`.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = name.bytes();
    name.len() <= NAME_MAX
        && bytes.next().is_some_and(plain)
        && bytes.all(|byte| plain(byte) || byte == b'_' || byte == b'-')
}

/// Weights as the text that operators write, since [`Weight`] itself knows no serde.
mod weight_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use splitter_common::weight::Weight;

    pub(super) fn serialize<S: Serializer>(weight: &Weight, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(weight)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weight, D::Error> {
        Weight::parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests;
