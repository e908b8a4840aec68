//! Owns what runs in another layout when this one starts: what is lost with it, the take-over of its
//! links, and the way back.
//!
//! Invariant: a link is never without a program. It gets the new one by `bpf_link_update`, and the
//! old one by the same way when the start fails; the old pins stay until all links have the new.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use aya::{
    maps::{MapData, MapInfo},
    programs::ProgramInfo,
};

use super::{DataPlane, DataPlaneError, bpf, pending, pins};

/// Pins of another layout with programs that run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherLayout {
    /// Its number.
    pub number: u32,
    /// Where it is pinned.
    pub dir: PathBuf,
    /// The interfaces that carry its program.
    pub interfaces: Vec<String>,
    /// Entries of its flow tables, as far as this binary can find them.
    pub flows: u64,
}

impl fmt::Display for OtherLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "layout {} runs on {} from {}, with {} flows in its tables",
            self.number,
            self.interfaces.join(", "),
            self.dir.display(),
            self.flows
        )
    }
}

/// A link of another layout that was taken over.
pub(super) struct Taken {
    interface: String,
    old_pin: PathBuf,
    /// What it ran: the pin of the program, where there is one, and its id.
    old_program: (Option<PathBuf>, u32),
}

/// What runs below `root` in other layouts than that of `own`. Pins of which nothing runs are
/// removed: nobody's packets depend on them.
pub(super) fn find(root: &Path, own: &Path) -> Result<Vec<OtherLayout>, DataPlaneError> {
    let entries =
        fs::read_dir(root).map_err(|error| pins::fault(root, "cannot be read", &error))?;
    let mut found = Vec::new();
    for dir in entries.flatten().map(|entry| entry.path()) {
        let Some(number) = number_of(&dir).filter(|_| dir != *own) else {
            continue;
        };
        let interfaces = live_links(&dir);
        refuse_unknown(&dir)?;
        if interfaces.is_empty() {
            let removed = pins::remove_all(&dir);
            let removed = removed.map_err(|error| pins::fault(&dir, "stays", &error))?;
            log::info!(
                "{}: removed {removed} pins of layout {number}, which ran nowhere",
                dir.display()
            );
            continue;
        }
        found.push(OtherLayout {
            number,
            interfaces,
            flows: entries_of(&pins::map_path(&dir, "ESTABLISHED")) + pending_of(&dir),
            dir,
        });
    }
    found.sort_by_key(|layout| layout.number);
    Ok(found)
}

/// Refuses a directory with pins of kinds that this binary does not know: what they hold up, and how
/// to take it over, only their own binary knows.
fn refuse_unknown(dir: &Path) -> Result<(), DataPlaneError> {
    let entries = fs::read_dir(dir).map_err(|error| pins::fault(dir, "cannot be read", &error))?;
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.into_iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => Err(DataPlaneError::Pins(format!(
            "{} holds {name}, which this binary does not know: run the splitter that has pinned \
             it, or take it away with that one's `splitter detach`",
            dir.display()
        ))),
    }
}

fn is_known(pin: &str) -> bool {
    ["map_", "prog_", "link_", "trace_"]
        .iter()
        .any(|kind| pin.starts_with(kind))
}

fn number_of(dir: &Path) -> Option<u32> {
    let name = dir.file_name()?.to_str()?;
    name.strip_prefix('v')?.parse().ok()
}

/// Interfaces with a link that is on one still.
fn live_links(dir: &Path) -> Vec<String> {
    let lives = |name: &String| {
        let link = bpf::xdp_link(&pins::link_path(dir, name));
        link.is_ok_and(|link| link.is_some_and(|link| link.ifindex != 0))
    };
    let mut names: Vec<String> = pins::linked(dir).into_iter().filter(lives).collect();
    names.sort();
    names
}

/// Entries of a pinned map, whatever its keys; 0 where there is none.
fn entries_of(pin: &Path) -> u64 {
    let Ok(info) = MapInfo::from_pin(pin) else {
        return 0;
    };
    bpf::count_keys(pin, info.key_size(), info.max_entries()).unwrap_or(0)
}

