//! Owns segments: who is meant, as a formula over conditions, and the weights of who is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use serde::{Deserialize, Serialize};
use splitter_common::{
    capacity::{COHORTS_ASKED, MAX_CONDITIONS, MAX_TERMS, TRAITS_ASKED},
    cohort,
    segment::Term,
    traits::Activity,
    weight::Weight,
};
use thiserror::Error;

use super::{Activities, PrefixSet, Service};

/// Clients of a service that have weights of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Its name, unique in the service.
    pub name: String,
    /// Who is in it.
    pub condition: Condition,
    /// The weights beside the baseline's; who is left out has none.
    #[serde(with = "weights_text")]
    pub weights: BTreeMap<String, Weight>,
}

/// What holds of a client or does not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Its address lies in one of these.
    Prefix(PrefixSet),
    /// It is in the cohort of this name.
    Cohort(String),
    /// Its device is of one of these classes.
    Device(BTreeSet<String>),
    /// It is as active as one of these says.
    Activity(Activities),
    /// All of these hold.
    All(Vec<Condition>),
    /// One of these does.
    Any(Vec<Condition>),
    /// This does not.
    Not(Box<Condition>),
}

impl Condition {
    /// Whether it holds of a client that is in these cohorts and of this device class and activity, by the
    /// plain meaning of its words.
    pub fn holds(&self, client: IpAddr, cohorts: &[&str], traits: (&str, Activity)) -> bool {
        match self {
            Self::Device(classes) => classes.contains(traits.0),
            Self::Activity(activities) => activities.0.contains(&traits.1),
            Self::Prefix(set) => set.contains(client),
            Self::Cohort(name) => cohorts.contains(&name.as_str()),
            Self::All(all) => all.iter().all(|each| each.holds(client, cohorts, traits)),
            Self::Any(any) => any.iter().any(|each| each.holds(client, cohorts, traits)),
            Self::Not(not) => !not.holds(client, cohorts, traits),
        }
    }

    /// The cohorts that it names.
    pub fn cohorts(&self) -> BTreeSet<&str> {
        match self {
            Self::Prefix(_) | Self::Device(_) | Self::Activity(_) => BTreeSet::new(),
            Self::Cohort(name) => BTreeSet::from([name.as_str()]),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::cohorts).collect(),
            Self::Not(not) => not.cohorts(),
        }
    }

    /// The device classes that it names.
    pub fn devices(&self) -> BTreeSet<&str> {
        match self {
            Self::Device(classes) => classes.iter().map(String::as_str).collect(),
            Self::Prefix(_) | Self::Cohort(_) | Self::Activity(_) => BTreeSet::new(),
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::devices).collect(),
            Self::Not(not) => not.devices(),
        }
    }

    /// How many prefixes it names.
    pub fn prefixes(&self) -> usize {
        match self {
            Self::Prefix(set) => set.count(),
            Self::Cohort(_) | Self::Device(_) | Self::Activity(_) => 0,
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::prefixes).sum(),
            Self::Not(not) => not.prefixes(),
        }
    }
}

impl fmt::Display for Condition {
    /// `prefix 192.0.2.0/24`, `all of (prefix ..., not prefix ...)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, word: &str, parts: &[Self]| {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            write!(f, "{word} ({})", parts.join(", "))
        };
        match self {
            Self::Prefix(set) => set.fmt(f),
            Self::Cohort(name) => write!(f, "cohort {name}"),
            Self::Device(classes) => {
                let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
                write!(f, "device {}", classes.join(" "))
            }
            Self::Activity(activities) => write!(f, "activity {activities}"),
            Self::All(parts) => list(f, "all of", parts),
            Self::Any(parts) => list(f, "any of", parts),
            Self::Not(not) => write!(f, "not {not}"),
        }
    }
}

