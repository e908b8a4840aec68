//! A daemon that always answers the same, for what the command line makes of it.

mod clients;
mod cohorts;
mod events;
mod evidence;
mod explain;
mod history;
mod settings;
mod simulate;
mod status;
mod weights;
mod whois;

use std::net::IpAddr;
use std::sync::Arc;

use self::evidence::evidence;
use self::history::history;
use self::settings::settings;
use self::status::{mail, shop};
use self::weights::{cut, cuts, mail_weights, shop_weights};
use crate::api::types::{
    BackendChange, BackendLine, BackendSet, BackendStatus, ClientList, ClientQuery, CohortCreate,
    CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine, CohortList, DeviceList,
    DeviceRuleLine, Difference, Evidence, EvidenceReset, Explanation, FlowCount, FlowLine,
    FlowList, FlowQuery, FlowStates, FlowsReset, FlowsToReset, History, HistoryQuery, MemberAdd,
    MemberChange, MemberRemove, Memberships, Move, Reload, ReloadRequest, ServiceChange,
    ServiceSettings, ServiceShown, ServiceStatus, ServiceSummary, Simulate, Simulated, Status,
    Supervise, Supervision, TraceLine, TraceQuery, VersionFlows, VersionStatus, VersionWeight,
    WeightChange, WeightSet, Weights, Whois,
};
use crate::api::{Actor, Control, Refusal, Trace};
use crate::config::built_in_devices;
use crate::events::EventLog;
use crate::model::{DeviceRule, Vip};
use crate::observe::metrics;

pub(super) use self::status::distinct_counters;
pub(in crate::cli) use self::status::status;

const AT: &str = "2026-01-02T03:04:05Z";
const BY: &str = "root (uid 0)";

/// Knows the services `shop` and `mail`.
pub(super) struct Fixed;

/// What the daemon says of a service that it does not have.
fn known(name: &str) -> Result<(), Refusal> {
    match name {
        "shop" | "mail" => Ok(()),
        other => Err(Refusal::not_found(format!("no service \"{other}\""))
            .with_hint("there are: shop, mail")),
    }
}

impl Control for Fixed {
    async fn flows(&self, service: String, wanted: FlowQuery) -> Result<FlowList, Refusal> {
        known(&service)?;
        let flow = |client: &str, state: &str, age_s| FlowLine {
            client: client.into(),
            vip: "203.0.113.10:443/tcp".into(),
            version: "canary".into(),
            backend: "10.0.2.11:8443".into(),
            state: state.into(),
            age_s,
            idle_s: 0.4,
        };
        Ok(FlowList {
            service,
            flows: vec![
                flow("198.51.100.7:40000", "established", 3_725.2),
                flow("[2001:db8:9::1]:40001", "leaving", 61.0),
            ],
            more: if wanted.limit < 100 { 12_345 } else { 0 },
        })
    }

    async fn clients(&self, service: String, wanted: ClientQuery) -> Result<ClientList, Refusal> {
        known(&service)?;
        Ok(clients::list(service, wanted.limit))
    }

    async fn reset_flows(
        &self,
        service: String,
        wanted: FlowsToReset,
        _: Actor,
    ) -> Result<FlowsReset, Refusal> {
        known(&service)?;
        Ok(FlowsReset {
            service,
            flows: 1_234,
            versions: [("canary".to_owned(), 1_234)].into(),
            dry_run: wanted.dry_run,
        })
    }

    async fn count_flows(&self, service: String, wanted: FlowQuery) -> Result<FlowCount, Refusal> {
        known(&service)?;
        let version = |name: &str, established| VersionFlows {
            name: name.into(),
            flows: established + 6,
            states: FlowStates {
                established,
                closing: 1,
                adopted: 2,
                leaving: 3,
                pending: wanted.pending.then_some(0),
            },
        };
        Ok(FlowCount {
            service,
            flows: 1_012,
            versions: vec![version("stable", 900), version("canary", 100)],
        })
    }

    async fn trace(self: Arc<Self>, query: TraceQuery) -> Result<Trace, Refusal> {
        let (lines, reader) = tokio::sync::mpsc::channel(1);
        if let Some(service) = &query.service {
            known(service)?;
        }
        let told = TraceLine::Untold { untold: 1 };
        lines.try_send(told).map_err(Refusal::internal)?;
        Ok(Trace(reader))
    }

    async fn cohorts(&self) -> Result<CohortList, Refusal> {
        Ok(cohorts::list())
    }

