//! Owns the start: read, check, lock, open, commit, resolve, attach.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use aya_log::EbpfLogger;
use splitter_common::clock::Jiffies;

use super::{
    LEASE_S,
    attach::{self, Undo},
    cohorts::Cohorts,
    core::Core,
    fate::Fate,
    hops, host, notices, refusal,
    reload::FileRead,
    takeover,
};
use crate::{
    api::Refusal,
    config::Texts,
    dataplane::{DataPlane, DataPlaneError, KernelTypes, Options},
    events::EventLog,
    health::Book,
    model::{Config, ServeOptions},
    net::Net,
    secret::{self, Secret},
    state::{State, StateDir},
};

/// Who reads the program's own log.
pub(super) type KernelLog = EbpfLogger<&'static dyn log::Log>;

/// Brings the data plane up, or takes over the one that runs.
pub(super) async fn start(options: &ServeOptions, net: &Net) -> anyhow::Result<Core> {
    // Beside all else, since nothing before the end waits for it.
    let types = tokio::task::spawn_blocking(KernelTypes::read);
    let read = tokio::task::block_in_place(|| FileRead::new(Texts::read(&options.config).into()));
    let file = read.file?;
    let secret = the_secret(options)?;
    let state_dir = StateDir::lock(&options.state_dir)?;
    let loaded = state_dir.load()?;
    let opening = Options {
        pin_dir: Some(options.pin_dir.clone()),
        limits: file.limits,
    };
    let plane =
        tokio::task::block_in_place(|| DataPlane::open_over(&opening, options.accept_flow_loss))
            .map_err(|error| other_layout(error, loaded.as_ref()))?;
    let adopted = plane.adopted();
    let cohorts = Cohorts::new(&options.state_dir, plane.members(), plane.hz());
    let mut core = Core {
        config_path: options.config.clone(),
        file: file.clone(),
        texts: read.texts,
        stamps: read.stamps,
        refused_reload: None,
        refused_lists: None,
        drift: Default::default(),
        config: file.clone(),
        state: State::default(),
        state_dir,
        secret,
        plane,
        interfaces: Vec::new(),
        book: Default::default(),
        changes: 0,
        hops: Default::default(),
        own_addresses: Default::default(),
        unfinished: None,
        answers: Default::default(),
        cohorts,
        estimates: Default::default(),
        spreads: Default::default(),
        losses: Default::default(),
        events: Arc::new(EventLog::open(&options.state_dir)),
        warnings: Vec::new(),
        no_metrics: None,
        no_history: None,
        began: Instant::now(),
    };
    let mut undo = Vec::new();
    let before = loaded.clone();
    if let Err(error) = bring_up(&mut core, net, &file, loaded, &mut undo).await {
        attach::undo(&mut core, undo);
        core.plane.give_back();
        if !adopted {
            // The file was not applied: what it would have overruled holds at the next start.
            if let Err(error) = core.state_dir.restore(before.as_ref()) {
                log::error!("the state cannot be put back: {error}");
            }
            core.plane.abandon();
        }
        return Err(error);
    }
    core.plane.bury_others();
    let types = types.await;
    core.begin_losses(&types.unwrap_or_else(|error| KernelTypes::untold(&error)));
    notices::started(&core, adopted);
    Ok(core)
}

/// What is cut when another layout is replaced, by the names that its daemon left on disk.
fn other_layout(error: DataPlaneError, loaded: Option<&State>) -> Refusal {
    if !matches!(error, DataPlaneError::OtherLayouts(_)) {
        return refusal(error);
    }
    let names: Vec<&str> = loaded
        .iter()
        .flat_map(|state| state.numbers.services.keys())
        .map(String::as_str)
        .collect();
    let of_whom = if names.is_empty() {
        "its services".to_owned()
    } else {
        format!("service {}", names.join(", "))
    };
    refusal(error).with_hint(format!(
        "run the splitter of that layout; or start this one with --accept-flow-loss: the program \
         is then replaced without a gap, and all flows of {of_whom} are forgotten: those that are \
         decided as before go on when their client speaks, the others are cut, and so may be \
         answers that are under way"
    ))
}

/// The order is that nothing is worse after a start that fails: over new maps the tables stand
/// before a packet is seen; over those that run, all that can be refused is tried first, and the
/// old tables stand until every interface carries the program. `undo`: what was done to
/// interfaces.
async fn bring_up(
    core: &mut Core,
    net: &Net,
    file: &Config,
    loaded: Option<State>,
    undo: &mut Vec<Undo>,
) -> anyhow::Result<()> {
    host::check(core, file)?;
    // A data plane that runs is never refused its daemon: an interface that is gone is waited for.
    let survey = attach::survey(core, &net.links().await?, file, |_| core.plane.adopted())?;
    let (mut state, mut told) = takeover::take_up(&core.plane, loaded, file, &core.secret)?;
    let (config, dropped) = state.effective(file);
    for line in &dropped {
        log::warn!("{line}");
    }
    told.extend(dropped);
    core.warnings = told;
    core.book = Book::restored(&state.health, &config, core.began.elapsed());
    let planned = core.plan(config, state, Fate::OfServices)?;
    let now = Jiffies(core.plane.jiffies().map_err(refusal)?);
    tokio::task::block_in_place(|| core.cohorts.begin(now));
    if core.plane.adopted() {
        let attached = core.plane.take_over().map_err(refusal);
        let attached = attached.and_then(|()| attach::attach_all(core, &survey, undo));
        if let Err(error) = attached {
            core.discard(planned);
            return Err(error.into());
        }
        core.put(planned)?;
        hops::refresh(core, net).await?;
        notices::renew_lease(core, LEASE_S)?;
    } else {
        core.put(planned)?;
        hops::refresh(core, net).await?;
        core.plane.renew_lease(LEASE_S)?;
        core.plane.take_over().map_err(refusal)?;
        attach::attach_all(core, &survey, undo)?;
    }
    attach::detach_others(core);
    // The modes are known now, and with them whether lengths can be trusted.
    core.write_hops(0);
    Ok(())
}

fn the_secret(options: &ServeOptions) -> anyhow::Result<Secret> {
    if options.new_secret && !Path::new(&options.secret).exists() {
        let made = secret::create(&options.secret)?;
        log::info!(
            "made a cluster secret, digest {}: copy it to every host",
            made.digest()
        );
        return Ok(made);
    }
    Ok(secret::load(&options.secret)?)
}

/// The program's own log, where the object has one.
pub(super) fn kernel_log(core: &mut Core) -> Option<KernelLog> {
    match EbpfLogger::init(core.plane.ebpf_mut()) {
        Ok(logger) => Some(logger),
        Err(error) => {
            log::warn!("the program's log cannot be read: {error}");
            None
        }
    }
}

/// Copies the program's rare lines into the daemon's log, once a second.
pub(super) async fn forward_kernel_log(logger: Option<KernelLog>) -> anyhow::Result<()> {
    let Some(mut logger) = logger else {
        return std::future::pending().await;
    };
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        logger.flush();
    }
}
