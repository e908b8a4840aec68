//! Where the fixed daemon says that many clients would go.

use std::net::IpAddr;

use crate::api::Refusal;
use crate::api::types::{ClientSimulated, Simulate, SimulateClient, Simulated};

pub(super) fn simulate(service: String, wanted: &Simulate) -> Result<Simulated, Refusal> {
    if wanted.weights.contains_key("stable") {
        return Err(Refusal::invalid(
            "stable is the baseline and takes the rest",
        ));
    }
    let clients = wanted.clients.iter();
    Ok(Simulated {
        service,
        generation: 12,
        clients: clients.map(|client| of(client, wanted)).collect(),
    })
}

fn of(client: &SimulateClient, wanted: &Simulate) -> ClientSimulated {
    let IpAddr::V4(address) = client.address else {
        return ClientSimulated {
            note: Some(format!("no VIP of the family of {}", client.address)),
            ..ClientSimulated::default()
        };
    };
    let [network, .., last] = address.octets();
    let staff = network == 198 && last < 9;
    let version = if staff || last % 5 == 0 {
        "canary"
    } else {
        "stable"
    };
    let others = !wanted.weights.is_empty() && !staff;
    ClientSimulated {
        segment: staff.then(|| "staff".to_owned()),
        version: Some(version.to_owned()),
        backend: client.port.map(|_| "10.0.2.11:8443".to_owned()),
        denied: network == 198 && last == 9,
        would_be: (!wanted.weights.is_empty()).then(|| {
            let moves = others && last % 2 == 0;
            if moves { "canary" } else { version }.to_owned()
        }),
        note: None,
    }
}
