//! Owns the grammar of `[databases]` and of conditions on regions: `country`, `subdivision`, `city`, `asn`.
//!
//! Invariant: a condition on regions is a list of prefixes like any other; only what is named is looked
//! for, in one walk of each database. A region that no database has is an error: a name that means nobody
//! is a slip, and a database that lost a country is not to be trusted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use toml::de::DeValue;

use super::draft::Draft;
use super::lists::beside;
use super::reader::{Node, Section};
use super::regions::{Database, Found, Wanted};
use crate::model::{Condition, Databases, PrefixSet, Region, RegionKind};

/// The databases, as far as they were asked for something.
#[derive(Default)]
pub(super) struct Regions {
    by_kind: Databases,
    files: BTreeMap<PathBuf, Result<Found, String>>,
}

impl Regions {
    /// Looks for regions in databases.
    pub(super) fn read(mut by_kind: Databases, wanted: &Wanted) -> Self {
        by_kind.retain(|_, paths| !paths.is_empty());
        let mut kinds = BTreeMap::<&PathBuf, BTreeSet<RegionKind>>::new();
        for (kind, paths) in &by_kind {
            for path in paths {
                kinds.entry(path).or_default().insert(*kind);
            }
        }
        let files = kinds.into_iter().map(|(path, kinds)| {
            let of_these = wanted.iter().filter(|(kind, _)| kinds.contains(kind));
            (
                path.clone(),
                find(path, &kinds, of_these.cloned().collect()),
            )
        });
        Self {
            files: files.collect(),
            by_kind,
        }
    }

    /// The prefixes of a region by all databases of its kind, or what was probably meant by it; `None`
    /// where one of them cannot be read, which is told where it is named.
    fn of(&self, kind: RegionKind, region: &Region) -> Option<Result<Vec<IpNet>, Option<&String>>> {
        let key = (kind, region.clone());
        let (mut prefixes, mut meant) = (Vec::new(), None);
        for path in self.by_kind.get(&kind)? {
            let found = self.files.get(path)?.as_ref().ok()?;
            if !found.kinds.contains(&kind) {
                return None;
            }
            prefixes.extend(found.prefixes.get(&key).into_iter().flatten());
            meant = meant.or(found.meant.get(&key));
        }
        let unknown = prefixes.is_empty();
        Some(if unknown { Err(meant) } else { Ok(prefixes) })
    }

    /// The names of the databases of a kind.
    fn names(&self, kind: RegionKind) -> String {
        let paths = self.by_kind.get(&kind).into_iter().flatten();
        let names: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        names.join(", ")
    }
}

fn find(path: &Path, kinds: &BTreeSet<RegionKind>, wanted: Wanted) -> Result<Found, String> {
    let content = fs::read(path).map_err(|error| error.to_string())?;
    Database::new(content)?.find(&wanted, kinds)
}

/// Reads `[databases]`.
pub(super) fn databases(section: &Section<'_, '_, '_>, draft: &mut Draft) {
    section.only(&RegionKind::ALL.map(RegionKind::key));
    let mut all = Databases::new();
    for kind in RegionKind::ALL {
        let key = kind.key();
        let Some(node) = section.get(key) else {
            continue;
        };
        let file = section.reader.place(&node.span()).file;
        let named: Vec<PathBuf> = paths(node.get_ref())
            .map(|name| beside(&file, name))
            .collect();
        if named.is_empty() {
            let message = format!(
                "`{key}` must be the path of an .mmdb file, or a list such as [\"v4.mmdb\", \
                 \"v6.mmdb\"]"
            );
            section.error(&node.span(), message);
        }
        for path in &named {
            if let Some(why) = fault(section, kind, path) {
                section.error(
                    &node.span(),
                    format_args!("`{key}`: {}: {why}", path.display()),
                );
            }
        }
        all.insert(kind, named);
    }
    let at = section.reader.place(&section.span);
    match &draft.databases {
        Some((_, other)) => {
            let message = format!("databases stand in {other} already; keep them in one place");
            section.reader.error(&section.span, message);
        }
        None => draft.databases = Some((all, at)),
    }
}

/// Why a database does not serve for a kind of region.
fn fault(section: &Section<'_, '_, '_>, kind: RegionKind, path: &Path) -> Option<String> {
    match section.reader.lists.regions.files.get(path)? {
        Err(why) => Some(format!("the database cannot be read: {why}")),
        Ok(found) if !found.kinds.contains(&kind) => Some(format!(
            "the database says nothing of that; it should have {} in its records",
            fields(kind)
        )),
        Ok(_) => None,
    }
}

