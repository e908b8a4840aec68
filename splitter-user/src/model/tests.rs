//! Tests of the model's texts and small laws.

use super::{
    Affinity, DEFAULT_FAIL_SAFE_MAX, ForwardMethod, Protocol, Service, SplitKey, Version, Vip,
    VipError, is_name,
};
use splitter_common::weight::Weight;

#[test]
fn vips_print_what_they_read() {
    for text in [
        "203.0.113.10:443/tcp",
        "[2001:db8::1]:443/udp",
        "10.0.0.1:0/udp",
    ] {
        assert_eq!(
            text.parse::<Vip>().map(|vip| vip.to_string()),
            Ok(text.to_owned())
        );
    }
}

#[test]
fn bad_vips_say_what_is_missing() {
    let why = |text: &str| text.parse::<Vip>().expect_err(text);
    assert_eq!(
        why("10.0.0.1:443"),
        VipError::NoProtocol("10.0.0.1:443".into())
    );
    assert_eq!(
        why("10.0.0.1:443/sctp"),
        VipError::OtherProtocol("sctp".into())
    );
    assert_eq!(why("10.0.0.1"), VipError::NoPort([10, 0, 0, 1].into()));
    assert_eq!(why("10.0.0.1/tcp"), VipError::NoPort([10, 0, 0, 1].into()));
    assert_eq!(
        why("2001:db8::1/tcp").to_string(),
        "\"2001:db8::1\" names no port: write \"[2001:db8::1]:443/tcp\""
    );
    assert!(matches!(why("shop:443/tcp"), VipError::NoAddress(_)));
    assert!(matches!(why("10.0.0.1:70000/tcp"), VipError::NoAddress(_)));
    assert!(matches!(why(""), VipError::NoAddress(_)));
}

#[test]
fn names_follow_the_grammar() {
    for good in ["a", "0", "shop", "v2_1-x", &"a".repeat(63)] {
        assert!(is_name(good), "{good}");
    }
    for bad in ["", "-a", "_a", "Shop", "a.b", "a b", "é", &"a".repeat(64)] {
        assert!(!is_name(bad), "{bad}");
    }
}

/// A version without backends.
pub(crate) fn version_of(name: &str, baseline: bool, ppm: u32) -> Version {
    Version {
        name: name.into(),
        baseline,
        weight: Weight::from_ppm(ppm).expect("within 100 %"),
        backends: Vec::new(),
        on_empty: None,
    }
}

/// A service of these versions that says nothing else.
pub(crate) fn service_of(versions: Vec<Version>) -> Service {
    Service {
        segments: Vec::new(),
        traits: crate::model::TraitSettings::default(),
        name: "shop".into(),
        vips: Vec::new(),
        forward: ForwardMethod::Nat,
        key: SplitKey::Client,
        affinity: None,
        release: "1".into(),
        salt_group: None,
        http1: false,
        turn_slo: None,
        slice: None,
        deny: Vec::new(),
        allow: Vec::new(),
        limits: crate::model::FlowLimits::default(),
        flows: crate::model::FlowFate::Keep,
        direct: Vec::new(),
        fail_safe_max: DEFAULT_FAIL_SAFE_MAX,
        supervised: false,
        versions,
        health: None,
    }
}

#[test]
fn the_baseline_gets_the_rest() {
    let service = service_of(vec![
        version_of("v2", false, 50_000),
        version_of("stable", true, 0),
        version_of("v3", false, 2_500),
    ]);
    assert_eq!(service.rest().to_string(), "94.75%");
    assert_eq!(service.weights()["stable"], service.rest());
    assert_eq!(service.affinity_for(Protocol::Tcp), Affinity::Flow);
    assert_eq!(service.affinity_for(Protocol::Udp), Affinity::Client);
    let text = serde_json::to_string(&service).expect("serializable");
    assert_eq!(
        serde_json::from_str::<Service>(&text).expect("readable"),
        service
    );
}
