//! Tests of the JSON and the sentences of events.

use serde_json::json;

use super::*;
use crate::events::noticed::Fare;

fn event(what: What) -> Event {
    Event {
        seq: 7,
        at: "2026-01-02T03:04:05.678Z".into(),
        text: what.to_string(),
        what,
    }
}

#[test]
fn an_event_is_flat_json_and_comes_back_as_it_was() {
    let health = event(What::Health(Health {
        service: "shop".into(),
        backend: "10.0.1.11:80".into(),
        health: Fare::Unhealthy,
        error: Some("refused".into()),
    }));
    let json = serde_json::to_value(&health).expect("JSON");
    let wanted = json!({
        "seq": 7,
        "at": "2026-01-02T03:04:05.678Z",
        "text": "shop: 10.0.1.11:80 is unhealthy: refused",
        "kind": "health",
        "service": "shop",
        "backend": "10.0.1.11:80",
        "health": "unhealthy",
        "error": "refused",
    });
    assert_eq!(json, wanted);
    let line = EventLine::Event(Box::new(health));
    for line in [line, EventLine::Missed { missed: 3 }] {
        let text = serde_json::to_string(&line).expect("JSON");
        let read: EventLine = serde_json::from_str(&text).expect("a line");
        assert_eq!(read, line, "{text}");
    }
}

#[test]
fn sentences_name_who_and_what_and_why() {
    let weights = |texts: &[(&str, &str)]| {
        let pairs = texts.iter();
        pairs
            .map(|(name, weight)| ((*name).to_owned(), (*weight).to_owned()))
            .collect()
    };
    let by = || "root (uid 0, pid 1)".to_owned();
    let mut set = WeightsSet {
        service: "shop".into(),
        by: by(),
        before: weights(&[("canary", "1%"), ("stable", "99%")]),
        after: weights(&[("canary", "5%"), ("stable", "95%")]),
        flows: "keep".into(),
        reason: Some("try".into()),
    };
    assert_eq!(
        set.to_string(),
        "shop: weights canary 1% -> 5%, stable 99% -> 95% by root (uid 0, pid 1): try"
    );
    set.before = set.after.clone();
    set.reason = None;
    assert_eq!(
        set.to_string(),
        "shop: weights set to what they were by root (uid 0, pid 1)"
    );
    let started = Started {
        version: "0.2.0".into(),
        upgraded_from: Some("0.1.0".into()),
        adopted: true,
        unclean: true,
        generation: 9,
        interfaces: vec!["eth0 native".into()],
    };
    assert_eq!(
        started.to_string(),
        "splitter 0.2.0 started, upgraded from 0.1.0 and took over the data plane that ran, \
         generation 9, eth0 native; the daemon before it was killed"
    );
    let reload = Reload {
        by: "SIGHUP".into(),
        generation: 9,
        services: Vec::new(),
        interfaces: false,
        dropped: vec!["canary's weight gives way".into()],
    };
    assert_eq!(
        reload.to_string(),
        "file reloaded by SIGHUP: nothing changed; generation 9; canary's weight gives way"
    );
    let lease = LeaseRanOut {
        for_s: 3,
        services: vec!["shop".into()],
    };
    let concerned = [What::LeaseRanOut(lease.clone()), What::Reload(reload)];
    assert_eq!(concerned.map(|what| what.concerns("shop")), [true, false]);
    assert_eq!(
        lease.to_string(),
        "the lease had run out for 3 s; new flows of shop went to the baseline meanwhile"
    );
}

#[test]
fn cohorts_are_told_with_their_members() {
    let imported = CohortImported {
        cohort: "beta".into(),
        added: 5,
        renewed: 2,
        left_out: 1,
        by: "root".into(),
        reason: Some("new list".into()),
    };
    let created = CohortCreated {
        cohort: "beta".into(),
        by: "root".into(),
        reason: None,
    };
    let deleted = CohortDeleted {
        cohort: "beta".into(),
        members: 7,
        by: "root".into(),
        reason: None,
    };
    assert_eq!(
        [
            created.to_string(),
            imported.to_string(),
            deleted.to_string()
        ],
        [
            "cohort beta created by root",
            "cohort beta: 5 members added and 2 renewed by root, 1 bad lines left out: new list",
            "cohort beta deleted with its 7 members by root",
        ]
    );
    let event = event(What::CohortImported(imported));
    let json = serde_json::to_value(&event).expect("JSON");
    assert_eq!(
        (&json["kind"], &json["added"]),
        (&json!("cohort_imported"), &json!(5))
    );
}
