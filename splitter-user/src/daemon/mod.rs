//! Owns the daemon: start, the loops that keep next hops and the lease fresh, and the end.
//!
//! Invariant: nothing here decides about packets; the daemon may die at any moment and the data
//! plane goes on with what was last committed.

mod answers;
mod attach;
mod backends;
mod clients;
mod cohorts;
mod core;
mod devices;
mod difference;
mod evidence;
mod explain;
mod exporting;
mod fares;
mod fate;
mod flows;
mod health;
mod heap;
mod hops;
mod host;
mod interfaces;
mod lease;
mod lists;
mod losses;
mod notices;
mod parts;
mod past;
mod reload;
mod sampling;
mod segments;
mod serving;
mod shares;
mod shown;
mod simulate;
mod start;
mod status;
mod takeover;
mod times;
mod traces;
mod turns;
mod wall;
mod warnings;
mod weights;
mod whois;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, Notify, watch},
};

pub use self::core::Daemon;
use self::{core::Core, flows::recent, parts::Parts, traces::Traces};

use crate::{
    api::{self, Control, Refusal, types},
    dataplane::{self, DataPlaneError, TraceRing},
    events::EventLog,
    model::{ServeOptions, Vip},
    net::Net,
    observe::metrics::{self, Export},
    plan::PlanError,
};

/// How long the next hops are vouched for; renewed every second.
const LEASE_S: u32 = 30;
/// How long they are after a clean stop: time for a restart or an upgrade.
const RESTART_GRACE_S: u32 = 120;

/// Runs the daemon until SIGTERM or SIGINT.
pub fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let env = env_logger::Env::default().default_filter_or("info");
    let _already_set = env_logger::Builder::from_env(env).try_init();
    heap::keep_one_arena();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(options))
}

async fn run(options: ServeOptions) -> anyhow::Result<()> {
    // Said before anything else is found missing.
    dataplane::check_host().map_err(refusal)?;
    let hang_up = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    // Taken first: a second daemon must not touch what the first one runs.
    let listener = api::bind(&options.socket)?;
    let net = Net::connect().context("cannot talk to the kernel's routing tables")?;
    let mut core = start::start(&options, &net).await?;
    let logger = start::kernel_log(&mut core);
    let trace_ring = core.plane.take_trace_ring();
    let daemon = Arc::new(Daemon::new(core, net, options.state_dir.clone()));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut server = tokio::spawn(api::serve(listener, Arc::clone(&daemon), async {
        let _closed = stopped.await;
    }));
    let mut loops = spawn_loops(&daemon, logger, trace_ring, hang_up);
    tokio::task::block_in_place(heap::give_back);
    // Without a service manager there is nobody to tell.
    let _no_manager = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    log::info!(
        "ready; status: splitter --socket {} status",
        options.socket.display()
    );
    let failure = tokio::select! {
        _ = terminate.recv() => {
            log::info!("SIGTERM: stopping");
            None
        }
        _ = interrupt.recv() => {
            log::info!("SIGINT: stopping");
            None
        }
        failure = loops.first_end() => Some(failure),
        outcome = &mut server => Some(parts::ended("the API's server", outcome)),
    };
    let _no_manager = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    notices::stopped(&daemon.events, &options, failure.as_deref());
    daemon.traces.close();
    let _server_gone = stop.send(());
    loops.shutdown().await;
    if !server.is_finished() {
        let _finished = tokio::time::timeout(Duration::from_secs(5), server).await;
    }
    let mut core = daemon.core.lock().await;
    if failure.is_none() && options.detach_on_exit {
        let report = core.plane.detach().map_err(refusal)?;
        log::warn!("--detach-on-exit: {}", report.to_string().trim_end());
    } else {
        core.plane.renew_lease(RESTART_GRACE_S)?;
        log::info!("traffic goes on");
    }
    drop(core);
    // A socket that is gone already is what we want.
    let _gone = std::fs::remove_file(&options.socket);
    match failure {
        None => Ok(()),
        Some(failure) => anyhow::bail!("{failure}; traffic goes on as it is"),
    }
}

