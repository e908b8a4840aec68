//! Owns the reload: the file takes effect as a whole or not at all, and what was set at run time
//! stays where the file did not change that same key.
//!
//! Invariant: all that waits comes before the first change, so that a caller who goes away leaves
//! nothing half done.

use std::sync::{Arc, Mutex, PoisonError};

use sd_notify::NotifyState;
use tokio::signal::unix::Signal;

use super::{
    attach::{self, Survey},
    cohorts,
    core::{Core, Daemon, Planned},
    difference,
    fate::Fate,
    flows::recent::{self, Seen},
    heap, hops, refused,
    wall::now_text,
};
use crate::{
    api::{
        Refusal,
        types::{Reload, ServiceChange},
    },
    config::{ConfigErrors, Stamps, Texts},
    events::{What, acts},
    model::Config,
    net::Net,
};

/// A file that was read with its lists.
pub(super) struct FileRead {
    pub(super) texts: Arc<Texts>,
    /// Of its lists.
    pub(super) stamps: Stamps,
    /// What it asks for.
    pub(super) file: Result<Config, ConfigErrors>,
}

impl FileRead {
    /// Reads the lists that texts name.
    pub(super) fn new(texts: Arc<Texts>) -> Self {
        let lists = texts.lists();
        Self {
            stamps: lists.stamps().clone(),
            file: texts.config(&lists),
            texts,
        }
    }
}

/// What was last said of a file that has changed, and of which file; to say it again takes reading
/// its lists.
#[derive(Default)]
pub(super) struct Drift(Mutex<Option<Said>>);

/// By the digest of the texts and the files of the lists, what was said.
type Said = ((u64, Stamps), Option<String>);

/// Reloads the file, or says what that would do. `by`: who asks, for the log.
pub(super) async fn reload(daemon: &Daemon, dry_run: bool, by: &str) -> Result<Reload, Refusal> {
    let seen = if dry_run {
        Some(recent::look(daemon, None).await?)
    } else {
        None
    };
    let mut core = daemon.core.lock().await;
    let texts = || FileRead::new(Texts::read(&core.config_path).into());
    let read = tokio::task::block_in_place(texts);
    let done = carry_out(&mut core, &daemon.net, read, seen.as_ref()).await;
    if !dry_run {
        take_note(&mut core, &done, by);
    }
    drop(core);
    tokio::task::block_in_place(heap::give_back);
    done
}

/// What came of a reload, for the log, the events and the status.
fn take_note(core: &mut Core, done: &Result<Reload, Refusal>, by: &str) {
    let path = core.config_path.display().to_string();
    match done {
        Ok(report) => {
            core.refused_reload = None;
            core.refused_lists = None;
            log::info!("{path}: reloaded by {by}: {}", in_brief(report));
            core.events.tell(What::Reload(notice(report, by)));
            for line in &report.dropped {
                log::warn!("{line}");
            }
        }
        Err(refusal) => {
            let why = with_hint(refusal);
            log::error!("{path}: a reload by {by} is refused: {why}");
            core.events.tell(What::ReloadRefused(acts::ReloadRefused {
                by: by.to_owned(),
                error: one_line(&why),
            }));
            core.refused_reload = Some(format!(
                "a reload at {} was refused: {}; mend it and `splitter reload`",
                now_text(),
                one_line(&why)
            ));
        }
    }
}

/// What a refusal says, and what to do about it.
pub(super) fn with_hint(refusal: &Refusal) -> String {
    let hint = refusal.hint().map(|hint| format!(" ({hint})"));
    format!("{refusal}{}", hint.unwrap_or_default())
}

/// Reloads at every SIGHUP, and tells the service manager, which waits for the end of what it has
/// asked for (systemd.service(5), `Type=notify-reload`). Without one there is nobody to tell.
pub(super) async fn at_hang_up(daemon: Arc<Daemon>, mut hang_up: Signal) -> anyhow::Result<()> {
    while hang_up.recv().await.is_some() {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            let _no_manager = sd_notify::notify(&[NotifyState::Reloading, now]);
        }
        // A refusal is in the log and in the status.
        let _told = reload(&daemon, false, "SIGHUP").await;
        let _no_manager = sd_notify::notify(&[NotifyState::Ready]);
    }
    Ok(())
}

/// Puts a file in force that was read, or says what that would do; `seen`: who was seen lately, for that.
pub(super) async fn carry_out(
    core: &mut Core,
    net: &Net,
    read: FileRead,
    seen: Option<&Seen>,
) -> Result<Reload, Refusal> {
    let file = read.file.map_err(bad_file)?;
    same_limits(core, &file)?;
    if let Some(told) = cohorts::same_number(core, &file) {
        return Err(Refusal::conflict(format!("{told}; nothing was changed")));
    }
    let links = net.links().await.map_err(Refusal::internal)?;
    let waits = |name: &str| core.interfaces.iter().any(|known| known.name == name);
    let survey = attach::survey(core, &links, &file, waits)?;
    let mut state = core.state.clone();
    let (config, dropped) = state.effective(&file);
    let mut report = Reload {
        config_path: core.config_path.display().to_string(),
        dry_run: seen.is_some(),
        generation: u64::from(core.state.numbers.generation),
        services: difference::services(&core.config, &config),
        interfaces: difference::interfaces(&core.config, &config),
        metrics: difference::metrics(&core.config, &config),
        devices: difference::devices(&core.config, &config),
        kept: difference::overlays(&state, &file),
        dropped,
    };
    let hops = if seen.is_some() {
        None
    } else {
        let found = hops::look_up(core, net, &config).await;
        Some(found.map_err(|error| Refusal::internal(format!("{error:#}")))?)
    };
    let planned = core
        .plan(config, state, Fate::OfServices)
        .map_err(refused)?;
    let Some(hops) = hops else {
        for change in &mut report.services {
            let told = seen.and_then(|seen| core.would_move(&planned, &change.service, seen));
            change.seen = told;
        }
        core.discard(planned);
        return Ok(report);
    };
    // New backends are reached as soon as a row chooses them.
    core.hops.extend(hops);
    let done = put_in_force(core, &survey, planned);
    if done.is_ok() || core.unfinished.is_some() {
        core.file = file;
        core.texts = read.texts;
        core.stamps = read.stamps;
        core.warnings.clone_from(&report.dropped);
        attach::detach_others(core);
    }
    done?;
    report.generation = u64::from(core.state.numbers.generation);
    Ok(report)
}

