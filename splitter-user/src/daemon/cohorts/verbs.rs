//! Owns what the API asks of cohorts.

use std::net::IpAddr;

use splitter_common::clock::Jiffies;

use super::{Cohorts, Kept, asked, at_hand, foresee, lock, membership};
use crate::{
    api::{
        Actor, Refusal,
        types::{
            BadLine, CohortCreate, CohortDelete, CohortDeleted, CohortImport, CohortImported,
            CohortLine, CohortList, MemberAdd, MemberChange, MemberRemove, Memberships,
        },
    },
    cohorts::{self, Bad, CohortError, Line, Lines, Put, Store},
    config::nearest,
    daemon::{core::Daemon, heap, wall::now_text},
    events::{
        What,
        cohorts::{CohortCreated, CohortDeleted as Deleted, CohortImported as Imported},
    },
};

/// Makes a cohort.
pub(in crate::daemon) async fn create(
    daemon: &Daemon,
    wanted: CohortCreate,
    actor: &Actor,
) -> Result<CohortLine, Refusal> {
    let asked_for = asked(&daemon.core.lock().await.config);
    let names: Vec<String> = asked_for.keys().cloned().collect();
    let (by, at) = (actor.to_string(), now_text());
    let CohortCreate {
        name,
        reason,
        dry_run,
    } = wanted;
    let (made, why) = (name.clone(), reason.clone());
    change(daemon, move |cohorts, kept, _| {
        let store = kept.store()?;
        let made_by = (by.as_str(), at.as_str(), why.as_deref());
        let create = |store: &mut Store| store.create(&made, made_by, &names);
        let done = doing(store, dry_run, create);
        done.map_err(|error| refused(store, &error))?;
        cohorts.publish(store, None);
        Ok(())
    })
    .await?;
    if dry_run {
        // Nobody is in it, so that nobody would move.
        return Ok(CohortLine {
            asked_by: asked_for.get(&name).cloned().unwrap_or_default(),
            name,
            reason,
            ..CohortLine::default()
        });
    }
    let by = actor.to_string();
    log::info!("cohort {name} created by {by}");
    daemon.events.tell(What::CohortCreated(CohortCreated {
        cohort: name.clone(),
        by,
        reason,
    }));
    let list = list(daemon).await?.cohorts;
    let line = list.into_iter().find(|line| line.name == name);
    line.ok_or_else(|| Refusal::conflict(format!("cohort {name} is deleted already")))
}

/// Deletes one, members and all.
pub(in crate::daemon) async fn delete(
    daemon: &Daemon,
    name: String,
    wanted: CohortDelete,
    actor: &Actor,
) -> Result<CohortDeleted, Refusal> {
    let (cohort, dry_run) = (name.clone(), wanted.dry_run);
    let (members, changes) = change(daemon, move |cohorts, kept, now| {
        let store = kept.store()?;
        let done = doing(store, dry_run, |store| store.delete(&cohort, now));
        let (members, changes) = done.map_err(|error| refused(store, &error))?;
        if !dry_run {
            cohorts.publish(store, None);
            cohorts.tell(kept, &changes)?;
        }
        Ok((members, changes))
    })
    .await?;
    let seen = foresee::moves(daemon, &name, changes, dry_run).await?;
    if !dry_run {
        deleted(daemon, &name, members, wanted.reason, actor);
    }
    Ok(CohortDeleted {
        cohort: name,
        members,
        dry_run,
        seen,
    })
}

/// Enters an address.
pub(in crate::daemon) async fn add(
    daemon: &Daemon,
    name: String,
    wanted: MemberAdd,
) -> Result<MemberChange, Refusal> {
    let line = line(&wanted).map_err(Refusal::invalid)?;
    let (ttl_ms, address) = (line.ttl_ms, IpAddr::from(line.address).to_string());
    let lines = Lines {
        good: vec![line],
        ..Lines::default()
    };
    let (cohort, dry_run) = (name.clone(), wanted.dry_run);
    let put = change(daemon, move |cohorts, kept, now| {
        enter(cohorts, kept, &cohort, lines, (false, dry_run), now)
    })
    .await?;
    if let Some(bad) = put.left_out.bad.into_iter().next() {
        return Err(Refusal::conflict(bad.error));
    }
    let seen = foresee::moves(daemon, &name, put.changes, dry_run).await?;
    let told = membership(name, ttl_ms, wanted.reference);
    Ok(MemberChange {
        dry_run,
        seen,
        cohort: told.cohort,
        address,
        change: if put.added > 0 { "added" } else { "renewed" }.to_owned(),
        left_s: told.left_s,
        until: told.until,
    })
}

