//! Owns the table of `status` that says how long backends take and what they answer. What cannot be
//! seen is `-`, never 0.

use crate::api::types::{HttpTurns, ServiceStatus, Times, TimesOf, VersionStatus};
use crate::cli::text::{self, brief, micros, table};

/// The columns, and whether they are shown when there is room for eighty characters only.
const COLUMNS: [(&str, bool); 13] = [
    ("", true),
    ("SHAKE50", true),
    ("SHAKE99", false),
    ("TURNS", false),
    ("TURN50", true),
    ("TURN90", true),
    ("TURN99", true),
    ("TLS50", true),
    ("2XX", true),
    ("3XX", false),
    ("4XX", true),
    ("5XX", true),
    ("OTHER", false),
];

/// Of versions, and with `wide` of backends too; nothing before anything was measured.
pub(super) fn times(service: &ServiceStatus, wide: bool) -> String {
    if service.versions.iter().all(is_silent) {
        return String::new();
    }
    let rows = service.versions.iter().flat_map(|version| {
        let own = row(
            text::version(&version.name, version.baseline),
            &version.times,
            version.http,
        );
        let backends = version.backends.iter().filter(|_| wide).map(|backend| {
            row(
                format!("  {}", backend.address),
                &backend.times,
                backend.http,
            )
        });
        std::iter::once(own).chain(backends)
    });
    let shown = |at: usize| wide || COLUMNS[at].1;
    let head: Vec<&str> = (0..COLUMNS.len())
        .filter(|at| shown(*at))
        .map(|at| COLUMNS[at].0)
        .collect();
    let rows = rows.map(|row| {
        let cells = row.into_iter().enumerate();
        cells
            .filter(|(at, _)| shown(*at))
            .map(|(_, cell)| cell)
            .collect()
    });
    table(&head, &[0], rows.collect())
}

fn is_silent(version: &VersionStatus) -> bool {
    let Times {
        handshake,
        turn,
        tls_setup,
    } = &version.times;
    handshake.count == 0 && turn.count == 0 && tls_setup.as_ref().is_none_or(|tls| tls.count == 0)
}

fn row(name: String, times: &Times, http: Option<HttpTurns>) -> [String; COLUMNS.len()] {
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), micros);
    let turn = &times.turn;
    let tls_setup = times.tls_setup.as_ref();
    let [http_2xx, http_3xx, http_4xx, http_5xx, http_other] = statuses(http);
    [
        name,
        time(times.handshake.p50_us),
        time(times.handshake.p99_us),
        brief(turn.count),
        time(turn.p50_us),
        time(turn.p90_us),
        time(turn.p99_us),
        time(tls_setup.and_then(|times: &TimesOf| times.p50_us)),
        http_2xx,
        http_3xx,
        http_4xx,
        http_5xx,
        http_other,
    ]
}

fn statuses(http: Option<HttpTurns>) -> [String; 5] {
    match http {
        None => std::array::from_fn(|_| "-".to_owned()),
        Some(HttpTurns {
            http_2xx,
            http_3xx,
            http_4xx,
            http_5xx,
            http_other,
        }) => [http_2xx, http_3xx, http_4xx, http_5xx, http_other].map(brief),
    }
}
