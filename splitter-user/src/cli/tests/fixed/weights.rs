//! The weights of the fixed daemon.

use super::{AT, BY, STAFF};
use crate::api::types::{Cut, SegmentWeights, SetBy, WeightInForce, Weights};

pub(super) fn cut(version: &str, from_percent: f64, to_percent: f64) -> Cut {
    Cut {
        version: version.into(),
        from_percent,
        to_percent,
    }
}

pub(super) fn cuts() -> Vec<Cut> {
    vec![cut("canary", 0.0, 5.0), cut("stable", 5.0, 100.0)]
}

pub(super) fn shop_weights() -> Weights {
    let version = |version: &str, baseline, weight: &str, from: &str, file_weight: &str| {
        let set = (from == "overlay").then(|| SetBy {
            by: BY.into(),
            at: AT.into(),
            reason: Some("try".into()),
        });
        WeightInForce {
            version: version.into(),
            baseline,
            weight: weight.into(),
            from: from.into(),
            file_weight: file_weight.into(),
            set,
        }
    };
    Weights {
        service: "shop".into(),
        generation: 11,
        since: Some(AT.into()),
        key: "client".into(),
        versions: vec![
            version("stable", true, "95%", "rest", "99%"),
            version("canary", false, "5%", "overlay", "1%"),
        ],
        cuts: cuts(),
        segments: vec![SegmentWeights {
            segment: "staff".into(),
            matches: STAFF.into(),
            versions: vec![
                version("stable", true, "0%", "rest", "0%"),
                version("canary", false, "100%", "file", "100%"),
            ],
            cuts: vec![cut("canary", 0.0, 100.0)],
        }],
    }
}

pub(super) fn mail_weights() -> Weights {
    Weights {
        service: "mail".into(),
        generation: 12,
        since: None,
        key: "client/24".into(),
        versions: vec![WeightInForce {
            version: "v1".into(),
            baseline: true,
            weight: "100%".into(),
            from: "rest".into(),
            file_weight: "100%".into(),
            set: None,
        }],
        cuts: vec![cut("v1", 0.0, 100.0)],
        segments: Vec::new(),
    }
}