/// Everything that goes on while the daemon runs.
fn spawn_loops(
    daemon: &Arc<Daemon>,
    logger: Option<start::KernelLog>,
    trace_ring: Option<TraceRing>,
    hang_up: Signal,
) -> Parts {
    let mut loops = Parts::default();
    loops.spawn("the lease's loop", lease_loop(Arc::clone(daemon)));
    loops.spawn("the watch over answers", answers::watch(Arc::clone(daemon)));
    loops.spawn("the cohorts' loop", cohorts::keep(Arc::clone(daemon)));
    loops.spawn("the health's loop", health::keep_watch(Arc::clone(daemon)));
    loops.spawn("the next hops' loop", hops::keep_fresh(Arc::clone(daemon)));
    loops.spawn(
        "the flows' estimate",
        flows::estimate::keep(Arc::clone(daemon)),
    );
    loops.spawn(
        "the looks at clients",
        flows::shares::keep(Arc::clone(daemon)),
    );
    loops.spawn("the samples' loop", sampling::keep(Arc::clone(daemon)));
    loops.spawn(
        "the listener for metrics",
        exporting::keep(Arc::clone(daemon)),
    );
    loops.spawn("the watch over events", notices::watch(Arc::clone(daemon)));
    loops.spawn(
        "the reader of traces",
        traces::tell(Arc::clone(daemon), trace_ring),
    );
    loops.spawn("the kernel log's loop", start::forward_kernel_log(logger));
    loops.spawn("the watch over lists", lists::watch(Arc::clone(daemon)));
    loops.spawn(
        "the loop of SIGHUP",
        reload::at_hang_up(Arc::clone(daemon), hang_up),
    );
    loops
}

async fn lease_loop(daemon: Arc<Daemon>) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        let mut core = daemon.core.lock().await;
        if let Err(error) = notices::renew_lease(&mut core, LEASE_S) {
            log::error!("cannot renew the lease: {error}");
        }
        core.finish();
        core.advance_slices();
        core.watch_losses();
    }
}

/// The kind of a data plane's error, which decides the exit code.
pub fn refusal(error: DataPlaneError) -> Refusal {
    match error {
        DataPlaneError::NoPermission(_) => Refusal::forbidden(error),
        DataPlaneError::Busy(_)
        | DataPlaneError::Interface { .. }
        | DataPlaneError::OtherLayouts(_)
        | DataPlaneError::PagesFull { .. }
        | DataPlaneError::PrefixesFull { .. }
        | DataPlaneError::Pins(_) => Refusal::conflict(error),
        DataPlaneError::OldKernel { .. }
        | DataPlaneError::Load(_)
        | DataPlaneError::Map { .. }
        | DataPlaneError::ReadBack(_) => Refusal::internal(error),
        DataPlaneError::Plan(error) => refused_plan(&error),
    }
}

fn refused_plan(error: &PlanError) -> Refusal {
    match error {
        PlanError::Capacity(_) | PlanError::DirectoryFull { .. } => Refusal::invalid(error),
        PlanError::SaltInUse { .. }
        | PlanError::PlaceInUse { .. }
        | PlanError::NumbersTaken(_)
        | PlanError::Unrecoverable { .. } => Refusal::conflict(error),
        PlanError::Missing(_) => Refusal::internal(error),
    }
}

/// What a caller of the API is told of an error of a change.
fn refused(error: anyhow::Error) -> Refusal {
    if let Some(error) = error.downcast_ref::<PlanError>() {
        return refused_plan(error);
    }
    error
        .downcast::<Refusal>()
        .unwrap_or_else(|error| Refusal::internal(format!("{error:#}")))
}

impl Daemon {
    fn new(core: Core, net: Net, history_dir: PathBuf) -> Self {
        Self {
            events: Arc::clone(&core.events),
            core: Mutex::new(core),
            new_backends: Notify::new(),
            walks: Mutex::new(()),
            net,
            history_dir,
            export: watch::Sender::new(Export::default()),
            traces: Traces::default(),
        }
    }
}

impl Control for Daemon {
    async fn status(&self) -> Result<types::Status, Refusal> {
        Ok(status::status(&*self.core.lock().await))
    }

    async fn service_list(&self) -> Result<Vec<types::ServiceSummary>, Refusal> {
        Ok(status::summaries(&*self.core.lock().await))
    }

    async fn service(&self, name: String) -> Result<types::ServiceShown, Refusal> {
        shown::service(&*self.core.lock().await, &name)
    }

    async fn weights(&self, service: Option<String>) -> Result<Vec<types::Weights>, Refusal> {
        shown::weights(&*self.core.lock().await, service.as_deref())
    }

    async fn set_weights(
        &self,
        service: String,
        change: types::WeightSet,
        actor: api::Actor,
    ) -> Result<types::WeightChange, Refusal> {
        let seen = match change.dry_run {
            true => Some(recent::look(self, Some(&service)).await?),
            false => None,
        };
        let mut core = self.core.lock().await;
        weights::set(&mut core, &service, &change, &actor, seen.as_ref())
    }

    async fn backends(&self, service: String) -> Result<Vec<types::BackendLine>, Refusal> {
        fares::list(&*self.core.lock().await, &service)
    }

    async fn change_backend(
        &self,
        service: String,
        change: types::BackendSet,
        actor: api::Actor,
    ) -> Result<types::BackendChange, Refusal> {
        let seen = match change.dry_run {
            true => Some(recent::look(self, Some(&service)).await?),
            false => None,
        };
        let mut core = self.core.lock().await;
        let done = backends::change(&mut core, &service, &change, &actor, seen.as_ref());
        self.new_backends.notify_one();
        done
    }

