//! Owns servers that do what a test says, their client, and the comparison of what is measured with what
//! both say: counts exactly, times within two cells of a histogram.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use splitter_common::histogram::cell;
use splitter_tests::{
    client::wire,
    daemon::Daemon,
    netns::NetnsRuntime,
    server::Scripted,
    topology::{Topology, TopologyOptions, vip_for},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

use crate::{
    measured::versions,
    scene::{PORT, Scene, config},
};

/// How long servers take for an answer.
pub(crate) const ANSWER_AFTER: Duration = Duration::from_millis(40);
/// How many times a client does the same.
pub(crate) const ROUNDS: u64 = 3;
/// After this long nothing is on its way any more.
const QUIET: Duration = Duration::from_secs(1);

/// What a version is to be seen doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) handshakes: u64,
    pub(crate) turns: u64,
    pub(crate) tls_setup: u64,
    pub(crate) http_2xx: u64,
    pub(crate) http_5xx: u64,
    pub(crate) http_other: u64,
    /// By server and client: all, and those before the server had sent data.
    pub(crate) resets: [u64; 2],
    pub(crate) resets_early: [u64; 2],
}

fn seen(version: &Value) -> Seen {
    let number = |path: &str| {
        let value = version.pointer(path).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("{path} in {version}"))
    };
    let http = |class: &str| match &version["http"] {
        Value::Null => 0,
        _ => number(&format!("/http/{class}")),
    };
    Seen {
        handshakes: number("/times/handshake/count"),
        turns: number("/times/turn/count"),
        tls_setup: number("/times/tls_setup/count"),
        http_2xx: http("http_2xx"),
        http_5xx: http("http_5xx"),
        http_other: http("http_other"),
        resets: ["server", "client"].map(|by| number(&format!("/counters/resets_by_{by}"))),
        resets_early: ["server", "client"]
            .map(|by| number(&format!("/counters/resets_by_{by}_early"))),
    }
}

/// Servers that do the same with every connection, and a client of the canary.
pub(crate) struct Stage {
    pub(crate) source: IpAddr,
    client: NetnsRuntime,
    _servers: Vec<Scripted>,
    scene: Scene,
}

impl Stage {
    /// `protocol`: the line of the configuration that says it, or nothing.
    pub(crate) fn new<S, F>(protocol: &str, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Clone + Send + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let topology = Topology::build(&TopologyOptions::default()).expect("a topology");
        let serve = move |_version, stream| serve(stream);
        let servers = Scripted::start_all(&topology, PORT, serve).expect("servers");
        let text = config(&topology, "50%");
        let text = text.replace("[service.shop]\n", &format!("[service.shop]\n{protocol}\n"));
        let daemon = Daemon::start(&topology.lb, &text).expect("a daemon");
        let client = topology.client.runtime().expect("a runtime");
        let scene = Scene {
            daemon,
            servers: Vec::new(),
            topology,
        };
        let clients = scene.clients().into_iter();
        let mut of_canary = clients.filter(|client| scene.explained(*client) == "canary");
        Self {
            source: of_canary.next().expect("a client of the canary"),
            client,
            _servers: servers,
            scene,
        }
    }

    pub(crate) fn target(&self) -> SocketAddr {
        vip_for(self.source, PORT)
    }

    /// Lets the client do something, [`ROUNDS`] times with a connection each; `doing` says how long
    /// it waited for answers.
    pub(crate) fn rounds<D, F>(&self, doing: D) -> Vec<Duration>
    where
        D: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Vec<Duration>>> + Send + 'static,
    {
        let (source, target) = (self.source, self.target());
        self.client.block_on(async move {
            let mut waited = Vec::new();
            for _ in 0..ROUNDS {
                let stream = wire::connect(source, target).await.expect("connected");
                waited.extend(doing(stream).await.expect("done"));
            }
            waited
        })
    }

    /// The canary did what it did, its client waited as it says, and nobody else did anything.
    pub(crate) fn shows(&self, wanted: &Seen, mut waited: Vec<Duration>) {
        thread::sleep(QUIET);
        let versions = versions(&self.scene);
        let (canary, told) = (&versions["canary"], self.scene.told());
        assert_eq!(&seen(canary), wanted, "{told}");
        assert_eq!(seen(&versions["stable"]), Seen::default(), "{told}");
        waited.sort_unstable();
        let Some(middle) = waited.get(waited.len() / 2) else {
            return;
        };
        let p50_us = canary["times"]["turn"]["p50_us"]
            .as_u64()
            .expect("measured");
        let apart = cell(p50_us).abs_diff(cell(middle.as_micros() as u64));
        assert!(apart <= 2, "{p50_us} us, its client {waited:?}\n{told}");
    }
}

/// Reads until `end` has come, and says after how long the first of it came.
pub(crate) async fn read_to<R: AsyncRead + Unpin>(
    stream: &mut R,
    end: &[u8],
) -> io::Result<Duration> {
    let (begin, mut first, mut all) = (Instant::now(), None, Vec::new());
    while !all.ends_with(end) {
        if stream.read_buf(&mut all).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        first.get_or_insert_with(|| begin.elapsed());
    }
    Ok(first.unwrap_or_default())
}