/// Interfaces first, as over any data plane that runs: the old tables stand until every interface
/// carries the program.
fn put_in_force(core: &mut Core, survey: &Survey, planned: Planned) -> Result<(), Refusal> {
    let before = core.interfaces.clone();
    let earlier = core.unfinished.take();
    let mut undo = Vec::new();
    let attached = tokio::task::block_in_place(|| attach::attach_all(core, survey, &mut undo));
    let done = match attached {
        Ok(()) => core.put(planned).map_err(refused),
        Err(refusal) => {
            core.discard(planned);
            Err(refusal)
        }
    };
    done.map_err(|refusal| {
        if core.unfinished.is_some() {
            return refusal
                .with_hint("the change is on disk and is tried again; see `splitter status`");
        }
        core.unfinished = earlier;
        attach::undo(core, undo);
        core.interfaces = before;
        refusal
    })
}

/// The kernel's tables keep the size that they were made with.
fn same_limits(core: &Core, file: &Config) -> Result<(), Refusal> {
    let Some(difference) = file.limits.difference(core.config.limits) else {
        return Ok(());
    };
    Err(Refusal::conflict(format!(
        "the kernel's tables keep their sizes, and [limits] of the file asks for others: \
         {difference}; nothing was changed"
    ))
    .with_hint(
        "put [limits] back; or stop the daemon, `splitter detach` and start it again (every flow \
         is then decided anew)",
    ))
}

fn bad_file(errors: ConfigErrors) -> Refusal {
    Refusal::invalid(format!(
        "the file has errors, and nothing was changed:\n{errors}"
    ))
}

/// What differs between the file and what was loaded, and what came of the last reload.
pub(super) fn warnings(core: &Core) -> impl Iterator<Item = String> {
    let of_file = core.refused_reload.clone().or_else(|| drift(core));
    of_file.into_iter().chain(core.refused_lists.clone())
}

fn drift(core: &Core) -> Option<String> {
    let texts = Texts::read(&core.config_path);
    if texts.digest() == core.texts.digest() {
        return None;
    }
    let about = (texts.digest(), texts.stamps());
    let mut said = core.drift.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, says)) = said.as_ref().filter(|(of, _)| *of == about) {
        return says.clone();
    }
    let says = tokio::task::block_in_place(|| says(core, &texts));
    *said = Some((about, says.clone()));
    says
}

fn says(core: &Core, texts: &Texts) -> Option<String> {
    match texts.config(&texts.lists()) {
        // Another comment, say.
        Ok(file) if file == core.file => None,
        Ok(_) => Some(
            "the file has changed since it was loaded: `splitter reload` applies it, `splitter \
             reload --dry-run` says what that does"
                .to_owned(),
        ),
        Err(errors) => Some(format!(
            "the file has changed since it was loaded, and has errors with which no daemon \
             starts: {}",
            one_line(&errors.to_string())
        )),
    }
}

/// Warnings are a line each.
pub(super) fn one_line(text: &str) -> String {
    text.replace(":\n", ": ").replace('\n', "; ")
}

pub(super) fn in_brief(report: &Reload) -> String {
    let names: Vec<&str> = report
        .services
        .iter()
        .map(|ServiceChange { service, .. }| service.as_str())
        .collect();
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("services {} changed", names.join(", ")));
    }
    if !report.interfaces.is_empty() {
        parts.push("interfaces changed".to_owned());
    }
    if !report.metrics.is_empty() {
        parts.push("[metrics] changed".to_owned());
    }
    if parts.is_empty() {
        parts.push("nothing changed".to_owned());
    }
    format!("{}; generation {}", parts.join(", "), report.generation)
}

/// What is told of it later.
pub(super) fn notice(report: &Reload, by: &str) -> acts::Reload {
    let services = report.services.iter();
    acts::Reload {
        by: by.to_owned(),
        generation: report.generation,
        services: services.map(|change| change.service.clone()).collect(),
        interfaces: !report.interfaces.is_empty(),
        dropped: report.dropped.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_many_lines_becomes_one() {
        let errors = crate::config::parse_str("a.toml", "x = 1\ny = 2").expect_err("bad");
        let told = one_line(&bad_file(errors).to_string());
        assert!(
            told.contains("was changed: a.toml:1:1: ") && told.contains("; a.toml:2:1: "),
            "{told}"
        );
    }
}
