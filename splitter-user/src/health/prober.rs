//! Owns the probers: one task for each backend that is checked, which asks, judges, and tells what
//! is news.
//!
//! Invariant: a task tells only what changed (health, or what is wrong), so that healthy backends
//! cost nothing but their probes. At most [`AT_ONCE`] probes are under way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use splitter_common::hash::{HashKey, siphash13};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::{Health, Judge, Key, probe};
use crate::model::{AdminState, Backend, Check, Service};

/// Probes under way at any moment.
pub const AT_ONCE: usize = 256;
/// The first probe comes within this, so that a start is not followed by silence.
const FIRST: Duration = Duration::from_secs(1);

/// What is news of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub key: Key,
    /// What the checks say of it.
    pub health: Health,
    /// What was wrong with the last answer; `None`: nothing.
    pub error: Option<String>,
}

/// Whom to ask what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Who is asked.
    pub address: SocketAddr,
    /// What; one for all backends of a service.
    pub check: Arc<Check>,
}

/// What is to be asked of a service's backends. `admin`: what the operator wants of each.
pub fn tasks(
    service: &Service,
    admin: impl Fn(&Backend) -> AdminState,
) -> impl Iterator<Item = (Key, Task)> {
    let health = service.health.as_ref();
    let check = health.and_then(|health| health.check.clone()).map(Arc::new);
    let backends = service
        .versions
        .iter()
        .flat_map(|version| &version.backends);
    let asked = backends.filter(move |backend| admin(backend) != AdminState::Disabled);
    asked.filter_map(move |backend| {
        let check = check.as_ref()?;
        let port = check.port_of(service, backend)?;
        let task = Task {
            address: SocketAddr::new(backend.address, port),
            check: Arc::clone(check),
        };
        Some((Key::new(service, backend), task))
    })
}

/// The tasks that run.
pub struct Probers {
    running: HashMap<Key, (Task, AbortHandle)>,
    tasks: JoinSet<()>,
    tell: mpsc::Sender<Report>,
    permits: Arc<Semaphore>,
}