    async fn flows(
        &self,
        service: String,
        wanted: types::FlowQuery,
    ) -> Result<types::FlowList, Refusal> {
        flows::list(self, service, wanted).await
    }

    async fn reset_flows(
        &self,
        service: String,
        wanted: types::FlowsToReset,
        actor: api::Actor,
    ) -> Result<types::FlowsReset, Refusal> {
        flows::reset::reset(self, service, wanted, &actor).await
    }

    async fn count_flows(
        &self,
        service: String,
        wanted: types::FlowQuery,
    ) -> Result<types::FlowCount, Refusal> {
        flows::count(self, service, wanted).await
    }

    async fn clients(
        &self,
        service: String,
        wanted: types::ClientQuery,
    ) -> Result<types::ClientList, Refusal> {
        clients::list(self, service, wanted).await
    }

    async fn cohorts(&self) -> Result<types::CohortList, Refusal> {
        cohorts::list(self).await
    }

    async fn create_cohort(
        &self,
        wanted: types::CohortCreate,
        actor: api::Actor,
    ) -> Result<types::CohortLine, Refusal> {
        cohorts::create(self, wanted, &actor).await
    }

    async fn delete_cohort(
        &self,
        name: String,
        wanted: types::CohortDelete,
        actor: api::Actor,
    ) -> Result<types::CohortDeleted, Refusal> {
        cohorts::delete(self, name, wanted, &actor).await
    }

    async fn add_member(
        &self,
        name: String,
        wanted: types::MemberAdd,
        _: api::Actor,
    ) -> Result<types::MemberChange, Refusal> {
        cohorts::add(self, name, wanted).await
    }

    async fn remove_member(
        &self,
        name: String,
        wanted: types::MemberRemove,
        _: api::Actor,
    ) -> Result<types::MemberChange, Refusal> {
        cohorts::remove(self, name, wanted).await
    }

    async fn import_members(
        &self,
        name: String,
        wanted: types::CohortImport,
        text: Vec<u8>,
        actor: api::Actor,
    ) -> Result<types::CohortImported, Refusal> {
        cohorts::import(self, name, wanted, text, &actor).await
    }

    async fn memberships(&self, address: String) -> Result<types::Memberships, Refusal> {
        cohorts::test(self, address).await
    }

    async fn evidence(&self, service: String) -> Result<types::Evidence, Refusal> {
        evidence::show(&*self.core.lock().await, &service)
    }

    async fn reset_evidence(
        &self,
        service: String,
        wanted: types::EvidenceReset,
        actor: api::Actor,
    ) -> Result<types::Evidence, Refusal> {
        evidence::reset(&mut *self.core.lock().await, &service, wanted, &actor)
    }

    async fn reload(
        &self,
        wanted: types::ReloadRequest,
        actor: api::Actor,
    ) -> Result<types::Reload, Refusal> {
        reload::reload(self, wanted.dry_run, &actor.to_string()).await
    }

    async fn supervise(
        &self,
        wanted: types::Supervise,
        actor: api::Actor,
    ) -> Result<Vec<types::Supervision>, Refusal> {
        lease::supervise(&mut *self.core.lock().await, &wanted, &actor)
    }

    async fn history(
        &self,
        service: String,
        query: types::HistoryQuery,
    ) -> Result<types::History, Refusal> {
        past::history(self, service, query).await
    }

    async fn metrics(&self, open_metrics: bool) -> Result<String, Refusal> {
        let export = self.export.borrow().clone();
        let text = tokio::task::spawn_blocking(move || metrics::text(export, open_metrics));
        let text = text.await.map_err(Refusal::internal)?;
        text.map_err(Refusal::internal)
    }

    fn events(&self) -> Arc<EventLog> {
        Arc::clone(&self.events)
    }

    async fn trace(self: Arc<Self>, query: types::TraceQuery) -> Result<api::Trace, Refusal> {
        traces::begin(&self, query).await
    }

    async fn explain(
        &self,
        service: String,
        client: std::net::IpAddr,
        port: Option<u16>,
        vip: Option<Vip>,
    ) -> Result<types::Explanation, Refusal> {
        let mut core = self.core.lock().await;
        explain::explain(&mut core, &service, client, port, vip)
    }

    async fn simulate(
        &self,
        service: String,
        wanted: types::Simulate,
    ) -> Result<types::Simulated, Refusal> {
        simulate::simulate(&mut *self.core.lock().await, &service, &wanted)
    }

    async fn devices(&self) -> types::DeviceList {
        devices::list(&*self.core.lock().await)
    }

    async fn whois(&self, address: std::net::IpAddr) -> Result<types::Whois, Refusal> {
        whois::whois(self, address).await
    }
}