    async fn create_cohort(&self, wanted: CohortCreate, _: Actor) -> Result<CohortLine, Refusal> {
        cohorts::create(wanted)
    }

    async fn delete_cohort(
        &self,
        name: String,
        wanted: CohortDelete,
        _: Actor,
    ) -> Result<CohortDeleted, Refusal> {
        cohorts::delete(name, &wanted)
    }

    async fn add_member(
        &self,
        name: String,
        wanted: MemberAdd,
        _: Actor,
    ) -> Result<MemberChange, Refusal> {
        cohorts::add(name, wanted)
    }

    async fn remove_member(
        &self,
        name: String,
        wanted: MemberRemove,
        _: Actor,
    ) -> Result<MemberChange, Refusal> {
        cohorts::remove(name, wanted)
    }

    async fn import_members(
        &self,
        name: String,
        wanted: CohortImport,
        text: Vec<u8>,
        _: Actor,
    ) -> Result<CohortImported, Refusal> {
        cohorts::import(name, &wanted, &text)
    }

    async fn memberships(&self, address: String) -> Result<Memberships, Refusal> {
        let of = address.parse().map_err(Refusal::invalid)?;
        Ok(Memberships {
            address,
            cohorts: cohorts::held(of),
        })
    }

    fn events(&self) -> Arc<EventLog> {
        Arc::new(events::log())
    }

    async fn status(&self) -> Result<Status, Refusal> {
        Ok(status())
    }

    async fn service_list(&self) -> Result<Vec<ServiceSummary>, Refusal> {
        let version = |version: &VersionStatus| VersionWeight {
            name: version.name.clone(),
            baseline: version.baseline,
            weight: format!("{}%", version.weight_percent),
        };
        let summary = |service: ServiceStatus| ServiceSummary {
            versions: service.versions.iter().map(version).collect(),
            name: service.name,
            vips: service.vips,
        };
        Ok(status().services.into_iter().map(summary).collect())
    }

    async fn service(&self, name: String) -> Result<ServiceShown, Refusal> {
        known(&name)?;
        Ok(match name.as_str() {
            "shop" => ServiceShown {
                service: shop(),
                settings: settings(),
                cuts: cuts(),
                warnings: vec![
                    "service shop: canary is empty: its clients are served by stable".into(),
                ],
            },
            _ => ServiceShown {
                service: mail(),
                settings: ServiceSettings {
                    salt_group: None,
                    direct: Vec::new(),
                    health: None,
                    ..settings()
                },
                cuts: vec![cut("v1", 0.0, 100.0)],
                warnings: Vec::new(),
            },
        })
    }

    async fn weights(&self, service: Option<String>) -> Result<Vec<Weights>, Refusal> {
        if let Some(name) = &service {
            known(name)?;
        }
        let asked = |name: &str| service.as_deref().is_none_or(|asked| asked == name);
        let all = [shop_weights(), mail_weights()];
        Ok(all
            .into_iter()
            .filter(|each| asked(&each.service))
            .collect())
    }

    async fn set_weights(
        &self,
        service: String,
        change: WeightSet,
        _: Actor,
    ) -> Result<WeightChange, Refusal> {
        known(&service)?;
        if change.weights.contains_key("stable") {
            return Err(Refusal::invalid(
                "stable is the baseline and takes the rest",
            ));
        }
        let weights = |canary: &str, stable: &str| {
            [("canary", canary), ("stable", stable)]
                .map(|(name, weight)| (name.to_owned(), weight.to_owned()))
                .into()
        };
        Ok(WeightChange {
            flows: change.flows.unwrap_or_default().to_string(),
            service,
            segment: change.segment,
            generation: if change.dry_run { 12 } else { 13 },
            before: weights("5%", "95%"),
            after: weights("10%", "90%"),
            dry_run: change.dry_run,
            moves: vec![Move {
                from: "stable".into(),
                to: "canary".into(),
                percent_of_clients: 5.0,
            }],
            seen: change.dry_run.then(clients::moves),
        })
    }

    async fn backends(&self, service: String) -> Result<Vec<BackendLine>, Refusal> {
        known(&service)?;
        let lines = shop().versions.into_iter().flat_map(|version| {
            let line = move |backend: BackendStatus| BackendLine {
                version: version.name.clone(),
                backend: backend.address,
                weight: backend.weight,
                health: backend.health,
            };
            version.backends.into_iter().map(line)
        });
        Ok(lines.collect())
    }