/// Takes one out.
pub(in crate::daemon) async fn remove(
    daemon: &Daemon,
    name: String,
    wanted: MemberRemove,
) -> Result<MemberChange, Refusal> {
    let address = cohorts::address(&wanted.address).map_err(Refusal::invalid)?;
    let told = IpAddr::from(address).to_string();
    let (cohort, text, dry_run) = (name.clone(), told.clone(), wanted.dry_run);
    let changes = change(daemon, move |cohorts, kept, now| {
        let store = kept.store()?;
        let done = doing(store, dry_run, |store| store.remove(&cohort, address, now));
        let Some(changes) = done.map_err(|error| refused(store, &error))? else {
            let what = format!("{text} is not in cohort {cohort}");
            let hint = format!("`splitter cohort test {text}` says which ones it is in");
            return Err(Refusal::not_found(what).with_hint(hint));
        };
        if !dry_run {
            cohorts.publish(store, Some(&cohort));
            cohorts.tell(kept, &changes)?;
        }
        Ok(changes)
    })
    .await?;
    let seen = foresee::moves(daemon, &name, changes, dry_run).await?;
    Ok(MemberChange {
        dry_run,
        seen,
        cohort: name,
        address: told,
        change: "removed".to_owned(),
        left_s: None,
        until: None,
    })
}

/// Enters the lines of a text.
pub(in crate::daemon) async fn import(
    daemon: &Daemon,
    name: String,
    wanted: CohortImport,
    text: Vec<u8>,
    actor: &Actor,
) -> Result<CohortImported, Refusal> {
    let ttl = wanted.ttl.as_deref().map(cohorts::ttl).transpose();
    let ttl = ttl.map_err(Refusal::invalid)?;
    let (cohort, skip, dry_run) = (name.clone(), wanted.skip_bad, wanted.dry_run);
    let put = change(daemon, move |cohorts, kept, now| {
        let lines = cohorts::parse(&text, ttl);
        // Millions of them; what they became is as large.
        drop(text);
        let put = enter(cohorts, kept, &cohort, lines, (skip, dry_run), now);
        heap::give_back();
        put
    })
    .await?;
    let Put {
        added,
        renewed,
        done,
        left_out,
        changes,
    } = put;
    if !done {
        return Err(bad_lines(&left_out));
    }
    let seen = foresee::moves(daemon, &name, changes, dry_run).await?;
    if !dry_run {
        let counts = (added, renewed, left_out.bad_count);
        imported(daemon, &name, counts, wanted.reason, actor);
    }
    let told = left_out.bad.into_iter();
    Ok(CohortImported {
        cohort: name,
        added,
        renewed,
        left_out: left_out.bad_count,
        bad: told
            .map(|Bad { line, error }| BadLine { line, error })
            .collect(),
        dry_run,
        seen,
    })
}

/// Tells of a cohort that was deleted.
fn deleted(daemon: &Daemon, cohort: &str, members: u64, reason: Option<String>, actor: &Actor) {
    let by = actor.to_string();
    log::info!("cohort {cohort} deleted by {by}, with {members} members");
    daemon.events.tell(What::CohortDeleted(Deleted {
        cohort: cohort.to_owned(),
        members,
        by,
        reason,
    }));
}

/// Tells of an import that was carried out.
fn imported(
    daemon: &Daemon,
    cohort: &str,
    (added, renewed, left_out): (u64, u64, u64),
    reason: Option<String>,
    actor: &Actor,
) {
    let by = actor.to_string();
    log::info!("{added} members added to cohort {cohort} and {renewed} renewed by {by}");
    daemon.events.tell(What::CohortImported(Imported {
        cohort: cohort.to_owned(),
        added,
        renewed,
        left_out,
        by,
        reason,
    }));
}

/// Every cohort, those too that are only asked for.
pub(in crate::daemon) async fn list(daemon: &Daemon) -> Result<CohortList, Refusal> {
    let core = daemon.core.lock().await;
    let (known, mut asked) = (core.cohorts.known(), asked(&core.config));
    let mut cohorts: Vec<CohortLine> = known
        .cohorts
        .iter()
        .map(|(name, cohort)| CohortLine {
            name: name.clone(),
            exists: true,
            members: cohort.members,
            asked_by: asked.remove(name).unwrap_or_default(),
            by: Some(cohort.by.clone()),
            at: Some(cohort.at.clone()),
            reason: cohort.reason.clone(),
        })
        .collect();
    cohorts.extend(asked.into_iter().map(|(name, asked_by)| CohortLine {
        name,
        asked_by,
        ..CohortLine::default()
    }));
    cohorts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(CohortList {
        cohorts,
        addresses: known.addresses,
        room: core.cohorts.table.capacity(),
    })
}

