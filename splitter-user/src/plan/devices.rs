//! Owns the numbers of device classes and the rules by which the kernel knows them.
//!
//! Invariant: a class keeps its number as long as a rule names it, so that what is latched of clients and
//! kept by flows keeps its meaning; a number that was given up is given again as late as can be.

use std::collections::{BTreeMap, BTreeSet};

use splitter_common::{
    capacity::DEVICE_CLASSES,
    device::{DeviceRule, DeviceRules, UNKNOWN},
};

use super::PlanError;
use crate::model::{self, UNKNOWN_DEVICE};

/// Numbers of classes, by name; that of [`UNKNOWN_DEVICE`] is none of them.
pub type DeviceNumbers = BTreeMap<String, u8>;

/// The numbers for the classes of rules, given those before.
pub fn numbers(rules: &[model::DeviceRule], before: &DeviceNumbers) -> DeviceNumbers {
    let classes: BTreeSet<&str> = rules.iter().map(|rule| rule.class.as_str()).collect();
    let mut numbers = before.clone();
    for class in classes.iter().copied() {
        if numbers.contains_key(class) {
            continue;
        }
        let unused = |numbers: &DeviceNumbers| {
            (UNKNOWN + 1..DEVICE_CLASSES as u8)
                .find(|number| !numbers.values().any(|own| own == number))
        };
        let mut number = unused(&numbers);
        if number.is_none() {
            numbers.retain(|class, _| classes.contains(class.as_str()));
            number = unused(&numbers);
        }
        if let Some(number) = number {
            numbers.insert(class.to_owned(), number);
        }
    }
    numbers
}

/// The number of a class.
pub fn number(numbers: &DeviceNumbers, class: &str) -> Result<u8, PlanError> {
    if class == UNKNOWN_DEVICE {
        return Ok(UNKNOWN);
    }
    let found = numbers.get(class).copied();
    found.ok_or_else(|| PlanError::Missing(format!("device class {class}")))
}

/// The name of a class.
pub fn name(numbers: &DeviceNumbers, number: usize) -> &str {
    let found = numbers.iter().find(|(_, own)| usize::from(**own) == number);
    found.map_or(UNKNOWN_DEVICE, |(name, _)| name)
}

/// The rules as the kernel has them.
pub fn rules(
    rules: &[model::DeviceRule],
    numbers: &DeviceNumbers,
) -> Result<DeviceRules, PlanError> {
    let mut all = DeviceRules::NONE;
    for (to, rule) in all.rules.iter_mut().zip(rules) {
        let (mask, want) = rule.words();
        let class = u64::from(number(numbers, &rule.class)?);
        *to = DeviceRule { mask, want, class };
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_of(classes: &[String]) -> Vec<model::DeviceRule> {
        let rule = |class: &String| model::DeviceRule {
            class: class.clone(),
            ttl: Some(64),
            options: None,
            window: None,
            mss: None,
            window_scale: None,
        };
        classes.iter().map(rule).collect()
    }

    #[test]
    fn a_class_keeps_its_number_and_one_given_up_is_given_late() {
        let names: Vec<String> = (0..20).map(|nth| format!("c{nth:02}")).collect();
        let first = numbers(&rules_of(&names[..3]), &DeviceNumbers::new());
        assert_eq!(first["c02"], 3);
        let second = numbers(&rules_of(&names[2..5]), &first);
        assert_eq!((second["c02"], second["c03"], second["c04"]), (3, 4, 5));
        // All fifteen, with three that are given up.
        let third = numbers(&rules_of(&names[3..18]), &second);
        assert_eq!(third["c03"], 4);
        let mut all: Vec<u8> = third.values().copied().collect();
        all.sort_unstable();
        assert_eq!(all, (1..16).collect::<Vec<u8>>());
        assert_eq!(name(&third, 4), "c03");
        assert_eq!(name(&third, 0), UNKNOWN_DEVICE);
        assert!(number(&third, "c00").is_err());
    }
}
