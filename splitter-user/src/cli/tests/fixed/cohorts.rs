//! The cohorts of the fixed daemon: `beta`, and one that segments ask for in vain.

use std::net::IpAddr;

use super::{AT, BY, clients::moves};
use crate::api::Refusal;
use crate::api::types::{
    BadLine, CohortCreate, CohortDelete, CohortDeleted, CohortImport, CohortImported, CohortLine,
    CohortList, CohortMoves, MemberAdd, MemberChange, MemberRemove, Membership,
};

pub(super) fn list() -> CohortList {
    CohortList {
        cohorts: vec![
            CohortLine {
                name: "banned".into(),
                asked_by: vec!["shop/staff".into()],
                ..CohortLine::default()
            },
            CohortLine {
                name: "beta".into(),
                exists: true,
                members: 12_345,
                asked_by: Vec::new(),
                by: Some(BY.into()),
                at: Some(AT.into()),
                reason: None,
            },
        ],
        addresses: 12_345,
        room: 262_144,
    }
}

pub(super) fn known(name: &str) -> Result<(), Refusal> {
    match name {
        "beta" => Ok(()),
        other => {
            Err(Refusal::not_found(format!("no cohort \"{other}\""))
                .with_hint("did you mean beta?"))
        }
    }
}

pub(super) fn create(wanted: CohortCreate) -> Result<CohortLine, Refusal> {
    let CohortCreate {
        name,
        reason,
        dry_run,
    } = wanted;
    if known(&name).is_ok() {
        return Err(Refusal::conflict("there is a cohort \"beta\" already"));
    }
    let asked_by = match name.as_str() {
        "banned" => vec!["shop/staff".into()],
        _ => Vec::new(),
    };
    Ok(CohortLine {
        name,
        exists: !dry_run,
        asked_by,
        reason,
        ..CohortLine::default()
    })
}

pub(super) fn add(name: String, wanted: MemberAdd) -> Result<MemberChange, Refusal> {
    known(&name)?;
    let ends = wanted.ttl.is_some();
    Ok(MemberChange {
        dry_run: wanted.dry_run,
        seen: seen(wanted.dry_run),
        cohort: name,
        address: wanted.address,
        change: if wanted.reference.is_some() {
            "renewed"
        } else {
            "added"
        }
        .into(),
        left_s: ends.then_some(1_800.0),
        until: ends.then(|| AT.into()),
    })
}

pub(super) fn remove(name: String, wanted: MemberRemove) -> Result<MemberChange, Refusal> {
    known(&name)?;
    Ok(MemberChange {
        dry_run: wanted.dry_run,
        seen: seen(wanted.dry_run),
        cohort: name,
        address: wanted.address,
        change: "removed".into(),
        left_s: None,
        until: None,
    })
}

pub(super) fn import(
    name: String,
    wanted: &CohortImport,
    text: &[u8],
) -> Result<CohortImported, Refusal> {
    known(&name)?;
    let lines = text.split(|byte| *byte == b'\n').count() as u64 - 1;
    let error = "\"198.51.100.300\" is no address: write 198.51.100.7 or 2001:db8::7";
    if !wanted.skip_bad {
        let what = format!("bad lines, and nothing was changed:\nline 3: {error}");
        return Err(
            Refusal::invalid(what).with_hint("mend them, or give --skip-bad to leave them out")
        );
    }
    Ok(CohortImported {
        dry_run: wanted.dry_run,
        seen: seen(wanted.dry_run),
        cohort: name,
        added: lines - 2,
        renewed: 1,
        left_out: 1,
        bad: vec![BadLine {
            line: 3,
            error: error.into(),
        }],
    })
}

pub(super) fn delete(name: String, wanted: &CohortDelete) -> Result<CohortDeleted, Refusal> {
    known(&name)?;
    Ok(CohortDeleted {
        cohort: name,
        members: 12_345,
        dry_run: wanted.dry_run,
        // As if no segment asked for it.
        seen: Vec::new(),
    })
}

/// What a change would do to the clients of the one service that asks for it.
fn seen(dry_run: bool) -> Vec<CohortMoves> {
    let of = CohortMoves {
        service: "shop".into(),
        seen: moves(),
    };
    if dry_run { vec![of] } else { Vec::new() }
}

/// What one address is in, and no other.
pub(super) fn held(client: IpAddr) -> Vec<Membership> {
    if client.to_string() != "198.51.100.9" {
        return Vec::new();
    }
    let of = |cohort: &str, left_s: Option<f64>, reference: Option<&str>| Membership {
        cohort: cohort.into(),
        left_s,
        until: left_s.map(|_| AT.into()),
        reference: reference.map(str::to_owned),
    };
    vec![
        of("alpha", None, None),
        of("beta", Some(1_799.6), Some("user 4711")),
    ]
}
