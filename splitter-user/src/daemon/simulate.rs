//! Owns `simulate`: where many clients would go, by the rows and lists in force in the kernel and by the
//! code that the kernel runs, and where under other weights.
//!
//! Invariant: nothing is changed; what other weights would put in force is planned as a dry run plans it,
//! and given up.

use std::net::IpAddr;

use splitter_common::{
    address::Address,
    decide::{Question, decide},
    device,
    layout::ServiceRow,
};

use super::{core::Core, explain, fate::Fate, refused, segments, weights};
use crate::{
    api::{
        Refusal,
        types::{ClientSimulated, Simulate, SimulateClient, Simulated},
    },
    config::hint,
    model::{FlowFate, Service},
    plan::{devices, numbers::ServiceNumbers},
};

/// Where the clients go.
pub(super) fn simulate(
    core: &mut Core,
    name: &str,
    wanted: &Simulate,
) -> Result<Simulated, Refusal> {
    let service = core.service(name)?.clone();
    if wanted.weights.is_empty()
        && let Some(segment) = &wanted.segment
    {
        let what = format!("segment \"{segment}\" without a weight asks for nothing");
        return Err(Refusal::invalid(what).with_hint("give the weights that it would have"));
    }
    let given = core.state.numbers.service(name);
    let given = given.map_err(Refusal::internal)?.clone();
    let law = Law {
        row: core.plane.maps().service_in_force(u32::from(given.number)),
        then: match wanted.weights.is_empty() {
            true => None,
            false => Some(row_under(core, &service, wanted)?),
        },
        service,
        given,
    };
    // Ends of memberships are compared with the time that it is now.
    core.plane.jiffies().map_err(Refusal::internal)?;
    let clients = wanted.clients.iter();
    let clients: Result<Vec<_>, Refusal> = clients.map(|each| law.of(core, each)).collect();
    Ok(Simulated {
        service: name.to_owned(),
        generation: u64::from(core.state.numbers.generation),
        clients: clients?,
    })
}

/// The row that a service would have under the weights that are asked for.
fn row_under(core: &mut Core, service: &Service, wanted: &Simulate) -> Result<ServiceRow, Refusal> {
    let after = weights::under(service, &wanted.weights, wanted.segment.as_deref())?;
    let mut config = core.config.clone();
    config.replace(&after);
    let fate = Fate::Of(&after.name, FlowFate::Keep);
    let planned = core.plan(config, core.state.clone(), fate);
    let planned = planned.map_err(refused)?;
    let row = core.planned_row(&planned, &after.name);
    core.discard(planned);
    row.ok_or_else(|| Refusal::internal(format!("no row of service \"{}\"", after.name)))
}

/// What decides about a service's clients.
struct Law {
    service: Service,
    given: ServiceNumbers,
    /// In force.
    row: ServiceRow,
    /// Under other weights.
    then: Option<ServiceRow>,
}

impl Law {
    fn of(&self, core: &Core, client: &SimulateClient) -> Result<ClientSimulated, Refusal> {
        let SimulateClient {
            address, port, vip, ..
        } = *client;
        let address = address.to_canonical();
        let dialled = match explain::dialled(&self.service, address, port, vip) {
            Ok(dialled) => dialled,
            // Of this client alone: the others have their answers.
            Err(refusal) => {
                return Ok(ClientSimulated {
                    note: Some(refusal.in_a_line()),
                    ..ClientSimulated::default()
                });
            }
        };
        let question = Question {
            client: Address::from(address),
            client_port: port.unwrap_or(0),
            port: dialled.port,
            protocol: dialled.vip.protocol.number(),
        };
        let device = match &client.device {
            Some(class) => device(core, class)?,
            None => device::UNKNOWN,
        };
        let traits = core.traits(self.given.number, &self.row, question.client, device);
        let conditions = core
            .plane
            .conditions_lately(&self.row, question.client, traits);
        let conditions = conditions.map_err(Refusal::internal)?;
        let decision = decide(&self.row, &question, conditions);
        let (backend, _) = explain::backend(
            core,
            &self.service,
            &self.given,
            &dialled.vip,
            port,
            &decision,
        );
        let then = self.then.as_ref();
        let would_be = then.map(|row| decide(row, &question, conditions).version);
        let segment = segments::at(&self.service, &self.given, decision.place);
        Ok(ClientSimulated {
            segment: segment.map(|segment| segment.name.clone()),
            version: Some(self.version(decision.version)),
            backend,
            denied: is_denied(core, &self.row, address),
            would_be: would_be.map(|version| self.version(version)),
            note: None,
        })
    }

    fn version(&self, index: usize) -> String {
        explain::version_name(&self.given, index)
    }
}

/// The number of a device class.
fn device(core: &Core, class: &str) -> Result<u8, Refusal> {
    let numbers = &core.state.numbers.devices;
    devices::number(numbers, class).map_err(|_unknown| {
        let known: Vec<&str> = numbers.keys().map(String::as_str).collect();
        let what = format!(
            "no rule has the device class \"{class}\"{}",
            hint(class, &known)
        );
        Refusal::invalid(what)
    })
}

/// Whether a service does not serve a client, as the program finds it.
fn is_denied(core: &Core, row: &ServiceRow, client: IpAddr) -> bool {
    let has = |list| core.plane.listed(list, Address::from(client)) != 0;
    has(row.deny) || row.allow != 0 && !has(row.allow)
}