/// Pending flows: in sets since layout 13, in a hash table before.
fn pending_of(dir: &Path) -> u64 {
    let sets = MapData::from_pin(pins::map_path(dir, pending::SETS));
    match sets.map(|data| pending::count(data).unwrap_or(0)) {
        Ok(count) => count,
        Err(_) => entries_of(&pins::map_path(dir, "PENDING")),
    }
}

/// The pin of a program by its id.
fn program_pin(dir: &Path, id: u32) -> Option<PathBuf> {
    let pins = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let mut programs = pins.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("prog_"))
    });
    programs.find(|path| ProgramInfo::from_pin(path).is_ok_and(|info| info.id() == id))
}

impl DataPlane {
    /// What runs in other layouts, and is lost when this one takes over.
    pub fn other_layouts(&self) -> &[OtherLayout] {
        &self.others
    }

    /// Makes the links of other layouts this one's. Their programs run on; [`Self::attach`]
    /// replaces them.
    pub fn take_over(&mut self) -> Result<(), DataPlaneError> {
        let Some(own) = &self.pin_dir else {
            return Ok(());
        };
        for layout in &self.others {
            for interface in &layout.interfaces {
                let old_pin = pins::link_path(&layout.dir, interface);
                let pin = pins::link_path(own, interface);
                let failed = |error: io::Error| pins::fault(&old_pin, "cannot be moved", &error);
                let link = bpf::xdp_link(&old_pin).map_err(failed)?;
                let program = link.map_or(0, |link| link.program);
                fs::rename(&old_pin, &pin).map_err(failed)?;
                self.taken.push(Taken {
                    interface: interface.clone(),
                    old_program: (program_pin(&layout.dir, program), program),
                    old_pin,
                });
            }
        }
        Ok(())
    }

    /// Gives links that were taken over back, with the programs that they had, after a start that
    /// failed.
    pub fn give_back(&mut self) {
        let Some(own) = &self.pin_dir else { return };
        for taken in self.taken.drain(..) {
            let pin = pins::link_path(own, &taken.interface);
            if let Err(error) = restore(&pin, &taken) {
                log::error!(
                    "{}: the program of the other layout does not come back: {error}",
                    taken.interface
                );
            }
        }
    }

    /// Removes what other layouts have pinned, after all of their links were taken over.
    pub fn bury_others(&mut self) {
        self.taken.clear();
        for layout in self.others.drain(..) {
            match pins::remove_all(&layout.dir) {
                Ok(_) => log::warn!(
                    "taken over from layout {} on {}; its {} flows are forgotten",
                    layout.number,
                    layout.interfaces.join(", "),
                    layout.flows
                ),
                Err(error) => log::error!("{}: stays: {error}", layout.dir.display()),
            }
        }
    }
}

fn restore(pin: &Path, taken: &Taken) -> io::Result<()> {
    let (program_pin, id) = &taken.old_program;
    let now = bpf::xdp_link(pin)?.map(|link| link.program);
    if now != Some(*id) {
        let unknown = || io::Error::other("its program is pinned nowhere");
        bpf::update_link(pin, program_pin.as_ref().ok_or_else(unknown)?)?;
    }
    fs::rename(pin, &taken.old_pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_a_layout_is_told_by_its_name() {
        for (name, number) in [
            ("v1", Some(1)),
            ("v12", Some(12)),
            ("v", None),
            ("vX", None),
            ("w1", None),
        ] {
            assert_eq!(number_of(&Path::new("/pins").join(name)), number, "{name}");
        }
    }

    #[test]
    fn what_another_binary_has_pinned_in_its_own_way_is_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in [
            "map_CONTROL",
            "prog_splitter",
            "link_eth0",
            "trace_xdp_exception",
        ] {
            fs::write(dir.path().join(name), "").expect("written");
        }
        refuse_unknown(dir.path()).expect("all known");
        fs::write(dir.path().join("netkit_eth0"), "").expect("written");
        let told = refuse_unknown(dir.path()).expect_err("unknown").to_string();
        assert!(told.contains("holds netkit_eth0"), "{told}");
    }
}
