//! Owns next hops: the route to a backend, then the neighbour on it.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags,
            NeighbourMessage, NeighbourState,
        },
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia},
    },
};

use super::{Net, NetError, link::LinkInfo};

/// Route requests under way at once.
const PARALLEL: usize = 64;

/// How a backend is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HopState {
    /// Known.
    Resolved {
        /// The neighbour's Ethernet address.
        mac: [u8; 6],
        /// The interface's own.
        source_mac: [u8; 6],
        /// The interface's number.
        ifindex: u32,
        /// The interface's name.
        ifname: String,
        /// The neighbour: a gateway, or the backend itself.
        gateway: IpAddr,
        /// The longest IP packet that the interface takes, or its route, bytes.
        mtu: u32,
    },
    /// There is a route, but the neighbour does not answer, or was not asked yet.
    Unresolved {
        /// The neighbour.
        gateway: IpAddr,
        /// The interface's number.
        ifindex: u32,
        /// The interface's name.
        ifname: String,
    },
    /// The address is this host's own.
    Local,
    /// There is no route.
    NoRoute,
}

impl HopState {
    /// The neighbour on the way: the number of its interface, and its address.
    pub fn neighbour(&self) -> Option<(u32, IpAddr)> {
        match self {
            Self::Resolved {
                ifindex, gateway, ..
            }
            | Self::Unresolved {
                ifindex, gateway, ..
            } => Some((*ifindex, *gateway)),
            Self::Local | Self::NoRoute => None,
        }
    }
}

/// The neighbours that can be used, by interface and address.
type Neighbours = HashMap<(u32, IpAddr), [u8; 6]>;

impl Net {
    /// How each of `backends` is reached now.
    pub async fn next_hops(
        &self,
        backends: &[IpAddr],
    ) -> Result<HashMap<IpAddr, HopState>, NetError> {
        let links: HashMap<u32, LinkInfo> = self
            .links()
            .await?
            .into_iter()
            .map(|link| (link.ifindex, link))
            .collect();
        let neighbours = self.neighbours().await?;
        let routes: Vec<(IpAddr, Option<RouteMessage>)> = stream::iter(backends.iter().copied())
            .map(|address| async move { (address, self.route(address).await) })
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        let state = |(address, route): (IpAddr, Option<RouteMessage>)| {
            (address, hop(address, route.as_ref(), &links, &neighbours))
        };
        Ok(routes.into_iter().map(state).collect())
    }

    /// Asks the kernel to resolve the neighbours of `which` backends and to keep them resolved:
    /// XDP traffic does not confirm them, and above gc_thresh1 the kernel forgets the stale.
    /// `NTF_EXT_MANAGED` does that since 5.16 (kernel commit 7482e3841d52); before, `NTF_USE`
    /// resolves them once. Entries that an operator made permanent are left alone.
    pub async fn keep_resolved(&self, hops: &HashMap<IpAddr, HopState>, which: &BTreeSet<IpAddr>) {
        let neighbours: BTreeSet<(u32, IpAddr)> = which
            .iter()
            .filter_map(|backend| hops.get(backend)?.neighbour())
            .collect();
        let permanent = self.permanent().await.unwrap_or_default();
        for (ifindex, address) in neighbours.difference(&permanent) {
            let managed = self.ask(*ifindex, *address, true).await;
            if managed.is_err()
                && let Err(error) = self.ask(*ifindex, *address, false).await
            {
                log::warn!("neighbour {address}: the kernel will not resolve it: {error}");
            }
        }
    }

    async fn ask(&self, ifindex: u32, address: IpAddr, managed: bool) -> Result<(), NetError> {
        let mut request = self
            .handle
            .neighbours()
            .add(ifindex, address)
            .state(NeighbourState::None)
            .replace();
        if managed {
            let flag = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
            request.message_mut().attributes.push(flag);
        } else {
            request = request.flags(NeighbourFlags::Use);
        }
        request.execute().await.map_err(|error| NetError::Request {
            what: "neighbour",
            error,
        })
    }

