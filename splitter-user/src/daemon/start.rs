//! Owns the start: read, check, lock, open, commit, resolve, attach - in this order, so that the
//! program never sees a packet before its tables stand.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use aya_log::EbpfLogger;
use splitter_common::layout::Counter;

use super::{
    LEASE_S,
    core::{Core, now_text},
    hops, host, interfaces, refusal,
};
use crate::{
    config,
    dataplane::{self, DataPlane, Options, Target},
    model::{Config, ServeOptions},
    net::Net,
    plan::numbers::VersionNumber,
    secret::{self, Secret},
    state::{State, StateDir},
};

type KernelLog = EbpfLogger<&'static dyn log::Log>;

/// Brings the data plane up, or takes over the one that runs.
pub(super) async fn start(options: &ServeOptions, net: &Net) -> anyhow::Result<Core> {
    let file = config::load(&options.config)?;
    let secret = the_secret(options)?;
    let state_dir = StateDir::lock(&options.state_dir)?;
    let mut state = state_dir.load()?;
    let opening = Options {
        pin_dir: Some(options.pin_dir.clone()),
        limits: file.limits,
    };
    let targets = interfaces::targets(net, &file).await?;
    let plane = tokio::task::block_in_place(|| DataPlane::open(&opening)).map_err(refusal)?;
    let adopted = plane.adopted();
    let begun = begin(&plane, &mut state, adopted);
    let mut core = Core {
        config_path: options.config.clone(),
        file: file.clone(),
        config: file.clone(),
        state: state.clone(),
        state_dir,
        secret,
        plane,
        interfaces: Vec::new(),
        hops: Default::default(),
        own_addresses: Default::default(),
        unfinished: None,
        warnings: begun,
        began: Instant::now(),
    };
    if let Err(error) = bring_up(&mut core, net, &file, &targets).await {
        if !adopted {
            drop(core.plane);
            // Nothing was attached for good: leave no memory behind.
            let _best_effort = dataplane::detach(&options.pin_dir);
        }
        return Err(error);
    }
    Ok(core)
}

async fn bring_up(
    core: &mut Core,
    net: &Net,
    file: &Config,
    targets: &[Target],
) -> anyhow::Result<()> {
    host::check(core, file)?;
    let mut state = core.state.clone();
    let (config, told) = state.effective(file);
    for line in &told {
        log::warn!("{line}");
    }
    core.warnings.extend(told);
    core.apply(config, state)?;
    hops::refresh(core, net).await?;
    core.plane.renew_lease(LEASE_S)?;
    interfaces::attach_all(core, file, targets)
}

/// Takes up where the kernel is. Without our state file, or with an older one, the numbers in the
/// kernel mean nothing to us: they are given anew under a later generation.
fn begin(plane: &DataPlane, state: &mut State, adopted: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if adopted {
        log::info!(
            "taking over the data plane, generation {}",
            plane.generation()
        );
        // A commit is on disk before it is in the kernel, so only an older copy can be behind.
        if state.numbers.generation < plane.generation() && !state.numbers.services.is_empty() {
            state.numbers.services.clear();
            warnings.push(
                "the state file is older than the data plane, as one from a backup is: open flows \
                 were decided anew"
                    .to_owned(),
            );
        } else if state.numbers.services.is_empty() && plane.generation() > 0 {
            warnings.push(
                "the state file was lost while the data plane ran: open flows were decided anew"
                    .to_owned(),
            );
        }
    } else {
        count_anew(state);
    }
    state.numbers.generation = state.numbers.generation.max(plane.generation());
    warnings
}

/// Fresh maps count from nothing: what numbers and shares were counted from goes with the old ones.
fn count_anew(state: &mut State) {
    for (name, given) in &mut state.numbers.services {
        for number in given.backends.values_mut().flat_map(BTreeMap::values_mut) {
            number.base = [0; 16];
        }
        if let Some(since) = state.since.get_mut(name) {
            since.at = now_text();
            let retired = |version: &VersionNumber| version.retired[Counter::NewFlows as usize];
            since.new_flows = given
                .versions
                .iter()
                .map(|(name, version)| (name.clone(), retired(version)))
                .collect();
        }
    }
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
