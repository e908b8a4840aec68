use super::*;
use splitter_common::{
    capacity::DEVICE_RULES,
    device::{DeviceRule as Row, DeviceRules},
};

/// A TCP header with these options.
fn syn(options: &[u8], window: u16) -> Vec<u8> {
    let mut tcp = vec![0; 20];
    tcp[12] = ((5 + options.len() / 4) << 4) as u8;
    tcp[13] = 2;
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
    tcp.extend(options);
    tcp
}

/// The class of a SYN by rules as the kernel has them, by position of the rule.
fn known_by(rules: &[DeviceRule], ttl: u8, tcp: &[u8]) -> Option<usize> {
    let mut rows = DeviceRules::NONE;
    assert!(rules.len() < DEVICE_RULES.min(16));
    for (at, rule) in rules.iter().enumerate() {
        let (mask, want) = rule.words();
        rows.rules[at] = Row {
            mask,
            want,
            class: at as u64 + 1,
        };
    }
    let signature = signature(ttl, tcp).expect("a whole header");
    usize::from(rows.class_of(&signature.words)).checked_sub(1)
}

const LINUX: [u8; 20] = [
    2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7,
];

fn rule(ttl: Option<u8>, options: &str) -> DeviceRule {
    let words = options.split_whitespace();
    DeviceRule {
        class: "any".to_owned(),
        ttl,
        options: Some(
            words
                .map(|word| TcpOption::parse(word).expect("an option"))
                .collect(),
        ),
        window: None,
        mss: None,
        window_scale: None,
    }
}

#[test]
fn a_rule_knows_the_order_of_options_whatever_their_values() {
    let rules = [
        rule(Some(128), "mss sack ts nop ws"),
        rule(Some(64), "mss sack ts nop ws"),
    ];
    let tcp = syn(&LINUX, 64_240);
    assert_eq!(known_by(&rules, 64, &tcp), Some(1));
    assert_eq!(known_by(&rules, 47, &tcp), Some(1), "17 hops away");
    assert_eq!(known_by(&rules, 120, &tcp), Some(0));
    assert_eq!(known_by(&rules, 250, &tcp), None);
    // One option more, one byte of padding for another, another order.
    let mut longer = LINUX.to_vec();
    longer.extend([34, 2, 1, 1]);
    assert_eq!(known_by(&rules, 64, &syn(&longer, 1)), None);
    let mut other = LINUX;
    other[16] = 0;
    assert_eq!(known_by(&rules, 64, &syn(&other, 1)), None);
    other = LINUX;
    other[4..6].copy_from_slice(&[1, 1]);
    assert_eq!(known_by(&rules, 64, &syn(&other, 1)), None);
}

#[test]
fn values_count_where_a_rule_gives_them() {
    let tcp = syn(&LINUX, 64_240);
    let with = |change: fn(&mut DeviceRule)| {
        let mut rule = rule(None, "mss sack ts nop ws");
        change(&mut rule);
        assert_eq!(rule.fault(), None);
        known_by(&[rule], 64, &tcp).is_some()
    };
    assert!(with(|rule| rule.mss = Some(1_460)) && !with(|rule| rule.mss = Some(1_380)));
    assert!(with(|rule| rule.window_scale = Some(7)) && !with(|rule| rule.window_scale = Some(8)));
    assert!(with(|rule| rule.window = Some(64_240)) && !with(|rule| rule.window = Some(65_535)));
    assert!(with(|rule| (rule.options, rule.ttl) = (None, Some(64))));
}

#[test]
fn what_a_rule_cannot_say_is_told() {
    for (fault, word) in [
        (
            DeviceRule {
                options: None,
                ..rule(None, "")
            },
            "every SYN",
        ),
        (rule(None, "mss nop ws sack"), "10 bytes"),
        (
            rule(None, "ts nop nop ts nop nop ts nop nop ts nop nop"),
            "48 bytes",
        ),
        (
            DeviceRule {
                mss: Some(1),
                ..rule(None, "sack nop nop")
            },
            "option `mss`",
        ),
        (
            DeviceRule {
                window_scale: Some(1),
                ..rule(None, "mss")
            },
            "option `ws`",
        ),
    ] {
        let told = fault.fault().expect("a fault");
        assert!(told.contains(word), "{told}");
    }
    for word in ["wss", "0:2", "34:1", "34:41", "34", ""] {
        assert!(TcpOption::parse(word).is_err(), "{word}");
    }
    assert_eq!(
        TcpOption::parse("34:2").map(|option| option.to_string()),
        Ok("34:2".to_owned())
    );
}

#[test]
fn the_rule_of_a_syn_knows_it_and_is_written_as_it_is_read() {
    let tcp = syn(&LINUX, 64_240);
    let of = |tcp: &[u8]| rule_of("own", &signature(60, tcp)?);
    let rule = of(&tcp).expect("a rule");
    assert_eq!(
        rule.to_string(),
        "own: ttl 64, options mss sack ts nop ws, window 64240"
    );
    let json = serde_json::to_string(&rule).expect("JSON");
    assert!(
        json.contains("\"options\":\"mss sack ts nop ws\""),
        "{json}"
    );
    assert_eq!(
        serde_json::from_str::<DeviceRule>(&json).expect("read"),
        rule
    );
    assert_eq!(known_by(&[rule], 60, &tcp), Some(0));
    assert!(of(&tcp[..30]).is_none(), "cut");
    assert!(of(&syn(&[2, 0, 1, 1], 1)).is_none(), "no length");
    assert!(of(&tcp[..19]).is_none());
}
