//! The real daemon over real packets, sockets and servers. Needs root.

#[path = "daemon/answers.rs"]
mod answers;
#[path = "daemon/backends.rs"]
mod backends;
#[path = "daemon/changes.rs"]
mod changes;
#[path = "daemon/cohorts.rs"]
mod cohorts;
#[path = "daemon/events.rs"]
mod events;
#[path = "daemon/evidence.rs"]
mod evidence;
#[path = "daemon/failover.rs"]
mod failover;
#[path = "daemon/fares.rs"]
mod fares;
#[path = "daemon/fate.rs"]
mod fate;
#[path = "daemon/fleet.rs"]
mod fleet;
#[path = "daemon/floods.rs"]
mod floods;
#[path = "daemon/flows.rs"]
mod flows;
#[path = "daemon/forwarding.rs"]
mod forwarding;
#[path = "daemon/health.rs"]
mod health;
#[path = "daemon/history.rs"]
mod history;
#[path = "daemon/hosts.rs"]
mod hosts;
#[path = "daemon/interfaces.rs"]
mod interfaces;
#[path = "daemon/lease.rs"]
mod lease;
#[path = "daemon/limits.rs"]
mod limits;
#[path = "daemon/losses.rs"]
mod losses;
#[path = "daemon/measured.rs"]
mod measured;
#[path = "daemon/metrics.rs"]
mod metrics;
#[path = "daemon/path_mtu.rs"]
mod path_mtu;
#[path = "daemon/readme.rs"]
mod readme;
#[path = "daemon/regions.rs"]
mod regions;
#[path = "daemon/reload.rs"]
mod reload;
#[path = "daemon/scene.rs"]
mod scene;
#[path = "daemon/segments.rs"]
mod segments;
#[path = "daemon/shares.rs"]
mod shares;
#[path = "daemon/shown.rs"]
mod shown;
#[path = "daemon/simulate.rs"]
mod simulate;
#[path = "daemon/slices.rs"]
mod slices;
#[path = "daemon/stage.rs"]
mod stage;
#[path = "daemon/starts.rs"]
mod starts;
#[path = "daemon/survival.rs"]
mod survival;
#[path = "daemon/tls.rs"]
mod tls;
#[path = "daemon/top.rs"]
mod top;
#[path = "daemon/trace.rs"]
mod trace;
#[path = "daemon/traits.rs"]
mod traits;
#[path = "daemon/truth.rs"]
mod truth;
#[path = "daemon/upgrade.rs"]
mod upgrade;