    async fn route(&self, address: IpAddr) -> Option<RouteMessage> {
        let request = match address {
            IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(v4, 32)
                .build(),
            IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(v6, 128)
                .build(),
        };
        // An unreachable destination is answered by an error: no route.
        let mut routes = std::pin::pin!(self.handle.route().get(request).execute());
        routes.try_next().await.ok().flatten()
    }

    async fn dump(&self) -> Result<Vec<NeighbourMessage>, NetError> {
        let failed = |error| NetError::Request {
            what: "neighbours",
            error,
        };
        self.handle
            .neighbours()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(failed)
    }

    async fn neighbours(&self) -> Result<Neighbours, NetError> {
        let entries = self.dump().await?;
        let usable = entries.iter().filter(|entry| is_usable(entry.header.state));
        let known = usable
            .filter_map(|entry| Some(((entry.header.ifindex, address_of(entry)?), mac_of(entry)?)));
        Ok(known.collect())
    }

    async fn permanent(&self) -> Result<BTreeSet<(u32, IpAddr)>, NetError> {
        let entries = self.dump().await?;
        let permanent = entries
            .iter()
            .filter(|entry| entry.header.state == NeighbourState::Permanent);
        let known = permanent.filter_map(|entry| Some((entry.header.ifindex, address_of(entry)?)));
        Ok(known.collect())
    }
}

/// Whether packets can be sent to a neighbour in that state.
pub(super) fn is_usable(state: NeighbourState) -> bool {
    matches!(
        state,
        NeighbourState::Reachable
            | NeighbourState::Stale
            | NeighbourState::Delay
            | NeighbourState::Probe
            | NeighbourState::Permanent
            | NeighbourState::Noarp
    )
}

/// The address that a neighbour message is about.
pub(super) fn address_of(entry: &NeighbourMessage) -> Option<IpAddr> {
    entry
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some((*v4).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some((*v6).into()),
            // The enum is the library's and may grow.
            _ => None,
        })
}

/// The Ethernet address that a neighbour message names.
pub(super) fn mac_of(entry: &NeighbourMessage) -> Option<[u8; 6]> {
    entry
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(mac) => mac.as_slice().try_into().ok(),
            // The enum is the library's and may grow.
            _ => None,
        })
}

fn hop(
    address: IpAddr,
    route: Option<&RouteMessage>,
    links: &HashMap<u32, LinkInfo>,
    neighbours: &Neighbours,
) -> HopState {
    let Some(route) = route else {
        return HopState::NoRoute;
    };
    if route.header.kind == RouteType::Local {
        return HopState::Local;
    }
    if route.header.kind != RouteType::Unicast {
        return HopState::NoRoute;
    }
    let mut gateway = address;
    let mut ifindex = 0;
    let mut route_mtu = u32::MAX;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = *index,
            RouteAttribute::Metrics(metrics) => {
                for metric in metrics {
                    if let RouteMetric::Mtu(mtu) = metric {
                        route_mtu = *mtu;
                    }
                }
            }
            RouteAttribute::Gateway(RouteAddress::Inet(v4)) => gateway = (*v4).into(),
            RouteAttribute::Gateway(RouteAddress::Inet6(v6)) => gateway = (*v6).into(),
            RouteAttribute::Via(RouteVia::Inet(v4)) => gateway = (*v4).into(),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => gateway = (*v6).into(),
            // The enum is the library's and may grow.
            _ => {}
        }
    }
    let Some(link) = links.get(&ifindex) else {
        return HopState::NoRoute;
    };
    let ifname = link.name.clone();
    match (neighbours.get(&(ifindex, gateway)), link.mac) {
        (Some(mac), Some(source_mac)) => HopState::Resolved {
            mac: *mac,
            source_mac,
            ifindex,
            ifname,
            gateway,
            mtu: link.mtu.min(route_mtu),
        },
        _ => HopState::Unresolved {
            gateway,
            ifindex,
            ifname,
        },
    }
}
