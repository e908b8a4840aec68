//! Owns one worker of a load: it asks for its part of the clients, in turn, on its own clock.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{LoadMode, LoadOptions, Shared};
use crate::client::{AskError, Reply, wire};

/// How often a worker looks whether it should stop.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The target that a client asks.
pub(super) fn target_of(options: &LoadOptions, client: IpAddr) -> Option<SocketAddr> {
    let mut targets = options.targets.iter();
    targets
        .find(|target| target.is_ipv4() == client.is_ipv4())
        .copied()
}

/// A client, whom it asks, and its connection in keep-alive mode.
struct Seat {
    client: IpAddr,
    target: SocketAddr,
    connection: Option<TcpStream>,
}

/// Asks until the time is over: worker `index` of `count`.
pub(super) async fn work(shared: Arc<Shared>, index: usize, count: usize) {
    let options = &shared.options;
    let mine = options.clients.iter().skip(index).step_by(count);
    let mut seats: Vec<Seat> = mine
        .filter_map(|client| {
            target_of(options, *client).map(|target| Seat {
                client: *client,
                target,
                connection: None,
            })
        })
        .collect();
    let part = seats.len() as f64 / options.clients.len() as f64;
    let period = Duration::from_secs_f64(1.0 / (f64::from(options.requests_per_s) * part));
    // Workers start evenly spread over one period.
    let first = Instant::now() + period.mul_f64(index as f64 / count as f64);
    let end = Instant::now() + options.duration;
    let mut ticks = interval_at(first, period);
    // A burst after a stall would measure the load, not what it is put on.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);

    let seat_count = seats.len();
    for turn in 0.. {
        if !wait_for(&shared, &mut ticks, end).await {
            return;
        }
        let seat = &mut seats[turn % seat_count];
        let begin = Instant::now();
        let result = ask(seat, options.mode).await;
        let latency = begin.elapsed();
        shared.report().record(seat.client, result, latency);
    }
}

/// Waits for the next tick; `false` when the load is over.
async fn wait_for(shared: &Shared, ticks: &mut tokio::time::Interval, end: Instant) -> bool {
    loop {
        if shared.stop.load(Ordering::Relaxed) || Instant::now() >= end {
            return false;
        }
        let limit = end.min(Instant::now() + STOP_CHECK_INTERVAL);
        if tokio::time::timeout_at(limit, ticks.tick()).await.is_ok() {
            return true;
        }
    }
}

async fn ask(seat: &mut Seat, mode: LoadMode) -> Result<Reply, AskError> {
    match mode {
        LoadMode::NewConnection => wire::get(seat.client, seat.target, "/").await,
        LoadMode::Udp => wire::udp_ask(seat.client, seat.target).await,
        LoadMode::KeepAlive => {
            let mut connection = match seat.connection.take() {
                Some(connection) => connection,
                None => wire::connect(seat.client, seat.target).await?,
            };
            let reply = wire::ask(&mut connection, "/").await?;
            seat.connection = Some(connection);
            Ok(reply)
        }
    }
}
