use super::*;
use proptest::prelude::*;

fn set(prefixes: &[&str]) -> Condition {
    let parse = |text: &&str| text.parse().expect("a prefix");
    Condition::Prefix(PrefixSet::new(prefixes.iter().map(parse).collect()))
}

fn segment(condition: Condition) -> Segment {
    Segment {
        name: "one".to_owned(),
        condition,
        weights: BTreeMap::new(),
    }
}

fn cohort_of(name: &str) -> Condition {
    Condition::Cohort(name.to_owned())
}

fn devices(classes: &[&str]) -> Condition {
    Condition::Device(classes.iter().map(|class| (*class).to_owned()).collect())
}

fn activities(of: &[Activity]) -> Condition {
    Condition::Activity(Activities(of.iter().copied().collect()))
}

/// Conditions over four prefixes that lie in each other and beside, two cohorts, and sets of traits.
fn condition() -> impl Strategy<Value = Condition> {
    let leaf = (0..9usize).prop_map(|nth| match nth {
        4 => cohort_of("beta"),
        5 => cohort_of("alpha"),
        6 => devices(&["windows", "apple"]),
        7 => devices(&["apple", "unknown"]),
        8 => activities(&[Activity::Heavy, Activity::New]),
        nth => set(&[["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.9.0.0/16"][nth]]),
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(|not| Condition::Not(Box::new(not))),
        ]
    })
}

proptest! {
    #[test]
    fn the_terms_say_what_the_words_say(condition in condition()) {
        let segments = [segment(condition.clone())];
        let compiled = compile(&segments).expect("few terms");
        for client in ["10.1.2.3", "10.1.7.3", "10.7.7.3", "10.9.7.3", "192.0.2.1"] {
            let client: IpAddr = client.parse().expect("an address");
            let bits = compiled.asked.iter().enumerate();
            let of_prefixes = bits.fold(0, |bits, (bit, set)| {
                bits | u32::from(set.contains(client)) << bit
            });
            for cohorts in [&[][..], &["beta"], &["alpha", "beta"]] {
                let mut conditions = of_prefixes;
                for (at, name) in compiled.cohorts.iter().enumerate() {
                    if cohorts.contains(name) {
                        conditions |= cohort::condition(at);
                    }
                }
                for device in ["windows", "apple", "unknown", "linux-like"] {
                    for activity in Activity::ALL {
                        let of_traits = compiled.traits.iter().enumerate().map(|(at, set)| {
                            let holds = match set {
                                TraitSet::Device(classes) => classes.contains(device),
                                TraitSet::Activity(all) => all.0.contains(&activity),
                            };
                            u32::from(holds) * trait_condition(at)
                        });
                        let conditions = of_traits.fold(conditions, |bits, bit| bits | bit);
                        let mut terms = compiled.terms.iter();
                        let holds = terms.any(|(_, term)| term.holds(conditions) == 1);
                        let wanted = condition.holds(client, cohorts, (device, activity));
                        prop_assert_eq!(holds, wanted, "{} {:?}: {}", client, cohorts, &condition);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_too_much_is_told() {
    let prefix = |nth: usize| set(&[&format!("10.{nth}.0.0/16")]);
    let many: Vec<Segment> = (0..33).map(|nth| segment(prefix(nth))).collect();
    assert_eq!(compile(&many[..32]).map(|all| all.terms.len()), Ok(32));
    assert_eq!(compile(&many), Err(SegmentsError::Conditions));
    let cohorts: Vec<Segment> = (0..9)
        .map(|nth| segment(cohort_of(&format!("c{nth}"))))
        .collect();
    let some = compile(&cohorts[..8]).expect("eight");
    assert_eq!(some.terms[0].1.mask, 1 << 31, "from the last bit down");
    assert_eq!(compile(&cohorts), Err(SegmentsError::Cohorts));
    // Traits stand behind all that cohorts may have, and take of the same bits.
    let sets: Vec<Segment> = (0..9)
        .map(|nth| segment(devices(&[&format!("d{nth}")])))
        .collect();
    let some = compile(&sets[..8]).expect("eight");
    assert_eq!(some.terms[0].1.mask, 1 << 23);
    assert_eq!(compile(&sets), Err(SegmentsError::Traits));
    let mut both = many[..23].to_vec();
    both.push(sets[0].clone());
    assert!(compile(&both).is_ok());
    both.extend_from_slice(&cohorts[..8]);
    assert!(compile(&both).is_ok(), "their places are kept for them");
    both.push(sets[1].clone());
    assert_eq!(compile(&both), Err(SegmentsError::Conditions));
    let mut both = many[..24].to_vec();
    both.push(sets[0].clone());
    assert_eq!(compile(&both), Err(SegmentsError::Conditions));
    // Both take of the same bits.
    let mut both = many[..25].to_vec();
    both.extend_from_slice(&cohorts[..8]);
    assert_eq!(compile(&both), Err(SegmentsError::Conditions));
    // Four times three of them: 81 combinations.
    let any = |from: usize| Condition::Any((from..from + 3).map(prefix).collect());
    let all = Condition::All((0..4).map(|nth| any(3 * nth)).collect());
    assert_eq!(compile(&[segment(all)]), Err(SegmentsError::Terms));
}

#[test]
fn equal_lists_are_one_condition_and_a_set_survives_as_its_digest() {
    let (one, same) = (
        set(&["10.0.0.0/8", "::1/128"]),
        set(&["::1/128", "10.0.0.0/8"]),
    );
    let other = set(&["10.0.0.0/9"]);
    assert!(one == same && one != other);
    let segments = [segment(one.clone()), segment(same), segment(other)];
    assert_eq!(compile(&segments).map(|all| all.asked.len()), Ok(2));
    let text = serde_json::to_string(&one).expect("JSON");
    let back: Condition = serde_json::from_str(&text).expect("the same");
    assert!(back == one && !text.contains("10.0.0.0"), "{text}");
}