    async fn change_backend(
        &self,
        service: String,
        change: BackendSet,
        _: Actor,
    ) -> Result<BackendChange, Refusal> {
        known(&service)?;
        if change.backend == "10.0.1.12:8443" {
            return Err(
                Refusal::conflict("10.0.1.12:8443 is the last one of stable")
                    .with_hint("add another first"),
            );
        }
        Ok(BackendChange {
            flows: change.flows.unwrap_or_default().to_string(),
            service,
            version: change.version.unwrap_or_else(|| "stable".into()),
            backend: change.backend,
            generation: 13,
            before: "active".into(),
            after: "draining".into(),
            dry_run: change.dry_run,
            on_it: change.dry_run.then(clients::on_backend),
            consequences: vec!["stable has 1 backend left".into()],
        })
    }

    async fn reload(&self, wanted: ReloadRequest, _: Actor) -> Result<Reload, Refusal> {
        if !wanted.dry_run {
            return Err(Refusal::invalid(
                "the file has errors:\n/etc/splitter/splitter.toml:7:1: unknown key `vip`; did \
                 you mean `vips`?",
            ));
        }
        let difference = |what: &str, before: Option<&str>, after: Option<&str>| Difference {
            what: what.into(),
            before: before.map(Into::into),
            after: after.map(Into::into),
        };
        Ok(Reload {
            devices: Vec::new(),
            config_path: "/etc/splitter/splitter.toml".into(),
            dry_run: wanted.dry_run,
            generation: 12,
            services: vec![ServiceChange {
                service: "shop".into(),
                differences: vec![
                    difference("VIP 203.0.113.11:443/tcp", None, Some("")),
                    difference("weight of canary", Some("1%"), Some("30%")),
                ],
                moves: vec![Move {
                    from: "stable".into(),
                    to: "canary".into(),
                    percent_of_clients: 25.0,
                }],
                seen: Some(clients::moves()),
            }],
            interfaces: vec![difference("eth2", None, Some("auto"))],
            metrics: Vec::new(),
            kept: Vec::new(),
            dropped: vec![
                "service shop: the weight 5% of canary set at run time is dropped".into(),
            ],
        })
    }

    async fn supervise(&self, wanted: Supervise, _: Actor) -> Result<Vec<Supervision>, Refusal> {
        if let Some(name) = &wanted.service {
            known(name)?;
        }
        Ok(vec![Supervision {
            service: "shop".into(),
            on: wanted.on,
            without_daemon: "new flows go to stable".into(),
            ..Supervision::default()
        }])
    }

    async fn evidence(&self, service: String) -> Result<Evidence, Refusal> {
        known(&service)?;
        Ok(evidence(service))
    }

    async fn reset_evidence(
        &self,
        service: String,
        _: EvidenceReset,
        _: Actor,
    ) -> Result<Evidence, Refusal> {
        known(&service)?;
        if service == "mail" {
            return Err(Refusal::conflict(
                "service mail has no evidence: it has one version, there is nothing to compare",
            ));
        }
        Ok(evidence(service))
    }

    async fn history(&self, service: String, query: HistoryQuery) -> Result<History, Refusal> {
        known(&service)?;
        Ok(history(query))
    }

    async fn metrics(&self, open_metrics: bool) -> Result<String, Refusal> {
        let text = metrics::text(metrics::Export::default(), open_metrics);
        text.map_err(Refusal::internal)
    }

    async fn simulate(&self, service: String, wanted: Simulate) -> Result<Simulated, Refusal> {
        known(&service)?;
        simulate::simulate(service, &wanted)
    }

    async fn devices(&self) -> DeviceList {
        let line = |(at, rule): (usize, DeviceRule)| DeviceRuleLine {
            built_in: at > 0,
            asked_by: match rule.class.as_str() {
                "windows" => vec!["shop/desktops".into()],
                _ => Vec::new(),
            },
            rule,
        };
        let rules = built_in_devices().iter().cloned().step_by(3).enumerate();
        DeviceList {
            rules: rules.map(line).collect(),
        }
    }

    async fn whois(&self, address: IpAddr) -> Result<Whois, Refusal> {
        Ok(whois::who(address.to_string()))
    }

    async fn explain(
        &self,
        service: String,
        client: IpAddr,
        port: Option<u16>,
        vip: Option<Vip>,
    ) -> Result<Explanation, Refusal> {
        known(&service)?;
        explain::explain(service, client, port, vip)
    }
}

/// Who is in the segment of the service.
const STAFF: &str = "all of (prefix 198.51.100.0/24 and 41 more, not prefix 198.51.100.9/32)";