/// The segments of a service as the kernel evaluates them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled<'s> {
    /// What each bit says, from bit 0 on.
    pub asked: Vec<&'s PrefixSet>,
    /// Whose members each bit is of, from the last one down: see [`cohort::condition`].
    pub cohorts: Vec<&'s str>,
    /// What each bit says of traits, from the one behind those of cohorts down.
    pub traits: Vec<TraitSet<'s>>,
    /// Terms with the position of their segment, in the order of the segments.
    pub terms: Vec<(usize, Term)>,
}

/// What one bit says of a client's traits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TraitSet<'s> {
    /// Its device class is one of these.
    Device(&'s BTreeSet<String>),
    /// Its activity is one of these.
    Activity(&'s Activities),
}

/// Why segments cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentsError {
    /// Too many conditions.
    #[error(
        "the segments of a service ask about at most {MAX_CONDITIONS} different things; put \
         prefixes that mean the same into one list"
    )]
    Conditions,
    /// Too many cohorts.
    #[error(
        "the segments of a service ask about at most {COHORTS_ASKED} cohorts; put users of several \
         into one cohort more"
    )]
    Cohorts,
    /// Too many sets of traits.
    #[error(
        "the segments of a service ask about at most {TRAITS_ASKED} different sets of device classes \
         and activities"
    )]
    Traits,
    /// Too many terms.
    #[error(
        "the segments of a service come to more than {MAX_TERMS} combinations of conditions; use \
         fewer `any` inside `all`, or several segments"
    )]
    Terms,
}

/// The terms of a service's segments.
pub fn compile(segments: &[Segment]) -> Result<Compiled<'_>, SegmentsError> {
    let mut compiled = Compiled::default();
    for (position, segment) in segments.iter().enumerate() {
        let terms = terms(&segment.condition, true, &mut compiled)?;
        let placed = terms.into_iter().map(|term| (position, term));
        compiled.terms.extend(placed);
        if compiled.terms.len() > MAX_TERMS {
            return Err(SegmentsError::Terms);
        }
    }
    Ok(compiled)
}

/// The disjunctive normal form of a condition, or of its opposite.
fn terms<'s>(
    condition: &'s Condition,
    holds: bool,
    asked: &mut Compiled<'s>,
) -> Result<Vec<Term>, SegmentsError> {
    let mut all = match (condition, holds) {
        (Condition::Not(not), _) => terms(not, !holds, asked)?,
        (Condition::Prefix(set), _) => vec![alone(asked.bit_of(set)?, holds)],
        (Condition::Cohort(name), _) => vec![alone(asked.bit_of_cohort(name)?, holds)],
        (Condition::Device(classes), _) => {
            vec![alone(
                asked.bit_of_traits(TraitSet::Device(classes))?,
                holds,
            )]
        }
        (Condition::Activity(activities), _) => {
            vec![alone(
                asked.bit_of_traits(TraitSet::Activity(activities))?,
                holds,
            )]
        }
        (Condition::All(parts), true) | (Condition::Any(parts), false) => {
            let mut products = vec![Term::ALWAYS];
            for part in parts {
                let factors = terms(part, holds, asked)?;
                products = products
                    .iter()
                    .flat_map(|one| factors.iter().filter_map(|other| both(*one, *other)))
                    .collect();
                absorb(&mut products);
                if products.len() > MAX_TERMS {
                    return Err(SegmentsError::Terms);
                }
            }
            products
        }
        (Condition::Any(parts), true) | (Condition::All(parts), false) => {
            let mut sum = Vec::new();
            for part in parts {
                sum.extend(terms(part, holds, asked)?);
            }
            sum
        }
    };
    absorb(&mut all);
    Ok(all)
}

/// The term of one condition, given by its bit.
const fn alone(bit: u32, holds: bool) -> Term {
    Term {
        mask: bit,
        want: if holds { bit } else { 0 },
    }
}

