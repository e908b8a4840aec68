//! Why a client of the fixed daemon is where it is.

use std::net::IpAddr;

use super::{STAFF, cohorts, cuts};
use crate::api::Refusal;
use crate::api::types::{ClientTraits, Explanation, LiveFlow, SegmentTried};
use crate::model::Vip;

pub(super) fn explain(
    service: String,
    client: IpAddr,
    port: Option<u16>,
    vip: Option<Vip>,
) -> Result<Explanation, Refusal> {
    let flow = LiveFlow {
        state: "established".into(),
        version: "stable".into(),
        backend: "10.0.1.11:8443".into(),
        generation: 11,
        idle_s: 1.5,
    };
    Ok(Explanation {
        denied: None,
        segments: vec![
            tried("partners", "prefix 192.0.2.0/24", false),
            tried("staff", STAFF, false),
        ],
        cohorts: cohorts::held(client),
        traits: Some(ClientTraits {
            device: "windows".into(),
            activity: "light".into(),
            stands_s: Some(1_234.5),
            flows: 3,
        }),
        segment: None,
        service,
        vip: vip.map_or("203.0.113.10:443/tcp".into(), |vip| vip.to_string()),
        client: port.map_or(client.to_string(), |port| format!("{client}:{port}")),
        key: "client".into(),
        assignment: format!("{client}/32"),
        hash_hex: "0x051eb851".into(),
        hash_fraction: 0.02,
        cuts: cuts(),
        version: "canary".into(),
        backend: port.map(|_| "10.0.2.11:8443".into()),
        backend_note: port
            .is_none()
            .then(|| "each flow draws its own backend: give CLIENT:PORT to see one".into()),
        live_flow: port.map(|_| flow),
        moves_at: Some(
            "now in canary; in canary from 2.0001% on (other weights as they are)".into(),
        ),
    })
}

fn tried(name: &str, matches: &str, holds: bool) -> SegmentTried {
    SegmentTried {
        name: name.into(),
        matches: matches.into(),
        holds: Some(holds),
    }
}
