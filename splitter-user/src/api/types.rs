//! Owns the JSON that travels between daemon and command line.
//!
//! Invariant: field names are snake_case and stable; a field is added, never renamed. Shares and
//! weights are in percent where the name says so (`_percent`), otherwise 0 ..= 1. Times of day
//! are RFC 3339 in UTC, durations carry their unit (`_s`).

mod backend;
mod clients;
mod cohort;
mod counters;
mod devices;
mod evidence;
mod explain;
mod flow_rules;
mod flows;
mod health;
mod history;
mod lease;
mod reload;
mod segment;
mod service;
mod shares;
mod simulate;
mod status;
mod times;
mod trace;
mod weight;
mod whois;

use serde::{Deserialize, Serialize};

pub use backend::{
    BackendChange, BackendHealth, BackendLine, BackendOverlay, BackendSet, BackendStatus,
    BackendVerb,
};
pub use clients::{ClientLine, ClientList, ClientQuery, OnBackend, SeenMove, SeenMoves};
pub use cohort::{
    BadLine, CohortCreate, CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine,
    CohortList, CohortMoves, MemberAdd, MemberChange, MemberRemove, Membership, Memberships,
};
pub use counters::Counters;
pub use devices::{ClientTraits, DeviceList, DeviceRuleLine};
pub use evidence::{
    ClientCounts, Evidence, EvidenceReset, LedgerInUse, SplitCheck, UnderWeights, VersionEvidence,
};
pub use explain::{Cut, Explanation, LiveFlow};
pub use flow_rules::{FlowRules, Limit};
pub use flows::{
    FlowCount, FlowEstimate, FlowLine, FlowList, FlowQuery, FlowStates, FlowsReset, FlowsToReset,
    TableFill, VersionFlows,
};
pub use health::{CheckSettings, HealthSettings, HttpSettings, PassiveSettings};
pub use history::{History, HistoryCell, HistoryQuery, Quantiles, Rates, VersionHistory};
pub use lease::{Supervise, Supervision};
pub use reload::{Difference, Reload, ReloadRequest, ServiceChange};
pub use segment::{ByHash, SegmentStatus, SegmentTried, SegmentVersion, SegmentWeights};
pub use service::{
    ServiceSettings, ServiceShown, ServiceStatus, ServiceSummary, VersionStatus, VersionWeight,
};
pub use shares::{ShareOf, Shares};
pub use simulate::{ClientSimulated, Simulate, SimulateClient, Simulated};
pub use status::{InterfaceStatus, LossCount, ReasonCount, Status};
pub use times::{FirstTimes, HttpTurns, Times, TimesOf};
pub use trace::{TraceLine, TraceQuery, TracedDecision, TracedPacket};
pub use weight::{Move, Overlay, SetBy, WeightChange, WeightInForce, WeightSet, Weights};
pub use whois::{Whois, WhoisDatabase, WhoisService};

/// What every failed request answers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub hint: Option<String>,
}
