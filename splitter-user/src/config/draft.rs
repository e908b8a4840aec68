//! Owns what has been read but not yet checked: model values beside their places.
//!
//! Invariant: the `_at` lists run parallel to the model's lists, index by index.

use super::error::Place;
use crate::model::{Databases, DeviceRule, Interface, Limits, Metrics, Service};

/// All files together.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) interfaces: Vec<(Interface, Place)>,
    /// Whether some interface stands in the file but could not be read.
    pub(super) interfaces_missed: bool,
    pub(super) limits: Option<(Limits, Place)>,
    pub(super) metrics: Option<(Metrics, Place)>,
    pub(super) databases: Option<(Databases, Place)>,
    pub(super) devices: Vec<(DeviceRule, Place)>,
    pub(super) services: Vec<ServiceDraft>,
}

/// A service and where its parts stand.
pub(super) struct ServiceDraft {
    pub(super) service: Service,
    pub(super) at: Place,
    pub(super) vip_at: Vec<Place>,
    /// Whether every VIP of the file could be read; what is missing is not complained of twice.
    pub(super) vips_whole: bool,
    pub(super) version_at: Vec<VersionPlaces>,
    /// Whether every version of the file could be read.
    pub(super) versions_whole: bool,
}

/// Where the parts of a version stand.
pub(super) struct VersionPlaces {
    pub(super) at: Place,
    /// `None` when there is no weight.
    pub(super) weight_at: Option<Place>,
    pub(super) backend_at: Vec<Place>,
    /// Whether every backend of the file could be read.
    pub(super) backends_whole: bool,
}
