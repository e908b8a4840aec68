//! Owns what a service says of traits: activities, and how its clients' traits are found.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use splitter_common::traits::Activity;

/// Activities, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct Activities(pub BTreeSet<Activity>);

impl Activities {
    /// One by its name.
    pub fn named(name: &str) -> Option<Activity> {
        Activity::ALL.into_iter().find(|each| each.name() == name)
    }
}

impl From<Activities> for Vec<String> {
    fn from(activities: Activities) -> Self {
        activities
            .0
            .iter()
            .map(|each| each.name().to_owned())
            .collect()
    }
}

impl TryFrom<Vec<String>> for Activities {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let each =
            |name: &String| Self::named(name).ok_or_else(|| format!("no activity \"{name}\""));
        names.iter().map(each).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Activities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Vec::from(self.clone()).join(" "))
    }
}

/// How a service finds its clients' traits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraitSettings {
    /// How long they stand once they are found.
    pub latch: Duration,
    /// Flows are counted in such a window, of which at least the later half is always remembered.
    pub window: Duration,
    /// So many flows in it make a client normal.
    pub normal_from: u32,
    /// So many make it heavy.
    pub heavy_from: u32,
}

impl fmt::Display for TraitSettings {
    /// `latch 30m, window 1day, normal from 10, heavy from 100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |duration| humantime::format_duration(duration);
        let (latch, window) = (shown(self.latch), shown(self.window));
        let Self {
            normal_from,
            heavy_from,
            ..
        } = self;
        write!(
            f,
            "latch {latch}, window {window}, normal from {normal_from}, heavy from {heavy_from}"
        )
    }
}

impl Default for TraitSettings {
    fn default() -> Self {
        Self {
            latch: Duration::from_secs(30 * 60),
            window: Duration::from_secs(24 * 3_600),
            normal_from: 10,
            heavy_from: 100,
        }
    }
}
