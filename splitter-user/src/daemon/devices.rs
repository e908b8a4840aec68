//! Owns what is told of device classes and of the traits of clients.

use splitter_common::{
    address::Address,
    device,
    layout::{ServiceRow, options},
    traits::Activity,
};

use super::core::Core;
use crate::{
    api::types::{ClientTraits, DeviceList, DeviceRuleLine},
    config::built_in_devices,
    model::DeviceRule,
    plan::devices,
};

/// The rules in force.
pub(super) fn list(core: &Core) -> DeviceList {
    let asked_by = |class: &str| {
        let services = core.config.services.iter();
        let asks = services.flat_map(|service| {
            let segments = service.segments.iter();
            let asks = segments.filter(move |segment| segment.condition.devices().contains(class));
            asks.map(move |segment| format!("{}/{}", service.name, segment.name))
        });
        asks.collect()
    };
    let rules = &core.config.devices;
    let own = rules.len().saturating_sub(built_in_devices().len());
    let line = |(at, rule): (usize, &DeviceRule)| DeviceRuleLine {
        built_in: at >= own,
        asked_by: asked_by(&rule.class),
        rule: rule.clone(),
    };
    DeviceList {
        rules: rules.iter().enumerate().map(line).collect(),
    }
}

/// What a service knows of a client, where its segments ask.
pub(super) fn of_client(
    core: &Core,
    number: u16,
    row: &ServiceRow,
    client: Address,
) -> Option<ClientTraits> {
    if row.options & options::TRAITS == 0 {
        return None;
    }
    let plane = &core.plane;
    let known = plane.known_lately(u32::from(number), row, client, device::UNKNOWN);
    let device = devices::name(&core.state.numbers.devices, known.traits.device());
    Some(ClientTraits {
        device: device.to_owned(),
        activity: Activity::ALL[known.traits.activity()].name().to_owned(),
        stands_s: known
            .left
            .map(|left| f64::from(left) / f64::from(plane.hz().max(1))),
        flows: known.flows,
    })
}