impl<'s> Compiled<'s> {
    /// The bit of a condition, the same for equal ones.
    fn bit_of(&mut self, set: &'s PrefixSet) -> Result<u32, SegmentsError> {
        if let Some(at) = self.asked.iter().position(|known| *known == set) {
            return Ok(1 << at);
        }
        self.has_room(1)?;
        self.asked.push(set);
        Ok(1 << (self.asked.len() - 1))
    }

    /// The same for one of cohorts.
    fn bit_of_cohort(&mut self, name: &'s str) -> Result<u32, SegmentsError> {
        if let Some(at) = self.cohorts.iter().position(|known| *known == name) {
            return Ok(cohort::condition(at));
        }
        if self.cohorts.len() == COHORTS_ASKED {
            return Err(SegmentsError::Cohorts);
        }
        if self.traits.is_empty() {
            self.has_room(1)?;
        }
        self.cohorts.push(name);
        Ok(cohort::condition(self.cohorts.len() - 1))
    }

    /// The same for one of traits.
    fn bit_of_traits(&mut self, set: TraitSet<'s>) -> Result<u32, SegmentsError> {
        if let Some(at) = self.traits.iter().position(|known| *known == set) {
            return Ok(trait_condition(at));
        }
        self.traits.push(set);
        if self.traits.len() > TRAITS_ASKED {
            return Err(SegmentsError::Traits);
        }
        self.has_room(0)?;
        Ok(trait_condition(self.traits.len() - 1))
    }

    /// Whether there is room for so many more conditions of prefixes or cohorts.
    const fn has_room(&self, more: usize) -> Result<(), SegmentsError> {
        // Bits of traits stand behind all those that cohorts may have.
        let from_the_last = match self.traits.len() {
            0 => self.cohorts.len(),
            traits => COHORTS_ASKED + traits,
        };
        if self.asked.len() + from_the_last + more > MAX_CONDITIONS {
            return Err(SegmentsError::Conditions);
        }
        Ok(())
    }
}

/// The condition that says of a client's traits what the set at `index` does.
pub const fn trait_condition(index: usize) -> u32 {
    cohort::condition(COHORTS_ASKED + index)
}

/// What two terms say together; `None` when they contradict each other.
fn both(one: Term, other: Term) -> Option<Term> {
    let common = one.mask & other.mask;
    (one.want & common == other.want & common).then_some(Term {
        mask: one.mask | other.mask,
        want: one.want | other.want,
    })
}

/// Takes away terms that hold only where another one does.
fn absorb(terms: &mut Vec<Term>) {
    let all: BTreeSet<Term> = terms.iter().copied().collect();
    let wider = |term: &Term, other: &Term| {
        other != term
            && other.mask & term.mask == other.mask
            && term.want & other.mask == other.want
    };
    let kept = all
        .iter()
        .filter(|term| !all.iter().any(|other| wider(term, other)));
    *terms = kept.copied().collect();
}

impl Service {
    /// Whether its segments ask for device class or activity.
    pub fn asks_for_traits(&self) -> bool {
        compile(&self.segments).is_ok_and(|compiled| !compiled.traits.is_empty())
    }

    /// Prefixes that its segments put into the kernel.
    pub fn segment_prefixes(&self) -> usize {
        let Ok(compiled) = compile(&self.segments) else {
            return 0;
        };
        compiled.asked.iter().map(|set| set.count()).sum()
    }
}

/// Weights as the text that operators write, by version.
mod weights_text {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use splitter_common::weight::Weight;

    type Weights = BTreeMap<String, Weight>;

    pub(super) fn serialize<S: Serializer>(weights: &Weights, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(weights.iter().map(|(name, each)| (name, each.to_string())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Weights, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(from)?;
        let parsed = texts.into_iter().map(|(name, text)| {
            let weight = Weight::parse(&text).map_err(D::Error::custom)?;
            Ok((name, weight))
        });
        parsed.collect()
    }
}

#[cfg(test)]
#[path = "segments_tests.rs"]
mod tests;