/// The cohorts that an address is in.
pub(in crate::daemon) async fn test(
    daemon: &Daemon,
    address: String,
) -> Result<Memberships, Refusal> {
    let address = cohorts::address(&address).map_err(Refusal::invalid)?;
    let (kept, now) = at_hand(daemon).await.map_err(Refusal::internal)?;
    let read = move || cohorts::memberships(&kept.dir, address, now, kept.hz);
    let found = tokio::task::spawn_blocking(read).await;
    let found = found
        .map_err(Refusal::internal)?
        .map_err(Refusal::internal)?;
    let told = found.into_iter();
    Ok(Memberships {
        address: IpAddr::from(address).to_string(),
        cohorts: told
            .map(|of| membership(of.cohort, of.left_ms, of.reference))
            .collect(),
    })
}

/// A member as it is asked for.
fn line(wanted: &MemberAdd) -> Result<Line, String> {
    let ttl = wanted.ttl.as_deref().map(cohorts::ttl).transpose()?;
    let reference = wanted.reference.as_deref().map(cohorts::reference);
    Ok(Line {
        number: 0,
        address: cohorts::address(&wanted.address)?,
        ttl_ms: ttl.map(cohorts::end_ms),
        reference: reference.transpose()?,
    })
}

/// Changes what is on disk, or says what that would come to.
fn doing<T>(
    store: &mut Store,
    dry_run: bool,
    make: impl FnOnce(&mut Store) -> Result<T, CohortError>,
) -> Result<T, CohortError> {
    match dry_run {
        true => store.foresee(make),
        false => make(store),
    }
}

/// Puts members on disk and into the kernel. Where there seems to be no room, those whose time is up
/// make some.
fn enter(
    cohorts: &Cohorts,
    kept: &mut Kept,
    name: &str,
    lines: Lines,
    (skip, dry_run): (bool, bool),
    now: Jiffies,
) -> Result<Put, Refusal> {
    let capacity = cohorts.table.capacity();
    let count = lines.good.len() as u64;
    loop {
        let store = kept.store()?;
        if store.addresses() + count <= u64::from(capacity) {
            break;
        }
        let swept = store.sweep(super::SWEEP, now);
        let (swept, changes) = swept.map_err(Refusal::internal)?;
        if swept == 0 {
            break;
        }
        cohorts.tell(kept, &changes)?;
    }
    let store = kept.store()?;
    let put = doing(store, dry_run, |store| {
        store.put(name, lines, skip, capacity, now)
    });
    let mut put = put.map_err(|error| refused(store, &error))?;
    if put.done && !dry_run {
        cohorts.publish(store, Some(name));
        let changes = std::mem::take(&mut put.changes);
        cohorts.tell(kept, &changes)?;
    }
    Ok(put)
}

/// What an import is refused with.
fn bad_lines(left_out: &Lines) -> Refusal {
    let told = left_out.bad.iter();
    let mut all: Vec<String> = told
        .map(|Bad { line, error }| format!("line {line}: {error}"))
        .collect();
    let more = left_out.bad_count - left_out.bad.len() as u64;
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    let what = format!("bad lines, and nothing was changed:\n{}", all.join("\n"));
    Refusal::invalid(what).with_hint("mend them, or give --skip-bad to leave them out")
}

/// Does something on a thread that may wait.
async fn change<T: Send + 'static>(
    daemon: &Daemon,
    work: impl FnOnce(&Cohorts, &mut Kept, Jiffies) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let (cohorts, now) = at_hand(daemon).await.map_err(Refusal::internal)?;
    let done = move || work(&cohorts, &mut lock(&cohorts.kept), now);
    let done = tokio::task::spawn_blocking(done).await;
    done.map_err(Refusal::internal)?
}

impl Kept {
    fn store(&mut self) -> Result<&mut Store, Refusal> {
        self.store.as_mut().ok_or_else(|| {
            Refusal::internal("members of cohorts cannot be read")
                .with_hint("`splitter status` says why; that is tried again every 10 s")
        })
    }
}

/// An error of the store, as the caller is told of it.
fn refused(store: &Store, error: &CohortError) -> Refusal {
    match error {
        CohortError::Name(_) => Refusal::invalid(error),
        CohortError::None(name) => {
            let known = store.cohorts().keys().map(String::as_str);
            Refusal::not_found(error).with_hint(match nearest(name, known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("`splitter cohort create {name}`"),
            })
        }
        CohortError::Exists(_)
        | CohortError::SameNumber { .. }
        | CohortError::TooMany
        | CohortError::InTooMany { .. }
        | CohortError::Full { .. } => Refusal::conflict(error),
        CohortError::Database(_) => Refusal::internal(error),
    }
}
