//! Owns the watch over lists: files of prefixes and databases of regions are read again when they change,
//! with the file as it was loaded, on the way of a reload.
//!
//! Invariant: what cannot be put in force leaves what is; it is told, and tried again when the file changes
//! once more, or by a reload.

use std::{sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};

use super::{
    core::{Core, Daemon},
    reload::{self, FileRead},
    wall::now_text,
};
use crate::{
    api::Refusal,
    config::Stamps,
    events::{What, acts},
};

/// How often is looked.
const LOOK: Duration = Duration::from_secs(2);

/// Looks at the files until it is aborted.
pub(super) async fn watch(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        every.tick().await;
        let were = daemon.core.lock().await.stamps.clone();
        let (now, were) = spawn_blocking(move || (were.now(), were)).await?;
        if now == were {
            last = None;
            continue;
        }
        // Whoever writes a file is done when it is the same at two looks.
        if last.as_ref() == Some(&now) {
            last = None;
            read_again(&daemon).await?;
        } else {
            last = Some(now);
        }
    }
}

async fn read_again(daemon: &Daemon) -> anyhow::Result<()> {
    let texts = Arc::clone(&daemon.core.lock().await.texts);
    let read = spawn_blocking(move || FileRead::new(texts)).await;
    let mut core = daemon.core.lock().await;
    let read = match read {
        Ok(read) => read,
        Err(died) => {
            // Whoever wrote the file may have done worse than what is looked for.
            let were = core.stamps.clone();
            core.stamps = core.texts.stamps();
            let names = names(&core.stamps, &were);
            let by = format!("the change of {names}");
            refused(&mut core, &names, by, &Refusal::internal(died));
            return Ok(());
        }
    };
    if !Arc::ptr_eq(&core.texts, &read.texts) {
        // A reload came first, and has read them.
        return Ok(());
    }
    let stamps = read.stamps.clone();
    let names = names(&stamps, &core.stamps);
    if names.is_empty() {
        return Ok(());
    }
    let by = format!("the change of {names}");
    let done = reload::carry_out(&mut core, &daemon.net, read, None).await;
    core.stamps = stamps;
    match done {
        Ok(report) => {
            core.refused_lists = None;
            let brief = reload::in_brief(&report);
            log::info!("{names}: read again: {brief}");
            core.events.tell(What::Reload(reload::notice(&report, &by)));
        }
        Err(refusal) => refused(&mut core, &names, by, &refusal),
    }
    Ok(())
}

/// The files that are others than they were.
fn names(now: &Stamps, were: &Stamps) -> String {
    let others = now.others(were);
    let names: Vec<String> = others.map(|path| path.display().to_string()).collect();
    names.join(", ")
}

fn refused(core: &mut Core, names: &str, by: String, refusal: &Refusal) {
    let why = reload::one_line(&reload::with_hint(refusal));
    log::error!("{names}: what changed is not put in force: {why}");
    core.refused_lists = Some(format!(
        "{names}: what changed there is not in force (seen at {}), and what was read before stays: \
         {why}; mend it, it is then read again",
        now_text()
    ));
    core.events
        .tell(What::ReloadRefused(acts::ReloadRefused { by, error: why }));
}
