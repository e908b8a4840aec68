//! Owns the spec rows: what the program must do with which packets, written once in
//! `tests/spec/*.toml` and run on the host ([`host`]) and in the kernel ([`kernel`]); those that
//! forward a packet run on a wire too ([`wire`]).
//!
//! A row is a script, one step a line:
//!
//! ```text
//! > FRAME                     a packet comes in
//! = VERDICT REASON            what must become of it
//! < FRAME                     what must leave: the whole frame is compared. Unless told: the
//!                             time to live lowered by one, the MACs of the next hop
//! age SECONDS                 all flows grow older
//! weights VERSION=WEIGHT ...  a commit
//! segment NAME VERSION=WEIGHT ... the same for the weights of a segment
//! member COHORT ADDRESS [S]   an address goes into a cohort, for so many seconds or for ever
//! no-member ADDRESS           an address leaves all cohorts
//! config NAME                 a commit of another configuration
//! reuse NAME                  the same, and freed backend numbers are given to new backends
//! count VERSION COUNTER N     what the version has counted since the row began
//! assigned SEGMENT VERSION N  new flows of the segment's clients (`none`: of the others) by version
//! traced SEGMENT              the segment that the packet's trace tells; on the host, where all are traced
//! evidence VERSION EVENT N    clients that are judged, under the weights in force
//! evidence-before VERSION EVENT N  the same, under the weights before
//! ```
//! What holds for every packet ([`run`]) is checked without a line.
//!
//! Ends of frames: `vip` and `vip6` with a port, an address, `stable` or `canary` (a client that
//! belongs there, `canary6` by IPv6, `canary/2` another one), `stable.b` (a backend of that
//! version: whichever takes the first packet; the same one from then on).

pub mod host;
pub mod kernel;
pub mod run;
pub mod wire;

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// One row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// A sentence.
    pub name: String,
    /// A file of `tests/spec/configs`; without it nothing is ever committed.
    pub config: Option<String>,
    /// Weights instead of the configuration's, as for `weights`.
    #[serde(default)]
    pub weights: String,
    /// What is known of the way to backends.
    #[serde(default)]
    pub hops: Hops,
    /// Why the kernel cannot run this row.
    pub host_only: Option<String>,
    /// The script.
    pub script: String,
}

impl Row {
    /// Whether a packet leaves for a client or backend.
    pub fn forwards(&self) -> bool {
        let mut lines = self.script.lines();
        lines.any(|line| line.starts_with("= redirect") || line.starts_with("= tx"))
    }
}

/// What is known of the way to backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hops {
    /// Out of another interface.
    #[default]
    Other,
    /// Out of the interface that packets come in by.
    Same,
    /// Nothing: the daemon has not resolved them, and the kernel has no route.
    Unknown,
}

#[derive(Deserialize)]
struct File {
    row: Vec<Row>,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/spec"))
}

/// All rows, in the order of the files' names.
pub fn rows() -> Result<Vec<Row>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
        rows.extend(file.row);
    }
    let mut names = BTreeSet::new();
    for row in &rows {
        // Names are what reports and filters know a row by.
        ensure!(names.insert(&row.name), "two rows are named: {}", row.name);
    }
    Ok(rows)
}

/// The text of a configuration of `tests/spec/configs`.
pub fn config_text(name: &str) -> Result<String> {
    let path = folder().join("configs").join(format!("{name}.toml"));
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}