impl Probers {
    /// None yet; what is news goes to `tell`.
    pub fn new(tell: mpsc::Sender<Report>) -> Self {
        Self {
            running: HashMap::new(),
            tasks: JoinSet::new(),
            tell,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Stops and starts tasks so that those of `wanted` run, each with the health known so far.
    pub fn ask_all(&mut self, wanted: HashMap<Key, Task>, health: impl Fn(&Key) -> Health) {
        self.running.retain(|key, (task, handle)| {
            let stays = wanted.get(key) == Some(task);
            if !stays {
                handle.abort();
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        for (key, task) in wanted {
            if self.running.contains_key(&key) {
                continue;
            }
            let asking = keep_asking(
                key.clone(),
                task.clone(),
                health(&key),
                self.tell.clone(),
                Arc::clone(&self.permits),
            );
            let handle = self.tasks.spawn(asking);
            self.running.insert(key, (task, handle));
        }
    }
}

async fn keep_asking(
    key: Key,
    task: Task,
    health: Health,
    tell: mpsc::Sender<Report>,
    permits: Arc<Semaphore>,
) {
    let Task { address, check } = task;
    let mut judge = Judge::new(check.rise, check.fall, health);
    let mut error = None;
    let seed = siphash13(HashKey::default(), format!("{key:?}").as_bytes());
    tokio::time::sleep(FIRST.min(check.interval).mul_f64(fraction(seed, 0))).await;
    for turn in 1.. {
        let begin = Instant::now();
        let Ok(permit) = permits.acquire().await else {
            return;
        };
        // Apart, so that a task which sleeps holds no room for a probe.
        let answer = Box::pin(probe::ask(address, &check)).await;
        drop(permit);
        let changed = judge.answered(answer.is_ok());
        let wrong = answer.err().map(|error| error.to_string());
        if changed || wrong != error {
            error = wrong;
            let report = Report {
                key: key.clone(),
                health: judge.health(),
                error: error.clone(),
            };
            if tell.send(report).await.is_err() {
                return;
            }
        }
        let pause = pause(check.interval, seed, turn);
        tokio::time::sleep(pause.saturating_sub(begin.elapsed())).await;
    }
}

/// From one probe to the next: the interval, a tenth less or more, so that probers do not march in
/// step.
fn pause(interval: Duration, seed: u64, turn: u64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fraction(seed, turn))
}

/// A number in 0 .. 1 that differs from turn to turn and from backend to backend.
fn fraction(seed: u64, turn: u64) -> f64 {
    let hash = siphash13(HashKey { k0: seed, k1: turn }, &[]);
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    #[test]
    fn pauses_stay_within_a_tenth_and_differ() {
        let interval = Duration::from_secs(10);
        let pauses: Vec<Duration> = (0..1_000).map(|turn| pause(interval, 7, turn)).collect();
        let (least, most) = (pauses.iter().min(), pauses.iter().max());
        assert!(*least.expect("some") >= Duration::from_secs(9));
        assert!(*most.expect("some") <= Duration::from_secs(11));
        let mean = pauses.iter().sum::<Duration>() / 1_000;
        assert!((9_900..10_100).contains(&mean.as_millis()), "{mean:?}");
        assert_ne!(pause(interval, 7, 1), pause(interval, 8, 1));
    }

    #[test]
    fn the_port_asked_is_the_checks_the_backends_or_the_dialled_one() {
        let text = |port: &str| {
            format!(
                "[[interface]]\nname = \"eth0\"\n[service.shop]\n\
                 vips = [\"203.0.113.10:53/udp\", \"203.0.113.10:443/tcp\"]\n\
                 health = {{ check = \"tcp\"{port} }}\n\
                 version.stable = {{ baseline = true, backends = [\"10.0.0.1\"] }}\n\
                 version.canary = {{ weight = \"1%\", backends = [\"10.0.0.2\", \"10.0.0.3\"] }}\n"
            )
        };
        let asked = |port: &str| -> Vec<String> {
            let config = parse_str("test.toml", &text(port)).expect("good");
            let admin = |backend: &Backend| match backend.to_string().as_str() {
                "10.0.0.2" => AdminState::Draining,
                "10.0.0.3" => AdminState::Disabled,
                _ => AdminState::Active,
            };
            tasks(&config.services[0], admin)
                .map(|(_, task)| task.address.to_string())
                .collect()
        };
        assert_eq!(asked(""), ["10.0.0.1:443", "10.0.0.2:443"]);
        assert_eq!(asked(", port = 81"), ["10.0.0.1:81", "10.0.0.2:81"]);
    }

    #[tokio::test]
    async fn a_task_tells_news_alone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bound");
        let address = listener.local_addr().expect("an address");
        let (tell, mut told) = mpsc::channel(64);
        let mut probers = Probers::new(tell);
        let key = Key {
            service: "shop".into(),
            backend: address.to_string(),
        };
        let check = Check {
            question: crate::model::Question::Tcp,
            port: None,
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(5),
            rise: 2,
            fall: 2,
        };
        let task = Task {
            address,
            check: Arc::new(check),
        };
        let wanted = || HashMap::from([(key.clone(), task.clone())]);
        probers.ask_all(wanted(), |_| Health::Unknown);
        let first = told.recv().await.expect("news");
        assert_eq!((first.health, first.error), (Health::Healthy, None));
        drop(listener);
        let wrong = told.recv().await.expect("news");
        assert_eq!(wrong.health, Health::Healthy);
        assert!(wrong.error.expect("refused").contains("refused"));
        let out = told.recv().await.expect("news");
        assert_eq!(out.health, Health::Unhealthy);
        // The same again is no news; another task for the same backend begins where this one is.
        probers.ask_all(HashMap::new(), |_| Health::Unknown);
        assert!(told.try_recv().is_err());
        let again = tokio::net::TcpListener::bind(address).await.expect("bound");
        probers.ask_all(wanted(), |_| Health::Unhealthy);
        let back = told.recv().await.expect("news");
        assert_eq!((back.health, back.error), (Health::Healthy, None));
        drop(again);
    }
}
