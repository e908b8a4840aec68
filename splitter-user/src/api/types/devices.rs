//! Owns the JSON of device classes and the rules by which they are known.

use serde::{Deserialize, Serialize};

use crate::model::DeviceRule;

/// The rules in force, in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// The first that knows a SYN says its class.
    pub rules: Vec<DeviceRuleLine>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRuleLine {
    /// What it says.
    #[serde(flatten)]
    pub rule: DeviceRule,
    /// Whether it is built in; else it is of the configuration.
    pub built_in: bool,
    /// The segments that ask for its class, `shop/desktops`.
    #[serde(default)]
    pub asked_by: Vec<String>,
}

/// What a service knows of a client beside its address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientTraits {
    /// Its device class: that of its next SYN, where none stands, decides.
    pub device: String,
    /// `new`, `light`, `normal` or `heavy`.
    pub activity: String,
    /// For how many seconds more both stand; `None`: they are found anew with its next flow.
    pub stands_s: Option<f64>,
    /// Its answered flows that are remembered.
    pub flows: u32,
}
