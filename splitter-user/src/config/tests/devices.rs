//! Rules of devices, segments that ask for traits, and how these are found.

use std::time::Duration;

use super::super::{built_in_devices, devices::BUILT_IN_DEVICES};
use super::bad::{STABLE, VIPS, expect, one};
use super::parse_str;
use crate::model::{Config, DeviceRule, TraitSettings, UNKNOWN_DEVICE, signature};

const CANARY: &str = "version.canary = { weight = \"5%\", backends = [\"10.0.2.11:8443\"] }\n";

/// What a service says begins on line 7, what stands behind it on the line after.
fn with(of_service: &str, behind: &str) -> String {
    one(&format!("{VIPS}{STABLE}{CANARY}{of_service}")) + behind
}

fn segment(matches: &str) -> String {
    format!(
        "segment = [{{ name = \"s\", match = {{ {matches} }}, weight = {{ canary = \"9%\" }} }}]"
    )
}

fn good(text: &str) -> Config {
    parse_str("splitter.toml", text).expect(text)
}

#[test]
fn nothing_is_wrong_with_the_rules_that_are_built_in() {
    let written = BUILT_IN_DEVICES.matches("\n[[device]]").count();
    let rules = built_in_devices();
    assert_eq!(rules.len(), written, "each can be read");
    for rule in rules {
        assert_eq!(rule.fault(), None, "{rule}");
    }
    for class in ["windows", "apple", "linux-like"] {
        assert!(rules.iter().any(|rule| rule.class == class));
    }
    let alone: Vec<_> = rules.iter().map(|rule| rule.words()).collect();
    for (at, words) in alone.iter().enumerate() {
        assert!(
            !alone[..at].contains(words),
            "{} stands there already",
            rules[at]
        );
    }
}

#[test]
fn rules_of_the_file_come_before_those_that_are_built_in() {
    let text = with(
        &segment("device = [\"kiosk\", \"windows\"], activity = [\"heavy\", \"new\"]"),
        "[[device]]\nclass = \"kiosk\"\nttl = 64\noptions = \"mss sack ts nop ws\"\nwindow = 29200\n\
         mss = 1460\nwindow_scale = 7\n",
    );
    let config = good(&text);
    assert_eq!(
        config.devices[0].to_string(),
        "kiosk: ttl 64, options mss sack ts nop ws, window 29200, mss 1460, window_scale 7"
    );
    assert_eq!(config.devices.len(), 1 + built_in_devices().len());
    let service = &config.services[0];
    assert_eq!(
        service.segments[0].condition.to_string(),
        "all of (device kiosk windows, activity new heavy)"
    );
    assert_eq!(service.traits, TraitSettings::default());
    let text = with(
        "traits = { latch = \"1h\", window = \"7d\", normal_from = 3, heavy_from = 5 }",
        "",
    );
    assert_eq!(
        good(&text).services[0].traits,
        TraitSettings {
            latch: Duration::from_secs(3_600),
            window: Duration::from_secs(7 * 86_400),
            normal_from: 3,
            heavy_from: 5,
        }
    );
}

#[test]
fn what_is_wrong_with_rules_is_told_where_it_stands() {
    let row = |rule: &str, wanted: &str| {
        let text = format!("device = [{{ {rule} }}]\n{}", with("", ""));
        expect(&text, &[wanted]);
    };
    let good = "options = \"mss nop nop sack\"";
    row(good, "1:11 device: no class: write `class = \"windows\"`");
    row(
        &format!("class = \"unknown\", {good}"),
        "1:21 `unknown` is the class of those that no rule knows",
    );
    row(
        &format!("class = \"A b\", {good}"),
        "1:21 \"A b\" cannot be a device class",
    );
    row(
        &format!("class = \"a\", ttl = 60, {good}"),
        "1:32 `ttl` is 60: stacks begin with 32, 64, 128 or 255",
    );
    row(
        "class = \"a\", options = \"mss wss\"",
        "1:36 `options`: \"wss\" is no TCP option: write mss, ws",
    );
    row("class = \"a\"", "1:11 it would know every SYN");
    row(
        "class = \"a\", mss = 1460, ttl = 64",
        "1:11 `mss` takes the option `mss`",
    );
    row(
        &format!("class = \"a\", tll = 64, {good}"),
        "1:26 unknown key `tll`; did you mean `ttl`?",
    );
}

