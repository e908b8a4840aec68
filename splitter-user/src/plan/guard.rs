//! Owns what a commit may not do to clients that have a version: draw them anew, or move the
//! part of the hash space that is theirs.

use splitter_common::weight::WHOLE_PPM;

use super::PlanError;
use crate::model::{Service, Version};

/// Refuses a change of `old` into `new` that would move clients between versions although no
/// weight and no segment says so. `new_salt`: the salt is another one.
pub(super) fn check(new: &Service, old: &Service, new_salt: bool) -> Result<(), PlanError> {
    check_split(new, old, new_salt, None)?;
    for segment in &new.segments {
        if let Some(before) = old.segment(&segment.name) {
            let (new, old) = (new.under(segment), old.under(before));
            check_split(&new, &old, new_salt, Some(&segment.name))?;
        }
    }
    Ok(())
}

/// The same for the clients of one segment, or of none.
fn check_split(
    new: &Service,
    old: &Service,
    new_salt: bool,
    segment: Option<&str>,
) -> Result<(), PlanError> {
    // Who is all in one version of a segment is there whatever the hash.
    let most = segment.map_or(u32::MAX, |_| WHOLE_PPM);
    let is_drawn = |version: &&Version| (1..most).contains(&version.weight.ppm());
    let Some(in_use) = others(new).find(is_drawn) else {
        return Ok(());
    };
    let option = segment.map_or_else(String::new, |name| format!(" --segment {name}"));
    if let Some(what) = redrawn(new, old, new_salt) {
        return Err(PlanError::SaltInUse {
            service: new.name.clone(),
            what,
            version: in_use.name.clone(),
            weight: in_use.weight.to_string(),
            option,
        });
    }
    let place_in_use = |version: &Version, what: String| PlanError::PlaceInUse {
        service: new.name.clone(),
        what,
        version: version.name.clone(),
        weight: version.weight.to_string(),
        option: option.clone(),
    };
    if new.baseline().map(|version| &version.name) != old.baseline().map(|version| &version.name) {
        let what = "another version is the baseline";
        return Err(place_in_use(in_use, what.to_owned()));
    }
    let moved = others(new).enumerate().find_map(|(place, version)| {
        let (old_place, before) = others(old)
            .enumerate()
            .find(|(_, before)| before.name == version.name)?;
        let both = version.weight.ppm() > 0 && before.weight.ppm() > 0;
        (both && old_place != place).then_some((version, old_place, place))
    });
    match moved {
        None => Ok(()),
        Some((version, old_place, place)) => {
            let what = format!(
                "\"{}\" was number {} of the versions beside the baseline and is number {} now",
                version.name,
                old_place + 1,
                place + 1
            );
            Err(place_in_use(version, what))
        }
    }
}

/// What makes every client's hash another one.
fn redrawn(new: &Service, old: &Service, new_salt: bool) -> Option<&'static str> {
    if new.key != old.key {
        Some("the key")
    } else if !new_salt {
        None
    } else if old.release.is_empty() {
        // Read back from the kernel, which has the salt alone.
        Some("the release, the salt group or the cluster secret")
    } else if new.release != old.release {
        Some("the release")
    } else if new.salt_group != old.salt_group {
        Some("the salt group")
    } else {
        Some("the cluster secret")
    }
}

/// The versions beside the baseline, whose order is their order in the hash space.
fn others(service: &Service) -> impl Iterator<Item = &Version> {
    service.versions.iter().filter(|version| !version.baseline)
}
