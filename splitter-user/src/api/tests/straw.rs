//! Owns a daemon of straw: it answers whatever it is asked, by fixed rules.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::types::{
    BackendChange, BackendLine, BackendSet, ClientList, ClientQuery, ClientSimulated, CohortCreate,
    CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine, CohortList, DeviceList,
    Evidence, EvidenceReset, Explanation, FlowCount, FlowLine, FlowList, FlowQuery, FlowsReset,
    FlowsToReset, History, HistoryQuery, MemberAdd, MemberChange, MemberRemove, Memberships,
    Reload, ReloadRequest, ServiceShown, ServiceSummary, Simulate, SimulateClient, Simulated,
    Status, Supervise, Supervision, TraceLine, TraceQuery, VersionWeight, WeightChange, WeightSet,
    Weights, Whois,
};
use super::super::{Actor, Control, Refusal, Trace};
use crate::events::{EventLog, What, acts::ReloadRefused};
use crate::model::Vip;
use crate::observe::metrics;

pub(super) struct Straw;

impl Control for Straw {
    async fn status(&self) -> Result<Status, Refusal> {
        Err(Refusal::internal("the kernel is gone").with_hint("reboot"))
    }

    async fn service_list(&self) -> Result<Vec<ServiceSummary>, Refusal> {
        let weight = VersionWeight {
            name: "v".into(),
            baseline: true,
            weight: "100%".into(),
        };
        Ok(vec![ServiceSummary {
            name: "shop".into(),
            vips: Vec::new(),
            versions: vec![weight],
        }])
    }

    async fn service(&self, name: String) -> Result<ServiceShown, Refusal> {
        Err(Refusal::not_found(format!("no service \"{name}\"")))
    }

    async fn weights(&self, service: Option<String>) -> Result<Vec<Weights>, Refusal> {
        Ok(vec![Weights {
            service: service.unwrap_or_else(|| "every one".into()),
            generation: 7,
            since: None,
            key: "client".into(),
            versions: Vec::new(),
            cuts: Vec::new(),
            segments: Vec::new(),
        }])
    }

    async fn set_weights(
        &self,
        service: String,
        change: WeightSet,
        actor: Actor,
    ) -> Result<WeightChange, Refusal> {
        assert_eq!(actor.uid, rustix::process::getuid().as_raw());
        assert_eq!(actor.pid, Some(std::process::id()));
        match service.as_str() {
            "shop" => Ok(WeightChange {
                flows: "keep".to_owned(),
                service,
                segment: change.segment,
                generation: 7,
                before: BTreeMap::new(),
                after: change.weights,
                dry_run: change.dry_run,
                moves: Vec::new(),
                seen: None,
            }),
            "busy" => Err(Refusal::conflict("a release is running")),
            other => Err(Refusal::not_found(format!("no service \"{other}\"")).with_hint("shop")),
        }
    }