/// Where records have a kind of region.
const fn fields(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Country => "country.iso_code or country_code",
        RegionKind::Subdivision => "subdivisions[].iso_code or state1",
        RegionKind::City => "city.geoname_id, city.names.en or city",
        RegionKind::Asn => "autonomous_system_number",
    }
}

/// The paths of a key of `[databases]`, as they are written; none where it is something else.
pub(super) fn paths<'v>(value: &'v DeValue<'_>) -> std::vec::IntoIter<&'v str> {
    let text = |value: &'v DeValue<'_>| match value {
        DeValue::String(text) => Some(text.as_ref()),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    };
    let paths: Option<Vec<&str>> = match value {
        DeValue::Array(values) => values.iter().map(|each| text(each.get_ref())).collect(),
        one => text(one).map(|path| vec![path]),
    };
    paths.unwrap_or_default().into_iter()
}

/// A region as it is written.
pub(super) fn region(value: &DeValue<'_>) -> Option<Region> {
    match value {
        DeValue::String(name) => Some(Region::Name(name.to_string())),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok()?;
            u32::try_from(number).ok().map(Region::Number)
        }
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

/// The condition under the key of a kind of region: one for all that it lists.
pub(super) fn in_regions(section: &Section<'_, '_, '_>, kind: RegionKind) -> Option<Condition> {
    let key = kind.key();
    let node = section.get(key)?;
    let nodes = section.items(key, example(kind)).unwrap_or_default();
    if nodes.is_empty() && node.get_ref().is_array() {
        let message = format!("`{key}` is empty: write {}", example(kind));
        section.error(&node.span(), message);
    }
    let has_database = section.reader.lists.regions.by_kind.contains_key(&kind);
    if !has_database {
        let message = format!(
            "`{key}` takes a database: write `{key} = \"/var/lib/splitter/{key}.mmdb\"` in \
             [databases]"
        );
        section.error(&node.span(), message);
    }
    let (mut names, mut prefixes) = (vec![key.to_owned()], Vec::new());
    for node in nodes {
        let Some(region) = fitting(section, kind, node) else {
            continue;
        };
        names.push(region.to_string());
        match section.reader.lists.regions.of(kind, &region) {
            Some(Ok(found)) => prefixes.extend(found),
            Some(Err(meant)) => {
                let message = unknown(section, kind, &region, meant);
                section.error(&node.span(), message);
            }
            None => {}
        }
    }
    let prefixes = IpNet::aggregate(&prefixes);
    let set = PrefixSet::new(prefixes).called(names.join(" "));
    Some(Condition::Prefix(set))
}

/// A region of the right form.
fn fitting(section: &Section<'_, '_, '_>, kind: RegionKind, node: &Node<'_>) -> Option<Region> {
    let found = region(node.get_ref()).filter(|region| match (kind, region) {
        (RegionKind::Country | RegionKind::Subdivision, Region::Name(_))
        | (RegionKind::City, Region::Name(_) | Region::Number(_))
        | (RegionKind::Asn, Region::Number(_)) => true,
        (RegionKind::Country | RegionKind::Subdivision, Region::Number(_))
        | (RegionKind::Asn, Region::Name(_)) => false,
    });
    if found.is_none() {
        let message = format!("`{}`: write {}", kind.key(), example(kind));
        section.error(&node.span(), message);
    }
    found
}

fn unknown(
    section: &Section<'_, '_, '_>,
    kind: RegionKind,
    region: &Region,
    meant: Option<&String>,
) -> String {
    let what = match kind {
        RegionKind::Country => "country",
        RegionKind::Subdivision => "part of a country",
        RegionKind::City => "city",
        RegionKind::Asn => "autonomous system",
    };
    let hint = meant.map_or_else(
        || format!("write {}", example(kind)),
        |meant| format!("did you mean \"{meant}\"?"),
    );
    let (key, names) = (kind.key(), section.reader.lists.regions.names(kind));
    format!("`{key}`: {names} has no {what} {region}; {hint}")
}

const fn example(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Country => "a list of ISO codes such as [\"DE\", \"FR\"]",
        RegionKind::Subdivision => "a list of ISO codes such as [\"US-CA\"]",
        RegionKind::City => {
            "a list of GeoNames numbers or English names such as [2950159, \"Paris, FR\"]"
        }
        RegionKind::Asn => "a list of numbers such as [64500]",
    }
}