#[test]
fn what_is_wrong_with_conditions_and_settings_is_told_where_it_stands() {
    let row = |of_service: &str, wanted: &[&str]| expect(&with(of_service, ""), wanted);
    row(
        &segment("device = [\"windws\"]"),
        &["7:46 `device`: no rule has the class \"windws\"; did you mean \"windows\"?"],
    );
    row(
        &segment("device = []"),
        &["7:45 `device` is empty: write a list such as"],
    );
    row(
        &segment("device = [7]"),
        &["7:46 `device`: write a list such as [\"windows\", \"apple\"]"],
    );
    row(
        &segment("activity = [\"hvy\"]"),
        &["7:48 `activity`: write a list such as [\"new\""],
    );
    row(&segment("activity = []"), &["7:47 `activity` is empty"]);
    row(
        "traits = { latch = \"8d\" }",
        &["7:20 `latch` is \"8d\": write a duration of 1s to 7days"],
    );
    row(
        "traits = { normal_from = 5, heavy_from = 5 }",
        &["7:10 traits: `heavy_from` is 5: it must be above `normal_from`, 5"],
    );
}

#[test]
fn no_more_rules_and_classes_than_the_kernel_has_room_for() {
    let rules = |count: usize, class: fn(usize) -> String| -> String {
        let one = |nth| format!("[[device]]\nclass = \"{}\"\nwindow = {nth}\n", class(nth));
        (0..count).map(one).collect()
    };
    let same = |_| "own".to_owned();
    good(&with("", &rules(20, same)));
    expect(
        &with("", &rules(21, same)),
        &["68:1 device: 21 rules; there is room for 20 beside those that are built in"],
    );
    let each = |nth: usize| format!("c{nth}");
    good(&with("", &rules(12, each)));
    expect(
        &with("", &rules(13, each)),
        &["44:1 device: class \"c12\" is one too many; at most 15 fit a host"],
    );
}

/// SYNs as they stand on the wire: the time to live behind some hops, the window, the options.
const SYNS: [(&str, u8, u16, &str); 9] = [
    // Windows 10 and 11, Windows 7, Windows XP.
    ("windows", 117, 64_240, "020405b4 01030308 01010402"),
    ("windows", 124, 8_192, "020405b4 01030302 01010402"),
    ("windows", 128, 65_535, "020405b4 01010402"),
    // macOS and iOS, of Ethernet and of a mobile network.
    (
        "apple",
        55,
        65_535,
        "020405b4 01030306 0101080a 2f1c3b4a 00000000 04020000",
    ),
    (
        "apple",
        50,
        65_535,
        "02040564 01030305 0101080a 00a1b2c3 00000000 04020000",
    ),
    // Linux 5 and 6, and Android.
    (
        "linux-like",
        64,
        64_240,
        "020405b4 0402080a 9d1c0fa3 00000000 01030307",
    ),
    (
        "linux-like",
        49,
        65_535,
        "02040578 0402080a 0041d0f2 00000000 01030308",
    ),
    // FreeBSD; and who writes nothing but the segment size, as scanners do.
    (
        "unknown",
        61,
        65_535,
        "020405b4 01030306 0402080a 5b3f8d21 00000000",
    ),
    ("unknown", 241, 1_024, "020405b4"),
];

#[test]
fn syns_of_well_known_stacks_have_their_classes() {
    let rules = built_in_devices();
    for (class, ttl, window, options) in SYNS {
        let digits: Vec<char> = options.chars().filter(|digit| *digit != ' ').collect();
        let byte = |pair: &[char]| {
            let pair: String = pair.iter().collect();
            u8::from_str_radix(&pair, 16).expect("two digits")
        };
        let options: Vec<u8> = digits.chunks(2).map(byte).collect();
        let mut tcp = vec![0; 20];
        tcp[12] = ((5 + options.len() / 4) << 4) as u8;
        tcp[14..16].copy_from_slice(&window.to_be_bytes());
        tcp.extend(options);
        let shown = signature(ttl, &tcp).expect("a whole header").words;
        let knows = |rule: &&DeviceRule| {
            let (mask, want) = rule.words();
            (0..shown.len()).all(|at| shown[at] & mask[at] == want[at])
        };
        let found = rules.iter().find(knows);
        let found = found.map_or(UNKNOWN_DEVICE, |rule| rule.class.as_str());
        assert_eq!(found, class, "ttl {ttl}, window {window}");
    }
}