    async fn supervise(
        &self,
        wanted: Supervise,
        actor: Actor,
    ) -> Result<Vec<Supervision>, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        Ok(vec![Supervision {
            service: wanted.service.unwrap_or_default(),
            on: wanted.on,
            ..Supervision::default()
        }])
    }

    async fn cohorts(&self) -> Result<CohortList, Refusal> {
        Ok(CohortList::default())
    }

    async fn create_cohort(
        &self,
        wanted: CohortCreate,
        actor: Actor,
    ) -> Result<CohortLine, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        Ok(CohortLine {
            name: wanted.name,
            reason: wanted.reason,
            ..CohortLine::default()
        })
    }

    async fn delete_cohort(
        &self,
        name: String,
        wanted: CohortDelete,
        actor: Actor,
    ) -> Result<CohortDeleted, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        Ok(CohortDeleted {
            cohort: name,
            members: 5,
            dry_run: wanted.dry_run,
            seen: Vec::new(),
        })
    }

    async fn add_member(
        &self,
        name: String,
        wanted: MemberAdd,
        actor: Actor,
    ) -> Result<MemberChange, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        Ok(MemberChange {
            cohort: name,
            address: wanted.address,
            change: wanted.reference.unwrap_or_default(),
            left_s: None,
            until: wanted.ttl,
            dry_run: wanted.dry_run,
            seen: Vec::new(),
        })
    }

    async fn remove_member(
        &self,
        name: String,
        wanted: MemberRemove,
        actor: Actor,
    ) -> Result<MemberChange, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        Err(Refusal::not_found(format!("{} of {name}", wanted.address)))
    }

    async fn import_members(
        &self,
        name: String,
        wanted: CohortImport,
        text: Vec<u8>,
        actor: Actor,
    ) -> Result<CohortImported, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        assert!(wanted.skip_bad, "as it was asked");
        Ok(CohortImported {
            cohort: name,
            added: text.len() as u64,
            renewed: wanted.ttl.map_or(0, |ttl| ttl.len() as u64),
            left_out: 0,
            bad: Vec::new(),
            dry_run: wanted.dry_run,
            seen: Vec::new(),
        })
    }

    async fn memberships(&self, address: String) -> Result<Memberships, Refusal> {
        Ok(Memberships {
            address,
            cohorts: Vec::new(),
        })
    }

    async fn evidence(&self, service: String) -> Result<Evidence, Refusal> {
        Ok(Evidence {
            service,
            ..Evidence::default()
        })
    }

    async fn reset_evidence(
        &self,
        service: String,
        wanted: EvidenceReset,
        actor: Actor,
    ) -> Result<Evidence, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        Ok(Evidence {
            service,
            not_judged: wanted.reason,
            ..Evidence::default()
        })
    }

    async fn backends(&self, service: String) -> Result<Vec<BackendLine>, Refusal> {
        Err(Refusal::not_found(format!("no service \"{service}\"")))
    }

    async fn change_backend(
        &self,
        service: String,
        change: BackendSet,
        actor: Actor,
    ) -> Result<BackendChange, Refusal> {
        assert_eq!(actor.uid, rustix::process::getuid().as_raw());
        Ok(BackendChange {
            flows: "keep".to_owned(),
            service,
            version: change.version.unwrap_or_default(),
            backend: change.backend,
            generation: 8,
            before: "active".into(),
            after: format!("{:?}", change.verb),
            dry_run: change.dry_run,
            on_it: None,
            consequences: Vec::new(),
        })
    }

    async fn flows(&self, service: String, wanted: FlowQuery) -> Result<FlowList, Refusal> {
        let (version, client) = (
            wanted.version.expect("asked"),
            wanted.client.expect("asked"),
        );
        assert!(wanted.pending);
        let flow = FlowLine {
            client,
            vip: String::new(),
            version,
            backend: String::new(),
            state: String::new(),
            age_s: 0.0,
            idle_s: 0.0,
        };
        Ok(FlowList {
            service,
            flows: vec![flow],
            more: u64::from(wanted.limit),
        })
    }

    async fn reset_flows(
        &self,
        service: String,
        wanted: FlowsToReset,
        actor: Actor,
    ) -> Result<FlowsReset, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        let version = wanted.version.expect("asked");
        Ok(FlowsReset {
            service,
            flows: 3,
            versions: [(version, 3)].into(),
            dry_run: wanted.dry_run,
        })
    }

    async fn clients(&self, service: String, wanted: ClientQuery) -> Result<ClientList, Refusal> {
        assert_eq!(wanted.version.as_deref(), Some("v 1"));
        Ok(ClientList {
            service,
            clients: Vec::new(),
            more: u64::from(wanted.limit),
            sampled_percent: 100.0,
        })
    }

    async fn count_flows(&self, service: String, wanted: FlowQuery) -> Result<FlowCount, Refusal> {
        assert_eq!(wanted.version, None);
        Ok(FlowCount {
            service,
            flows: 3,
            versions: Vec::new(),
        })
    }

    async fn reload(&self, wanted: ReloadRequest, actor: Actor) -> Result<Reload, Refusal> {
        assert_eq!(actor.pid, Some(std::process::id()));
        if !wanted.dry_run {
            return Err(Refusal::invalid("the file has errors:\na.toml:1:1: no"));
        }
        Ok(Reload {
            devices: Vec::new(),
            config_path: "a.toml".into(),
            dry_run: wanted.dry_run,
            generation: 7,
            services: Vec::new(),
            interfaces: Vec::new(),
            metrics: Vec::new(),
            kept: Vec::new(),
            dropped: Vec::new(),
        })
    }

    async fn history(&self, service: String, query: HistoryQuery) -> Result<History, Refusal> {
        if service != "a/b" {
            return Err(Refusal::not_found(format!("no service \"{service}\"")));
        }
        Ok(History {
            service: query.version.unwrap_or_default(),
            step_s: 60,
            from: query.since.unwrap_or_default(),
            until: query.until.unwrap_or_default(),
            versions: Vec::new(),
        })
    }

    async fn metrics(&self, open_metrics: bool) -> Result<String, Refusal> {
        let text = metrics::text(metrics::Export::default(), open_metrics);
        text.map_err(Refusal::internal)
    }

    async fn trace(self: Arc<Self>, query: TraceQuery) -> Result<Trace, Refusal> {
        if query.service.as_deref() == Some("none") {
            return Err(Refusal::not_found("no service \"none\""));
        }
        let (lines, reader) = tokio::sync::mpsc::channel(2);
        let told = TraceLine::Ended {
            ended_after_s: query.seconds.unwrap_or(0),
        };
        for line in [TraceLine::Untold { untold: 7 }, told] {
            lines.try_send(line).expect("room");
        }
        Ok(Trace(reader))
    }

    fn events(&self) -> Arc<EventLog> {
        let log = EventLog::in_memory(Vec::new());
        for by in ["SIGHUP", "root"] {
            log.tell(What::ReloadRefused(ReloadRefused {
                by: by.into(),
                error: "no".into(),
            }));
        }
        log.close();
        Arc::new(log)
    }

    async fn explain(
        &self,
        service: String,
        client: IpAddr,
        port: Option<u16>,
        vip: Option<Vip>,
    ) -> Result<Explanation, Refusal> {
        Ok(Explanation {
            traits: None,
            denied: None,
            service,
            vip: vip.map(|vip| vip.to_string()).unwrap_or_default(),
            client: format!("{client} {port:?}"),
            key: "client".into(),
            assignment: String::new(),
            hash_hex: "0x0".into(),
            hash_fraction: 0.0,
            cuts: Vec::new(),
            segments: Vec::new(),
            cohorts: Vec::new(),
            segment: None,
            version: "v".into(),
            backend: None,
            backend_note: None,
            live_flow: None,
            moves_at: None,
        })
    }

    async fn simulate(&self, service: String, wanted: Simulate) -> Result<Simulated, Refusal> {
        let told = |client: SimulateClient| ClientSimulated {
            version: client.vip.map(|vip| vip.to_string()),
            backend: client.port.map(|port| port.to_string()),
            note: wanted.segment.clone(),
            would_be: wanted.weights.get("v 1").cloned(),
            ..ClientSimulated::default()
        };
        Ok(Simulated {
            service,
            generation: 7,
            clients: wanted.clients.into_iter().map(told).collect(),
        })
    }

    async fn devices(&self) -> DeviceList {
        DeviceList::default()
    }

    async fn whois(&self, address: IpAddr) -> Result<Whois, Refusal> {
        Ok(Whois {
            address: address.to_string(),
            databases: Vec::new(),
            services: Vec::new(),
        })
    }
}
