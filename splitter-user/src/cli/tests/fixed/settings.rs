//! The settings of a service of the fixed daemon.

use crate::api::types::{
    CheckSettings, HealthSettings, HttpSettings, PassiveSettings, ServiceSettings,
};

pub(super) fn settings() -> ServiceSettings {
    let http = HttpSettings {
        method: "GET".into(),
        path: "/healthz".into(),
        host: Some("shop.example".into()),
        expect_status: vec!["200".into(), "300-399".into()],
        expect_body: Some("ok".into()),
    };
    ServiceSettings {
        salt_group: Some("front".into()),
        protocol: Some("http1".into()),
        turn_slo: Some("300ms".into()),
        slice: Some("10m".into()),
        traits: Some("latch 30m, window 1day, normal from 10, heavy from 100".into()),
        direct: vec!["10.9.0.0/16".into(), "fd09::/16".into()],
        failsafe_max_weight: "25%".into(),
        health: Some(HealthSettings {
            check: Some(CheckSettings {
                check: "http".into(),
                http: Some(http),
                port: Some(8_080),
                interval_s: 2.0,
                timeout_s: 0.5,
                rise: 2,
                fall: 3,
            }),
            passive: Some(PassiveSettings {
                window_s: 10.0,
                min_handshakes: 20,
                unanswered: "95%".into(),
                resets: "50%".into(),
                eject_for_s: 30.0,
                eject_max_s: 600.0,
            }),
            max_unhealthy: "50%".into(),
            slow_start_s: 90.0,
        }),
    }
}
